"""What can become of an action."""

from __future__ import annotations

import enum

__all__ = ["ResultStatus"]


class ResultStatus(str, enum.Enum):
    """What became of an action."""

    SUCCESS = "success"
    """It ran and worked."""
    FAILED = "failed"
    """It ran and did not work, or its verification failed."""
    BLOCKED = "blocked"
    """The policy forbade it."""
    DENIED = "denied"
    """A person, or the clock, said no."""
    SKIPPED = "skipped"
    """It was not tried, after an earlier failure or a withdrawal."""
    ROLLED_BACK = "rolled_back"
    """It failed and was undone."""
    UNKNOWN = "unknown"
    """It was allowed, and nobody said in time what came of it. Only on the record."""

    __str__ = str.__str__

    @classmethod
    def unknown(cls, number: int) -> ResultStatus:
        """A status of a newer daemon, which this SDK does not know: its text is `unknown(9)`. It is no success."""
        text = f"unknown({number})"
        member = str.__new__(cls, text)
        member._name_ = member._value_ = text
        return member
