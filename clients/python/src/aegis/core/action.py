"""What an agent wants to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aegis.errors import InvalidActionError

__all__ = ["Action", "ActionLike"]


@dataclass(frozen=True)
class Action:
    """What an agent wants to do.

    What JSON does not hold exactly cannot be proposed: an integer beyond 2^53, NaN, a date. It is refused with its path when
    the action is proposed, not when it is made.
    """

    type: str
    """The kind of action, for example `bulk_update`. Rules match it with globs."""
    target: str = ""
    """What it acts on, for example `crm`. Rules match it with globs."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Its arguments."""
    description: str = ""
    """The agent's own words for a reviewer. No rule looks at it."""

    @classmethod
    def of(cls, action: ActionLike) -> Action:
        """The action that a map describes, in the words of the API or in those of the platform's SDK.

        `{"type", "target", "params", "description"}`; `capability` is another word for `type`, `parameters` for `params`.
        """
        if isinstance(action, Action):
            return action
        if not isinstance(action, Mapping):
            raise InvalidActionError("action", f"must be an Action or a map, not {type(action).__name__}")
        given = dict(action)
        words = {word: given.pop(word) for word in ("target", "description") if given.get(word) is not None}
        for word, alias, default in (("type", "capability", ""), ("params", "parameters", {})):
            if word in given and alias in given:
                raise InvalidActionError(alias, f"is another word for `{word}`: give one of them")
            value = given.pop(word, given.pop(alias, None))
            words[word] = default if value is None else value
        if given:
            unknown = ", ".join(f"`{key}`" for key in sorted(map(str, given)))
            raise InvalidActionError(unknown, "no such part of an action: there are type, target, params, description")
        return cls(**words)

    def to_dict(self) -> dict[str, Any]:
        """The action as a map."""
        return {
            "type": self.type,
            "target": self.target,
            "params": dict(self.params),
            "description": self.description,
        }

    def __str__(self) -> str:
        why = f" - {self.description}" if self.description else ""
        return f"Action({self.type} -> {self.target}{why})"


ActionLike: TypeAlias = Action | Mapping[str, Any]
"""An action, or a map that describes one (`Action.of`)."""
