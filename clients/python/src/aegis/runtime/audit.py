"""The record, as an agent's process may read it with an auditor's credential."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aegis._client import AegisClient
from aegis.core.result import ResultStatus
from aegis.core.risk import ApprovalMode, RiskLevel
from aegis.errors import AegisError
from aegis.filters import AuditFilters
from aegis.types import AuditRow, Stats

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["AuditLog", "AuditLogger"]


class LogFilters(AuditFilters, total=False):
    """`AuditFilters`, and five of them by the names that they have in agent-aegis."""

    action_target: str | None
    """`target`."""
    risk_level: RiskLevel | str | None
    """`risk_levels`, one."""
    approval: ApprovalMode | str | None
    """`approval_modes`, one."""
    outcome: str | None
    """`outcomes`, one."""
    result_status: ResultStatus | str | None
    """`result_statuses`, one."""


_NAMES = {
    "action_target": "target",
    "risk_level": "risk_levels",
    "approval": "approval_modes",
    "outcome": "outcomes",
    "result_status": "result_statuses",
}


def _filters(given: Mapping[str, Any]) -> Any:
    renamed = {_NAMES.get(name, name): value for name, value in given.items()}
    if len(renamed) < len(given):
        twice = next(old for old, new in _NAMES.items() if old in given and new in given)
        raise TypeError(f"`{twice}` and `{_NAMES[twice]}` are one filter: give one of them")
    return renamed


class AuditLog:
    """Reads the daemon's record. Nothing here can write it."""

    def __init__(self, client: AegisClient) -> None:
        self._client = client

    def rows(self, *, limit: int | None = None, **filters: Unpack[LogFilters]) -> Iterator[AuditRow]:
        """Rows one by one, oldest first; of many, only the newest `limit`. Filters: `aegis.filters.AuditFilters`."""
        stream = self._client.stream_audit(limit=limit, **_filters(filters))
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
