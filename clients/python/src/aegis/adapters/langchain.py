"""LangChain: runs tools as actions, wraps tools, offers governed actions as tools. Needs the extra `langchain`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForToolRun, CallbackManagerForToolRun
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from pydantic import PrivateAttr

from aegis._govern.report import Answer
from aegis.adapters._shared import ToolCall, as_text, call, call_sync, invalid, raised, unproposed
from aegis.adapters.base import BaseExecutor
from aegis.core.action import Action
from aegis.core.errors import GovernanceError, InvalidActionError
from aegis.core.result import Result
from aegis.core.status import ResultStatus
from aegis.runtime.engine import Runtime

__all__ = ["AegisTool", "GovernedTool", "LangChainExecutor", "govern_tool", "govern_tools"]


class LangChainExecutor(BaseExecutor):
    """Runs LangChain tools: an action's type names the tool, its params are the tool's input.

    The input is validated once, before it is proposed.

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

    def prepare(self, action: Action) -> Action:
        """The action with the input as the tool's schema makes it: with defaults, and of the types that it names."""
        tool = self._tools.get(action.type)
        if tool is None:
            return action
        try:
            _, validated = tool._to_args_and_kwargs(dict(action.params), None)
        except ValueError as error:
            raise InvalidActionError("params", f"are no input of the tool: {error}") from error
        return Action(action.type, action.target, validated, action.description)

    async def execute(self, action: Action) -> Any:
        """Runs the tool."""
        tool = self._tools.get(action.type)
        if tool is None:
            why = f"no tool `{action.type}`: there are {', '.join(self.tool_names) or 'none'}"
            return Result(action, ResultStatus.FAILED, error=why)
        answer = await tool._arun(**_passed_on(tool, dict(action.params), RunnableConfig(), None))
        return _content(tool, answer)


def govern_tool(
    tool: BaseTool, *, runtime: Runtime, action_type: str | None = None, action_target: str = "default"
) -> BaseTool:
    """The tool, governed: same name, description, arguments, and kind of answer.

    Only what the model supplies is proposed. What the framework injects (state, store, the call's id, a runtime)
    reaches the tool untouched. A call that may not run answers `[AEGIS BLOCKED] ...` or `[AEGIS DENIED] ...`, and one
    whose arguments cannot be proposed `[AEGIS INVALID] ...`, as a `ToolMessage` with the status `error`. One that
    raises, raises.

    Args:
        tool: The tool. Its own `invoke` stays as it is: give the agent what this returns.
        runtime: Governs the calls. Its executor is not used.
        action_type: The kind of action. None: the tool's name.
        action_target: What it acts on.
    """
    governed = GovernedTool(
        name=tool.name,
        description=tool.description,
        args_schema=tool.get_input_schema() if tool.args_schema is None else tool.args_schema,
        return_direct=tool.return_direct,
        response_format=tool.response_format,
        handle_validation_error=tool.handle_validation_error,
        callbacks=tool.callbacks,
        metadata=tool.metadata,
        tags=tool.tags,
        verbose=tool.verbose,
    )
    governed.handle_tool_error = governed._handled
    governed._inner, governed._runtime = tool, runtime
    governed._kind, governed._target = action_type or tool.name, action_target
    governed._injected = _injected(tool)
    return governed


def govern_tools(tools: Iterable[BaseTool], *, runtime: Runtime, action_target: str = "default") -> list[BaseTool]:
    """`govern_tool` for each of them."""
    return [govern_tool(tool, runtime=runtime, action_target=action_target) for tool in tools]


class _Refused(ToolException):
    """The call did not run. The model reads why."""


