"""What reviewers and auditors ask for: the filters of approvals and of the record.

Every one that is given must match. `action_type` and `target` are globs, as in the policy: `*` is any text. Other texts
match exactly. Where several values may be given, one of them must match.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict

from aegis.core.risk import ApprovalMode, RiskLevel
from aegis.core.status import ResultStatus

__all__ = ["ApprovalFilters", "AuditFilters"]


class ApprovalFilters(TypedDict, total=False):
    """Which approvals."""

    session_id: str | None
    """The session."""
    action_type: str | None
    """A glob that the action's type matches."""
    target: str | None
    """A glob that the action's target matches."""
    risk_levels: RiskLevel | str | Sequence[RiskLevel | str] | None
    """The risk."""
    min_risk_level: RiskLevel | str | None
    """This risk or a higher one."""
    actor_id: str | None
    """The proposer, as declared."""
    subject: str | None
    """The proposer, as authenticated."""
    approver: str | None
    """A reviewer who voted."""
    matched_rule: str | None
    """The rule that matched."""
    since: datetime | str | None
    """Not before this moment."""
    until: datetime | str | None
    """Not after this moment."""


class AuditFilters(ApprovalFilters, total=False):
    """Which rows of the record."""

    approval_modes: ApprovalMode | str | Sequence[ApprovalMode | str] | None
    """What the policy asked for."""
    outcomes: str | Sequence[str] | None
    """The outcome, as it stands."""
    result_statuses: ResultStatus | str | Sequence[ResultStatus | str] | None
    """What became of the action."""
    decision_id: str | None
    """The decision."""
    audit_ref: str | None
    """A record: the row of the decision that it is about."""
