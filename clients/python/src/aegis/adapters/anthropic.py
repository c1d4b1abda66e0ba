"""Anthropic: governs the tool calls that Claude asks for, and returns their results. Needs the extra `anthropic`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from anthropic.types import ToolResultBlockParam, ToolUseBlock

from aegis.adapters._shared import ToolCall, as_text, refusal, to_json_text, unproposed
from aegis.core.action import Action
from aegis.core.errors import GovernanceError
from aegis.core.result import Result
from aegis.runtime.engine import Runtime

__all__ = ["ToolResult", "govern_tool_call", "govern_tool_use", "refuse_tool_use", "tool_results_to_api_format"]


@dataclass(frozen=True)
class ToolResult(Result):
    """The result of a tool call, with the call that it answers."""

    tool_use_id: str | None = None
    """The `id` of the `tool_use` block."""


async def govern_tool_call(
    *,
    runtime: Runtime,
    tool_name: str,
    tool_input: object,
    target: str = "default",
    description: str = "",
    tool_use_id: str | None = None,
) -> ToolResult:
    """Governs one call that the model asks for; the runtime's executor runs it.

    An input that cannot be proposed is a result that says why, for the model to read: it ends no conversation.

    Args:
        runtime: Governs and runs it: the action's type is the tool's name, its params are the tool's input.
        tool_name: The block's `name`.
        tool_input: The block's `input`.
        target: What it acts on.
        description: The agent's own words for a reviewer.
        tool_use_id: The block's `id`, which `tool_results_to_api_format` needs.
    """
    if not isinstance(tool_input, Mapping):
        raise TypeError(f"tool_input is the block's input, a map, not {type(tool_input).__name__}")
    try:
        result = await runtime.run_one(ToolCall.of(tool_name, target, tool_input, description).action)
    except GovernanceError as error:
        result = unproposed(Action(tool_name, target, {}, description), error)
    return _answering(result, tool_use_id)


async def govern_tool_use(block: ToolUseBlock, *, runtime: Runtime, target: str = "default") -> ToolResult:
    """`govern_tool_call` for a `tool_use` block."""
    return await govern_tool_call(
        runtime=runtime, tool_name=block.name, tool_input=block.input, target=target, tool_use_id=block.id
    )


async def refuse_tool_use(
    block: ToolUseBlock, *, runtime: Runtime, reason: str = "", target: str = "default"
) -> ToolResult:
    """Answers a `tool_use` block that the agent's own user refused, and puts that on the record.

    Args:
        block: The block.
        runtime: Records it.
        reason: Why, for the model and the record.
        target: What it acts on.
    """
    said = refusal("the agent's user", reason)
    try:
        result = await runtime.skip(ToolCall.of(block.name, target, block.input).action, said)
    except GovernanceError as error:
        result = unproposed(Action(block.name, target), error)
    return _answering(result, block.id)


def _answering(result: Result, tool_use_id: str | None) -> ToolResult:
    parts: dict[str, Any] = {field.name: getattr(result, field.name) for field in fields(Result)}
    return ToolResult(**parts, tool_use_id=tool_use_id)


def tool_results_to_api_format(
    results: Iterable[Result | tuple[str, Result]],
) -> list[ToolResultBlockParam]:
    """Results as the content of the next user message: one `tool_result` block each.

    Args:
        results: What `govern_tool_call` gave; or any results, each with the id of its `tool_use` block:
            `(block.id, result)`.
    """
    blocks: list[ToolResultBlockParam] = []
    for given in results:
        tool_use_id, result = given if isinstance(given, tuple) else (getattr(given, "tool_use_id", None), given)
        if not tool_use_id:
            raise ValueError(
                f"the result of {result.action.type} does not say which call it answers: pass "
                "`tool_use_id=block.id` to govern_tool_call, or `(block.id, result)` here"
            )
        block: ToolResultBlockParam = {
            "type": "tool_result",
            "tool_use_id": tool_use_id,
            "content": to_json_text(result.data) if result.ok else as_text(result),
        }
        if not result.ok:
            block["is_error"] = True
        blocks.append(block)
    return blocks
