"""What goes wrong, and what to do about it. A denial is not among these unless it was asked for: it is an answer.

`AegisError` is the base: the call failed, nothing is known about the action, and it did not run. `GovernanceError` is the
governance system refusing the call. Both have the gRPC `code` and the daemon's `reason`, where there are any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aegis.core.result import Result
    from aegis.types import Decision

__all__ = [
    "ActionDenied",
    "AegisError",
    "FieldViolation",
    "GovernanceError",
    "InvalidActionError",
    "ReportError",
    "SidecarError",
]


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
        results: Of a plan that this error broke off: the results until then.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[FieldViolation] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.metadata: Mapping[str, str] = dict(metadata or {})
        self.violations: Sequence[FieldViolation] = tuple(violations)
        self.results: list[Result] = []


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


class ActionDenied(GovernanceError, PermissionError):  # noqa: N818 - a name of the three SDKs
    """The answer is no, and the caller asked for an exception in that case.

    Attributes:
        decision: The decision as it stands.
        result: What the wrapper made of it: `blocked` by the policy or `denied` by a person or by time. None from
            `propose(raise_on_deny=True)`.
    """

    def __init__(self, decision: Decision, result: Result | None = None) -> None:
        text = result.error if result is not None and result.error else f"{decision.outcome}: {decision.reason}"
        super().__init__(text, reason=decision.outcome)
        self.decision = decision
        self.result = result


class ReportError(AegisError):
    """The action ran, and the report of it failed: the record will say `unknown`.

    Attributes:
        result: What came of the action.
    """

    def __init__(self, result: Result, cause: AegisError) -> None:
        super().__init__(
            f"{result.action.type} ran ({result.status.value}), and its result could not be reported: {cause}",
            code=cause.code,
            reason=cause.reason,
            metadata=cause.metadata,
            violations=cause.violations,
        )
        self.result = result

    @property
    def data(self) -> Any:
        """What the action returned."""
        return self.result.data


class SidecarError(AegisError):
    """A daemon could not be found, started or used on this machine."""
