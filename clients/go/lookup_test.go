package aegis_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
	"github.com/aegis-sidecar/aegis/clients/go/aegistest"
)

func TestAnAuditorReadsOneDecisionPagesOfThemAndTotals(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	agent, auditor, ctx := daemon.Agent(), daemon.Auditor(), t.Context()
	propose := func(action aegis.Action) *aegis.Decision {
		t.Helper()
		decision, err := agent.Propose(ctx, action, aegis.WithSession("life"))
		if err != nil {
			t.Fatal(err)
		}
		return decision
	}
	first := propose(aegis.Action{Type: "read", Target: "0"})
	propose(aegis.Action{Type: "read", Target: "1"})
	propose(aegis.Action{Type: "read", Target: "2"})
	asked := propose(aegis.Action{Type: "write", Target: "a"})
	if _, err := daemon.Deny(ctx, "write", "no"); err != nil {
		t.Fatal(err)
	}

	for expected, query := range map[string]aegis.AuditQuery{
		"2 1":     {SessionID: "life", ActionType: "r*", Limit: 2, NewestFirst: true},
		"0 1 2 a": {},
		"a":       {Outcomes: []aegis.Outcome{aegis.OutcomeDeny, aegis.OutcomeEscalate}},
		"":        {SessionID: "another"},
	} {
		rows, err := auditor.ListDecisions(ctx, query)
		if err != nil {
			t.Fatal(err)
		}
		var targets []string
		for _, row := range rows {
			targets = append(targets, row.Action.Target)
		}
		if got := strings.Join(targets, " "); got != expected {
			t.Errorf("%+v: %q, and not %q", query, got, expected)
		}
	}
	for _, wrong := range []aegis.AuditQuery{{Follow: true}, {ResumeAfter: "x"}, {Outcomes: []aegis.Outcome{"PERHAPS"}}} {
		if _, err := auditor.ListDecisions(ctx, wrong); !errors.Is(err, aegis.ErrGovernance) {
			t.Errorf("%+v: %v", wrong, err)
		}
	}

	life, err := auditor.GetDecision(ctx, asked.DecisionID[:len(asked.DecisionID)-2])
	if err != nil {
		t.Fatal(err)
	}
	if life.Row.DecisionID != asked.DecisionID || life.Row.Outcome != aegis.OutcomeDeny {
		t.Errorf("%+v", life.Row)
	}
	if life.Approval == nil || life.Approval.ApprovalID != asked.ApprovalID || len(life.Approval.Votes) != 1 ||
		life.Approval.Votes[0].Reason != "no" {
		t.Errorf("%+v", life.Approval)
	}
	inOrder := slices.IsSortedFunc(life.Records, func(a, b aegis.RecordReference) int { return int(a.Sequence) - int(b.Sequence) })
	if len(life.Records) < 2 || !inOrder || life.Records[0].AuditRef != asked.AuditRef || life.Records[0].RecordedAt.IsZero() {
		t.Errorf("%+v", life.Records)
	}
	if life, err = auditor.GetDecision(ctx, first.AuditRef); err != nil || life.Row.DecisionID != first.DecisionID || life.Approval != nil {
		t.Errorf("%+v, %v", life, err)
	}
	var failed *aegis.Error
	if _, err := auditor.GetDecision(ctx, "dec_00000000-0000"); !errors.As(err, &failed) || failed.Code != codes.NotFound {
		t.Error(err)
	}
	if _, err := agent.GetDecision(ctx, first.DecisionID); !errors.As(err, &failed) || failed.Code != codes.Unauthenticated {
		t.Error(err)
	}

	stats, err := auditor.GetStats(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	if stats.Decisions != 4 || stats.ByOutcome["ALLOW"] != 3 || stats.ByOutcome["DENY"] != 1 || stats.PendingApprovals != 0 {
		t.Errorf("%+v", stats)
	}
	if !slices.Equal(stats.TopActionTypes, []aegis.Count{{Name: "read", Count: 3}}) {
		t.Errorf("%+v", stats.TopActionTypes)
	}
}
