"""What an operation asks for: a call, a pause, a function. `aegis._transport` performs them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from google.protobuf.message import Message

from aegis._rpc import delay, may_pass
from aegis._settings import Settings
from aegis.core.errors import AegisError

SHORTEST_PAUSE = 0.02
"""Seconds; between two attempts there is a pause, whatever `retry_delay` says."""


@dataclass(frozen=True)
class Call:
    """Perform this call; the answer is its response."""

    method: str
    request: Message
    timeout: float | None


@dataclass(frozen=True)
class Sleep:
    """Pause."""

    seconds: float


@dataclass(frozen=True)
class Do:
    """Call this function; what it returns, awaited where it can be, is the answer."""

    function: Callable[[], Any]


@dataclass(frozen=True)
class Block:
    """Call this function, which blocks: on an event loop, another thread does."""

    function: Callable[[], Any]


Effect: TypeAlias = Call | Sleep | Do | Block
T = TypeVar("T")
Operation: TypeAlias = Generator[Effect, Any, T]


def call(settings: Settings, method: str, request: Message, *, retries: int | None = None) -> Operation[Any]:
    """One call, retried where that is safe and may help."""
    attempts = settings.retries if retries is None else retries
    attempt = 0
    while True:
        try:
            return (yield Call(method, request, settings.timeout))
        except AegisError as error:
            if attempt >= attempts or not may_pass(error):
                raise
            failure = error
        yield from pause(settings, failure, delay(settings.retry_delay, attempt))
        attempt += 1


def pause(settings: Settings, failure: AegisError, seconds: float) -> Operation[None]:
    """Prepares another attempt: restarts a sidecar of this process's own, then pauses."""
    if settings.revive is not None and failure.code == "UNAVAILABLE":
        yield Block(settings.revive)
    yield Sleep(max(seconds, SHORTEST_PAUSE))
