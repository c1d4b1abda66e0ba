"""The connection: one gRPC channel under both clients, and the loops that run operations over it.

The async side awaits the callbacks of the plain channel rather than using `grpc.aio`, whose channels belong to one event loop
and whose poller cannot serve two: a client made at import works under every loop, in every thread.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, TypeVar

import grpc
from google.protobuf import wrappers_pb2
from google.protobuf.message import Message

from aegis._operations import Call, Do, Operation, Sleep
from aegis._proto import admin_pb2_grpc, approval_pb2_grpc, audit_pb2_grpc, governance_pb2_grpc, policy_pb2_grpc
from aegis._rpc import to_error
from aegis._settings import Settings
from aegis.errors import AegisError

T = TypeVar("T")

_STUBS: tuple[Callable[[grpc.Channel], Any], ...] = (
    governance_pb2_grpc.GovernanceServiceStub,
    approval_pb2_grpc.ApprovalServiceStub,
    audit_pb2_grpc.AuditServiceStub,
    policy_pb2_grpc.PolicyServiceStub,
    admin_pb2_grpc.AdminServiceStub,
)
_READ_AHEAD = 64
"""How many messages of a stream are kept for a consumer that is slower."""


class Transport:
    """A lazily opened channel. Threads may share it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._metadata = settings.metadata()
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

    def _method(self, name: str) -> Any:
        # A channel does not survive a fork: the child opens its own.
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

    def _to_error(self, error: BaseException) -> AegisError:
        if isinstance(error, grpc.RpcError):
            return to_error(error, self.settings.address.url)
        if isinstance(error, (grpc.FutureCancelledError, ValueError)):
            # What gRPC says of a channel that was closed under a call.
            return AegisError(f"{self.settings.address.url}: CANCELLED: the client was closed", code="CANCELLED")
        raise error

    # --- Sync ---

    def unary(self, call: Call) -> Message:
        """Performs a call."""
        method = self._method(call.method)
        try:
            response: Message = method(call.request, timeout=call.timeout, metadata=self._metadata)
        except (grpc.RpcError, grpc.FutureCancelledError, ValueError) as error:
            raise self._to_error(error) from None
        return response

    def stream(self, call: Call) -> Generator[Any, None, None]:
        """The messages of a stream. It ends when the generator is closed."""
        method = self._method(call.method)
        try:
            rpc = method(call.request, timeout=call.timeout, metadata=self._metadata)
            try:
                yield from rpc
            finally:
                rpc.cancel()
        except (grpc.RpcError, grpc.FutureCancelledError, ValueError) as error:
            raise self._to_error(error) from None

    def run(self, operation: Operation[T]) -> T:
        """Runs an operation in this thread."""
        step: Callable[[], Any] = lambda: next(operation)  # noqa: E731
        while True:
            try:
                effect = step()
            except StopIteration as done:
                answer: T = done.value
                return answer
            try:
                reply = self._perform(effect)
            except BaseException as error:
                step = _thrower(operation, error)
            else:
                step = _sender(operation, reply)

    def _perform(self, effect: Call | Sleep | Do) -> Any:
        if isinstance(effect, Call):
            return self.unary(effect)
        if isinstance(effect, Sleep):
            return time.sleep(effect.seconds)
        value = effect.function()
        if inspect.isawaitable(value):
            if inspect.iscoroutine(value):
                value.close()
            raise TypeError("a function that is not async was given an async callback: nothing here can await it")
        return value

    # --- Async ---

    async def unary_async(self, call: Call) -> Message:
        """Performs a call; cancelling the task cancels the call."""
        loop = asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()
        method = self._method(call.method)
        try:
            rpc = method.future(call.request, timeout=call.timeout, metadata=self._metadata)
        except ValueError as error:
            raise self._to_error(error) from None

        def settle() -> None:
            if not over.done():
                over.set_result(None)

        def done(_: object) -> None:
            try:
                loop.call_soon_threadsafe(settle)
            except RuntimeError:
                return  # The loop is closed: nobody waits any more.

        rpc.add_done_callback(done)
        try:
            await over
        except BaseException:
            rpc.cancel()
            raise
        try:
            response: Message = rpc.result()
        except (grpc.RpcError, grpc.FutureCancelledError) as error:
            raise self._to_error(error) from None
        return response

    async def stream_async(self, call: Call) -> AsyncGenerator[Any, None]:
        """The messages of a stream. A thread of its own reads them, a few ahead of the consumer."""
        loop = asyncio.get_running_loop()
        method = self._method(call.method)
        try:
            rpc = method(call.request, timeout=call.timeout, metadata=self._metadata)
        except ValueError as error:
            raise self._to_error(error) from None
        messages: asyncio.Queue[tuple[Any, BaseException | None]] = asyncio.Queue()
        room = threading.Semaphore(_READ_AHEAD)

        def read() -> None:
            end: BaseException | None = None
            try:
                for message in rpc:
                    room.acquire()
                    loop.call_soon_threadsafe(messages.put_nowait, (message, None))
            except BaseException as error:
                end = error
            try:
                loop.call_soon_threadsafe(messages.put_nowait, (None, end or StopAsyncIteration()))
            except RuntimeError:
                return  # The loop is closed: nobody waits any more.

        threading.Thread(target=read, name=f"aegis-{call.method}", daemon=True).start()
        try:
            while True:
                message, end = await messages.get()
                room.release()
                if isinstance(end, StopAsyncIteration):
                    return
                if end is not None:
                    raise self._to_error(end) from None
                yield message
        finally:
            rpc.cancel()
            room.release()

    async def run_async(self, operation: Operation[T]) -> T:
        """Runs an operation on the running loop."""
        step: Callable[[], Any] = lambda: next(operation)  # noqa: E731
        while True:
            try:
                effect = step()
            except StopIteration as done:
                answer: T = done.value
                return answer
            try:
                reply = await self._perform_async(effect)
            except GeneratorExit:
                # The loop is gone, and with it whatever could be done.
                operation.close()
                raise
            except BaseException as error:
                step = _thrower(operation, error)
            else:
                step = _sender(operation, reply)

    async def _perform_async(self, effect: Call | Sleep | Do) -> Any:
        if isinstance(effect, Call):
            return await self.unary_async(effect)
        if isinstance(effect, Sleep):
            return await asyncio.sleep(effect.seconds)
        value = effect.function()
        return await value if inspect.isawaitable(value) else value


def _sender(operation: Operation[Any], reply: Any) -> Callable[[], Any]:
    return lambda: operation.send(reply)


def _thrower(operation: Operation[Any], error: BaseException) -> Callable[[], Any]:
    return lambda: operation.throw(error)
