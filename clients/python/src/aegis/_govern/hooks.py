"""What is told of a governed call, and with how many arguments."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from aegis._operations.effects import Do, Operation
from aegis.core.action import Action
from aegis.core.decision import Decision
from aegis.core.result import Result

Hook: TypeAlias = Callable[..., Any]
"""A function of one argument or of two; it may be async where it is used in async code."""


def check_hook(hook: Hook | None, name: str, words: tuple[str, str]) -> int:
    """How many arguments a hook takes: the second of `words`, or both."""
    if hook is None:
        return 0
    try:
        signature = inspect.signature(hook)
    except (TypeError, ValueError):
        return 2
    for arguments in (2, 1):
        try:
            signature.bind(*range(arguments))
        except TypeError:
            continue
        return arguments
    raise TypeError(f"{name} takes ({words[1]}) or ({words[0]}, {words[1]}), not {signature}")


@dataclass(frozen=True)
class Hooks:
    """Functions that are told of a governed call: sync, or async where the call is async.

    Each takes one argument or two, the action first. A hook gets copies, and cannot turn a no into a yes. What it
    raises ends the call; an action that was allowed is then reported as skipped.
    """

    on_decision: Hook | None = None
    """Is told of each decision, a no included: `(decision)` or `(action, decision)`."""
    on_approval: Hook | None = None
    """Is told of each answer of a reviewer or user: `(decision)` or `(action, decision)`."""
    on_execute: Hook | None = None
    """Is told of each result of an action that ran: `(result)` or `(action, result)`."""
    _arity: dict[str, int] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        words = {"on_decision": "decision", "on_approval": "decision", "on_execute": "result"}
        for name, word in words.items():
            self._arity[name] = check_hook(getattr(self, name), name, ("action", word))

    def decided(self, name: str, action: Action, decision: Decision) -> Operation[None]:
        """Tells a hook of a decision. The action is a copy, which the hook may keep."""
        hook: Hook | None = getattr(self, name)
        if hook is not None:
            yield Do(caller(hook, (action, shown_decision(decision, action))[2 - self._arity[name] :]))

    def executed(self, result: Result) -> Operation[None]:
        """Tells the hook of a result."""
        if self.on_execute is not None:
            arguments = (copy_of(result.action), result)
            yield Do(caller(self.on_execute, arguments[2 - self._arity["on_execute"] :]))


def caller(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Callable[[], Any]:
    """The call of a function, for later."""
    return lambda: function(*arguments)


def copy_of(action: Action) -> Action:
    """An action that shares no container with this one."""
    return replace(action, params=copy.deepcopy(dict(action.params)))


def shown_decision(decision: Decision, action: Action) -> Decision:
    """A decision that shares no container with this one, about a copy of its action."""
    return replace(decision, constraints=copy.deepcopy(decision.constraints), action=action)
