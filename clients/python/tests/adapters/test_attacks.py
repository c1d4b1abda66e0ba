"""Executes the table of attacks that all SDKs share, tests/sdk/attacks.yaml, as tests/sdk/README.md reads it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import dataclasses
import enum
import json
import uuid
from collections.abc import Awaitable, Callable, Iterator
from concurrent import futures
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import grpc
import httpx
import pydantic
import pytest
import yaml
from langchain_core.tools import StructuredTool
from mcp.types import CallToolResult

from aegis import (
    Action,
    ActionDenied,
    AegisClient,
    Approvals,
    AsyncAegisClient,
    GovernanceError,
    InvalidActionError,
    Retries,
    Runtime,
    governed,
)
from aegis._digest import action_digest
from aegis._proto import governance_pb2, governance_pb2_grpc, types_pb2
from aegis.adapters.anthropic import govern_tool_call, tool_results_to_api_format
from aegis.adapters.base import BaseExecutor
from aegis.adapters.httpx_adapter import AegisTransport, AsyncAegisTransport, AsyncGovernedClient, GovernedClient
from aegis.adapters.langchain import govern_tool
from aegis.adapters.mcp import GovernedSession
from aegis.adapters.openai_agents import governed_tool
from aegis.adapters.playwright import PlaywrightExecutor
from aegis.testing import Sidecar

from .site import Site
from .test_playwright import ARGUMENTS, CHROMIUM

TABLE = yaml.safe_load((Path(__file__).parents[4] / "tests/sdk/attacks.yaml").read_text())
KEYS = {
    "name",
    "seats",
    "target",
    "params",
    "change",
    "reviewer",
    "retries",
    "proposed",
    "ran",
    "denied",
    "refused",
    "told",
}
KEYS |= {"request", "sent", "or_refused", "redirects_to", "page", "action", "asked", "hits", "opened"}
CHANGES = {"when", "of", "set", "unset", "page", "goes_to"}
SEATS = {"wrap", "call", "executor", "tool", "mcp", "http", "browser"}
WHENS = {"reviewing", "confirming", "on_decision", "first_attempt", "planned"}
# What Python does not have: nothing of it. Seats of other languages: none in the rows so far.
ELSEWHERE = {"grpc"}


def test_the_table_is_whole() -> None:
    for row in TABLE["attacks"]:
        assert set(row) <= KEYS, row["name"]
        assert set(row["seats"]) <= SEATS | ELSEWHERE, row["name"]
        assert set(row.get("change", {})) <= CHANGES, row["name"]
        assert row.get("change", {"when": "planned"})["when"] in WHENS, row["name"]
    assert set(TABLE) == {"policy", "attacks", "answers", "values"}
    assert len(TABLE["attacks"]) > 20


@pytest.fixture(scope="module")
def sidecar() -> Iterator[Sidecar]:
    with Sidecar(TABLE["policy"]) as sidecar:
        yield sidecar


# --- What is changed, and when ---


def change(row: dict[str, Any], when: str, held: Any) -> None:
    """Applies the row's change to what the caller holds, if this is its moment."""
    what = row.get("change", {})
    if what.get("when") != when:
        return
    for path, value in what.get("set", {}).items():
        *way, last = path.split(".")
        place = follow(held, way)
        place[int(last) if isinstance(place, list) else last] = copy.deepcopy(value)
    for path in what.get("unset", []):
        *way, last = path.split(".")
        del follow(held, way)[last]


def follow(held: Any, way: list[str]) -> Any:
    for part in way:
        held = held[int(part)] if isinstance(held, list) else held[part]
    return held


async def with_reviewer(
    sidecar: Sidecar, row: dict[str, Any], session: str, act: Callable[[], Awaitable[Any]], held: Any
) -> Any:
    """Does something, and meanwhile answers as the row says."""
    done = asyncio.ensure_future(act())
    while not done.done():
        pending = await asyncio.to_thread(sidecar.operator().list_approvals, session_id=session)
        if pending:
            held(None) if callable(held) else change(row, "reviewing", held)
            answer = sidecar.operator().deny if row.get("reviewer") == "deny" else sidecar.operator().approve
            with contextlib.suppress(GovernanceError):
                await asyncio.to_thread(answer, pending[0])
        await asyncio.wait({done}, timeout=0.02)
    return await done


