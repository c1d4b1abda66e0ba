"""What a reviewer does: read the questions and decide exactly what was shown."""

from __future__ import annotations

from collections.abc import Sequence

from aegis import _answers, _requests, types
from aegis._operations.effects import Operation, call
from aegis._proto import approval_pb2
from aegis._settings import Settings
from aegis._values import check_text
from aegis.core.errors import GovernanceError


def list_approvals(
    settings: Settings, filters: approval_pb2.ApprovalFilter, states: Sequence[str], limit: int | None
) -> Operation[list[types.Approval]]:
    found: list[types.Approval] = []
    token = ""
    numbers = list(map(_requests.state_number, states))
    while limit is None or len(found) < limit:
        size = 1000 if limit is None else min(1000, limit - len(found))
        request = approval_pb2.ListApprovalsRequest(filter=filters, page_size=size, page_token=token, states=numbers)
        response = yield from call(settings, "ListApprovals", request)
        found += map(_answers.approval, response.approvals)
        token = response.next_page_token
        if not token:
            break
    return found


def get_approval(settings: Settings, approval_id: str) -> Operation[types.Approval]:
    response = yield from call(settings, "GetApproval", approval_pb2.GetApprovalRequest(approval_id=approval_id))
    return _answers.approval(response.approval)


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
    return _answers.approval(response.approval)
