"""How dangerous an action is, and what a rule asks for before it may run."""

from __future__ import annotations

import enum


class RiskLevel(enum.IntEnum):
    """How dangerous the policy says an action is. Comparable: `decision.risk_level >= RiskLevel.HIGH`."""

    UNSPECIFIED = 0
    """Never sent by a daemon of this version: a level that this SDK does not know."""
    LOW = 1
    """Reading, typically. Score 0.2."""
    MEDIUM = 2
    """A single write. Score 0.5."""
    HIGH = 3
    """Bulk operations. Score 0.8."""
    CRITICAL = 4
    """Destructive or irreversible. Score 1.0."""


class ApprovalMode(str, enum.Enum):
    """What a rule asks for before an action may run."""

    UNSPECIFIED = "unspecified"
    """Never sent by a daemon of this version: a mode that this SDK does not know."""
    AUTO = "auto"
    """Nothing: it may run at once."""
    CONFIRM = "confirm"
    """The agent's own user confirms."""
    APPROVE = "approve"
    """A reviewer decides."""
    BLOCK = "block"
    """It never runs."""

    __str__ = str.__str__
