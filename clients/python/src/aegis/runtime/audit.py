"""The record, as an agent's process may read it with an auditor's credential."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from aegis._client import AegisClient
from aegis.core.result import ResultStatus
from aegis.core.risk import ApprovalMode, RiskLevel
from aegis.errors import AegisError
from aegis.types import AuditRow, Stats

__all__ = ["AuditLog", "AuditLogger"]


class AuditLog:
    """Reads the daemon's record. Nothing here can write it."""

    def __init__(self, client: AegisClient) -> None:
        self._client = client

    def rows(
        self,
        *,
        session_id: str | None = None,
        action_type: str | None = None,
        action_target: str | None = None,
        risk_level: RiskLevel | str | None = None,
        approval: ApprovalMode | str | None = None,
        outcome: str | None = None,
        result_status: ResultStatus | str | None = None,
        actor_id: str | None = None,
        decision_id: str | None = None,
        matched_rule: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        limit: int = 0,
    ) -> Iterator[AuditRow]:
        """Rows one by one, oldest first; of many, only the newest `limit`. Texts match exactly."""
        stream = self._client.stream_audit(
            session_id=session_id,
            action_type=action_type,
            action_target=action_target,
            risk_level=risk_level,
            approval=approval,
            outcome=outcome,
            result_status=result_status,
            actor_id=actor_id,
            decision_id=decision_id,
            matched_rule=matched_rule,
            since=since,
            until=until,
            limit=limit,
        )
        with closing(stream):
            yield from stream

    def get_log(self, session_id: str | None = None, **filters: Any) -> list[AuditRow]:
        """The rows as a list; filters as of `rows`."""
        return list(self.rows(session_id=session_id, **filters))

    def count(self, session_id: str | None = None, **filters: Any) -> int:
        """How many rows there are; filters as of `rows`."""
        return sum(1 for _ in self.rows(session_id=session_id, **filters))

    def to_json(self, session_id: str | None = None, *, indent: int | None = 2, **filters: Any) -> str:
        """The rows as one JSON array; filters as of `rows`."""
        rows = [row.to_dict() for row in self.rows(session_id=session_id, **filters)]
        return json.dumps(rows, indent=indent, ensure_ascii=False)

    def export_jsonl(self, path: str | os.PathLike[str], session_id: str | None = None, **filters: Any) -> int:
        """Writes one JSON object a line, and says how many; filters as of `rows`."""
        count = 0
        with Path(path).open("w", encoding="utf-8") as file:
            for row in self.rows(session_id=session_id, **filters):
                file.write(json.dumps(row.to_dict(), ensure_ascii=False) + "\n")
                count += 1
        return count

    def stats(self, top: int = 5) -> Stats:
        """Totals of the whole record."""
        return self._client.get_stats(top)


class AuditLogger:
    """The audit database of agent-aegis, which does not exist here. Its constructor says where the record is."""

    def __init__(self, db_path: str | os.PathLike[str] = "aegis_audit.db") -> None:
        raise AegisError(
            f"there is no database `{os.fspath(db_path)}` to write: the daemon keeps the record. "
            "Leave `audit_logger` out; read with `runtime.audit` or `aegis audit`; keep the record elsewhere with "
            "`Runtime(data_dir=...)` or `aegis serve --data-dir`; mirror it into logging with LoggingAuditLogger"
        )
