from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from mcp import ClientSession
from mcp.types import CallToolRequest, CallToolRequestParams, CallToolResult, ListToolsRequest, ListToolsResult
from pydantic import model_serializer

from aegis import AegisError, GovernanceError, ResultStatus
from aegis.adapters.mcp import AegisMCPToolFilter, GovernedSession, govern_mcp_tool_call
from aegis.testing import Sidecar

from .conftest import record

try:
    from mcp import Client
    from mcp.server.mcpserver import MCPServer

    @contextlib.asynccontextmanager
    async def session_with(made: Any) -> AsyncIterator[ClientSession]:
        async with Client(made) as client:
            yield client.session

except ImportError:
    # The first generation of the SDK.
    from mcp import ClientRequest
    from mcp.server.fastmcp import FastMCP as MCPServer
    from mcp.shared.memory import create_connected_server_and_client_session

    @contextlib.asynccontextmanager
    async def session_with(made: Any) -> AsyncIterator[ClientSession]:
        async with create_connected_server_and_client_session(made._mcp_server) as session:
            yield session

    def as_sent(request: Any) -> Any:
        return ClientRequest(request)

else:

    def as_sent(request: Any) -> Any:
        return request


def is_error(answer: Any) -> bool:
    return bool(getattr(answer, "is_error", None) or getattr(answer, "isError", None))


def server(ran: list[Any]) -> Any:
    made = MCPServer("files")

    @made.tool()
    def allowed_read(path: str) -> str:
        """Reads a file."""
        ran.append(path)
        return f"contents of {path}"

    @made.tool()
    def allowed_fail(path: str) -> str:
        """Fails."""
        raise ValueError(f"no file {path}")

    @made.tool()
    def delete(path: str) -> str:
        """Deletes a file."""
        raise AssertionError("it must not run")

    return made


async def test_a_governed_session(sidecar: Sidecar, runtime: Any) -> None:
    ran: list[Any] = []
    async with session_with(server(ran)) as inner:
        session = GovernedSession(inner, runtime=runtime, server_name="files")
        # Everything but call_tool is the session's own.
        assert {tool.name for tool in (await session.list_tools()).tools} == {"allowed_read", "allowed_fail", "delete"}
        read = await session.call_tool("allowed_read", {"path": "a.txt"})
        assert isinstance(read, CallToolResult)
        assert read.content[0].text == "contents of a.txt"
        failed = await session.call_tool("allowed_fail", {"path": "b.txt"})
        assert is_error(failed)
        blocked = await session.call_tool("delete", {"path": "a.txt"})
        assert is_error(blocked)
        assert blocked.content[0].text.startswith("[AEGIS BLOCKED]")
    assert ran == ["a.txt"]
    assert record(sidecar) == [
        ("allowed_read", "files", "success"),
        ("allowed_fail", "files", "failed"),
        ("delete", "files", "blocked"),
    ]
    rows = sidecar.audit.get_log()
    assert rows[0].action.params == {"path": "a.txt"}
    assert rows[0].result_data["content"][0]["text"] == "contents of a.txt"
    assert "allowed_fail" in rows[1].result_error


async def test_a_filter_before_several_servers(sidecar: Sidecar, runtime: Any) -> None:
    ran: list[Any] = []
    async with session_with(server(ran)) as inner:
        tools = AegisMCPToolFilter(runtime, sessions={"files": inner})
        assert (await tools.check("files", "delete", {})).outcome == "DENY"
        assert record(sidecar) == []
        assert (await tools.call_tool("files", "allowed_read", {"path": "a"})).ok
        assert (await tools.call_tool("files", "delete", {"path": "a"})).status is ResultStatus.BLOCKED
        with pytest.raises(AegisError, match="no session with the server `other`: there are files"):
            await tools.call_tool("other", "allowed_read")


async def test_without_a_session_the_executor_runs(sidecar: Sidecar) -> None:
    from aegis.adapters.base import BaseExecutor

    class Executor(BaseExecutor):
        async def execute(self, action: Any) -> Any:
            return [action.type, action.target]

    result = await govern_mcp_tool_call(
        runtime=sidecar.runtime(Executor()), tool_name="allowed_x", arguments={"a": 1}, server_name="s"
    )
    assert result.data == ["allowed_x", "s"]


