package aegis_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
	"github.com/aegis-sidecar/aegis/clients/go/aegistest"
)

func newRuntime(t *testing.T, agent *aegis.Client, executor aegis.ExecutorFunc, options ...aegis.RuntimeOption) *aegis.Runtime {
	t.Helper()
	rt, err := aegis.NewRuntime(agent, executor, options...)
	if err != nil {
		t.Fatal(err)
	}
	return rt
}

func nothing(context.Context, aegis.Action) (any, error) { return nil, nil }

func statuses(results []aegis.Result) string {
	var statuses []string
	for _, result := range results {
		statuses = append(statuses, string(result.Status))
	}
	return strings.Join(statuses, " ")
}

func TestAPlanSaysWhatThePolicyWouldAnswer(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	rt := newRuntime(t, daemon.Agent(), nothing)
	plan, err := rt.Plan(t.Context(), aegis.Action{Type: "read", Target: "crm", Description: "Fetch\ncontacts"}, aegis.Action{Type: "write"},
		aegis.Action{Type: "delete"}, aegis.Action{Type: "send"})
	if err != nil {
		t.Fatal(err)
	}
	expected := `  1. [   AUTO] read on crm - Fetch\u{A}contacts  (risk=LOW, rule=reads)
  2. [APPROVE] write  (risk=HIGH, rule=writes)
  3. [  BLOCK] delete  (risk=CRITICAL, rule=no_deletes)
  4. [CONFIRM] send  (risk=MEDIUM, rule=sends)
`
	if plan.Summary() != expected || !plan.HasBlocked() || !plan.RequiresApproval() || plan.AutoOnly() {
		t.Error(plan.Summary())
	}
	dry := plan.DryRun()
	if statuses(dry) != "success success blocked success" || fmt.Sprint(dry[3].Data) != "map[confirmation_required:true dry_run:true]" {
		t.Errorf("%+v", dry)
	}
	empty, err := rt.Plan(t.Context())
	if err != nil || !empty.AutoOnly() {
		t.Error(err)
	}
	if results, err := rt.Execute(t.Context(), empty); err != nil || len(results) != 0 {
		t.Error(results, err)
	}
}

func TestActionsOfAPlanRunSideBySide(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	var running, most atomic.Int32
	meet := make(chan struct{})
	met := sync.OnceFunc(func() { close(meet) })
	rt := newRuntime(t, daemon.Agent(), func(_ context.Context, action aegis.Action) (any, error) {
		if running.Add(1) == 3 {
			met()
		}
		<-meet
		most.Store(max(most.Load(), running.Load()))
		running.Add(-1)
		return action.Type, nil
	}, aegis.WithParallelism(3))
	var actions []aegis.Action
	for i := range 9 {
		actions = append(actions, aegis.Action{Type: fmt.Sprintf("read_%d", i)})
	}
	plan, err := rt.Plan(t.Context(), actions...)
	if err != nil {
		t.Fatal(err)
	}
	results, err := rt.Execute(t.Context(), plan)
	if err != nil || most.Load() > 3 {
		t.Fatal(err, most.Load())
	}
	for i, result := range results {
		if result.Data != fmt.Sprintf("read_%d", i) {
			t.Errorf("result %d is %+v", i, result)
		}
	}
}

func TestAnExecutorThatEndsItsGoroutineEndsThePlan(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	rt := newRuntime(t, daemon.Agent(), func(_ context.Context, action aegis.Action) (any, error) {
		if action.Type == "read_b" {
			runtime.Goexit()
		}
		return nil, nil
	}, aegis.WithParallelism(2))
	plan, err := rt.Plan(t.Context(), aegis.Action{Type: "read_a"}, aegis.Action{Type: "read_b"})
	if err != nil {
		t.Fatal(err)
	}
	results, err := rt.Execute(t.Context(), plan)
	if err != nil || statuses(results) != "success failed" {
		t.Errorf("%s %v", statuses(results), err)
	}
	for _, row := range rows(t, daemon) {
		if row.Result.Status == "" {
			t.Errorf("%+v", row)
		}
	}
	alone := newRuntime(t, daemon.Agent(), func(context.Context, aegis.Action) (any, error) { panic("broken") })
	func() {
		defer func() {
			if recover() != "broken" {
				t.Error("a panic of the executor is the caller's")
			}
		}()
		_, _ = alone.Execute(t.Context(), plan)
	}()
}

