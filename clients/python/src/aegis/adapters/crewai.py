"""CrewAI: governed tools for crews. Needs the extra `crewai`."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable
from typing import Any

from crewai.tools import BaseTool  # pyright: ignore[reportMissingImports]
from pydantic import BaseModel, ConfigDict, PrivateAttr, create_model

from aegis.adapters._shared import ToolCall, as_text, call, call_sync, invalid, refusal, refused_sync
from aegis.core.action import Action
from aegis.core.errors import InvalidActionError
from aegis.core.result import Result
from aegis.runtime.engine import Runtime

__all__ = ["AegisCrewAITool", "recorded_refusals"]


class AegisCrewAITool(BaseTool):
    """A CrewAI tool that calls a function when the sidecar says so.

    A call that may not run answers `[AEGIS BLOCKED] ...` or `[AEGIS DENIED] ...`, so that the crew can go on; so does
    one whose arguments cannot be proposed (`[AEGIS INVALID] ...`), and one that raises (`[AEGIS FAILED] ...`).
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    _runtime: Runtime = PrivateAttr()
    _action_type: str = PrivateAttr()
    _action_target: str = PrivateAttr()
    _fn: Callable[..., Any] = PrivateAttr()
    _said: str = PrivateAttr(default="")

    def __init__(
        self,
        *,
        runtime: Runtime,
        name: str,
        description: str,
        action_type: str,
        fn: Callable[..., Any],
        action_target: str = "default",
        args_schema: type[BaseModel] | None = None,
        **options: Any,
    ) -> None:
        """Makes the tool.

        Args:
            runtime: Governs the calls. Its executor is not used.
            name: The tool's name.
            description: The tool's description, which is also the action's.
            action_type: The kind of action.
            fn: What is called, sync or async.
            action_target: What it acts on.
            args_schema: The tool's arguments. None: those of the function.
            options: More of CrewAI's own (`result_as_answer`, `cache_function`, ...).
        """
        schema = args_schema if args_schema is not None else _schema(name, fn)
        super().__init__(name=name, description=description, args_schema=_validating_once(schema), **options)
        self._runtime, self._fn = runtime, fn
        self._action_type, self._action_target = action_type, action_target
        self._said = description

    def _run(self, *args: Any, **kwargs: Any) -> Any:
        try:
            tool = self._call(args, kwargs)
        except InvalidActionError as error:
            return self._answer(self._invalid(error))
        return self._answer(call_sync(self._runtime, tool, lambda: self._fn(**tool.arguments)))

    async def _arun(self, *args: Any, **kwargs: Any) -> Any:
        try:
            tool = self._call(args, kwargs)
        except InvalidActionError as error:
            return self._answer(self._invalid(error))
        return self._answer(await call(self._runtime, tool, lambda: self._fn(**tool.arguments)))

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolCall:
        """The call, with arguments as the function declares them."""
        signature = inspect.signature(self._fn)
        model = kwargs.pop(_VALIDATED, None)
        if model is None:
            # Older releases of CrewAI call a tool with what the model gave, as it is.
            kwargs = signature.bind_partial(*args, **kwargs).arguments
            for parameter in signature.parameters.values():
                if parameter.kind is parameter.VAR_KEYWORD:
                    kwargs |= kwargs.pop(parameter.name, {})
            model = self.args_schema.model_validate(kwargs)
        bound = signature.bind(**_values(model))
        bound.apply_defaults()
        arguments: dict[str, Any] = {}
        for name, parameter in signature.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                arguments.update(bound.arguments[name])
            else:
                arguments[name] = bound.arguments[name]
        return ToolCall.of(self._action_type, self._action_target, arguments, self._said)

    def _invalid(self, error: InvalidActionError) -> Result:
        return invalid(Action(self._action_type, self._action_target), error)

    def _answer(self, result: Result) -> Any:
        return result.data if result.ok else as_text(result)


_VALIDATED = "aegis_validated_arguments"


def _validating_once(schema: type[BaseModel]) -> type[BaseModel]:
    """The schema, which hands on the values that it made of the model's arguments.

    CrewAI makes maps and text of them again before it calls a tool. Of those, a second validation might make other
    values: a validator that turns euros into cents would do so twice.
    """

    def model_dump(self: BaseModel, **_: Any) -> dict[str, Any]:
        return {_VALIDATED: self}

    parts = {"model_dump": model_dump, "__module__": schema.__module__, "__doc__": schema.__doc__}
    made: type[BaseModel] = types.new_class(schema.__name__, (schema,), {}, lambda body: body.update(parts))
    return made


def _values(model: BaseModel) -> dict[str, Any]:
    return {name: getattr(model, name) for name in type(model).model_fields} | (model.model_extra or {})


def recorded_refusals(hook: Callable[[Any], bool | None]) -> Callable[[Any], bool | None]:
    """A hook for CrewAI's `before_tool_call`, so that its no to a governed tool is on the record.

    CrewAI does not call a tool to which a hook said no, and does not tell it either.

    Args:
        hook: The hook: `False` is a no.
    """

    @functools.wraps(hook)
    def recording(context: Any) -> bool | None:
        try:
            answer = hook(context)
        except Exception as error:
            # Newer releases have an exception that is a no, and take any other for a mistake of the hook's.
            if type(error).__name__ == "HookAborted":
                _record_refusal(context, hook)
            raise
        if answer is False:
            _record_refusal(context, hook)
        return answer

    return recording


def _record_refusal(context: Any, hook: Callable[..., Any]) -> None:
    tool = context.tool
    tool = getattr(tool, "_original_tool", None) or getattr(getattr(tool, "func", None), "__self__", None) or tool
    if isinstance(tool, AegisCrewAITool):
        why = refusal(f"the hook {getattr(hook, '__name__', type(hook).__name__)}")
        refused_sync(tool._runtime, lambda: tool._call((), dict(context.tool_input)), why)


def _schema(name: str, fn: Callable[..., Any]) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(fn, eval_str=True).parameters.values():
        if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY}:
            raise TypeError(f"{name}: `fn` takes named arguments, not `{parameter}`: pass `args_schema` and name them")
        kind = Any if parameter.annotation is parameter.empty else parameter.annotation
        fields[parameter.name] = (kind, ... if parameter.default is parameter.empty else parameter.default)
    model: type[BaseModel] = create_model(f"{name.title().replace('_', '')}Arguments", **fields)
    return model
