"""What the adapters of frameworks with tools share: arguments in, answers out, and what a model is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from aegis import _reasons
from aegis._govern.arguments import copies_of
from aegis._govern.terms import Confirm
from aegis._values import from_value, to_record
from aegis.core.action import Action
from aegis.core.errors import GovernanceError, InvalidActionError
from aegis.core.result import Result
from aegis.core.status import ResultStatus
from aegis.runtime.engine import Runtime


@dataclass(frozen=True)
class ToolCall:
    """One call of a tool: the copy of its arguments that runs, and the action that they are.

    The arguments are objects of the framework, validated once. They are proposed as JSON, and described again just
    before the tool gets them.
    """

    arguments: dict[str, Any]
    action: Action

    @classmethod
    def of(cls, kind: str, target: str, arguments: Mapping[str, Any], description: str = "") -> ToolCall:
        """Copies the arguments.

        Raises:
            InvalidActionError: They cannot be proposed whole.
        """
        copied = copies_of(dict(arguments))
        return cls(copied, Action(kind, target, copied, description))

    def again(self) -> Action:
        """Describes what is about to run."""
        return self.action


async def call(runtime: Runtime, tool: ToolCall, function: Callable[[], Any], confirm: Confirm | None = None) -> Result:
    """Governs one call of a tool. Arguments that cannot be proposed are a result that the model reads, and no error."""
    try:
        return await runtime.call(tool.action, lambda _: function(), confirm=confirm, again=tool.again)
    except GovernanceError as error:
        return unproposed(tool.action, error)


def call_sync(runtime: Runtime, tool: ToolCall, function: Callable[[], Any]) -> Result:
    """`call`, for code that is not async."""
    try:
        return runtime.call_sync(tool.action, lambda _: function(), again=tool.again)
    except GovernanceError as error:
        return unproposed(tool.action, error)


def refusal(who: str, why: str | None = None) -> str:
    """What the record says of a call that somebody refused before it was proposed."""
    return f"{who} refused it: {why}" if why else f"{who} refused it"


async def refused(runtime: Runtime, tool: Callable[[], ToolCall], why: str) -> Result:
    """Puts on the record that a call of a tool was refused before it was proposed."""
    try:
        return await runtime.skip(tool().action, why, by_executor=False)
    except GovernanceError as error:
        return unproposed(Action(""), error)


def refused_sync(runtime: Runtime, tool: Callable[[], ToolCall], why: str) -> Result:
    """`refused`, for code that is not async."""
    try:
        return runtime.skip_sync(tool().action, why, by_executor=False)
    except GovernanceError as error:
        return unproposed(Action(""), error)


def unproposed(action: Action, error: GovernanceError) -> Result:
    """The result of an action that this SDK, or the daemon, refuses as a proposal: too large, too deep, a bad name.

    Raises:
        GovernanceError: It is another error, about which a model can do nothing.
    """
    of_the_action = bool(error.violations) and all(wrong.field.startswith("action.") for wrong in error.violations)
    if isinstance(error, InvalidActionError) or of_the_action or error.reason == _reasons.MESSAGE_TOO_LARGE:
        return invalid(action, error)
    raise error


def invalid(action: Action, error: GovernanceError) -> Result:
    """The result of an action that cannot be proposed: it was not tried."""
    return Result(replace(action, params={}), ResultStatus.SKIPPED, error=str(error))


def as_text(result: Result) -> str:
    """What a model is told of an action that did not work: `[AEGIS BLOCKED] ...`. It can go on with that."""
    word = (
        "INVALID" if result.status is ResultStatus.SKIPPED and result.decision is None else result.status.value.upper()
    )
    return f"[AEGIS {word}] {result.error or result.reason}"


def raised(result: Result) -> BaseException | None:
    """What the tool raised, for the framework to handle. What was refused is told to the model instead."""
    error = result.exception
    return None if isinstance(error, GovernanceError) and error.reason == "ACTION_CHANGED" else error


def to_json_text(data: Any) -> str:
    """A value as JSON text. What JSON does not have stands there as text."""
    return data if isinstance(data, str) else json.dumps(from_value(to_record(data)), ensure_ascii=False)
