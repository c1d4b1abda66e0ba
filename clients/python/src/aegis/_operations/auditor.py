"""What an auditor asks for besides the streams of the record."""

from __future__ import annotations

from aegis import _answers, types
from aegis._operations.effects import Operation, call
from aegis._proto import audit_pb2
from aegis._settings import Settings


def get_stats(settings: Settings, top: int) -> Operation[types.Stats]:
    response = yield from call(settings, "GetStats", audit_pb2.GetStatsRequest(top=top))
    return _answers.stats(response)