async def test_every_way_to_call_a_tool_is_governed_or_refused(sidecar: Sidecar, runtime: Any) -> None:
    ran: list[Any] = []
    async with session_with(server(ran)) as inner:
        session = GovernedSession(inner, runtime=runtime, server_name="files")

        def request(name: str) -> Any:
            params = CallToolRequestParams(name=name, arguments={"path": "a"})
            return as_sent(CallToolRequest(method="tools/call", params=params))

        read = await session.send_request(request("allowed_read"), CallToolResult)
        assert read.content[0].text == "contents of a"
        blocked = await session.send_request(request("delete"), CallToolResult)
        assert blocked.content[0].text.startswith("[AEGIS BLOCKED]")
        listed = await session.send_request(as_sent(ListToolsRequest(method="tools/list")), ListToolsResult)
        assert len(listed.tools) == 3

        class Other(CallToolRequest):
            method: str = "tasks/run"  # type: ignore[assignment]

        with pytest.raises(GovernanceError, match="a Other is not sent"):
            await session.send_request(Other(params=CallToolRequestParams(name="delete")), CallToolResult)
        unknown = ListToolsRequest.model_construct(method="tasks/run")
        with pytest.raises(GovernanceError, match="`tasks/run` is not sent"):
            await session.send_request(unknown, ListToolsResult)

        class Reading(ListToolsRequest):
            """Says that it reads, and is written as a call."""

            @model_serializer
            def _written(self) -> dict[str, Any]:
                return {"method": "tools/call", "params": {"name": "delete", "arguments": {"path": "a"}}}

        class Params(CallToolRequestParams):
            """Is proposed as it says, and written as another."""

            @model_serializer
            def _written(self) -> dict[str, Any]:
                return {"name": "delete", "arguments": {"path": "a"}}

        for hiding in (
            Reading(method="tools/list"),
            CallToolRequest(method="tools/call", params=Params(name="allowed_read")),
        ):
            with pytest.raises(GovernanceError, match="may be written as another request"):
                await session.send_request(as_sent(hiding), CallToolResult)

        class Quiet(str):
            """A method that says of itself that it reads."""

            __slots__ = ()

            def __str__(self) -> str:
                return "tools/list"

        quiet = CallToolRequest(method="tools/call", params=CallToolRequestParams(name="delete", arguments={}))
        quiet.method = Quiet("tools/call")  # type: ignore[assignment]
        told = await session.send_request(as_sent(quiet), CallToolResult)
        assert told.content[0].text.startswith("[AEGIS BLOCKED]")
        for name in ("send_notification", "experimental", "_dispatcher"):
            with pytest.raises(AttributeError, match="not known to call no tool"):
                getattr(session, name)
    assert ran == ["a"]
    blocked = ("delete", "files", "blocked")
    assert record(sidecar) == [("allowed_read", "files", "success"), blocked, blocked]


@pytest.mark.parametrize("way", ["call_tool", "send_request"])
async def test_what_a_server_gets_is_the_json_that_was_proposed(sidecar: Sidecar, runtime: Any, way: str) -> None:
    sent: list[Any] = []

    class Session:
        """In place of a session with a server."""

        async def call_tool(self, name: str, arguments: Any, **options: Any) -> CallToolResult:
            return await self.send_request(CallToolRequestParams(name=name, arguments=arguments))

        async def send_request(self, request: Any, *args: Any, **options: Any) -> CallToolResult:
            params = getattr(getattr(request, "root", request), "params", request)
            sent.append(params.model_dump(mode="json")["arguments"])
            return CallToolResult(content=[])

    session = GovernedSession(Session(), runtime=runtime, server_name="bank")  # type: ignore[arg-type]
    arguments = {"amount": Decimal("2.50"), "in": timedelta(minutes=1), "to": {"b", "a"}, "key": b"\xff"}
    if way == "call_tool":
        await session.call_tool("allowed_pay", arguments)
    else:
        params = CallToolRequestParams(name="allowed_pay", arguments=arguments)
        await session.send_request(as_sent(CallToolRequest(method="tools/call", params=params)), CallToolResult)
    assert sent == [{"amount": 2.5, "in": 60, "to": ["a", "b"], "key": "/w=="}]
    assert sidecar.audit.get_log()[0].action.params == sent[0]
