"""Runs the snippets of the documents that Aegis was made from, by their text (seeds/)."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Depends, FastAPI

import aegis
import aegis_sdk
from aegis import Action, Policy, Result, Runtime
from aegis._sidecar import Daemon, find_binary
from aegis.adapters.base import BaseExecutor
from aegis.testing import Sidecar, isolated

SEEDS = Path(__file__).parent / "seeds"
POLICY = (SEEDS / "quick_start_policy.yaml").read_text()


def seed(name: str) -> str:
    return (SEEDS / f"{name}.py.txt").read_text()


async def run(text: str, names: dict[str, Any]) -> dict[str, Any]:
    """Runs a snippet; it may await."""
    code = compile(text, "<seed>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    answer = eval(code, names)
    if inspect.isawaitable(answer):
        await answer
    return names


class MyExecutor(BaseExecutor):
    def __init__(self) -> None:
        self.ran: list[Action] = []

    async def execute(self, action: Action) -> Any:
        self.ran.append(action)
        return Result(action=action, status=aegis.ResultStatus.SUCCESS)


@pytest.fixture
def policy_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "new_policy.yaml").write_text('version: "1"\ndefaults: {approval: block}\n')
    (tmp_path / "base.yaml").write_text(POLICY)
    (tmp_path / "env-overrides.yaml").write_text(
        'version: "1"\nrules: [{name: read_safe, match: {type: "read*"}, approval: block}]\n'
    )
    return tmp_path


# --- The package page ---


def test_the_quick_start_runs_as_it_stands_and_the_record_shows_it(policy_file: Path, tmp_path: Path) -> None:
    (policy_file / "agent.py").write_text(seed("quick_start"))
    output, status = on_a_terminal([sys.executable, "agent.py"], cwd=policy_file, answer="y")
    assert status == 0, output
    assert "1. [   AUTO] Action(read -> crm - Fetch contacts)  (risk=LOW, rule=read_safe)" in output
    assert "2. [APPROVE] Action(bulk_update -> crm)  (risk=HIGH, rule=bulk_ops_need_approval)" in output
    assert "3. [  BLOCK] Action(delete -> crm - Drop table)  (risk=CRITICAL, rule=no_deletes)" in output
    assert "Executing: read -> crm" in output
    assert "Executing: bulk_update -> crm" in output
    assert "Executing: delete" not in output

    # "3. See what happened": any daemon on the same data directory shows it.
    daemon = Daemon(Policy.from_text(POLICY).layers, data_dir=tmp_path / "state" / "aegis")
    try:
        daemon.start()
        shown = subprocess.run(
            [find_binary(), "audit", "--format", "json", "--oldest-first"], capture_output=True, check=True, text=True
        )
    finally:
        daemon.close()
    rows = [(row["action_type"], row["result_status"]) for row in json.loads(shown.stdout)]
    assert rows == [("read", "success"), ("bulk_update", "success"), ("delete", "blocked")]


def on_a_terminal(command: list[str], *, cwd: Path, answer: str) -> tuple[str, int]:
    """Runs a program on a terminal of its own, and answers its question."""
    master, slave = pty.openpty()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, cwd=cwd, stdin=slave, stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    output, answered, deadline = b"", False, time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([master], [], [], 0.1)[0]:
            try:
                read = os.read(master, 4096)
            except OSError:
                break
            if not read:
                break
            output += read
        if not answered and b"Approve? [y/n]" in output:
            os.write(master, answer.encode() + b"\n")
            answered = True
    else:
        process.kill()
    status = process.wait(30)
    os.close(master)
    return output.decode().replace("\r\n", "\n"), status


async def test_three_lines(policy_file: Path) -> None:
    with isolated():
        executor = MyExecutor()
        # A person approves writes under this policy; here a test does.
        text = seed("three_lines").replace(
            "executor=your_executor", "executor=your_executor, approval_handler=AutoApprovalHandler()"
        )
        names = await run(text.replace("{...}", '{"name": "Ada"}'), {"your_executor": executor} | auto())
    assert names["results"].ok
    assert [action.type for action in executor.ran] == ["write"]
    await names["runtime"].close()


def auto() -> dict[str, Any]:
    from aegis.runtime.approval import AutoApprovalHandler

    return {"AutoApprovalHandler": AutoApprovalHandler}


async def test_langchain(policy_file: Path) -> None:
    from langchain_core.tools import tool

    @tool("search")
    def search(query: str) -> str:
        """Searches."""
        return f"found {query}"

    (policy_file / "policy.yaml").write_text(POLICY.replace("read*", "search*"))
    with isolated():
        names = await run(
            seed("langchain"), {"Runtime": Runtime, "Policy": Policy, "DuckDuckGoSearchRun": lambda: search}
        )
        assert await names["tool"].ainvoke({"query": "bees"}) == "found bees"
        await names["runtime"].close()


@pytest.mark.aegis_policy("rules: [{match: {type: write}, approval: auto}]")
async def test_openai_agents(aegis_sidecar: Sidecar) -> None:
    updated = []

    class Crm:
        async def update(self, **given: Any) -> str:
            updated.append(given)
            return "updated"

    names = await run(seed("openai_agents"), {"runtime": aegis_sidecar.runtime(), "crm": Crm()})
    from agents.tool_context import ToolContext

    arguments = json.dumps({"name": "Ada", "email": "ada@example.com"})
    context = ToolContext(None, tool_name="update_contact", tool_call_id="call_1", tool_arguments=arguments)
    assert await names["update_contact"].on_invoke_tool(context, arguments) == "updated"
    assert updated == [{"name": "Ada", "email": "ada@example.com"}]


async def test_anthropic(aegis_sidecar: Sidecar) -> None:
    from anthropic.types import Message

    executor = MyExecutor()
    response = Message.model_validate(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "stop_reason": "tool_use",
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
            "content": [{"type": "tool_use", "id": "toolu_1", "name": "read_page", "input": {"page": 1}}],
        }
    )
    names = await run(seed("anthropic"), {"runtime": aegis_sidecar.runtime(executor), "response": response})
    assert names["result"].ok
    assert [(action.type, action.target, action.params) for action in executor.ran] == [
        ("read_page", "my_system", {"page": 1})
    ]


async def test_httpx(policy_file: Path) -> None:
    with isolated():
        names = await run(seed("httpx"), {"Runtime": Runtime, "Policy": Policy, "Action": Action})
        plan = names["plan"]
        assert [action.type for action in plan.actions] == ["get", "delete"]
        assert [action.target for action in plan.actions] == [
            "https://api.example.com/users",
            "https://api.example.com/users/1",
        ]
        assert plan.has_blocked
        await names["runtime"].close()


async def test_custom_adapter(aegis_sidecar: Sidecar) -> None:
    class MyApi:
        async def call(self, kind: str, target: str, **params: Any) -> dict[str, Any]:
            return {"status": params["status"]}

    names = await run(seed("custom_adapter"), {"my_api": MyApi()})
    async with aegis_sidecar.runtime(names["MyAPIExecutor"]()) as runtime:
        assert (await runtime.run_one(Action("read", "crm", {"status": "ok"}))).ok
        failed = await runtime.run_one(Action("read", "crm", {"status": "no"}))
    assert failed.status is aegis.ResultStatus.FAILED
    assert failed.data == {"status": "no"}


# --- The cheatsheet ---


async def test_cheatsheet_api(policy_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with isolated():
        text = seed("cheatsheet_api").replace(
            "executor = MyExecutor (),", "executor = MyExecutor (), approval_handler = AutoApprovalHandler(),"
        )
        names = await run(text, {"MyExecutor": MyExecutor} | auto())
    assert names["result"].ok
    assert [result.status.value for result in names["results"]] == ["success", "success"]
    assert "risk=LOW, rule=read_safe" in capsys.readouterr().out


async def test_cheatsheet_adapters() -> None:
    names = await run(seed("cheatsheet_adapters").replace("[ ... ]", "[]"), {})
    assert issubclass(names["MyExecutor"], BaseExecutor)


async def test_cheatsheet_audit(policy_file: Path) -> None:
    names: dict[str, Any] = {"Runtime": Runtime, "executor": MyExecutor(), "policy": Policy.from_yaml("policy.yaml")}
    text = seed("cheatsheet_audit").replace("executor =... , policy =...", "executor = executor , policy = policy")
    # The database of the original is the daemon's record now, and it says so.
    with pytest.raises(aegis.AegisError, match=r"no database `my_audit\.db`.*runtime\.audit"):
        await run(text, dict(names))
    without = "\n".join(line for line in text.splitlines() if 'AuditLogger ( "my_audit.db" )' not in line)
    names = await run(without, names)
    assert type(names["audit"]).__name__ == "LoggingAuditLogger"
    assert isinstance(names["runtime"], Runtime)


async def test_cheatsheet_approval(policy_file: Path) -> None:
    names: dict[str, Any] = {"Runtime": Runtime, "executor": MyExecutor(), "policy": Policy.from_yaml("policy.yaml")}
    text = seed("cheatsheet_approval").replace("executor =... , policy =...", "executor = executor , policy = policy")
    runtime = (await run(text, names))["runtime"]
    # What the snippet ends with approves by itself: with the test kit's daemons only.
    with pytest.raises(aegis.AegisError, match="test kit"):
        await runtime.run_one(Action("write", "crm"))
    with isolated():
        runtime = (await run(text, names))["runtime"]
        assert (await runtime.run_one(Action("write", "crm"))).ok
        await runtime.close()


async def test_cheatsheet_reload(policy_file: Path) -> None:
    with isolated():
        runtime = Runtime(executor=MyExecutor(), policy=Policy.from_yaml("policy.yaml"))
        assert (await runtime.run_one(Action("read"))).ok
        await run(seed("cheatsheet_reload"), {"runtime": runtime, "Policy": Policy})
        assert (await runtime.run_one(Action("read"))).status is aegis.ResultStatus.BLOCKED
        await runtime.close()


async def test_cheatsheet_merge(policy_file: Path) -> None:
    names = {
        "Policy": Policy,
        "base_policy": Policy.from_yaml("base.yaml"),
        "override_policy": Policy.from_yaml("env-overrides.yaml"),
    }
    names = await run(seed("cheatsheet_merge"), names)
    for policy in (names["policy"], names["merged"]):
        # "overrides win"
        assert not policy.evaluate(Action("read", "crm")).is_allowed
        assert policy.evaluate(Action("other", "crm")).outcome == "ESCALATE"
    assert names["policy"].revision == names["merged"].revision


async def test_faq(policy_file: Path) -> None:
    (policy_file / "overrides.yaml").write_text((policy_file / "env-overrides.yaml").read_text())
    names = await run(seed("faq_merge"), {"Policy": Policy})
    with isolated():
        assert names["merged"].evaluate(Action("read_page", "crm")).outcome == "DENY"
        names = await run(seed("faq_policy_test"), {"Policy": Policy, "Action": Action, "Approval": aegis.Approval})
        names["test_delete_is_blocked"]()


async def test_cheatsheet_retry_and_hooks(policy_file: Path) -> None:
    alerts: list[str] = []
    names = {"Runtime": Runtime, "MyExecutor": MyExecutor, "policy": Policy.from_yaml("policy.yaml")}
    names |= {"executor": MyExecutor(), "alert": alerts.append}
    await run(seed("cheatsheet_retry"), names)
    text = seed("cheatsheet_hooks").replace("executor =... , policy =...", "executor = executor , policy = policy")
    # The page has a space within the f-string, which no Python takes.
    with isolated():
        runtime = (await run(text.replace('f "Blocked', 'f"Blocked'), names))["runtime"]
        assert (await runtime.run_one(Action("delete", "crm"))).status is aegis.ResultStatus.BLOCKED
        await runtime.close()
    assert alerts == ["Blocked: delete "]


# --- The platform's SDK ---

PLATFORM = """
version: "1"
rules:
  - {match: {type: database.query}, approval: auto, risk_level: low, constraints: {max_rows: 10}}
  - {match: {type: database.drop}, approval: block, risk_level: critical, reason: No dropping.}
  - {match: {type: ask*}, approval: approve}
  - {match: {type: confirm*}, approval: confirm}
