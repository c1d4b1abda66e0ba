from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any

import pytest

from aegis import (
    TLS,
    Action,
    ActionDenied,
    AegisClient,
    AegisError,
    AsyncAegisClient,
    Decision,
    GovernanceError,
    InvalidActionError,
    RiskLevel,
    Secret,
)
from aegis._data_dir import default_data_dir
from aegis._rpc import pause_after
from aegis._settings import DEFAULT_ENDPOINT, Settings, read_address
from aegis._values import from_struct, to_record, to_struct
from aegis.testing import Sidecar
from aegis.types import Approval

from .proxy import LosingProxy

POLICY = """
version: "1"
defaults: { approval: approve, risk_level: medium }
rules:
  - { name: reads, match: { type: "read*" }, approval: auto, risk_level: low, constraints: { max_rows: 100, ratio: 0.5 } }
  - { name: no, match: { type: "delete*" }, approval: block, risk_level: critical, reason: A person's job. }
  - { name: mine, match: { type: "mine*", actor: "agent-7" }, approval: auto }
"""


@pytest.fixture
def sidecar() -> Iterator[Sidecar]:
    with Sidecar(POLICY) as sidecar:
        yield sidecar


# --- Where, and with what ---


def test_an_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert AegisClient().endpoint == DEFAULT_ENDPOINT
    monkeypatch.setenv("AEGIS_ENDPOINT", "http://localhost:1")
    monkeypatch.setenv("AEGIS_TOKEN", "aegis_environment")
    assert AegisClient().endpoint == "http://localhost:1"
    assert AegisClient("http://localhost:2").endpoint == "http://localhost:2"
    assert AegisClient()._settings.token == "aegis_environment"
    assert AegisClient(api_key="aegis_argument")._settings.token == "aegis_argument"
    # An empty key is a decision, and not a gap for the environment to fill.
    assert AegisClient(api_key="")._settings.token is None


def test_a_client_without_an_endpoint_prefers_the_socket_in_the_data_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AEGIS_DATA_DIR", "here")
    Path("here").mkdir()
    assert AegisClient().endpoint == DEFAULT_ENDPOINT
    Path("here/agent.sock").write_text("not a socket")
    assert AegisClient().endpoint == DEFAULT_ENDPOINT
    Path("here/agent.sock").unlink()
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("here/agent.sock")
        assert AegisClient().endpoint == f"unix:{tmp_path}/here/agent.sock"
        assert AegisClient("http://localhost:2").endpoint == "http://localhost:2"


def test_the_data_directory_is_that_of_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AEGIS_DATA_DIR", "XDG_STATE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert default_data_dir() is None
    assert AegisClient().endpoint == DEFAULT_ENDPOINT
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert default_data_dir() == Path("/var/lib/aegis")
    monkeypatch.setenv("HOME", "/home/a")
    assert default_data_dir() == Path("/home/a/.local/state/aegis")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert default_data_dir() == Path("/home/a/.local/state/aegis")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_data_dir() == Path("/state/aegis")
    monkeypatch.setenv("AEGIS_DATA_DIR", "/data")
    assert default_data_dir() == Path("/data")


@pytest.mark.parametrize(
    ("endpoint", "target", "trusted"),
    [
        ("http://127.0.0.1:50051", "dns:///127.0.0.1:50051", True),
        ("http://localhost:1", "dns:///localhost:1", True),
        ("http://[::1]:1", "dns:///[::1]:1", True),
        ("http://10.0.0.1:1", "dns:///10.0.0.1:1", False),
        ("http://localhost.example:1", "dns:///localhost.example:1", False),
        ("https://aegis.example", "dns:///aegis.example:443", True),
        ("unix:/run/a b%.sock", "unix:/run/a%20b%25.sock", True),
        ("unix:///run/a.sock", "unix:/run/a.sock", True),
    ],
)
def test_endpoints(endpoint: str, target: str, trusted: bool) -> None:
    address = read_address(endpoint)
    assert (address.target, address.trusted) == (target, trusted)


@pytest.mark.parametrize(
    "endpoint", ["", "localhost:1", "ftp://h:1", "unix:relative", "http://h:1/path", "http://u:p@h:1", "http://h:x"]
)
def test_what_is_no_endpoint_is_refused(endpoint: str) -> None:
    with pytest.raises(AegisError, match="http://HOST:PORT"):
        read_address(endpoint)


