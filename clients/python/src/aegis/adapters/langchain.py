"""LangChain: run tools as actions, wrap tools, offer governed actions as tools. Needs the extra `langchain`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from langchain_core.tools import BaseTool, StructuredTool

from aegis.adapters._shared import as_params, as_text
from aegis.adapters.base import BaseExecutor
from aegis.core.action import Action
from aegis.core.result import Result, ResultStatus
from aegis.runtime.engine import Runtime

__all__ = ["AegisTool", "LangChainExecutor", "govern_tool", "govern_tools"]


class LangChainExecutor(BaseExecutor):
    """Runs LangChain tools: an action's type names the tool, its params are the tool's input.

    Args:
        tools: The tools; as a map, under the action types that it names.
    """

    def __init__(self, tools: Iterable[BaseTool] | Mapping[str, BaseTool] | None = None) -> None:
        self._tools: dict[str, BaseTool] = {}
        if isinstance(tools, Mapping):
            # No map is an iterable of tools: its keys are names.
            self._tools.update(tools)  # pyright: ignore[reportCallIssue, reportArgumentType]
        else:
            self._tools.update((tool.name, tool) for tool in tools or ())

    def register_tool(self, tool: BaseTool, action_type: str | None = None) -> None:
        """Adds a tool, under its name or another action type."""
        self._tools[action_type or tool.name] = tool

    @property
    def tool_names(self) -> list[str]:
        """The action types that it runs."""
        return sorted(self._tools)

    def tool(self, action_type: str) -> BaseTool | None:
        """The tool for an action type."""
        return self._tools.get(action_type)

    async def execute(self, action: Action) -> Result:
        """Runs the tool."""
        tool = self._tools.get(action.type)
        if tool is None:
            why = f"no tool `{action.type}`: there are {', '.join(self.tool_names) or 'none'}"
            return Result(action, ResultStatus.FAILED, error=why)
        return Result(action, ResultStatus.SUCCESS, data=await tool.ainvoke(dict(action.params)))


def govern_tool(
    tool: BaseTool, *, runtime: Runtime, action_type: str | None = None, action_target: str = "default"
) -> BaseTool:
    """The tool, governed: same name, description and arguments.

    A call that may not run answers `[AEGIS BLOCKED] ...` or `[AEGIS DENIED] ...`; one that raises, raises.

    Args:
        tool: The tool. Its own `invoke` stays as it is: give the agent what this returns.
        runtime: Governs the calls. Its executor is not used.
        action_type: The kind of action. None: the tool's name.
        action_target: What it acts on.
    """

    async def run(action: Action) -> Any:
        return await tool.ainvoke(dict(action.params))

    async def call(**arguments: Any) -> Any:
        return _unwrap(await runtime.call(_action(arguments), run))

    def call_sync(**arguments: Any) -> Any:
        return _unwrap(runtime.call_sync(_action(arguments), lambda action: tool.invoke(dict(action.params))))

    def _action(arguments: dict[str, Any]) -> Action:
        return Action(action_type or tool.name, action_target, as_params(arguments), tool.description)

    return StructuredTool.from_function(
        func=call_sync,
        coroutine=call,
        name=tool.name,
        description=tool.description,
        args_schema=tool.get_input_schema() if tool.args_schema is None else tool.args_schema,
        return_direct=tool.return_direct,
        metadata=tool.metadata,
        tags=tool.tags,
    )


def govern_tools(tools: Iterable[BaseTool], *, runtime: Runtime, action_target: str = "default") -> list[BaseTool]:
    """`govern_tool` for each of them."""
    return [govern_tool(tool, runtime=runtime, action_target=action_target) for tool in tools]


def _unwrap(result: Result) -> Any:
    if result.ok:
        return result.data
    if result.exception is not None:
        raise result.exception
    return as_text(result)


_ANYTHING = {"type": "object", "properties": {}, "additionalProperties": True}


class AegisTool:
    """Governed actions as LangChain tools."""

    @staticmethod
    def from_runtime(
        runtime: Runtime,
        *,
        name: str,
        description: str,
        action_type: str,
        action_target: str = "default",
        args_schema: Any = None,
    ) -> StructuredTool:
        """A tool that runs an action of the runtime's executor; its arguments are the action's params.

        Args:
            runtime: Governs and runs it.
            name: The tool's name.
            description: The tool's description, which is also the action's.
            action_type: The kind of action.
            action_target: What it acts on.
            args_schema: The tool's arguments: a pydantic model or a JSON schema. None: those of the LangChain tool that
                runs the action, else any.
        """
        if args_schema is None:
            executor = runtime.executor
            tool = executor.tool(action_type) if isinstance(executor, LangChainExecutor) else None
            args_schema = _ANYTHING if tool is None else tool.args_schema or tool.get_input_schema()

        def action(arguments: dict[str, Any]) -> Action:
            return Action(action_type, action_target, as_params(arguments), description)

        async def call(**arguments: Any) -> Any:
            result = await runtime.run_one(action(arguments))
            return result.data if result.ok else as_text(result)

        def call_sync(**arguments: Any) -> Any:
            result = runtime.run_one_sync(action(arguments))
            return result.data if result.ok else as_text(result)

        return StructuredTool.from_function(
            func=call_sync, coroutine=call, name=name, description=description, args_schema=args_schema
        )
