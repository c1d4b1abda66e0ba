from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from aegis import (
    Access,
    Action,
    ActionDenied,
    AegisClient,
    AegisError,
    Approval,
    ApprovalMode,
    Approvals,
    AuditRow,
    Decision,
    GovernanceError,
    InvalidActionError,
    Policy,
    ReportError,
    Result,
    ResultStatus,
    Retries,
    RiskLevel,
    Runtime,
    Secret,
    SidecarError,
    governed,
)
from aegis._sidecar import Daemon, find_binary
from aegis.adapters.base import BaseExecutor
from aegis.runtime.approval import (
    ApprovalHandler,
    CallbackApprovalHandler,
    CLIApprovalHandler,
    question,
    visible,
)
from aegis.runtime.audit_logging import LoggingAuditLogger
from aegis.testing import AutoApprovalHandler, Sidecar

from .proxy import LosingProxy

POLICY = """
version: "1"
defaults: { approval: approve, risk_level: medium }
rules:
  - { name: reads, match: { type: "read*" }, approval: auto, risk_level: low }
  - { name: no, match: { type: "delete*" }, approval: block, risk_level: critical }
  - { name: confirms, match: { type: "send*" }, approval: confirm }
  - { name: short, match: { type: "short*" }, approval: approve, timeout: 1s }
"""


class Executor(BaseExecutor):
    """Does what `work` says, and keeps a diary."""

    def __init__(self, work: Any = lambda action: None) -> None:
        self.work = work
        self.diary: list[str] = []

    async def setup(self) -> None:
        self.diary.append("setup")

    async def teardown(self) -> None:
        self.diary.append("teardown")

    async def execute(self, action: Action) -> Any:
        self.diary.append(action.type)
        value = self.work(action)
        return await value if asyncio.iscoroutine(value) else value


@pytest.fixture
def sidecar() -> Iterator[Sidecar]:
    with Sidecar(POLICY) as sidecar:
        yield sidecar


def statuses(sidecar: Sidecar) -> list[tuple[str, str | None]]:
    return [(row.action.type, row.result_status and row.result_status.value) for row in sidecar.audit.rows()]


# --- Plans ---


def test_a_plan(sidecar: Sidecar) -> None:
    runtime = sidecar.runtime(Executor())
    plan = runtime.plan([Action("read", "crm", description="Contacts"), {"type": "write"}, Action("delete", "crm")])
    assert plan.summary() == (
        "  1. [   AUTO] Action(read -> crm - Contacts)  (risk=LOW, rule=reads)\n"
        "  2. [APPROVE] Action(write -> )  (risk=MEDIUM, rule=<default>)\n"
        "  3. [  BLOCK] Action(delete -> crm)  (risk=CRITICAL, rule=no)"
    )
    assert (len(plan), plan.has_blocked, plan.requires_approval, plan.auto_only) == (3, True, True, False)
    assert [evaluation.matched_rule for evaluation in plan] == ["reads", "<default>", "no"]
    assert plan[0].action == Action("read", "crm", description="Contacts")
    assert [action.type for action in plan.filter(allowed_only=True).actions] == ["read", "write"]
    assert [action.type for action in plan.filter(approval=ApprovalMode.BLOCK).actions] == ["delete"]
    assert [action.type for action in plan.filter(risk_level="low").actions] == ["read"]
    assert plan[1:].filter(risk_level=RiskLevel.LOW).auto_only
    assert json.loads(json.dumps(plan.to_dict()))[2]["approval"] == "block"
    assert len(runtime.plan([])) == 0
    with pytest.raises(InvalidActionError) as wrong:
        runtime.plan([Action("read"), Action("write", params={"a": float("nan")})])
    assert wrong.value.path == "actions[1].params.a"
    assert statuses(sidecar) == []


async def test_a_plan_is_a_forecast_and_no_permission(sidecar: Sidecar) -> None:
    runtime = sidecar.runtime(Executor())
    plan = runtime.plan([Action("read")])
    assert plan.auto_only
    sidecar.set_policy("defaults: {approval: block}")
    (result,) = await runtime.execute(plan)
    assert result.status is ResultStatus.BLOCKED


async def test_a_dry_run(sidecar: Sidecar) -> None:
    executor = Executor()
    results = await sidecar.runtime(executor).execute([Action("read"), Action("w"), Action("delete")], dry_run=True)
    assert [result.data for result in results] == [
        {"dry_run": True, "would_execute": True},
        {"dry_run": True, "approval_required": True},
        None,
    ]
    assert results[2].status is ResultStatus.BLOCKED
    assert executor.diary == []


