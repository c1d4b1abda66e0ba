package aegis_test

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/health/grpc_health_v1"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
	"github.com/aegis-sidecar/aegis/clients/go/aegistest"
)

// An order is what agents pass: pointers, slices, typed maps, structures.
type order struct {
	Path   *string
	Lines  []*line
	Limits map[string][]int
	Raw    []byte
	Health *grpc_health_v1.HealthCheckRequest
	When   time.Time
}

type line struct{ Amount int }

func newOrder() *order {
	path := "/safe"
	return &order{
		Path: &path, Lines: []*line{{1}}, Limits: map[string][]int{"a": {1}}, Raw: []byte("safe"),
		Health: &grpc_health_v1.HealthCheckRequest{Service: "safe"}, When: time.Unix(1, 0),
	}
}

// forge changes everything that can be reached.
func (o *order) forge() {
	*o.Path, o.Lines[0].Amount, o.Limits["a"][0], o.Health.Service = "/evil", 1_000_000, 1_000_000, "evil"
	copy(o.Raw, "evil")
	o.Lines = append(o.Lines, &line{7})
	o.Limits["b"] = nil
}

func (o *order) params() map[string]any {
	return map[string]any{"path": o.Path, "lines": o.Lines, "limits": o.Limits, "raw": o.Raw, "health": o.Health, "when": o.When, "order": o}
}

func (o *order) isSafe() bool {
	return *o.Path == "/safe" && len(o.Lines) == 1 && o.Lines[0].Amount == 1 && len(o.Limits) == 1 && o.Limits["a"][0] == 1 &&
		string(o.Raw) == "safe" && o.Health.GetService() == "safe"
}

