"""One connection with one credential: what the classes per role have in common."""

from __future__ import annotations

from types import TracebackType
from typing import TypeVar

from aegis._client.base import BaseConnection
from aegis._operations.effects import Operation

T = TypeVar("T")
C = TypeVar("C", bound="AsyncConnection")


class AsyncConnection(BaseConnection):
    """Runs operations over a connection, and closes it."""

    async def _run(self, operation: Operation[T]) -> T:
        return await self._transport.run_async(operation)

    async def close(self) -> None:
        """Closes the connection. Closing twice is fine."""
        await self._transport.close_async()

    async def __aenter__(self: C) -> C:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