async def test_parallelism_is_bounded_and_results_keep_their_order(sidecar: Sidecar) -> None:
    running, most = 0, 0
    side_by_side = asyncio.Event()

    async def work(action: Action) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 3:
            side_by_side.set()
        # However slow the machine is: the first ones end together, later ones by turns.
        await asyncio.wait_for(side_by_side.wait(), 60)
        await asyncio.sleep(0.01 * (10 - action.params["i"]))
        running -= 1
        return action.params["i"]

    runtime = sidecar.runtime(Executor(work))
    results = await runtime.execute([Action("read", params={"i": i}) for i in range(9)], parallelism=3)
    assert [result.data for result in results] == list(range(9))
    assert most == 3
    with pytest.raises(ValueError, match="parallelism"):
        await runtime.execute([], parallelism=0)


async def test_a_failure_stops_parallel_plans_too(sidecar: Sidecar) -> None:
    def work(action: Action) -> Any:
        raise LookupError("gone")

    results = await sidecar.runtime(Executor(work)).execute([Action(f"read{i}") for i in range(6)], parallelism=2)
    kinds = [result.status for result in results]
    assert set(kinds[:2]) <= {ResultStatus.FAILED, ResultStatus.SKIPPED}
    assert kinds[2:] == [ResultStatus.SKIPPED] * 4
    assert results[5].error == "Skipped due to prior failure"
    assert sorted(status for _, status in statuses(sidecar)) == sorted(kind.value for kind in kinds)


# --- The executor's life ---


async def test_setup_and_teardown(sidecar: Sidecar) -> None:
    executor = Executor()
    async with sidecar.runtime(executor) as runtime:
        await runtime.run_one(Action("delete"))
        assert executor.diary == []
        await runtime.run_one(Action("read"))
        await runtime.execute([Action("read"), Action("read")], parallelism=2)
    assert executor.diary == ["setup", "read", "read", "read", "teardown"]
    executor.diary.clear()
    runtime = sidecar.runtime(executor)
    await runtime.execute([Action("read"), Action("read")])
    await runtime.run_one(Action("read"))
    assert executor.diary == ["setup", "read", "read", "teardown", "setup", "read", "teardown"]
    await runtime.close()
    with pytest.raises(AegisError, match="closed"):
        await runtime.run_one(Action("read"))
    assert executor.diary[-1] == "teardown"


async def test_a_setup_that_fails_is_a_failure_of_the_action(sidecar: Sidecar) -> None:
    class Broken(Executor):
        async def setup(self) -> None:
            raise RuntimeError("no browser")

    with pytest.raises(RuntimeError, match="no browser"):
        await sidecar.runtime(Broken()).run_one(Action("read"))
    assert statuses(sidecar) == [("read", "failed")]
    assert sidecar.audit.get_log()[0].result_error == "no browser"


async def test_an_executor_may_say_success_of_nothing_that_was_not_allowed(sidecar: Sidecar) -> None:
    def work(action: Action) -> Result:
        # Another action, and a status that only the daemon gives.
        return Result(Action("other"), ResultStatus.DENIED, data=1)

    result = await sidecar.runtime(Executor(work)).run_one(Action("read"))
    assert (result.action.type, result.status) == ("read", ResultStatus.FAILED)


async def test_a_cancelled_run_is_on_the_record(sidecar: Sidecar) -> None:
    started = asyncio.Event()

    async def work(action: Action) -> None:
        started.set()
        await asyncio.sleep(60)

    running = asyncio.create_task(sidecar.runtime(Executor(work)).run_one(Action("read")))
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    waiting = asyncio.create_task(sidecar.runtime(Executor()).run_one(Action("write")))
    while not sidecar.operator().list_approvals():
        await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert statuses(sidecar) == [("read", "failed"), ("write", "skipped")]
    assert sidecar.operator().list_approvals() == []


async def test_an_interrupt_while_it_is_proposed_leaves_nothing_to_approve(sidecar: Sidecar) -> None:
    for delay in (0.0, 0.001, 0.002, 0.004, 0.008):
        running = asyncio.create_task(sidecar.runtime(Executor()).run_one(Action("write", str(delay))))
        await asyncio.sleep(delay)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert {status for _, status in statuses(sidecar)} <= {"skipped"}
    assert sidecar.operator().list_approvals() == []


async def test_a_proposal_whose_answer_is_late_is_withdrawn(sidecar: Sidecar) -> None:
    proxy = LosingProxy(sidecar.endpoint.removeprefix("http://"))
    try:
        # As the daemon says that the deadline is past, which it may notice first.
        proxy.lose("Propose", grpc.StatusCode.CANCELLED, "Timeout expired")
        runtime = Runtime(executor=Executor(), client=AegisClient(proxy.endpoint, ""))
        with pytest.raises(AegisError) as late:
            await runtime.run_one(Action("write"))
        assert late.value.code == "DEADLINE_EXCEEDED"
        assert statuses(sidecar) == [("write", "skipped")]
        assert sidecar.operator().list_approvals() == []
    finally:
        proxy.close()


