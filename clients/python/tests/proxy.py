"""Servers that stand between a client and a daemon, or in the daemon's place."""

from __future__ import annotations

import threading
from concurrent import futures
from typing import Any

import grpc

from aegis._proto import governance_pb2, governance_pb2_grpc, types_pb2


class LosingProxy(grpc.GenericRpcHandler):
    """Forwards every call; the answer of the next call of a method that was named is lost."""

    def __init__(self, target: str) -> None:
        self._channel = grpc.insecure_channel(target, options=[("grpc.default_authority", "localhost")])
        self._lock = threading.Lock()
        self._losing: dict[str, tuple[grpc.StatusCode, str]] = {}
        self._server = grpc.server(futures.ThreadPoolExecutor(16))
        self._server.add_generic_rpc_handlers((self,))
        self.endpoint = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def lose(
        self,
        method: str,
        code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE,
        why: str = "the connection broke before the answer came",
    ) -> None:
        with self._lock:
            self._losing[method] = code, why

    def service(self, handler_call_details: Any) -> Any:
        path = handler_call_details.method

        def forward(request: bytes, context: grpc.ServicerContext) -> bytes:
            call = self._channel.unary_unary(path)
            metadata = [(k, v) for k, v in context.invocation_metadata() if k == "authorization"]
            try:
                answer: bytes = call(request, timeout=context.time_remaining(), metadata=metadata)
            except grpc.RpcError as error:
                context.set_trailing_metadata(error.trailing_metadata())
                context.abort(error.code(), error.details())
            with self._lock:
                name = path.rpartition("/")[2]
                lost = self._losing.pop(name, None)
            if lost is not None:
                context.abort(*lost)
            return answer

        return grpc.unary_unary_rpc_method_handler(forward)

    def close(self) -> None:
        self._server.stop(None)
        self._channel.close()


class Stub(governance_pb2_grpc.GovernanceServiceServicer):
    """Answers every proposal with one outcome, whatever number that is."""

    def __init__(self, outcome: int) -> None:
        self._outcome = outcome
        self.reports: list[Any] = []
        self._server = grpc.server(futures.ThreadPoolExecutor(2))
        governance_pb2_grpc.add_GovernanceServiceServicer_to_server(self, self._server)
        self.endpoint = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def Propose(self, request: Any, context: Any) -> Any:
        decision = types_pb2.Decision(decision_id="dec_stub", outcome=self._outcome, reason="a stub's answer")
        return governance_pb2.ProposeResponse(decision=decision)

    def ReportResult(self, request: Any, context: Any) -> Any:
        self.reports.append(request)
        return governance_pb2.ReportResultResponse()

    def close(self) -> None:
        self._server.stop(None)
