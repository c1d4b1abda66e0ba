"""What a runtime would do, before it does it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, overload

from aegis.core.action import Action
from aegis.core.risk import ApprovalMode, RiskLevel
from aegis.types import Evaluation

__all__ = ["ExecutionPlan"]


class ExecutionPlan:
    """Actions in order, each with what the policy answers for it now.

    A forecast, not a permission: `Runtime.execute` proposes each action when its turn comes, and the policy in force
    then decides.
    """

    def __init__(self, evaluations: Iterable[Evaluation] = ()) -> None:
        self._evaluations = tuple(evaluations)

    @property
    def actions(self) -> list[Action]:
        """The actions, in order."""
        return [evaluation.action for evaluation in self._evaluations if evaluation.action is not None]

    @property
    def has_blocked(self) -> bool:
        """Whether the policy blocks one of them."""
        return any(not evaluation.is_allowed for evaluation in self._evaluations)

    @property
    def requires_approval(self) -> bool:
        """Whether a person will be asked about one of them."""
        asks = {ApprovalMode.APPROVE, ApprovalMode.CONFIRM}
        return any(evaluation.approval_mode in asks for evaluation in self._evaluations)

    @property
    def auto_only(self) -> bool:
        """Whether all of them run without anybody being asked. True for an empty plan."""
        return all(evaluation.approval_mode is ApprovalMode.AUTO for evaluation in self._evaluations)

    def filter(
        self,
        *,
        approval: ApprovalMode | str | None = None,
        risk_level: RiskLevel | str | None = None,
        allowed_only: bool = False,
    ) -> ExecutionPlan:
        """The plan of those actions for which all of this holds."""
        mode = None if approval is None else ApprovalMode(approval)
        level = RiskLevel[risk_level.upper()] if isinstance(risk_level, str) else risk_level
        return ExecutionPlan(
            evaluation
            for evaluation in self._evaluations
            if (mode is None or evaluation.approval_mode is mode)
            and (level is None or evaluation.risk_level is level)
            and (evaluation.is_allowed or not allowed_only)
        )

    def summary(self) -> str:
        """The plan for people, one line an action."""
        return "\n".join(
            f"  {number}. [{evaluation.approval_mode.value.upper():>7}] {evaluation.action}  "
            f"(risk={evaluation.risk_level.name}, rule={evaluation.matched_rule})"
            for number, evaluation in enumerate(self._evaluations, start=1)
        )

    def to_dict(self) -> list[dict[str, Any]]:
        """The plan as maps, one an action."""
        return [
            {
                "action": action.to_dict(),
                "outcome": evaluation.outcome,
                "risk_level": evaluation.risk_level.name.lower(),
                "approval": evaluation.approval_mode.value,
                "matched_rule": evaluation.matched_rule,
                "is_allowed": evaluation.is_allowed,
                "reason": evaluation.reason,
            }
            for action, evaluation in zip(self.actions, self._evaluations, strict=True)
        ]

    def __len__(self) -> int:
        return len(self._evaluations)

    def __iter__(self) -> Iterator[Evaluation]:
        return iter(self._evaluations)

    @overload
    def __getitem__(self, index: int) -> Evaluation: ...
    @overload
    def __getitem__(self, index: slice) -> ExecutionPlan: ...
    def __getitem__(self, index: int | slice) -> Evaluation | ExecutionPlan:
        if isinstance(index, slice):
            return ExecutionPlan(self._evaluations[index])
        return self._evaluations[index]

    def __repr__(self) -> str:
        return f"<ExecutionPlan of {len(self)} actions>"
