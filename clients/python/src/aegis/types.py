"""What the daemon answers, as frozen values.

Times are RFC 3339 text in UTC. Whole numbers of a JSON value are `int`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias

from aegis.core.action import Action
from aegis.core.decision import Decision, Outcome
from aegis.core.recorded import ActionResult, Mask
from aegis.core.risk import ApprovalMode, RiskLevel
from aegis.core.status import ResultStatus

__all__ = [
    "ActionResult",
    "Actor",
    "Approval",
    "ApprovalEvent",
    "ApprovalState",
    "AuditRecord",
    "AuditRow",
    "ConditionResult",
    "ConditionTrace",
    "Decision",
    "DecisionLife",
    "Ending",
    "EndingKind",
    "Evaluation",
    "HealthStatus",
    "Identity",
    "Mask",
    "Outcome",
    "PolicyFinding",
    "PolicyInfo",
    "PolicyLayer",
    "RecordReference",
    "RuleTrace",
    "SessionAction",
    "Severity",
    "Stats",
    "Validation",
    "Verdict",
    "Vote",
]

EndingKind: TypeAlias = Literal["approved", "denied", "expired", "cancelled"]
"""How an approval ended. Here and below, a value of a newer daemon reads `unknown(9)`."""

ApprovalState: TypeAlias = Literal["pending", "approved", "denied", "expired", "cancelled"]
"""How an approval stands."""

Verdict: TypeAlias = Literal["approve", "deny"]
"""What a reviewer decided."""

ConditionResult: TypeAlias = Literal["holds", "fails", "doubt"]
"""Whether a condition holds. In doubt is what the parameters do not say."""

Severity: TypeAlias = Literal["error", "warning"]
"""How bad a finding is."""

HealthStatus: TypeAlias = Literal["SERVING", "NOT_SERVING", "SERVICE_UNKNOWN", "UNKNOWN"]
"""What a daemon says of itself."""


@dataclass(frozen=True)
class Evaluation:
    """What the policy would answer for one action."""

    outcome: Outcome
    """What a proposal would be answered."""
    reason: str
    """Why, for people."""
    risk_level: RiskLevel
    """How dangerous the policy says the action is."""
    risk_score: float
    """The risk as a number from 0 to 1."""
    approval_mode: ApprovalMode
    """What the policy asks for."""
    matched_rule: str
    """The rule that matched, or `<default>`."""
    constraints: dict[str, Any]
    """What the policy would hand to the agent."""
    policy_revision: str
    """The policy that answered."""
    action: Action | None = field(default=None, compare=False)
    """The action."""
    trace: Sequence[RuleTrace] = ()
    """Every rule that was tried, the matching one last. Only with `explain`."""
    rules_left_out: int = 0
    """How many rules were tried and left out of `trace` because their type or target did not match."""

    @property
    def approval(self) -> ApprovalMode:
        """`approval_mode`, by the name that it has in agent-aegis."""
        return self.approval_mode

    @property
    def is_allowed(self) -> bool:
        """Whether the policy leaves the action a way to run: it does not block it. It may still ask somebody."""
        return self.outcome in {"ALLOW", "ESCALATE", "REQUIRE_CONFIRMATION"}


@dataclass(frozen=True)
class RuleTrace:
    """Whether one rule matched, and why."""

    rule: str
    matched: bool
    reason: str
    conditions: Sequence[ConditionTrace] = ()
    file: str = ""
    line: int = 0


@dataclass(frozen=True)
class ConditionTrace:
    """Whether one condition held, and why."""

    condition: str
    """Where it stands and what it asks for."""
    result: ConditionResult
    """Whether it held."""
    seen: str
    """The value seen, as JSON."""
    reason: str


@dataclass(frozen=True)
class Actor:
    """Who proposes, as declared."""

    id: str = ""
    type: str = ""


@dataclass(frozen=True)
class Identity:
    """Who called, as the daemon authenticated it."""

    subject: str = ""
    """The subject, or `anonymous`."""
    how: str = ""
    """How it was established, for example `token`."""
    actor_id: str = ""
    """The one actor that the credential may act for; empty for any."""
    groups: Sequence[str] = ()
    """The groups that the credential named."""


@dataclass(frozen=True)
class Ending:
    """The end of an approval. There is exactly one."""

    kind: EndingKind
    allows: bool
    """Whether the action may run now."""
    by: Identity | None
    """Who ended it, as authenticated; None where time or the policy did."""
    ended_at: str
    reason: str
    code: str
    """Where the daemon itself decided: `POLICY_CHANGED` or `TIMEOUT`; else empty."""


@dataclass(frozen=True)
class SessionAction:
    """Something that a session did before."""

    decided_at: str
    type: str
    target: str
    outcome: Outcome
    result_status: ResultStatus | None
    """What became of it; None while that is not known."""


@dataclass(frozen=True)
class Vote:
    """The vote of a reviewer."""

    vote_id: str
    """The record of the vote: `aud_` and a UUIDv7."""
    verdict: Verdict
    by: Identity
    """The reviewer, as authenticated."""
    voted_at: str
    reason: str
    action_digest: str
    """What the reviewer saw."""


@dataclass(frozen=True)
class Approval:
    """A question put to reviewers: everything that a person needs to answer it.

    Action, actor and context hold text that an agent controls: show control and bidirectional characters visibly
    (`aegis.runtime.approval.visible`).

    It also has the modes of a rule by the names that agent-aegis has: `decision.approval == Approval.BLOCK`.
    """

    AUTO: ClassVar[ApprovalMode] = ApprovalMode.AUTO
    CONFIRM: ClassVar[ApprovalMode] = ApprovalMode.CONFIRM
    APPROVE: ClassVar[ApprovalMode] = ApprovalMode.APPROVE
    BLOCK: ClassVar[ApprovalMode] = ApprovalMode.BLOCK

    approval_id: str
    decision_id: str
    actor: Actor
    """Who proposed, as declared."""
    identity: Identity
    """Who proposed, as authenticated."""
    action: Action
    """What is proposed. Masked parameters read `[masked, N characters]`."""
    masked: Sequence[Mask]
    """What is masked in the action, and where."""
    session_id: str
    metadata: dict[str, Any]
    action_digest: str
    """What `approve` and `deny` carry: the digest of exactly this action."""
    matched_rule: str
    reason: str
    """Why the rule asks."""
    risk_level: RiskLevel
    policy_revision: str
    requested_at: str
    expires_at: str
    timeout_allows: bool
    """Whether the action may run when nobody answers."""
    state: ApprovalState
    """How it stands."""
    ending: Ending | None = None
    """How it ended; None while it is pending."""
    votes: Sequence[Vote] = ()
    """The votes of reviewers, oldest first."""
    version: int = 0
    """1 when it was made, and one more after each change: of two, the higher one is newer."""
    caller_waiting: bool | None = None
    """Whether the proposer still waits for the answer; None where that is not known."""
    history: Sequence[SessionAction] = ()
    """What this session did before, newest first. Only from `get_approval`."""

    @property
    def is_pending(self) -> bool:
        """Whether a reviewer can answer it."""
        return self.state == "pending"


@dataclass(frozen=True)
class ApprovalEvent:
    """One event of a stream of approvals."""

    kind: Literal["pending", "ended", "snapshot_complete"]
    """`pending`: wants an answer. `ended`: forget it. `snapshot_complete`: all that was pending has been said."""
    approval: Approval | None = None
    """The approval; None with `snapshot_complete`."""


@dataclass(frozen=True)
class AuditRow:
    """One decision of the record, its approval and result folded in."""

    number: int
    """Its place among the decisions, from 1."""
    session_id: str
    timestamp: str
    action: Action
    """What was proposed, masked as the policy says."""
    masked: Sequence[Mask]
    """What is masked in the action, and where."""
    risk_level: RiskLevel
    approval_mode: ApprovalMode
    matched_rule: str
    outcome: Outcome
    """The outcome as it stands."""
    reason: str
    ending: Ending | None
    """How the approval ended; None where none was needed or it is pending."""
    result: ActionResult | None
    """What became of the action; None while nothing can be said."""
    decision_id: str
    approval_id: str
    actor: Actor
    identity: Identity
    policy_revision: str
    action_digest: str
    audit_ref: str
    metadata: dict[str, Any]
    trace_id: str
    redacted: bool = False
    """Whether the decision was taken off the record, by an admin or by its age: what it said reads `[redacted]`."""
    cursor: str = field(default="", compare=False)
    """Where the stream stood: what `resume_after` goes on after. Empty where it came newest first."""

    @property
    def decision(self) -> str:
        """What was decided, in one word: how the approval ended, or what the policy asked for."""
        return self.ending.kind if self.ending is not None else self.approval_mode.value

    @property
    def result_status(self) -> ResultStatus | None:
        """The status of `result`, by its column's name."""
        return None if self.result is None else self.result.status

    @property
    def result_data(self) -> Any:
        """The data of `result`, by its column's name."""
        return None if self.result is None else self.result.data

    @property
    def result_error(self) -> str:
        """The error of `result`, by its column's name."""
        return "" if self.result is None else self.result.error

    def to_dict(self) -> dict[str, Any]:
        """The row as a map that JSON can hold, with the names that `aegis audit --format json` has."""
        ending, result = self.ending, self.result
        return {
            "id": self.number,
            "session_id": self.session_id,
            "timestamp": self.timestamp,
            "action_type": self.action.type,
            "action_target": self.action.target,
            "action_params": dict(self.action.params),
            "action_desc": self.action.description,
            "risk_level": self.risk_level.name,
            "approval": self.approval_mode.value,
            "matched_rule": self.matched_rule,
            "human_decision": None if ending is None else ending.kind,
            "result_status": None if self.result_status is None else self.result_status.value,
            "result_data": self.result_data,
            "result_error": self.result_error or None,
            "outcome": self.outcome,
            "reason": self.reason,
            "decision_id": self.decision_id,
            "approval_id": self.approval_id or None,
            "decided_by": None if ending is None or ending.by is None else ending.by.subject or None,
            "decided_at": None if ending is None else ending.ended_at,
            "decision_reason": None if ending is None else ending.reason or None,
            "actor_id": self.actor.id,
            "actor_type": self.actor.type,
            "identity": self.identity.subject,
            "identity_how": self.identity.how,
            "policy_revision": self.policy_revision,
            "action_digest": self.action_digest,
            "audit_ref": self.audit_ref,
            "masked": [mask.to_dict() for mask in self.masked],
            "metadata": self.metadata,
            "trace_id": self.trace_id or None,
            "redacted": self.redacted,
            "result_started_at": None if result is None else result.started_at,
            "result_completed_at": None if result is None else result.completed_at,
            "result_reported_at": None if result is None else result.reported_at,
            "result_audit_ref": None if result is None else result.audit_ref or None,
            "result_masked": [] if result is None else [mask.to_dict() for mask in result.masked],
            "cursor": self.cursor or None,
        }