// approveOnce approves the one question that comes up, after something was done.
func approveOnce(t *testing.T, daemon *aegistest.Daemon, actionType string, first func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	ended := make(chan error, 1)
	go func() {
		approval, err := daemon.Pending(ctx, actionType)
		if err == nil {
			first()
			_, err = daemon.Reviewer().Approve(ctx, approval, "looks right")
		}
		ended <- err
	}()
	t.Cleanup(func() {
		defer cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestNothingThatTheCallerHoldsChangesWhatRuns(t *testing.T) {
	action := func(o *order) aegis.Action { return aegis.Action{Type: "write", Params: o.params()} }
	for name, run := range map[string]func(agent *aegis.Client, held *order) (bool, error){
		"Wrap": func(agent *aegis.Client, held *order) (bool, error) {
			return aegis.Wrap(agent, action, func(_ context.Context, given *order) (bool, error) { return given.isSafe(), nil })(t.Context(), held)
		},
		"Begin": func(agent *aegis.Client, held *order) (bool, error) {
			execution, err := agent.Begin(t.Context(), action(held))
			if err != nil {
				return false, err
			}
			return execution.Action.Params["order"].(*order).isSafe(), execution.End(t.Context(), nil, nil)
		},
		"Runtime": func(agent *aegis.Client, held *order) (safe bool, err error) {
			rt := newRuntime(t, agent, func(_ context.Context, action aegis.Action) (any, error) {
				given := action.Params["order"].(*order)
				safe = given.isSafe() && *action.Params["path"].(*string) == "/safe" && action.Params["lines"].([]*line)[0].Amount == 1 &&
					action.Params["limits"].(map[string][]int)["a"][0] == 1 && string(action.Params["raw"].([]byte)) == "safe"
				given.forge()
				return nil, nil
			})
			plan, err := rt.Plan(t.Context(), action(held))
			if err != nil {
				return false, err
			}
			results, err := rt.Execute(t.Context(), plan)
			return safe && results[0].Action.Params["order"].(*order).isSafe(), errors.Join(err, results[0].Err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			daemon := aegistest.Start(t, policy)
			held := newOrder()
			approveOnce(t, daemon, "write", held.forge)
			if safe, err := run(daemon.Agent(), held); err != nil || !safe {
				t.Errorf("safe: %v, %v", safe, err)
			}
			params := row(t, daemon).Action.Params
			if params["path"] != "/safe" || params["raw"] != "c2FmZQ==" || params["when"] != time.Unix(1, 0).Format(time.RFC3339Nano) {
				t.Error(params)
			}
		})
	}
}

// A closed value has fields that nobody but its own package can copy.
type closed struct{ path []string }

func (c *closed) MarshalText() ([]byte, error) { return []byte(c.path[0]), nil }

func TestWhatCannotBeCopiedIsDescribedAgainBeforeItRuns(t *testing.T) {
	never := func(t *testing.T) func(context.Context, *closed) (int, error) {
		return func(context.Context, *closed) (int, error) {
			t.Error("the action ran")
			return 0, nil
		}
	}
	for name, run := range map[string]func(t *testing.T, agent *aegis.Client, held *closed) error{
		"Wrap": func(t *testing.T, agent *aegis.Client, held *closed) error {
			_, err := aegis.Wrap(agent, func(given *closed) aegis.Action {
				return aegis.Action{Type: "write", Params: map[string]any{"path": given.path[0]}}
			}, never(t))(t.Context(), held)
			return err
		},
		"Begin": func(t *testing.T, agent *aegis.Client, held *closed) error {
			_, err := agent.Begin(t.Context(), aegis.Action{Type: "write", Params: map[string]any{"closed": held}})
			return err
		},
		"Runtime": func(t *testing.T, agent *aegis.Client, held *closed) error {
			rt := newRuntime(t, agent, func(context.Context, aegis.Action) (any, error) { return never(t)(t.Context(), held) })
			_, err := rt.RunOne(t.Context(), aegis.Action{Type: "write", Params: map[string]any{"closed": held}})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			daemon := aegistest.Start(t, policy)
			held := &closed{[]string{"/safe"}}
			approveOnce(t, daemon, "write", func() { held.path[0] = "/evil" })
			if err := run(t, daemon.Agent(), held); !errors.Is(err, aegis.ErrChanged) || !errors.Is(err, aegis.ErrGovernance) {
				t.Error(err)
			}
			if row := row(t, daemon); row.Result.Status != aegis.StatusSkipped {
				t.Errorf("%+v", row)
			}
		})
	}
	// Left alone, it runs.
	daemon := aegistest.Start(t, policy)
	approveOnce(t, daemon, "write", func() {})
	if _, err := daemon.Agent().Begin(t.Context(), aegis.Action{Type: "write", Params: map[string]any{"closed": &closed{[]string{"/safe"}}}}); err != nil {
		t.Error(err)
	}
}

func TestWhatDescribesAnArgumentCannotChangeWhatRuns(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	var kept []*order
	read := aegis.Wrap(daemon.Agent(), func(shown *order) aegis.Action {
		kept = append(kept, shown)
		return aegis.Action{Type: "read", Params: shown.params()}
	}, func(_ context.Context, given *order) (bool, error) {
		for _, shown := range kept {
			shown.forge()
		}
		return given.isSafe(), nil
	})
	if safe, err := read(t.Context(), newOrder()); err != nil || !safe || len(kept) == 0 {
		t.Errorf("safe: %v, %v, described %d times", safe, err, len(kept))
	}
}

func TestLabelsAreThoseOfTheMomentOfTheProposal(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	labels := map[string]any{"ticket": []string{"A-1"}}
	approveOnce(t, daemon, "write", func() { labels["ticket"].([]string)[0] = "B-2" })
	if _, err := aegis.Govern(t.Context(), daemon.Agent(aegis.WithMetadata(labels)), aegis.Action{Type: "write"}, returns(1)); err != nil {
		t.Fatal(err)
	}
	if row := row(t, daemon); row.Metadata["ticket"].([]any)[0] != "A-1" {
		t.Error(row.Metadata)
	}
}

func numbers(upTo int, last error) func(context.Context, aegis.Decision) iter.Seq2[int, error] {
	return func(context.Context, aegis.Decision) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for i := range upTo {
				if !yield(i, nil) {
					return
				}
			}
			if last != nil {
				yield(0, last)
			}
		}
	}
}

