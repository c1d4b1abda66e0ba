package aegis

import (
	"encoding"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/aegis-sidecar/aegis/clients/go/aegisv1"
	"github.com/aegis-sidecar/aegis/clients/go/internal/deepcopy"
)

// An Outcome is the answer to a proposal.
type Outcome string

// The outcomes. Anything but [OutcomeAllow] means: do not run the action (yet).
const (
	// OutcomeAllow: the action may run.
	OutcomeAllow Outcome = "ALLOW"
	// OutcomeDeny: the action must not run.
	OutcomeDeny Outcome = "DENY"
	// OutcomeEscalate: a reviewer must decide first. See [Client.Wait].
	OutcomeEscalate Outcome = "ESCALATE"
	// OutcomeRequireConfirmation: the agent's own user must confirm first. See [WithConfirmationToken].
	OutcomeRequireConfirmation Outcome = "REQUIRE_CONFIRMATION"
)

// A RiskLevel is how dangerous an action is. Levels compare: RiskLow < RiskCritical.
type RiskLevel int

// The risk levels, with their scores.
const (
	// RiskLow is reading, typically. Score 0.2.
	RiskLow RiskLevel = 1
	// RiskMedium is a single write. Score 0.5.
	RiskMedium RiskLevel = 2
	// RiskHigh is a bulk operation. Score 0.8.
	RiskHigh RiskLevel = 3
	// RiskCritical is destructive or irreversible. Score 1.0.
	RiskCritical RiskLevel = 4
)

var _ encoding.TextMarshaler = RiskLevel(0)

// String is the level as a policy writes it, for example "low".
func (r RiskLevel) String() string {
	switch r {
	case 0:
		return ""
	case RiskLow:
		return "low"
	case RiskMedium:
		return "medium"
	case RiskHigh:
		return "high"
	case RiskCritical:
		return "critical"
	default:
		return fmt.Sprintf("unknown(%d)", int(r))
	}
}

// MarshalText is [RiskLevel.String].
func (r RiskLevel) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// An ApprovalMode is what a rule asks for before an action may run.
type ApprovalMode string

// The approval modes.
const (
	// ApprovalAuto: nothing, it may run at once.
	ApprovalAuto ApprovalMode = "auto"
	// ApprovalConfirm: the agent's own user confirms.
	ApprovalConfirm ApprovalMode = "confirm"
	// ApprovalApprove: a reviewer decides.
	ApprovalApprove ApprovalMode = "approve"
	// ApprovalBlock: it never runs.
	ApprovalBlock ApprovalMode = "block"
)

// A ResultStatus is what became of an action.
type ResultStatus string

// What becomes of actions.
const (
	// StatusSuccess: it ran and worked.
	StatusSuccess ResultStatus = "success"
	// StatusFailed: it ran and did not work.
	StatusFailed ResultStatus = "failed"
	// StatusBlocked: the policy forbade it.
	StatusBlocked ResultStatus = "blocked"
	// StatusDenied: a person, or the clock, said no.
	StatusDenied ResultStatus = "denied"
	// StatusSkipped: it was not tried, after an earlier failure or a withdrawal.
	StatusSkipped ResultStatus = "skipped"
	// StatusRolledBack: it ran and was undone.
	StatusRolledBack ResultStatus = "rolled_back"
	// StatusUnknown: it was allowed, and nobody said in time what came of it.
	StatusUnknown ResultStatus = "unknown"
)

// A DecisionCode is what made a decision what it is.
type DecisionCode string

// What makes decisions.
const (
	// CodePolicy: the policy, by the rule that matched.
	CodePolicy DecisionCode = "POLICY"
	// CodeReviewer: a reviewer.
	CodeReviewer DecisionCode = "REVIEWER"
	// CodeTimeout: nobody answered in time.
	CodeTimeout DecisionCode = "TIMEOUT"
	// CodePolicyChanged: the policy changed after the proposal, and now blocks the action.
	CodePolicyChanged DecisionCode = "POLICY_CHANGED"
	// CodeCancelled: the proposer withdrew the proposal.
	CodeCancelled DecisionCode = "CANCELLED"
	// CodeHalted: an admin has halted the proposer.
	CodeHalted DecisionCode = "HALTED"
	// CodeLimit: a limit of the policy, which is reached. Decision.Reason says until when.
	CodeLimit DecisionCode = "LIMIT"
	// CodeAlreadyReported: the action was allowed, and its result is reported already: see [Decision.Result].
	CodeAlreadyReported DecisionCode = "ALREADY_REPORTED"
)

