"""One lazily opened gRPC channel, its methods by name, and its errors in the SDK's words."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf import wrappers_pb2

from aegis._proto import admin_pb2_grpc, approval_pb2_grpc, audit_pb2_grpc, governance_pb2_grpc, policy_pb2_grpc
from aegis._rpc import to_error
from aegis._settings import Settings
from aegis.core.errors import AegisError

_STUBS: tuple[Callable[[grpc.Channel], Any], ...] = (
    governance_pb2_grpc.GovernanceServiceStub,
    approval_pb2_grpc.ApprovalServiceStub,
    audit_pb2_grpc.AuditServiceStub,
    policy_pb2_grpc.PolicyServiceStub,
    admin_pb2_grpc.AdminServiceStub,
)


class Channel:
    """A lazily opened channel. Threads may share it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metadata = settings.metadata()
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._methods: dict[str, Any] = {}
        self._pid = 0
        self._closed = False

    def close(self) -> None:
        """Ends the connection and every call on it. Closing twice is fine."""
        with self._lock:
            self._closed = True
            channel, self._channel, self._methods = self._channel, None, {}
        if channel is not None:
            channel.close()

    def method(self, name: str) -> Any:
        # A channel does not work after a fork: the child opens its own.
        if self._pid != os.getpid() or self._channel is None:
            self._open()
        try:
            return self._methods[name]
        except KeyError:
            raise self._over() from None

    def _open(self) -> None:
        with self._lock:
            if self._closed:
                raise self._over()
            if self._channel is not None and self._pid == os.getpid():
                return
            channel = self.settings.open_channel()
            methods: dict[str, Any] = {}
            for stub in _STUBS:
                methods.update(vars(stub(channel)))
            methods["Check"] = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=wrappers_pb2.StringValue.SerializeToString,
                response_deserializer=wrappers_pb2.Int32Value.FromString,
            )
            self._methods, self._pid, self._channel = methods, os.getpid(), channel

    def _over(self) -> AegisError:
        return AegisError("this client is closed: open another one")

    def to_error(self, error: BaseException) -> AegisError:
        if isinstance(error, grpc.RpcError):
            return to_error(error, self.settings.address.url)
        if isinstance(error, (grpc.FutureCancelledError, ValueError)):
            # gRPC raises these when the channel is closed during a call.
            return AegisError(f"{self.settings.address.url}: CANCELLED: the client was closed", code="CANCELLED")
        raise error
