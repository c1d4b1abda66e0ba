"""What an agent wants to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aegis.core.errors import InvalidActionError

__all__ = ["Action", "ActionLike", "Secret"]


class Secret:
    """A param that the executor needs and nobody else: proposed and recorded as `[masked, N characters]`.

    Neither the policy nor a reviewer sees its value. What the policy should look at, mask with its `redact` instead.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            raise TypeError(f"a secret is a string, not {type(value).__name__}")
        self._value = value

    def reveal(self) -> str:
        """The value."""
        return self._value

    @property
    def masked(self) -> str:
        """What stands for it wherever it is shown."""
        return f"[masked, {len(self._value)} characters]"

    def __repr__(self) -> str:
        return self.masked

    __str__ = __repr__

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce__(self) -> Any:
        raise TypeError("a secret is not pickled")


@dataclass(frozen=True)
class Action:
    """What an agent wants to do.

    What JSON does not hold exactly cannot be proposed: an integer beyond 2^53 - 1, NaN, an object of a class that says
    nothing of itself. It is refused with its path when the action is proposed, not when it is made.
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

        `{"type", "target", "params", "description"}`; `capability` is another word for `type`, `parameters` for
        `params`.
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
        """The action as a map, its secrets masked."""
        return {
            "type": self.type,
            "target": self.target,
            "params": _masked(self.params),
            "description": self.description,
        }

    def __str__(self) -> str:
        why = f" - {self.description}" if self.description else ""
        return f"Action({self.type} -> {self.target}{why})"


def _masked(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.masked
    if isinstance(value, Mapping):
        return {key: _masked(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_masked(item) for item in value]
    return value


ActionLike: TypeAlias = Action | Mapping[str, Any]
"""An action, or a map that describes one (`Action.of`)."""
