"""The life of one governed call, without the I/O: propose, wait, run, report. The one place that decides whether an action runs.

What may not happen here, whatever hooks, handlers and executors do:

- An action runs only where `_may_run` says so: the daemon's own answer reads `ALLOW`. The answer is kept by this module;
  hooks and handlers are given copies, and what they return is not looked at.
- What runs is what was proposed: the action is copied before it is proposed, and the copy goes to the executor.
- What was allowed and did not run is reported as skipped; what waits and is not wanted any more is withdrawn.
"""

from __future__ import annotations

import copy
import inspect
import logging
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any, TypeAlias

from aegis import _operations, types
from aegis._operations import Do, Operation, Sleep
from aegis._rpc import LONGEST_DELAY
from aegis._settings import Settings
from aegis.core.action import Action, ActionLike, Secret
from aegis.core.result import Result, ResultStatus
from aegis.errors import AegisError, GovernanceError, ReportError

_log = logging.getLogger("aegis")

Hook: TypeAlias = Callable[..., Any]
"""A function of one argument or of two; it may be async where it is used in async code."""


def check_hook(hook: Hook | None, name: str, words: tuple[str, str]) -> int:
    """How many arguments a hook takes: the second of `words`, or both."""
    if hook is None:
        return 0
    try:
        signature = inspect.signature(hook)
    except (TypeError, ValueError):
        return 2
    for arguments in (2, 1):
        try:
            signature.bind(*range(arguments))
        except TypeError:
            continue
        return arguments
    raise TypeError(f"{name} takes ({words[1]}) or ({words[0]}, {words[1]}), not {signature}")


@dataclass(frozen=True)
class Hooks:
    """What is told of a governed call. None of it can turn a no into a yes."""

    on_decision: Hook | None = None
    on_approval: Hook | None = None
    on_execute: Hook | None = None
    _arity: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        words = {"on_decision": "decision", "on_approval": "decision", "on_execute": "result"}
        for name, word in words.items():
            self._arity[name] = check_hook(getattr(self, name), name, ("action", word))

    def decided(self, name: str, action: Action, decision: types.Decision) -> Operation[None]:
        """Tells a hook of a decision; it gets copies."""
        hook: Hook | None = getattr(self, name)
        if hook is not None:
            shown = _copy_of(action)
            told = replace(decision, constraints=copy.deepcopy(decision.constraints), action=shown)
            yield Do(_caller(hook, (shown, told)[2 - self._arity[name] :]))

    def executed(self, result: Result) -> Operation[None]:
        """Tells the hook of a result."""
        if self.on_execute is not None:
            arguments = (_copy_of(result.action), result)
            yield Do(_caller(self.on_execute, arguments[2 - self._arity["on_execute"] :]))


