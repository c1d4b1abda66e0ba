from __future__ import annotations

import asyncio
import threading
from datetime import date
from typing import Annotated, Any
from urllib.parse import unquote

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import InjectedToolArg, InjectedToolCallId, ToolException, tool
from pydantic import BaseModel, field_validator

from aegis import Action, InvalidActionError, ResultStatus
from aegis.adapters.langchain import AegisTool, LangChainExecutor, govern_tool, govern_tools
from aegis.testing import Sidecar

from .conftest import record, status


class Filter(BaseModel):
    city: str
    limit: int = 10


@tool("allowed_search")
def search(query: str, where: Filter) -> str:
    """Searches the contacts."""
    return f"{query} in {where.city}, {where.limit}"


@tool("blocked_wipe")
def wipe(table: str) -> str:
    """Wipes a table."""
    raise AssertionError("it must not run")


@tool("short_send")
def send(to: str) -> str:
    """Sends a mail."""
    raise AssertionError("it must not run")


@tool("allowed_broken")
async def broken(times: int) -> str:
    """Breaks."""
    raise LookupError("the database is away")


async def test_executor_runs_tools_by_name(sidecar: Sidecar) -> None:
    executor = LangChainExecutor(tools=[search, wipe])
    assert executor.tool_names == ["allowed_search", "blocked_wipe"]
    runtime = sidecar.runtime(executor)
    result = await runtime.run_one(Action("allowed_search", "crm", {"query": "bees", "where": {"city": "Bern"}}))
    assert result.data == "bees in Bern, 10"
    assert (await runtime.run_one(Action("blocked_wipe", "crm", {"table": "users"}))).status is ResultStatus.BLOCKED
    with pytest.raises(InvalidActionError, match=r"(?s)params: are no input of the tool: .*table"):
        await runtime.run_one(Action("blocked_wipe", "crm"))
    missing = await runtime.run_one(Action("allowed_other", "crm"))
    assert missing.error == "no tool `allowed_other`: there are allowed_search, blocked_wipe"
    assert record(sidecar) == [
        ("allowed_search", "crm", "success"),
        ("blocked_wipe", "crm", "blocked"),
        ("allowed_other", "crm", "failed"),
    ]


@pytest.mark.parametrize("flavour", ["sync", "async", "sync in a loop"])
async def test_wrapped_tools_are_governed(sidecar: Sidecar, runtime: Any, flavour: str) -> None:
    async def invoke(wrapped: Any, given: dict[str, Any]) -> Any:
        if flavour == "async":
            return await wrapped.ainvoke(given)
        if flavour == "sync":
            return await asyncio.to_thread(wrapped.invoke, given)
        return wrapped.invoke(given)

    searching, wiping, sending = govern_tools([search, wipe, send], runtime=runtime, action_target="crm")
    assert (searching.name, searching.description, searching.args) == (search.name, search.description, search.args)
    assert await invoke(searching, {"query": "bees", "where": {"city": "Bern"}}) == "bees in Bern, 10"
    assert (await invoke(wiping, {"table": "users"})).startswith("[AEGIS BLOCKED] Blocked by policy rule <default>")
    assert (await invoke(sending, {"to": "ada"})).startswith("[AEGIS DENIED] Denied: expired")
    assert record(sidecar) == [
        ("allowed_search", "crm", "success"),
        ("blocked_wipe", "crm", "blocked"),
        ("short_send", "crm", "denied"),
    ]
    row = sidecar.audit.get_log()[0]
    assert row.action.params == {"query": "bees", "where": {"city": "Bern", "limit": 10}}
    assert row.action.description == "Searches the contacts."


async def test_what_a_tool_raises_is_raised_and_recorded(sidecar: Sidecar, runtime: Any) -> None:
    with pytest.raises(LookupError, match="away"):
        await govern_tool(broken, runtime=runtime).ainvoke({"times": 1})
    assert record(sidecar) == [("allowed_broken", "default", "failed")]


