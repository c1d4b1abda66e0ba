"""What runs actions."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any

from aegis.core.action import Action
from aegis.core.result import Result

if TYPE_CHECKING:
    from aegis.runtime.engine import Runtime

__all__ = ["BaseExecutor"]


class BaseExecutor(abc.ABC):
    """Runs actions that were allowed. It is never called for any other."""

    @abc.abstractmethod
    async def execute(self, action: Action) -> Any:
        """Runs an action.

        Returns a `Result`, `success` or `failed`; or any other value, which is the data of a success. What it raises is a
        failure. It is given a copy of exactly what was proposed.
        """

    def prepare(self, action: Action) -> Action:
        """What is proposed for an action: the same, in the form that no rule is dodged by, and with secrets masked.

        `execute` is given what this returned.

        Raises:
            InvalidActionError: It is no action of this executor.
        """
        return action

    def attach(self, runtime: Runtime) -> None:  # noqa: B027
        """Is called with the runtime that runs this executor: to propose what one action leads to, a redirect for example."""

    async def verify(self, action: Action, result: Result) -> bool:
        """Whether the action had the effect that it should. False makes a success a failure, which keeps its data."""
        return result.ok

    async def setup(self) -> None:  # noqa: B027
        """Is called once before the first action that is allowed."""

    async def teardown(self) -> None:  # noqa: B027
        """Is called at the end where `setup` was called."""
