"""What an agent does: propose, wait, report, cancel."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from aegis import _answers, _enums, _reasons, _requests, types
from aegis._digest import action_digest, is_salt
from aegis._operations.effects import Call, Operation, Sleep, call, pause, retried
from aegis._proto import governance_pb2, types_pb2
from aegis._rpc import may_pass, pause_after
from aegis._settings import Settings
from aegis._values import check_text, to_record
from aegis.core.action import Action, ActionLike
from aegis.core.errors import AegisError, GovernanceError, InvalidActionError
from aegis.core.status import ResultStatus
from aegis.errors import ActionDenied

SHORTEST_POLL = 0.5
"""Seconds; a daemon that does not wait is asked no more often."""
WAIT_CHUNK = 60.0
"""Seconds; how long one call waits for a decision before it asks again."""


def proposal(
    action: ActionLike,
    *,
    actor: Mapping[str, Any] | types.Actor | str | None,
    context: Mapping[str, Any] | None,
    idempotency_key: str | None,
    confirmation_token: str | None,
) -> tuple[Action, governance_pb2.ProposeRequest]:
    """A checked proposal: what will run if it is allowed, and the request."""
    if idempotency_key == "":
        raise InvalidActionError("idempotency_key", "must not be empty: leave it out for a random one")
    copy, message = _requests.action(action)
    request = governance_pb2.ProposeRequest(
        actor=_requests.actor(actor),
        action=message,
        context=_requests.context(context),
        idempotency_key=check_text(idempotency_key or uuid.uuid4().hex, "idempotency_key"),
        confirmation_token=check_text(confirmation_token or "", "confirmation_token"),
    )
    return copy, request


def propose(
    settings: Settings,
    action: ActionLike,
    *,
    actor: Mapping[str, Any] | types.Actor | str | None = None,
    context: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
    confirmation_token: str | None = None,
    wait_for: float = 0.0,
    raise_on_deny: bool = False,
) -> Operation[types.Decision]:
    """Proposes an action, and waits for a reviewer where that is wanted."""
    copy, request = proposal(
        action,
        actor=actor,
        context=context,
        idempotency_key=idempotency_key,
        confirmation_token=confirmation_token,
    )
    decision, _ = yield from send(settings, request, copy)
    if wait_for > 0 and decision.outcome == "ESCALATE":
        decision = yield from wait(settings, decision, wait_for)
    if raise_on_deny and decision.outcome == "DENY":
        raise ActionDenied(decision)
    return decision


def send(
    settings: Settings, request: governance_pb2.ProposeRequest, copy: Action
) -> Operation[tuple[types.Decision, bool]]:
    """Sends a proposal. The same request again is the same proposal.

    Returns:
        The decision, and whether it is this call's own: no earlier call got it by the same idempotency key.
    """
    response, retry = yield from retried(settings, "Propose", request)
    decision = verify_decision(_answers.decision(response.decision, copy), request)
    return decision, retry or not decision.replayed


def verify_decision(answer: types.Decision, of: governance_pb2.ProposeRequest | types.Decision | str) -> types.Decision:
    """The answer, if it is about what was asked. The one place where that is checked.

    Args:
        answer: What the daemon answered.
        of: The proposal that was sent; or the decision, or its id, that was asked about.

    Raises:
        GovernanceError: It names no decision, or another one, or it is for another action than the one that was sent;
            or its outcome is not known, which never allows an action.
    """
    if answer.outcome not in _enums.OUTCOME_NUMBERS:
        raise GovernanceError(
            f"the daemon answered {answer.decision_id or 'a proposal'} with the outcome {answer.outcome}, which this "
            "SDK does not know: the action must not run; a newer SDK may know it",
            reason="UNKNOWN_OUTCOME",
        )
    if isinstance(of, governance_pb2.ProposeRequest):
        if not answer.decision_id:
            raise _mismatch("it names no decision")
        _verify_digest(answer, of)
        return answer
    asked = of if isinstance(of, str) else of.decision_id
    if not answer.decision_id or asked != answer.decision_id:
        raise _mismatch(f"it was asked about decision `{asked}`, and its answer names `{answer.decision_id}`")
    if isinstance(of, types.Decision) and of.action_digest and answer.action_digest != of.action_digest:
        raise _mismatch(f"its answer about {answer.decision_id} is for another action than the one that was proposed")
    return answer


def _verify_digest(answer: types.Decision, request: governance_pb2.ProposeRequest) -> None:
    salt = answer.action_digest_salt
    if not is_salt(salt):
        if answer.outcome == "DENY" and not salt and answer.result is None:
            # Nothing is done on it.
            return
        raise _mismatch(f"{answer.decision_id} has no salt of 32 hex digits, so its digest cannot be checked")
    if action_digest(request, salt) != answer.action_digest:
        raise _mismatch(f"{answer.decision_id} is for another action than the one that was proposed")


def _mismatch(why: str) -> GovernanceError:
    return GovernanceError(
        f"the daemon's answer is not for what was asked: {why}. Nothing runs. Is another program on the daemon's port?",
        reason="ANSWER_MISMATCH",
    )


def wait(settings: Settings, decision: types.Decision | str, timeout: float | None) -> Operation[types.Decision]:
    """Polls until the decision is made. Broken connections and restarts of the daemon do not end it."""
    decision_id, proposed = (decision, None) if isinstance(decision, str) else (decision.decision_id, decision.action)
    deadline = None if timeout is None else time.monotonic() + timeout
    # How long a daemon that is gone is waited for.
    hope = deadline if deadline is not None else _expiry(decision, settings)
    failures = 0
    while True:
        began = time.monotonic()
        chunk = WAIT_CHUNK if deadline is None else max(0.0, min(WAIT_CHUNK, deadline - began))
        request = governance_pb2.AwaitDecisionRequest(
            decision_id=check_text(decision_id, "decision_id"), wait=_requests.duration(chunk)
        )
        try:
            response = yield Call("AwaitDecision", request, chunk + settings.timeout)
        except AegisError as error:
            if not (may_pass(error) or error.code == "DEADLINE_EXCEEDED"):
                raise
            left = None if hope is None else hope - time.monotonic()
            if failures >= settings.retries if left is None else left <= 0:
                raise
            between = pause_after(error, settings.retry_delay, failures)
            yield from pause(settings, error, between if left is None else min(between, left))
            failures += 1
            continue
        failures = 0
        answer = verify_decision(_answers.decision(response.decision, proposed), decision)
        now = time.monotonic()
        if answer.outcome != "ESCALATE" or (deadline is not None and now >= deadline):
            return answer
        if hope is None or deadline is None:
            hope = _expiry(answer, settings)
        if now - began < min(chunk, SHORTEST_POLL):
            # It answered at once that nothing is decided, and would do so again.
            yield Sleep(min(SHORTEST_POLL, chunk) - (now - began))


def _expiry(decision: types.Decision | str, settings: Settings) -> float | None:
    """When the question expires by this process's clock, plus the time of one call."""
    if isinstance(decision, str) or decision.expires_at is None:
        return None
    moment = _requests.timestamp(decision.expires_at).ToDatetime(timezone.utc)
    left = (moment - datetime.now(timezone.utc)).total_seconds()
    return time.monotonic() + left + settings.timeout