class GovernedTool(BaseTool):
    """Stands in for a tool: `govern_tool` makes it.

    It validates as the tool does, and calls what comes after the tool's own validation.
    """

    _inner: BaseTool = PrivateAttr()
    _runtime: Runtime = PrivateAttr()
    _kind: str = PrivateAttr()
    _target: str = PrivateAttr()
    _injected: frozenset[str] = PrivateAttr(default=frozenset())

    @functools.cached_property
    def _injected_args_keys(self) -> frozenset[str]:
        return getattr(self._inner, "_injected_args_keys", frozenset())

    @property
    def runtime(self) -> Runtime:
        """What governs its calls."""
        return self._runtime

    def tool_call(self, supplied: Mapping[str, Any]) -> ToolCall:
        """A call with arguments that a model supplied.

        Raises:
            InvalidActionError: They cannot be proposed whole.
        """
        return ToolCall.of(self._kind, self._target, supplied, self._inner.description)

    def _run(
        self, *args: Any, config: RunnableConfig, run_manager: CallbackManagerForToolRun | None = None, **kwargs: Any
    ) -> Any:
        tool = self._call(args, kwargs)

        def run() -> Any:
            return self._answer(self._inner._run(*args, **self._with(tool, kwargs, config, run_manager)))

        return self._told(call_sync(self._runtime, tool, run))

    async def _arun(
        self,
        *args: Any,
        config: RunnableConfig,
        run_manager: AsyncCallbackManagerForToolRun | None = None,
        **kwargs: Any,
    ) -> Any:
        tool = self._call(args, kwargs)

        async def run() -> Any:
            return self._answer(await self._inner._arun(*args, **self._with(tool, kwargs, config, run_manager)))

        return self._told(await call(self._runtime, tool, run))

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolCall:
        supplied = {name: value for name, value in kwargs.items() if name not in self._injected}
        # A tool of one text gets it by position.
        given = {"input": args[0]} if args else {}
        try:
            return self.tool_call(given | supplied)
        except InvalidActionError as error:
            raise _Refused(as_text(invalid(Action(self._kind, self._target), error))) from error

    def _with(self, tool: ToolCall, kwargs: dict[str, Any], config: RunnableConfig, run_manager: Any) -> dict[str, Any]:
        copied = {name: tool.arguments.get(name, value) for name, value in kwargs.items()}
        return _passed_on(self._inner, copied, config, run_manager)

    def _answer(self, answer: Any) -> Any:
        return Answer(answer, _content(self._inner, answer))

    def _told(self, result: Result) -> Any:
        error = raised(result)
        if error is not None:
            raise error
        if result.ok:
            return result.data
        raise _Refused(as_text(result))

    def _handled(self, error: ToolException) -> str:
        """What a model is told of a `ToolException`: the reason of ours, and what the tool itself says of its own."""
        handle = self._inner.handle_tool_error
        if isinstance(error, _Refused):
            return str(error)
        if not handle:
            raise error
        if isinstance(handle, str):
            return handle
        if callable(handle):
            return str(handle(error))
        return str(error.args[0]) if error.args else "Tool execution error"


def _passed_on(tool: BaseTool, kwargs: dict[str, Any], config: RunnableConfig, run_manager: Any) -> dict[str, Any]:
    """The arguments, with what the tool's own `_run` asks for besides."""
    asked = inspect.signature(tool._run).parameters
    if "config" in asked:
        kwargs["config"] = config
    if "run_manager" in asked and run_manager is not None:
        kwargs["run_manager"] = run_manager
    return kwargs


def _content(tool: BaseTool, answer: Any) -> Any:
    """What the model gets of an answer: not the artifact beside it."""
    if tool.response_format == "content_and_artifact" and isinstance(answer, tuple) and len(answer) == 2:
        return answer[0]
    return answer


def _injected(tool: BaseTool) -> frozenset[str]:
    """The arguments that the framework injects: those of the tool that its schema for models does not have."""
    keys = frozenset(getattr(tool, "_injected_args_keys", frozenset()))
    seen = tool.tool_call_schema
    if isinstance(seen, dict):
        return keys
    everything = tool.get_input_schema()
    return keys | (frozenset(_fields(everything)) - frozenset(_fields(seen)))


def _fields(schema: Any) -> Iterable[str]:
    found: Mapping[str, Any] = getattr(schema, "model_fields", None) or getattr(schema, "__fields__", {})
    return found


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
                runs the action, which then validates them, else any.
        """
        if args_schema is None:
            executor = runtime.executor
            tool = executor.tool(action_type) if isinstance(executor, LangChainExecutor) else None
            args_schema = _ANYTHING if tool is None else _json_schema(tool)

        def action(arguments: dict[str, Any]) -> Action:
            return Action(action_type, action_target, arguments, description)

        async def call(**arguments: Any) -> Any:
            try:
                result = await runtime.run_one(action(arguments))
            except GovernanceError as error:
                result = unproposed(action({}), error)
            return result.data if result.ok else as_text(result)

        def call_sync(**arguments: Any) -> Any:
            try:
                result = runtime.run_one_sync(action(arguments))
            except GovernanceError as error:
                result = unproposed(action({}), error)
            return result.data if result.ok else as_text(result)

        return StructuredTool.from_function(
            func=call_sync, coroutine=call, name=name, description=description, args_schema=args_schema
        )


def _json_schema(tool: BaseTool) -> dict[str, Any]:
    schema: Any = tool.tool_call_schema
    if isinstance(schema, dict):
        return schema
    found: dict[str, Any] = schema.model_json_schema() if hasattr(schema, "model_json_schema") else schema.schema()
    return found
