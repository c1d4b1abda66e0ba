"""The action as it was proposed: the copy that runs, and the message that describes it."""

from __future__ import annotations

from dataclasses import dataclass

from aegis import _requests
from aegis._govern.hooks import copy_of
from aegis._proto import types_pb2
from aegis.core.action import Action, ActionLike
from aegis.core.errors import GovernanceError, InvalidActionError


@dataclass(frozen=True)
class Kept:
    """Nobody outside of this package gets the action itself: they get copies."""

    action: Action
    message: types_pb2.Action

    def copy(self) -> Action:
        """A copy that runs, or that is shown. It is described once more, for objects that do not copy as they should.

        Raises:
            GovernanceError: It is not what was proposed.
        """
        fresh = copy_of(self.action)
        self.check(fresh)
        return fresh

    def check(self, action: ActionLike) -> None:
        """Raises where an action is not the one that was proposed."""
        try:
            _, message = _requests.action(action)
        except InvalidActionError as error:
            raise _changed(error.path) from error
        if message != self.message:
            raise _changed(self._where(message))

    def _where(self, other: types_pb2.Action) -> str:
        for part in ("type", "target", "description"):
            if getattr(other, part) != getattr(self.message, part):
                return part
        there, here = other.params.fields, self.message.params.fields
        for name in sorted(set(there) | set(here)):
            if name not in there or name not in here or there[name] != here[name]:
                return f"params.{name}"
        return "params"


def _changed(where: str) -> GovernanceError:
    return GovernanceError(
        f"{where} is not any more what was proposed, so it does not run: propose it again", reason="ACTION_CHANGED"
    )
