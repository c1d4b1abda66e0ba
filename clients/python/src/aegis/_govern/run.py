"""An action that was allowed runs, once or with its retries, and is reported."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from aegis._govern.decide import best_effort
from aegis._govern.hooks import caller, copy_of
from aegis._govern.report import reported
from aegis._govern.terms import Terms, Work
from aegis._operations.effects import Do, Operation, Sleep
from aegis._rpc import LONGEST_DELAY
from aegis.core.action import Action
from aegis.core.decision import Decision
from aegis.core.result import Result
from aegis.core.status import ResultStatus


def run(terms: Terms, action: Action, decision: Decision, work: Work) -> Operation[Result]:
    """Runs an allowed action, and reports what came of it."""
    started = now()
    attempt = 0
    try:
        if work.before is not None:
            yield Do(work.before)
        while True:
            result = yield from _attempt(action, decision, work, started)
            if result.ok or result.status is not ResultStatus.FAILED or attempt >= work.max_retries:
                break
            if work.retry_backoff > 0:
                yield Sleep(min(work.retry_backoff * 2 ** min(attempt, 30), LONGEST_DELAY))
            attempt += 1
    except GeneratorExit:
        raise
    except BaseException as error:
        # Interrupted: whether it had an effect is not known, that it did not work is.
        broken = Result(action, ResultStatus.FAILED, error=_says(error), started_at=started, completed_at=now())
        yield from best_effort(reported(terms, decision, broken))
        raise
    yield from reported(terms, decision, result)
    return result


def _attempt(action: Action, decision: Decision, work: Work, started: datetime) -> Operation[Result]:
    try:
        returned = yield Do(caller(work.execute, (copy_of(action),)))
    except Exception as error:
        return Result(
            action,
            ResultStatus.FAILED,
            error=_says(error),
            started_at=started,
            completed_at=now(),
            decision=decision,
            exception=error,
        )
    result = _as_result(returned, action, decision, started, raw=work.raw)
    if result.ok and work.verify is not None:
        verify = work.verify
        try:
            verified = yield Do(lambda: verify(action, result))
        except Exception as error:
            why = f"Post-execution verification failed: {_says(error)}"
            return replace(result, status=ResultStatus.FAILED, error=why, exception=error)
        if not verified:
            return replace(result, status=ResultStatus.FAILED, error="Post-execution verification failed")
    return result


def _as_result(returned: Any, action: Action, decision: Decision, started: datetime, *, raw: bool) -> Result:
    if raw or not isinstance(returned, Result):
        return Result(
            action,
            ResultStatus.SUCCESS,
            data=returned,
            started_at=started,
            completed_at=now(),
            decision=decision,
        )
    status = ResultStatus(returned.status)
    if status not in {ResultStatus.SUCCESS, ResultStatus.FAILED, ResultStatus.SKIPPED, ResultStatus.ROLLED_BACK}:
        # It ran, so it can be neither blocked nor denied.
        status = ResultStatus.FAILED
    return replace(
        returned,
        action=action,
        status=status,
        started_at=started,
        completed_at=returned.completed_at if isinstance(returned.completed_at, datetime) else now(),
        decision=decision,
    )


def _says(error: BaseException) -> str:
    return str(error) or type(error).__name__


def now() -> datetime:
    return datetime.now(timezone.utc)
