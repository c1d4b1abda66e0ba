"""Reports the result of an action to the record."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from aegis._govern.terms import Terms
from aegis._operations import agent
from aegis._operations.effects import Do, Operation
from aegis.core.action import Secret
from aegis.core.decision import Decision
from aegis.core.errors import AegisError, GovernanceError
from aegis.core.result import Result
from aegis.core.status import ResultStatus
from aegis.errors import ReportError


@dataclass(frozen=True)
class Answer:
    """What was returned: one value for the caller, and another one for the record."""

    value: Any
    for_record: Any


def opened(result: Result) -> Result:
    """The result with the caller's value as its data."""
    return replace(result, data=result.data.value) if isinstance(result.data, Answer) else result


def reported(terms: Terms, decision: Decision, result: Result) -> Operation[None]:
    """Reports a result. Raises `ReportError` where that fails: the action has run."""
    given = result.data.for_record if isinstance(result.data, Answer) else result.data
    data = given if terms.record_data else None
    try:
        try:
            yield from _insistently(terms, decision, result, data)
        except GovernanceError as refused:
            if data is None or refused.code != "INVALID_ARGUMENT":
                raise
            # It ran: what the record cannot hold must not cost it the result.
            yield from _report(terms, decision, result, {"not_recorded": str(refused)})
    except AegisError as error:
        raise ReportError(opened(result), error) from result.exception or error


def _insistently(terms: Terms, decision: Decision, result: Result, data: Any) -> Operation[None]:
    """Reports, even where the caller is interrupted on the way: the action has run."""
    try:
        yield from _report(terms, decision, result, data)
    except GeneratorExit:
        # The loop has ended: nothing more can run on it.
        raise
    except Exception:
        raise
    except BaseException:
        hasty = replace(terms.settings, retries=0, timeout=min(terms.settings.timeout, INTERRUPTED_WITHIN))
        with contextlib.suppress(AegisError):
            yield from _report(replace(terms, settings=hasty), decision, result, data)
        raise


INTERRUPTED_WITHIN = 5.0
"""Seconds; how long the one attempt takes at most that an interrupted report has left."""


def _report(terms: Terms, decision: Decision, result: Result, data: Any) -> Operation[str]:
    return agent.report(
        terms.settings,
        decision,
        result.status,
        data=data,
        error=without_secrets(result),
        started_at=result.started_at,
        completed_at=result.completed_at,
    )


def without_secrets(result: Result) -> str | None:
    """What went wrong, without the secrets that the executor was given."""
    error = None if result.error is None else str(result.error)
    for secret in _secrets(result.action.params):
        if error and secret.reveal():
            error = error.replace(secret.reveal(), secret.masked)
    return error


def _secrets(value: Any) -> Iterator[Secret]:
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _secrets(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _secrets(item)


def mirrored(terms: Terms, result: Result) -> Operation[None]:
    """Tells who wants to know of every result."""
    mirror = terms.mirror
    if mirror is not None:
        yield Do(lambda: mirror(result))


def says(error: BaseException) -> str:
    """The text of an error. A `KeyError` has only its key as text, so its type is added."""
    try:
        text = str.__str__(str(error))
    except Exception:
        # An error whose own code fails must not take the place of what went wrong.
        text = ""
    if not text:
        return type(error).__name__
    return f"{type(error).__name__}: {text}" if isinstance(error, KeyError) else text


def of_error(error: BaseException) -> tuple[ResultStatus, str]:
    """What an action comes to that raised.

    One by which a framework pauses its run, as LangGraph's `interrupt`, did not fail: it is another action when the
    run goes on.
    """
    if "GraphBubbleUp" in {kind.__name__ for kind in type(error).__mro__}:
        return ResultStatus.SKIPPED, f"the framework paused the run: {type(error).__name__}"
    return ResultStatus.FAILED, says(error)


def now() -> datetime:
    """The moment, in UTC."""
    return datetime.now(timezone.utc)
