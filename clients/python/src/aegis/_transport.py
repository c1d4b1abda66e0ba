"""Performs operations over a channel, in a thread or on an event loop.

The async side awaits the callbacks of the plain channel. It does not use `grpc.aio`, whose channels belong to one event
loop: a client made at import works under every loop and in every thread.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from aegis._channel import Channel
from aegis._operations.effects import Block, Call, Effect, Operation, Sleep

T = TypeVar("T")

_READ_AHEAD = 64
"""How many messages of a stream are kept for a slower consumer."""


class Transport(Channel):
    """Runs operations, and reads streams. Threads may share it."""

    # --- In a thread ---

    def run(self, operation: Operation[T]) -> T:
        """Runs an operation in this thread."""
        steps = _Steps(operation)
        while (effect := steps.next()) is not None:
            try:
                steps.reply(self._perform(effect))
            except BaseException as error:
                steps.fail(error)
        return steps.answer

    def _perform(self, effect: Effect) -> Any:
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

    def unary(self, call: Call) -> Message:
        """Performs a call."""
        method = self.method(call.method)
        try:
            response: Message = method(call.request, timeout=call.timeout, metadata=self.metadata)
        except (grpc.RpcError, grpc.FutureCancelledError, ValueError) as error:
            raise self.to_error(error) from None
        return response

    def stream(self, call: Call) -> Generator[Any, None, None]:
        """The messages of a stream. It ends when the generator is closed."""
        method = self.method(call.method)
        try:
            rpc = method(call.request, timeout=call.timeout, metadata=self.metadata)
            try:
                yield from rpc
            finally:
                rpc.cancel()
        except (grpc.RpcError, grpc.FutureCancelledError, ValueError) as error:
            raise self.to_error(error) from None

    # --- On an event loop ---

    async def run_async(self, operation: Operation[T]) -> T:
        """Runs an operation on the running loop."""
        steps = _Steps(operation)
        while (effect := steps.next()) is not None:
            try:
                steps.reply(await self._perform_async(effect))
            except GeneratorExit:
                # The loop has ended: nothing more can run on it.
                operation.close()
                raise
            except BaseException as error:
                steps.fail(error)
        return steps.answer

    async def _perform_async(self, effect: Effect) -> Any:
        if isinstance(effect, Call):
            return await self.unary_async(effect)
        if isinstance(effect, Sleep):
            return await asyncio.sleep(effect.seconds)
        if isinstance(effect, Block):
            return await asyncio.to_thread(effect.function)
        value = effect.function()
        return await value if inspect.isawaitable(value) else value

    async def unary_async(self, call: Call) -> Message:
        """Performs a call; cancelling the task cancels the call."""
        loop = asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()
        method = self.method(call.method)
        try:
            rpc = method.future(call.request, timeout=call.timeout, metadata=self.metadata)
        except ValueError as error:
            raise self.to_error(error) from None

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
            raise self.to_error(error) from None
        return response

    async def stream_async(self, call: Call) -> AsyncGenerator[Any, None]:
        """The messages of a stream. A thread of its own reads them, a few ahead of the consumer."""
        loop = asyncio.get_running_loop()
        method = self.method(call.method)
        try:
            rpc = method(call.request, timeout=call.timeout, metadata=self.metadata)
        except ValueError as error:
            raise self.to_error(error) from None
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
                    raise self.to_error(end) from None
                yield message
        finally:
            rpc.cancel()
            room.release()

    async def close_async(self) -> None:
        """Closes the channel without blocking the loop."""
        await asyncio.to_thread(self.close)


class _Steps(Generic[T]):
    """Steps through an operation: what it asks for next, and what it is answered."""

    answer: T

    def __init__(self, operation: Operation[T]) -> None:
        self._operation = operation
        self._resume: Callable[[], Effect] = lambda: next(operation)

    def next(self) -> Effect | None:
        """What the operation asks for; None once it has its `answer`."""
        try:
            return self._resume()
        except StopIteration as done:
            self.answer = done.value
            return None

    def reply(self, value: Any) -> None:
        """What the operation asked for."""
        self._resume = lambda: self._operation.send(value)

    def fail(self, error: BaseException) -> None:
        """What it asked for failed: the error is raised inside of it."""
        self._resume = lambda: self._operation.throw(error)