func TestWithoutADaemonAPlanEnds(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	var once sync.Once
	rt := newRuntime(t, daemon.Agent(aegis.WithRetryDelay(time.Millisecond)), func(context.Context, aegis.Action) (any, error) {
		once.Do(func() { _ = daemon.Kill() })
		return 7, nil
	})
	plan, err := rt.Plan(t.Context(), aegis.Action{Type: "read_a"}, aegis.Action{Type: "read_b"}, aegis.Action{Type: "read_c"})
	if err != nil {
		t.Fatal(err)
	}
	results, err := rt.Execute(t.Context(), plan)
	unreported := (*aegis.ReportError)(nil)
	if !errors.As(err, &unreported) || unreported.Result != 7 || statuses(results) != "success skipped skipped" {
		t.Errorf("%v %s", err, statuses(results))
	}
}

func TestARollbackAsksLikeAnyOtherAction(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	agent := daemon.Agent(aegis.WithApprovalHandler(daemon.Reviewer(), aegistest.ApproveAll))
	var ran []string
	rt := newRuntime(t, agent, func(_ context.Context, action aegis.Action) (any, error) {
		ran = append(ran, action.Type)
		if action.Type == "read_flaky" {
			return nil, errors.New("broken")
		}
		return nil, nil
	}, aegis.WithActionRetries(1, time.Millisecond), aegis.WithRollback(func(failed aegis.Action, why error) (aegis.Action, bool) {
		return aegis.Action{Type: "write_back", Description: "Rollback for failed: " + why.Error()}, failed.Type == "read_flaky"
	}))
	result, err := rt.RunOne(t.Context(), aegis.Action{Type: "read_flaky"})
	if err != nil || result.Status != aegis.StatusRolledBack || result.Attempts != 2 || strings.Join(ran, " ") != "read_flaky read_flaky write_back" {
		t.Errorf("%+v %v %v", result, err, ran)
	}
	if rows := rows(t, daemon); len(rows) != 2 || rows[1].Ending.Kind != aegis.EndingApproved || rows[0].SessionID != rt.SessionID() {
		t.Errorf("%+v", rows)
	}
}

func TestARuntimeReadsItsRecord(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	agent := daemon.Agent()
	rt := newRuntime(t, agent, nothing, aegis.WithAuditor(daemon.Auditor()))
	for _, client := range []*aegis.Runtime{rt, newRuntime(t, agent, nothing)} {
		if _, err := client.RunOne(t.Context(), aegis.Action{Type: "read"}); err != nil {
			t.Fatal(err)
		}
	}
	var lines bytes.Buffer
	if err := aegis.WriteJSONL(&lines, rt.Audit(t.Context(), aegis.AuditQuery{})); err != nil {
		t.Fatal(err)
	}
	if text := lines.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, `"session_id":"`+rt.SessionID()+`"`) || !strings.Contains(text, `"risk_level":"low"`) {
		t.Error(text)
	}
	if err := aegis.WriteJSONL(&lines, newRuntime(t, agent, nothing).Audit(t.Context(), aegis.AuditQuery{})); err == nil || !strings.Contains(err.Error(), "WithAuditor") {
		t.Error(err)
	}
}

func TestWhatIsWrongWithARuntimeIsSaidAtOnce(t *testing.T) {
	client, err := aegis.New(aegis.WithEndpoint("unix:/nowhere"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for problem, option := range map[string]aegis.RuntimeOption{
		"parallelism": aegis.WithParallelism(0), "idempotency": aegis.WithIdempotencyKey("k"), "reviewer": aegis.WithApprovalHandler(nil, aegistest.ApproveAll),
	} {
		if _, err := aegis.NewRuntime(client, aegis.ExecutorFunc(nothing), option); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%s: %v", problem, err)
		}
	}
	if _, err := aegis.NewRuntime(client, nil); err == nil {
		t.Error("a runtime without an executor")
	}
}
