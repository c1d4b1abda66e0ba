"""What can go wrong. A denial is an answer and not an error, unless the caller asked for an exception.

`AegisError` is the base: the call failed, nothing is known about the action, and it did not run. `GovernanceError` says
that the governance system refused the call. Both have the gRPC `code` and the daemon's `reason`, where there are any.
"""

from __future__ import annotations

from typing import Any

from aegis.core.decision import Decision
from aegis.core.errors import AegisError, FieldViolation, GovernanceError, InvalidActionError, SidecarError
from aegis.core.result import Result

__all__ = [
    "ActionDenied",
    "AegisError",
    "FieldViolation",
    "GovernanceError",
    "InvalidActionError",
    "ReportError",
    "SidecarError",
]


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
