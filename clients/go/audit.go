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
	// Cursor is where the stream stands: [AuditQuery.ResumeAfter] goes on behind it. Empty on what comes newest first.
	Cursor string `json:"-"`
	// Number is its place among the decisions, from 1.
	Number uint64 `json:"number"`
	// SessionID is the session, or empty.
	SessionID string `json:"session_id,omitempty"`
	// Timestamp is when the decision was given.
	Timestamp time.Time `json:"timestamp"`
	// Action is what was proposed, masked as the policy says.
	Action Action `json:"action"`
	// Masked is what is masked in the action, and where it stands.
	Masked []Mask `json:"masked,omitempty"`
	// RiskLevel is how dangerous the policy said it was.
	RiskLevel RiskLevel `json:"risk_level"`
	// ApprovalMode is what the policy asked for.
	ApprovalMode ApprovalMode `json:"approval_mode"`
	// MatchedRule is the rule that matched, or "<default>".
	MatchedRule string `json:"matched_rule"`
	// Outcome is the outcome as it stands.
	Outcome Outcome `json:"outcome"`
	// Reason says why it was decided so.
	Reason string `json:"reason"`
	// Ending is how the approval ended. Nil where none was needed or it is pending.
	Ending *Ending `json:"ending,omitempty"`
	// Result is what became of the action. Its status is empty while nothing can be said.
	Result ActionResult `json:"result,omitzero"`
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
	// Redacted says that the decision was taken off the record, by an admin or by its age: what it said reads "[redacted]".
	Redacted bool `json:"redacted,omitempty"`
}

// A RowLeft says that a row, which may have come before, has changed and no longer matches the query.
type RowLeft struct {
	// Number is the number of the row.
	Number uint64 `json:"number"`
	// DecisionID is the decision.
	DecisionID string `json:"decision_id"`
}

// An AuditQuery says which rows of the record are asked for: those for which every part that is set holds, and of a list one of its
// items. Globs are those of the policy: a text without *, ? and [...] matches exactly, as every other text does.
type AuditQuery struct {
	// SessionID is the session.
	SessionID string
	// ActionType is a glob that the action's type matches.
	ActionType string
	// Target is a glob that the action's target matches.
	Target string
	// RiskLevels are the risk levels: one of them.
	RiskLevels []RiskLevel
	// MinRiskLevel is the least risk.
	MinRiskLevel RiskLevel
	// ApprovalModes are what the policy asked for: one of them.
	ApprovalModes []ApprovalMode
	// Outcomes are the outcomes as they stand: one of them.
	Outcomes []Outcome
	// ResultStatuses are what became of the action: one of them.
	ResultStatuses []ResultStatus
	// ActorID is the proposer, as declared.
	ActorID string
	// Subject is the proposer, as authenticated.
	Subject string
	// Approver is a reviewer who voted, as authenticated.
	Approver string
	// DecisionID is the decision.
	DecisionID string
	// AuditRef is a record: the row of the decision that it is about.
	AuditRef string
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
	// ResumeAfter goes on behind this [AuditRow.Cursor]; Limit does not apply then. Empty: from the beginning.
	ResumeAfter string
	// OnLeft is called, with Follow or ResumeAfter, where a row has changed and no longer matches. Nil: it is left out.
	OnLeft func(RowLeft)
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
		left, limited := query.Limit, query.Limit > 0 && !query.Follow && query.ResumeAfter == ""
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
			if message.GetCursor() != "" {
				request.ResumeAfter, request.NewestFirst, request.Limit = message.GetCursor(), false, nil
			}
			if left := message.GetLeft(); left != nil && query.OnLeft != nil {
				query.OnLeft(RowLeft{Number: left.GetNumber(), DecisionID: left.GetDecisionId()})
			}
			row := message.GetRow()
			if row == nil {
				return true
			}
			resumable = message.GetCursor() != ""
			left--
			return yield(auditRowFromProto(message.GetCursor(), row), nil) && !(limited && left == 0)
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
	filter, err := q.filter()
	if err != nil {
		return nil, err
	}
	request := &aegisv1.StreamAuditRequest{
		Filter:      filter,
		View:        aegisv1.AuditView_AUDIT_VIEW_ROWS,
		NewestFirst: q.NewestFirst,
		Follow:      q.Follow,
		ResumeAfter: q.ResumeAfter,
	}
	if q.Limit > 0 {
		request.Limit = &q.Limit
	}
	return request, nil
}

func (q AuditQuery) filter() (*aegisv1.AuditFilter, error) {
	modes, err := allToProto(approvalModes, "ApprovalModes", q.ApprovalModes)
	if err != nil {
		return nil, err
	}
	wanted, err := allToProto(outcomes, "Outcomes", q.Outcomes)
	if err != nil {
		return nil, err
	}
	statuses, err := allToProto(resultStatuses, "ResultStatuses", q.ResultStatuses)
	if err != nil {
		return nil, err
	}
	return &aegisv1.AuditFilter{
		SessionId:      q.SessionID,
		ActionType:     q.ActionType,
		Target:         q.Target,
		RiskLevels:     riskLevelsToProto(q.RiskLevels),
		MinRiskLevel:   aegisv1.RiskLevel(q.MinRiskLevel),
		ActorId:        q.ActorID,
		Subject:        q.Subject,
		Approver:       q.Approver,
		MatchedRule:    q.MatchedRule,
		Since:          timeToProto(q.Since),
		Until:          timeToProto(q.Until),
		ApprovalModes:  modes,
		Outcomes:       wanted,
		ResultStatuses: statuses,
		DecisionId:     q.DecisionID,
		AuditRef:       q.AuditRef,
	}, nil
}

func auditRowFromProto(cursor string, row *aegisv1.AuditRow) AuditRow {
	return AuditRow{
		Cursor:         cursor,
		Number:         row.GetNumber(),
		SessionID:      row.GetSessionId(),
		Timestamp:      timeFromProto(row.GetTimestamp()),
		Action:         actionFromProto(row.GetAction()),
		Masked:         masksFromProto(row.GetMasked()),
		RiskLevel:      RiskLevel(row.GetRiskLevel()),
		ApprovalMode:   fromProto(approvalModes, row.GetApprovalMode()),
		MatchedRule:    row.GetMatchedRule(),
		Outcome:        fromProto(outcomes, row.GetOutcome()),
		Reason:         row.GetReason(),
		Ending:         endingFromProto(row.GetEnding()),
		Result:         resultFromProto(row.GetResult()),
		DecisionID:     row.GetDecisionId(),
		ApprovalID:     row.GetApprovalId(),
		Actor:          actorFromProto(row.GetActor()),
		Identity:       identityFromProto(row.GetIdentity()),
		PolicyRevision: row.GetPolicyRevision(),
		ActionDigest:   row.GetActionDigest(),
		AuditRef:       row.GetAuditRef(),
		Metadata:       row.GetMetadata().AsMap(),
		TraceID:        row.GetTraceId(),
		Redacted:       row.GetRedacted(),
	}
}
