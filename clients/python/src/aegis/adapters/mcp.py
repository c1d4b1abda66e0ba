"""MCP: governs what a client session calls. Needs the extra `mcp`.

The action's type is the tool's name, its target the server's, its params the arguments.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from mcp import ClientSession
from mcp.types import CallToolResult, TextContent

from aegis._values import from_struct, to_struct
from aegis.adapters._shared import ToolCall, as_text, raised, unproposed
from aegis.core.action import Action
from aegis.core.errors import AegisError, GovernanceError
from aegis.core.result import Result
from aegis.core.status import ResultStatus
from aegis.runtime.engine import Runtime
from aegis.types import Evaluation

__all__ = ["AegisMCPToolFilter", "GovernedSession", "govern_mcp_tool_call"]

_CALL = "tools/call"
# The package whose requests are written as they say.
_PACKAGE = CallToolResult.__module__.partition(".")[0]
# What reads, and calls no tool.
_READS = {
    "completion/complete",
    "initialize",
    "logging/setLevel",
    "ping",
    "prompts/get",
    "prompts/list",
    "resources/list",
    "resources/read",
    "resources/subscribe",
    "resources/templates/list",
    "resources/unsubscribe",
    "server/discover",
    "tools/list",
}
_PASSED_ON = {
    "complete",
    "discover",
    "discover_result",
    "get_prompt",
    "get_server_capabilities",
    "initialize",
    "initialize_result",
    "instructions",
    "list_prompts",
    "list_resource_templates",
    "list_resources",
    "list_tools",
    "protocol_version",
    "read_resource",
    "send_ping",
    "send_progress_notification",
    "send_roots_list_changed",
    "server_capabilities",
    "server_info",
    "set_logging_level",
    "subscribe_resource",
    "unsubscribe_resource",
    "validate_tool_result",
}


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

    Arguments that cannot be proposed are a result that says why, for the model to read.

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
    try:
        given = dict(arguments or {})
        if session is None:
            return await runtime.run_one(ToolCall.of(tool_name, server_name, given, description).action)
        tool = ToolCall.of(tool_name, server_name, _as_json(given), description)
        called, kept = session, _kept(options)

        async def call(proposed: Action) -> Result:
            return _result(proposed, await called.call_tool(proposed.type, dict(proposed.params), **kept))

        return await runtime.call(tool.action, call)
    except GovernanceError as error:
        return unproposed(Action(tool_name, server_name, {}, description), error)


def _as_json(arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments as the JSON that is proposed: the SDK of MCP would write a date or a `Decimal` by a rule of its own."""
    return from_struct(to_struct(arguments, "params"))


def _kept(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as they are now: a `meta` that changes later does not count."""
    return {name: copy.deepcopy(value) if isinstance(value, (dict, list)) else value for name, value in options.items()}


def _result(action: Action, answer: Any) -> Result:
    wrong = isinstance(answer, CallToolResult) and _is_error(answer)
    status = ResultStatus.FAILED if wrong else ResultStatus.SUCCESS
    return Result(action, status, data=answer, error=_text_of(answer) if wrong else None)


def _is_error(answer: CallToolResult) -> bool:
    # The name of the field differs between the releases of the SDK.
    return bool(getattr(answer, "is_error", False) or getattr(answer, "isError", False))


def _text_of(answer: CallToolResult) -> str:
    return "\n".join(part.text for part in answer.content if isinstance(part, TextContent)) or "the tool failed"


def _told(result: Result) -> Any:
    """A tool's answer, or why there is none, as tools answer."""
    error = raised(result)
    if error is not None:
        raise error
    if result.data is not None:
        return result.data
    return CallToolResult.model_validate({"content": [{"type": "text", "text": as_text(result)}], "isError": True})


class GovernedSession:
    """A client session whose tool calls are governed, by `call_tool` and by `send_request`.

    What reads is the session's own. What could call a tool in another way is refused. A call that may not run answers
    with `isError` and `[AEGIS BLOCKED] ...` or `[AEGIS DENIED] ...`, as tools do.
    """

    def __init__(self, session: ClientSession, *, runtime: Runtime, server_name: str = "default") -> None:
        self._session, self._runtime, self._server_name = session, runtime, server_name

    async def call_tool(self, name: str, arguments: Mapping[str, Any] | None = None, *args: Any, **options: Any) -> Any:
        """Calls a tool when the sidecar says so. Arguments as of `ClientSession.call_tool`."""
        if args:
            raise TypeError("name the options of call_tool")
        return _told(
            await govern_mcp_tool_call(
                runtime=self._runtime,
                tool_name=name,
                arguments=arguments,
                server_name=self._server_name,
                session=self._session,
                **options,
            )
        )

    async def send_request(self, request: Any, *args: Any, **options: Any) -> Any:
        """Sends a request that reads, or governs one that calls a tool. Any other is refused."""
        # A copy: what is looked at is what is sent.
        kept = request.model_copy(deep=True)
        inner = getattr(kept, "root", kept)
        for part in (kept, inner, getattr(inner, "params", None)):
            kind = type(part)
            if part is not None and kind.__module__.partition(".")[0] not in {_PACKAGE, "builtins"}:
                raise GovernanceError(
                    f"a {kind.__name__} is not sent: as no class of the package `{_PACKAGE}`, it may be written as "
                    "another request than it says",
                    reason="NOT_GOVERNED",
                )
        # As it is written: a text of a class of its own may say something else of itself.
        method = inner.model_dump(mode="json", include={"method"})["method"]
        if method in _READS:
            return await self._session.send_request(kept, *args, **options)
        if method != _CALL:
            raise GovernanceError(
                f"`{method}` is not sent: it is no method that is known to call no tool", reason="NOT_GOVERNED"
            )
        try:
            arguments = _as_json(dict(inner.params.arguments or {}))
            tool = ToolCall.of(inner.params.name, self._server_name, arguments)
            inner.params.arguments = tool.arguments

            async def send(proposed: Action) -> Result:
                return _result(proposed, await self._session.send_request(kept, *args, **options))

            return _told(await self._runtime.call(tool.action, send, again=tool.again))
        except GovernanceError as error:
            return _told(unproposed(Action(inner.params.name, self._server_name), error))

    def __getattr__(self, name: str) -> Any:
        if name in _PASSED_ON:
            return getattr(self._session, name)
        raise AttributeError(
            f"`{name}` of a governed session: it is not known to call no tool; use `call_tool`, or the session itself"
        )


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
        plan = await self._runtime.aplan([Action(tool, server, dict(arguments or {}))])
        return plan[0]

    async def call_tool(self, server: str, tool: str, arguments: Mapping[str, Any] | None = None) -> Result:
        """Calls a tool of a server when the sidecar says so."""
        session = None
        if self._sessions is not None:
            session = self._sessions.get(server)
            if session is None:
                known = ", ".join(sorted(self._sessions))
                raise AegisError(f"no session with the server `{server}`: there are {known}")
        return await govern_mcp_tool_call(
            runtime=self._runtime, tool_name=tool, arguments=arguments, server_name=server, session=session
        )