// An ActionResult is what became of an action, as it is on the record: what was reported, or what the daemon says of one that did not
// run.
type ActionResult struct {
	// Status is what became of it.
	Status ResultStatus `json:"status"`
	// Data is what it returned. Numbers are float64. Nil where there is none.
	Data any `json:"data,omitempty"`
	// Error is what went wrong.
	Error string `json:"error,omitempty"`
	// StartedAt is when it started. Zero where that is not known.
	StartedAt time.Time `json:"started_at,omitzero"`
	// CompletedAt is when it was over. Zero where that is not known.
	CompletedAt time.Time `json:"completed_at,omitzero"`
	// ReportedAt is when the daemon recorded the report. Zero where nothing was reported.
	ReportedAt time.Time `json:"reported_at,omitzero"`
	// AuditRef is the record of the report. Empty where nothing was reported.
	AuditRef string `json:"audit_ref,omitempty"`
}

// A Decision is the answer to a proposal.
type Decision struct {
	// DecisionID names this decision: "dec_" and a UUIDv7.
	DecisionID string `json:"decision_id"`
	// Outcome is the answer. Anything but [OutcomeAllow] means: do not run the action (yet).
	Outcome Outcome `json:"outcome"`
	// Code is what made the outcome what it is. One that this package does not know is "unknown(N)".
	Code DecisionCode `json:"code"`
	// Replayed says that an earlier proposal with the same idempotency key got this decision already. An ALLOW is for one run:
	// run it only where that proposal was a lost attempt of yours. [Govern] and its like check that.
	Replayed bool `json:"replayed,omitempty"`
	// Reason says why, for people.
	Reason string `json:"reason"`
	// RiskLevel is how dangerous the policy says the action is.
	RiskLevel RiskLevel `json:"risk_level"`
	// RiskScore is the risk as a number from 0 to 1: 0.2, 0.5, 0.8 or 1.0.
	RiskScore float64 `json:"risk_score"`
	// ApprovalMode is what the rule asks for.
	ApprovalMode ApprovalMode `json:"approval_mode"`
	// MatchedRule is the rule that matched, or "<default>".
	MatchedRule string `json:"matched_rule"`
	// Constraints are what the policy hands to the agent, for example {"max_rows": 100}. Numbers are float64.
	Constraints map[string]any `json:"constraints,omitempty"`
	// PolicyRevision is the policy that decided: SHA-256 in hex of its canonical JSON.
	PolicyRevision string `json:"policy_revision"`
	// Timestamp is when the decision was given.
	Timestamp time.Time `json:"timestamp"`
	// AuditRef is the record that holds this decision: "aud_" and a UUIDv7.
	AuditRef string `json:"audit_ref"`
	// ApprovalID is the question put to reviewers, where one was: "apr_" and a UUIDv7.
	ApprovalID string `json:"approval_id,omitempty"`
	// ExpiresAt is when the question, or the confirmation token, ends by itself. Zero where there is none.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// ConfirmationToken is, on REQUIRE_CONFIRMATION, what the second proposal must carry: see [WithConfirmationToken].
	ConfirmationToken string `json:"confirmation_token,omitempty"`
	// ActionDigest is SHA-256 in hex of ActionDigestSalt (its bytes) and the RFC 8785 JSON of what was decided on.
	ActionDigest string `json:"action_digest"`
	// ActionDigestSalt is what ActionDigest begins with: 32 hex digits.
	ActionDigestSalt string `json:"action_digest_salt,omitempty"`
	// Result is what was reported of the action. Nil until it is.
	Result *ActionResult `json:"result,omitempty"`
}

// Allowed says whether the action may run.
func (d Decision) Allowed() bool { return d.Outcome == OutcomeAllow }

func (d Decision) clone() Decision {
	// They were read from JSON, of which there is always a copy.
	d.Constraints, _, _ = deepcopy.Of(d.Constraints)
	d.Result, _, _ = deepcopy.Of(d.Result)
	return d
}

