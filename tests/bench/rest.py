"""The measurement of tests/bench/rest: the servers take turns, so that what the machine does besides hits all of them.

The client is the same for all of REST: one connection that stays open, and no HTTP library that parses more than it must.
gRPC has Python's stub, which costs more than that client: compare its CPU, which is the server's alone.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

import grpc

from aegis._proto import governance_pb2, governance_pb2_grpc, types_pb2

BATCH, WARM_UP = 50, 3
POLICY = """
version: "1"
rules:
  - {name: reads, match: {type: "read*"}, risk_level: low, approval: auto}
  - {name: bulk, match: {type: "bulk_*"}, conditions: {param_gt: {count: 100}}, risk_level: high, approval: approve}
  - {name: no_deletes, match: {type: "delete*"}, risk_level: critical, approval: block}
"""
ACTION = {"action_type": "bulk_update", "target": "crm", "params": {"count": 150, "city": "Bern", "tags": ["a", "b"]}}
TOOLS = Path("target/tools").absolute()
UVICORN = "import uvicorn; uvicorn.run(app, host='127.0.0.1', port={port}, log_level='error', access_log=False)"


@dataclass
class Server:
    """A server, and what was measured of it."""

    name: str
    process: subprocess.Popen[bytes]
    call: Callable[[], None]
    cpu: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def processor_time(self) -> float:
        """Microseconds of processor time of the process and of those that it started, in steps of a tick (10 ms)."""
        ticks, pids = 0, [self.process.pid]
        while pids:
            pid = pids.pop()
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
            for task in Path(f"/proc/{pid}/task").iterdir():
                pids += map(int, (task / "children").read_text().split())
        return ticks * 1e6 / os.sysconf("SC_CLK_TCK")

    def batch(self) -> None:
        """One turn."""
        for _ in range(BATCH):
            began = time.perf_counter()
            self.call()
            self.times.append((time.perf_counter() - began) * 1e6)


def free_port() -> int:
    """A port that nobody has at this moment."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def rest(port: int) -> Callable[[], None]:
    """Evaluate over REST."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    body, head = json.dumps(ACTION).encode(), {"Content-Type": "application/json"}

    def call() -> None:
        try:
            connection.request("POST", "/api/v1/evaluate", body, head)
            answer = connection.getresponse()
            text = answer.read()
        except OSError:
            connection.close()
            raise
        if answer.status != 200 or json.loads(text)["matched_rule"] != "bulk":
            raise SystemExit(f"{port}: {answer.status} {text!r}")

    return call


def stub(port: int) -> Callable[[], None]:
    """Evaluate over gRPC."""
    evaluate = governance_pb2_grpc.GovernanceServiceStub(grpc.insecure_channel(f"127.0.0.1:{port}")).Evaluate
    action = types_pb2.Action(type=ACTION["action_type"], target=ACTION["target"])
    action.params.update(ACTION["params"])
    request = governance_pb2.EvaluateRequest(items=[governance_pb2.EvaluateItem(action=action)])

    def call() -> None:
        if evaluate(request, timeout=10).evaluations[0].matched_rule != "bulk":
            raise SystemExit("gRPC: another answer")

    return call


def started(home: Path) -> list[Server]:
    """All servers, once they answer."""
    policy = home / "policy.yaml"
    policy.write_text(POLICY)
    ports = [free_port() for _ in range(4)]
    environment = {name: value for name, value in os.environ.items() if name == "AEGIS_BIN" or name[:6] != "AEGIS_"}
    daemon = [os.environ["AEGIS_BIN"], "serve", str(policy), "--port", str(ports[0]), "--admin-listen", "off"]
    original = f"from aegis.server.app import create_app; app = create_app(policy_path={str(policy)!r}); "
    ours = "from aegis.server import create_app; "
    ours += f"app = create_app(policy_path={str(policy)!r}, data_dir={str(home / 'app')!r}, dev=True); "
    commands = [
        [*daemon, "--data-dir", str(home / "data")],
        [sys.executable, "-c", ours + UVICORN.format(port=ports[1])],
        [str(TOOLS / "agent-aegis-0.1.6/bin/python"), "-c", original + UVICORN.format(port=ports[2])],
        [str(TOOLS / "agent-aegis-1.0.0/bin/python"), "-c", original + UVICORN.format(port=ports[3])],
    ]
    # agent-aegis writes its database where it runs.
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment, "cwd": home}
    processes = [subprocess.Popen(command, **quiet) for command in commands]
    servers = [
        Server("aegis, REST", processes[0], rest(ports[0])),
        Server("aegis, gRPC (Python's stub)", processes[0], stub(ports[0])),
        Server("create_app of the SDK, uvicorn", processes[1], rest(ports[1])),
        Server("agent-aegis 0.1.6, uvicorn", processes[2], rest(ports[2])),
        Server("agent-aegis 1.0.0, uvicorn", processes[3], rest(ports[3])),
    ]
    for server in servers:
        deadline = time.monotonic() + 30
        while True:
            try:
                server.call()
                break
            except (OSError, grpc.RpcError):
                if time.monotonic() > deadline or server.process.poll() is not None:
                    raise SystemExit(f"{server.name}: does not answer") from None
                time.sleep(0.05)
    return servers


def main() -> None:
    """Measures, and prints the table."""
    rounds = int(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="aegis-bench-") as home:
        servers = started(Path(home))
        try:
            for turn in range(rounds + WARM_UP):
                for server in servers:
                    before, known = server.processor_time(), len(server.times)
                    server.batch()
                    server.cpu.append((server.processor_time() - before) / BATCH)
                    if turn < WARM_UP:
                        del server.times[known:], server.cpu[-1:]
        finally:
            for server in servers:
                server.process.terminate()
            for server in servers:
                server.process.wait(20)
    print(f"evaluate, one call at a time, {rounds * BATCH} calls of each server, in turns of {BATCH}\n")
    print("| server | median, us | 99 of 100, us | server CPU a call, us |")
    print("| --- | --- | --- | --- |")
    for server in servers:
        times = sorted(server.times)
        # The mean: many turns take no whole tick.
        cpu = statistics.fmean(server.cpu)
        print(f"| {server.name} | {statistics.median(times):.0f} | {times[len(times) * 99 // 100]:.0f} | {cpu:.0f} |")


main()
