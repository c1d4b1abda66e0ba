"""OpenAI Agents SDK: governed function tools, and the policy in its approval hook. Needs the extra `openai-agents`."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
from collections.abc import Awaitable, Callable
from typing import Any

from agents import (
    FunctionTool,
    RunContextWrapper,
    RunState,
    ToolApprovalItem,
    ToolGuardrailFunctionOutput,
    ToolInputGuardrail,
    ToolInputGuardrailData,
    function_tool,
)
from agents.function_schema import FuncSchema, function_schema
from agents.tool_context import ToolContext

from aegis.adapters._shared import ToolCall, as_text, call, invalid, raised, refusal, refused
from aegis.core.action import Action
from aegis.core.errors import AegisError, InvalidActionError
from aegis.core.risk import ApprovalMode
from aegis.runtime.engine import Runtime
from aegis.runtime.sync import in_thread

__all__ = ["governed_tool", "policy_asks_user", "reject_tool_call"]

AskUser = Callable[[RunContextWrapper[Any], dict[str, Any], str], Awaitable[bool]]
"""A hook for `needs_approval`."""


def governed_tool(
    *,
    runtime: Runtime,
    action_type: str | None = None,
    action_target: str = "default",
    description: str | None = None,
    **options: Any,
) -> Callable[[Callable[..., Any]], FunctionTool]:
    """Makes a function, sync or async, a governed tool for `Agent(tools=[...])`. Its arguments are the action's params.

    Where a rule says `approval: confirm`, the SDK's own approval asks the agent's user: the run is interrupted, and
    goes on with `state.approve(...)`. Where it says `approve`, a reviewer of the sidecar is waited for. Otherwise
    nothing interrupts the run. A function that is not async runs in a thread.

    A call that may not run answers `[AEGIS BLOCKED] ...` or `[AEGIS DENIED] ...`, and one whose arguments cannot be
    proposed `[AEGIS INVALID] ...`, so that the agent can go on. What the function raises is the SDK's to handle
    (`failure_error_function`).

    A call that a guardrail of `tool_input_guardrails` refuses is on the record as skipped, and so is one that the
    agent's user refuses by `reject_tool_call`.

    Args:
        runtime: Governs the calls. Its executor is not used.
        action_type: The kind of action. None: the tool's name.
        action_target: What it acts on.
        description: What model and reviewer read. None: the function's docstring.
        options: More of `agents.function_tool`: `name_override`, `strict_mode`, `needs_approval`, ...
    """

    def decorate(function: Callable[..., Any]) -> FunctionTool:
        kind = action_type or options.get("name_override") or function.__name__
        signature = inspect.signature(function, eval_str=True)
        takes_context = _takes_context(signature)
        said = description if description is not None else (inspect.getdoc(function) or "").partition("\n")[0]
        work = in_thread(lambda bound: function(*bound.args, **bound.kwargs)) if not _is_async(function) else None

        @functools.wraps(function)
        async def governed(context: ToolContext[Any], *args: Any, **kwargs: Any) -> Any:
            given = (context, *args) if takes_context else args
            bound = signature.bind(*given, **kwargs)
            bound.apply_defaults()
            names = list(bound.arguments)[1 if takes_context else 0 :]
            try:
                tool = ToolCall.of(kind, action_target, {name: bound.arguments[name] for name in names}, said)
            except InvalidActionError as error:
                return as_text(invalid(Action(kind, action_target), error))
            bound.arguments.update(tool.arguments)

            async def run() -> Any:
                return await (work(bound) if work is not None else function(*bound.args, **bound.kwargs))

            result = await call(runtime, tool, run, lambda _action, _decision: _approved(context))
            wrong = raised(result)
            if wrong is not None:
                raise wrong
            return result.data if result.ok else as_text(result)

        # The SDK reads the arguments from the signature; it passes the context where the first one asks for it.
        parameters = list(signature.parameters.values())[1 if takes_context else 0 :]
        first = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=ToolContext[Any])
        governed.__signature__ = signature.replace(parameters=[first, *parameters])  # type: ignore[attr-defined]
        governed.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        governed.__annotations__ |= {"context": ToolContext[Any], "return": signature.return_annotation}
        del governed.__wrapped__
        schema = function_schema(governed, strict_json_schema=bool(options.get("strict_mode", True)))
        asks = _asks(runtime, kind, action_target, lambda params: _validated(schema, params))
        refuse = _Refuses(runtime, kind, action_target, said, schema)
        chosen: dict[str, Any] = {"needs_approval": asks} | options
        if chosen.get("tool_input_guardrails"):
            chosen["tool_input_guardrails"] = list(map(refuse.guarding, chosen["tool_input_guardrails"]))
        if description is not None:
            chosen.setdefault("description_override", description)
        return _asking_only_the_hook(function_tool(governed, **chosen), refuse)

    return decorate


async def reject_tool_call(state: RunState[Any, Any], interruption: ToolApprovalItem, *, reason: str = "") -> None:
    """Rejects a call for the agent's user, as `state.reject` does, and puts that on the record.

    The SDK tells no tool that its call was rejected. So it is this function that records it, of a governed tool.

    Args:
        state: The run, which goes on with `Runner.run(agent, state)`.
        interruption: One of `interruptions` of the run's result.
        reason: Why, for the record and the model.
    """
    # Older releases of the SDK tell the model that it was rejected, and no reason.
    takes_reason = "rejection_message" in inspect.signature(state.reject).parameters
    options: dict[str, Any] = (
        {"rejection_message": f"The user rejected this call: {reason}"} if reason and takes_reason else {}
    )
    state.reject(interruption, **options)
    for tool in interruption.agent.tools:
        refuses = getattr(getattr(tool, "on_invoke_tool", None), "aegis_refuses", None)
        if tool.name == interruption.name and isinstance(refuses, _Refuses):
            await refuses.record(interruption.arguments or "", refusal("the agent's user", reason))


def policy_asks_user(runtime: Runtime, action_type: str, action_target: str = "default") -> AskUser:
    """A hook for `needs_approval` of any tool: whether the policy wants the agent's own user to confirm this call."""
    return _asks(runtime, action_type, action_target, lambda params: params)


