package aegis

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"time"

	"google.golang.org/grpc"

	"github.com/aegis-sidecar/aegis/clients/go/aegisv1"
)

// An AuditRow is one decision with its approval and its result folded in.
type AuditRow struct {
	// Sequence is where the stream stands: [AuditQuery.ResumeAfter] goes on behind it. 0 on what comes newest first.
	Sequence uint64 `json:"-"`
	// ID is its place among the decisions, from 1.
	ID uint64 `json:"id"`
	// SessionID is the session, or empty.
	SessionID string `json:"session_id,omitempty"`
	// Timestamp is when the decision was given.
	Timestamp time.Time `json:"timestamp"`
	// Action is what was proposed, masked as the policy says.
	Action Action `json:"action"`
	// Masked are the parameters that are masked.
	Masked []string `json:"masked,omitempty"`
	// RiskLevel is how dangerous the policy said it was.
	RiskLevel RiskLevel `json:"risk_level"`
	// Approval is what the policy asked for.
	Approval ApprovalMode `json:"approval"`
	// MatchedRule is the rule that matched, or "<default>".
	MatchedRule string `json:"matched_rule"`
	// Outcome is the outcome as it stands.
	Outcome Outcome `json:"outcome"`
	// Reason says why it was decided so.
	Reason string `json:"reason"`
	// Ending is how the approval ended. Nil where none was needed or it is pending.
	Ending *Ending `json:"ending,omitempty"`
	// ResultStatus is what became of the action. Empty while nothing can be said.
	ResultStatus ResultStatus `json:"result_status,omitempty"`
	// ResultData is what the action returned: what encoding/json makes of it, so that numbers are float64. Nil for nothing.
	ResultData any `json:"result_data,omitempty"`
	// ResultError is what went wrong.
	ResultError string `json:"result_error,omitempty"`
	// DecisionID is the decision.
	DecisionID string `json:"decision_id"`
	// ApprovalID is the approval, where there was one.
	ApprovalID string `json:"approval_id,omitempty"`
	// Actor is who proposed, as declared.
	Actor Actor `json:"actor"`
	// Identity is who proposed, as authenticated.
	Identity Identity `json:"identity"`
	// PolicyRevision is the policy that decided.
	PolicyRevision string `json:"policy_revision"`
	// ActionDigest is the digest of what was proposed, unmasked.
	ActionDigest string `json:"action_digest"`
	// AuditRef is the record that holds the decision.
	AuditRef string `json:"audit_ref"`
	// Metadata are the labels that came with the proposal.
	Metadata map[string]any `json:"metadata,omitempty"`
	// TraceID is the W3C trace id of the call, or empty.
	TraceID string `json:"trace_id,omitempty"`
	// MaskedDigests are digests of the masked parameters, by their name: equal values of one store have equal digests.
	MaskedDigests map[string]string `json:"masked_digests,omitempty"`
	// Redacted says that the decision was taken off the record, by an admin or by its age: what it said reads "[redacted]".
	Redacted bool `json:"redacted,omitempty"`
}

// An AuditQuery says which rows of the record are asked for: those for which every part that is set holds. Texts match
// exactly.
type AuditQuery struct {
	// SessionID is the session.
	SessionID string
	// ActionType is the action's type.
	ActionType string
	// ActionTarget is the action's target.
	ActionTarget string
	// RiskLevel is the risk level.
	RiskLevel RiskLevel
	// Approval is what the policy asked for.
	Approval ApprovalMode
	// Outcome is the outcome as it stands.
	Outcome Outcome
	// ResultStatus is what became of the action.
	ResultStatus ResultStatus
	// ActorID is the declared actor.
	ActorID string
	// DecisionID is the decision.
	DecisionID string
	// MatchedRule is the rule that matched.
	MatchedRule string
	// Since is the earliest moment.
	Since time.Time
	// Until is the latest moment.
	Until time.Time

	// Limit is how many rows at most of what is recorded already: the newest. 0: all.
	Limit uint64
	// NewestFirst turns the order of what is recorded already round. Such a stream cannot be resumed: it ends with an error
	// when it breaks. Not together with ResumeAfter.
	NewestFirst bool
	// Follow goes on with what is recorded from then on, until the context ends. A row comes again each time that it changes.
	Follow bool
	// ResumeAfter goes on behind this [AuditRow.Sequence]; Limit does not apply then. 0: from the beginning.
	ResumeAfter uint64
}

