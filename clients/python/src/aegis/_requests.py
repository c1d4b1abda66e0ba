"""From the SDK's values to the API's messages. No I/O."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, TypeVar, cast

from google.protobuf import duration_pb2, timestamp_pb2

from aegis import _enums, types
from aegis._proto import approval_pb2, audit_pb2, types_pb2
from aegis._values import check_text, to_struct
from aegis.core.action import Action, ActionLike
from aegis.core.errors import GovernanceError, InvalidActionError
from aegis.core.risk import ApprovalMode, RiskLevel
from aegis.core.status import ResultStatus


def action(given: ActionLike, path: str = "") -> tuple[Action, types_pb2.Action]:
    """A copy of an action, and the message that describes the copy. What is done later is done with the copy.

    Raises:
        InvalidActionError: It cannot be sent whole; its path begins with `path`.
    """
    read = Action.of(given)
    copied = Action(
        check_text(read.type, path + "type"),
        check_text(read.target, path + "target"),
        _copied(read.params, path + "params"),
        check_text(read.description, path + "description"),
    )
    return copied, described(copied, path)


def described(copied: Action, path: str = "") -> types_pb2.Action:
    """The message that describes an action: equal messages, equal actions."""
    if not copied.type:
        raise InvalidActionError(path + "type", "must not be empty: say what the agent wants to do")
    return types_pb2.Action(
        type=copied.type,
        target=copied.target,
        params=to_struct(copied.params, path + "params"),
        description=copied.description,
    )


def _copied(params: Any, path: str) -> Any:
    """A map that shares nothing with the caller's, which is read once."""
    if not isinstance(params, Mapping):
        raise InvalidActionError(path, f"must be a map, not {type(params).__name__}")
    read = dict(params)
    try:
        return copy.deepcopy(read)
    except Exception as error:
        # What cannot be sent says so, with its place in it.
        to_struct(read, path)
        raise InvalidActionError(
            path, f"cannot be copied, so it could change before it runs: {type(error).__name__}: {error}"
        ) from error


def actor(given: Mapping[str, Any] | types.Actor | str | None) -> types_pb2.Actor:
    """Who proposes."""
    if given is None:
        return types_pb2.Actor()
    if isinstance(given, str):
        return types_pb2.Actor(id=check_text(given, "actor.id"))
    words = vars(given) if isinstance(given, types.Actor) else given
    _only(words, {"id", "type"}, "actor")
    return types_pb2.Actor(
        id=check_text(words.get("id") or "", "actor.id"), type=check_text(words.get("type") or "", "actor.type")
    )


def context(given: Mapping[str, Any] | None) -> types_pb2.ProposalContext:
    """Where a proposal comes from."""
    if given is None:
        return types_pb2.ProposalContext()
    _only(given, {"session_id", "metadata"}, "context")
    return types_pb2.ProposalContext(
        session_id=check_text(given.get("session_id") or "", "context.session_id"),
        metadata=to_struct(given.get("metadata") or {}, "context.metadata"),
    )


def _only(given: Any, known: set[str], path: str) -> None:
    if not isinstance(given, Mapping):
        raise InvalidActionError(path, f"must be a map, not {type(given).__name__}")
    for key in given:
        if key not in known:
            raise InvalidActionError(f"{path}.{key}", f"no such key: there are {', '.join(sorted(known))}")


def duration(seconds: float) -> duration_pb2.Duration:
    """A span of time."""
    whole = int(seconds)
    return duration_pb2.Duration(seconds=whole, nanos=int((seconds - whole) * 1e9))


def timestamp(moment: datetime | str) -> timestamp_pb2.Timestamp:
    """A moment: a `datetime` (of the local zone where it has none), or RFC 3339 text."""
    stamp = timestamp_pb2.Timestamp()
    if isinstance(moment, str):
        try:
            stamp.FromJsonString(moment)
        except ValueError as error:
            raise GovernanceError(f"`{moment}` is not RFC 3339, for example 2026-01-31T09:00:00Z: {error}") from None
    else:
        stamp.FromDatetime(moment.astimezone(timezone.utc))
    return stamp