// An Evaluation is what the policy would answer.
type Evaluation struct {
	// Outcome is what a proposal would be answered.
	Outcome Outcome `json:"outcome"`
	// Reason says why, for people.
	Reason string `json:"reason"`
	// RiskLevel is how dangerous the policy says the action is.
	RiskLevel RiskLevel `json:"risk_level"`
	// RiskScore is the risk as a number from 0 to 1.
	RiskScore float64 `json:"risk_score"`
	// ApprovalMode is what the policy asks for.
	ApprovalMode ApprovalMode `json:"approval_mode"`
	// MatchedRule is the rule that matched, or "<default>".
	MatchedRule string `json:"matched_rule"`
	// Constraints are what the policy hands to the agent.
	Constraints map[string]any `json:"constraints,omitempty"`
	// PolicyRevision is the policy that answered.
	PolicyRevision string `json:"policy_revision"`
	// Trace is every rule that was tried, in order, the matching one last. Only with [WithExplain].
	Trace []RuleTrace `json:"trace,omitempty"`
	// RulesLeftOut is how many rules were tried and left out of Trace, as their type or target did not match.
	RulesLeftOut int `json:"rules_left_out,omitempty"`
}

// A RuleTrace is how one rule fared.
type RuleTrace struct {
	// Rule is the rule's name.
	Rule string `json:"rule"`
	// Matched says whether it matched.
	Matched bool `json:"matched"`
	// Reason says why, or why not.
	Reason string `json:"reason"`
	// Conditions are its conditions, as far as they were looked at.
	Conditions []ConditionTrace `json:"conditions,omitempty"`
	// File is the layer that it is written in.
	File string `json:"file"`
	// Line is the line that it begins on, from 1.
	Line int `json:"line"`
}

// A ConditionResult is whether a condition holds.
type ConditionResult string

// What conditions come to.
const (
	// ConditionHolds: it holds.
	ConditionHolds ConditionResult = "holds"
	// ConditionFails: it does not hold.
	ConditionFails ConditionResult = "fails"
	// ConditionDoubt: the parameters do not say. Doubt never makes the answer less strict.
	ConditionDoubt ConditionResult = "doubt"
)

// A ConditionTrace is how one condition fared.
type ConditionTrace struct {
	// Condition is where it stands and what it asks for.
	Condition string `json:"condition"`
	// Result says whether it holds.
	Result ConditionResult `json:"result"`
	// Seen is the value seen, as JSON; masked where the policy says so.
	Seen string `json:"seen,omitempty"`
	// Reason says why, where the result does not say it all.
	Reason string `json:"reason,omitempty"`
}