func TestAnIteratorIsGovernedUntilItsEnd(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	agent := daemon.Agent()
	values := aegis.GovernSeq(t.Context(), agent, aegis.Action{Type: "read_all"}, numbers(3, nil))
	if recorded := rows(t, daemon); len(recorded) != 0 {
		t.Errorf("before it is read: %+v", recorded)
	}
	if read := maps.Collect(values); len(read) != 3 {
		t.Error(read)
	}
	for value := range aegis.GovernSeq(t.Context(), agent, aegis.Action{Type: "read_some"}, numbers(3, nil)) {
		if recorded := rows(t, daemon); recorded[len(recorded)-1].Result.Status != "" {
			t.Errorf("while it is read: %+v", recorded)
		}
		if value == 1 {
			break
		}
	}
	broken := errors.New("the database is away")
	var last error
	for _, err := range aegis.GovernSeq(t.Context(), agent, aegis.Action{Type: "read_broken"}, numbers(1, broken)) {
		last = err
	}
	if last != broken {
		t.Error(last)
	}
	for _, err := range aegis.GovernSeq(t.Context(), agent, aegis.Action{Type: "delete"}, numbers(1, nil)) {
		if denied := (*aegis.DeniedError)(nil); !errors.As(err, &denied) {
			t.Error(err)
		}
	}
	expected := []struct {
		status aegis.ResultStatus
		values any
	}{{aegis.StatusSuccess, 3.0}, {aegis.StatusSuccess, 2.0}, {aegis.StatusFailed, nil}, {aegis.StatusBlocked, nil}}
	for i, row := range rows(t, daemon) {
		data, _ := row.Result.Data.(map[string]any)
		if row.Result.Status != expected[i].status || expected[i].values != nil && data["values"] != expected[i].values {
			t.Errorf("%+v", row)
		}
	}
	// Each range is a proposal of its own.
	if again := maps.Collect(values); len(again) != 3 {
		t.Error(again)
	}
	if recorded := rows(t, daemon); len(recorded) != 5 {
		t.Errorf("%d rows", len(recorded))
	}
}

func TestAnIteratorIsNoSuccessBeforeItHasRun(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	agent := daemon.Agent()
	_, err := aegis.Govern(t.Context(), agent, aegis.Action{Type: "read"}, func(ctx context.Context, decision aegis.Decision) (iter.Seq2[int, error], error) {
		return numbers(1, nil)(ctx, decision), nil
	})
	if err == nil || !strings.Contains(err.Error(), "GovernSeq") || len(rows(t, daemon)) != 0 {
		t.Error(err)
	}
	hidden := func(ctx context.Context, decision aegis.Decision) (any, error) {
		return numbers(1, nil)(ctx, decision), nil
	}
	if result, err := aegis.Govern(t.Context(), agent, aegis.Action{Type: "read_a"}, hidden); result != nil || err == nil {
		t.Error(result, err)
	}
	rt := newRuntime(t, agent, func(ctx context.Context, _ aegis.Action) (any, error) { return hidden(ctx, aegis.Decision{}) })
	if result, err := rt.RunOne(t.Context(), aegis.Action{Type: "read_b"}); err != nil || result.Err == nil || result.Data != nil {
		t.Error(result, err)
	}
	for _, row := range rows(t, daemon) {
		if row.Result.Status != aegis.StatusFailed {
			t.Errorf("%+v", row)
		}
	}
}

