"""Aegis: `sudo` for AI agents.

An agent proposes an action to the sidecar; the action runs on an `ALLOW` that this SDK understood, and on nothing else;
what came of it is reported.

    from aegis import governed

    @governed("write", "crm")
    def update_contact(name: str, email: str) -> None: ...
"""

from aegis._client import AegisClient, AsyncAegisClient
from aegis._governed import governed
from aegis._settings import TLS
from aegis.core.action import Action, Secret
from aegis.core.policy import Policy
from aegis.core.result import Result, ResultStatus
from aegis.core.risk import ApprovalMode, RiskLevel
from aegis.errors import (
    ActionDenied,
    AegisError,
    AlreadyClaimed,
    AlreadyReported,
    GovernanceError,
    InvalidActionError,
    ReportError,
    SidecarError,
)
from aegis.runtime import Access, Approvals, ExecutionPlan, Hooks, Recording, Retries, Runtime
from aegis.types import Approval, ApprovalEvent, AuditRow, Decision, Evaluation

__all__ = [
    "TLS",
    "Access",
    "Action",
    "ActionDenied",
    "AegisClient",
    "AegisError",
    "AlreadyClaimed",
    "AlreadyReported",
    "Approval",
    "ApprovalEvent",
    "ApprovalMode",
    "Approvals",
    "AsyncAegisClient",
    "AuditRow",
    "Decision",
    "Evaluation",
    "ExecutionPlan",
    "GovernanceError",
    "Hooks",
    "InvalidActionError",
    "Policy",
    "Recording",
    "ReportError",
    "Result",
    "ResultStatus",
    "Retries",
    "RiskLevel",
    "Runtime",
    "Secret",
    "SidecarError",
    "governed",
]

__version__ = "0.1.0"
