"""The errors that need no other word of the SDK: the base, a refusal, an action that cannot be sent, no daemon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["AegisError", "FieldViolation", "GovernanceError", "InvalidActionError", "SidecarError"]


@dataclass(frozen=True)
class FieldViolation:
    """One field of a request that is wrong."""

    field: str
    """The field, as a path: `action.params.count`."""
    description: str
    """What is wrong with it, and what would be right."""


class AegisError(Exception):
    """The call failed: network, deadline, credential. Nothing is known about the action; it does not run.

    Attributes:
        code: The gRPC code by its name, for example `UNAVAILABLE`; None where no call was made.
        reason: The daemon's own word for it, for example `CREDENTIAL_INVALID`; empty where it gave none.
        metadata: What the daemon says besides, for example who decided an approval first.
        violations: The fields that are wrong, on `INVALID_ARGUMENT`.
        retry_after: Seconds after which the same call may succeed; None where the daemon names none.
        results: The results (`aegis.Result`) of a plan before this error ended it.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[FieldViolation] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.metadata: Mapping[str, str] = dict(metadata or {})
        self.violations: Sequence[FieldViolation] = tuple(violations)
        self.retry_after = retry_after
        self.results: list[Any] = []


class GovernanceError(AegisError):
    """The governance system refused the call: a wrong request, an approval that is decided, an unknown outcome."""


class InvalidActionError(GovernanceError, ValueError):
    """The action cannot be sent whole, so it was not sent.

    Attributes:
        path: The place in the action, for example `params.user.age`.
    """

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}", reason="INVALID_ACTION")
        self.path = path


class SidecarError(AegisError):
    """A daemon could not be found, started or used on this machine."""
