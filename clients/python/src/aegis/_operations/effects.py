"""What an operation asks for: a call, a pause, a function. `aegis._transport` performs them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from google.protobuf.message import Message

from aegis._rpc import may_have_arrived, may_pass, pause_after
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
    answer, _ = yield from retried(settings, method, request, retries=retries)
    return answer


def retried(
    settings: Settings, method: str, request: Message, *, retries: int | None = None
) -> Operation[tuple[Any, bool]]:
    """`call`, and whether one of its earlier attempts may have arrived, so that the daemon saw the request before."""
    attempts = settings.retries if retries is None else retries
    attempt, arrived = 0, False
    while True:
        try:
            return (yield Call(method, request, settings.timeout)), arrived
        except AegisError as error:
            if attempt >= attempts or not may_pass(error):
                raise
            failure = error
        arrived = arrived or may_have_arrived(failure)
        yield from pause(settings, failure, pause_after(failure, settings.retry_delay, attempt))
        attempt += 1


def pause(settings: Settings, failure: AegisError, seconds: float) -> Operation[None]:
    """Prepares another attempt: restarts a sidecar of this process's own, then pauses."""
    if settings.revive is not None and failure.code == "UNAVAILABLE":
        yield Block(settings.revive)
    yield Sleep(max(seconds, SHORTEST_PAUSE))
