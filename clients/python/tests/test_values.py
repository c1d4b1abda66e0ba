"""How values become JSON, besides what the shared table says of it."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections import deque
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import pydantic
import pytest

from aegis import InvalidActionError
from aegis._values import from_struct, from_value, to_record, to_struct


class FakeScalar:
    """A scalar as those of numpy are: their classes are of that module, and have `item` and an empty shape."""

    shape = ()

    def __init__(self, value: Any) -> None:
        self._value = value

    def item(self) -> Any:
        return self._value


FakeScalar.__module__ = "numpy"


@dataclasses.dataclass
class Point:
    x: int
    y: Any


class Colour(str, Enum):
    RED = "red"


class Model(pydantic.BaseModel):
    name: str
    born: date
    inner: list[Model] = []
    password: pydantic.SecretStr = pydantic.SecretStr("hunter2")


@pytest.mark.parametrize(
    ("value", "json"),
    [
        (datetime(2026, 1, 31, 9, 30, tzinfo=timezone.utc), "2026-01-31T09:30:00Z"),
        (datetime(2026, 1, 31, 9, 30, tzinfo=timezone(timedelta(hours=2))), "2026-01-31T09:30:00+02:00"),
        (datetime(2026, 1, 31, 9, 30), "2026-01-31T09:30:00"),  # noqa: DTZ001
        (date(2026, 1, 31), "2026-01-31"),
        (time(9, 30), "09:30:00"),
        (timedelta(minutes=1, milliseconds=500), 60.5),
        (Decimal("2.50"), 2.5),
        (Decimal("1E+3"), 1000),
        (Decimal("19.99"), 19.99),
        (Decimal("-0"), 0),
        (Decimal("0.10000000000000000001"), "0.10000000000000000001"),
        (Decimal(2**53), str(2**53)),
        (Decimal("1E+400"), "1E+400"),
        (Colour.RED, "red"),
        ({Colour.RED: 1}, {"red": 1}),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Path("/etc/hosts"), "/etc/hosts"),
        (b"\xff\xfe", "//4="),
        (bytearray(b"x"), "eA=="),
        ({"b", "a"}, ["a", "b"]),
        (frozenset({3, 1}), [1, 3]),
        ({Colour.RED, "blue"}, ["blue", "red"]),
        (range(3), [0, 1, 2]),
        (deque([1]), [1]),
        (Point(1, Decimal("2.5")), {"x": 1, "y": 2.5}),
        (
            Model(name="a", born=date(1815, 12, 10), inner=[Model(name="b", born=date(2026, 1, 1))]),
            {
                "name": "a", "born": "1815-12-10", "password": "[masked, 7 characters]",
                "inner": [{"name": "b", "born": "2026-01-01", "inner": [], "password": "[masked, 7 characters]"}],
            },
        ),
        (pydantic.AnyUrl("https://example.com/a"), "https://example.com/a"),
        (ipaddress.ip_address("127.0.0.1"), "127.0.0.1"),
        (KeyError("name"), "'name'"),
        (FakeScalar(7), 7),
    ],
    ids=lambda given: type(given).__name__,
)  # fmt: skip
def test_what_people_pass_every_day_is_json(value: Any, json: Any) -> None:
    back = from_struct(to_struct({"v": value}, "params"))["v"]
    assert (back, type(back)) == (json, type(json))


class Broken(pydantic.BaseModel):
    name: str

    @pydantic.field_serializer("name")
    def fails(self, name: str) -> str:
        raise LookupError("no name today")


def test_an_object_that_fails_is_refused_and_never_costs_a_result() -> None:
    broken = Broken(name="a")
    with pytest.raises(InvalidActionError, match=r"params\.v: a Broken cannot be read: .*no name today"):
        to_struct({"v": broken}, "params")
    assert from_value(to_record({"v": broken, "n": 1})) == {"v": "[not JSON: Broken]", "n": 1}
    assert "not_recorded" in from_value(to_record(broken))


@dataclasses.dataclass
class Node:
    name: str
    next: Any = None


def test_a_dataclass_that_contains_itself_is_refused() -> None:
    node = Node("a")
    node.next = [node]
    with pytest.raises(InvalidActionError, match=r"params\.v: contains itself, at params\.v\.next\[0\]"):
        to_struct({"v": node}, "params")


@dataclasses.dataclass
class Options(dict):  # type: ignore[type-arg]
    """A map that has fields beside."""

    force: bool = True


@dataclasses.dataclass
class Name(str):
    __slots__ = ()
    command: dataclasses.InitVar[str] = ""


@pytest.mark.parametrize("value", [Options(), Name("a")], ids=["map", "text"])
def test_a_value_that_has_fields_beside_is_refused(value: Any) -> None:
    with pytest.raises(InvalidActionError, match="fields beside its value") as refused:
        to_struct({"a": [value]}, "params")
    assert refused.value.path == "params.a[0]"