"""


@pytest.mark.aegis_policy(PLATFORM)
async def test_platform_sync(aegis_sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEGIS_API_KEY", aegis_sidecar.token("platform"))
    setup = seed("platform_setup").replace("https://api.aegissystems.live", aegis_sidecar.endpoint)
    names = await run(setup + seed("platform_propose"), {})
    decision = names["decision"]
    assert decision.outcome == "ALLOW"
    assert (decision.risk_score, decision.constraints) == (0.2, {"max_rows": 10})
    assert decision.decision_id.startswith("dec_")
    assert decision.audit_ref.startswith("aud_")
    assert isinstance(decision.timestamp, str)
    row = aegis_sidecar.audit.get_log()[0]
    assert (row.identity.subject, row.actor.id, row.session_id) == ("token:platform", "agent-001", "sess_abc123")
    assert row.metadata == {"source": "customer-support-bot"}


@pytest.mark.aegis_policy(PLATFORM)
async def test_platform_decisions(aegis_sidecar: Sidecar, capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    names = {
        "execute_query": lambda decision: said.append("executed"),
        "notify_reviewer": lambda decision: said.append("notified"),
        "prompt_user": lambda decision: said.append("prompted") or True,
    }
    for kind in ("database.query", "database.drop", "ask", "confirm"):
        names["decision"] = aegis_sidecar.client().propose(action={"capability": kind, "parameters": {}})
        await run(seed("platform_decisions"), names)
    assert said == ["executed", "notified", "prompted"]
    assert capsys.readouterr().out == "Action denied: No dropping.\n"


@pytest.mark.aegis_policy(PLATFORM)
async def test_platform_async(aegis_sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEGIS_API_KEY", "")
    text = seed("platform_async").replace("https://api.aegissystems.live", aegis_sidecar.endpoint)
    names = await run(text, {"os": os})
    assert names["decision"].outcome == "ALLOW"
    await names["aegis"].close()


@pytest.mark.parametrize(
    ("propose", "said"),
    [
        ('action={"capability": "", "parameters": {}}', "Governance error: type: must not be empty"),
        (
            'action={"capability": "database.query", "parameters": {}}',
            "Transport error: http://127.0.0.1:1: UNAVAILABLE",
        ),
    ],
)
async def test_platform_errors(propose: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    client = aegis_sdk.AegisClient("http://127.0.0.1:1", "", retries=0)
    await run(seed("platform_errors").replace("propose(...)", f"propose({propose})"), {"aegis": client})
    assert said in capsys.readouterr().out


@pytest.mark.aegis_policy(PLATFORM)
async def test_platform_fastapi(aegis_sidecar: Sidecar) -> None:
    text = seed("platform_fastapi").replace("(...)", f'("{aegis_sidecar.endpoint}", "")')
    # At import, where no loop runs yet.
    names = await asyncio.to_thread(lambda: asyncio.run(run(text, {})))
    app = FastAPI()

    def governance(capability: str) -> Any:
        async def dependency() -> Any:
            return await names["require_governance"](capability, {"query": "SELECT 1"}, "agent-7")

        return dependency

    @app.get("/query")
    async def query(decision: Any = Depends(governance("database.query"))) -> dict[str, Any]:  # noqa: B008
        return {"max_rows": decision.constraints["max_rows"]}

    @app.get("/drop")
    async def drop(decision: Any = Depends(governance("database.drop"))) -> dict[str, Any]:  # noqa: B008
        raise AssertionError("it must not run")

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client:
        allowed, denied = await client.get("/query"), await client.get("/drop")
    assert (allowed.status_code, allowed.json()) == (200, {"max_rows": 10})
    assert (denied.status_code, denied.json()) == (403, {"detail": "No dropping."})
    await names["aegis"].close()


@pytest.mark.aegis_policy(PLATFORM)
async def test_platform_langchain(aegis_sidecar: Sidecar) -> None:
    text = seed("platform_langchain").replace("(...)", f'("{aegis_sidecar.endpoint}", "")')
    governed_tool = (await run(text, {}))["governed_tool"]
    ran = []
    assert governed_tool("database.query")(lambda **given: ran.append(given) or "rows")(query="SELECT 1") == "rows"
    with pytest.raises(PermissionError, match="Governance denied: No dropping"):
        governed_tool("database.drop")(lambda **given: ran.append(given))(table="users")
    assert ran == [{"query": "SELECT 1"}]


def test_both_packages_are_one() -> None:
    assert aegis_sdk.__all__ is aegis.__all__
    for name in aegis.__all__:
        assert getattr(aegis_sdk, name) is getattr(aegis, name)
