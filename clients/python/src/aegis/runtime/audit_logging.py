"""Copies results into Python's logging, for operators. The daemon keeps the record."""

from __future__ import annotations

import json
import logging

from aegis.core.result import Result
from aegis.core.risk import RiskLevel

__all__ = ["LoggingAuditLogger"]

_LEVELS = {
    RiskLevel.LOW: logging.DEBUG,
    RiskLevel.MEDIUM: logging.INFO,
    RiskLevel.HIGH: logging.WARNING,
    RiskLevel.CRITICAL: logging.ERROR,
}


class LoggingAuditLogger:
    """Logs every decision with its result as one line of JSON.

    LOW is logged at DEBUG, MEDIUM at INFO, HIGH at WARNING and CRITICAL at ERROR.

    Params and data are left out: a log is read by more people than the record.

    Args:
        logger: Where to; None: the logger `aegis.audit`.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger if logger is not None else logging.getLogger("aegis.audit")

    def log(self, result: Result) -> None:
        """Logs one result."""
        decision = result.decision
        risk = RiskLevel.UNSPECIFIED if decision is None else decision.risk_level
        level = _LEVELS.get(risk, logging.WARNING)
        if not self._logger.isEnabledFor(level):
            return
        entry = {
            "action_type": result.action.type,
            "action_target": result.action.target,
            "risk_level": risk.name,
            "result_status": result.status.value,
            "result_error": result.error,
        }
        if decision is not None:
            entry |= {
                "decision_id": decision.decision_id,
                "outcome": decision.outcome,
                "approval": decision.approval_mode.value,
                "matched_rule": decision.matched_rule,
                "reason": decision.reason,
                "audit_ref": decision.audit_ref,
            }
        self._logger.log(level, "%s", json.dumps(entry, ensure_ascii=False), extra={"aegis": entry})
