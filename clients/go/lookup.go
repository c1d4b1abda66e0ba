package aegis

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/aegis-sidecar/aegis/clients/go/aegisv1"
)

// largestPage is the largest page that the daemon returns.
const largestPage = 1000

// A DecisionLife is the whole life of a decision.
type DecisionLife struct {
	// Row is the decision, as it is now.
	Row AuditRow `json:"row"`
	// Approval is its approval, with the votes. Nil where none was needed.
	Approval *Approval `json:"approval,omitempty"`
	// Records are its records, in the order of the log.
	Records []RecordReference `json:"records"`
}

// A RecordReference is a record of the log, by its id and its place.
type RecordReference struct {
	// Sequence is its place in the log, from 1.
	Sequence uint64 `json:"sequence"`
	// AuditRef is its id. Empty where it is redacted.
	AuditRef string `json:"audit_ref,omitempty"`
	// Kind is what it is, for example "decision", "approval_ended" or "result". Empty where it is redacted.
	Kind string `json:"kind,omitempty"`
	// RecordedAt is when it was written. Zero where it is redacted.
	RecordedAt time.Time `json:"recorded_at,omitzero"`
}

// Stats are totals of the whole record.
type Stats struct {
	// Decisions is how many decisions there are.
	Decisions uint64 `json:"decisions"`
	// Records is how many records there are.
	Records uint64 `json:"records"`
	// PendingApprovals is how many approvals are pending now.
	PendingApprovals uint64 `json:"pending_approvals"`
	// ByRiskLevel are decisions by risk level: "LOW" to "CRITICAL".
	ByRiskLevel map[string]uint64 `json:"by_risk_level"`
	// ByOutcome are decisions by outcome, as it stands.
	ByOutcome map[string]uint64 `json:"by_outcome"`
	// ByResultStatus are decisions by what became of the action.
	ByResultStatus map[string]uint64 `json:"by_result_status"`
	// TopActionTypes are the most frequent action types, most frequent first.
	TopActionTypes []Count `json:"top_action_types"`
	// TopRules are the most frequent rules, most frequent first.
	TopRules []Count `json:"top_rules"`
}

// A Count is how often a value occurs.
type Count struct {
	// Name is the value.
	Name string `json:"name"`
	// Count is how often it occurs.
	Count uint64 `json:"count"`
}

// ListDecisions lists rows of the record, oldest first unless the query says NewestFirst. Its Limit is how many at most, from where
// that order begins. Follow, ResumeAfter and OnLeft are for [Client.StreamAudit]: they are refused. Needs an auditor.
func (c *Client) ListDecisions(ctx context.Context, query AuditQuery, options ...CallOption) ([]AuditRow, error) {
	config, err := c.configure(ctx, options)
	if err != nil {
		return nil, err
	}
	if query.Follow || query.ResumeAfter != "" || query.OnLeft != nil {
		return nil, &InvalidActionError{Path: "Follow", Problem: "is for StreamAudit, as ResumeAfter and OnLeft are: a list has an end"}
	}
	filter, err := query.filter()
	if err != nil {
		return nil, err
	}
	request := &aegisv1.ListDecisionsRequest{Filter: filter, NewestFirst: query.NewestFirst}
	var rows []AuditRow
	for {
		size := uint64(largestPage)
		if query.Limit > 0 {
			size = min(size, query.Limit-uint64(len(rows)))
		}
		request.PageSize = proto.Uint32(uint32(size))
		page, err := call(ctx, c, config, "ListDecisions", c.audit.ListDecisions, request)
		if err != nil {
			return nil, err
		}
		for _, row := range page.GetRows() {
			rows = append(rows, auditRowFromProto("", row))
		}
		request.PageToken = page.GetNextPageToken()
		if request.PageToken == "" || query.Limit > 0 && uint64(len(rows)) >= query.Limit {
			return rows, nil
		}
	}
}

// GetDecision gets the whole life of a decision: its row, its approval with the votes, its records. The id is that of the decision
// (dec_), of its approval (apr_) or of one of its records (aud_); or the beginning of one, with at least 8 characters after the prefix.
// Needs an auditor.
func (c *Client) GetDecision(ctx context.Context, id string, options ...CallOption) (*DecisionLife, error) {
	config, err := c.configure(ctx, options)
	if err != nil {
		return nil, err
	}
	answer, err := call(ctx, c, config, "GetDecision", c.audit.GetDecision, &aegisv1.GetDecisionRequest{Id: id})
	if err != nil {
		return nil, err
	}
	life := &DecisionLife{Row: auditRowFromProto("", answer.GetRow())}
	if answer.GetApproval() != nil {
		approval := approvalFromProto(answer.GetApproval())
		life.Approval = &approval
	}
	for _, record := range answer.GetRecords() {
		life.Records = append(life.Records, RecordReference{
			Sequence: record.GetSequence(), AuditRef: record.GetAuditRef(), Kind: record.GetKind(),
			RecordedAt: timeFromProto(record.GetRecordedAt()),
		})
	}
	return life, nil
}

// GetStats gets the totals of the whole record, with so many of the most frequent action types and rules. Needs an auditor.
func (c *Client) GetStats(ctx context.Context, top uint32, options ...CallOption) (*Stats, error) {
	config, err := c.configure(ctx, options)
	if err != nil {
		return nil, err
	}
	answer, err := call(ctx, c, config, "GetStats", c.audit.GetStats, &aegisv1.GetStatsRequest{Top: &top})
	if err != nil {
		return nil, err
	}
	return &Stats{
		Decisions: answer.GetDecisions(), Records: answer.GetRecords(), PendingApprovals: answer.GetPendingApprovals(),
		ByRiskLevel: byName(answer.GetByRiskLevel()), ByOutcome: byName(answer.GetByOutcome()),
		ByResultStatus: byName(answer.GetByResultStatus()),
		TopActionTypes: counts(answer.GetTopActionTypes()), TopRules: counts(answer.GetTopRules()),
	}, nil
}

func counts(of []*aegisv1.Count) []Count {
	list := make([]Count, 0, len(of))
	for _, count := range of {
		list = append(list, Count{Name: count.GetName(), Count: count.GetCount()})
	}
	return list
}

func byName(of []*aegisv1.Count) map[string]uint64 {
	named := make(map[string]uint64, len(of))
	for _, count := range of {
		named[count.GetName()] = count.GetCount()
	}
	return named
}