class Seat:
    """One way of making a call. `ran` has the arguments of each run."""

    def __init__(self, sidecar: Sidecar, row: dict[str, Any]) -> None:
        self.sidecar, self.row = sidecar, row
        self.session = uuid.uuid4().hex[:12]
        self.ran: list[Any] = []
        self.held = {name: made(value) for name, value in row.get("params", {}).items()}

    def runs(self, arguments: dict[str, Any]) -> str:
        self.ran.append(json.loads(json.dumps(arguments, default=str)))
        change(self.row, "first_attempt", arguments)
        if self.row.get("retries") and len(self.ran) == 1:
            raise ConnectionError("the first attempt fails")
        return "done"

    def hook(self, action: Action, decision: Any) -> None:
        change(self.row, "on_decision", action.params)

    def confirm(self, action: Action, decision: Any) -> bool:
        change(self.row, "confirming", self.held)
        return True

    def runtime(self, executor: BaseExecutor | None = None, **options: Any) -> Runtime:
        return Runtime(
            executor=executor,
            client=self.sidecar.client(),
            session_id=self.session,
            on_decision=self.hook,
            approvals=Approvals(confirm=self.confirm),
            **options,
        )

    async def wrap(self) -> Any:
        @governed(
            "act",
            self.row["target"],
            client=self.sidecar.async_client(),
            context={"session_id": self.session},
            confirm=self.confirm,
            on_decision=self.hook,
        )
        async def act(**given: Any) -> Any:
            return self.runs(given)

        return await act(**self.held)

    async def call(self) -> Any:
        action = Action("act", self.row["target"], self.held)
        return await self.runtime().call(action, lambda proposed: self.runs(dict(proposed.params)))

    async def executor(self) -> Any:
        seat = self

        class Runs(BaseExecutor):
            async def execute(self, action: Action) -> Any:
                return seat.runs(dict(action.params))

        runtime = self.runtime(Runs(), retries=Retries(self.row.get("retries", 0), backoff=0.0))
        plan = await runtime.aplan([Action("act", self.row["target"], self.held)])
        change(self.row, "planned", self.held)
        (result,) = await runtime.execute(plan)
        return result

    async def langchain(self) -> Any:
        names = {name: {} for name in self.held}
        tool = StructuredTool.from_function(
            func=lambda **given: self.runs(given),
            name="act",
            description="d",
            args_schema={"type": "object", "properties": names},
        )
        wrapped = govern_tool(tool, runtime=self.runtime(), action_target=self.row["target"])
        message = await wrapped.ainvoke({"name": "act", "args": self.held, "id": "call_1", "type": "tool_call"})
        return message.content

    async def openai_agents(self) -> Any:
        from agents.tool_context import ToolContext

        source = (
            f"def act({', '.join(self.held)}):\n    return seat.runs(dict({', '.join(f'{n}={n}' for n in self.held)}))"
        )
        names: dict[str, Any] = {"seat": self}
        exec(source, names)
        tool = governed_tool(runtime=self.runtime(), action_target=self.row["target"], strict_mode=False)(names["act"])
        arguments = json.dumps(self.held)
        context = ToolContext(None, tool_name="act", tool_call_id="call_1", tool_arguments=arguments)
        return await tool.on_invoke_tool(context, arguments)

    async def anthropic(self) -> Any:
        seat = self

        class Runs(BaseExecutor):
            async def execute(self, action: Action) -> Any:
                return seat.runs(dict(action.params))

        result = await govern_tool_call(
            runtime=self.runtime(Runs()),
            tool_name="act",
            tool_input=self.held,
            target=self.row["target"],
            tool_use_id="t",
        )
        return tool_results_to_api_format([result])[0]["content"]

    async def mcp(self) -> Any:
        session = GovernedSession(Server(self), runtime=self.runtime(), server_name=self.row["target"])
        return await session.call_tool("act", self.held)

    async def mcp_request(self) -> Any:
        from mcp.types import CallToolRequest, CallToolRequestParams

        session = GovernedSession(Server(self), runtime=self.runtime(), server_name=self.row["target"])
        request = CallToolRequest(method="tools/call", params=CallToolRequestParams(name="act", arguments=self.held))
        self.held = request.params.arguments  # type: ignore[assignment]
        return await session.send_request(request, CallToolResult)


