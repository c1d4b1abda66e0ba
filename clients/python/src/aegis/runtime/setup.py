"""An executor is set up once, before its first action that is allowed, and torn down at the end."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from aegis.adapters.base import BaseExecutor


class Setup:
    """Sets an executor up before the first action that is allowed, once."""

    def __init__(self, executor: BaseExecutor | None) -> None:
        self._executor = executor
        self._turn = asyncio.Lock()
        self._done = False
        self.users = 0

    async def do(self) -> None:
        """Sets the executor up, unless that is done."""
        async with self._turn:
            if not self._done and self._executor is not None:
                await _awaited(self._executor.setup())
                self._done = True

    async def undo(self) -> None:
        """Tears it down, where it was set up."""
        if self._done and self._executor is not None:
            self._done = False
            await _awaited(self._executor.teardown())


async def _awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
