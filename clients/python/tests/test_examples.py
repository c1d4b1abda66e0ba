"""Runs the examples, and what README.md shows."""

from __future__ import annotations

import asyncio
import os
import re
import runpy
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from aegis.testing import Sidecar

HERE = Path(__file__).resolve().parents[1]
README = (HERE / "README.md").read_text()


def start(name: str, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    command = [sys.executable, HERE / "examples" / name, *arguments]
    environment = os.environ | variables
    return subprocess.Popen(
        command, env=environment, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def run(name: str, *arguments: str, **variables: str) -> tuple[int, str]:
    process = start(name, *arguments, **variables)
    output, _ = process.communicate(timeout=60)
    return process.returncode, output


def test_every_example_is_run_here() -> None:
    text = Path(__file__).read_text()
    for example in (HERE / "examples").glob("*.py"):
        assert f'"{example.name}"' in text


def test_governed(aegis_sidecar: Sidecar) -> None:
    status, output = run("governed.py", AEGIS_ENDPOINT=aegis_sidecar.endpoint)
    assert (status, output.splitlines()[0]) == (0, "['Ada in Bern', 'Grace in Bern', 'Barbara in Bern']")
    assert "Blocked by policy rule delete_block" in output


def test_plan() -> None:
    status, output = run("plan.py")
    assert status == 0, output
    assert "[BLOCK] delete_contact -> crm: Blocked by policy rule no_deletes: A person's job." in output
    assert output.splitlines()[-3:] == [
        "1 read_contacts LOW auto success",
        "2 delete_contact CRITICAL block blocked",
        "3 read_invoices LOW auto success",
    ]


def test_propose_and_review(aegis_sidecar: Sidecar) -> None:
    token = aegis_sidecar.token("robot", "reviewer")
    reviewer = start("reviewer.py", "30", AEGIS_ENDPOINT=aegis_sidecar.endpoint, AEGIS_TOKEN=token)
    try:
        assert run("propose.py", "1", AEGIS_ENDPOINT=aegis_sidecar.endpoint) == (
            0,
            "ALLOW: rule `read_auto` allows this action\n",
        )
        status, output = run("propose.py", "150", AEGIS_ENDPOINT=aegis_sidecar.endpoint)
        assert status == 0, output
        assert "ALLOW: approved by token:robot: small enough" in output
        status, output = run("propose.py", "1000", AEGIS_ENDPOINT=aegis_sidecar.endpoint)
        assert status == 3, output
        assert "DENY: denied by token:robot: too many at once" in output
    finally:
        reviewer.terminate()
        reviewer.communicate(timeout=60)
    status, output = run("propose.py", AEGIS_ENDPOINT="http://127.0.0.1:1")
    assert (status, "no answer" in output) == (1, True)


WEB = """
version: "1"
rules:
  - { match: { type: write }, conditions: { param_gt: { amount: 1000 } }, approval: block }
  - { match: { type: write }, conditions: { param_gt: { amount: 100 } }, approval: approve }
  - { match: { type: write }, approval: auto }
"""


@pytest.mark.aegis_policy(WEB)
async def test_web(aegis_sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEGIS_ENDPOINT", aegis_sidecar.endpoint)
    app = runpy.run_path(str(HERE / "examples" / "web.py"))["app"]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client:
        allowed = await client.post("/refunds/7?amount=50")
        assert (allowed.status_code, allowed.json()) == (200, {"refunded": "7"})
        blocked = await client.post("/refunds/7?amount=5000")
        assert blocked.status_code == 403
        assert "Blocked by policy rule rule_0" in blocked.json()["detail"]

    # A client that leaves while a reviewer thinks.
    operator = aegis_sidecar.operator()
    left = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        pass

    scope = {"type": "http", "method": "POST", "path": "/refunds/8", "query_string": b"amount=500", "headers": []}
    handled = asyncio.ensure_future(app(scope, receive, send))
    while not (pending := await asyncio.to_thread(operator.list_approvals)):
        await asyncio.sleep(0.02)
    left.set()
    await handled
    ending = (await asyncio.to_thread(operator.get_approval, pending[0].approval_id)).ending
    assert ending is not None
    assert ending.kind == "cancelled"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_what_the_readme_shows_runs(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block as a program of its own, beside a daemon and with the names that the text leaves open."""
    (tmp_path / "policy.yaml").write_text(README_POLICY)
    (tmp_path / "production.yaml").write_text('version: "1"\ndefaults: {approval: block}\n')
    block = blocks("python")[number]
    with Sidecar(README_POLICY) as sidecar:
        reviewer = sidecar.token("ada", "reviewer", "auditor")
        if block.startswith("def test") or "import pytest" in block:
            (tmp_path / "test_block.py").write_text(block)
            command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_block.py"]
        else:
            (tmp_path / "block.py").write_text(README_NAMES + block)
            command = [sys.executable, "block.py"]
        environment = os.environ | {
            "AEGIS_ENDPOINT": sidecar.endpoint,
            "REVIEWER_TOKEN": reviewer,
            "XDG_STATE_HOME": str(tmp_path / "state"),
        }
        began = time.monotonic()
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}\n{time.monotonic() - began:.1f} s"


README_POLICY = """
version: "1"
rules:
  - { match: { type: "delete*" }, approval: block, risk_level: critical }
  - { match: { type: "short*" }, approval: approve, timeout: 1s }
  - { approval: auto, risk_level: low }
"""
README_NAMES = """
import asyncio
from aegis import *
from aegis.adapters.base import BaseExecutor
class Crm:
    def update(self, *args, **kwargs): return {"updated": 1}
crm = Crm()
class MyExecutor(BaseExecutor):
    async def execute(self, action): return dict(action.params)
"""
