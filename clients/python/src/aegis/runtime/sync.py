"""Runs async work for code that is not async."""

from __future__ import annotations

import asyncio
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

    thread = threading.Thread(target=run, name="aegis-call")
    thread.start()
    thread.join()
    if outcome.error is not None:
        raise outcome.error
    return outcome.value
