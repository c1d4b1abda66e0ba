"""Runs async work for code that is not async, and blocking work for code that is."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class _Outcome:
    value: Any = None
    error: BaseException | None = None


def run_sync(work: Callable[[], Awaitable[Any]]) -> Any:
    """Runs async work to its end, for code that is not async, whether or not this thread runs an event loop."""

    async def main() -> Any:
        return await work()

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(main())
    outcome = _Outcome()

    def run() -> None:
        try:
            outcome.value = asyncio.run(main())
        except BaseException as error:
            outcome.error = error

    context = contextvars.copy_context()
    thread = threading.Thread(target=lambda: context.run(run), name="aegis-call")
    thread.start()
    thread.join()
    if outcome.error is not None:
        raise outcome.error
    return outcome.value


def _without_stop(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a function in a thread. No future can hold a `StopIteration`: who waits for it would wait for ever."""
    try:
        return function(*arguments)
    except StopIteration as error:
        raise RuntimeError("the function raised StopIteration") from error


def in_thread(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, run in a thread where it is not async. What it returns is awaited on the loop where it can be."""
    call = getattr(function, "__call__", None)  # noqa: B004
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call):
        return function

    async def threaded(*arguments: Any) -> Any:
        returned = await asyncio.to_thread(_without_stop, function, *arguments)
        return await returned if inspect.isawaitable(returned) else returned

    return threaded