@dataclass(frozen=True)
class AuditRecord:
    """A record as it stands in the log."""

    sequence: int
    """Its place in the log, from 1."""
    payload: str
    """Its canonical JSON (RFC 8785): the bytes that are hashed. Empty where it was taken away."""
    salt: bytes
    leaf_hash: bytes
    leaf_data: bytes = b""
    """Of a record that was taken away: what payload and salt were hashed to, and the leaf hash is made from."""
    cursor: str = field(default="", compare=False)
    """Where the stream stood: what `resume_after` goes on after."""


@dataclass(frozen=True)
class RecordReference:
    """A record, by its name and its place."""

    sequence: int
    """Its place in the log, from 1."""
    audit_ref: str
    """Its id; empty where it was taken away."""
    kind: str
    """What it is, for example `decision` or `result`; empty where it was taken away."""
    recorded_at: str | None


@dataclass(frozen=True)
class DecisionLife:
    """The whole life of a decision."""

    row: AuditRow
    """The decision, as it is now."""
    approval: Approval | None
    """Its approval, with the votes; None where none was needed."""
    records: Sequence[RecordReference]
    """Its records, in the order of the log."""


@dataclass(frozen=True)
class Stats:
    """Totals of the whole record."""

    decisions: int
    records: int
    pending_approvals: int
    by_risk_level: Mapping[str, int]
    by_outcome: Mapping[str, int]
    by_result_status: Mapping[str, int]
    top_action_types: Mapping[str, int]
    top_rules: Mapping[str, int]


@dataclass(frozen=True)
class PolicyLayer:
    """One file of a policy."""

    name: str
    """What messages call it."""
    yaml: str
    """Its text."""


@dataclass(frozen=True)
class PolicyFinding:
    """Something wrong, or odd, in a policy."""

    file: str
    line: int
    column: int
    path: str
    message: str
    code: str = ""
    """Its kind, for programs: for example `UNKNOWN_KEY`."""
    severity: Severity = "error"

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


@dataclass(frozen=True)
class PolicyInfo:
    """A policy as the daemon holds it."""

    revision: str
    """SHA-256 in hex of the canonical JSON of the merged policy."""
    layers: Sequence[PolicyLayer]
    """Its files, lowest first: a later one wins."""
    merged_json: str
    rule_count: int
    loaded_at: str | None
    warnings: Sequence[PolicyFinding] = ()
    comment: str = ""
    """Why it was put in force; empty where nobody said."""


@dataclass(frozen=True)
class Validation:
    """Whether a policy is valid."""

    valid: bool
    errors: Sequence[PolicyFinding]
    warnings: Sequence[PolicyFinding]
    revision: str
    """The revision that it would have; empty where it is not valid."""
