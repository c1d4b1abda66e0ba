"""The API's enumerations and the SDK's words for them."""

from __future__ import annotations

from aegis import types
from aegis._proto import types_pb2
from aegis.core.risk import ApprovalMode
from aegis.core.status import ResultStatus

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
APPROVALS = {
    types_pb2.APPROVAL_MODE_AUTO: ApprovalMode.AUTO,
    types_pb2.APPROVAL_MODE_CONFIRM: ApprovalMode.CONFIRM,
    types_pb2.APPROVAL_MODE_APPROVE: ApprovalMode.APPROVE,
    types_pb2.APPROVAL_MODE_BLOCK: ApprovalMode.BLOCK,
}
STATUSES = {
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
STATUS_NUMBERS = {status: number for number, status in STATUSES.items()}
APPROVAL_NUMBERS = {mode: number for number, mode in APPROVALS.items()}
OUTCOME_NUMBERS = {outcome: number for number, outcome in OUTCOMES.items()}
