"""The result of an action as the record has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aegis.core.status import ResultStatus

__all__ = ["ActionResult", "Mask"]


@dataclass(frozen=True)
class Mask:
    """A part of an action that is not shown and not stored."""

    path: str
    """The parameter, for example `user.token`. A list on the way stands for each of its elements."""
    start: int | None = None
    """Where the placeholder begins in the text as shown, in characters; None where the whole value is masked."""
    end: int | None = None
    """Where it ends."""
    length: int = 0
    """How many characters it stands for; 0 where the path leads to several values."""
    digest: str = ""
    """The digest of the value, on audit rows: equal values of one store have equal digests."""
    pointer: str = ""
    """Where the value stands: a JSON pointer (RFC 6901), for example `/params/user/token`."""

    def to_dict(self) -> dict[str, Any]:
        """The mask as a map that JSON can hold."""
        return vars(self) | {"digest": self.digest or None, "pointer": self.pointer or None}


@dataclass(frozen=True)
class ActionResult:
    """What was reported of an action."""

    status: ResultStatus
    """What became of it."""
    data: Any = None
    """What it returned, as the record has it."""
    error: str = ""
    """What went wrong."""
    started_at: str | None = None
    """When it began, by the agent's clock."""
    completed_at: str | None = None
    """When it was over, by the agent's clock."""
    reported_at: str | None = None
    """When the daemon recorded the report; None where nothing was reported."""
    audit_ref: str = ""
    """The record of the report; empty where nothing was reported."""
    masked: Sequence[Mask] = ()
    """What is masked in `data` and in `error`, and where."""
