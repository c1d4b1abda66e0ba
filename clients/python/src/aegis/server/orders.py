"""Reads the body of `POST /api/v1/execute`: one action, several, or a bare list. Every wrong field is named at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aegis.core.action import Action
from aegis.core.errors import FieldViolation
from aegis.server import durations
from aegis.server.problems import invalid

MOST = 100
"""The most actions in one request."""
WAIT = 60.0
"""Seconds that a request waits if it does not say."""

_TEXTS = ("action_type", "target", "description", "session_id", "idempotency_key", "confirmation_token")
_OBJECTS = ("params", "metadata", "actor")
_ALIASES = {"type": "action_type"}


@dataclass(frozen=True)
class Order:
    """One action to execute."""

    action: Action
    place: str
    """Where the request has it: `actions[3].`."""
    actor: Mapping[str, str] = field(default_factory=dict)
    session_id: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    idempotency_key: str | None = None
    confirmation_token: str | None = None

    def called(self, path: str) -> str:
        """What the request calls a field that the SDK or the daemon names."""
        head, dot, rest = path.partition(".")
        for prefix in ("action", "context"):
            if head == prefix and dot:
                head, dot, rest = rest.partition(".")
        return self.place + {"type": "action_type"}.get(head, head) + dot + rest


@dataclass(frozen=True)
class Orders:
    """What a request asks for."""

    orders: list[Order]
    is_list: bool
    """Whether the answer is a list."""
    wait: float


def read(body: Any) -> Orders:
    """The orders of a body. Raises a `Problem` that names every wrong field."""
    wrong: list[FieldViolation] = []
    wait, is_list = WAIT, True
    if isinstance(body, list):
        items, place = body, ""
    elif isinstance(body, dict):
        members = dict(body)
        wait = _wait(members.pop("wait", None), wrong)
        if "actions" in members:
            place, items = "actions", members.pop("actions")
            wrong += [FieldViolation(name, "no such member beside `actions`") for name in members]
            if not isinstance(items, list):
                raise invalid(*wrong, FieldViolation("actions", "must be a list of objects"))
        else:
            place, items, is_list = "", [members], False
    else:
        raise invalid(FieldViolation("", "the body must be an object, or a list of objects"))
    if not 0 < len(items) <= MOST:
        raise invalid(*wrong, FieldViolation("actions", f"{len(items)} actions; between 1 and {MOST}"))
    orders = [_order(item, f"{place}[{index}]." if is_list else "", wrong) for index, item in enumerate(items)]
    if wrong:
        raise invalid(*wrong)
    return Orders([order for order in orders if order is not None], is_list, wait)


def _wait(given: Any, wrong: list[FieldViolation]) -> float:
    if given is None:
        return WAIT
    if not isinstance(given, str):
        wrong.append(FieldViolation("wait", "must be a text, for example `30s`"))
        return WAIT
    try:
        return durations.seconds(given)
    except ValueError as error:
        wrong.append(FieldViolation("wait", str(error)))
        return WAIT


def _order(item: Any, place: str, wrong: list[FieldViolation]) -> Order | None:
    if not isinstance(item, dict):
        wrong.append(FieldViolation(place.rstrip("."), "must be an object"))
        return None
    found: dict[str, Any] = {}
    for name, value in item.items():
        word = _ALIASES.get(name, name)
        if word in found:
            wrong.append(FieldViolation(place + name, f"is another name of `{word}`: give one of them"))
        elif word not in _TEXTS + _OBJECTS:
            wrong.append(FieldViolation(place + name, f"no such member: there are {', '.join(_TEXTS + _OBJECTS)}"))
        elif not isinstance(value, str if word in _TEXTS else dict):
            wrong.append(FieldViolation(place + name, f"must be {'a text' if word in _TEXTS else 'an object'}"))
        else:
            found[word] = value
    if not found.get("action_type") and not wrong:
        wrong.append(FieldViolation(place + "action_type", "must not be empty: say what the agent wants to do"))
    for name, value in found.get("actor", {}).items():
        if name not in {"id", "type"} or not isinstance(value, str):
            wrong.append(FieldViolation(f"{place}actor.{name}", "an actor has an `id` and a `type`, both texts"))
    return Order(
        Action(
            found.get("action_type", ""), found.get("target", ""), found.get("params", {}), found.get("description", "")
        ),
        place,
        found.get("actor", {}),
        found.get("session_id", ""),
        found.get("metadata", {}),
        found.get("idempotency_key") or None,
        found.get("confirmation_token") or None,
    )