async def test_who_dies_between_allow_and_report_leaves_unknown() -> None:
    program = """
import os, sys
from aegis import AegisClient, governed
@governed("read", client=AegisClient(sys.argv[1], ""))
def die(): os._exit(9)
die()
"""
    with Sidecar(POLICY, arguments=["--unreported-after", "1s"]) as sidecar:
        import sys

        process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, sidecar.endpoint)
        assert await process.wait() == 9
        for _ in range(3000):
            if statuses(sidecar) == [("read", "unknown")]:
                break
            await asyncio.sleep(0.02)
        assert statuses(sidecar) == [("read", "unknown")]


async def test_a_report_that_fails_is_an_error_of_its_own(sidecar: Sidecar) -> None:
    async def work(action: Action) -> int:
        await asyncio.to_thread(sidecar.kill)
        return 42

    client = AegisClient(sidecar.endpoint, "", retries=0)
    runtime = Runtime(executor=Executor(work), client=client)
    with pytest.raises(ReportError) as lost:
        await runtime.execute([Action("read"), Action("read")])
    assert lost.value.result.data == 42
    assert lost.value.data == 42
    assert lost.value.code == "UNAVAILABLE"
    assert [result.data for result in lost.value.results] == [42]


@pytest.mark.parametrize("what", ["deep", "large", "strange"])
async def test_what_the_record_cannot_hold_does_not_cost_it_the_result(sidecar: Sidecar, what: str) -> None:
    value: Any = {"deep": 1, "large": ["x" * 1000] * 1000, "strange": {object(), 1}}[what]
    for _ in range(60 if what == "deep" else 0):
        value = [value]

    def work(action: Action) -> Result:
        return Result(action, ResultStatus.SUCCESS, data=value, error=LookupError("odd"), completed_at=0)  # type: ignore[arg-type]

    result = await sidecar.runtime(Executor(work)).run_one(Action("read"))
    assert result.data is value
    (row,) = sidecar.audit.get_log()
    assert (row.result_status, row.result_error) == (ResultStatus.SUCCESS, "odd")
    assert set(row.result_data) == {"not_recorded"}


# --- What was decided is what runs ---


async def test_what_changes_after_the_decision_does_not_count(sidecar: Sidecar) -> None:
    params = {"nested": {"count": 1}}
    seen: list[Any] = []

    def on_decision(action: Action, decision: Decision) -> None:
        params["nested"]["count"] = 2
        action.params["nested"]["count"] = 3
        decision.constraints["x"] = 1

    executor = Executor(lambda action: seen.append(action.params))
    await sidecar.runtime(executor, on_decision=on_decision).run_one(Action("read", params=params))
    assert seen == [{"nested": {"count": 1}}]
    assert sidecar.audit.get_log()[0].action.params == {"nested": {"count": 1}}

    @governed("read", client=sidecar.client(), on_decision=lambda decision: items.append("late"))
    def read(items: list[str]) -> list[str]:
        return list(items)

    items = ["first"]
    assert read(items) == ["first"]


async def test_secrets_reach_the_executor_alone(sidecar: Sidecar) -> None:
    def work(action: Action) -> Any:
        raise PermissionError(f"wrong password {action.params['password'].reveal()}")

    action = Action("read", params={"password": Secret("hunter2"), "deep": [{"a": Secret("hunter2")}]})
    runtime = sidecar.runtime(Executor(work))
    plan = runtime.plan([action])
    assert "hunter2" not in plan.summary() + json.dumps(plan.to_dict()) + repr(action)
    result = await runtime.run_one(action)
    assert result.error == "wrong password hunter2"
    row = sidecar.audit.get_log()[0]
    assert row.action.params["password"] == "[masked, 7 characters]"
    assert row.result_error == "wrong password [masked, 7 characters]"


async def test_hooks_of_every_kind(sidecar: Sidecar) -> None:
    told: list[Any] = []

    async def both(action: Action, decision: Decision) -> None:
        told.append(("decision", action.type, decision.outcome))

    def executed(result: Result) -> None:
        told.append(("execute", result.action.type, result.status.value))

    async with sidecar.runtime(
        Executor(),
        on_decision=both,
        on_approval=lambda decision: told.append(("approval", decision.action.type, decision.outcome)),
        on_execute=executed,
        approval_handler=AutoApprovalHandler(),
    ) as runtime:
        await runtime.execute([Action("read"), Action("delete"), Action("write")])
    assert told == [
        ("decision", "read", "ALLOW"),
        ("execute", "read", "success"),
        ("decision", "delete", "DENY"),
        ("decision", "write", "ESCALATE"),
        ("approval", "write", "ALLOW"),
        ("execute", "write", "success"),
    ]
    with pytest.raises(TypeError, match=r"on_decision takes \(decision\) or \(action, decision\)"):
        Runtime(client=AegisClient(), on_decision=lambda: None)


async def test_a_hook_that_raises_ends_the_plan_and_what_was_allowed_is_skipped(sidecar: Sidecar) -> None:
    def on_decision(decision: Decision) -> None:
        if decision.action is not None and decision.action.type == "read2":
            raise LookupError("hook")

    executor = Executor()
    with pytest.raises(LookupError, match="hook"):
        await sidecar.runtime(executor, on_decision=on_decision).execute([Action(f"read{i}") for i in (1, 2, 3)])
    assert "read2" not in executor.diary
    assert statuses(sidecar) == [("read1", "success"), ("read2", "skipped"), ("read3", "skipped")]


