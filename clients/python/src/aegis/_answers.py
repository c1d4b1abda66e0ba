"""From the API's messages to the SDK's values. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from google.protobuf import timestamp_pb2

from aegis import _enums, types
from aegis._proto import approval_pb2, audit_pb2, governance_pb2, policy_pb2, types_pb2
from aegis._values import from_struct, from_value
from aegis.core.action import Action
from aegis.core.errors import GovernanceError
from aegis.core.risk import ApprovalMode, RiskLevel


def decision(message: types_pb2.Decision, proposed: Action | None = None) -> types.Decision:
    """A decision. Raises `GovernanceError` for an unknown outcome, which never allows an action."""
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
        approval=_enums.APPROVALS.get(message.approval, ApprovalMode.UNSPECIFIED),
        approval_id=message.approval_id or None,
        expires_at=_time(message.expires_at) if message.HasField("expires_at") else None,
        policy_revision=message.policy_revision,
        action_digest=message.action_digest,
        action_digest_salt=message.action_digest_salt,
        code=_enums.CODES.get(message.code, str(message.code)),
        replayed=message.replayed,
        result=_action_result(message.result) if message.HasField("result") else None,
        confirmation_token=message.confirmation_token or None,
        action=proposed,
    )


def _action_result(message: types_pb2.ActionResult) -> types.ActionResult:
    return types.ActionResult(
        status=_enums.STATUSES.get(message.status, str(message.status)),
        data=from_value(message.data) if message.HasField("data") else None,
        error=message.error,
        started_at=_time(message.started_at) if message.HasField("started_at") else None,
        completed_at=_time(message.completed_at) if message.HasField("completed_at") else None,
    )


def _outcome(number: int, of: str) -> types.Outcome:
    outcome = _enums.OUTCOMES.get(number)
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
            approval=_enums.APPROVALS.get(message.approval, ApprovalMode.UNSPECIFIED),
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
    conditions = (
        types.ConditionTrace(trace.condition, trace.result, trace.seen, trace.reason) for trace in message.conditions
    )
    return types.RuleTrace(message.rule, message.matched, message.reason, tuple(conditions), message.file, message.line)


def _risk(number: int) -> RiskLevel:
    return RiskLevel(number) if number in RiskLevel._value2member_map_ else RiskLevel.UNSPECIFIED


def _time(stamp: timestamp_pb2.Timestamp) -> str:
    return stamp.ToJsonString()


def _shown_action(message: types_pb2.Action) -> Action:
    return Action(message.type, message.target, from_struct(message.params), message.description)


def _ending(message: types_pb2.Ending) -> types.Ending | None:
    kind = _enums.ENDINGS.get(message.kind)
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
                _enums.STATUSES.get(past.status),
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
        approval=_enums.APPROVALS.get(message.approval, ApprovalMode.UNSPECIFIED),
        matched_rule=message.matched_rule,
        outcome=_outcome(message.outcome, "a row"),
        reason=message.reason,
        ending=_ending(message.ending) if message.HasField("ending") else None,
        result_status=_enums.STATUSES.get(message.result_status),
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
        types.PolicyFinding(finding.file, finding.line, finding.column, finding.path, finding.message)
        for finding in messages
    )


_HEALTH: dict[int, Literal["SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"]] = {
    1: "SERVING",
    2: "NOT_SERVING",
    3: "SERVICE_UNKNOWN",
}


def health(number: int) -> types.HealthStatus:
    """The health that a daemon reports."""
    return _HEALTH.get(number, "UNKNOWN")
