"""Between Python values and `google.protobuf.Value`. What JSON cannot hold exactly is refused, with its path."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from typing import Any

from google.protobuf import struct_pb2

from aegis._everyday import LARGEST_INTEGER, is_two_kinds, simpler
from aegis.core.action import Secret
from aegis.core.errors import InvalidActionError

DEEPEST = 32
"""As deep as a message can be; a limit of our own, so that nesting is an error with a path and not a stack overflow."""
LONGEST_RESULT = 512 * 1024
"""How many bytes of a result go to the record: half of what a daemon takes by default."""


def to_struct(values: Mapping[str, Any], path: str) -> struct_pb2.Struct:
    """A map as it is sent. Raises `InvalidActionError` where a part of it cannot be sent whole."""
    struct = struct_pb2.Struct()
    writer = _Writer(exact=True, path=path)
    try:
        writer.map(struct, values, path)
    except InvalidActionError:
        raise
    except Exception as error:
        # An object of the caller's, whose own code failed.
        raise InvalidActionError(writer.path, f"cannot be read: {type(error).__name__}: {_text_of(error)}") from error
    return struct


def to_record(value: Any, path: str = "data") -> struct_pb2.Value:
    """A result as it goes to the record: what of it JSON does not have stands there as text.

    In place of one that the record cannot hold at all stands `{"not_recorded": why}`. The action has run: its report
    must not fail because of what it returned, and the caller has the value itself.
    """
    written = struct_pb2.Value()
    writer = _Writer(exact=False, path=path)
    try:
        writer.value(written, value, path)
        if written.string_value == f"[not JSON: {type(value).__name__}]":
            raise InvalidActionError(path, f"a {type(value).__name__} is not JSON")
        size = written.ByteSize()
        if size > LONGEST_RESULT:
            raise InvalidActionError(path, f"{type(value).__name__} of {size} bytes")
    except Exception as error:
        why = str(error) if isinstance(error, InvalidActionError) else f"{writer.path}: {_text_of(error)}"
        written = struct_pb2.Value()
        written.struct_value.fields["not_recorded"].string_value = why.encode(errors="backslashreplace").decode()
    return written


def _text_of(error: Exception) -> str:
    try:
        return str(error)
    except Exception:
        return type(error).__name__


def from_struct(struct: struct_pb2.Struct) -> dict[str, Any]:
    """A map as it was received; whole numbers are integers."""
    return {key: from_value(value) for key, value in struct.fields.items()}


def from_value(value: struct_pb2.Value) -> Any:
    """A value as it was received; whole numbers are integers."""
    kind = value.WhichOneof("kind")
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() and abs(number) <= LARGEST_INTEGER else number
    if kind == "struct_value":
        return from_struct(value.struct_value)
    if kind == "list_value":
        return [from_value(item) for item in value.list_value.values]
    if kind == "string_value":
        return value.string_value
    if kind == "bool_value":
        return value.bool_value
    return None


def check_text(text: Any, path: str) -> str:
    """A text that can be sent."""
    if not isinstance(text, str):
        raise InvalidActionError(path, f"must be a string, not {type(text).__name__}")
    try:
        str.encode(text)
    except UnicodeEncodeError as error:
        raise InvalidActionError(path, f"is not Unicode text: {error.reason} at character {error.start}") from None
    return str.__str__(text)


class _Writer:
    """Writes values; `exact` refuses what the other way replaces by a text."""

    def __init__(self, *, exact: bool, path: str) -> None:
        self._exact = exact
        self.path = path
        """Where it is."""
        self._open: dict[int, str] = {}

    def map(self, struct: struct_pb2.Struct, values: Mapping[str, Any], path: str) -> None:
        if not isinstance(values, Mapping):
            raise InvalidActionError(path, f"must be a map, not {type(values).__name__}")
        self._open[id(values)] = path
        fields = struct.fields
        for key, item in values.items():
            if not isinstance(key, str):
                if self._exact:
                    raise InvalidActionError(
                        f"{path}[{key!r}]", f"a key must be a string, not {type(key).__name__}: convert it"
                    )
                key = str(key)
            name = self._text(key, path)
            if name in fields:
                # Keys of a class of their own, which are not equal and say the same.
                raise InvalidActionError(f"{path}.{name}", "is there twice")
            self.value(fields[name], item, f"{path}.{name}")
        del self._open[id(values)]

    def value(self, target: struct_pb2.Value, value: Any, path: str) -> None:
        self.path = path
        # Not `isinstance`: an object may say that it is of another class, and a mock of a map would be an empty one.
        kind = type(value)
        if self._exact and kind not in _PLAIN and is_two_kinds(kind):
            raise InvalidActionError(
                path, f"a {kind.__name__} has fields beside its value, which would not be shown: {_HINT}"
            )
        if value is None:
            target.null_value = struct_pb2.NULL_VALUE
        elif issubclass(kind, enum.Enum):
            self.value(target, value.value, path)
        elif issubclass(kind, bool):
            target.bool_value = value
        elif issubclass(kind, int):
            self._integer(target, int.__int__(value), path)
        elif issubclass(kind, float):
            self._float(target, float.__float__(value), path)
        elif issubclass(kind, str):
            target.string_value = self._text(value, path)
        elif issubclass(kind, Secret):
            target.string_value = value.masked
        elif issubclass(kind, (Mapping, list, tuple)):
            self._container(target, value, path)
        else:
            self._everyday(target, value, path)

    def _text(self, text: str, path: str) -> str:
        if self._exact:
            return check_text(text, path)
        return str.encode(text, errors="backslashreplace").decode()

    def _integer(self, target: struct_pb2.Value, number: int, path: str) -> None:
        if abs(number) <= LARGEST_INTEGER:
            target.number_value = number
        elif self._exact:
            raise InvalidActionError(
                path, f"{_short(number)} is beyond 2^53 - 1 and would be rounded: send it as a string"
            )
        else:
            target.string_value = _short(number)

    def _float(self, target: struct_pb2.Value, number: float, path: str) -> None:
        if math.isfinite(number):
            target.number_value = number
        elif self._exact:
            raise InvalidActionError(path, f"{number} is not a number that JSON has: send it as a string")
        else:
            target.string_value = str(number)

    def _container(self, target: struct_pb2.Value, value: Any, path: str) -> None:
        why = None
        outer = self._open.get(id(value))
        if outer is not None:
            path, why = outer, f"contains itself, at {path}"
        elif len(self._open) >= DEEPEST:
            why = f"is nested deeper than {DEEPEST}"
        if why is not None:
            raise InvalidActionError(path, why)
        if isinstance(value, Mapping):
            target.struct_value.SetInParent()
            self.map(target.struct_value, value, path)
        else:
            self._open[id(value)] = path
            target.list_value.SetInParent()
            for index, item in enumerate(value):
                self.value(target.list_value.values.add(), item, f"{path}[{index}]")
            del self._open[id(value)]

    def _everyday(self, target: struct_pb2.Value, value: Any, path: str) -> None:
        try:
            found = simpler(value, path)
        except Exception as error:
            if not self._exact:
                found = value
            elif isinstance(error, InvalidActionError):
                raise
            else:
                # An object of the caller's, whose own code failed.
                why = f"a {type(value).__name__} cannot be read: {type(error).__name__}: {_text_of(error)}"
                raise InvalidActionError(path, why) from error
        if found is value:
            self._other(target, value, path)
        elif id(value) in self._open:
            raise InvalidActionError(self._open[id(value)], f"contains itself, at {path}")
        else:
            self._open[id(value)] = path
            self.value(target, found, path)
            del self._open[id(value)]

    def _other(self, target: struct_pb2.Value, value: Any, path: str) -> None:
        name = type(value).__name__
        if self._exact:
            hint = "send its tolist()" if hasattr(value, "tolist") else _HINT
            raise InvalidActionError(path, f"a {name} cannot be sent: {hint}")
        target.string_value = f"[not JSON: {name}]"


_PLAIN = frozenset({type(None), bool, int, float, str, dict, list, tuple})
_HINT = "send what JSON has, or say with `params=` what is proposed"


def _short(number: int) -> str:
    """An integer's digits, or how many bits it has where they would be too many to print."""
    return str(number) if number.bit_length() <= 1024 else f"[an integer of {number.bit_length()} bits]"
