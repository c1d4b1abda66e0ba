"""Reads the messages of a newer daemon, tests/sdk/unknown.yaml, as tests/sdk/README.md says."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from aegis import Action, GovernanceError, RiskLevel, _answers
from aegis._govern.call import may_run
from aegis._operations.agent import verify_decision
from aegis._proto import approval_pb2, audit_pb2, governance_pb2
from aegis._settings import Settings
from aegis._streams import ApprovalFeed, AuditFeed
from aegis.core.risk import ApprovalMode
from aegis.core.status import ResultStatus
from aegis.types import Approval, AuditRow, Decision, Evaluation

from .conftest import REPOSITORY

TABLE = yaml.safe_load((REPOSITORY / "tests/sdk/unknown.yaml").read_text(encoding="utf-8"))
SETTINGS = Settings.read("http://127.0.0.1:1", "", timeout=1.0, retries=0, retry_delay=0.0, tls=None)


def decision_seen(decision: Decision) -> dict[str, Any]:
    seen: dict[str, Any] = {
        "outcome": decision.outcome,
        "code": decision.code,
        "risk_level": text_of(decision.risk_level),
        "approval_mode": decision.approval_mode.value,
    }
    if not decision.outcome.startswith("unknown"):
        # As every answer to a proposal or a wait is read, before the digest is looked at.
        return seen | {"may_run": may_run(verify_decision(decision, decision.decision_id))}
    with pytest.raises(GovernanceError) as refused:
        verify_decision(decision, decision.decision_id)
    assert refused.value.reason == "UNKNOWN_OUTCOME"
    assert decision.outcome in str(refused.value)
    return seen | {"may_run": False}


def text_of(level: RiskLevel) -> str:
    return level.name if level.name.startswith("unknown") else level.name.lower()


def evaluation_seen(message: Any) -> dict[str, Any]:
    (evaluation,) = _answers.evaluations(message, [Action("act")])
    assert isinstance(evaluation, Evaluation)
    seen = {
        "outcome": evaluation.outcome,
        "approval_mode": evaluation.approval_mode.value,
        "may_run": evaluation.outcome == "ALLOW",
    }
    assert evaluation.is_allowed == seen["may_run"]
    for rule in evaluation.trace:
        seen["condition_result"] = rule.conditions[0].result
    return seen


def approval_seen(approval: Approval) -> dict[str, Any]:
    seen: dict[str, Any] = {"state": approval.state, "is_pending": approval.is_pending}
    if approval.ending is not None:
        seen["ending_kind"] = approval.ending.kind
        seen["by"] = "" if approval.ending.by is None else approval.ending.by.subject
    if approval.votes:
        seen["verdict"] = approval.votes[0].verdict
    return seen


def approvals_seen(message: approval_pb2.StreamApprovalsResponse) -> dict[str, Any]:
    events, missing = ApprovalFeed(SETTINGS, approval_pb2.ApprovalFilter()).take(message)
    assert missing == []
    if not events:
        return {"event": "none"}
    (event,) = events
    assert event.approval is not None
    return {"event": event.kind} | approval_seen(event.approval)


def audit_seen(message: audit_pb2.StreamAuditResponse) -> dict[str, Any]:
    feed = AuditFeed(SETTINGS, audit_pb2.StreamAuditRequest(follow=True))
    items = feed.take(message)
    seen: dict[str, Any] = {"event": "none", "cursor": feed.open().request.resume_after}
    if items:
        (row,) = items
        assert isinstance(row, AuditRow)
        assert row.cursor == seen["cursor"]
        seen |= {
            "event": "row",
            "outcome": row.outcome,
            "risk_level": text_of(row.risk_level),
            "approval_mode": row.approval_mode.value,
            "ending_kind": None if row.ending is None else row.ending.kind,
            "result_status": None if row.result is None else row.result.status.value,
        }
        # It can be shown, whatever it is.
        assert row.to_dict()["outcome"] == row.outcome
    return seen


READERS: dict[str, tuple[Any, Callable[[Any], dict[str, Any]]]] = {
    "ProposeResponse": (governance_pb2.ProposeResponse, lambda got: decision_seen(_answers.decision(got.decision))),
    "AwaitDecisionResponse": (
        governance_pb2.AwaitDecisionResponse,
        lambda got: decision_seen(_answers.decision(got.decision)),
    ),
    "EvaluateResponse": (governance_pb2.EvaluateResponse, evaluation_seen),
    "GetApprovalResponse": (
        approval_pb2.GetApprovalResponse,
        lambda got: approval_seen(_answers.approval(got.approval)),
    ),
    "StreamApprovalsResponse": (approval_pb2.StreamApprovalsResponse, approvals_seen),
    "StreamAuditResponse": (audit_pb2.StreamAuditResponse, audit_seen),
}


@pytest.mark.parametrize("row", TABLE["messages"], ids=lambda row: row["name"])
def test_a_message_of_a_newer_daemon(row: dict[str, Any]) -> None:
    assert set(row) == {"name", "message", "base64", "expect"}
    kind, read = READERS[row["message"]]
    seen = read(kind.FromString(base64.b64decode(row["base64"])))
    assert {key: seen[key] for key in row["expect"]} == row["expect"]


def test_an_unknown_value_is_equal_to_no_known_one() -> None:
    assert ResultStatus.unknown(9) not in set(ResultStatus)
    assert str(ResultStatus.unknown(9)) == "unknown(9)"
    assert ApprovalMode.unknown(9) not in set(ApprovalMode)
    assert RiskLevel.unknown(9) > RiskLevel.CRITICAL
    assert RiskLevel.unknown(9).name == "unknown(9)"
    assert 9 not in {level.value for level in RiskLevel}