class Server:
    """A session with a server that has the tool `act`."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat

    async def call_tool(self, name: str, arguments: dict[str, Any]) -> CallToolResult:
        assert name == "act"
        return CallToolResult.model_validate({"content": [{"type": "text", "text": self._seat.runs(arguments)}]})

    async def send_request(self, request: Any, kind: Any) -> Any:
        return await self.call_tool(request.params.name, request.params.arguments)


TOOLS = ("langchain", "openai_agents", "anthropic")
SEAT_METHODS = {
    "wrap": ("wrap",),
    "call": ("call",),
    "executor": ("executor",),
    "tool": TOOLS,
    "mcp": ("mcp", "mcp_request"),
}
ROWS = [
    pytest.param(row, method, id=f"{row['name']}-{method}")
    for row in TABLE["attacks"]
    for seat in row["seats"]
    for method in SEAT_METHODS.get(seat, ())
]


@pytest.mark.parametrize(("row", "method"), ROWS)
async def test_attack(sidecar: Sidecar, row: dict[str, Any], method: str) -> None:
    seat = Seat(sidecar, row)
    answer: Any = None
    error: Exception | None = None
    try:
        answer = await with_reviewer(sidecar, row, seat.session, getattr(seat, method), seat.held)
    except (ActionDenied, InvalidActionError) as raised:
        error = raised
    assert seat.ran == row["ran"]
    rows = sidecar.audit.get_log(session_id=seat.session)
    if "refused" in row:
        assert isinstance(error, InvalidActionError)
        assert error.path == row["refused"]
        assert rows == []
    elif row.get("told"):
        assert error is None
        assert "[AEGIS INVALID]" in said(answer)
        assert rows == []
    elif row.get("denied"):
        assert (
            isinstance(error, ActionDenied) or "[AEGIS" in said(answer) or answer.status.value in {"blocked", "denied"}
        )
    else:
        assert error is None
    if "proposed" in row:
        assert [found.action.params for found in rows][-1:] == [row["proposed"]]


@pytest.mark.parametrize("size", [1_100_000, 5_000_000])
@pytest.mark.parametrize("method", [*TOOLS, "mcp", "mcp_request"])
async def test_what_the_daemon_refuses_is_told_to_the_model(sidecar: Sidecar, method: str, size: int) -> None:
    seat = Seat(sidecar, {"target": "free", "params": {"text": "x" * size}})
    answer = await getattr(seat, method)()
    assert said(answer).startswith("[AEGIS INVALID]")
    assert len(said(answer)) < 1_000
    assert seat.ran == []


def said(answer: Any) -> str:
    if isinstance(answer, CallToolResult):
        return str(answer.content[0].text)  # type: ignore[union-attr]
    return answer if isinstance(answer, str) else ""


# --- Requests ---


class Sent:
    """A transport in place of the network."""

    def __init__(self, row: dict[str, Any]) -> None:
        self._row = row
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        redirect = self._row.get("redirects_to")
        if redirect and len(self.requests) == 1:
            return httpx.Response(302, headers={"Location": redirect})
        return httpx.Response(200)


HTTP = ("client", "transport", "async client", "async transport")


@pytest.mark.parametrize("flavour", HTTP)
@pytest.mark.parametrize(
    "row", [row for row in TABLE["attacks"] if "http" in row["seats"]], ids=lambda row: row["name"]
)
async def test_request(sidecar: Sidecar, row: dict[str, Any], flavour: str) -> None:
    sent, session = Sent(row), uuid.uuid4().hex[:12]
    runtime = Runtime(client=sidecar.client(), session_id=session)
    mock = httpx.MockTransport(sent)
    client: Any = {
        "client": lambda: GovernedClient(runtime, transport=mock, follow_redirects=True),
        "transport": lambda: httpx.Client(transport=AegisTransport(runtime, mock), follow_redirects=True),
        "async client": lambda: AsyncGovernedClient(runtime, transport=mock, follow_redirects=True),
        "async transport": lambda: httpx.AsyncClient(
            transport=AsyncAegisTransport(runtime, mock), follow_redirects=True
        ),
    }[flavour]()
    given = row["request"]
    body = given.get("body")
    content = None if body is None else body.encode()
    request = client.build_request(
        given.get("method", "GET"), given["url"], headers=given.get("headers"), content=content
    )

    def attack(_: Any) -> None:
        for path, value in row.get("change", {}).get("set", {}).items():
            if path == "url":
                request.url = httpx.URL(value)
            elif path == "method":
                request.method = value
            elif path == "body":
                request._content, request.stream = value.encode(), httpx.ByteStream(value.encode())
                request.headers["content-length"] = str(len(value))
            else:
                request.headers[path.removeprefix("headers.")] = value

    async def send() -> Any:
        return (
            await client.send(request) if flavour.startswith("async") else await asyncio.to_thread(client.send, request)
        )

    error: Exception | None = None
    try:
        await with_reviewer(sidecar, row, session, send, attack)
    except (ActionDenied, GovernanceError) as raised:
        error = raised
    assert bool(row.get("denied")) == isinstance(error, ActionDenied)
    if row.get("or_refused") and error is not None:
        assert sent.requests == []
        return
    assert [str(request.url) for request in sent.requests] == [expected["url"] for expected in row["sent"]]
    for request, expected in zip(sent.requests, row["sent"], strict=True):
        assert request.method == expected.get("method", "GET")
        assert request.headers["host"] == "example.com"
        assert expected.get("without", "X-None") not in request.headers
        assert "body" not in expected or request.content.decode() == expected["body"]


# --- Pages ---


PAGE_ROWS = [row for row in TABLE["attacks"] if "browser" in row["seats"]]


@pytest.mark.parametrize("row", PAGE_ROWS, ids=lambda row: row["name"])
async def test_page(row: dict[str, Any]) -> None:
    policy = yaml.safe_load(TABLE["policy"])
    if row.get("asked"):
        policy["rules"].insert(0, {"name": "clicks", "match": {"type": "click"}, "approval": "approve"})
    site = Site({"/": (200, {}, f"<!doctype html>{row['page']}"), "/secret": (200, {}, "<p>TOP SECRET</p>")}).start()
    site.pages["/redirect"] = (302, {"Location": "/secret"}, "")
    site.pages["/other"] = (200, {}, f"<!doctype html>{row['page']}")
    executor = PlaywrightExecutor(executable_path=CHROMIUM, args=ARGUMENTS, timeout=60.0)
    try:
        with Sidecar(policy) as sidecar:
            async with Runtime(executor=executor, client=sidecar.client(), session_id="s") as runtime:
                await runtime.run_one(Action("navigate", f"{site.url}/"))
                action = row.get("action")
                if action is not None:
                    params = dict(action.get("params", {}))
                    if "url" in action:
                        params["url"] = site.url + action["url"]
                    done = asyncio.ensure_future(runtime.run_one(Action(action["type"], params=params)))
                    if row.get("asked"):
                        await attack_page(sidecar, executor, row, site, done)
                    await done
                if "opened" in row:
                    await asked_about(sidecar, f"{site.url}/secret")
                text = await runtime.run_one(Action("read"))
            assert "TOP SECRET" not in str(text.data)
            seen = [path for _, path in site.seen()]
            assert [path for path in seen if path.startswith("/hit/")] == row.get("hits", [])
            assert [path for path in seen if path.startswith("/secret")] == row.get("opened", [])
            if "opened" in row:
                assert [found.outcome for found in sidecar.audit.rows(action_target=f"{site.url}/secret")] == ["DENY"]
    finally:
        site.stop()


async def asked_about(sidecar: Sidecar, target: str) -> None:
    """Waits until a document was proposed, whoever leads there."""
    for _ in range(3000):
        if sidecar.audit.get_log(action_target=target):
            return
        await asyncio.sleep(0.02)


async def attack_page(
    sidecar: Sidecar, executor: Any, row: dict[str, Any], site: Site, done: asyncio.Future[Any]
) -> None:
    """Changes the page behind the adapter's back while the reviewer thinks."""
    while not (pending := await asyncio.to_thread(sidecar.operator().list_approvals)):
        assert not done.done(), await done
        await asyncio.sleep(0.02)
    if "page" in row["change"]:
        await executor._page.evaluate("page => { document.body.innerHTML = page }", row["change"]["page"])
    else:
        executor._navigation.begin(site.url + row["change"]["goes_to"])
        await executor._page.goto(site.url + row["change"]["goes_to"])
    await asyncio.to_thread(sidecar.operator().approve, pending[0])