def _caller(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Callable[[], Any]:
    return lambda: function(*arguments)


def _copy_of(action: Action) -> Action:
    return replace(action, params=copy.deepcopy(dict(action.params)))


Confirm: TypeAlias = Callable[[Action, types.Decision], Any]
"""Asks the agent's own user. Only `True` is a yes."""


@dataclass(frozen=True)
class Terms:
    """How calls are governed."""

    settings: Settings
    actor: Mapping[str, Any] | types.Actor | str | None = None
    context: Mapping[str, Any] | None = None
    approval_timeout: float | None = None
    """Seconds to wait for a reviewer; None: until the question expires."""
    confirm: Confirm | None = None
    hooks: Hooks = field(default_factory=Hooks)
    pinned_revision: str | None = None
    """The only policy under which anything runs; None: whichever is in force."""
    await_answer: Callable[[types.Decision], Awaitable[types.Decision]] | None = None
    """Waits for a reviewer's answer and asks one meanwhile. None: only waits."""
    mirror: Callable[[Result], Any] | None = None
    """Is told of every result, whatever it is."""
    record_data: bool = True
    """Whether what actions return goes to the record."""


@dataclass(frozen=True)
class Work:
    """What is done when the answer is yes."""

    execute: Callable[[Action], Any]
    verify: Callable[[Action, Result], Any] | None = None
    max_retries: int = 0
    retry_backoff: float = 1.0
    rollback: Callable[[Action, Result], Any] | None = None
    """Makes the action that undoes a failed one; None where there is none."""
    before: Callable[[], Any] | None = None
    """Is called once the answer is yes, before the first attempt."""
    raw: bool = False
    """Whether what `execute` returns is the data, even where it is a `Result`."""


def govern(
    terms: Terms,
    action: ActionLike,
    work: Work,
    *,
    idempotency_key: str | None = None,
) -> Operation[Result]:
    """One governed call. Its result is on the record when this returns."""
    copy_of_action, decision, first = yield from _decide(terms, action, idempotency_key)
    if not _may_run(decision):
        blocked = first == "DENY"
        result = Result(
            copy_of_action,
            ResultStatus.BLOCKED if blocked else ResultStatus.DENIED,
            error=_why_not(decision, blocked=blocked),
            completed_at=_now(),
            decision=decision,
        )
        yield from _mirrored(terms, result)
        return result
    result = yield from _run(terms, copy_of_action, decision, work)
    yield from _mirrored(terms, result)
    yield from terms.hooks.executed(result)
    return result


def skip(terms: Terms, action: ActionLike, why: str) -> Operation[Result]:
    """Puts on the record that an action was not tried: it is proposed, and not run whatever the answer is."""
    copy_of_action, decision = yield from _propose(terms, action, None, None)
    if decision.outcome != "DENY":
        yield from _withdraw(terms, decision, why)
    result = Result(copy_of_action, ResultStatus.SKIPPED, error=why, completed_at=_now(), decision=decision)
    yield from _mirrored(terms, result)
    return result


def _may_run(decision: types.Decision) -> bool:
    return decision.outcome == "ALLOW"


def _why_not(decision: types.Decision, *, blocked: bool) -> str:
    if blocked:
        return f"Blocked by policy rule {decision.matched_rule}: {decision.reason}"
    if decision.outcome == "REQUIRE_CONFIRMATION":
        return f"Denied: the agent's user has not confirmed: {decision.reason}"
    return f"Denied: {decision.reason}"


def _propose(
    terms: Terms, action: ActionLike, idempotency_key: str | None, confirmation_token: str | None
) -> Operation[tuple[Action, types.Decision]]:
    key = idempotency_key or uuid.uuid4().hex

    def propose(settings: Settings) -> Operation[types.Decision]:
        return _operations.propose(
            settings,
            action,
            actor=terms.actor,
            context=terms.context,
            idempotency_key=key,
            confirmation_token=confirmation_token,
        )

    try:
        decision = yield from propose(terms.settings)
    except GeneratorExit:
        raise
    except Exception as error:
        if isinstance(error, AegisError) and error.code == "DEADLINE_EXCEEDED":
            # The answer was late: as below.
            yield from _best_effort(_withdraw_unseen(terms, propose))
        raise
    except BaseException:
        # Interrupted on the way: it may be there already. The same key finds it, so that it can be withdrawn.
        yield from _best_effort(_withdraw_unseen(terms, propose))
        raise
    if decision.action is None:
        raise AssertionError("a proposal has its action")
    if terms.pinned_revision is not None and decision.policy_revision != terms.pinned_revision:
        yield from _best_effort(_withdraw(terms, decision, "decided under another policy than the agent names"))
        raise GovernanceError(
            f"the daemon decides by policy {decision.policy_revision[:12]}, and this runtime was given another, "
            f"{terms.pinned_revision[:12]}: nothing runs; an admin puts a policy in force (`update_policy`), or leave "
            "`policy=` out to run under the daemon's",
            reason="POLICY_MISMATCH",
        )
    return decision.action, decision


def _decide(
    terms: Terms, action: ActionLike, idempotency_key: str | None
) -> Operation[tuple[Action, types.Decision, types.Outcome]]:
    """The decision as it stands in the end, and how it was at first."""
    copy_of_action, decision = yield from _propose(terms, action, idempotency_key, None)
    first = decision.outcome
    try:
        yield from terms.hooks.decided("on_decision", copy_of_action, decision)
        if first == "ESCALATE":
            decision = yield from _reviewed(terms, decision)
        elif first == "REQUIRE_CONFIRMATION":
            decision = yield from _confirmed(terms, copy_of_action, decision)
        if first in {"ESCALATE", "REQUIRE_CONFIRMATION"}:
            yield from terms.hooks.decided("on_approval", copy_of_action, decision)
    except GeneratorExit:
        raise
    except BaseException:
        if decision.outcome != "DENY":
            yield from _best_effort(_withdraw(terms, decision, "not tried: the agent gave up before the action ran"))
        raise
    return copy_of_action, decision, first


def _reviewed(terms: Terms, decision: types.Decision) -> Operation[types.Decision]:
    _log.info("waiting for a reviewer until %s: %s (`aegis review`)", decision.expires_at, decision.approval_id)
    if terms.await_answer is not None:
        await_answer = terms.await_answer
        decision = yield Do(lambda: await_answer(decision))
    else:
        decision = yield from _operations.wait(terms.settings, decision, terms.approval_timeout)
    if decision.outcome == "ESCALATE":
        # Nobody waits any more, so nobody shall approve; somebody who just did has been faster.
        try:
            decision = yield from _operations.cancel(terms.settings, decision, "the caller's deadline is over")
        except GovernanceError:
            decision = yield from _operations.wait(terms.settings, decision, 0.0)
    return decision


def _confirmed(terms: Terms, action: Action, decision: types.Decision) -> Operation[types.Decision]:
    confirm = terms.confirm
    if confirm is not None:
        shown = _copy_of(action)
        answer = yield Do(lambda: confirm(shown, decision))
        if answer is True:
            _, second = yield from _propose(terms, action, None, decision.confirmation_token)
            if second.outcome == "REQUIRE_CONFIRMATION":
                yield from _operations.cancel(terms.settings, second, "confirmed already")
            return second
    yield from _operations.cancel(terms.settings, decision, "the agent's user did not confirm")
    return decision


def _withdraw(terms: Terms, decision: types.Decision, why: str) -> Operation[None]:
    """Says on the record that an action was not tried."""
    if decision.outcome == "ALLOW":
        yield from _operations.report(terms.settings, decision, ResultStatus.SKIPPED, error=why)
    elif decision.outcome in {"ESCALATE", "REQUIRE_CONFIRMATION"}:
        try:
            yield from _operations.cancel(terms.settings, decision, why)
        except GovernanceError:
            # It was decided in this very moment.
            stands = yield from _operations.wait(terms.settings, decision, 0.0)
            if stands.outcome == "ALLOW":
                yield from _operations.report(terms.settings, stands, ResultStatus.SKIPPED, error=why)


ABANDON_WITHIN = 5.0
"""Seconds; how long one attempt takes at most to withdraw what nobody waits for any longer."""


def _withdraw_unseen(terms: Terms, propose: Callable[[Settings], Operation[types.Decision]]) -> Operation[None]:
    hasty = replace(terms.settings, retries=0, timeout=min(terms.settings.timeout, ABANDON_WITHIN))
    decision = yield from propose(hasty)
    yield from _withdraw(terms, decision, "not tried: the agent gave up before it had the answer")


def _best_effort(operation: Operation[None]) -> Operation[None]:
    """For what is done while another error is on its way: that one tells more."""
    try:
        yield from operation
    except AegisError:
        return


def _run(terms: Terms, action: Action, decision: types.Decision, work: Work) -> Operation[Result]:
    """Runs an allowed action, reports it, and undoes it where that is wanted."""
    started = _now()
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
        broken = Result(action, ResultStatus.FAILED, error=_says(error), started_at=started, completed_at=_now())
        yield from _best_effort(_reported(terms, decision, broken))
        raise
    yield from _reported(terms, decision, result)
    if result.status is ResultStatus.FAILED and work.rollback is not None:
        result = yield from _rolled_back(terms, decision, result, work)
    return result


def _attempt(action: Action, decision: types.Decision, work: Work, started: datetime) -> Operation[Result]:
    try:
        returned = yield Do(_caller(work.execute, (_copy_of(action),)))
    except Exception as error:
        return Result(
            action,
            ResultStatus.FAILED,
            error=_says(error),
            started_at=started,
            completed_at=_now(),
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


def _as_result(returned: Any, action: Action, decision: types.Decision, started: datetime, *, raw: bool) -> Result:
    if raw or not isinstance(returned, Result):
        return Result(
            action,
            ResultStatus.SUCCESS,
            data=returned,
            started_at=started,
            completed_at=_now(),
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
        completed_at=returned.completed_at if isinstance(returned.completed_at, datetime) else _now(),
        decision=decision,
    )


def _reported(terms: Terms, decision: types.Decision, result: Result) -> Operation[None]:
    data = result.data if terms.record_data else None
    try:
        try:
            yield from _report(terms, decision, result, data)
        except GovernanceError as refused:
            if data is None or refused.code != "INVALID_ARGUMENT":
                raise
            # It ran: what the record cannot hold must not cost it the result.
            yield from _report(terms, decision, result, {"not_recorded": str(refused)})
    except AegisError as error:
        raise ReportError(result, error) from result.exception or error


def _report(terms: Terms, decision: types.Decision, result: Result, data: Any) -> Operation[str]:
    return _operations.report(
        terms.settings,
        decision,
        result.status,
        data=data,
        error=_without_secrets(result),
        started_at=result.started_at,
        completed_at=result.completed_at,
    )


def _without_secrets(result: Result) -> str | None:
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


def _rolled_back(terms: Terms, decision: types.Decision, failed: Result, work: Work) -> Operation[Result]:
    """Undoes a failed action by another one, which is governed as any."""
    rollback = work.rollback
    if rollback is None:
        return failed
    undoing = yield Do(lambda: rollback(failed.action, failed))
    if undoing is None:
        return failed
    undo = yield from govern(terms, undoing, Work(work.execute, work.verify))
    if not undo.ok:
        return replace(failed, rollback=undo)
    result = replace(failed, status=ResultStatus.ROLLED_BACK, completed_at=_now(), rollback=undo)
    yield from _reported(terms, decision, result)
    return result


def _mirrored(terms: Terms, result: Result) -> Operation[None]:
    mirror = terms.mirror
    if mirror is not None:
        yield Do(lambda: mirror(result))


def _says(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _now() -> datetime:
    return datetime.now(timezone.utc)