async def test_a_model_can_call_a_governed_action(sidecar: Sidecar) -> None:
    runtime = sidecar.runtime(LangChainExecutor({"allowed_search": search}))
    offered = AegisTool.from_runtime(
        runtime, name="find", description="Finds contacts", action_type="allowed_search", action_target="web"
    )
    assert offered.args == search.args
    call = {"name": "find", "args": {"query": "bees", "where": {"city": "Bern"}}, "id": "call_1", "type": "tool_call"}
    model = GenericFakeChatModel(messages=iter([AIMessage("", tool_calls=[call])]))
    asked = await model.ainvoke("find bees")
    answer = await offered.ainvoke(asked.tool_calls[0])
    assert (answer.content, answer.tool_call_id) == ("bees in Bern, 10", "call_1")
    assert record(sidecar) == [("allowed_search", "web", "success")]
    blocked = AegisTool.from_runtime(runtime, name="w", description="d", action_type="wipe", action_target="web")
    assert (await blocked.ainvoke({"any": "thing"})).startswith("[AEGIS BLOCKED]")


@tool("allowed_injected")
def injected(
    query: str, state: Annotated[dict[str, Any], InjectedToolArg], call_id: Annotated[str, InjectedToolCallId]
) -> str:
    """Uses what the framework injects."""
    state["used"] = True
    return f"{query} {call_id}"


async def test_what_the_framework_injects_passes_untouched_and_is_not_proposed(sidecar: Sidecar, runtime: Any) -> None:
    state: dict[str, Any] = {"lock": threading.Lock(), "messages": ["my IBAN"]}
    wrapped = govern_tool(injected, runtime=runtime)
    assert set(wrapped.tool_call_schema.model_json_schema()["properties"]) == {"query"}
    call = {"name": wrapped.name, "args": {"query": "bees", "state": state}, "id": "call_1", "type": "tool_call"}
    for answer in (await wrapped.ainvoke(call), await asyncio.to_thread(wrapped.invoke, call)):
        assert answer.content == "bees call_1"
    # The very object that the tool gets without us: what it changes in it, the framework sees, where it lets it.
    plain: dict[str, Any] = {"lock": threading.Lock()}
    injected.invoke({**call, "args": {"query": "bees", "state": plain}})
    assert ("used" in state) == ("used" in plain)
    assert [row.action.params for row in sidecar.audit.rows()] == [{"query": "bees"}] * 2


@tool("allowed_artifact", response_format="content_and_artifact")
def artifact(query: str) -> tuple[str, Any]:
    """Gives a picture, too."""
    return f"found {query}", {"picture": b"png"}


async def test_artifacts_survive(sidecar: Sidecar, runtime: Any) -> None:
    wrapped = govern_tool(artifact, runtime=runtime)
    call = {"name": wrapped.name, "args": {"query": "bees"}, "id": "call_1", "type": "tool_call"}
    answer = await wrapped.ainvoke(call)
    assert (answer.content, answer.artifact) == ("found bees", {"picture": b"png"})
    # The record has what the model got.
    assert sidecar.audit.get_log()[0].result_data == "found bees"


async def test_a_no_is_an_error_that_the_model_reads(sidecar: Sidecar, runtime: Any) -> None:
    wrapped = govern_tool(wipe, runtime=runtime)
    answer = await wrapped.ainvoke({"name": wrapped.name, "args": {"table": "x"}, "id": "1", "type": "tool_call"})
    assert (answer.status, answer.content[:16]) == ("error", "[AEGIS BLOCKED] ")


class Decoded(BaseModel):
    path: str

    @field_validator("path")
    @classmethod
    def decoded(cls, path: str) -> str:
        return unquote(path)


@tool("allowed_file", args_schema=Decoded)
def read_file(path: str) -> str:
    """Reads a file."""
    return path