// Names in the API and here. What is not in them is unspecified, or of a newer daemon.
var (
	outcomes = map[aegisv1.Outcome]Outcome{
		aegisv1.Outcome_OUTCOME_ALLOW:                OutcomeAllow,
		aegisv1.Outcome_OUTCOME_DENY:                 OutcomeDeny,
		aegisv1.Outcome_OUTCOME_ESCALATE:             OutcomeEscalate,
		aegisv1.Outcome_OUTCOME_REQUIRE_CONFIRMATION: OutcomeRequireConfirmation,
	}
	decisionCodes = map[aegisv1.DecisionCode]DecisionCode{
		aegisv1.DecisionCode_DECISION_CODE_POLICY:           CodePolicy,
		aegisv1.DecisionCode_DECISION_CODE_REVIEWER:         CodeReviewer,
		aegisv1.DecisionCode_DECISION_CODE_TIMEOUT:          CodeTimeout,
		aegisv1.DecisionCode_DECISION_CODE_POLICY_CHANGED:   CodePolicyChanged,
		aegisv1.DecisionCode_DECISION_CODE_CANCELLED:        CodeCancelled,
		aegisv1.DecisionCode_DECISION_CODE_HALTED:           CodeHalted,
		aegisv1.DecisionCode_DECISION_CODE_LIMIT:            CodeLimit,
		aegisv1.DecisionCode_DECISION_CODE_ALREADY_REPORTED: CodeAlreadyReported,
	}
	approvalModes = map[aegisv1.ApprovalMode]ApprovalMode{
		aegisv1.ApprovalMode_APPROVAL_MODE_AUTO:    ApprovalAuto,
		aegisv1.ApprovalMode_APPROVAL_MODE_CONFIRM: ApprovalConfirm,
		aegisv1.ApprovalMode_APPROVAL_MODE_APPROVE: ApprovalApprove,
		aegisv1.ApprovalMode_APPROVAL_MODE_BLOCK:   ApprovalBlock,
	}
	resultStatuses = map[aegisv1.ResultStatus]ResultStatus{
		aegisv1.ResultStatus_RESULT_STATUS_SUCCESS:     StatusSuccess,
		aegisv1.ResultStatus_RESULT_STATUS_FAILED:      StatusFailed,
		aegisv1.ResultStatus_RESULT_STATUS_BLOCKED:     StatusBlocked,
		aegisv1.ResultStatus_RESULT_STATUS_DENIED:      StatusDenied,
		aegisv1.ResultStatus_RESULT_STATUS_SKIPPED:     StatusSkipped,
		aegisv1.ResultStatus_RESULT_STATUS_ROLLED_BACK: StatusRolledBack,
		aegisv1.ResultStatus_RESULT_STATUS_UNKNOWN:     StatusUnknown,
	}
	endingKinds = map[aegisv1.EndingKind]EndingKind{
		aegisv1.EndingKind_ENDING_KIND_APPROVED:  EndingApproved,
		aegisv1.EndingKind_ENDING_KIND_DENIED:    EndingDenied,
		aegisv1.EndingKind_ENDING_KIND_EXPIRED:   EndingExpired,
		aegisv1.EndingKind_ENDING_KIND_CANCELLED: EndingCancelled,
	}
	approvalStates = map[aegisv1.ApprovalState]ApprovalState{
		aegisv1.ApprovalState_APPROVAL_STATE_PENDING:   StatePending,
		aegisv1.ApprovalState_APPROVAL_STATE_APPROVED:  StateApproved,
		aegisv1.ApprovalState_APPROVAL_STATE_DENIED:    StateDenied,
		aegisv1.ApprovalState_APPROVAL_STATE_EXPIRED:   StateExpired,
		aegisv1.ApprovalState_APPROVAL_STATE_CANCELLED: StateCancelled,
	}
	verdicts = map[aegisv1.Verdict]Verdict{
		aegisv1.Verdict_VERDICT_APPROVE: VerdictApprove,
		aegisv1.Verdict_VERDICT_DENY:    VerdictDeny,
	}
	conditionResults = map[aegisv1.ConditionResult]ConditionResult{
		aegisv1.ConditionResult_CONDITION_RESULT_HOLDS: ConditionHolds,
		aegisv1.ConditionResult_CONDITION_RESULT_FAILS: ConditionFails,
		aegisv1.ConditionResult_CONDITION_RESULT_DOUBT: ConditionDoubt,
	}
)

// fromProto is a value of the API by its name here: empty where it is unspecified.
func fromProto[Proto ~int32, Name ~string](names map[Proto]Name, value Proto) Name {
	if name, ok := names[value]; ok || value == 0 {
		return name
	}
	return Name(fmt.Sprintf("unknown(%d)", value))
}

// stateFromProto is the state of an approval. One that is not set is not known either: nobody takes it for pending.
func stateFromProto(state aegisv1.ApprovalState) ApprovalState {
	if state == aegisv1.ApprovalState_APPROVAL_STATE_UNSPECIFIED {
		return "unknown(0)"
	}
	return fromProto(approvalStates, state)
}

// toProto is the value of the API that has this name. Empty is unspecified.
func toProto[Proto ~int32, Name ~string](names map[Proto]Name, field string, name Name) (Proto, error) {
	if name == "" {
		return 0, nil
	}
	for value, known := range names {
		if known == name {
			return value, nil
		}
	}
	return 0, &InvalidActionError{Path: field, Problem: fmt.Sprintf("is %q, which is none of the constants of this package", name)}
}

