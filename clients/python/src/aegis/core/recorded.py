"""The result of an action as the record has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aegis.core.status import ResultStatus

__all__ = ["ActionResult"]


@dataclass(frozen=True)
class ActionResult:
    """What was reported of an action."""

    status: ResultStatus
    """What became of it."""
    data: Any = None
    """What it returned, as the record has it."""
    error: str = ""
    """What went wrong."""
    started_at: str | None = None
    """When it began, by the agent's clock."""
    completed_at: str | None = None
    """When it was over, by the agent's clock."""
    reported_at: str | None = None
    """When the daemon recorded the report; None where nothing was reported."""
    audit_ref: str = ""
    """The record of the report; empty where nothing was reported."""