async def test_arguments_are_validated_once(sidecar: Sidecar, runtime: Any) -> None:
    assert await govern_tool(read_file, runtime=runtime).ainvoke({"path": "%252Fetc"}) == "%2Fetc"
    executor = sidecar.runtime(LangChainExecutor([read_file]))
    assert (await executor.run_one(Action("allowed_file", params={"path": "%252Fetc"}))).data == "%2Fetc"
    offered = AegisTool.from_runtime(executor, name="f", description="d", action_type="allowed_file")
    assert await offered.ainvoke({"path": "%252Fetc"}) == "%2Fetc"
    assert [row.action.params for row in sidecar.audit.rows()] == [{"path": "%2Fetc"}] * 3


async def test_a_tools_own_handling_of_errors_stays(runtime: Any) -> None:
    @tool("allowed_explains")
    def explains(x: int) -> str:
        """Explains."""
        raise ToolException("try another one")

    with pytest.raises(ToolException, match="try another one"):
        await govern_tool(explains, runtime=runtime).ainvoke({"x": 1})
    explains.handle_tool_error = True
    assert await govern_tool(explains, runtime=runtime).ainvoke({"x": 1}) == "try another one"
    explains.handle_tool_error = lambda error: f"sorry: {error}"
    assert await govern_tool(explains, runtime=runtime).ainvoke({"x": 1}) == "sorry: try another one"


async def test_models_and_dates_are_proposed_as_json_and_passed_as_they_are(sidecar: Sidecar, runtime: Any) -> None:
    seen: list[Any] = []

    @tool("allowed_typed")
    def typed(where: Filter, day: date, tags: list[str]) -> str:
        """Takes objects."""
        seen.append((where, day, tags))
        return "ok"

    given = {"where": {"city": "Bern"}, "day": "2026-01-31", "tags": ["a"]}
    assert await govern_tool(typed, runtime=runtime).ainvoke(given) == "ok"
    assert seen == [(Filter(city="Bern"), date(2026, 1, 31), ["a"])]
    expected = {"where": {"city": "Bern", "limit": 10}, "day": "2026-01-31", "tags": ["a"]}
    assert sidecar.audit.get_log()[0].action.params == expected


class GraphBubbleUp(Exception):
    """What LangGraph raises to pause a run."""


class GraphInterrupt(GraphBubbleUp):
    """`interrupt(...)`."""


async def test_a_pause_of_the_framework_is_on_the_record_as_one(sidecar: Sidecar, runtime: Any) -> None:
    @tool("allowed_pauses")
    def pauses(x: int) -> str:
        """Asks its user."""
        raise GraphInterrupt("really?")

    with pytest.raises(GraphInterrupt, match=r"really\?"):
        await govern_tool(pauses, runtime=runtime).ainvoke({"x": 1})
    (row,) = sidecar.audit.rows()
    assert (status(row), row.result_error) == ("skipped", "the framework paused the run: GraphInterrupt")


@pytest.mark.parametrize("way", ["generator", "map", "async"])
async def test_a_tool_whose_work_is_done_later_is_no_success(sidecar: Sidecar, runtime: Any, way: str) -> None:
    ran: list[int] = []

    def generator(x: int) -> Any:
        """Deletes."""
        yield ran.append(x)

    def mapped(x: int) -> Any:
        """Deletes."""
        return map(ran.append, [x])

    async def of_async(x: int) -> Any:
        """Deletes."""

        async def inner() -> Any:
            yield ran.append(x)

        return inner()

    function = {"generator": generator, "map": mapped, "async": of_async}[way]
    governing = govern_tool(tool("allowed_later")(function), runtime=runtime)
    with pytest.raises(TypeError, match="it returned a generator, of which nothing has run"):
        await governing.ainvoke({"x": 1})
    assert ran == []
    assert [row.result_status for row in sidecar.audit.rows()] == [ResultStatus.FAILED]