def _asks(runtime: Runtime, kind: str, target: str, arguments: Callable[[dict[str, Any]], dict[str, Any]]) -> AskUser:
    async def asks(context: RunContextWrapper[Any], params: dict[str, Any], call_id: str) -> bool:
        try:
            plan = await runtime.aplan([Action(kind, target, arguments(params))])
        except AegisError:
            # The call itself says what is wrong, to the model. It does not run either.
            return False
        return plan[0].approval_mode is ApprovalMode.CONFIRM

    return asks


def _validated(schema: FuncSchema, params: dict[str, Any]) -> dict[str, Any]:
    """The model's arguments as the function will get them. Wrong ones stay as they are: the call says so."""
    try:
        args, kwargs = schema.to_call_args(schema.params_pydantic_model(**params))
    except ValueError:
        return params
    bound = inspect.Signature(list(schema.signature.parameters.values())[1:]).bind(*args, **kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)


@dataclasses.dataclass(frozen=True)
class _Refuses:
    """Records calls of one tool that were refused before the tool was called."""

    runtime: Runtime
    kind: str
    target: str
    description: str
    schema: FuncSchema

    async def record(self, arguments: str, why: str) -> None:
        def tool() -> ToolCall:
            try:
                params = json.loads(arguments or "{}")
            except ValueError:
                params = None
            if not isinstance(params, dict):
                raise InvalidActionError("params", "are no JSON object")
            return ToolCall.of(self.kind, self.target, _validated(self.schema, params), self.description)

        await refused(self.runtime, tool, why)

    def guarding(self, guardrail: ToolInputGuardrail[Any]) -> ToolInputGuardrail[Any]:
        """The guardrail, with its no on the record."""
        name = guardrail.get_name()

        async def guard(data: ToolInputGuardrailData) -> ToolGuardrailFunctionOutput:
            answer = await guardrail.run(data)
            if answer.behavior["type"] != "allow":
                await self.record(data.context.tool_arguments, refusal(f"the guardrail {name}"))
            return answer

        return ToolInputGuardrail(guard, name)


def _asking_only_the_hook(tool: FunctionTool, refuses: _Refuses) -> FunctionTool:
    """The tool, so that only `needs_approval` decides whether the user is asked.

    Newer releases of the SDK ask whenever validation changes an argument (5 to 5.0) of a tool that they made
    themselves. What was validated is what is proposed here, so that there is nothing to ask.
    """
    invoke = tool.on_invoke_tool

    async def on_invoke_tool(context: ToolContext[Any], arguments: str) -> Any:
        return await invoke(context, arguments)

    on_invoke_tool.aegis_refuses = refuses  # type: ignore[attr-defined]
    return dataclasses.replace(tool, on_invoke_tool=on_invoke_tool)


def _approved(context: ToolContext[Any]) -> bool:
    """Whether the agent's user has approved this very call."""
    return context.is_tool_approved(context.tool_name, context.tool_call_id) is True


def _takes_context(signature: inspect.Signature) -> bool:
    first = next(iter(signature.parameters.values()), None)
    if first is None:
        return False
    kind = getattr(first.annotation, "__origin__", first.annotation)
    return inspect.isclass(kind) and issubclass(kind, RunContextWrapper)


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function)