# --- Confirmation ---


@pytest.mark.parametrize(
    ("answer", "status"),
    [(True, "success"), (False, "denied"), ("yes", "denied"), (1, "denied"), (None, "denied")],
)
async def test_only_true_confirms(sidecar: Sidecar, answer: Any, status: str) -> None:
    async def confirm(action: Action, decision: Decision) -> Any:
        return answer

    executor = Executor()
    result = await sidecar.runtime(executor, approvals=Approvals(confirm=confirm)).run_one(Action("send", "list"))
    assert result.status.value == status
    assert ("send" in executor.diary) == (status == "success")
    assert statuses(sidecar)[-1] == ("send", "success" if answer is True else "skipped")


# --- Approval handlers ---


async def test_an_option_is_named_in_its_group_or_by_its_short_name(sidecar: Sidecar) -> None:
    tried: list[str] = []

    def work(action: Action) -> int:
        tried.append(action.type)
        raise ValueError("no")

    for options in ({"max_retries": 2, "retry_backoff": 0.0}, {"retries": Retries(2, backoff=0.0)}):
        tried.clear()
        assert not (
            await Runtime(executor=Executor(work), client=sidecar.client(), **options).run_one(Action("read"))
        ).ok
        assert tried == ["read"] * 3
    with pytest.raises(TypeError, match=r"`max_retries` is `Retries\.max_retries`: give it there, in `retries=`"):
        Runtime(client=sidecar.client(), max_retries=2, retries=Retries())
    with pytest.raises(TypeError, match="no option `max_retry`"):
        Runtime(client=sidecar.client(), max_retry=2)
    with pytest.raises(ValueError, match="max_retries must be 0 or more"):
        Runtime(client=sidecar.client(), max_retries=-1)


async def test_a_handler_needs_a_reviewer(sidecar: Sidecar) -> None:
    with pytest.raises(AegisError, match="no reviewer's credential"):
        Runtime(executor=Executor(), client=sidecar.client(), approval_handler=CLIApprovalHandler())


async def test_a_callback_decides_as_the_reviewer_that_it_was_given(sidecar: Sidecar) -> None:
    asked: list[Approval] = []

    def callback(approval: Approval) -> bool:
        asked.append(approval)
        return approval.action.params["amount"] < 10

    runtime = Runtime(
        executor=Executor(),
        client=sidecar.client(),
        access=Access(reviewer=AegisClient(sidecar.endpoint, sidecar.token("ada", "reviewer"))),
        approval_handler=CallbackApprovalHandler(callback),
    )
    allowed = await runtime.run_one(Action("pay", params={"amount": 5}))
    denied = await runtime.run_one(Action("pay", params={"amount": 50}))
    assert (allowed.status, denied.status) == (ResultStatus.SUCCESS, ResultStatus.DENIED)
    assert denied.error == "Denied: denied by token:ada"
    assert asked[0].risk_level is RiskLevel.MEDIUM
    assert [row.ending and row.ending.by.subject for row in sidecar.audit.rows()] == ["token:ada", "token:ada"]


async def test_a_proposer_cannot_review_itself(sidecar: Sidecar) -> None:
    token = sidecar.token("both", "agent", "reviewer")
    client = AegisClient(sidecar.endpoint, token)
    runtime = Runtime(
        executor=Executor(),
        client=client,
        access=Access(reviewer=client),
        approval_handler=CallbackApprovalHandler(lambda _: True),
    )
    with pytest.raises(GovernanceError) as own:
        await runtime.run_one(Action("pay"))
    assert own.value.reason == "OWN_PROPOSAL"
    assert statuses(sidecar) == [("pay", "skipped")]


@pytest.mark.parametrize("decides", ["another reviewer", "the clock"])
async def test_a_handler_is_not_the_only_one_who_decides(sidecar: Sidecar, decides: str) -> None:
    cancelled = asyncio.Event()

    class Slow(ApprovalHandler):
        async def request_approval(self, approval: Approval) -> bool | None:
            try:
                if decides == "another reviewer":
                    await asyncio.to_thread(sidecar.operator().deny, approval, reason="no")
                await asyncio.sleep(60)
            finally:
                cancelled.set()
            return True

    runtime = sidecar.runtime(Executor(), approval_handler=Slow())
    result = await runtime.run_one(Action("write" if decides == "another reviewer" else "short"))
    assert result.status is ResultStatus.DENIED
    assert cancelled.is_set()


async def test_a_handler_that_does_not_answer_leaves_it_to_others(sidecar: Sidecar) -> None:
    async def callback(approval: Approval) -> None:
        await asyncio.to_thread(sidecar.operator().approve, approval)

    runtime = sidecar.runtime(Executor(), approval_handler=CallbackApprovalHandler(callback))
    assert (await runtime.run_one(Action("write"))).ok


