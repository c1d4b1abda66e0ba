"""What a client does, without doing it: every operation is a generator of calls and pauses, and returns its answer.

The sync and the async client run the same operations (`_drive`), so that retries, waiting and resuming exist once.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, TypeAlias, TypeVar

from google.protobuf import wrappers_pb2
from google.protobuf.message import Message

from aegis import _convert, types
from aegis._proto import admin_pb2, approval_pb2, audit_pb2, governance_pb2, policy_pb2
from aegis._rpc import delay, may_pass
from aegis._settings import Settings
from aegis._values import check_text, to_record
from aegis.core.action import Action, ActionLike
from aegis.core.result import ResultStatus
from aegis.errors import ActionDenied, AegisError, GovernanceError

WAIT_CHUNK = 60.0
"""Seconds; how long one call waits for a decision before it asks again."""


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


T = TypeVar("T")
Operation: TypeAlias = Generator[Call | Sleep | Do, Any, T]


def call(settings: Settings, method: str, request: Message, *, retries: int | None = None) -> Operation[Any]:
    """One call, sent again where that is safe and may help."""
    attempts = settings.retries if retries is None else retries
    attempt = 0
    while True:
        try:
            return (yield Call(method, request, settings.timeout))
        except AegisError as error:
            if attempt >= attempts or not may_pass(error):
                raise
        yield Sleep(delay(settings.retry_delay, attempt))
        attempt += 1


# --- The agent ---


def proposal(
    action: ActionLike,
    *,
    actor: Mapping[str, Any] | types.Actor | str | None,
    context: Mapping[str, Any] | None,
    idempotency_key: str | None,
    confirmation_token: str | None,
) -> tuple[Action, governance_pb2.ProposeRequest]:
    """A checked proposal: what will run if it is allowed, and the request."""
    copy, message = _convert.action(action)
    request = governance_pb2.ProposeRequest(
        actor=_convert.actor(actor),
        action=message,
        context=_convert.context(context),
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
    copy, request = proposal(
        action,
        actor=actor,
        context=context,
        idempotency_key=idempotency_key,
        confirmation_token=confirmation_token,
    )
    response = yield from call(settings, "Propose", request)
    decision = _convert.decision(response.decision, copy)
    if wait_for > 0 and decision.outcome == "ESCALATE":
        decision = yield from wait(settings, decision, wait_for)
    if raise_on_deny and decision.outcome == "DENY":
        raise ActionDenied(decision)
    return decision


def wait(settings: Settings, decision: types.Decision | str, timeout: float | None) -> Operation[types.Decision]:
    """Asks again and again until the decision is made, whatever happens to connections and daemons meanwhile."""
    decision_id, proposed = (decision, None) if isinstance(decision, str) else (decision.decision_id, decision.action)
    deadline = None if timeout is None else time.monotonic() + timeout
    # Until when a daemon that is gone is waited for.
    hope = deadline if deadline is not None else _expiry(decision, settings)
    failures = 0
    while True:
        now = time.monotonic()
        chunk = WAIT_CHUNK if deadline is None else max(0.0, min(WAIT_CHUNK, deadline - now))
        request = governance_pb2.AwaitDecisionRequest(
            decision_id=check_text(decision_id, "decision_id"), wait=_convert.duration(chunk)
        )
        try:
            response = yield Call("AwaitDecision", request, chunk + settings.timeout)
        except AegisError as error:
            if not (may_pass(error) or error.code == "DEADLINE_EXCEEDED"):
                raise
            pause = delay(settings.retry_delay, failures)
            failures += 1
            left = None if hope is None else hope - time.monotonic()
            if failures > settings.retries if left is None else left <= 0:
                raise
            yield Sleep(pause if left is None else min(pause, left))
            continue
        failures = 0
        answer = _convert.decision(response.decision, proposed)
        if answer.outcome != "ESCALATE" or (deadline is not None and time.monotonic() >= deadline):
            return answer
        if hope is None or deadline is None:
            hope = _expiry(answer, settings)


def _expiry(decision: types.Decision | str, settings: Settings) -> float | None:
    """When the question is over by itself, as this process's clock will have it, and some more for the answer."""
    if isinstance(decision, str) or decision.expires_at is None:
        return None
    moment = _convert.timestamp(decision.expires_at).ToDatetime(timezone.utc)
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
    request = governance_pb2.ReportResultRequest(
        decision_id=_decision_id(decision),
        status=_convert.status_number(status),
        error=_for_record(error or ""),
    )
    if data is not None:
        request.data.CopyFrom(to_record(data))
    if started_at is not None:
        request.started_at.CopyFrom(_convert.timestamp(started_at))
    if completed_at is not None:
        request.completed_at.CopyFrom(_convert.timestamp(completed_at))
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
    request = governance_pb2.CancelProposalRequest(decision_id=_decision_id(decision), reason=check_text(reason, "reason"))
    attempt = 0
    while True:
        try:
            response = yield Call("CancelProposal", request, settings.timeout)
        except AegisError as error:
            if attempt > 0 and error.reason in {"NOT_PENDING", "ALREADY_DECIDED"}:
                # The answer to the first attempt may have been lost: look what stands.
                return (yield from wait(settings, decision, 0.0))
            if attempt >= settings.retries or not may_pass(error):
                raise
            yield Sleep(delay(settings.retry_delay, attempt))
            attempt += 1
        else:
            return _convert.decision(response.decision, proposed)


