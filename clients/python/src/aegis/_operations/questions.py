"""What an agent asks without proposing: what the policy would answer, and whether the daemon serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from google.protobuf import wrappers_pb2

from aegis import _answers, _requests, types
from aegis._operations.effects import Operation, call
from aegis._proto import governance_pb2
from aegis._settings import Settings
from aegis.core.action import ActionLike
from aegis.core.errors import GovernanceError


def evaluate(
    settings: Settings,
    actions: Sequence[ActionLike],
    *,
    actor: Mapping[str, Any] | types.Actor | str | None = None,
    at: datetime | str | None = None,
    explain: bool = False,
) -> Operation[list[types.Evaluation]]:
    who = _requests.actor(actor)
    checked = [
        _requests.action(action, "" if len(actions) == 1 else f"actions[{index}].")
        for index, action in enumerate(actions)
    ]
    if not checked:
        return []
    items = [governance_pb2.EvaluateItem(actor=who, action=message) for _, message in checked]
    moment = None if at is None else _requests.timestamp(at)
    answers: list[types.Evaluation] = []
    # As many as a daemon takes at once.
    for first in range(0, len(items), 1000):
        request = governance_pb2.EvaluateRequest(items=items[first : first + 1000], at=moment, explain=explain)
        response = yield from call(settings, "Evaluate", request)
        answers += _answers.evaluations(response, [copy for copy, _ in checked[first : first + 1000]])
    return answers


def health(settings: Settings, service: str) -> Operation[types.HealthStatus]:
    # grpc.health.v1: a request of one string and a response of one number, as the wrappers are.
    try:
        response = yield from call(settings, "Check", wrappers_pb2.StringValue(value=service))
    except GovernanceError as error:
        if error.code == "NOT_FOUND":
            return "SERVICE_UNKNOWN"
        raise
    return _answers.health(response.value)
