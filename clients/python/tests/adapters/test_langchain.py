from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from aegis import Action, InvalidActionError, ResultStatus
from aegis.adapters.langchain import AegisTool, LangChainExecutor, govern_tool, govern_tools
from aegis.testing import Sidecar

from .conftest import record


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