async def test_the_terminal_is_read_off_the_loop(sidecar: Sidecar) -> None:
    read, write = os.pipe()
    sink = io.StringIO()
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while "Approve?" not in sink.getvalue():
            await asyncio.sleep(0.005)
        for _ in range(5):
            ticks += 1
            await asyncio.sleep(0.005)
        os.write(write, b"perhaps\ny\n")

    with os.fdopen(read) as source:
        runtime = sidecar.runtime(Executor(), approval_handler=CLIApprovalHandler(source, sink))
        _, result = await asyncio.gather(
            tick(), runtime.run_one(Action("write", "crm", {"a": "\u202e"}, "please\x1b[2J"))
        )
    os.close(write)
    assert result.ok
    assert ticks == 5
    shown = sink.getvalue()
    assert shown.count("Approve? [y/n]") == 2
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "please\\u{1b}[2J" in shown
    assert visible("a\u200bb\n") == "a\\u{200b}b\\u{a}"
    assert callable(question)


async def test_the_end_of_the_input_is_no_answer(sidecar: Sidecar) -> None:
    handler = CLIApprovalHandler(io.StringIO(""), io.StringIO())
    result = await sidecar.runtime(Executor(), approval_handler=handler).run_one(Action("short"))
    assert str(result.error).startswith("Denied: expired")


async def test_auto_approval_is_for_the_test_kit(sidecar: Sidecar) -> None:
    runtime = Runtime(
        executor=Executor(),
        client=AegisClient(sidecar.endpoint, ""),
        access=Access(reviewer=AegisClient(sidecar.socket, "")),
        approval_handler=AutoApprovalHandler(),
    )
    with pytest.raises(AegisError, match="test kit's daemons only"):
        await runtime.run_one(Action("write"))
    assert statuses(sidecar) == []


# --- The policy ---


def test_policies(tmp_path: Path) -> None:
    base = Policy.from_text(POLICY, "base.yaml")
    strict = Policy.from_dict({"rules": [{"name": "reads", "match": {"type": "read*"}, "approval": "block"}]}, "env")
    merged = base.merge(strict)
    assert [layer.name for layer in merged.layers] == ["base.yaml", "env"]
    assert base.evaluate(Action("read")).outcome == "ALLOW"
    assert merged.evaluate(Action("read")).outcome == "DENY"
    assert base.evaluate(Action("read"), explain=True).trace[-1].rule == "reads"
    assert base.revision != merged.revision
    assert base == Policy.from_text(POLICY, "base.yaml")
    wrong = Policy.from_text("rules: [{match: {typ: x}}]", "mine.yaml")
    validation = wrong.validate()
    assert not validation.valid
    assert str(validation.errors[0]).startswith("mine.yaml:1:")
    with pytest.raises(SidecarError, match=r"mine\.yaml:1:"):
        wrong.evaluate(Action("read"))
    with pytest.raises(FileNotFoundError):
        Policy.from_yaml(tmp_path / "no.yaml")
    with pytest.raises(ValueError, match="at least one layer"):
        Policy.from_yaml_files()


async def test_a_client_and_a_policy_is_a_pin(sidecar: Sidecar) -> None:
    executor = Executor()
    runtime = sidecar.runtime(executor, policy=Policy.from_text(POLICY))
    assert (await runtime.run_one(Action("read"))).ok
    sidecar.set_policy(POLICY + "  - { name: more, approval: auto }\n")
    with pytest.raises(GovernanceError) as other:
        await runtime.run_one(Action("read"))
    assert other.value.reason == "POLICY_MISMATCH"
    with pytest.raises(GovernanceError):
        runtime.plan([Action("read")])
    assert executor.diary.count("read") == 1
    assert statuses(sidecar) == [("read", "success"), ("read", "skipped")]
    # An admin may put the named policy in force.
    runtime.update_policy(Policy.from_text("rules: [{approval: auto}]"))
    assert (await runtime.run_one(Action("delete"))).ok


async def test_an_agent_cannot_change_the_policy(sidecar: Sidecar) -> None:
    runtime = Runtime(executor=Executor(), client=sidecar.client())
    with pytest.raises(AegisError, match="no admin's credential"):
        runtime.update_policy(Policy.from_text(POLICY))
    with pytest.raises(AegisError, match="no auditor's credential"):
        _ = runtime.audit
    with pytest.raises(AegisError, match="one layer"):
        sidecar.runtime().update_policy(Policy.from_text(POLICY).merge(Policy.from_text(POLICY)))


