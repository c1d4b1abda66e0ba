"""Objects, results and interruptions that are out to break a governed call: what it says, reports, and runs."""

from __future__ import annotations

import asyncio
import collections
import collections.abc
import dataclasses
import itertools
import threading
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pydantic
import pytest

from aegis import Action, AegisClient, GovernanceError, InvalidActionError, ResultStatus, Runtime, governed
from aegis.adapters.base import BaseExecutor
from aegis.testing import Sidecar

POLICY = """
version: "1"
defaults: { risk_level: low, approval: auto }
rules:
  - { name: ask, match: { type: "ask*" }, approval: approve }
"""


@pytest.fixture(scope="module")
def sidecar() -> Iterator[Sidecar]:
    with Sidecar(POLICY) as sidecar:
        yield sidecar


@pytest.fixture
def session(request: pytest.FixtureRequest) -> str:
    return f"session-{request.node.name}"[:100]


def rows(sidecar: Sidecar, session: str) -> list[Any]:
    return list(sidecar.audit.rows(session_id=session))


def the_row(sidecar: Sidecar, session: str) -> Any:
    (row,) = rows(sidecar, session)
    return row


# --- Arguments ---


class Base(pydantic.BaseModel):
    name: str = "a"


class Sub(Base):
    command: str = "rm -rf /"


class Holder(pydantic.BaseModel):
    item: Base
    items: list[Base]
    more: dict[str, Base]


def test_the_fields_of_a_models_subclass_are_proposed(sidecar: Sidecar, session: str) -> None:
    seen: list[str] = []

    @governed("act", client=sidecar.client(), context={"session_id": session})
    def act(holder: Holder) -> None:
        seen.append(holder.item.command)  # type: ignore[attr-defined]

    act(Holder(item=Sub(), items=[Sub()], more={"x": Sub()}))
    assert seen == ["rm -rf /"]
    whole = {"name": "a", "command": "rm -rf /"}
    assert the_row(sidecar, session).action.params == {
        "holder": {"item": whole, "items": [whole], "more": {"x": whole}}
    }


class Five(int):
    def __int__(self) -> int:
        return 5

    def __index__(self) -> int:
        return 5


class Half(float):
    def __float__(self) -> float:
        return 0.5


