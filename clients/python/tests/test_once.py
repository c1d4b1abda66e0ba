"""One run per ALLOW, and a decision that belongs to the action that was sent."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
import yaml
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from aegis import (
    Action,
    ActionDenied,
    AegisClient,
    AegisError,
    AlreadyClaimed,
    AlreadyReported,
    Approval,
    ApprovalMode,
    AsyncAegisClient,
    GovernanceError,
    InvalidActionError,
    ResultStatus,
    Runtime,
    governed,
)
from aegis._digest import action_digest
from aegis._operations import agent
from aegis._proto import governance_pb2, governance_pb2_grpc, types_pb2
from aegis.adapters.base import BaseExecutor
from aegis.testing import Sidecar

from .conftest import REPOSITORY
from .proxy import LosingProxy

POLICY = """
version: "1"
defaults: { approval: approve, risk_level: medium }
rules:
  - { name: reads, match: { type: "read*" }, approval: auto, risk_level: low }
  - { name: confirms, match: { type: "send*" }, approval: confirm }
  - { name: no, match: { type: "delete*" }, approval: block, risk_level: critical }
"""
KEY = "invoice-2026-000017"


@pytest.fixture(scope="module")
def sidecar() -> Iterator[Sidecar]:
    with Sidecar(POLICY) as sidecar:
        yield sidecar


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    return f"{KEY}-{request.node.name}"


def statuses(sidecar: Sidecar, kind: str) -> list[str | None]:
    return [row.to_dict()["result_status"] for row in sidecar.audit.get_log() if row.action.type == kind]


# --- One key, one run ---


def test_a_second_call_with_the_key_returns_the_recorded_result(sidecar: Sidecar, key: str) -> None:
    ran = []

    @governed("read_twice", client=sidecar.client(), idempotency_key=lambda invoice: f"{key}-{invoice}")
    def pay(invoice: int) -> dict[str, Any]:
        ran.append(invoice)
        return {"paid": invoice, "tags": ("a", "b")}

    assert pay(1) == {"paid": 1, "tags": ("a", "b")}
    assert pay(1) == {"paid": 1, "tags": ["a", "b"]}
    assert pay(2)["paid"] == 2
    assert ran == [1, 2]


async def test_a_second_call_with_the_key_of_a_failure_raises_what_is_recorded(sidecar: Sidecar, key: str) -> None:
    ran = []

    @governed("read_fails", client=sidecar.async_client(), idempotency_key=key)
    async def pay() -> None:
        ran.append(1)
        raise ValueError("no money")

    with pytest.raises(ValueError, match="no money"):
        await pay()
    with pytest.raises(AlreadyReported, match="was reported already as failed: no money") as refused:
        await pay()
    assert refused.value.reason == refused.value.decision.code == "ALREADY_REPORTED"
    assert isinstance(refused.value, ActionDenied)
    assert refused.value.result is not None
    assert (refused.value.result.status, refused.value.result.error) == (ResultStatus.FAILED, "no money")
    assert ran == [1]


async def test_of_calls_at_once_with_one_key_one_runs(sidecar: Sidecar, key: str) -> None:
    running, go_on, ran = asyncio.Event(), asyncio.Event(), []

    @governed("read_at_once", client=sidecar.async_client(), idempotency_key=key)
    async def pay() -> str:
        ran.append(1)
        running.set()
        await go_on.wait()
        return "paid"

    first = asyncio.ensure_future(pay())
    await running.wait()
    with pytest.raises(AlreadyClaimed) as refused:
        await pay()
    assert isinstance(refused.value, GovernanceError)
    assert refused.value.reason == "ALREADY_CLAIMED"
    assert refused.value.decision.replayed
    go_on.set()
    # What was refused did not report the other call's action, and did not withdraw it.
    assert await first == "paid"
    assert await pay() == "paid"
    assert ran == [1]
    assert await asyncio.to_thread(statuses, sidecar, "read_at_once") == ["success"]


async def test_a_question_that_another_call_asked_is_left_to_it(sidecar: Sidecar, key: str) -> None:
    ran = []

    @governed("write_asked", client=sidecar.async_client(), idempotency_key=key)
    async def pay() -> str:
        ran.append(1)
        return "paid"

    operator = sidecar.async_operator()
    first = asyncio.ensure_future(pay())
    async for event in operator.stream_approvals():
        if event.approval is not None and event.approval.action.type == "write_asked":
            break
    with pytest.raises(AlreadyClaimed):
        await pay()
    assert event.approval is not None
    await operator.approve(event.approval)
    assert await first == "paid"
    assert ran == [1]


async def test_the_sdks_own_retry_runs(sidecar: Sidecar, key: str) -> None:
    ran = []
    proxy = LosingProxy(sidecar.endpoint.removeprefix("http://"))
    try:
        client = AsyncAegisClient(proxy.endpoint, "", retry_delay=0.01)
        proxy.lose("Propose")

        @governed("read_lost", client=client, idempotency_key=key)
        async def pay() -> str:
            ran.append(1)
            return "paid"

        assert await pay() == "paid"
        assert ran == [1]
        # Without its own retry, the same answer is another call's.
        proxy.lose("Propose")
        hasty = AsyncAegisClient(proxy.endpoint, "", retries=0)
        act = governed("read_lost_too", client=hasty, idempotency_key=key + "-too")(pay.__wrapped__)  # type: ignore[attr-defined]
        with pytest.raises(AegisError, match="UNAVAILABLE"):
            await act()
        with pytest.raises(AlreadyClaimed):
            await act()
        assert ran == [1]
    finally:
        proxy.close()


async def test_an_interrupted_call_withdraws_nothing_that_may_be_another_calls(sidecar: Sidecar, key: str) -> None:
    client = sidecar.client()
    other = client.propose(action=Action("read_cancelled"), idempotency_key=key)
    proxy = LosingProxy(sidecar.endpoint.removeprefix("http://"))
    try:
        proxy.lose("Propose", grpc.StatusCode.DEADLINE_EXCEEDED, "too late")
        act = governed("read_cancelled", client=AsyncAegisClient(proxy.endpoint, ""), idempotency_key=key)
        with pytest.raises(AegisError, match="too late"):
            await never_runs(act)()
    finally:
        proxy.close()
    stands = client.wait(other, 0)
    assert (stands.outcome, stands.code, stands.result) == ("ALLOW", "POLICY", None)


def never_runs(decorate: Any) -> Callable[[], Any]:
    async def never() -> None:
        raise AssertionError("it ran")

    wrapped: Callable[[], Any] = decorate(never)
    return wrapped


def test_a_confirmed_action_runs_once(sidecar: Sidecar, key: str) -> None:
    ran = []

    @governed("send", client=sidecar.client(), idempotency_key=key, confirm=lambda *_: True)
    def send() -> str:
        ran.append(1)
        return "sent"

    assert send() == "sent"
    # Where the daemon does not find the confirmed proposal by its key, that is an error and no run.
    again: Any = None
    try:
        again = send()
    except GovernanceError as error:
        again = error.reason
    assert again == "sent"
    assert ran == [1]


def test_a_denied_key_stays_denied(sidecar: Sidecar, key: str) -> None:
    @governed("delete", client=sidecar.client(), idempotency_key=key)
    def delete() -> None:
        raise AssertionError("it ran")

    for _ in range(2):
        with pytest.raises(ActionDenied, match="Blocked by policy rule no") as refused:
            delete()
        assert refused.value.reason == "DENY"


def test_a_stream_is_given_again_from_the_record(sidecar: Sidecar, key: str) -> None:
    ran = []

    @governed("read_stream", client=sidecar.client(), idempotency_key=lambda count: f"{key}-{count}")
    def numbers(count: int) -> Iterator[int]:
        ran.append(count)
        yield from range(count)

    assert list(numbers(3)) == [0, 1, 2]
    assert list(numbers(3)) == [0, 1, 2]
    assert len(list(numbers(101))) == 101
    with pytest.raises(GovernanceError, match="the record has not all") as refused:
        list(numbers(101))
    assert refused.value.reason == "ALREADY_REPORTED"
    assert ran == [3, 101]


async def test_an_async_stream_is_given_again_from_the_record(sidecar: Sidecar, key: str) -> None:
    ran = []

    @governed("read_async_stream", client=sidecar.async_client(), idempotency_key=key)
    async def numbers() -> Any:
        ran.append(1)
        yield 1
        yield 2

    assert [item async for item in numbers()] == [1, 2]
    assert [item async for item in numbers()] == [1, 2]

    async with Runtime(client=sidecar.async_client()) as runtime:
        for _ in range(2):
            stream = runtime.stream(Action("read_runtime_stream"), items_of(ran), idempotency_key=key + "-runtime")
            assert [item async for item in stream] == [3]
    assert ran == [1, 2]


def items_of(ran: list[int]) -> Callable[[Action], Any]:
    async def items(_: Action) -> Any:
        ran.append(2)
        yield 3

    return items


@pytest.mark.parametrize("wrong", ["", lambda: "", lambda: None])
def test_a_key_that_is_missing_by_mistake_is_refused(sidecar: Sidecar, wrong: Any) -> None:
    with pytest.raises(InvalidActionError, match="idempotency_key"):
        governed("read", client=sidecar.client(), idempotency_key=wrong)(lambda: None)()
    if isinstance(wrong, str):
        with pytest.raises(InvalidActionError, match="idempotency_key"):
            sidecar.client().propose(action=Action("read"), idempotency_key=wrong)


def test_proposing_gives_the_decision_as_it_is(sidecar: Sidecar, key: str) -> None:
    client, action = sidecar.client(), Action("read_proposed")
    first = client.propose(action=action, idempotency_key=key)
    assert (first.outcome, first.code, first.replayed, first.result) == ("ALLOW", "POLICY", False, None)
    again = client.propose(action=action, idempotency_key=key)
    assert (again.outcome, again.replayed, again.decision_id) == ("ALLOW", True, first.decision_id)
    client.report(first, "success", data={"rows": 3})
    for reported in (client.propose(action=action, idempotency_key=key), client.wait(first, 0)):
        assert (reported.outcome, reported.code) == ("DENY", "ALREADY_REPORTED")
        assert reported.result is not None
        assert (reported.result.status, reported.result.data) == (ResultStatus.SUCCESS, {"rows": 3})


# --- Plans ---


class Executor(BaseExecutor):
    def __init__(self) -> None:
        self.ran: list[str] = []

    async def execute(self, action: Action) -> Any:
        self.ran.append(action.type)
        if action.type == "read_broken":
            raise ValueError("broken")
        return {"did": action.type}


async def test_a_plan_with_a_key_runs_once(sidecar: Sidecar, key: str) -> None:
    executor = Executor()
    plan = [Action("read_plan_a"), Action("read_broken"), Action("read_plan_c")]
    async with Runtime(executor=executor, client=sidecar.async_client(), session_id="plan") as runtime:
        first = await runtime.execute(plan, idempotency_key=key)
        again = await runtime.execute(plan, idempotency_key=key)
        other = await runtime.execute(plan, idempotency_key=key + "-other")
    wanted = [ResultStatus.SUCCESS, ResultStatus.FAILED, ResultStatus.SKIPPED]
    assert [[result.status for result in results] for results in (first, again, other)] == [wanted] * 3
    assert again[0].data == {"did": "read_plan_a"}
    assert again[1].error == "broken"
    assert executor.ran == ["read_plan_a", "read_broken"] * 2


async def test_a_runtime_runs_what_a_key_names_once(sidecar: Sidecar, key: str) -> None:
    executor = Executor()
    calls: list[str] = []

    def function(action: Action) -> int:
        calls.append(action.type)
        return len(calls)

    async with Runtime(executor=executor, client=sidecar.async_client()) as runtime:
        for _ in range(2):
            assert (await runtime.run_one(Action("read_one"), idempotency_key=key)).ok
            called = await runtime.call(Action("read_call"), function, idempotency_key=key + "-call")
            assert (called.ok, called.data) == (True, 1)
            assert runtime.run_one_sync(Action("read_one"), idempotency_key=key).ok
            assert runtime.call_sync(Action("read_call"), function, idempotency_key=key + "-call").data == 1
    assert (executor.ran, calls) == (["read_one"], ["read_call"])


# --- A decision belongs to the action that was sent ---


def request_of(row: dict[str, Any]) -> governance_pb2.ProposeRequest:
    _, request = agent.proposal(
        row["action"],
        actor=row.get("actor", ""),
        context={"session_id": row.get("session", "")},
        idempotency_key=None,
        confirmation_token=None,
    )
    return request


DIGESTS = yaml.safe_load((REPOSITORY / "tests/sdk/digests.yaml").read_text(encoding="utf-8"))


class Fake(governance_pb2_grpc.GovernanceServiceServicer):
    """Answers every proposal with what `change` makes of a right answer; refuses the first ones as it was told."""

    SALT = "00112233445566778899aabbccddeeff"

    def __init__(self, change: Callable[[types_pb2.Decision], Any] = lambda decision: None) -> None:
        self._change = change
        self.refusals: list[tuple[grpc.StatusCode, str, float | None]] = []
        self.proposed = 0
        self._server = grpc.server(futures.ThreadPoolExecutor(2))
        governance_pb2_grpc.add_GovernanceServiceServicer_to_server(self, self._server)
        self.endpoint = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def Propose(self, request: Any, context: Any) -> Any:
        self.proposed += 1
        if self.refusals:
            refuse(context, *self.refusals.pop(0))
        decision = types_pb2.Decision(
            decision_id="dec_1",
            outcome=types_pb2.OUTCOME_ALLOW,
            action_digest=action_digest(request, self.SALT),
            action_digest_salt=self.SALT,
        )
        self._change(decision)
        return governance_pb2.ProposeResponse(decision=decision)

    def ReportResult(self, request: Any, context: Any) -> Any:
        return governance_pb2.ReportResultResponse()

    def close(self) -> None:
        self._server.stop(None)


def refuse(context: Any, code: grpc.StatusCode, reason: str, retry_after: float | None) -> None:
    details = [error_details_pb2.ErrorInfo(domain="aegis.v1", reason=reason)]
    if retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(int(retry_after * 1e9))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    status = status_pb2.Status(code=code.value[0], message=reason)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(code, reason)


@pytest.fixture
def fakes() -> Iterator[Callable[..., Fake]]:
    made: list[Fake] = []

    def make(change: Callable[[types_pb2.Decision], Any] = lambda decision: None) -> Fake:
        made.append(Fake(change))
        return made[-1]

    yield make
    for fake in made:
        fake.close()


def setting(**fields: Any) -> Callable[[types_pb2.Decision], None]:
    def change(decision: types_pb2.Decision) -> None:
        for name, value in fields.items():
            setattr(decision, name, value)

    return change


REPORTED = {"outcome": types_pb2.OUTCOME_DENY, "code": types_pb2.DECISION_CODE_ALREADY_REPORTED}


def as_reported(decision: types_pb2.Decision) -> None:
    setting(**REPORTED)(decision)
    decision.result.status = types_pb2.RESULT_STATUS_SUCCESS
    decision.result.data.string_value = "stolen"


def as_reported_for_another(decision: types_pb2.Decision) -> None:
    as_reported(decision)
    decision.action_digest = "0" * 64


def as_reported_without_salt(decision: types_pb2.Decision) -> None:
    as_reported(decision)
    decision.action_digest_salt = ""


@pytest.mark.parametrize("row", DIGESTS["digests"], ids=lambda row: row["name"])
def test_an_action_runs_on_its_own_digest_alone(fakes: Callable[..., Fake], row: dict[str, Any]) -> None:
    assert set(DIGESTS) == {"version", "digests", "answers"}
    assert set(row) == {"name", "action", "params", "actor", "session", "salt", "digest"}
    change = setting(action_digest=row["digest"], action_digest_salt=row["salt"])
    client, ran = AegisClient(fakes(change).endpoint, ""), []
    params = json.loads(row["params"])

    def call(actor: str, session: str, description: str) -> None:
        governed(
            row["action"]["type"],
            row["action"]["target"],
            client=client,
            actor=actor,
            context={"session_id": session},
            description=description,
            params=lambda: params,
        )(lambda: ran.append(1))()

    actor, session, description = row["actor"], row["session"], row["action"]["description"]
    call(actor, session, description)
    assert ran == [1]
    for other in ((actor + "x", session, description), (actor, session + "x", description), (actor, session, "x")):
        with pytest.raises(GovernanceError) as refused:
            call(*other)
        assert refused.value.reason == "ANSWER_MISMATCH"
    assert ran == [1]


@pytest.mark.parametrize("row", DIGESTS["answers"], ids=lambda row: row["name"])
def test_an_action_does_not_run_on_an_answer_without_its_digest(
    fakes: Callable[..., Fake], row: dict[str, Any]
) -> None:
    assert set(row) == {"name", "salt", "digest"}
    client = AegisClient(fakes(setting(action_digest=row["digest"], action_digest_salt=row["salt"])).endpoint, "")
    ran: list[int] = []
    with pytest.raises(GovernanceError) as refused:
        governed("act", client=client)(lambda: ran.append(1))()
    assert (refused.value.reason, ran) == ("ANSWER_MISMATCH", [])


@pytest.mark.parametrize(
    "change",
    [
        setting(action_digest="0" * 64),
        setting(action_digest=""),
        setting(action_digest_salt=""),
        setting(action_digest_salt="00112233445566778899aabbccddeef"),
        setting(action_digest_salt="00112233445566778899AABBCCDDEEFF"),
        setting(action_digest_salt="00112233445566778899aabbccddeef\u0661"),
        setting(action_digest_salt="00112233445566778899aabbccddeeff\n"),
        setting(action_digest_salt="ff112233445566778899aabbccddeeff"),
        setting(outcome=types_pb2.OUTCOME_ESCALATE, action_digest_salt=""),
        as_reported_for_another,
        as_reported_without_salt,
    ],
)
def test_an_answer_for_another_action_does_not_run(fakes: Callable[..., Fake], change: Any) -> None:
    client = AegisClient(fakes(change).endpoint, "")
    ran: list[int] = []
    with pytest.raises(GovernanceError) as refused:
        governed("read", client=client)(lambda: ran.append(1))()
    assert refused.value.reason == "ANSWER_MISMATCH"
    with pytest.raises(GovernanceError):
        client.propose(action=Action("read"))
    assert ran == []


def test_a_right_answer_runs(fakes: Callable[..., Fake]) -> None:
    client = AegisClient(fakes().endpoint, "")
    assert governed("read", client=client, actor="agent-7", context={"session_id": "s"})(lambda: 7)() == 7
    decision = client.propose(action=Action("read"))
    assert decision.action_digest_salt == Fake.SALT
    assert Fake.SALT not in repr(decision)


def test_a_no_needs_no_digest(fakes: Callable[..., Fake]) -> None:
    no = setting(outcome=types_pb2.OUTCOME_DENY, action_digest="", action_digest_salt="")
    assert AegisClient(fakes(no).endpoint, "").propose(action=Action("read")).outcome == "DENY"


def test_codes_that_the_sdk_does_not_know_pass_as_text(fakes: Callable[..., Fake]) -> None:
    def change(decision: types_pb2.Decision) -> None:
        decision.code = 99  # type: ignore[assignment]
        decision.result.status = 98  # type: ignore[assignment]

    decision = AegisClient(fakes(change).endpoint, "").propose(action=Action("read"))
    assert decision.result is not None
    assert (decision.code, decision.result.status) == ("unknown(99)", "unknown(98)")


def test_a_recorded_status_that_the_sdk_does_not_know_is_no_success(fakes: Callable[..., Fake]) -> None:
    def change(decision: types_pb2.Decision) -> None:
        as_reported(decision)
        decision.result.status = 98  # type: ignore[assignment]

    with pytest.raises(AlreadyReported, match=r"was reported already as unknown\(98\)"):
        governed("read", client=AegisClient(fakes(change).endpoint, ""))(lambda: None)()


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"numbers": [0, -0.0, 1.5, 1e-7, 5e-324, 2**53 - 1, 333333333.33333329]},
        {"€": 1, "\r": 2, "\U0001f600": 3, "\ufb33": 4, "1": 5, "\u0080": 6, "ö": 7},
        {"text": '\u20ac$\u000f\nA\'B"\\\\"/\u2028', "nested": {"b": [True, None, {}], "a": []}},
        {"whole": 150.0},
    ],
)
def test_the_daemon_digests_what_was_sent_as_the_sdk_does(sidecar: Sidecar, params: dict[str, Any]) -> None:
    decision = sidecar.client().propose(
        action=Action("read", "crm", params, "why"), actor="agent-7", context={"session_id": "s1"}
    )
    request = request_of(
        {"action": Action("read", "crm", params, "why"), "actor": "agent-7", "session": "s1"},
    )
    assert action_digest(request, decision.action_digest_salt) == decision.action_digest
    request.context.session_id = "s2"
    assert action_digest(request, decision.action_digest_salt) != decision.action_digest


# --- Retries ---


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "A_REASON_OF_TOMORROW"),
        (grpc.StatusCode.ABORTED, "ANOTHER_ONE"),
        (grpc.StatusCode.UNAVAILABLE, "NOT_SERVING"),
    ],
)
def test_a_call_is_repeated_after_the_delay_that_the_daemon_names(
    fakes: Callable[..., Fake], monkeypatch: pytest.MonkeyPatch, code: grpc.StatusCode, reason: str
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("aegis._transport.time.sleep", pauses.append)
    fake = fakes()
    fake.refusals = [(code, reason, 2.0), (code, reason, 3600.0), (code, reason, 0.0)]
    assert AegisClient(fake.endpoint, "", retry_delay=9.0).propose(action=Action("read")).allowed
    assert fake.proposed == 4
    assert 2.0 <= pauses[0] <= 2.5
    assert pauses[1] == 30.0
    assert 0 < pauses[2] < 0.1


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED"),
        (grpc.StatusCode.UNAVAILABLE, "A_REASON_OF_TOMORROW"),
        (grpc.StatusCode.INTERNAL, "INTERNAL"),
    ],
)
def test_a_refusal_without_a_delay_is_not_repeated(
    fakes: Callable[..., Fake], code: grpc.StatusCode, reason: str
) -> None:
    fake = fakes()
    fake.refusals = [(code, reason, None)]
    with pytest.raises(AegisError) as refused:
        AegisClient(fake.endpoint, "").propose(action=Action("read"))
    assert (refused.value.reason, refused.value.retry_after, fake.proposed) == (reason, None, 1)


def test_a_refusal_is_no_lost_answer(fakes: Callable[..., Fake]) -> None:
    fake = fakes(setting(replayed=True))
    fake.refusals = [(grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED", 0.01)]
    act = governed("read", client=AegisClient(fake.endpoint, ""), idempotency_key=KEY)
    with pytest.raises(AlreadyClaimed):
        act(lambda: None)()
    fake.refusals = [(grpc.StatusCode.UNAVAILABLE, "", None)]
    assert act(lambda: 7)() == 7


# --- What seeds call ---


def test_modes_have_the_names_of_agent_aegis(sidecar: Sidecar) -> None:
    decision = sidecar.client().propose(action=Action("delete", "production"))
    assert decision.approval == Approval.BLOCK
    modes = {name: getattr(Approval, name) for name in ("AUTO", "CONFIRM", "APPROVE", "BLOCK")}
    assert modes == {mode.name: mode for mode in ApprovalMode if mode is not ApprovalMode.UNSPECIFIED}
    assert "BLOCK" not in {field.name for field in dataclasses.fields(Approval)}


def test_the_platforms_name_for_the_credential_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEGIS_API_KEY", "aegis_key")
    assert AegisClient()._settings.token == "aegis_key"
    assert AegisClient(api_key="")._settings.token is None
    monkeypatch.setenv("AEGIS_TOKEN", "aegis_token")
    assert AegisClient()._settings.token == "aegis_token"
