"""Values that people pass every day, as JSON: the rule that clients/README.md states for all three SDKs, in Python.

`simpler` takes one step: a date becomes its text, a dataclass a map of its fields. The parts of what it returns follow
the same rule. A value that no rule is for is not changed, and the caller refuses it.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import decimal
import enum
import ipaddress
import pathlib
import uuid
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from aegis.core.errors import InvalidActionError

LARGEST_INTEGER = 2**53 - 1
"""The largest whole number that every JSON reader holds exactly."""


def simpler(value: Any, path: str) -> Any:
    """The value one step nearer to JSON; itself where no rule is for it.

    Raises:
        InvalidActionError: A rule is for it, and it has no JSON: a set without an order, `Decimal("NaN")`.
    """
    # An object may say that it is of another class: that of a mock, or of a proxy, counts for nothing.
    kind = type(value)
    if issubclass(kind, enum.Enum):
        return value.value
    if issubclass(kind, (datetime.date, datetime.time, datetime.timedelta)):
        return _moment(value)
    if issubclass(kind, decimal.Decimal):
        return _decimal(value, path)
    if issubclass(kind, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode("ascii")
    if issubclass(kind, _TEXTS):
        return str(value)
    if issubclass(kind, AbstractSet):
        return _ordered(value, path)
    if issubclass(kind, Sequence) and not issubclass(kind, str):
        return list(value)
    return _of_a_class(value)


_TEXTS = (
    uuid.UUID,
    pathlib.PurePath,
    BaseException,
    ipaddress.IPv4Address,
    ipaddress.IPv6Address,
    ipaddress.IPv4Network,
    ipaddress.IPv6Network,
    ipaddress.IPv4Interface,
    ipaddress.IPv6Interface,
)


def is_two_kinds(kind: type) -> bool:
    """Whether a class is a value of JSON and a record of fields at once: as the one, it would hide the other."""
    is_record = dataclasses.is_dataclass(kind) or hasattr(kind, "__attrs_attrs__")
    return is_record and issubclass(kind, (str, int, float, bytes, bytearray, list, tuple, Mapping, AbstractSet))


def _moment(value: datetime.date | datetime.time | datetime.timedelta) -> Any:
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    text = value.isoformat()
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text


def _decimal(value: decimal.Decimal, path: str) -> Any:
    if not value.is_finite():
        raise InvalidActionError(path, f"{value} is not a number that JSON has: send it as a string")
    if value == value.to_integral_value() and abs(value) <= LARGEST_INTEGER:
        return int(value)
    if abs(value) > LARGEST_INTEGER:
        return str(value)
    # What a reader of the JSON would see: the shortest text of the nearest double.
    nearest = float(value)
    return nearest if decimal.Decimal(repr(nearest)) == value else str(value)


def _ordered(values: AbstractSet[Any], path: str) -> list[Any]:
    items = [_scalar(item, path) for item in values]
    texts = all(isinstance(item, str) for item in items)
    if texts or not any(isinstance(item, (str, bool, list)) or item is None for item in items):
        try:
            return sorted(items)
        except TypeError:
            pass
    raise InvalidActionError(path, f"a {type(values).__name__} whose parts have no order cannot be sent: send a list")


def _scalar(value: Any, path: str) -> Any:
    while not (
        value is None or (isinstance(value, (str, int, float, list, dict)) and not isinstance(value, enum.Enum))
    ):
        found = simpler(value, path)
        if found is value:
            break
        value = found
    return value


def _of_a_class(value: Any) -> Any:
    """A dataclass, a model of pydantic or attrs, a scalar of numpy, a URL. No such package is imported for it."""
    kind = type(value)
    if dataclasses.is_dataclass(kind):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    root = {base.__module__.partition(".")[0] for base in kind.__mro__}
    if "pydantic" in root or "pydantic_core" in root:
        return _of_pydantic(value)
    if "numpy" in root and hasattr(value, "item") and getattr(value, "shape", None) == ():
        return value.item()
    if hasattr(kind, "__attrs_attrs__"):
        return {field.name: getattr(value, field.name) for field in kind.__attrs_attrs__}
    if {"httpx", "yarl"} & root and kind.__name__ == "URL":
        return str(value)
    return value


def _dumped(model: Any) -> Any:
    """A model with all that it holds: without `serialize_as_any`, fields of a subclass would be left out."""
    try:
        return model.model_dump(mode="python", serialize_as_any=True)
    except TypeError:
        # Older releases leave out what a field's annotation does not name.
        fields = {name: getattr(model, name) for name in type(model).model_fields}
        return fields | (model.model_extra or {})


def _of_pydantic(value: Any) -> Any:
    if hasattr(value, "get_secret_value"):
        return f"[masked, {len(value.get_secret_value())} characters]"
    if hasattr(value, "model_dump"):
        return _dumped(value)
    if hasattr(value, "__fields__") and hasattr(value, "dict"):
        return value.dict()
    if hasattr(value, "scheme"):
        return str(value)
    return value