class Polite(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "please"

    def encode(self, *args: Any, **kwargs: Any) -> bytes:
        return b"please"


def test_a_number_or_text_of_a_class_of_its_own_is_proposed_as_what_it_is(sidecar: Sidecar, session: str) -> None:
    @governed("act", client=sidecar.client(), context={"session_id": session})
    def act(n: int, x: float, text: str) -> bool:
        return n == 500 and x == 7.25 and text == "rm"

    assert act(Five(500), Half(7.25), Polite("rm"))
    assert the_row(sidecar, session).action.params == {"n": 500, "x": 7.25, "text": "rm"}


class Odd(str):
    """A key that is equal to no other."""

    __slots__ = ()

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


class Failing(collections.UserDict[str, Any]):
    def items(self) -> Any:
        raise LookupError("no items today")


class Unreadable(list[Any]):
    def __iter__(self) -> Any:
        raise OSError("cannot be read")


@dataclasses.dataclass
class Computed:
    value: int = 1

    def __getattribute__(self, name: str) -> Any:
        if name == "value":
            raise RuntimeError("not now")
        return super().__getattribute__(name)


HOSTILE = [
    pytest.param({Odd("a"): 1, "a": 2}, "params.v.a", id="a key twice"),
    pytest.param(Failing(a=1), "params.v", id="a map that fails"),
    pytest.param(Unreadable([1]), "params.v", id="a list that fails"),
    pytest.param([1, Failing(a=1)], "params.v[1]", id="a map that fails, inside"),
    pytest.param(Computed(), "params.v", id="a property that fails"),
    pytest.param(mock.MagicMock(), "params.v", id="a mock"),
    pytest.param(mock.MagicMock(spec=dict), "params.v", id="a mock of a map"),
    pytest.param(mock.MagicMock(spec=list), "params.v", id="a mock of a list"),
    pytest.param(mock.MagicMock(spec=set), "params.v", id="a mock of a set"),
    pytest.param(mock.MagicMock(spec=int), "params.v", id="a mock of a number"),
    pytest.param((item for item in [1]), "params.v", id="a generator"),
    pytest.param(iter([1]), "params.v", id="an iterator"),
    pytest.param(threading.Lock(), "params.v", id="a lock"),
]


@pytest.mark.parametrize(("value", "path"), HOSTILE)
def test_an_argument_that_cannot_be_read_is_refused_with_its_path(
    sidecar: Sidecar, session: str, value: Any, path: str
) -> None:
    @governed("act", client=sidecar.client(), context={"session_id": session})
    def act(v: Any) -> None:
        raise AssertionError("it must not run")

    with pytest.raises(InvalidActionError) as refused:
        act(value)
    assert refused.value.path == path
    assert rows(sidecar, session) == []


@pytest.mark.parametrize(("value", "path"), HOSTILE)
def test_a_result_that_cannot_be_read_is_a_success_all_the_same(
    sidecar: Sidecar, session: str, value: Any, path: str
) -> None:
    @governed("act", client=sidecar.client(), context={"session_id": session}, raise_on_deny=False)
    def act() -> Any:
        return [value]

    assert act()[0] is value
    assert the_row(sidecar, session).result_status is ResultStatus.SUCCESS


@dataclasses.dataclass
class SharedRecord:
    """An object that gives itself out as its own copy."""

    path: str = "/safe"

    def __deepcopy__(self, memo: Any) -> SharedRecord:
        return self


class SharedModel(pydantic.BaseModel):
    path: str = "/safe"

    def __deepcopy__(self, memo: Any = None) -> SharedModel:
        return self


@pytest.mark.parametrize("seat", ["wrap", "call", "executor"])
@pytest.mark.parametrize("kind", [SharedRecord, SharedModel])
async def test_an_object_that_cannot_be_copied_and_changes_does_not_run(
    sidecar: Sidecar, session: str, kind: Any, seat: str
) -> None:
    given, ran = kind(), []
    context = {"session_id": session}

    class Executor(BaseExecutor):
        async def execute(self, action: Action) -> None:
            ran.append(action)

    @governed("ask", client=sidecar.async_client(), context=context)
    async def wrap(v: Any) -> None:
        ran.append(v)

    runtime = Runtime(client=sidecar.client(), executor=Executor(), session_id=session)
    act = {
        "wrap": lambda: wrap(given),
        "call": lambda: runtime.call(Action("ask", params={"v": given}), ran.append),
        "executor": lambda: runtime.run_one(Action("ask", params={"v": given})),
    }[seat]
    done = asyncio.ensure_future(act())
    while not (pending := await asyncio.to_thread(sidecar.operator().list_approvals, session_id=session)):
        await asyncio.wait({done}, timeout=0.02)
    given.path = "/etc/passwd"
    await asyncio.to_thread(sidecar.operator().approve, pending[0])
    outcome = (await asyncio.gather(done, return_exceptions=True))[0]
    assert "is not any more what was proposed" in str(outcome)
    assert ran == []
    assert the_row(sidecar, session).result_status is ResultStatus.SKIPPED


class Turning(pydantic.BaseModel):
    """Changes when it is copied for the second time: while the answer to the proposal is on its way."""

    path: str = "/safe"
    copies: int = pydantic.Field(default=0, exclude=True)

    def __deepcopy__(self, memo: Any = None) -> Turning:
        self.copies += 1
        if self.copies > 1:
            self.path = "/etc/passwd"
        return self


@pytest.mark.parametrize("kind", ["ask", "act"])
async def test_what_changes_before_the_answer_is_there_is_withdrawn(sidecar: Sidecar, session: str, kind: str) -> None:
    given, ran = Turning(), []
    runtime = Runtime(client=sidecar.client(), session_id=session)
    with pytest.raises(GovernanceError, match="is not any more what was proposed"):
        await runtime.call(Action(kind, params={"v": given}), ran.append)
    assert ran == []
    assert the_row(sidecar, session).result_status is ResultStatus.SKIPPED
    assert sidecar.operator().list_approvals(session_id=session) == []


# --- Results and exceptions ---


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


async def test_an_error_that_cannot_be_read_is_reported_and_raised(sidecar: Sidecar, session: str) -> None:
    @governed("act", client=sidecar.async_client(), context={"session_id": session})
    async def act() -> None:
        raise Mute

    with pytest.raises(Mute):
        await act()
    row = the_row(sidecar, session)
    assert (row.result_status, row.result_error) == (ResultStatus.FAILED, "Mute")


@pytest.mark.parametrize("seat", ["call", "call_sync", "wrap"])
async def test_a_function_that_raises_stop_iteration_fails(sidecar: Sidecar, session: str, seat: str) -> None:
    def first(_: Any = None) -> Any:
        return next(iter([]))

    runtime = Runtime(client=sidecar.client(), session_id=session)
    wrapped = governed("act", client=sidecar.client(), context={"session_id": session})(first)

    def raises() -> None:
        with pytest.raises(StopIteration):
            wrapped()

    act: Any = {
        "call": lambda: runtime.call(Action("act"), first),
        "call_sync": lambda: asyncio.to_thread(runtime.call_sync, Action("act"), first),
        "wrap": lambda: asyncio.to_thread(raises),
    }[seat]
    await asyncio.wait_for(act(), 60)
    row = the_row(sidecar, session)
    assert row.result_status is ResultStatus.FAILED


class Generating(collections.abc.Generator[int, None, None]):
    """A generator of a class of its own."""

    def __init__(self, ran: list[int]) -> None:
        self._ran = ran

    def send(self, value: None) -> int:
        if len(self._ran) == 2:
            raise StopIteration
        self._ran.append(len(self._ran) + 1)
        return self._ran[-1]

    def throw(self, *error: Any) -> int:
        raise StopIteration


class Iterating:
    """An iterator of a class of its own."""

    def __init__(self, ran: list[int]) -> None:
        self._inner = Generating(ran)

    def __iter__(self) -> Iterating:
        return self

    def __next__(self) -> int:
        return self._inner.send(None)


LAZY = {
    "generator": Generating,
    "iterator": Iterating,
    "map": lambda ran: map(ran.append, [1, 2]),
    "filter": lambda ran: filter(ran.append, [1, 2]),
    "zip": lambda ran: zip(map(ran.append, [1, 2]), [3, 4], strict=True),
    "chain": lambda ran: itertools.chain(map(ran.append, [1, 2])),
    "starmap": lambda ran: itertools.starmap(ran.append, [(1,), (2,)]),
}


@pytest.mark.parametrize("kind", LAZY)
def test_what_does_nothing_until_it_is_iterated_is_no_success_before(sidecar: Sidecar, session: str, kind: str) -> None:
    ran: list[int] = []

    @governed("act", client=sidecar.client(), context={"session_id": session})
    def act() -> Any:
        return LAZY[kind](ran)

    lazy = act()
    assert ran == []
    assert the_row(sidecar, session).result_status is None
    list(lazy)
    assert ran == [1, 2]
    assert the_row(sidecar, session).result_status is ResultStatus.SUCCESS


@pytest.mark.parametrize("of", [[1], (1,), {1: 2}, "a", b"a", range(1), {1}], ids=repr)
def test_an_iterator_of_a_collection_is_a_result(sidecar: Sidecar, session: str, of: Any) -> None:
    returned = iter(of)
    act = governed("act", client=sidecar.client(), context={"session_id": session})(lambda: returned)
    assert act() is returned
    assert the_row(sidecar, session).result_status is ResultStatus.SUCCESS


async def test_a_runtime_tells_how_to_run_what_is_lazy(sidecar: Sidecar, session: str) -> None:
    runtime = Runtime(client=sidecar.client(), session_id=session)
    result = await runtime.call(Action("act"), lambda _: map(int, ["1"]))
    assert result.status is ResultStatus.FAILED
    assert "Runtime.stream" in str(result.error)
    assert [item async for item in runtime.stream(Action("act"), lambda _: map(int, ["1", "2"]))] == [1, 2]


class GraphBubbleUp(Exception):
    """What LangGraph raises to pause a run."""


class GraphInterrupt(GraphBubbleUp):
    """Its `interrupt(...)`."""


@pytest.mark.parametrize("seat", ["governed", "async", "call", "stream"])
async def test_a_pause_of_a_framework_is_on_the_record_as_one(sidecar: Sidecar, session: str, seat: str) -> None:
    context = {"session_id": session}
    runtime = Runtime(client=sidecar.client(), session_id=session)

    def pauses(_: Any = None) -> Any:
        raise GraphInterrupt("really?")

    async def pauses_async() -> Any:
        raise GraphInterrupt("really?")

    async def items() -> list[Any]:
        return [item async for item in runtime.stream(Action("act"), lambda _: (pauses(n) for n in range(2)))]

    if seat == "call":
        assert isinstance((await runtime.call(Action("act"), pauses)).exception, GraphInterrupt)
    else:
        act: Any = {
            "governed": lambda: asyncio.to_thread(governed("act", client=sidecar.client(), context=context)(pauses)),
            "async": governed("act", client=sidecar.async_client(), context=context)(pauses_async),
            "stream": items,
        }[seat]
        with pytest.raises(GraphInterrupt, match=r"really\?"):
            await act()
    row = the_row(sidecar, session)
    assert row.result_status is ResultStatus.SKIPPED
    assert row.result_error == "the framework paused the run: GraphInterrupt"


# --- Interruptions ---


class Interrupting:
    """A transport that interrupts the first report on its way."""

    def __init__(self, client: Any, error: BaseException) -> None:
        self.transport, self._error = client._transport, error
        self._inner = client._transport.unary
        self._inner_async = client._transport.unary_async
        self.reports = 0

    def install(self, patch: pytest.MonkeyPatch) -> None:
        def unary(call: Any) -> Any:
            self._interrupt(call)
            return self._inner(call)

        async def unary_async(call: Any) -> Any:
            self._interrupt(call)
            return await self._inner_async(call)

        patch.setattr(self.transport, "unary", unary)
        patch.setattr(self.transport, "unary_async", unary_async)

    def _interrupt(self, call: Any) -> None:
        if call.method == "ReportResult":
            self.reports += 1
            if self.reports == 1:
                raise self._error


@pytest.mark.parametrize("flavour", ["sync", "async"])
async def test_an_interrupt_during_the_report_does_not_cost_the_record_the_result(
    sidecar: Sidecar, session: str, monkeypatch: pytest.MonkeyPatch, flavour: str
) -> None:
    error: BaseException = KeyboardInterrupt() if flavour == "sync" else asyncio.CancelledError()
    client: AegisClient | Any = sidecar.client() if flavour == "sync" else sidecar.async_client()
    Interrupting(client, error).install(monkeypatch)
    wrap = governed("act", client=client, context={"session_id": session})

    async def act() -> str:
        return "done"

    if flavour == "sync":
        with pytest.raises(KeyboardInterrupt):
            wrap(lambda: "done")()
    else:
        with pytest.raises(asyncio.CancelledError):
            await wrap(act)()
    row = the_row(sidecar, session)
    assert (row.result_status, row.result_data) == (ResultStatus.SUCCESS, "done")


# --- Nested, and in threads ---


async def test_nested_governed_calls_are_decisions_of_their_own(sidecar: Sidecar, session: str) -> None:
    context = {"session_id": session}
    inner = governed("inner", client=sidecar.client(), context=context)(lambda n: n + 1)

    @governed("outer", client=sidecar.async_client(), context=context)
    async def outer(n: int) -> int:
        runtime = Runtime(client=sidecar.client(), session_id=session)
        by_call = await runtime.call(Action("middle", params={"n": n}), lambda action: inner(action.params["n"]))
        return int(by_call.data) + int(runtime.call_sync(Action("middle"), lambda _: inner(n)).data)

    assert await outer(1) == 4
    assert sorted(row.action.type for row in rows(sidecar, session)) == ["inner", "inner", "middle", "middle", "outer"]
    assert {row.result_status for row in rows(sidecar, session)} == {ResultStatus.SUCCESS}


def test_threads_share_a_wrapped_function_and_never_each_others_arguments(sidecar: Sidecar, session: str) -> None:
    @governed("act", client=sidecar.client(), context={"session_id": session})
    def act(where: list[int]) -> int:
        return where[0]

    given = [[n] for n in range(40)]
    answers: dict[int, int] = {}

    def run(n: int) -> None:
        answers[n] = act(given[n])

    threads = [threading.Thread(target=run, args=(n,)) for n in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {n: n for n in range(40)}
    proposed = [(row.action.params["where"][0], row.result_data) for row in rows(sidecar, session)]
    assert sorted(proposed) == [(n, n) for n in range(40)]
