"""An action that was allowed runs, once or with its retries, and is reported."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from aegis._govern.decide import best_effort
from aegis._govern.hooks import caller
from aegis._govern.kept import Kept
from aegis._govern.lazy import as_generator, is_lazy
from aegis._govern.report import Answer, now, of_error, opened, reported, says
from aegis._govern.stream import Streaming
from aegis._govern.terms import Terms, Work
from aegis._operations.effects import Do, Operation, Sleep
from aegis._rpc import LONGEST_DELAY
from aegis.core.action import Action
from aegis.core.decision import Decision
from aegis.core.errors import GovernanceError
from aegis.core.result import Result
from aegis.core.status import ResultStatus


def run(terms: Terms, kept: Kept, decision: Decision, work: Work) -> Operation[Result | Streaming]:
    """Runs an allowed action, and reports what came of it."""
    started = now()
    attempt = 0
    try:
        if work.before is not None:
            yield Do(work.before)
        while True:
            result = yield from _attempt(kept, decision, work, started)
            if isinstance(result, Streaming):
                return result
            if result.ok or result.status is not ResultStatus.FAILED or attempt >= work.max_retries:
                break
            if work.retry_backoff > 0:
                yield Sleep(min(work.retry_backoff * 2 ** min(attempt, 30), LONGEST_DELAY))
            attempt += 1
    except GeneratorExit:
        raise
    except BaseException as error:
        # Interrupted: whether it had an effect is not known, that it did not work is.
        broken = Result(kept.action, ResultStatus.FAILED, error=says(error), started_at=started, completed_at=now())
        yield from best_effort(reported(terms, decision, broken))
        raise
    yield from reported(terms, decision, result)
    return opened(result)


def _attempt(kept: Kept, decision: Decision, work: Work, started: datetime) -> Operation[Result | Streaming]:
    unchanged = yield from _unchanged(kept, work)
    if not isinstance(unchanged, Action):
        return _not_run(kept, decision, unchanged)
    try:
        returned = yield Do(caller(work.execute, (unchanged,)))
        if is_lazy(_made(returned)):
            if work.streams and is_lazy(returned):
                return Streaming(kept, decision, as_generator(returned), started)
            raise TypeError("it returned a generator, of which nothing has run: use `Runtime.stream` or `@governed`")
    except Exception as error:
        status, why = of_error(error)
        return Result(
            kept.action,
            status,
            error=why,
            started_at=started,
            completed_at=now(),
            decision=decision,
            exception=error,
        )
    result = _as_result(returned, kept.action, decision, started, raw=work.raw)
    if result.ok and work.verify is not None:
        verify = work.verify
        shown = replace(result, action=kept.copy())
        try:
            verified = yield Do(lambda: verify(shown.action, shown))
        except Exception as error:
            why = f"Post-execution verification failed: {says(error)}"
            return replace(result, status=ResultStatus.FAILED, error=why, exception=error)
        if not verified:
            return replace(result, status=ResultStatus.FAILED, error="Post-execution verification failed")
    return result


def _made(returned: Any) -> Any:
    """What a function has made, also where it stands in an answer or in a result."""
    if isinstance(returned, Answer):
        return returned.value
    return returned.data if isinstance(returned, Result) else returned


def _unchanged(kept: Kept, work: Work) -> Operation[Action | GovernanceError]:
    """A copy of what was proposed, for one attempt; or why what would run is something else."""
    again = work.again
    try:
        if again is not None:
            kept.check((yield Do(again)))
        return kept.copy()
    except GovernanceError as error:
        return error


def _not_run(kept: Kept, decision: Decision, why: GovernanceError) -> Result:
    return Result(
        kept.action, ResultStatus.SKIPPED, error=str(why), completed_at=now(), decision=decision, exception=why
    )


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
