"""LangChain's agents: what their user refuses is on the record. Needs the extra `langchain-agents`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from langchain.agents.middleware import AgentMiddleware, HumanInTheLoopMiddleware
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import BaseTool

from aegis.adapters._shared import ToolCall, refusal, refused, refused_sync
from aegis.adapters.langchain import GovernedTool

__all__ = ["GovernedHumanInTheLoop"]

_ASKS_AT_THE_CALL = HumanInTheLoopMiddleware.wrap_tool_call is not AgentMiddleware.wrap_tool_call
"""Whether this release of LangChain can ask about a call where the call is made."""


class GovernedHumanInTheLoop(HumanInTheLoopMiddleware):
    """`HumanInTheLoopMiddleware`, with what the user rejects, or answers in a tool's place, on the record as skipped.

    LangChain does not call a tool whose call was rejected, so no governed tool could record it. What the user approves
    or edits is proposed by the governed tool.

    Args:
        interrupt_on: Which tools the user is asked about, as LangChain has it.
        tools: The governed tools of the agent, as `govern_tool` makes them. Others are no concern of the record.
        options: More of the middleware's own.
    """

    def __init__(self, interrupt_on: Mapping[str, Any], *, tools: Iterable[BaseTool], **options: Any) -> None:
        super().__init__(dict(interrupt_on), **options)
        self._governed = {tool.name: tool for tool in tools if isinstance(tool, GovernedTool)}

    def after_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """Asks, and records what was refused."""
        update = super().after_model(state, runtime)
        for tool, call, why in self._refused_among(state, update):
            refused_sync(tool.runtime, call, why)
        return update

    async def aafter_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """`after_model`, in async code."""
        update = super().after_model(state, runtime)
        for tool, call, why in self._refused_among(state, update):
            await refused(tool.runtime, call, why)
        return update

    def wrap_tool_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        """Asks where LangChain asks here, and records what was refused."""
        if not _ASKS_AT_THE_CALL:
            return handler(request)
        calls: list[Any] = []

        def handled(asked: Any) -> Any:
            calls.append(asked)
            return handler(asked)

        answer = super().wrap_tool_call(request, handled)
        if not calls and isinstance(answer, ToolMessage):
            for tool, call, why in self._refusal(request.tool_call, answer):
                refused_sync(tool.runtime, call, why)
        return answer

    async def awrap_tool_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        """`wrap_tool_call`, in async code."""
        if not _ASKS_AT_THE_CALL:
            return await handler(request)
        calls: list[Any] = []

        async def handled(asked: Any) -> Any:
            calls.append(asked)
            return await handler(asked)

        answer = await super().awrap_tool_call(request, handled)
        if not calls and isinstance(answer, ToolMessage):
            for tool, call, why in self._refusal(request.tool_call, answer):
                await refused(tool.runtime, call, why)
        return answer

    def _refused_among(self, state: Any, update: Any) -> Iterator[tuple[GovernedTool, Callable[[], ToolCall], str]]:
        """The calls that were answered without their tool: what LangChain adds is their answers."""
        added = (update or {}).get("messages") or []
        calls = {
            call["id"]: call
            for message in (*state["messages"][-1:], *added)
            if isinstance(message, AIMessage)
            for call in message.tool_calls
        }
        for message in added:
            if isinstance(message, ToolMessage) and message.tool_call_id in calls:
                yield from self._refusal(calls[message.tool_call_id], message)

    def _refusal(
        self, call: Mapping[str, Any], answer: ToolMessage
    ) -> Iterator[tuple[GovernedTool, Callable[[], ToolCall], str]]:
        tool = self._governed.get(call["name"])
        if tool is not None:
            said = str(answer.content)
            why = refusal("the agent's user", said) if answer.status == "error" else _ANSWERED
            yield tool, partial(tool.tool_call, dict(call["args"])), why


_ANSWERED = "the agent's user answered in the tool's place"
