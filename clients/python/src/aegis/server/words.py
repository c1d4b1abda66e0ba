"""Decisions and results in the words of the daemon's REST API."""

from __future__ import annotations

from typing import Any

from aegis._govern.report import without_secrets
from aegis._values import from_value, to_record
from aegis.core.decision import Decision
from aegis.core.recorded import ActionResult
from aegis.core.result import Result


def execution(result: Result) -> dict[str, Any]:
    """What became of an action. What JSON does not have of its data stands there as text, as on the record."""
    return {
        "action_type": result.action.type,
        "target": result.action.target,
        "status": result.status.value,
        "data": None if result.data is None else from_value(to_record(result.data)),
        "error": without_secrets(result),
    }


def pending(decision: Decision) -> dict[str, Any]:
    """An action that waits for somebody, or still runs."""
    action = decision.action
    return {
        "action_type": "" if action is None else action.type,
        "target": "" if action is None else action.target,
        "status": "pending",
        "data": None,
        "error": None,
        "decision": _decision(decision),
    }


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "decision_id": decision.decision_id,
        "outcome": decision.outcome,
        "reason": decision.reason,
        "risk_level": decision.risk_level.name,
        "risk_score": decision.risk_score,
        "approval_mode": decision.approval_mode.value,
        "matched_rule": decision.matched_rule,
        "constraints": decision.constraints,
        "policy_revision": decision.policy_revision,
        "timestamp": decision.timestamp,
        "audit_ref": decision.audit_ref,
        "code": decision.code,
        "approval_id": decision.approval_id,
        "expires_at": decision.expires_at,
        "confirmation_token": decision.confirmation_token,
        "action_digest": decision.action_digest,
        "action_digest_salt": decision.action_digest_salt,
        "replayed": decision.replayed,
        "result": None if decision.result is None else _result(decision.result),
    }


def _result(result: ActionResult) -> dict[str, Any]:
    return {
        "status": getattr(result.status, "value", str(result.status)),
        "data": result.data,
        "error": result.error or None,
        "started_at": result.started_at,
        "completed_at": result.completed_at,
        "reported_at": result.reported_at,
        "audit_ref": result.audit_ref or None,
    }
