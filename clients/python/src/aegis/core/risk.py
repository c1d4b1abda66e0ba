"""How dangerous an action is, and what a rule asks for before it may run."""

from __future__ import annotations

import enum

__all__ = ["ApprovalMode", "RiskLevel"]


class RiskLevel(enum.IntEnum):
    """How dangerous the policy says an action is. Comparable: `decision.risk_level >= RiskLevel.HIGH`."""

    UNSPECIFIED = 0
    """None was sent."""
    LOW = 1
    """Reading, typically. Score 0.2."""
    MEDIUM = 2
    """A single write. Score 0.5."""
    HIGH = 3
    """Bulk operations. Score 0.8."""
    CRITICAL = 4
    """Destructive or irreversible. Score 1.0."""

    @classmethod
    def unknown(cls, number: int) -> RiskLevel:
        """A level of a newer daemon, which this SDK does not know. Its name is `unknown(9)`, and it is the highest."""
        member = int.__new__(cls, number)
        member._name_, member._value_ = f"unknown({number})", number
        return member


class ApprovalMode(str, enum.Enum):
    """What a rule asks for before an action may run."""

    UNSPECIFIED = "unspecified"
    """None was sent."""
    AUTO = "auto"
    """Nothing: it may run at once."""
    CONFIRM = "confirm"
    """The agent's own user confirms."""
    APPROVE = "approve"
    """A reviewer decides."""
    BLOCK = "block"
    """It never runs."""

    __str__ = str.__str__

    @classmethod
    def unknown(cls, number: int) -> ApprovalMode:
        """A mode of a newer daemon, which this SDK does not know: its text is `unknown(9)`."""
        text = f"unknown({number})"
        member = str.__new__(cls, text)
        member._name_ = member._value_ = text
        return member