def _decision_id(decision: types.Decision | str) -> str:
    return check_text(decision if isinstance(decision, str) else decision.decision_id, "decision_id")


def evaluate(
    settings: Settings,
    actions: Sequence[ActionLike],
    *,
    actor: Mapping[str, Any] | types.Actor | str | None = None,
    at: datetime | str | None = None,
    explain: bool = False,
) -> Operation[list[types.Evaluation]]:
    who = _convert.actor(actor)
    checked = [_convert.action(action, "" if len(actions) == 1 else f"actions[{index}].") for index, action in enumerate(actions)]
    if not checked:
        return []
    items = [governance_pb2.EvaluateItem(actor=who, action=message) for _, message in checked]
    moment = None if at is None else _convert.timestamp(at)
    answers: list[types.Evaluation] = []
    # As many as a daemon takes at once.
    for first in range(0, len(items), 1000):
        request = governance_pb2.EvaluateRequest(items=items[first : first + 1000], at=moment, explain=explain)
        response = yield from call(settings, "Evaluate", request)
        answers += _convert.evaluations(response, [copy for copy, _ in checked[first : first + 1000]])
    return answers


def health(settings: Settings, service: str) -> Operation[types.HealthStatus]:
    # grpc.health.v1: a request of one string and a response of one number, as the wrappers are.
    try:
        response = yield from call(settings, "Check", wrappers_pb2.StringValue(value=service))
    except GovernanceError as error:
        if error.code == "NOT_FOUND":
            return "SERVICE_UNKNOWN"
        raise
    return _convert.health(response.value)


# --- The reviewer ---


def list_approvals(
    settings: Settings, filters: approval_pb2.ApprovalFilter, limit: int | None
) -> Operation[list[types.Approval]]:
    found: list[types.Approval] = []
    token = ""
    while limit is None or len(found) < limit:
        size = 1000 if limit is None else min(1000, limit - len(found))
        request = approval_pb2.ListApprovalsRequest(filter=filters, page_size=size, page_token=token)
        response = yield from call(settings, "ListApprovals", request)
        found += map(_convert.approval, response.approvals)
        token = response.next_page_token
        if not token:
            break
    return found


def get_approval(settings: Settings, approval_id: str) -> Operation[types.Approval]:
    response = yield from call(settings, "GetApproval", approval_pb2.GetApprovalRequest(approval_id=approval_id))
    return _convert.approval(response.approval)


def decide(
    settings: Settings,
    method: str,
    approval: types.Approval | str,
    expected_action_digest: str | None,
    reason: str,
) -> Operation[types.Approval]:
    """Approves or denies exactly what was shown."""
    approval_id = approval if isinstance(approval, str) else approval.approval_id
    digest = expected_action_digest if isinstance(approval, str) else approval.action_digest
    if not digest:
        raise GovernanceError(
            "say what was shown: pass the approval itself, or its id with `expected_action_digest`",
            reason="DIGEST_REQUIRED",
        )
    make = approval_pb2.ApproveRequest if method == "Approve" else approval_pb2.DenyRequest
    request = make(approval_id=approval_id, expected_action_digest=digest, reason=check_text(reason, "reason"))
    # Once: whoever decides shall know what became of it.
    response = yield from call(settings, method, request, retries=0)
    return _convert.approval(response.approval)


# --- The auditor and the admin ---


def get_stats(settings: Settings, top: int) -> Operation[types.Stats]:
    response = yield from call(settings, "GetStats", audit_pb2.GetStatsRequest(top=top))
    return _convert.stats(response)


def get_policy(settings: Settings, revision: str | None) -> Operation[types.PolicyInfo]:
    response = yield from call(settings, "GetPolicy", policy_pb2.GetPolicyRequest(revision=revision or ""))
    return _convert.policy(response.policy)


def validate_policy(settings: Settings, layers: Sequence[types.PolicyLayer]) -> Operation[types.Validation]:
    request = policy_pb2.ValidatePolicyRequest(
        layers=[policy_pb2.PolicyLayer(name=layer.name, yaml=layer.yaml) for layer in layers]
    )
    return _convert.validation((yield from call(settings, "ValidatePolicy", request)))


def update_policy(settings: Settings, yaml: str, expected_revision: str | None) -> Operation[types.PolicyInfo]:
    # The same text again is the same policy: a retry is safe unless somebody else changed it in between.
    request = policy_pb2.UpdatePolicyRequest(yaml=yaml, expected_revision=expected_revision or "")
    response = yield from call(settings, "UpdatePolicy", request, retries=None if expected_revision else 0)
    return _convert.policy(response.policy)


_ROLES = {
    "agent": admin_pb2.ROLE_AGENT,
    "reviewer": admin_pb2.ROLE_REVIEWER,
    "auditor": admin_pb2.ROLE_AUDITOR,
    "admin": admin_pb2.ROLE_ADMIN,
}


def create_token(settings: Settings, name: str, roles: Sequence[str], actor: str, lifetime: float | None) -> Operation[str]:
    unknown = [role for role in roles if role not in _ROLES]
    if unknown:
        raise GovernanceError(f"`{unknown[0]}` is none of {', '.join(_ROLES)}")
    request = admin_pb2.CreateTokenRequest(
        name=name,
        roles=[_ROLES[role] for role in roles],
        actor=actor,
        lifetime=None if lifetime is None else _convert.duration(lifetime),
    )
    # Not retried: a lost answer would leave a token behind that nobody holds.
    secret: str = (yield from call(settings, "CreateToken", request, retries=0)).secret
    return secret
