"""What the SDK adds to its bare stub: propose, over a unix socket and TCP, sync and async, one at a time.

Stub and SDK take turns on one daemon, so that what the machine does besides hits both. Usage: python bench.py [ROUNDS]
"""

import asyncio
import statistics
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
import grpc.aio

from aegis import AegisClient, AsyncAegisClient
from aegis._proto import governance_pb2, governance_pb2_grpc, types_pb2
from aegis.testing import Sidecar

POLICY = "rules: [{match: {type: read*}, approval: auto, risk_level: low}]"
ACTION = {"type": "read_contacts", "target": "crm", "params": {"limit": 10, "city": "Bern", "tags": ["a", "b"]}}
BATCH = 20


def request() -> governance_pb2.ProposeRequest:
    """What a caller of the stub writes by hand: the very same proposal, idempotency key included."""
    action = types_pb2.Action(type="read_contacts", target="crm")
    action.params.update({"limit": 10, "city": "Bern", "tags": ["a", "b"]})
    return governance_pb2.ProposeRequest(
        actor=types_pb2.Actor(id="agent-7"), action=action, idempotency_key=uuid.uuid4().hex
    )


async def measure(calls: dict[str, Callable[[], Awaitable[Any]]], rounds: int) -> dict[str, float]:
    """The median of each call's batches, in microseconds a call; the batches take turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 5):
        for name, call in calls.items():
            began = time.perf_counter()
            await call()
            if turn >= 5:
                times[name].append((time.perf_counter() - began) / BATCH * 1e6)
    return {name: statistics.median(each) for name, each in times.items()}


def batch(call: Callable[[], Any]) -> Callable[[], Awaitable[Any]]:
    async def run() -> None:
        for _ in range(BATCH):
            call()

    return run


def batch_async(call: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
    async def run() -> None:
        for _ in range(BATCH):
            await call()

    return run


async def compare(name: str, endpoint: str, rounds: int) -> None:
    target = endpoint.removeprefix("http://")
    options = [("grpc.default_authority", "localhost")]
    with grpc.insecure_channel(target, options) as channel, AegisClient(endpoint, "") as client:
        stub: Any = governance_pb2_grpc.GovernanceServiceStub(channel)
        times = await measure(
            {
                "stub": batch(lambda: stub.Propose(request(), timeout=30)),
                "SDK": batch(lambda: client.propose(action=ACTION, actor={"id": "agent-7"})),
            },
            rounds,
        )
    say(name, "sync", times)
    async with grpc.aio.insecure_channel(target, options) as aio, AsyncAegisClient(endpoint, "") as async_client:
        async_stub: Any = governance_pb2_grpc.GovernanceServiceStub(aio)
        times = await measure(
            {
                "stub": batch_async(lambda: async_stub.Propose(request(), timeout=30)),
                "SDK": batch_async(lambda: async_client.propose(action=ACTION, actor={"id": "agent-7"})),
            },
            rounds,
        )
    say(name, "async", times)


def say(name: str, flavour: str, times: dict[str, float]) -> None:
    ratio = times["SDK"] / times["stub"]
    print(f"{name:<5} {flavour:<6} stub {times['stub']:7.0f} us   SDK {times['SDK']:7.0f} us   ratio {ratio:.2f}")


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with TemporaryDirectory() as directory:
        socket = Path(directory, "agent.sock")
        with Sidecar(POLICY, arguments=["--uds", str(socket), "--durability", "relaxed"]) as sidecar:
            asyncio.run(compare("unix", f"unix:{socket}", rounds))
            asyncio.run(compare("TCP", sidecar.endpoint, rounds))


if __name__ == "__main__":
    main()