// allToProto are the values of the API that have these names.
func allToProto[Proto ~int32, Name ~string](names map[Proto]Name, field string, wanted []Name) ([]Proto, error) {
	var values []Proto
	for i, name := range wanted {
		value, err := toProto(names, fmt.Sprintf("%s[%d]", field, i), name)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, nil
}

// decisionFromProto is the decision, or an error where its outcome is not one that this package knows.
func decisionFromProto(method string, decision *aegisv1.Decision) (*Decision, error) {
	outcome, known := outcomes[decision.GetOutcome()]
	if decision == nil || !known {
		return nil, unknownOutcome(method, fmt.Sprintf("the answer is the outcome unknown(%d)", decision.GetOutcome()))
	}
	converted := &Decision{
		DecisionID:        decision.GetDecisionId(),
		Outcome:           outcome,
		Code:              fromProto(decisionCodes, decision.GetCode()),
		Replayed:          decision.GetReplayed(),
		Reason:            decision.GetReason(),
		RiskLevel:         RiskLevel(decision.GetRiskLevel()),
		RiskScore:         decision.GetRiskScore(),
		ApprovalMode:      fromProto(approvalModes, decision.GetApprovalMode()),
		MatchedRule:       decision.GetMatchedRule(),
		Constraints:       decision.GetConstraints().AsMap(),
		PolicyRevision:    decision.GetPolicyRevision(),
		Timestamp:         timeFromProto(decision.GetTimestamp()),
		AuditRef:          decision.GetAuditRef(),
		ApprovalID:        decision.GetApprovalId(),
		ExpiresAt:         timeFromProto(decision.GetExpiresAt()),
		ConfirmationToken: decision.GetConfirmationToken(),
		ActionDigest:      decision.GetActionDigest(),
		ActionDigestSalt:  decision.GetActionDigestSalt(),
	}
	if decision.GetResult() != nil {
		result := resultFromProto(decision.GetResult())
		converted.Result = &result
	}
	return converted, nil
}

// resultFromProto is what became of an action: zero where nothing can be said.
func resultFromProto(result *aegisv1.ActionResult) ActionResult {
	return ActionResult{
		Status:      fromProto(resultStatuses, result.GetStatus()),
		Data:        result.GetData().AsInterface(),
		Error:       result.GetError(),
		StartedAt:   timeFromProto(result.GetStartedAt()),
		CompletedAt: timeFromProto(result.GetCompletedAt()),
		ReportedAt:  timeFromProto(result.GetReportedAt()),
		AuditRef:    result.GetAuditRef(),
	}
}

func evaluationFromProto(evaluation *aegisv1.Evaluation, revision string) (*Evaluation, error) {
	outcome, known := outcomes[evaluation.GetOutcome()]
	if !known {
		return nil, unknownOutcome("Evaluate", fmt.Sprintf("the answer is the outcome unknown(%d)", evaluation.GetOutcome()))
	}
	var trace []RuleTrace
	for _, rule := range evaluation.GetTrace() {
		fared := RuleTrace{
			Rule: rule.GetRule(), Matched: rule.GetMatched(), Reason: rule.GetReason(),
			File: rule.GetFile(), Line: int(rule.GetLine()),
		}
		for _, condition := range rule.GetConditions() {
			fared.Conditions = append(fared.Conditions, ConditionTrace{
				Condition: condition.GetCondition(), Result: fromProto(conditionResults, condition.GetResult()),
				Seen: condition.GetSeen(), Reason: condition.GetReason(),
			})
		}
		trace = append(trace, fared)
	}
	return &Evaluation{
		Outcome:        outcome,
		Reason:         evaluation.GetReason(),
		RiskLevel:      RiskLevel(evaluation.GetRiskLevel()),
		RiskScore:      evaluation.GetRiskScore(),
		ApprovalMode:   fromProto(approvalModes, evaluation.GetApprovalMode()),
		MatchedRule:    evaluation.GetMatchedRule(),
		Constraints:    evaluation.GetConstraints().AsMap(),
		PolicyRevision: revision,
		Trace:          trace,
		RulesLeftOut:   int(evaluation.GetRulesLeftOut()),
	}, nil
}

// timeFromProto is a moment: zero where there is none.
func timeFromProto(at *timestamppb.Timestamp) time.Time {
	if at == nil {
		return time.Time{}
	}
	return at.AsTime()
}

// timeToProto is a moment: nil where it is zero.
func timeToProto(at time.Time) *timestamppb.Timestamp {
	if at.IsZero() {
		return nil
	}
	return timestamppb.New(at)
}
