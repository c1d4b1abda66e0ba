"""The answer to a proposal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from aegis.core.action import Action
from aegis.core.recorded import ActionResult
from aegis.core.risk import ApprovalMode, RiskLevel

__all__ = ["Decision", "Outcome"]

Outcome: TypeAlias = Literal["ALLOW", "DENY", "ESCALATE", "REQUIRE_CONFIRMATION"]
"""The answer to a proposal. Only `ALLOW` means that the action may run.

A newer daemon may have others: they read `unknown(9)`. A client raises where a proposal is answered so.
"""


@dataclass(frozen=True)
class Decision:
    """The answer to a proposal."""

    decision_id: str
    """Names it: `dec_` and a UUIDv7."""
    outcome: Outcome
    """The answer. Anything but `ALLOW` means: do not run the action (yet)."""
    reason: str
    """Why, for people."""
    risk_score: float
    """The risk as a number from 0 to 1: 0.2, 0.5, 0.8 or 1.0."""
    constraints: dict[str, Any]
    """What the policy hands to the agent, for example `{"max_rows": 100}`."""
    timestamp: str
    """When it was given."""
    audit_ref: str
    """The record that holds it: `aud_` and a UUIDv7."""
    risk_level: RiskLevel = RiskLevel.UNSPECIFIED
    """How dangerous the policy says the action is."""
    matched_rule: str = ""
    """The rule that matched, or `<default>`."""
    approval_mode: ApprovalMode = ApprovalMode.UNSPECIFIED
    """What the rule asks for."""
    approval_id: str | None = None
    """The question put to reviewers, where one was."""
    expires_at: str | None = None
    """When the question, or the confirmation token, ends by itself."""
    policy_revision: str = ""
    """The policy that decided."""
    action_digest: str = ""
    """What was decided on: SHA-256 in hex of `action_digest_salt` and the canonical JSON of the action."""
    action_digest_salt: str = field(default="", repr=False)
    """What the digest begins with: 32 hex digits. It is not on the record."""
    code: str = ""
    """What made the outcome what it is, for example `POLICY` or `ALREADY_REPORTED`; `unknown(99)` where this SDK does
    not know the name."""
    replayed: bool = False
    """Whether an earlier proposal with the same idempotency key got this decision: run the action only if you sent that
    one, too, and did not run it."""
    result: ActionResult | None = None
    """What was reported of the action. None until then."""
    confirmation_token: str | None = field(default=None, repr=False)
    """On `REQUIRE_CONFIRMATION`: the second proposal carries it, once the agent's user has confirmed. Single use."""
    action: Action | None = field(default=None, compare=False)
    """What was proposed. None on what `wait` and `cancel` answer for a decision that is known by its id alone."""

    @property
    def approval(self) -> ApprovalMode:
        """`approval_mode`, by the name that it has in agent-aegis."""
        return self.approval_mode

    @property
    def allowed(self) -> bool:
        """Whether the action may run."""
        return self.outcome == "ALLOW"
