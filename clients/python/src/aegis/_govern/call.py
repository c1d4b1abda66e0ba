"""The life of one governed call, without the I/O: propose, wait, run, report.

This package is the one place that decides whether an action runs. Whatever hooks, handlers and executors do:

- An action runs only where `may_run` says so: the daemon's own answer reads `ALLOW`. This package keeps the answer.
  Hooks and handlers get copies, and what they return is not looked at.
- What runs is what was proposed: the action is copied before it is proposed, and the executor gets the copy.
- An `ALLOW` is for one run: one that another call got by the same idempotency key raises `AlreadyClaimed`, and of what
  was reported the recorded result is returned.
- What was allowed and did not run is reported as skipped. What waits and is not wanted any more is withdrawn.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

from aegis import _requests
from aegis._govern.decide import decide, propose, withdraw
from aegis._govern.kept import Kept
from aegis._govern.report import mirrored, now, reported
from aegis._govern.run import run
from aegis._govern.stream import Streaming
from aegis._govern.terms import Terms, Work
from aegis._operations.effects import Do, Operation
from aegis.core.action import Action, ActionLike
from aegis.core.decision import Decision, Outcome
from aegis.core.result import Result
from aegis.core.status import ResultStatus


def govern(terms: Terms, action: ActionLike, work: Work, key: str | None = None) -> Operation[Result]:
    """One governed call. Its result is on the record when this returns."""
    result = yield from begin(terms, action, work, key)
    if isinstance(result, Streaming):
        raise AssertionError("work that may stream is begun with `begin`")
    return result


def begin(terms: Terms, action: ActionLike, work: Work, key: str | None = None) -> Operation[Result | Streaming]:
    """One governed call, which may give its results one by one. What streams is on the record once it was followed.

    Calls with the same idempotency `key` are one. None: this call is another than all others.
    """
    describe = work.describe
    if describe is not None:
        action = yield Do(lambda: describe(Action.of(action)))
    kept, decision, first = yield from decide(terms, action, key)
    if not may_run(decision):
        result = not_allowed(kept, decision, first)
        yield from mirrored(terms, result)
        return result
    outcome = yield from run(terms, kept, decision, work)
    if isinstance(outcome, Streaming):
        return outcome
    result = outcome
    if result.status is ResultStatus.FAILED and work.rollback is not None:
        result = yield from _rolled_back(terms, decision, result, work)
    yield from mirrored(terms, result)
    yield from terms.hooks.executed(result)
    return result


def skip(terms: Terms, action: ActionLike, why: str, key: str | None = None) -> Operation[Result]:
    """Puts on the record that an action was not tried: it is proposed, and not run whatever the answer is."""
    proposed = yield from propose(terms, action, key)
    kept, decision = proposed.kept, proposed.decision
    if proposed.ours and decision.outcome != "DENY":
        yield from withdraw(terms, decision, why)
    result = recorded(kept, decision) or Result(
        kept.action, ResultStatus.SKIPPED, error=why, completed_at=now(), decision=decision
    )
    yield from mirrored(terms, result)
    return result


def not_allowed(kept: Kept, decision: Decision, first: Outcome) -> Result:
    """The result of an action that may not run."""
    reported = recorded(kept, decision)
    if reported is not None:
        return reported
    blocked = first == "DENY"
    return Result(
        kept.action,
        ResultStatus.BLOCKED if blocked else ResultStatus.DENIED,
        error=_why_not(decision, blocked=blocked),
        completed_at=now(),
        decision=decision,
    )


def recorded(kept: Kept, decision: Decision) -> Result | None:
    """The result that the record has already; None where the decision does not say that it has one."""
    was = decision.result
    if decision.code != "ALREADY_REPORTED" or was is None:
        return None
    # A status that this SDK does not know is no success.
    status = was.status if isinstance(was.status, ResultStatus) else ResultStatus.UNKNOWN
    completed_at = _moment(was.completed_at)
    return Result(
        kept.action,
        status,
        data=was.data,
        error=was.error or None,
        started_at=_moment(was.started_at) or completed_at or now(),
        completed_at=completed_at,
        decision=decision,
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else _requests.timestamp(text).ToDatetime(timezone.utc)


def may_run(decision: Decision) -> bool:
    """Whether the action runs. Nothing else decides that."""
    return decision.outcome == "ALLOW"


def _why_not(decision: Decision, *, blocked: bool) -> str:
    if blocked:
        return f"Blocked by policy rule {decision.matched_rule}: {decision.reason}"
    if decision.outcome == "REQUIRE_CONFIRMATION":
        return f"Denied: the agent's user has not confirmed: {decision.reason}"
    return f"Denied: {decision.reason}"


def _rolled_back(terms: Terms, decision: Decision, failed: Result, work: Work) -> Operation[Result]:
    """Undoes a failed action by another one, which is governed, too."""
    rollback = work.rollback
    if rollback is None:
        return failed
    undoing = yield Do(lambda: rollback(failed.action, failed))
    if undoing is None:
        return failed
    undo = yield from govern(terms, undoing, Work(work.execute, work.verify, describe=work.describe))
    if not undo.ok:
        return replace(failed, rollback=undo)
    result = replace(failed, status=ResultStatus.ROLLED_BACK, completed_at=now(), rollback=undo)
    yield from reported(terms, decision, result)
    return result