def test_a_credential_does_not_travel_in_the_open() -> None:
    with pytest.raises(AegisError, match="everybody on the way could read it"):
        AegisClient("http://10.0.0.1:1", "aegis_secret")
    AegisClient("http://10.0.0.1:1", "")
    assert "secret" not in repr(AegisClient("http://127.0.0.1:1", "aegis_secret"))
    assert "secret" not in repr(AegisClient("http://127.0.0.1:1", "aegis_secret")._settings)
    with pytest.raises(AegisError, match="on one line"):
        AegisClient(api_key="aegis_\nsecret")


def test_delays_grow_and_are_bounded() -> None:
    for attempt in range(100):
        longest = min(2.0**attempt, 30.0)
        assert longest / 2 <= pause_after(None, 1.0, attempt) <= longest


@pytest.mark.parametrize("wrong", [{"timeout": 0}, {"timeout": float("nan")}, {"retries": -1}, {"retry_delay": -1}])
def test_impatience_has_bounds(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        AegisClient(**wrong)


def test_tls_is_refused_before_it_is_half(tmp_path: Path) -> None:
    with pytest.raises(AegisError, match="no-such"):
        AegisClient("https://localhost:1", "", tls=TLS(ca=tmp_path / "no-such.pem")).health()
    pem = tmp_path / "a.pem"
    pem.write_text("x")
    with pytest.raises(AegisError, match="needs both"):
        AegisClient("https://localhost:1", "", tls=TLS(cert=pem)).health()


def test_tls_with_client_certificates(tmp_path: Path) -> None:
    authority, key = tmp_path / "ca.pem", tmp_path / "ca.key"
    run = {"check": True, "capture_output": True, "cwd": tmp_path}
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    subprocess.run([*new, "-keyout", key, "-out", authority, "-subj", "/CN=ca"], **run)
    for name, extension in (
        ("server", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        ("client", "subjectAltName=DNS:agent"),
    ):
        subprocess.run(
            [*new, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}", "-CA", authority, "-CAkey", key,
             "-addext", extension, "-addext", "basicConstraints=CA:FALSE"], **run,
        )  # fmt: skip
    files = {name: str(tmp_path / name) for name in ("server.pem", "server.key", "client.pem", "client.key")}
    arguments = ["--tls-cert", files["server.pem"], "--tls-key", files["server.key"]]
    with Sidecar(POLICY, arguments=arguments) as sidecar:
        assert sidecar.endpoint.startswith("https://")
        with AegisClient(sidecar.endpoint, "", tls=TLS(ca=authority)) as client:
            assert client.propose(action=Action("read")).allowed
        # Nobody else's certificate will do.
        with AegisClient(sidecar.endpoint, "", retries=0) as client, pytest.raises(AegisError, match="UNAVAILABLE"):
            client.propose(action=Action("read"))
        with AegisClient(sidecar.endpoint, sidecar.token("agent"), tls=TLS(ca=authority)) as client:
            client.propose(action=Action("read"))
        assert sidecar.audit.get_log()[-1].identity.subject == "token:agent"

    identities = tmp_path / "auth.yaml"
    identities.write_text("certificates:\n  - { common_name: client, roles: [agent] }\n")
    arguments += ["--tls-client-ca", str(authority), "--auth", str(identities)]
    with Sidecar(POLICY, arguments=arguments) as sidecar:
        shown = TLS(ca=authority, cert=files["client.pem"], key=files["client.key"])
        with AegisClient(sidecar.endpoint, "", tls=shown) as client:
            assert client.propose(action=Action("read")).allowed
        assert sidecar.audit.get_log()[-1].identity.how == "certificate"
        with AegisClient(sidecar.endpoint, "", retries=0, tls=TLS(ca=authority)) as client, pytest.raises(AegisError):
            client.propose(action=Action("read"))


# --- What can be sent ---


class Color(str, Enum):
    RED = "red"


class Number(IntEnum):
    ONE = 1


@dataclasses.dataclass
class Point:
    x: int
    y: Any


def test_json_goes_there_and_back() -> None:
    values = {
        "null": None, "yes": True, "int": 2**53 - 1, "negative": 1 - 2**53, "float": 1.5, "text": "grüezi\0", "empty": {},
        "list": [1, [2, {"three": 3}], ()], "enum": Color.RED, "number": Number.ONE, "": "empty key",
    }  # fmt: skip
    back = from_struct(to_struct(values, "params"))
    assert back == values | {"list": [1, [2, {"three": 3}], []]}
    assert isinstance(back["int"], int)
    assert isinstance(back["yes"], bool)


@pytest.mark.parametrize(
    ("value", "path", "why"),
    [
        ({"a": [0, {"b": -(2**53)}]}, "params.a[1].b", "beyond 2^53 - 1"),
        ({"a": 10**400}, "params.a", "an integer of 1329 bits"),
        ({"a": float("-inf")}, "params.a", "-inf"),
        ({"a": Decimal("NaN")}, "params.a", "not a number that JSON has"),
        ({"a": {1, "b"}}, "params.a", "whose parts have no order"),
        ({"a": iter([1])}, "params.a", "a list_iterator cannot be sent"),
        ({"a": lambda: 1}, "params.a", "say with `params=` what is proposed"),
        ({"a": Point(1, object())}, "params.a.y", "a object cannot be sent"),
        ({"a": object()}, "params.a", "object"),
        ({1: "a"}, "params[1]", "a key must be a string"),
        ({"a": "\ud800"}, "params.a", "not Unicode"),
        ([1], "params", "must be a map"),
    ],
)
def test_what_json_does_not_hold_is_refused(value: Any, path: str, why: str) -> None:
    with pytest.raises(InvalidActionError) as refused:
        to_struct(value, "params")
    assert refused.value.path == path
    assert why in str(refused.value)
    assert isinstance(refused.value, ValueError)


def test_nesting_is_an_error_and_not_a_crash() -> None:
    value: Any = "deep"
    for _ in range(5000):
        value = [value]
    with pytest.raises(InvalidActionError, match="nested deeper"):
        to_struct({"a": value}, "params")


def test_what_ran_can_always_be_reported() -> None:
    loop: list[Any] = []
    loop.append(loop)
    recorded = to_record({"when": datetime(2026, 1, 1), "nan": float("nan"), "big": 2**60, 1: 2, "s": "\ud800"})  # noqa: DTZ001
    assert from_struct(recorded.struct_value) == {
        "when": "2026-01-01T00:00:00", "nan": "nan", "big": str(2**60), "1": 2,
        "s": "\\ud800",
    }  # fmt: skip
    for value, why in (
        ("x" * 1_000_000, "str of 1000"),
        (loop, "data: contains itself"),
        (object(), "data: a object is not JSON"),
    ):
        assert why in from_struct(to_record(value).struct_value)["not_recorded"]
    assert to_record({"p": Secret("hunter2")}).struct_value.fields["p"].string_value == "[masked, 7 characters]"


def test_actions_in_both_words() -> None:
    assert Action.of({"capability": "read", "parameters": {"a": 1}}) == Action("read", params={"a": 1})
    assert Action.of({"type": "read", "target": "crm", "params": {"a": 1}}) == Action("read", "crm", {"a": 1})
    with pytest.raises(InvalidActionError, match="another word for `type`"):
        Action.of({"type": "read", "capability": "delete"})
    with pytest.raises(InvalidActionError, match="`paramters`"):
        Action.of({"type": "read", "paramters": {}})


# --- Calls ---


def test_a_decision(sidecar: Sidecar) -> None:
    decision = sidecar.client().propose(actor={"id": "agent-7"}, action={"capability": "read", "parameters": {}})
    assert (decision.outcome, decision.allowed, decision.risk_level) == ("ALLOW", True, RiskLevel.LOW)
    assert decision.constraints == {"max_rows": 100, "ratio": 0.5}
    assert isinstance(decision.constraints["max_rows"], int)
    assert [field.name for field in dataclasses.fields(Decision)][:7] == [
        "decision_id", "outcome", "reason", "risk_score", "constraints", "timestamp", "audit_ref",
    ]  # fmt: skip
    with pytest.raises(dataclasses.FrozenInstanceError):
        decision.outcome = "DENY"  # type: ignore[misc]
    json.dumps({field.name: str(getattr(decision, field.name)) for field in dataclasses.fields(decision)})


def test_a_denial_is_raised_where_asked(sidecar: Sidecar) -> None:
    client = sidecar.client()
    assert client.propose(action=Action("delete")).outcome == "DENY"
    with pytest.raises(ActionDenied, match="A person's job") as denied:
        client.propose(action=Action("delete"), raise_on_deny=True)
    assert denied.value.decision.matched_rule == "no"
    assert isinstance(denied.value, PermissionError)


def test_errors_say_what_the_daemon_says(sidecar: Sidecar) -> None:
    client = sidecar.client()
    with pytest.raises(GovernanceError) as wrong:
        client.propose(action=Action("read", params={"a": "x" * 2_000_000}))
    assert (wrong.value.code, wrong.value.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert wrong.value.violations[0].field == "action.params"
    with pytest.raises(GovernanceError) as unknown:
        client.wait("dec_01a1fc46-ff82-7d04-adf6-61c6e065da86")
    assert unknown.value.reason == "NO_SUCH_DECISION"
    decision = client.propose(action=Action("ask"))
    with pytest.raises(GovernanceError) as early:
        client.report(decision, "success")
    assert early.value.reason == "NOT_REPORTABLE"
    bound = AegisClient(sidecar.endpoint, sidecar.token("bound", "agent", actor_id="agent-7"))
    with pytest.raises(GovernanceError) as other:
        bound.propose(action=Action("read"), actor="agent-8")
    assert other.value.reason == "ACTOR_NOT_ALLOWED"
    # What it may do, it does.
    assert bound.propose(action=Action("mine"), actor="agent-7").allowed
    assert not client.propose(action=Action("mine"), actor="agent-7").allowed


def test_of_two_reviewers_one_is_told_that_the_other_was_first(sidecar: Sidecar) -> None:
    decision = sidecar.client().propose(action=Action("ask", "crm", {"count": 5}), context={"session_id": "s"})
    reviewer = AegisClient(sidecar.endpoint, sidecar.token("ada", "reviewer"))
    (pending,) = reviewer.list_approvals(action_type="ask", session_id="s", min_risk_level="low")
    assert reviewer.list_approvals(min_risk_level=RiskLevel.HIGH) == []
    assert isinstance(pending, Approval)
    assert (pending.action, pending.decision_id) == (Action("ask", "crm", {"count": 5}), decision.decision_id)
    with pytest.raises(GovernanceError, match="digest"):
        reviewer.approve(pending.approval_id)
    with pytest.raises(GovernanceError) as mismatch:
        reviewer.approve(pending.approval_id, expected_action_digest="0" * 64)
    assert mismatch.value.reason == "DIGEST_MISMATCH"
    ended = reviewer.approve(pending, reason="fine")
    assert ended.ending is not None
    assert (ended.ending.kind, ended.ending.by.subject, ended.ending.reason) == ("approved", "token:ada", "fine")
    with pytest.raises(GovernanceError) as late:
        sidecar.operator().deny(pending)
    assert (late.value.reason, late.value.metadata["by"]) == ("ALREADY_DECIDED", "token:ada")
    assert reviewer.get_approval(pending.approval_id).ending == ended.ending


@pytest.mark.parametrize("method", ["Approve", "Deny", "CancelProposal"])
def test_an_answer_that_was_lost_is_found_again(sidecar: Sidecar, method: str) -> None:
    proxy = LosingProxy(sidecar.endpoint.removeprefix("http://"))
    try:
        token = sidecar.token("ada", "reviewer")
        decision = sidecar.client().propose(action=Action("ask"))
        proxy.lose(method)
        if method == "CancelProposal":
            assert AegisClient(proxy.endpoint, "", retry_delay=0.01).cancel(decision).outcome == "DENY"
            return
        reviewer = AegisClient(proxy.endpoint, token, retry_delay=0.01)
        pending = reviewer.get_approval(str(decision.approval_id))
        # Whoever decides is told that the answer was lost, and looks: nothing is decided a second time.
        with pytest.raises(AegisError) as lost:
            reviewer.approve(pending) if method == "Approve" else reviewer.deny(pending)
        assert lost.value.code == "UNAVAILABLE"
        ended = reviewer.get_approval(pending.approval_id)
        assert ended.ending is not None
        assert ended.ending.kind == ("approved" if method == "Approve" else "denied")
    finally:
        proxy.close()


def test_evaluate_explains_to_auditors(sidecar: Sidecar) -> None:
    evaluation = sidecar.operator().evaluate(Action("delete"), explain=True)
    assert evaluation.outcome == "DENY"
    assert not evaluation.is_allowed
    assert evaluation.trace[-1].rule == "no"
    with pytest.raises(AegisError):
        sidecar.client().evaluate(Action("delete"), explain=True)
    many = sidecar.client().evaluate_many([Action("read", params={"i": i}) for i in range(1500)])
    assert [answer.action and answer.action.params["i"] for answer in many] == list(range(1500))
    with pytest.raises(InvalidActionError) as wrong:
        sidecar.client().evaluate_many([Action("read"), Action("")])
    assert wrong.value.path == "actions[1].type"


def test_health_tokens_policy_and_stats(sidecar: Sidecar) -> None:
    assert sidecar.client().health() == "SERVING"
    assert sidecar.client().health("aegis.v1.GovernanceService") == "SERVING"
    assert sidecar.client().health("nonsense") == "SERVICE_UNKNOWN"
    admin = sidecar.operator()
    policy = admin.get_policy()
    assert policy.rule_count == 3
    updated = admin.update_policy("defaults: {approval: block}", expected_revision=policy.revision)
    assert admin.get_policy(policy.revision).revision == policy.revision
    assert updated.revision != policy.revision
    with pytest.raises(GovernanceError) as stale:
        admin.update_policy(POLICY, expected_revision=policy.revision)
    assert stale.value.reason == "REVISION_MISMATCH"
    assert sidecar.client().propose(action=Action("read")).outcome == "DENY"
    assert admin.get_stats().by_outcome == {"DENY": 1}
    with pytest.raises(GovernanceError, match="`god` is none of"):
        admin.create_token("x", ["god"])


# --- Streams ---


async def test_approvals_are_streamed_without_a_gap_over_a_restart(sidecar: Sidecar) -> None:
    client = sidecar.client()
    before = client.propose(action=Action("ask", "before"))
    stream = sidecar.async_operator(retry_delay=0.05).stream_approvals()
    seen: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    async def watch() -> None:
        async for event in stream:
            seen.put_nowait((event.kind, event.approval.action.target if event.approval else ""))

    watching = asyncio.create_task(watch())
    assert await seen.get() == ("pending", "before")
    assert await seen.get() == ("snapshot_complete", "")
    await asyncio.to_thread(sidecar.kill)
    await asyncio.to_thread(sidecar.start)
    # Gone by the time that the stream is back, or after: it is said once either way.
    await asyncio.to_thread(lambda: AegisClient(sidecar.endpoint, "", retry_delay=0.05).cancel(before))
    await asyncio.to_thread(lambda: AegisClient(sidecar.endpoint, "").propose(action=Action("ask", "after")))
    events = [await seen.get(), await seen.get()]
    assert sorted(events) == [("ended", "before"), ("pending", "after")]
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert seen.empty()


def test_the_record_is_streamed_filtered_and_followed(sidecar: Sidecar) -> None:
    client, auditor = sidecar.client(), sidecar.operator(retry_delay=0.05)
    for index in range(5):
        client.propose(action=Action("read", str(index)), context={"session_id": "odd" if index % 2 else "even"})
    targets = [row.action.target for row in auditor.stream_audit(session_id="even")]
    assert targets == ["0", "2", "4"]
    assert [row.action.target for row in auditor.stream_audit(limit=2)] == ["3", "4"]
    assert [row.action.target for row in auditor.stream_audit(limit=2, newest_first=True)] == ["4", "3"]
    hour = timedelta(hours=1)
    assert list(auditor.stream_audit(since=datetime.now(timezone.utc) + hour)) == []
    assert (
        len(list(auditor.stream_audit(until=datetime.now(timezone.utc) + hour, risk_levels="low", outcomes=["allow"])))
        == 5
    )
    with pytest.raises(GovernanceError, match="RFC 3339"):
        list(auditor.stream_audit(since="yesterday"))
    rows = list(auditor.stream_audit())
    assert [row.action.target for row in auditor.stream_audit(resume_after=rows[2].cursor)] == ["3", "4"]
    records = [json.loads(record.payload) for record in auditor.stream_records()]
    assert sum(record["kind"] == "decision" for record in records) == 5

    follow = auditor.stream_audit(follow=True, newest_first=True, limit=1)
    assert next(follow).action.target == "4"
    heard: list[str] = []
    enough = threading.Event()

    def listen() -> None:
        for row in follow:
            heard.append(row.action.target)
            if row.action.target == "after":
                enough.set()
                return

    listener = threading.Thread(target=listen)
    listener.start()
    client.propose(action=Action("read", "live"))
    sidecar.kill()
    sidecar.start()
    AegisClient(sidecar.endpoint, "", retry_delay=0.05).propose(action=Action("read", "after"))
    assert enough.wait(30)
    listener.join(30)
    assert heard == ["live", "after"]


# --- Threads, loops, processes ---


def test_one_async_client_serves_many_loops(sidecar: Sidecar) -> None:
    client = sidecar.async_client()

    async def propose() -> str:
        return (await client.propose(action=Action("read"))).outcome

    assert [asyncio.run(propose()) for _ in range(3)] == ["ALLOW"] * 3
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(asyncio.run(propose()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == ["ALLOW"] * 4


async def test_a_cancelled_task_cancels_its_call(sidecar: Sidecar) -> None:
    client = sidecar.async_client()
    decision = await client.propose(action=Action("ask"))
    waiting = asyncio.create_task(client.wait(decision))
    await asyncio.sleep(0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (await client.wait(decision, 0)).outcome == "ESCALATE"


def test_a_closed_client_says_so(sidecar: Sidecar) -> None:
    with sidecar.client() as client:
        client.health()
    client.close()
    with pytest.raises(AegisError, match="closed"):
        client.health()


async def test_closing_ends_what_waits(sidecar: Sidecar) -> None:
    client = sidecar.async_client()
    decision = await client.propose(action=Action("ask"))
    waiting = asyncio.create_task(client.wait(decision))
    await asyncio.sleep(0.05)
    await client.close()
    with pytest.raises(AegisError):
        await asyncio.wait_for(waiting, 60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_process_opens_its_own_connection(sidecar: Sidecar) -> None:
    # As a web server that loads the application before it forks its workers.
    program = f"""
import os
from aegis import Action, AegisClient
client = AegisClient({sidecar.endpoint!r}, "")
if os.fork() == 0:
    ok = client.propose(action=Action("read")).allowed
    os._exit(0 if ok else 1)
assert os.wait()[1] == 0
assert client.propose(action=Action("read")).allowed
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_settings_are_the_only_state() -> None:
    assert isinstance(AsyncAegisClient("http://127.0.0.1:1", "")._settings, Settings)


def test_an_auditor_reads_one_decision_and_pages_of_them(sidecar: Sidecar) -> None:
    agent, auditor = sidecar.client(), sidecar.operator()
    decisions = [
        agent.propose(action=Action("read", str(number)), context={"session_id": "life"}) for number in range(5)
    ]
    asked = agent.propose(action=Action("ask", "a"), context={"session_id": "life"})
    (pending,) = auditor.list_approvals(action_type="as*", session_id="life")
    assert (pending.is_pending, pending.state, pending.votes) == (True, "pending", ())
    auditor.deny(pending, reason="no")
    assert auditor.list_approvals(session_id="life") == []
    (denied,) = auditor.list_approvals(session_id="life", states=["denied"])
    assert (denied.state, denied.is_pending) == ("denied", False)
    (vote,) = denied.votes
    assert (vote.verdict, vote.reason, vote.action_digest) == ("deny", "no", pending.action_digest)
    assert denied.version > pending.version

    rows = auditor.list_decisions(session_id="life", action_type="r*", limit=3, newest_first=True)
    assert [row.action.target for row in rows] == ["4", "3", "2"]
    rows = auditor.list_decisions(session_id="life", outcomes=["DENY", "ESCALATE"])
    assert [row.decision_id for row in rows] == [asked.decision_id]
    life = auditor.get_decision(asked.decision_id[:-2])
    assert life.row.decision_id == asked.decision_id
    assert life.approval is not None
    assert life.approval.approval_id == pending.approval_id
    assert life.records[0].audit_ref == asked.audit_ref
    assert [record.sequence for record in life.records] == sorted(record.sequence for record in life.records)
    assert auditor.get_decision(decisions[0].audit_ref).row.decision_id == decisions[0].decision_id