# --- Who answers ---


class Impostor(governance_pb2_grpc.GovernanceServiceServicer):
    """Answers as a row says. Where a row is about the answer to a wait, the one to the proposal is right."""

    SALT = "00112233445566778899aabbccddeeff"

    def __init__(self, row: dict[str, Any]) -> None:
        self._row, self.waited = row, False
        self._server = grpc.server(futures.ThreadPoolExecutor(2))
        governance_pb2_grpc.add_GovernanceServiceServicer_to_server(self, self._server)
        self.endpoint = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def _decision(self, given: dict[str, Any]) -> Any:
        outcome = types_pb2.Outcome.Value(f"OUTCOME_{given['outcome']}")
        return types_pb2.Decision(**{**given, "outcome": outcome})

    def Propose(self, request: Any, context: Any) -> Any:
        decision = self._decision(self._row["propose"])
        if "await" in self._row:
            self._digest = action_digest(request, self.SALT)
            decision.action_digest, decision.action_digest_salt = self._digest, self.SALT
        return governance_pb2.ProposeResponse(decision=decision)

    def AwaitDecision(self, request: Any, context: Any) -> Any:
        self.waited = True
        decision = self._decision({"action_digest": self._digest} | self._row["await"])
        return governance_pb2.AwaitDecisionResponse(decision=decision)

    def close(self) -> None:
        self._server.stop(None)


