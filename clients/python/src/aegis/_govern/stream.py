"""An action that gives its results one by one. It is reported when it has given the last one.

`begin` returns a `Streaming` for work that may stream and did return a generator. `follow` and `follow_async` iterate
it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aegis._govern.kept import Kept
from aegis._govern.report import mirrored, now, of_error, reported
from aegis._govern.terms import Terms
from aegis._operations.effects import Operation
from aegis._transport import Transport
from aegis.core.decision import Decision
from aegis.core.errors import GovernanceError
from aegis.core.result import Result
from aegis.core.status import ResultStatus

MOST_ITEMS = 100
"""How many items of a stream go to the record; of the rest, their number."""


@dataclass
class Streaming:
    """An allowed action whose generator has not ended, and what it gave so far."""

    kept: Kept
    decision: Decision
    generator: Any
    started: datetime
    count: int = 0
    items: list[Any] = field(default_factory=list)

    def gave(self, item: Any) -> Any:
        """Notes an item."""
        self.count += 1
        if len(self.items) < MOST_ITEMS:
            self.items.append(item)
        return item

    def end(self, terms: Terms, error: BaseException | None = None, *, closed: bool = False) -> Operation[None]:
        """Reports what came of it."""
        data: dict[str, Any] = {"streamed": self.count, "items": self.items}
        if closed:
            data["closed_early"] = True
        status, why = (ResultStatus.SUCCESS, None) if error is None else of_error(error)
        result = Result(
            self.kept.action,
            status,
            data=data,
            error=why,
            started_at=self.started,
            completed_at=now(),
            decision=self.decision,
            exception=error,
        )
        yield from reported(terms, self.decision, result)
        yield from mirrored(terms, result)
        yield from terms.hooks.executed(result)


def recorded_items(result: Result) -> list[Any] | None:
    """The items of a stream that was reported already; None where the result is no recorded one.

    Raises:
        GovernanceError: The record does not have all of them.
    """
    decision = result.decision
    if decision is None or decision.code != "ALREADY_REPORTED":
        return None
    data = result.data if isinstance(result.data, dict) else {}
    items, count = data.get("items"), data.get("streamed")
    if not isinstance(items, list) or count != len(items) or data.get("closed_early"):
        raise GovernanceError(
            f"{result.action.type} was reported already as {result.status.value}, and the record has not all that it "
            "gave: nothing runs again",
            reason="ALREADY_REPORTED",
        )
    return items


class _Noting:
    """A generator whose items are noted. `yield from` passes `send` and `throw` on to it."""

    def __init__(self, streaming: Streaming) -> None:
        self._streaming, self._generator = streaming, streaming.generator

    def __iter__(self) -> _Noting:
        return self

    def __next__(self) -> Any:
        return self._streaming.gave(next(self._generator))

    def send(self, value: Any) -> Any:
        return self._streaming.gave(self._generator.send(value))

    def throw(self, error: BaseException) -> Any:
        return self._streaming.gave(self._generator.throw(error))

    def close(self) -> None:
        self._generator.close()


def follow(transport: Transport, terms: Terms, streaming: Streaming) -> Generator[Any, Any, Any]:
    """Iterates the generator, and reports at its end. Closing it early is no failure."""
    try:
        value = yield from _Noting(streaming)
    except GeneratorExit:
        transport.run(streaming.end(terms, closed=True))
        raise
    except BaseException as error:
        transport.run(streaming.end(terms, error))
        raise
    transport.run(streaming.end(terms))
    return value


async def follow_async(transport: Transport, terms: Terms, streaming: Streaming) -> AsyncGenerator[Any, Any]:
    """`follow`, for an async generator; a plain one is iterated on the loop."""
    generator = streaming.generator
    plain = not hasattr(generator, "__anext__")
    try:
        step: Callable[[], Any] = lambda: next(generator) if plain else generator.__anext__()  # noqa: E731
        while True:
            item = step() if plain else await step()
            try:
                sent = yield streaming.gave(item)
            except GeneratorExit:
                await _closed(generator, plain)
                raise
            except BaseException as error:
                step = _later(generator.throw if plain else generator.athrow, error)
            else:
                step = _later(generator.send if plain else generator.asend, sent)
    except (StopIteration, StopAsyncIteration):
        pass
    except GeneratorExit:
        await transport.run_async(streaming.end(terms, closed=True))
        raise
    except BaseException as error:
        await transport.run_async(streaming.end(terms, error))
        raise
    await transport.run_async(streaming.end(terms))


async def _closed(generator: Any, plain: bool) -> None:
    if plain:
        generator.close()
    else:
        await generator.aclose()


def _later(function: Any, argument: Any) -> Any:
    return lambda: function(argument)
