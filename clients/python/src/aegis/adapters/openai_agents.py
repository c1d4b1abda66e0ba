"""OpenAI Agents SDK: governed function tools, and the policy in its approval hook. Needs the extra `openai-agents`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from agents import FunctionTool, RunContextWrapper, function_tool
from agents.tool_context import ToolContext

from aegis.adapters._shared import as_params, as_text
from aegis.core.action import Action
from aegis.core.risk import ApprovalMode
from aegis.runtime.engine import Runtime

__all__ = ["governed_tool", "policy_asks_user"]


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
    goes on with `state.approve(...)`. Where it says `approve`, a reviewer of the sidecar is waited for.

    A call that may not run answers `[AEGIS BLOCKED] ...` or `[AEGIS DENIED] ...`, so that the agent can go on; what the
    function raises is the SDK's to handle (`failure_error_function`).

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

        @functools.wraps(function)
        async def governed(context: ToolContext[Any], *args: Any, **kwargs: Any) -> Any:
            given = (context, *args) if takes_context else args
            bound = signature.bind(*given, **kwargs)
            bound.apply_defaults()
            names = list(bound.arguments)[1 if takes_context else 0 :]
            action = Action(kind, action_target, as_params({name: bound.arguments[name] for name in names}), said)
            frozen = {name: _frozen(bound.arguments[name]) for name in names}

            async def run(_: Action) -> Any:
                bound.arguments.update(frozen)
                returned = function(*bound.args, **bound.kwargs)
                return await returned if inspect.isawaitable(returned) else returned

            result = await runtime.call(action, run, confirm=lambda _action, _decision: _approved(context))
            if result.exception is not None:
                raise result.exception
            return result.data if result.ok else as_text(result)

        # The SDK reads the arguments from the signature; it passes the context where the first one asks for it.
        parameters = list(signature.parameters.values())[1 if takes_context else 0 :]
        context_parameter = inspect.Parameter(
            "context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=ToolContext[Any]
        )
        governed.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[context_parameter, *parameters]
        )
        governed.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        governed.__annotations__ |= {"context": ToolContext[Any], "return": signature.return_annotation}
        del governed.__wrapped__
        chosen: dict[str, Any] = {"needs_approval": policy_asks_user(runtime, kind, action_target)} | options
        if description is not None:
            chosen.setdefault("description_override", description)
        return function_tool(governed, **chosen)

    return decorate


def policy_asks_user(
    runtime: Runtime, action_type: str, action_target: str = "default"
) -> Callable[[RunContextWrapper[Any], dict[str, Any], str], Awaitable[bool]]:
    """A hook for `needs_approval` of any tool: whether the policy wants the agent's own user to confirm this call."""

    async def asks(context: RunContextWrapper[Any], params: dict[str, Any], call_id: str) -> bool:
        plan = await runtime.aplan([Action(action_type, action_target, as_params(params))])
        return plan[0].approval is ApprovalMode.CONFIRM

    return asks


def _approved(context: ToolContext[Any]) -> bool:
    """Whether the agent's user has approved this very call."""
    return context.is_tool_approved(context.tool_name, context.tool_call_id) is True


def _takes_context(signature: inspect.Signature) -> bool:
    first = next(iter(signature.parameters.values()), None)
    if first is None:
        return False
    kind = getattr(first.annotation, "__origin__", first.annotation)
    return inspect.isclass(kind) and issubclass(kind, RunContextWrapper)


def _frozen(value: Any) -> Any:
    copy = getattr(value, "model_copy", None)
    if callable(copy):
        return copy(deep=True)
    if isinstance(value, list):
        return [_frozen(item) for item in value]
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return value