@pytest.mark.parametrize("flavour", ["sync", "async"])
@pytest.mark.parametrize("row", TABLE["answers"], ids=lambda row: row["name"])
async def test_answer(row: dict[str, Any], flavour: str) -> None:
    assert set(row) <= {"name", "propose", "await"}
    impostor, ran = Impostor(row), []
    kind = AegisClient if flavour == "sync" else AsyncAegisClient
    try:
        client = kind(impostor.endpoint, "", retries=0)
        if flavour == "sync":
            with pytest.raises(GovernanceError) as refused:
                await asyncio.to_thread(governed("act", client=client)(lambda: ran.append(1)))
        else:

            @governed("act", client=client)
            async def act() -> None:
                ran.append(1)

            with pytest.raises(GovernanceError) as refused:
                await act()
        assert refused.value.reason == "ANSWER_MISMATCH"
        assert impostor.waited == ("await" in row)
        assert ran == []
    finally:
        impostor.close()


# --- Values ---


class Colour(enum.Enum):
    RED = "red"


def cycle() -> list[Any]:
    made: list[Any] = []
    made.append(made)
    return made


def record(fields: dict[str, Any]) -> Any:
    kind = dataclasses.make_dataclass("Record", list(fields))
    return kind(**{name: made(value) for name, value in fields.items()})


KINDS: dict[str, Callable[[Any], Any]] = {
    "integer": int,
    "bigint": Decimal,
    "number": float,
    "decimal": Decimal,
    "datetime": lambda text: datetime.fromisoformat(text.replace("Z", "+00:00")),
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "duration": lambda text: timedelta(seconds=float(text)),
    "uuid": uuid.UUID,
    "url": pydantic.TypeAdapter(pydantic.AnyUrl).validate_python,
    "path": Path,
    "bytes": base64.b64decode,
    "enum": Colour,
    "record": record,
    "set": set,
    "function": lambda _: lambda: 1,
    "cycle": lambda _: cycle(),
    "opaque": lambda _: object(),
    "half_character": lambda _: "\ud800",
}
# Kinds that only other languages have.
NOT_IN_PYTHON: set[str] = set()


def made(value: Any) -> Any:
    """A value of the table, as Python has it."""
    if isinstance(value, dict):
        if "$value" in value:
            return KINDS[value["$value"]](value.get("of"))
        return {name: made(item) for name, item in value.items()}
    return [made(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("row", TABLE["values"], ids=lambda row: json.dumps(row["value"]))
def test_value(sidecar: Sidecar, row: dict[str, Any]) -> None:
    assert set(row) <= {"value", "json", "refused"}
    kind = row["value"].get("$value") if isinstance(row["value"], dict) else None
    if kind in NOT_IN_PYTHON:
        return
    session = uuid.uuid4().hex[:12]

    @governed("act", "free", client=sidecar.client(), context={"session_id": session})
    def act(v: Any) -> None:
        assert type(v) is type(given)

    given = made(row["value"])
    if row.get("refused"):
        with pytest.raises(InvalidActionError) as refused:
            act(given)
        assert refused.value.path.startswith("params.v")
        assert sidecar.audit.get_log(session_id=session) == []
        return
    act(given)
    (found,) = sidecar.audit.rows(session_id=session)
    assert found.action.params == {"v": row["json"]}
    assert type(found.action.params["v"]) is type(row["json"])
