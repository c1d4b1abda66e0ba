"""What runs actions."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, Protocol

from aegis.core.action import Action, ActionLike
from aegis.core.result import Result

__all__ = ["BaseExecutor", "Governor"]


class Governor(Protocol):
    """What an executor may ask of the runtime that runs it."""

    async def call(self, action: ActionLike, function: Callable[[Action], Any]) -> Result:
        """Governs one call of a function."""
        ...


class BaseExecutor(abc.ABC):
    """Runs actions that were allowed. It is never called for any other."""

    @abc.abstractmethod
    async def execute(self, action: Action) -> Any:
        """Runs an action.

        Returns a `Result`, `success` or `failed`; or any other value, which is the data of a success. What it raises is
        a failure. It is given a copy of exactly what was proposed.
        """

    def prepare(self, action: Action) -> Action:
        """What is proposed for an action: the same, in the form that no rule is dodged by, and with secrets masked.

        `execute` is given what this returned.

        Raises:
            InvalidActionError: It is no action of this executor.
        """
        return action

    async def describe(self, action: Action) -> Action:
        """What is proposed for an action now, when its turn has come: where it acts may be known only then.

        It is called with what `prepare` returned, just before the proposal. A plan does not ask it. `execute` is given
        what this returned, and has to look again before it acts: a reviewer may have thought for an hour.
        """
        return action

    def attach(self, runtime: Governor) -> None:  # noqa: B027
        """Is called with the runtime that runs this executor. It proposes what an action leads to: a redirect."""

    async def verify(self, action: Action, result: Result) -> bool:
        """Whether the action had the effect that it should. False makes a success a failure, which keeps its data."""
        return result.ok

    async def setup(self) -> None:  # noqa: B027
        """Is called once before the first action that is allowed."""

    async def teardown(self) -> None:  # noqa: B027
        """Is called at the end where `setup` was called."""
