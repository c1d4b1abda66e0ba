"""What became of an action."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from aegis.core.action import Action
from aegis.core.decision import Decision
from aegis.core.status import ResultStatus

__all__ = ["Result", "ResultStatus"]


_BRIEF = {
    ResultStatus.SUCCESS: "OK",
    ResultStatus.FAILED: "FAIL",
    ResultStatus.BLOCKED: "BLOCK",
    ResultStatus.DENIED: "DENY",
    ResultStatus.SKIPPED: "SKIP",
    ResultStatus.ROLLED_BACK: "UNDO",
    ResultStatus.UNKNOWN: "?",
}


def _now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass(frozen=True)
class Result:
    """What became of an action."""

    action: Action
    """The action."""
    status: ResultStatus
    """What became of it."""
    data: Any = None
    """What it returned, as it returned it."""
    error: str | None = None
    """What went wrong, or why it did not run."""
    started_at: datetime = field(default_factory=_now)
    """When it began."""
    completed_at: datetime | None = None
    """When it was over."""
    decision: Decision | None = field(default=None, repr=False)
    """The decision it ran under, or that forbade it. None on a dry run, and on what an executor returns."""
    exception: BaseException | None = field(default=None, repr=False, compare=False)
    """What the executor raised."""
    rollback: Result | None = field(default=None, repr=False)
    """What became of the action that was to undo this one, where one was tried."""

    @property
    def ok(self) -> bool:
        """Whether it ran and worked."""
        return self.status is ResultStatus.SUCCESS

    @property
    def reason(self) -> str:
        """Why it was decided so: the policy's words, or the reviewer's."""
        return self.decision.reason if self.decision is not None else ""

    def to_dict(self) -> dict[str, Any]:
        """The result as a map."""
        return {
            "action": self.action.to_dict(),
            "status": self.status.value,
            "data": self.data,
            "error": self.error,
            "decision_id": self.decision.decision_id if self.decision is not None else None,
        }

    def __str__(self) -> str:
        why = f": {self.error}" if self.error else ""
        return f"[{_BRIEF.get(self.status, '?')}] {self.action.type} -> {self.action.target}{why}"