def report(
    settings: Settings,
    decision: types.Decision | str,
    status: ResultStatus | str,
    *,
    data: Any = None,
    error: str | None = None,
    started_at: datetime | None = None,
    completed_at: datetime | None = None,
) -> Operation[str]:
    result = types_pb2.ActionResult(
        status=_requests.status_number(status),
        error=_for_record(error or ""),
        data=None if data is None else to_record(data),
        started_at=None if started_at is None else _requests.timestamp(started_at),
        completed_at=None if completed_at is None else _requests.timestamp(completed_at),
    )
    request = governance_pb2.ReportResultRequest(decision_id=_decision_id(decision), result=result)
    response = yield from call(settings, "ReportResult", request)
    audit_ref: str = response.audit_ref
    return audit_ref


LONGEST_ERROR = 4_000
"""Bytes; a report must not be refused because an error goes on and on."""


def _for_record(error: str) -> str:
    text = error.encode(errors="backslashreplace")
    if len(text) <= LONGEST_ERROR:
        return text.decode()
    return text[: LONGEST_ERROR - 3].decode(errors="ignore") + "..."


def cancel(settings: Settings, decision: types.Decision | str, reason: str) -> Operation[types.Decision]:
    proposed = None if isinstance(decision, str) else decision.action
    request = governance_pb2.CancelProposalRequest(
        decision_id=_decision_id(decision), reason=check_text(reason, "reason")
    )
    attempt = 0
    while True:
        try:
            response = yield Call("CancelProposal", request, settings.timeout)
        except AegisError as error:
            if attempt > 0 and error.reason in {_reasons.NOT_PENDING, _reasons.ALREADY_DECIDED}:
                # The answer to the first attempt may have been lost: look what stands.
                return (yield from wait(settings, decision, 0.0))
            if attempt >= settings.retries or not may_pass(error):
                raise
            yield from pause(settings, error, pause_after(error, settings.retry_delay, attempt))
            attempt += 1
        else:
            return verify_decision(_answers.decision(response.decision, proposed), decision)


def _decision_id(decision: types.Decision | str) -> str:
    return check_text(decision if isinstance(decision, str) else decision.decision_id, "decision_id")