func TestACancelledWaitIsFoundBesideItsCause(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	left := errors.New("the user left")
	ctx, cancel := context.WithCancelCause(t.Context())
	leave := aegis.WithHooks(aegis.Hooks{OnDecision: func(context.Context, aegis.Action, aegis.Decision) error {
		cancel(left)
		return nil
	}})
	_, err := aegis.Govern(ctx, daemon.Agent(), aegis.Action{Type: "write"}, never(t), leave)
	if denied := (*aegis.DeniedError)(nil); !errors.As(err, &denied) || !errors.Is(err, left) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if row := row(t, daemon); row.Ending.Kind != aegis.EndingCancelled || !strings.Contains(row.Ending.Reason, "the user left") {
		t.Errorf("%+v", row.Ending)
	}
	_, err = aegis.Govern(ctx, daemon.Agent(), aegis.Action{Type: "read"}, never(t))
	if !errors.Is(err, left) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := daemon.Agent().Propose(ctx, aegis.Action{Type: "read"}); !errors.Is(err, left) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestAWaitSaysInTheLogWhatItWaitsFor(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	var log bytes.Buffer
	agent := daemon.Agent(aegis.WithLogger(slog.New(slog.NewJSONHandler(&log, nil))))
	approveOnce(t, daemon, "write", func() {})
	if _, err := aegis.Govern(t.Context(), agent, aegis.Action{Type: "write", Target: "crm\u00ad"}, func(context.Context, aegis.Decision) (int, error) {
		return 1, nil
	}); err != nil {
		t.Fatal(err)
	}
	text := log.String()
	if !strings.Contains(text, `"approval_id":"`+row(t, daemon).ApprovalID+`"`) || strings.Count(text, "\n") != 2 || strings.Contains(text, "\u00ad") {
		t.Error(text)
	}
}

func TestNilIsAnErrorWithWords(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	agent := daemon.Agent()
	ctx, action := t.Context(), aegis.Action{Type: "read"}
	var gone *aegis.Client
	var none context.Context
	propose := func(client *aegis.Client, ctx context.Context, options ...aegis.CallOption) error {
		_, err := client.Propose(ctx, action, options...)
		return err
	}
	_, noClient := aegis.Govern(ctx, gone, action, returns(1))
	_, noFunction := aegis.Govern[int](ctx, agent, action, nil)
	_, noContext := aegis.Govern(none, agent, action, returns(1))
	_, noDescription := aegis.Wrap(agent, nil, func(context.Context, int) (int, error) { return 0, nil })(ctx, 1)
	_, noRuntime := aegis.NewRuntime(nil, aegis.ExecutorFunc(nothing))
	_, noRuntimeOption := aegis.NewRuntime(agent, aegis.ExecutorFunc(nothing), nil)
	_, noExecutor := aegis.NewRuntime(agent, aegis.ExecutorFunc(nil))
	_, noOption := aegis.New(nil)
	_, noPlan := newRuntime(t, agent, nothing).Execute(ctx, nil)
	var noSeq, noStream error
	for _, err := range aegis.GovernSeq[int](ctx, agent, action, nil) {
		noSeq = err
	}
	for _, err := range gone.StreamAudit(ctx, aegis.AuditQuery{}) {
		noStream = err
	}
	for problem, err := range map[string]error{
		"client is nil": noClient, "a function to run": noFunction, "context is nil": noContext, "Wrap needs": noDescription,
		"client is nil: make": noRuntime, "option is nil": noRuntimeOption, "an executor": noExecutor, "an option is nil": noOption,
		"the plan is nil": noPlan, "GovernSeq needs": noSeq, "the client is nil": noStream,
		"the client is nil: make one": propose(gone, ctx), "the context is nil": propose(agent, none), "aegis: an option is nil": propose(agent, ctx, nil),
	} {
		if err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%s: %v", problem, err)
		}
	}
	if recorded := rows(t, daemon); len(recorded) != 0 {
		t.Errorf("%+v", recorded)
	}
}

func TestAnOptionThatCannotBeRightIsSaidAtOnce(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	for name, option := range map[string]aegis.CallOption{
		"WithTimeout(-1ns)": aegis.WithTimeout(-1), "WithTimeout(0s)": aegis.WithTimeout(0), "WithRetries(-1)": aegis.WithRetries(-1),
		"WithRetryDelay(-1s)": aegis.WithRetryDelay(-time.Second), "WithApprovalTimeout(-1s)": aegis.WithApprovalTimeout(-time.Second),
	} {
		_, atOnce := aegis.New(option)
		_, call := daemon.Agent().Propose(t.Context(), aegis.Action{Type: "read"}, option)
		_, begun := daemon.Agent().Begin(t.Context(), aegis.Action{Type: "read"}, option)
		_, err := aegis.NewRuntime(daemon.Agent(), aegis.ExecutorFunc(nothing), option)
		for _, err := range []error{atOnce, call, begun, err} {
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