async def test_a_sidecar_of_its_own(tmp_path: Path) -> None:
    policy = Policy.from_text(POLICY).merge(
        Policy.from_text('version: "1"\nrules: [{name: w, match: {type: w}, approval: auto}]')
    )
    async with Runtime(executor=Executor(), policy=policy, data_dir=tmp_path / "data") as runtime:
        assert (await runtime.run_one(Action("w"))).ok
        runtime.update_policy(Policy.from_text("rules: [{approval: block}]"))
        assert (await runtime.run_one(Action("w"))).status is ResultStatus.BLOCKED
        assert runtime.audit.count(session_id=runtime.session_id) == 2
        endpoint = runtime.endpoint
    with pytest.raises(AegisError):
        AegisClient(endpoint, "", retries=0).health()
    # The record outlives it.
    async with Runtime(executor=Executor(), policy=policy, data_dir=tmp_path / "data") as runtime:
        assert runtime.audit.count() == 2


async def test_where_a_daemon_is_already_it_is_used_under_the_same_policy_only(tmp_path: Path) -> None:
    policy = Policy.from_text(POLICY)
    daemon = Daemon(policy.layers, data_dir=tmp_path / "state" / "aegis")
    try:
        daemon.start()
        async with Runtime(executor=Executor(), policy=policy) as runtime:
            assert runtime.endpoint == daemon.endpoint
            assert (await runtime.run_one(Action("read"))).ok
            with pytest.raises(AegisError):
                runtime.update_policy(Policy.from_text("rules: []"))
        other = Runtime(executor=Executor(), policy=Policy.from_text("defaults: {approval: auto}"))
        with pytest.raises(SidecarError, match="another policy holds") as refused:
            await other.run_one(Action("read"))
        assert refused.value.reason == "POLICY_MISMATCH"
        with daemon.operator() as operator:
            assert operator.health() == "SERVING"
            assert len(list(operator.stream_audit())) == 1
    finally:
        daemon.close()


async def test_a_policy_that_is_wrong_starts_nothing(tmp_path: Path) -> None:
    runtime = Runtime(executor=Executor(), policy=Policy.from_text("rulez: []", "mine.yaml"))
    with pytest.raises(SidecarError, match=r"mine\.yaml.*unknown key"):
        await runtime.run_one(Action("read"))


# --- The record ---


async def test_the_record(sidecar: Sidecar, tmp_path: Path) -> None:
    runtime = sidecar.runtime(Executor(lambda action: {"rows": 3}), metadata={"team": "sales"}, actor="agent-7")
    await runtime.execute([Action("read", "crm"), Action("delete", "crm")])
    await sidecar.runtime(Executor()).run_one(Action("read", "shop"))
    audit = runtime.audit
    mine = audit.get_log(runtime.session_id)
    assert [row.decision for row in mine] == ["auto", "block"]
    assert (mine[0].metadata, mine[0].actor.id, mine[0].result_data) == ({"team": "sales"}, "agent-7", {"rows": 3})
    assert audit.count() == 3
    assert audit.count(action_type="read", action_target="shop", result_status=ResultStatus.SUCCESS) == 1
    assert audit.count(risk_level="CRITICAL", approval="block", matched_rule="no") == 1
    assert [row["action_target"] for row in json.loads(audit.to_json(limit=2))] == ["crm", "shop"]
    assert audit.export_jsonl(tmp_path / "out.jsonl", action_type="read") == 2
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(line)["result_status"] for line in lines] == ["success", "success"]
    assert isinstance(next(audit.rows()), AuditRow)
    assert {name: count for name, count in audit.stats().by_risk_level.items() if count} == {"LOW": 2, "CRITICAL": 1}


async def test_the_record_reads_as_the_command_line_writes_it(sidecar: Sidecar) -> None:
    runtime = sidecar.runtime(
        Executor(lambda action: [1, None]), approval_handler=AutoApprovalHandler(), metadata={"a": 1}
    )
    await runtime.execute([Action("write", "crm", {"b": [1.5]}, "please"), Action("read"), Action("delete")])
    command = [find_binary(), "audit", "--format", "json", "--oldest-first", "--data-dir", sidecar.data_dir]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True)
    written = json.loads(done.stdout)
    read = json.loads(runtime.audit.to_json())
    assert [list(row) for row in read] == [list(row) for row in written]
    for row in (*read, *written):
        for moment in [name for name in row if name == "timestamp" or name.endswith("_at")]:
            # The same moment, with or without zeros at its end.
            row[moment] = row[moment] and row[moment].rstrip("Z0").rstrip(".")
    assert read == written


async def test_logging_mirrors_at_the_seeds_levels(sidecar: Sidecar, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "aegis.audit")
    runtime = sidecar.runtime(Executor(), audit_logger=LoggingAuditLogger(), approval_handler=AutoApprovalHandler())
    await runtime.execute([Action("read", params={"a": "private"}), Action("write"), Action("delete")])
    lines = [
        (record.levelname, json.loads(record.getMessage())) for record in caplog.records if record.name == "aegis.audit"
    ]
    assert [(level, line["action_type"], line["result_status"]) for level, line in lines] == [
        ("DEBUG", "read", "success"),
        ("INFO", "write", "success"),
        ("ERROR", "delete", "blocked"),
    ]
    assert "private" not in caplog.text


# --- The wrapper ---


