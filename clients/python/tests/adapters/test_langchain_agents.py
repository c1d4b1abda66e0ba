"""Agents of the package `langchain`: what their user rejects is on the record."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("langchain.agents", reason="the oldest releases have an environment of their own")

from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from aegis.adapters.langchain import govern_tool
from aegis.adapters.langchain_agents import GovernedHumanInTheLoop
from aegis.testing import Sidecar

from .conftest import recorded


class CallingModel(FakeMessagesListChatModel):
    """Calls tools, then says something."""

    def bind_tools(self, tools: Any, **options: Any) -> Any:
        return self


def agent_of(tools: list[BaseTool], mode: str) -> tuple[Any, Any]:
    """An agent whose user is asked about `allowed_update`, and the thread that it runs in."""
    calls = [
        {"name": "allowed_update", "args": {"x": 1}, "id": "call_1", "type": "tool_call"},
        {"name": "allowed_read", "args": {"x": 2}, "id": "call_2", "type": "tool_call"},
    ]
    model = CallingModel(responses=[AIMessage(content="", tool_calls=calls), AIMessage(content="done")])
    options = {} if mode == "batched" else {"interrupt_mode": mode}
    try:
        middleware = GovernedHumanInTheLoop({"allowed_update": True}, tools=tools, **options)
    except TypeError:
        pytest.skip("this release of LangChain knows one mode only")
    agent = create_agent(model, tools=tools, middleware=[middleware], checkpointer=InMemorySaver())
    return agent, {"configurable": {"thread_id": "t"}}


@pytest.mark.parametrize("mode", ["batched", "per_call"])
@pytest.mark.parametrize("flavour", ["sync", "async"])
@pytest.mark.parametrize("decision", ["reject", "approve", "respond"])
async def test_langchain_a_rejected_call(
    sidecar: Sidecar, runtime: Any, mode: str, flavour: str, decision: str
) -> None:
    ran: list[str] = []

    @tool("allowed_update")
    def update(x: int) -> str:
        """Updates."""
        ran.append("update")
        return "updated"

    @tool("allowed_read")
    def read(x: int) -> str:
        """Reads."""
        ran.append("read")
        return "read"

    agent, config = agent_of([govern_tool(update, runtime=runtime), govern_tool(read, runtime=runtime)], mode)

    async def invoke(given: Any) -> Any:
        return agent.invoke(given, config) if flavour == "sync" else await agent.ainvoke(given, config)

    stopped = await invoke({"messages": [{"role": "user", "content": "go"}]})
    (pending,) = stopped["__interrupt__"]
    if decision == "respond" and "respond" not in str(pending.value):
        pytest.skip("in this release of LangChain the user does not answer in the tool's place")
    said = {"type": decision} if decision == "approve" else {"type": decision, "message": "not now"}
    answer = {"decisions": [said]} if mode == "batched" else {pending.id: said}
    finished = await invoke(Command(resume=answer))
    assert finished["messages"][-1].content == "done"
    rows = sorted(recorded(sidecar))
    assert rows[0] == ("allowed_read", "default", {"x": 2}, "success", "")
    kind, _, params, became, reason = rows[1]
    assert (kind, params) == ("allowed_update", {"x": 1})
    if decision == "approve":
        assert sorted(ran) == ["read", "update"]
        assert became == "success"
    else:
        assert ran == ["read"]
        assert became == "skipped"
        assert ("refused it" in reason and "not now" in reason) or "in the tool's place" in reason
    assert len(rows) == 2
