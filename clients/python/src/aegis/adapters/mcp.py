"""MCP: govern what a client session calls. Needs the extra `mcp`.

The action's type is the tool's name, its target the server's, its params the arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mcp import ClientSession
from mcp.types import CallToolResult, TextContent

from aegis.adapters._shared import as_params, as_text
from aegis.core.action import Action
from aegis.core.result import Result, ResultStatus
from aegis.errors import AegisError
from aegis.runtime.engine import Runtime
from aegis.types import Evaluation

__all__ = ["AegisMCPToolFilter", "GovernedSession", "govern_mcp_tool_call"]


async def govern_mcp_tool_call(
    *,
    runtime: Runtime,
    tool_name: str,
    arguments: Mapping[str, Any] | None = None,
    server_name: str = "default",
    description: str = "",
    session: ClientSession | None = None,
    **options: Any,
) -> Result:
    """Governs one call of a tool of a server.

    Args:
        runtime: Governs it.
        tool_name: The tool.
        arguments: What it is called with.
        server_name: What the policy calls the server.
        description: The agent's own words for a reviewer.
        session: Calls the tool; a tool's own error (`isError`) is a failure. None: the runtime's executor runs the
            action.
        options: More for `ClientSession.call_tool`.
    """
    action = Action(tool_name, server_name, as_params(dict(arguments or {})), description)
    if session is None:
        return await runtime.run_one(action)
    called = session

    async def call(proposed: Action) -> Result:
        answer = await called.call_tool(proposed.type, dict(proposed.params), **options)
        wrong = isinstance(answer, CallToolResult) and _is_error(answer)
        status = ResultStatus.FAILED if wrong else ResultStatus.SUCCESS
        return Result(proposed, status, data=_Answer(answer), error=_text_of(answer) if wrong else None)

    return _opened(await runtime.call(action, call))


class _Answer(dict[str, Any]):
    """A tool's answer: as JSON for the record, itself for the caller."""

    def __init__(self, answer: Any) -> None:
        super().__init__(as_params(answer))
        self.answer = answer


def _opened(result: Result) -> Result:
    """The result with the tool's answer itself as its data."""
    return replace(result, data=result.data.answer) if isinstance(result.data, _Answer) else result


def _is_error(answer: CallToolResult) -> bool:
    # The name of the field differs between the releases of the SDK.
    return bool(getattr(answer, "is_error", False) or getattr(answer, "isError", False))


def _text_of(answer: CallToolResult) -> str:
    return "\n".join(part.text for part in answer.content if isinstance(part, TextContent)) or "the tool failed"


def _refusal(result: Result) -> CallToolResult:
    return CallToolResult.model_validate({"content": [{"type": "text", "text": as_text(result)}], "isError": True})


class GovernedSession:
    """A client session whose `call_tool` is governed. Everything else is the session's own.

    A call that may not run answers with `isError` and `[AEGIS BLOCKED] ...` or `[AEGIS DENIED] ...`, as tools do.
    """

    def __init__(self, session: ClientSession, *, runtime: Runtime, server_name: str = "default") -> None:
        self._session, self._runtime, self._server_name = session, runtime, server_name

    async def call_tool(self, name: str, arguments: Mapping[str, Any] | None = None, *args: Any, **options: Any) -> Any:
        """Calls a tool when the sidecar says so. Arguments as of `ClientSession.call_tool`."""
        if args:
            raise TypeError("name the options of call_tool")
        result = await govern_mcp_tool_call(
            runtime=self._runtime,
            tool_name=name,
            arguments=arguments,
            server_name=self._server_name,
            session=self._session,
            **options,
        )
        if result.exception is not None:
            raise result.exception
        return result.data if result.data is not None else _refusal(result)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


class AegisMCPToolFilter:
    """Stands between an agent and the sessions of several servers.

    Args:
        runtime: Governs the calls.
        sessions: The servers' sessions, by what the policy calls them. Without, the runtime's executor runs the
            actions.
    """

    def __init__(self, runtime: Runtime, *, sessions: Mapping[str, ClientSession] | None = None) -> None:
        self._runtime = runtime
        self._sessions = dict(sessions) if sessions is not None else None

    async def check(self, server: str, tool: str, arguments: Mapping[str, Any] | None = None) -> Evaluation:
        """What the policy would answer. Nothing is recorded."""
        plan = await self._runtime.aplan([Action(tool, server, as_params(dict(arguments or {})))])
        return plan[0]

    async def call_tool(self, server: str, tool: str, arguments: Mapping[str, Any] | None = None) -> Result:
        """Calls a tool of a server when the sidecar says so."""
        session = None
        if self._sessions is not None:
            session = self._sessions.get(server)
            if session is None:
                raise AegisError(
                    f"no session with the server `{server}`: there are {', '.join(sorted(self._sessions))}"
                )
        return await govern_mcp_tool_call(
            runtime=self._runtime, tool_name=tool, arguments=arguments, server_name=server, session=session
        )