def test_arguments_become_params(sidecar: Sidecar) -> None:
    client = sidecar.client()

    class Crm:
        @governed("read", "crm", client=client, exclude=["session"], actor="agent-7", context={"session_id": "s"})
        def find(self, name: str, *tags: str, limit: int = 10, session: object = None, **more: Any) -> Any:
            """Finds contacts.

            In more words.
            """
            return name, tags, limit, session, more

    marker = object()
    assert Crm().find("Ada", "x", "y", session=marker, city="Bern") == ("Ada", ("x", "y"), 10, marker, {"city": "Bern"})
    row = sidecar.audit.get_log()[0]
    assert row.action == Action(
        "read", "crm", {"name": "Ada", "tags": ["x", "y"], "limit": 10, "city": "Bern"}, "Finds contacts."
    )
    assert (row.actor.id, row.session_id) == ("agent-7", "s")
    assert Crm.find.__name__ == "find"
    with pytest.raises(InvalidActionError) as refused:
        Crm().find(threading.Lock())  # type: ignore[arg-type]
    assert refused.value.path == "params.name"
    with pytest.raises(TypeError, match="no parameter `nobody`"):
        governed("read", exclude=["nobody"])(lambda somebody: somebody)


def test_params_can_be_said(sidecar: Sidecar) -> None:
    @governed("read", client=sidecar.client(), params=lambda lock, name: {"name": name}, record_data=False)
    def read(lock: Any, name: str) -> str:
        return name

    assert read(threading.Lock(), "Ada") == "Ada"
    row = sidecar.audit.get_log()[0]
    assert (row.action.params, row.result_data) == ({"name": "Ada"}, None)


async def test_a_no_is_raised_or_returned(sidecar: Sidecar) -> None:
    @governed("delete", client=sidecar.async_client())
    async def delete() -> None:
        raise AssertionError("it must not run")

    with pytest.raises(ActionDenied, match="Blocked by policy rule no") as denied:
        await delete()
    assert denied.value.result is not None
    assert denied.value.result.status is ResultStatus.BLOCKED

    @governed("delete", client=sidecar.client(), raise_on_deny=False)
    def quiet() -> Any:
        raise AssertionError("it must not run")

    assert quiet().status is ResultStatus.BLOCKED


def test_what_a_function_returns_or_raises_is_its_own(sidecar: Sidecar) -> None:
    given = Result(Action("mine"), ResultStatus.FAILED)

    @governed("read", client=sidecar.client())
    def read(fail: bool) -> Any:
        if fail:
            raise StopIteration("mine")
        return given

    assert read(False) is given
    with pytest.raises((StopIteration, RuntimeError), match=r"mine|StopIteration"):
        read(True)
    assert statuses(sidecar) == [("read", "success"), ("read", "failed")]


def test_a_sync_function_refuses_async_callbacks(sidecar: Sidecar) -> None:
    async def hook(decision: Decision) -> None: ...

    with pytest.raises(TypeError, match="on_decision is async"):
        governed("read", on_decision=hook)(lambda: None)


def test_a_generator_is_proposed_when_it_begins_and_reported_when_it_ends(sidecar: Sidecar) -> None:
    @governed("read", client=sidecar.client())
    def rows(count: int) -> Iterator[int]:
        assert statuses(sidecar) == [("read", None)]
        yield from range(count)
        return "done"

    generator = rows(3)
    assert statuses(sidecar) == []
    assert list(generator) == [0, 1, 2]
    (row,) = sidecar.audit.get_log()
    assert (row.result_status, row.result_data) == (ResultStatus.SUCCESS, {"streamed": 3, "items": [0, 1, 2]})
    assert row.action.params == {"count": 3}


async def test_async_generators_and_what_returns_one_are_governed(sidecar: Sidecar) -> None:
    ran: list[str] = []

    @governed("read", client=sidecar.client())
    async def rows(count: int) -> AsyncIterator[int]:
        ran.append("rows")
        for number in range(count):
            yield number
        raise LookupError("no more")

    stream = rows(2)
    assert [await anext(stream), await anext(stream)] == [0, 1]
    with pytest.raises(LookupError):
        await anext(stream)

    @governed("read", client=sidecar.client())
    async def made() -> AsyncIterator[int]:
        return rows.__wrapped__(1)

    stream = await made()
    assert await anext(stream) == 0
    await stream.aclose()
    data = [(row.result_status, row.result_data) for row in sidecar.audit.rows()]
    assert data == [
        (ResultStatus.FAILED, {"streamed": 2, "items": [0, 1]}),
        (ResultStatus.SUCCESS, {"streamed": 1, "items": [0], "closed_early": True}),
    ]

    @governed("delete", client=sidecar.client())
    async def blocked() -> AsyncIterator[int]:
        ran.append("blocked")
        yield 1

    with pytest.raises(ActionDenied):
        await anext(blocked())
    assert ran == ["rows", "rows"]


