"""What an auditor asks for besides the streams of the record."""

from __future__ import annotations

from aegis import _answers, types
from aegis._operations.effects import Operation, call
from aegis._proto import audit_pb2
from aegis._settings import Settings
from aegis._values import check_text


def get_stats(settings: Settings, top: int) -> Operation[types.Stats]:
    response = yield from call(settings, "GetStats", audit_pb2.GetStatsRequest(top=top))
    return _answers.stats(response)


def list_decisions(
    settings: Settings, filters: audit_pb2.AuditFilter, newest_first: bool, limit: int | None
) -> Operation[list[types.AuditRow]]:
    found: list[types.AuditRow] = []
    token = ""
    while limit is None or len(found) < limit:
        size = 1000 if limit is None else min(1000, limit - len(found))
        request = audit_pb2.ListDecisionsRequest(
            filter=filters, page_size=size, page_token=token, newest_first=newest_first
        )
        response = yield from call(settings, "ListDecisions", request)
        found += map(_answers.audit_row, response.rows)
        token = response.next_page_token
        if not token:
            break
    return found


def get_decision(settings: Settings, named: str) -> Operation[types.DecisionLife]:
    request = audit_pb2.GetDecisionRequest(id=check_text(named, "id"))
    return _answers.decision_life((yield from call(settings, "GetDecision", request)))
