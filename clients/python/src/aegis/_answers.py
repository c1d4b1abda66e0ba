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


def decision(message: types_pb2.Decision, proposed: Action | None = None) -> types.Decision:
    """A decision."""
    return types.Decision(
        decision_id=message.decision_id,
        outcome=_enums.outcome(message.outcome),
        reason=message.reason,
        risk_score=message.risk_score,
        constraints=from_struct(message.constraints),
        timestamp=_time(message.timestamp),
        audit_ref=message.audit_ref,
        risk_level=_enums.risk_level(message.risk_level),
        matched_rule=message.matched_rule,
        approval_mode=_enums.approval_mode(message.approval_mode),
        approval_id=message.approval_id or None,
        expires_at=_time(message.expires_at) if message.HasField("expires_at") else None,
        policy_revision=message.policy_revision,
        action_digest=message.action_digest,
        action_digest_salt=message.action_digest_salt,
        code=_enums.CODES.get(message.code, _enums.unknown(message.code)),
        replayed=message.replayed,
        result=_action_result(message.result) if message.HasField("result") else None,
        confirmation_token=message.confirmation_token or None,
        action=proposed,
    )


def _action_result(message: types_pb2.ActionResult) -> types.ActionResult:
    return types.ActionResult(
        status=_enums.result_status(message.status),
        data=from_value(message.data) if message.HasField("data") else None,
        error=message.error,
        started_at=_time(message.started_at) if message.HasField("started_at") else None,
        completed_at=_time(message.completed_at) if message.HasField("completed_at") else None,
        reported_at=_time(message.reported_at) if message.HasField("reported_at") else None,
        audit_ref=message.audit_ref,
        masked=tuple(map(_mask, message.masked)),
    )


def evaluations(response: governance_pb2.EvaluateResponse, actions: list[Action]) -> list[types.Evaluation]:
    """The answers, each with its action."""
    if len(response.evaluations) != len(actions):
        raise GovernanceError(f"the daemon answered {len(response.evaluations)} of {len(actions)} questions")
    return [
        types.Evaluation(
            outcome=_enums.outcome(message.outcome),
            reason=message.reason,
            risk_level=_enums.risk_level(message.risk_level),
            risk_score=message.risk_score,
            approval_mode=_enums.approval_mode(message.approval_mode),
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
        types.ConditionTrace(trace.condition, _enums.condition_result(trace.result), trace.seen, trace.reason)
        for trace in message.conditions
    )
    return types.RuleTrace(message.rule, message.matched, message.reason, tuple(conditions), message.file, message.line)


def _time(stamp: timestamp_pb2.Timestamp) -> str:
    return stamp.ToJsonString()


def _shown_action(message: types_pb2.Action) -> Action:
    return Action(message.type, message.target, from_struct(message.params), message.description)


def _ending(message: types_pb2.Ending) -> types.Ending:
    by = _identity(message.by) if message.HasField("by") else None
    kind = _enums.ending_kind(message.kind)
    return types.Ending(kind, message.allows, by, _time(message.ended_at), message.reason, message.code)


def _mask(message: types_pb2.Mask) -> types.Mask:
    return types.Mask(
        message.path,
        message.start if message.HasField("start") else None,
        message.end if message.HasField("end") else None,
        message.length,
        message.digest,
        message.pointer,
    )


def _vote(message: types_pb2.Vote) -> types.Vote:
    return types.Vote(
        message.vote_id,
        _enums.verdict(message.verdict),
        _identity(message.by),
        _time(message.voted_at),
        message.reason,
        message.action_digest,
    )


def _actor(message: types_pb2.Actor) -> types.Actor:
    return types.Actor(message.id, message.type)


def _identity(message: types_pb2.Identity) -> types.Identity:
    return types.Identity(message.subject, message.how, message.actor_id, tuple(message.groups))


def approval(message: approval_pb2.Approval) -> types.Approval:
    """A question put to reviewers."""
    return types.Approval(
        approval_id=message.approval_id,
        decision_id=message.decision_id,
        actor=_actor(message.actor),
        identity=_identity(message.identity),
        action=_shown_action(message.action),
        masked=tuple(map(_mask, message.masked)),
        session_id=message.context.session_id,
        metadata=from_struct(message.context.metadata),
        action_digest=message.action_digest,
        matched_rule=message.matched_rule,
        reason=message.reason,
        risk_level=_enums.risk_level(message.risk_level),
        policy_revision=message.policy_revision,
        requested_at=_time(message.requested_at),
        expires_at=_time(message.expires_at),
        timeout_allows=message.timeout_allows,
        state=_enums.approval_state(message.state),
        ending=_ending(message.ending) if message.HasField("ending") else None,
        votes=tuple(map(_vote, message.votes)),
        version=message.version,
        caller_waiting=message.caller_waiting if message.HasField("caller_waiting") else None,
        history=tuple(
            types.SessionAction(
                _time(past.decided_at),
                past.type,
                past.target,
                _enums.outcome(past.outcome),
                None if past.result_status == 0 else _enums.result_status(past.result_status),
            )
            for past in message.history
        ),
    )


def audit_row(message: audit_pb2.AuditRow, cursor: str = "") -> types.AuditRow:
    """A row of the record."""
    return types.AuditRow(
        number=message.number,
        session_id=message.session_id,
        timestamp=_time(message.timestamp),
        action=_shown_action(message.action),
        masked=tuple(map(_mask, message.masked)),
        risk_level=_enums.risk_level(message.risk_level),
        approval_mode=_enums.approval_mode(message.approval_mode),
        matched_rule=message.matched_rule,
        outcome=_enums.outcome(message.outcome),
        reason=message.reason,
        ending=_ending(message.ending) if message.HasField("ending") else None,
        result=_action_result(message.result) if message.HasField("result") else None,
        decision_id=message.decision_id,
        approval_id=message.approval_id,
        actor=_actor(message.actor),
        identity=_identity(message.identity),
        policy_revision=message.policy_revision,
        action_digest=message.action_digest,
        audit_ref=message.audit_ref,
        metadata=from_struct(message.metadata),
        trace_id=message.trace_id,
        redacted=message.redacted,
        cursor=cursor,
    )


def audit_record(message: audit_pb2.AuditRecord, cursor: str = "") -> types.AuditRecord:
    """A record of the log."""
    return types.AuditRecord(
        message.sequence, message.payload, message.salt, message.leaf_hash, message.leaf_data, cursor
    )


def decision_life(message: audit_pb2.GetDecisionResponse) -> types.DecisionLife:
    """The whole life of a decision."""
    return types.DecisionLife(
        audit_row(message.row),
        approval(message.approval) if message.HasField("approval") else None,
        tuple(
            types.RecordReference(
                record.sequence,
                record.audit_ref,
                record.kind,
                _time(record.recorded_at) if record.HasField("recorded_at") else None,
            )
            for record in message.records
        ),
    )


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
        comment=message.comment,
    )


def validation(message: policy_pb2.ValidatePolicyResponse) -> types.Validation:
    """Whether a policy is valid."""
    return types.Validation(message.valid, _findings(message.errors), _findings(message.warnings), message.revision)


def _findings(messages: Iterable[policy_pb2.PolicyFinding]) -> tuple[types.PolicyFinding, ...]:
    return tuple(
        types.PolicyFinding(
            finding.file,
            finding.line,
            finding.column,
            finding.path,
            finding.message,
            finding.code,
            _enums.severity(finding.severity),
        )
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