def test_a_generator_is_sent_and_thrown_to(sidecar: Sidecar) -> None:
    @governed("read", client=sidecar.client())
    def echo() -> Any:
        got = yield "first"
        try:
            yield got
        except KeyError:
            yield "caught"
        return "end"

    generator = echo()
    assert next(generator) == "first"
    assert generator.send("hello") == "hello"
    assert generator.throw(KeyError("x")) == "caught"
    with pytest.raises(StopIteration) as end:
        next(generator)
    assert end.value.value == "end"


def test_a_generator_has_no_place_for_a_result() -> None:
    with pytest.raises(TypeError, match="cannot return a Result"):

        @governed("read", raise_on_deny=False)
        def rows() -> Iterator[int]:
            yield 1


async def test_a_runtime_streams(sidecar: Sidecar) -> None:
    async def letters(action: Action) -> AsyncIterator[str]:
        for letter in action.params["text"]:
            yield letter

    runtime = sidecar.runtime()
    assert [item async for item in runtime.stream(Action("read", params={"text": "abc"}), letters)] == ["a", "b", "c"]
    # What nobody iterates would be a success that has not run.
    failed = await runtime.call(Action("read", params={"text": "abc"}), letters)
    assert "use `Runtime.stream`" in str(failed.error)
    with pytest.raises(ActionDenied):
        await anext(runtime.stream(Action("delete"), letters))
    assert statuses(sidecar) == [("read", "success"), ("read", "failed"), ("delete", "blocked")]


def test_governed_works_above_and_below_a_method_decorator(sidecar: Sidecar) -> None:
    class Crm:
        @governed("read", client=sidecar.client())
        @classmethod
        def above(cls, name: str) -> str:
            return f"{cls.__name__} {name}"

        @staticmethod
        @governed("read", client=sidecar.client())
        def below(name: str) -> str:
            return name

    assert (Crm.above("a"), Crm().below("b")) == ("Crm a", "b")
    assert [row.action.params for row in sidecar.audit.rows()] == [{"name": "a"}, {"name": "b"}]


def test_a_name_that_is_given_twice_is_refused(sidecar: Sidecar) -> None:
    @governed("read", client=sidecar.client())
    def read(name: str, /, **others: str) -> str:
        return name

    with pytest.raises(InvalidActionError, match=r"params\.name: is given by position"):
        read("secret", name="public")
    assert statuses(sidecar) == []


async def test_an_error_whose_text_is_a_name_alone_is_recorded_with_its_type(sidecar: Sidecar) -> None:
    result = await sidecar.runtime(Executor(lambda action: {}["name"])).run_one(Action("read"))
    assert result.error == "KeyError: 'name'"


def test_what_params_says_is_asked_again_before_it_runs(sidecar: Sidecar) -> None:
    order = {"items": ["book"]}

    def change(decision: Decision) -> None:
        order["items"].append("car")

    @governed("read", client=sidecar.client(), params=lambda order: {"items": len(order["items"])}, on_decision=change)
    def buy(order: dict[str, list[str]]) -> int:
        return len(order["items"])

    with pytest.raises(GovernanceError, match=r"params\.items is not any more what was proposed") as changed:
        buy(order)
    assert changed.value.reason == "ACTION_CHANGED"
    assert statuses(sidecar) == [("read", "skipped")]


def test_an_interrupt_is_reported_and_goes_on(sidecar: Sidecar) -> None:
    @governed("read", client=sidecar.client())
    def read() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read()
    assert statuses(sidecar) == [("read", "failed")]


async def test_the_shared_client_is_made_of_the_environment(sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch) -> None:
    import aegis._governed

    monkeypatch.setattr(aegis._governed, "_shared", None)
    monkeypatch.setenv("AEGIS_ENDPOINT", sidecar.endpoint)

    @governed("read")
    async def read() -> int:
        return 1

    assert await read() == 1
    async with Runtime(executor=Executor()) as runtime:
        assert (await runtime.run_one(Action("read"))).ok
    assert await read() == 1
    assert aegis._governed._shared is not None
    aegis._governed._shared.close()


def test_sync_calls_of_an_async_runtime(sidecar: Sidecar) -> None:
    runtime = sidecar.runtime(Executor(lambda action: 1))
    assert runtime.run_one_sync(Action("read")).data == 1
    assert runtime.call_sync(Action("read"), lambda action: action.type).data == "read"

    async def inside() -> Any:
        return runtime.call_sync(Action("read"), lambda action: 2).data

    assert asyncio.run(inside()) == 2


async def test_a_lost_answer_does_not_run_twice(sidecar: Sidecar) -> None:
    proxy = LosingProxy(sidecar.endpoint.removeprefix("http://"))
    try:
        executor = Executor()
        runtime = Runtime(executor=executor, client=AegisClient(proxy.endpoint, "", retry_delay=0.01))
        proxy.lose("Propose")
        proxy.lose("ReportResult")
        assert (await runtime.run_one(Action("read"))).ok
        assert executor.diary == ["setup", "read", "teardown"]
        assert statuses(sidecar) == [("read", "success")]
    finally:
        proxy.close()
