"""Between the API's messages and the SDK's values: one place, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, Literal, TypeVar, cast

from google.protobuf import duration_pb2, timestamp_pb2

from aegis import types
from aegis._proto import approval_pb2, audit_pb2, governance_pb2, policy_pb2, types_pb2
from aegis._values import check_text, from_struct, from_value, to_struct
from aegis.core.action import Action, ActionLike
from aegis.core.result import ResultStatus
from aegis.core.risk import ApprovalMode, RiskLevel
from aegis.errors import GovernanceError, InvalidActionError

_OUTCOMES: dict[int, types.Outcome] = {
    types_pb2.OUTCOME_ALLOW: "ALLOW",
    types_pb2.OUTCOME_DENY: "DENY",
    types_pb2.OUTCOME_ESCALATE: "ESCALATE",
    types_pb2.OUTCOME_REQUIRE_CONFIRMATION: "REQUIRE_CONFIRMATION",
}
_ENDINGS: dict[int, types.EndingKind] = {
    types_pb2.ENDING_KIND_APPROVED: "approved",
    types_pb2.ENDING_KIND_DENIED: "denied",
    types_pb2.ENDING_KIND_EXPIRED: "expired",
    types_pb2.ENDING_KIND_CANCELLED: "cancelled",
}
_APPROVALS = {
    types_pb2.APPROVAL_MODE_AUTO: ApprovalMode.AUTO,
    types_pb2.APPROVAL_MODE_CONFIRM: ApprovalMode.CONFIRM,
    types_pb2.APPROVAL_MODE_APPROVE: ApprovalMode.APPROVE,
    types_pb2.APPROVAL_MODE_BLOCK: ApprovalMode.BLOCK,
}
_STATUSES = {
    types_pb2.RESULT_STATUS_SUCCESS: ResultStatus.SUCCESS,
    types_pb2.RESULT_STATUS_FAILED: ResultStatus.FAILED,
    types_pb2.RESULT_STATUS_BLOCKED: ResultStatus.BLOCKED,
    types_pb2.RESULT_STATUS_DENIED: ResultStatus.DENIED,
    types_pb2.RESULT_STATUS_SKIPPED: ResultStatus.SKIPPED,
    types_pb2.RESULT_STATUS_ROLLED_BACK: ResultStatus.ROLLED_BACK,
    types_pb2.RESULT_STATUS_UNKNOWN: ResultStatus.UNKNOWN,
}
_STATUS_NUMBERS = {status: number for number, status in _STATUSES.items()}
_APPROVAL_NUMBERS = {mode: number for number, mode in _APPROVALS.items()}
_OUTCOME_NUMBERS = {outcome: number for number, outcome in _OUTCOMES.items()}


# --- Requests ---


def action(given: ActionLike, path: str = "") -> tuple[Action, types_pb2.Action]:
    """An action with its params copied, and its message. What is done later is done with this copy.

    Raises:
        InvalidActionError: It cannot be sent whole; its path begins with `path`.
    """
    read = Action.of(given)
    kind = check_text(read.type, path + "type")
    if not kind:
        raise InvalidActionError(path + "type", "must not be empty: say what the agent wants to do")
    message = types_pb2.Action(
        type=kind,
        target=check_text(read.target, path + "target"),
        params=to_struct(read.params, path + "params"),
        description=check_text(read.description, path + "description"),
    )
    copy = Action(kind, message.target, _copied(read.params), message.description)
    return copy, message


def _copied(value: Any) -> Any:
    """A copy of a checked JSON value that shares no container with it."""
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_copied(item) for item in value) if type(value) in {list, tuple} else list(map(_copied, value))
    return value


def actor(given: Mapping[str, Any] | types.Actor | str | None) -> types_pb2.Actor:
    """Who proposes."""
    if given is None:
        return types_pb2.Actor()
    if isinstance(given, str):
        return types_pb2.Actor(id=check_text(given, "actor.id"))
    words = vars(given) if isinstance(given, types.Actor) else given
    _only(words, {"id", "type"}, "actor")
    return types_pb2.Actor(
        id=check_text(words.get("id") or "", "actor.id"), type=check_text(words.get("type") or "", "actor.type")
    )


def context(given: Mapping[str, Any] | None) -> types_pb2.Context:
    """Where a proposal comes from."""
    if given is None:
        return types_pb2.Context()
    _only(given, {"session_id", "metadata"}, "context")
    return types_pb2.Context(
        session_id=check_text(given.get("session_id") or "", "context.session_id"),
        metadata=to_struct(given.get("metadata") or {}, "context.metadata"),
    )


def _only(given: Any, known: set[str], path: str) -> None:
    if not isinstance(given, Mapping):
        raise InvalidActionError(path, f"must be a map, not {type(given).__name__}")
    for key in given:
        if key not in known:
            raise InvalidActionError(f"{path}.{key}", f"no such key: there are {', '.join(sorted(known))}")


def duration(seconds: float) -> duration_pb2.Duration:
    """A span of time."""
    whole = int(seconds)
    return duration_pb2.Duration(seconds=whole, nanos=int((seconds - whole) * 1e9))


def timestamp(moment: datetime | str) -> timestamp_pb2.Timestamp:
    """A moment: a `datetime` (of the local zone where it has none), or RFC 3339 text."""
    stamp = timestamp_pb2.Timestamp()
    if isinstance(moment, str):
        try:
            stamp.FromJsonString(moment)
        except ValueError as error:
            raise GovernanceError(f"`{moment}` is not RFC 3339, for example 2026-01-31T09:00:00Z: {error}") from None
    else:
        stamp.FromDatetime(moment.astimezone(timezone.utc))
    return stamp


def status_number(status: ResultStatus | str) -> types_pb2.ResultStatus.ValueType:
    """The number of a result status."""
    return _STATUS_NUMBERS[_member(ResultStatus, status)]


_E = TypeVar("_E", ResultStatus, ApprovalMode)


def _member(enumeration: type[_E], given: _E | str) -> _E:
    try:
        return enumeration(given.lower())
    except ValueError:
        known = ", ".join(member.value for member in enumeration)
        raise GovernanceError(f"`{given}` is none of {known}") from None


def risk_level(given: RiskLevel | int | str) -> types_pb2.RiskLevel.ValueType:
    """A risk level by its number, or by its name in any case."""
    try:
        level = RiskLevel[given.upper()] if isinstance(given, str) else RiskLevel(given)
    except (KeyError, ValueError):
        raise GovernanceError(f"`{given}` is none of low, medium, high, critical") from None
    return cast("types_pb2.RiskLevel.ValueType", level.value)


def approval_filter(
    *,
    session_id: str | None,
    action_type: str | None,
    actor_id: str | None,
    min_risk_level: RiskLevel | str | None,
) -> approval_pb2.ApprovalFilter:
    """Which approvals are asked for."""
    return approval_pb2.ApprovalFilter(
        session_id=session_id or "",
        action_type=action_type or "",
        actor_id=actor_id or "",
        min_risk_level=risk_level(min_risk_level or 0),
    )


_AUDIT_TEXTS = ("session_id", "action_type", "action_target", "actor_id", "decision_id", "matched_rule")


def audit_filter(filters: Mapping[str, Any]) -> audit_pb2.AuditFilter:
    """Which rows are asked for."""
    message = audit_pb2.AuditFilter()
    for key, value in filters.items():
        if value is None:
            continue
        if key in _AUDIT_TEXTS:
            setattr(message, key, value)
        elif key == "risk_level":
            message.risk_level = risk_level(value)
        elif key == "approval":
            message.approval = _APPROVAL_NUMBERS[_member(ApprovalMode, value)]
        elif key == "outcome":
            message.outcome = _outcome_number(value)
        elif key == "result_status":
            message.result_status = status_number(value)
        elif key in {"since", "until"}:
            getattr(message, key).CopyFrom(timestamp(value))
        else:
            raise TypeError(f"no filter `{key}`")
    return message


def _outcome_number(given: str) -> types_pb2.Outcome.ValueType:
    try:
        return cast("types_pb2.Outcome.ValueType", _OUTCOME_NUMBERS[cast("types.Outcome", given.upper())])
    except KeyError:
        raise GovernanceError(f"`{given}` is none of {', '.join(_OUTCOME_NUMBERS)}") from None


# --- Answers ---


def decision(message: types_pb2.Decision, proposed: Action | None = None) -> types.Decision:
    """A decision. Raises `GovernanceError` where its outcome is none that this SDK knows: that is never a yes."""
    return types.Decision(
        decision_id=message.decision_id,
        outcome=_outcome(message.outcome, message.decision_id),
        reason=message.reason,
        risk_score=message.risk_score,
        constraints=from_struct(message.constraints),
        timestamp=_time(message.timestamp),
        audit_ref=message.audit_ref,
        risk_level=_risk(message.risk_level),
        matched_rule=message.matched_rule,
        approval=_APPROVALS.get(message.approval, ApprovalMode.UNSPECIFIED),
        approval_id=message.approval_id or None,
        expires_at=_time(message.expires_at) if message.HasField("expires_at") else None,
        policy_revision=message.policy_revision,
        action_digest=message.action_digest,
        confirmation_token=message.confirmation_token or None,
        action=proposed,
    )


def _outcome(number: int, of: str) -> types.Outcome:
    outcome = _OUTCOMES.get(number)
    if outcome is None:
        raise GovernanceError(
            f"the daemon answered {of or 'a proposal'} with outcome {number}, which this SDK does not know: the action "
            "must not run; a newer SDK may know it",
            reason="UNKNOWN_OUTCOME",
        )
    return outcome


def evaluations(response: governance_pb2.EvaluateResponse, actions: list[Action]) -> list[types.Evaluation]:
    """The answers, each with its action."""
    if len(response.evaluations) != len(actions):
        raise GovernanceError(f"the daemon answered {len(response.evaluations)} of {len(actions)} questions")
    return [
        types.Evaluation(
            outcome=_outcome(message.outcome, "an evaluation"),
            reason=message.reason,
            risk_level=_risk(message.risk_level),
            risk_score=message.risk_score,
            approval=_APPROVALS.get(message.approval, ApprovalMode.UNSPECIFIED),
            matched_rule=message.matched_rule,
            constraints=from_struct(message.constraints),
            policy_revision=response.policy_revision,
            action=asked,
            trace=tuple(map(_rule_trace, message.trace)),
            rules_left_out=message.rules_left_out,
        )
        for message, asked in zip(response.evaluations, actions, strict=True)
    ]


def _rule_trace(message: governance_pb2.RuleTrace) -> types.RuleTrace:
    conditions = (types.ConditionTrace(trace.condition, trace.result, trace.seen, trace.reason) for trace in message.conditions)
    return types.RuleTrace(message.rule, message.matched, message.reason, tuple(conditions), message.file, message.line)


def _risk(number: int) -> RiskLevel:
    return RiskLevel(number) if number in RiskLevel._value2member_map_ else RiskLevel.UNSPECIFIED


def _time(stamp: timestamp_pb2.Timestamp) -> str:
    return stamp.ToJsonString()


def _shown_action(message: types_pb2.Action) -> Action:
    return Action(message.type, message.target, from_struct(message.params), message.description)


def _ending(message: types_pb2.Ending) -> types.Ending | None:
    kind = _ENDINGS.get(message.kind)
    if kind is None:
        return None
    return types.Ending(kind, message.allows, message.by, _time(message.at), message.reason, message.code)


def _actor(message: types_pb2.Actor) -> types.Actor:
    return types.Actor(message.id, message.type)


def _identity(message: types_pb2.Identity) -> types.Identity:
    return types.Identity(message.subject, message.how, message.actor)


def approval(message: approval_pb2.Approval) -> types.Approval:
    """A question put to reviewers."""
    return types.Approval(
        approval_id=message.approval_id,
        decision_id=message.decision_id,
        actor=_actor(message.actor),
        identity=_identity(message.identity),
        action=_shown_action(message.action),
        masked=tuple(message.masked),
        session_id=message.context.session_id,
        metadata=from_struct(message.context.metadata),
        action_digest=message.action_digest,
        matched_rule=message.matched_rule,
        reason=message.reason,
        risk_level=_risk(message.risk_level),
        policy_revision=message.policy_revision,
        requested_at=_time(message.requested_at),
        expires_at=_time(message.expires_at),
        timeout_allows=message.timeout_allows,
        ending=_ending(message.ending) if message.HasField("ending") else None,
        history=tuple(
            types.SessionAction(
                _time(past.time),
                past.type,
                past.target,
                _outcome(past.outcome, "an earlier action"),
                _STATUSES.get(past.status),
            )
            for past in message.history
        ),
    )


def audit_row(message: audit_pb2.AuditRow, sequence: int) -> types.AuditRow:
    """A row of the record."""
    data = from_value(message.result_data) if message.HasField("result_data") else None
    return types.AuditRow(
        id=message.id,
        session_id=message.session_id,
        timestamp=_time(message.timestamp),
        action=_shown_action(message.action),
        masked=tuple(message.masked),
        risk_level=_risk(message.risk_level),
        approval=_APPROVALS.get(message.approval, ApprovalMode.UNSPECIFIED),
        matched_rule=message.matched_rule,
        outcome=_outcome(message.outcome, "a row"),
        reason=message.reason,
        ending=_ending(message.ending) if message.HasField("ending") else None,
        result_status=_STATUSES.get(message.result_status),
        result_data=data,
        result_error=message.result_error,
        decision_id=message.decision_id,
        approval_id=message.approval_id,
        actor=_actor(message.actor),
        identity=_identity(message.identity),
        policy_revision=message.policy_revision,
        action_digest=message.action_digest,
        audit_ref=message.audit_ref,
        metadata=from_struct(message.metadata),
        trace_id=message.trace_id,
        masked_digests=dict(message.masked_digests),
        redacted=message.redacted,
        sequence=sequence,
    )


def audit_record(message: audit_pb2.AuditRecord) -> types.AuditRecord:
    """A record of the log."""
    return types.AuditRecord(message.sequence, message.payload, message.salt, message.leaf_hash, message.leaf_data)


def stats(message: audit_pb2.GetStatsResponse) -> types.Stats:
    """Totals."""

    def counts(of: Iterable[audit_pb2.Count]) -> dict[str, int]:
        return {count.name: count.count for count in of}

    return types.Stats(
        decisions=message.decisions,
        records=message.records,
        pending_approvals=message.pending_approvals,
        by_risk_level=counts(message.by_risk_level),
        by_outcome=counts(message.by_outcome),
        by_result_status=counts(message.by_result_status),
        top_action_types=counts(message.top_action_types),
        top_rules=counts(message.top_rules),
    )


def policy(message: policy_pb2.Policy) -> types.PolicyInfo:
    """A policy."""
    return types.PolicyInfo(
        revision=message.revision,
        layers=tuple(types.PolicyLayer(layer.name, layer.yaml) for layer in message.layers),
        merged_json=message.merged_json,
        rule_count=message.rule_count,
        loaded_at=_time(message.loaded_at) if message.HasField("loaded_at") else None,
        warnings=_findings(message.warnings),
    )


def validation(message: policy_pb2.ValidatePolicyResponse) -> types.Validation:
    """Whether a policy is valid."""
    return types.Validation(message.valid, _findings(message.errors), _findings(message.warnings), message.revision)


def _findings(messages: Iterable[policy_pb2.PolicyFinding]) -> tuple[types.PolicyFinding, ...]:
    return tuple(
        types.PolicyFinding(finding.file, finding.line, finding.column, finding.path, finding.message) for finding in messages
    )


_HEALTH: dict[int, Literal["SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"]] = {
    1: "SERVING",
    2: "NOT_SERVING",
    3: "SERVICE_UNKNOWN",
}


def health(number: int) -> types.HealthStatus:
    """What a daemon says of itself."""
    return _HEALTH.get(number, "UNKNOWN")