// StreamAudit gives rows of the record, oldest first. It resumes by itself where the connection is lost. An error is the
// last that comes. Needs an auditor.
func (c *Client) StreamAudit(ctx context.Context, query AuditQuery, options ...CallOption) iter.Seq2[AuditRow, error] {
	return func(yield func(AuditRow, error) bool) {
		config, err := c.configure(ctx, options)
		if err != nil {
			yield(AuditRow{}, err)
			return
		}
		request, err := query.proto()
		if err != nil {
			yield(AuditRow{}, err)
			return
		}
		// With a limit, what a stream that was resumed gives beyond it is new: it was not there when the first began.
		left, limited := query.Limit, query.Limit > 0 && !query.Follow && query.ResumeAfter == 0
		resumable := true
		source := stream[aegisv1.StreamAuditResponse]{
			client: c,
			config: config,
			name:   "StreamAudit",
			ends:   !query.Follow,
			open: func(ctx context.Context) (grpc.ServerStreamingClient[aegisv1.StreamAuditResponse], error) {
				return c.audit.StreamAudit(ctx, request)
			},
			resumable: func() bool { return resumable },
		}
		err = source.each(ctx, func(message *aegisv1.StreamAuditResponse) bool {
			if message.GetSequence() > 0 {
				request.ResumeAfter, request.NewestFirst, request.Limit = &message.Sequence, false, 0
			}
			row := message.GetRow()
			if row == nil {
				return true
			}
			resumable = message.GetSequence() > 0
			left--
			return yield(auditRowFromProto(message.GetSequence(), row), nil) && !(limited && left == 0)
		})
		if err != nil {
			yield(AuditRow{}, err)
		}
	}
}

// WriteJSONL writes rows as one JSON object per line, until they end or fail.
func WriteJSONL(to io.Writer, rows iter.Seq2[AuditRow, error]) error {
	encoder := json.NewEncoder(to)
	encoder.SetEscapeHTML(false)
	for row, err := range rows {
		if err != nil {
			return err
		}
		if err := encoder.Encode(row); err != nil {
			return fmt.Errorf("aegis: a row cannot be written: %w", err)
		}
	}
	return nil
}

func (q AuditQuery) proto() (*aegisv1.StreamAuditRequest, error) {
	approval, err := toProto(approvalModes, "Approval", q.Approval)
	if err != nil {
		return nil, err
	}
	outcome, err := toProto(outcomes, "Outcome", q.Outcome)
	if err != nil {
		return nil, err
	}
	status, err := toProto(resultStatuses, "ResultStatus", q.ResultStatus)
	if err != nil {
		return nil, err
	}
	request := &aegisv1.StreamAuditRequest{
		Filter: &aegisv1.AuditFilter{
			SessionId:    q.SessionID,
			ActionType:   q.ActionType,
			ActionTarget: q.ActionTarget,
			RiskLevel:    aegisv1.RiskLevel(q.RiskLevel),
			Approval:     approval,
			Outcome:      outcome,
			ResultStatus: status,
			ActorId:      q.ActorID,
			DecisionId:   q.DecisionID,
			MatchedRule:  q.MatchedRule,
			Since:        timeToProto(q.Since),
			Until:        timeToProto(q.Until),
		},
		View:        aegisv1.AuditView_AUDIT_VIEW_ROWS,
		Limit:       q.Limit,
		NewestFirst: q.NewestFirst,
		Follow:      q.Follow,
	}
	if q.ResumeAfter > 0 {
		request.ResumeAfter = &q.ResumeAfter
	}
	return request, nil
}

func auditRowFromProto(sequence uint64, row *aegisv1.AuditRow) AuditRow {
	return AuditRow{
		Sequence:       sequence,
		ID:             row.GetId(),
		SessionID:      row.GetSessionId(),
		Timestamp:      timeFromProto(row.GetTimestamp()),
		Action:         actionFromProto(row.GetAction()),
		Masked:         row.GetMasked(),
		RiskLevel:      RiskLevel(row.GetRiskLevel()),
		Approval:       fromProto(approvalModes, row.GetApproval()),
		MatchedRule:    row.GetMatchedRule(),
		Outcome:        fromProto(outcomes, row.GetOutcome()),
		Reason:         row.GetReason(),
		Ending:         endingFromProto(row.GetEnding()),
		ResultStatus:   fromProto(resultStatuses, row.GetResultStatus()),
		ResultData:     row.GetResultData().AsInterface(),
		ResultError:    row.GetResultError(),
		DecisionID:     row.GetDecisionId(),
		ApprovalID:     row.GetApprovalId(),
		Actor:          actorFromProto(row.GetActor()),
		Identity:       identityFromProto(row.GetIdentity()),
		PolicyRevision: row.GetPolicyRevision(),
		ActionDigest:   row.GetActionDigest(),
		AuditRef:       row.GetAuditRef(),
		Metadata:       row.GetMetadata().AsMap(),
		TraceID:        row.GetTraceId(),
		MaskedDigests:  row.GetMaskedDigests(),
		Redacted:       row.GetRedacted(),
	}
}