def status_number(status: ResultStatus | str) -> types_pb2.ResultStatus.ValueType:
    """The number of a result status."""
    return _enums.STATUS_NUMBERS[_member(ResultStatus, status)]


_E = TypeVar("_E", ResultStatus, ApprovalMode)


def _member(enumeration: type[_E], given: _E | str) -> _E:
    try:
        return enumeration(given.lower())
    except ValueError:
        known = ", ".join(member.value for member in enumeration)
        raise GovernanceError(f"`{given}` is none of {known}") from None


def risk_level(given: RiskLevel | int | str) -> types_pb2.RiskLevel.ValueType:
    """A risk level by its number, or by its name in any case."""
    try:
        level = RiskLevel[given.upper()] if isinstance(given, str) else RiskLevel(int(given))
    except (KeyError, ValueError):
        raise GovernanceError(f"`{given}` is none of low, medium, high, critical") from None
    return cast("types_pb2.RiskLevel.ValueType", level.value)


_TEXTS = {"session_id", "action_type", "target", "actor_id", "subject", "approver", "matched_rule"}
_AUDIT_TEXTS = _TEXTS | {"decision_id", "audit_ref"}


def approval_filter(filters: Mapping[str, Any]) -> approval_pb2.ApprovalFilter:
    """Which approvals are asked for."""
    message = approval_pb2.ApprovalFilter()
    for key, value in filters.items():
        if value is None:
            continue
        if key in _TEXTS:
            setattr(message, key, check_text(value, key))
        else:
            _shared_filter(message, key, value)
    return message


def audit_filter(filters: Mapping[str, Any]) -> audit_pb2.AuditFilter:
    """Which rows are asked for."""
    message = audit_pb2.AuditFilter()
    for key, value in filters.items():
        if value is None:
            continue
        if key in _AUDIT_TEXTS:
            setattr(message, key, check_text(value, key))
        elif key == "approval_modes":
            message.approval_modes.extend(
                _enums.APPROVAL_NUMBERS[_member(ApprovalMode, one)] for one in _several(value)
            )
        elif key == "outcomes":
            message.outcomes.extend(map(_outcome_number, _several(value)))
        elif key == "result_statuses":
            message.result_statuses.extend(map(status_number, _several(value)))
        else:
            _shared_filter(message, key, value)
    return message


def _shared_filter(message: approval_pb2.ApprovalFilter | audit_pb2.AuditFilter, key: str, value: Any) -> None:
    if key == "risk_levels":
        message.risk_levels.extend(map(risk_level, _several(value)))
    elif key == "min_risk_level":
        message.min_risk_level = risk_level(value)
    elif key in {"since", "until"}:
        getattr(message, key).CopyFrom(timestamp(value))
    else:
        raise TypeError(f"no filter `{key}`")


def _several(value: Any) -> list[Any]:
    """One value, or several: one of them must match."""
    return [value] if isinstance(value, (str, int)) else list(value)


def state_number(given: str) -> types_pb2.ApprovalState.ValueType:
    """The number of a state of an approval."""
    try:
        return cast(
            "types_pb2.ApprovalState.ValueType", _enums.STATE_NUMBERS[cast("types.ApprovalState", given.lower())]
        )
    except KeyError:
        raise GovernanceError(f"`{given}` is none of {', '.join(_enums.STATE_NUMBERS)}") from None


def _outcome_number(given: str) -> types_pb2.Outcome.ValueType:
    try:
        return cast("types_pb2.Outcome.ValueType", _enums.OUTCOME_NUMBERS[cast("types.Outcome", given.upper())])
    except KeyError:
        raise GovernanceError(f"`{given}` is none of {', '.join(_enums.OUTCOME_NUMBERS)}") from None
