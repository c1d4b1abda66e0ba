"""What happens to daemons and questions when a process ends."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest

from aegis import Action, AegisClient, AegisError, GovernanceError, Policy, Runtime, governed
from aegis._proto import approval_pb2_grpc, governance_pb2, governance_pb2_grpc, types_pb2
from aegis.testing import Sidecar

POLICY = """
version: "1"
rules:
  - { match: { type: "read*" }, approval: auto }
  - { match: { type: "ask*" }, approval: approve, timeout: 1m }
"""


def until(holds: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What is true in the end."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.02)
    return found


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def python(text: str, *arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    # A shell that starts tests in the background has them ignore SIGINT.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    command = [sys.executable, "-c", heard + text, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


OWN = """
import asyncio, sys, time
from pathlib import Path
from aegis import Action, Policy, Runtime
async def main():
    async with Runtime(policy=Policy.from_text(sys.argv[1]), data_dir=Path(sys.argv[2])) as runtime:
        assert (await runtime.call(Action("read"), lambda _: 1)).ok
        print(runtime._opened.sidecar._daemon.pid, runtime.endpoint, flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""
KIT = """
import sys, time
from aegis.testing import Sidecar
with Sidecar(sys.argv[1]) as sidecar:
    print(sidecar._daemon.pid, sidecar.endpoint, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("program", [OWN, KIT], ids=["own sidecar", "test kit"])
def test_a_daemon_ends_with_the_process_that_started_it(tmp_path: Path, program: str, how: signal.Signals) -> None:
    process = python(program, POLICY, str(tmp_path / "data"))
    pid = int(said(process).split()[0])
    assert runs(pid)
    process.send_signal(how)
    process.wait(60)
    until(lambda: not runs(pid))


def test_a_shared_sidecar_is_started_again_when_its_owner_is_gone(tmp_path: Path) -> None:
    owner = python(OWN, POLICY, str(tmp_path / "data"))
    pid, endpoint = said(owner).split()
    runtime = Runtime(policy=Policy.from_text(POLICY), data_dir=tmp_path / "data")
    try:
        assert runtime.call_sync(Action("read_a"), lambda _: 1).ok
        assert runtime.endpoint == endpoint
        owner.kill()
        owner.wait(60)
        until(lambda: not runs(int(pid)))
        # The next call brings it back: on the same port, with the same record.
        assert runtime.call_sync(Action("read_b"), lambda _: 1).ok
        assert runtime.endpoint == endpoint
        assert [row.action.type for row in runtime.audit.rows()] == ["read", "read_a", "read_b"]
    finally:
        asyncio.run(runtime.close())
        owner.kill()


def test_a_sidecar_of_ones_own_that_crashed_is_started_again(tmp_path: Path) -> None:
    runtime = Runtime(policy=Policy.from_text(POLICY), data_dir=tmp_path / "data")
    try:
        assert runtime.call_sync(Action("read_a"), lambda _: 1).ok
        opened = runtime._opened
        assert opened is not None
        assert opened.sidecar is not None
        assert opened.sidecar._daemon is not None
        assert opened.sidecar._daemon.pid is not None
        os.kill(opened.sidecar._daemon.pid, signal.SIGKILL)
        assert runtime.call_sync(Action("read_b"), lambda _: 1).ok
        assert [row.action.type for row in runtime.audit.rows()] == ["read_a", "read_b"]
    finally:
        asyncio.run(runtime.close())


WAITS = {
    "sync": """
import sys
from aegis import AegisClient, governed
governed("ask", client=AegisClient(sys.argv[1], ""))(lambda: print("ran", flush=True))()
""",
    "async": """
import asyncio, sys
from aegis import AsyncAegisClient, governed
@governed("ask", client=AsyncAegisClient(sys.argv[1], ""))
async def ask(): print("ran", flush=True)
async def main(): await asyncio.gather(ask(), ask())
asyncio.run(main())
""",
}


@pytest.mark.parametrize("flavour", WAITS)
def test_a_process_that_is_told_to_end_withdraws_what_it_waits_for(flavour: str) -> None:
    with Sidecar(POLICY) as sidecar:
        process = python(WAITS[flavour], sidecar.endpoint)
        wanted = 1 if flavour == "sync" else 2
        operator = sidecar.operator()
        pending = until(lambda: len(found := operator.list_approvals()) == wanted and found)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
        endings = [operator.get_approval(approval.approval_id).ending for approval in pending]
        assert [ending and ending.kind for ending in endings] == ["cancelled"] * wanted
        assert said(process) == ""


def test_a_handler_of_the_process_is_left_alone() -> None:
    with Sidecar(POLICY) as sidecar:
        heard: list[int] = []
        before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
        try:
            ours = signal.getsignal(signal.SIGTERM)
            operator = sidecar.operator()

            def answer() -> None:
                approval = until(operator.list_approvals)[0]
                os.kill(os.getpid(), signal.SIGTERM)
                until(lambda: heard)
                operator.approve(approval)

            reviewer = threading.Thread(target=answer)
            reviewer.start()
            assert governed("ask", client=sidecar.client())(lambda: 1)() == 1
            reviewer.join()
            assert signal.getsignal(signal.SIGTERM) is ours
        finally:
            signal.signal(signal.SIGTERM, before)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_wait_says_so_with_the_approvals_id(caplog: pytest.LogCaptureFixture) -> None:
    with Sidecar(POLICY) as sidecar, caplog.at_level(logging.WARNING, "aegis"):
        operator = sidecar.operator()
        seen: list[str] = []

        def deny() -> None:
            approval = until(operator.list_approvals)[0]
            until(lambda: approval.approval_id in caplog.text)
            seen.append(approval.approval_id)
            operator.deny(approval)

        reviewer = threading.Thread(target=deny)
        reviewer.start()
        with pytest.raises(GovernanceError):
            governed("ask", client=sidecar.client())(lambda: 1)()
        reviewer.join()
    assert seen[0] in caplog.text
    assert "`aegis review` shows it" in caplog.text


class Hasty(governance_pb2_grpc.GovernanceServiceServicer, approval_pb2_grpc.ApprovalServiceServicer):
    """Answers at once that nothing is decided, and ends each stream at once."""

    def __init__(self) -> None:
        self.polls = self.streams = 0
        self._server = grpc.server(futures.ThreadPoolExecutor(2))
        governance_pb2_grpc.add_GovernanceServiceServicer_to_server(self, self._server)
        approval_pb2_grpc.add_ApprovalServiceServicer_to_server(self, self._server)
        self.endpoint = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def AwaitDecision(self, request: Any, context: Any) -> Any:
        self.polls += 1
        decision = types_pb2.Decision(decision_id=request.decision_id, outcome=types_pb2.OUTCOME_ESCALATE)
        return governance_pb2.AwaitDecisionResponse(decision=decision)

    def StreamApprovals(self, request: Any, context: Any) -> Any:
        self.streams += 1
        return iter(())

    def close(self) -> None:
        self._server.stop(None)


@pytest.fixture
def hasty() -> Iterator[Hasty]:
    made = Hasty()
    yield made
    made.close()


def test_a_daemon_that_does_not_wait_is_not_asked_all_the_time(hasty: Hasty) -> None:
    with AegisClient(hasty.endpoint, "") as client:
        assert client.wait("dec_1", timeout=3.0).outcome == "ESCALATE"
    # It polls every half second; less often where the machine is busy.
    assert 1 <= hasty.polls <= 8


def test_a_stream_that_ends_at_once_is_not_opened_all_the_time(hasty: Hasty) -> None:
    with AegisClient(hasty.endpoint, "", retry_delay=0.0) as client:
        events = iter(client.stream_approvals())
        ended = threading.Timer(1.0, hasty.close)
        began = time.monotonic()
        ended.start()
        with pytest.raises(AegisError):
            next(events)
        lasted = time.monotonic() - began
        ended.join()
    # One every 20 ms, or less often where the machine is busy.
    assert 1 <= hasty.streams <= lasted / 0.02 + 1
