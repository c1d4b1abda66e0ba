"""The API's enumerations and the SDK's words for them.

A value of a newer daemon passes as text: `unknown(9)`. An unknown outcome of a decision never allows an action.
"""

from __future__ import annotations

from typing import cast

from aegis import types
from aegis._proto import admin_pb2, governance_pb2, policy_pb2, types_pb2
from aegis.core.risk import ApprovalMode, RiskLevel
from aegis.core.status import ResultStatus


def unknown(number: int) -> str:
    """What a value of a newer daemon reads as, which this SDK does not know."""
    return f"unknown({number})"


OUTCOMES: dict[int, types.Outcome] = {
    types_pb2.OUTCOME_ALLOW: "ALLOW",
    types_pb2.OUTCOME_DENY: "DENY",
    types_pb2.OUTCOME_ESCALATE: "ESCALATE",
    types_pb2.OUTCOME_REQUIRE_CONFIRMATION: "REQUIRE_CONFIRMATION",
}
ENDINGS: dict[int, types.EndingKind] = {
    types_pb2.ENDING_KIND_APPROVED: "approved",
    types_pb2.ENDING_KIND_DENIED: "denied",
    types_pb2.ENDING_KIND_EXPIRED: "expired",
    types_pb2.ENDING_KIND_CANCELLED: "cancelled",
}
APPROVALS: dict[int, ApprovalMode] = {
    types_pb2.APPROVAL_MODE_AUTO: ApprovalMode.AUTO,
    types_pb2.APPROVAL_MODE_CONFIRM: ApprovalMode.CONFIRM,
    types_pb2.APPROVAL_MODE_APPROVE: ApprovalMode.APPROVE,
    types_pb2.APPROVAL_MODE_BLOCK: ApprovalMode.BLOCK,
}
STATUSES: dict[int, ResultStatus] = {
    types_pb2.RESULT_STATUS_SUCCESS: ResultStatus.SUCCESS,
    types_pb2.RESULT_STATUS_FAILED: ResultStatus.FAILED,
    types_pb2.RESULT_STATUS_BLOCKED: ResultStatus.BLOCKED,
    types_pb2.RESULT_STATUS_DENIED: ResultStatus.DENIED,
    types_pb2.RESULT_STATUS_SKIPPED: ResultStatus.SKIPPED,
    types_pb2.RESULT_STATUS_ROLLED_BACK: ResultStatus.ROLLED_BACK,
    types_pb2.RESULT_STATUS_UNKNOWN: ResultStatus.UNKNOWN,
}
CODES = {
    number: name.removeprefix("DECISION_CODE_")
    for name, number in types_pb2.DecisionCode.items()
    if number != types_pb2.DECISION_CODE_UNSPECIFIED
} | {types_pb2.DECISION_CODE_UNSPECIFIED: ""}
STATES: dict[int, types.ApprovalState] = {
    types_pb2.APPROVAL_STATE_PENDING: "pending",
    types_pb2.APPROVAL_STATE_APPROVED: "approved",
    types_pb2.APPROVAL_STATE_DENIED: "denied",
    types_pb2.APPROVAL_STATE_EXPIRED: "expired",
    types_pb2.APPROVAL_STATE_CANCELLED: "cancelled",
}
VERDICTS: dict[int, types.Verdict] = {types_pb2.VERDICT_APPROVE: "approve", types_pb2.VERDICT_DENY: "deny"}
CONDITION_RESULTS: dict[int, types.ConditionResult] = {
    governance_pb2.CONDITION_RESULT_HOLDS: "holds",
    governance_pb2.CONDITION_RESULT_FAILS: "fails",
    governance_pb2.CONDITION_RESULT_DOUBT: "doubt",
}
SEVERITIES: dict[int, types.Severity] = {policy_pb2.SEVERITY_ERROR: "error", policy_pb2.SEVERITY_WARNING: "warning"}
ROLES = {
    "agent": admin_pb2.ROLE_AGENT,
    "reviewer": admin_pb2.ROLE_REVIEWER,
    "auditor": admin_pb2.ROLE_AUDITOR,
    "admin": admin_pb2.ROLE_ADMIN,
}
STATUS_NUMBERS = {status: cast("types_pb2.ResultStatus.ValueType", number) for number, status in STATUSES.items()}
APPROVAL_NUMBERS = {mode: cast("types_pb2.ApprovalMode.ValueType", number) for number, mode in APPROVALS.items()}
OUTCOME_NUMBERS = {outcome: number for number, outcome in OUTCOMES.items()}
STATE_NUMBERS = {state: number for number, state in STATES.items()}


def outcome(number: int) -> types.Outcome:
    return OUTCOMES.get(number) or cast("types.Outcome", unknown(number))


def approval_mode(number: int) -> ApprovalMode:
    if number == types_pb2.APPROVAL_MODE_UNSPECIFIED:
        return ApprovalMode.UNSPECIFIED
    return APPROVALS.get(number) or ApprovalMode.unknown(number)


def risk_level(number: int) -> RiskLevel:
    return RiskLevel(number) if number in RiskLevel._value2member_map_ else RiskLevel.unknown(number)


def result_status(number: int) -> ResultStatus:
    return STATUSES.get(number) or ResultStatus.unknown(number)


def ending_kind(number: int) -> types.EndingKind:
    return ENDINGS.get(number) or cast("types.EndingKind", unknown(number))


def approval_state(number: int) -> types.ApprovalState:
    return STATES.get(number) or cast("types.ApprovalState", unknown(number))


def verdict(number: int) -> types.Verdict:
    return VERDICTS.get(number) or cast("types.Verdict", unknown(number))


def condition_result(number: int) -> types.ConditionResult:
    return CONDITION_RESULTS.get(number) or cast("types.ConditionResult", unknown(number))


def severity(number: int) -> types.Severity:
    return SEVERITIES.get(number) or cast("types.Severity", unknown(number))
