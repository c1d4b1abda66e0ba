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
    "AlreadyClaimed",
    "AlreadyReported",
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


class AlreadyReported(ActionDenied):
    """The action ran before, by this idempotency key, and did not work: it does not run again.

    Attributes:
        result: What the record says of that run.
    """

    def __init__(self, decision: Decision, result: Result) -> None:
        super().__init__(decision, result)
        why = f": {result.error}" if result.error else ""
        self.args = (f"{result.action.type} was reported already as {result.status.value}{why}",)
        self.reason = "ALREADY_REPORTED"


class AlreadyClaimed(GovernanceError):  # noqa: N818 - a name of the three SDKs
    """Another call got the answer by the same idempotency key, and may be running the action: this one does not.

    The other call may also have ended before it reported; the record then says `unknown`. Where the action did not
    run, propose it under another key.

    Attributes:
        decision: The decision that the other call got.
    """

    def __init__(self, decision: Decision) -> None:
        super().__init__(
            f"another call with the same idempotency key got {decision.decision_id} ({decision.outcome}) and may run "
            "the action, so this one does not. `aegis audit --decision ID` shows its result. To run it again, use "
            "another key",
            reason="ALREADY_CLAIMED",
        )
        self.decision = decision


def denial(decision: Decision, result: Result) -> ActionDenied:
    """The error for an action that did not run."""
    kind = AlreadyReported if decision.code == "ALREADY_REPORTED" else ActionDenied
    return kind(decision, result)


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
