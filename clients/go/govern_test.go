package aegis_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
	"github.com/aegis-sidecar/aegis/clients/go/aegistest"
	"github.com/aegis-sidecar/aegis/clients/go/aegisv1"
)

// returns is an action that returns this.
func returns[T any](value T) func(context.Context, aegis.Decision) (T, error) {
	return func(context.Context, aegis.Decision) (T, error) { return value, nil }
}

// must not be called.
func never(t *testing.T) func(context.Context, aegis.Decision) (int, error) {
	return func(context.Context, aegis.Decision) (int, error) {
		t.Error("the action ran")
		return 0, nil
	}
}

func TestAnActionLearnsItsConstraints(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	rows, err := aegis.Govern(t.Context(), daemon.Agent(), aegis.Action{Type: "read"}, func(_ context.Context, decision aegis.Decision) (float64, error) {
		return decision.Constraints["max_rows"].(float64), nil
	})
	if err != nil || rows != 100 {
		t.Error(rows, err)
	}
}

func TestAnErrorOfTheActionComesOutAsItIs(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	away := errors.New("away")
	_, err := aegis.Govern(t.Context(), daemon.Agent(), aegis.Action{Type: "read"}, func(context.Context, aegis.Decision) (int, error) { return 0, away })
	if err != away {
		t.Error(err)
	}
}

func TestAPanicIsReportedAndGoesOn(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	agent := daemon.Agent()
	for _, end := range []func(){func() { panic("broken") }, runtime.Goexit} {
		var done sync.WaitGroup
		done.Go(func() {
			defer func() { _ = recover() }()
			_, _ = aegis.Govern(t.Context(), agent, aegis.Action{Type: "read"}, func(context.Context, aegis.Decision) (int, error) {
				end()
				return 0, nil
			})
		})
		done.Wait()
	}
	expected := []string{"panic: broken", "Goexit"}
	for i, row := range rows(t, daemon) {
		if row.Result.Status != aegis.StatusFailed || !strings.Contains(row.Result.Error, expected[i]) {
			t.Errorf("%+v", row)
		}
	}
}

func TestAResultThatCannotBeRecordedIsASuccessAllTheSame(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	agent := daemon.Agent()
	if _, err := aegis.Govern(t.Context(), agent, aegis.Action{Type: "read_a"}, returns[any](map[string]any{"f": func() {}})); err != nil {
		t.Error(err)
	}
	large, err := aegis.Govern(t.Context(), agent, aegis.Action{Type: "read_b"}, returns(strings.Repeat("x", 5<<20)))
	if err != nil || len(large) != 5<<20 {
		t.Error(err)
	}
	chosen := aegis.WithRecordedResult(func(any) any { return "chosen" })
	if _, err := aegis.Govern(t.Context(), agent, aegis.Action{Type: "read_c"}, returns("secret"), chosen); err != nil {
		t.Error(err)
	}
	expected := []string{"data.f is a func()", "bytes", "chosen"}
	_, err = aegis.Govern(t.Context(), agent, aegis.Action{Type: "read_d"}, func(context.Context, aegis.Decision) (int, error) {
		return 0, errors.New(strings.Repeat("ü", 20_000))
	})
	if unreported := (*aegis.ReportError)(nil); errors.As(err, &unreported) {
		t.Error(unreported)
	}
	recorded := rows(t, daemon)
	if text := recorded[3].Result.Error; len(text) < 16_000 || !strings.HasSuffix(text, "ü...") {
		t.Errorf("%d bytes", len(text))
	}
	for i, row := range recorded[:3] {
		if row.Result.Status != aegis.StatusSuccess || !strings.Contains(fmt.Sprint(row.Result.Data), expected[i]) {
			t.Errorf("%+v", row)
		}
	}
}

// failing makes every call of one RPC fail before it is sent.
func failing(rpc string) aegis.Option {
	return aegis.WithDialOptions(grpc.WithChainUnaryInterceptor(
		func(ctx context.Context, method string, request, reply any, connection *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
			if strings.HasSuffix(method, "/"+rpc) {
				return status.Error(codes.Unavailable, "cut off")
			}
			return invoke(ctx, method, request, reply, connection, options...)
		}))
}

func TestAReportThatFailsIsAnErrorBesideTheResult(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	agent := daemon.Agent(failing("ReportResult"), aegis.WithRetryDelay(time.Millisecond))
	result, err := aegis.Govern(t.Context(), agent, aegis.Action{Type: "read"}, returns(7))
	unreported := (*aegis.ReportError)(nil)
	if result != 7 || !errors.As(err, &unreported) || unreported.Result != 7 || unreported.Report.Status != aegis.StatusSuccess || status.Code(err) != codes.Unavailable {
		t.Fatalf("%v %+v", result, err)
	}
	// What could not be reported can be later on.
	if _, err := daemon.Agent().Report(t.Context(), unreported.Decision.DecisionID, unreported.Report); err != nil {
		t.Error(err)
	}
	if row := row(t, daemon); row.Result.Data != 7.0 {
		t.Errorf("%+v", row)
	}
}

func TestTheUserIsAskedWhereThePolicyWantsIt(t *testing.T) {
	action := aegis.Action{Type: "send_mail"}
	confirm := func(confirmed bool, err error) aegis.CallOption {
		return aegis.WithConfirm(func(context.Context, aegis.Action, aegis.Decision) (bool, error) { return confirmed, err })
	}
	t.Run("yes", func(t *testing.T) {
		daemon := aegistest.Start(t, policy)
		if result, err := aegis.Govern(t.Context(), daemon.Agent(confirm(true, nil)), action, returns(7)); err != nil || result != 7 {
			t.Error(result, err)
		}
		if rows := rows(t, daemon); len(rows) != 2 || rows[1].Result.Status != aegis.StatusSuccess {
			t.Errorf("%+v", rows)
		}
	})
	broken := errors.New("the terminal is gone")
	for name, refusal := range map[string]struct {
		option aegis.CallOption
		err    error
	}{
		"no":          {confirm(false, nil), aegis.ErrNotConfirmed},
		"nobody asks": {aegis.WithRetries(0), aegis.ErrNoConfirm},
		"an error":    {confirm(true, broken), broken},
	} {
		t.Run(name, func(t *testing.T) {
			daemon := aegistest.Start(t, policy)
			if _, err := aegis.Govern(t.Context(), daemon.Agent(), action, never(t), refusal.option); !errors.Is(err, refusal.err) {
				t.Error(err)
			}
			if row := row(t, daemon); row.Result.Status != aegis.StatusSkipped {
				t.Errorf("%+v", row)
			}
		})
	}
}

func TestAnApprovalTimeoutWithdraws(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	_, err := aegis.Govern(t.Context(), daemon.Agent(), aegis.Action{Type: "write"}, never(t), aegis.WithApprovalTimeout(50*time.Millisecond))
	denied := (*aegis.DeniedError)(nil)
	if !errors.As(err, &denied) || !errors.Is(err, aegis.ErrApprovalTimeout) || denied.Status != aegis.StatusDenied {
		t.Error(err)
	}
	if row := row(t, daemon); row.Ending.Kind != aegis.EndingCancelled {
		t.Errorf("%+v", row)
	}
}

// A hasty server asks for a reviewer, and gives up a moment before the caller's deadline.
type hasty struct {
	aegisv1.UnimplementedGovernanceServiceServer
}

func (hasty) Propose(context.Context, *aegisv1.ProposeRequest) (*aegisv1.ProposeResponse, error) {
	return &aegisv1.ProposeResponse{Decision: &aegisv1.Decision{DecisionId: "dec_1", Outcome: aegisv1.Outcome_OUTCOME_ESCALATE}}, nil
}

func (hasty) AwaitDecision(ctx context.Context, _ *aegisv1.AwaitDecisionRequest) (*aegisv1.AwaitDecisionResponse, error) {
	deadline, _ := ctx.Deadline()
	time.Sleep(time.Until(deadline) - 50*time.Millisecond)
	return nil, status.Error(codes.Canceled, "Timeout expired")
}

func (hasty) CancelProposal(context.Context, *aegisv1.CancelProposalRequest) (*aegisv1.CancelProposalResponse, error) {
	return &aegisv1.CancelProposalResponse{Decision: &aegisv1.Decision{DecisionId: "dec_1", Outcome: aegisv1.Outcome_OUTCOME_DENY}}, nil
}

func TestADeadlineIsOneWhoeverNoticesItFirst(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	aegisv1.RegisterGovernanceServiceServer(server, hasty{})
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()
	client, err := aegis.New(aegis.WithEndpoint("http://"+listener.Addr().String()), aegis.WithToken(""))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err = aegis.Govern(ctx, client, aegis.Action{Type: "write"}, never(t))
	if denied := (*aegis.DeniedError)(nil); !errors.As(err, &denied) || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestAProposalWhoseAnswerIsLateIsWithdrawn(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	// The daemon has the proposal, and says in its own way that the deadline is past.
	late := true
	agent := daemon.Agent(aegis.WithTimeout(3*time.Second), aegis.WithDialOptions(grpc.WithChainUnaryInterceptor(
		func(ctx context.Context, method string, request, reply any, connection *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
			err := invoke(ctx, method, request, reply, connection, options...)
			if late && strings.HasSuffix(method, "/Propose") {
				late = false
				deadline, _ := ctx.Deadline()
				time.Sleep(time.Until(deadline) - 500*time.Millisecond)
				return status.Error(codes.Canceled, "Timeout expired")
			}
			return err
		})))
	_, err := aegis.Govern(t.Context(), agent, aegis.Action{Type: "write"}, never(t))
	if failed := (*aegis.Error)(nil); !errors.As(err, &failed) || failed.Code != codes.DeadlineExceeded {
		t.Error(err)
	}
	if row := row(t, daemon); row.Ending == nil || row.Ending.Kind != aegis.EndingCancelled {
		t.Errorf("%+v", row)
	}
}

func TestACallerThatIsGoneWithdraws(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = daemon.Pending(t.Context(), "write")
		cancel()
	}()
	if _, err := aegis.Govern(ctx, daemon.Agent(), aegis.Action{Type: "write"}, never(t)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if row := row(t, daemon); row.Ending == nil || row.Ending.Kind != aegis.EndingCancelled {
		t.Errorf("%+v", row)
	}
	// An ALLOW that comes when the caller is gone already is not used.
	late, cancel := context.WithCancel(t.Context())
	hooks := aegis.WithHooks(aegis.Hooks{OnDecision: func(context.Context, aegis.Action, aegis.Decision) error { cancel(); return nil }})
	if _, err := aegis.Govern(late, daemon.Agent(), aegis.Action{Type: "read"}, never(t), hooks); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if rows := rows(t, daemon); rows[1].Result.Status != aegis.StatusSkipped {
		t.Errorf("%+v", rows[1])
	}
}

func TestACallerThatIsGoneBeforeTheAnswerWithdraws(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	ctx, cancel := context.WithCancel(t.Context())
	// The daemon has the proposal, and its answer comes when the caller is gone.
	agent := daemon.Agent(aegis.WithDialOptions(grpc.WithChainUnaryInterceptor(
		func(ctx context.Context, method string, request, reply any, connection *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
			err := invoke(ctx, method, request, reply, connection, options...)
			cancel()
			return errors.Join(err, ctx.Err())
		})))
	_, err := aegis.Govern(ctx, agent, aegis.Action{Type: "write"}, never(t))
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if row := row(t, daemon); row.Ending == nil || row.Ending.Kind != aegis.EndingCancelled {
		t.Errorf("%+v", row)
	}
	// Nothing is proposed for a caller that is gone from the start.
	if _, err := aegis.Govern(ctx, agent, aegis.Action{Type: "write"}, never(t)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	row(t, daemon)
}

func TestHooksWatchAndCannotChange(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	var seen []string
	hooks := aegis.Hooks{
		OnDecision: func(_ context.Context, action aegis.Action, decision aegis.Decision) error {
			seen = append(seen, "decision "+string(decision.Outcome))
			action.Params["limit"] = 1e9
			return nil
		},
		OnApproval: func(_ context.Context, _ aegis.Action, decision aegis.Decision) error {
			seen = append(seen, "approval "+string(decision.Outcome))
			return nil
		},
		OnExecute: func(_ context.Context, action aegis.Action, result aegis.Result) error {
			seen = append(seen, fmt.Sprintf("execute %s %v", result.Status, action.Params))
			return nil
		},
	}
	agent := daemon.Agent(aegis.WithHooks(hooks), aegis.WithApprovalHandler(daemon.Reviewer(), aegistest.ApproveAll))
	given := map[string]any{"limit": 10, "ids": []any{1, 2}}
	executor := aegis.ExecutorFunc(func(_ context.Context, action aegis.Action) (any, error) {
		if action.Params["limit"] != 10 {
			t.Errorf("%v", action.Params)
		}
		action.Params["ids"].([]any)[0] = 7
		return nil, nil
	})
	rt, err := aegis.NewRuntime(agent, executor)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rt.RunOne(t.Context(), aegis.Action{Type: "write", Params: given}); err != nil {
		t.Fatal(err)
	}
	if given["ids"].([]any)[0] != 1 {
		t.Error("the executor changed what the caller holds")
	}
	if got := strings.Join(seen, ", "); got != "decision ESCALATE, approval ALLOW, execute success map[ids:[1 2] limit:10]" {
		t.Error(got)
	}
}

func TestAHookThatPanicsKeepsTheActionFromRunning(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	hooks := aegis.WithHooks(aegis.Hooks{OnDecision: func(context.Context, aegis.Action, aegis.Decision) error { panic("broken") }})
	func() {
		defer func() { _ = recover() }()
		_, _ = aegis.Govern(t.Context(), daemon.Agent(), aegis.Action{Type: "write"}, never(t), hooks)
	}()
	if row := row(t, daemon); row.Ending == nil || row.Ending.Kind != aegis.EndingCancelled {
		t.Errorf("%+v", row)
	}
}

func TestApprovalHandlersAnswerAsReviewers(t *testing.T) {
	action := aegis.Action{Type: "write", Params: map[string]any{"to": "a\u202Eb"}}
	t.Run("on a terminal", func(t *testing.T) {
		daemon := aegistest.Start(t, policy)
		var out bytes.Buffer
		handler := aegis.CLIApprovalHandler(strings.NewReader("perhaps\nY\nno\n"), &out)
		agent := daemon.Agent(aegis.WithApprovalHandler(daemon.Reviewer(), handler))
		if result, err := aegis.Govern(t.Context(), agent, action, returns(7)); err != nil || result != 7 {
			t.Error(result, err)
		}
		if !strings.Contains(out.String(), `a\u{202E}b`) {
			t.Error(out.String())
		}
		_, err := aegis.Govern(t.Context(), agent, action, never(t))
		if denied := (*aegis.DeniedError)(nil); !errors.As(err, &denied) || !strings.Contains(denied.Decision.Reason, "human operator") {
			t.Error(err)
		}
		// The input has ended: nobody answered.
		if _, err := aegis.Govern(t.Context(), agent, action, never(t)); err == nil || !strings.Contains(err.Error(), "input ended") {
			t.Error(err)
		}
		if rows := rows(t, daemon); rows[2].Ending.Kind != aegis.EndingCancelled {
			t.Errorf("%+v", rows[2])
		}
	})
	t.Run("somebody else is quicker", func(t *testing.T) {
		daemon := aegistest.Start(t, policy)
		agent := daemon.Agent(aegis.WithApprovalHandler(daemon.Reviewer(), func(ctx context.Context, _ aegis.Approval) (aegis.ApprovalAnswer, error) {
			<-ctx.Done()
			return aegis.ApprovalAnswer{}, ctx.Err()
		}))
		go func() { _, _ = daemon.Approve(t.Context(), "write", "") }()
		if result, err := aegis.Govern(t.Context(), agent, action, returns(7)); err != nil || result != 7 {
			t.Error(result, err)
		}
	})
	t.Run("without a reviewer's credential", func(t *testing.T) {
		daemon := aegistest.Start(t, policy)
		agent := daemon.Agent()
		_, err := aegis.Govern(t.Context(), agent, action, never(t), aegis.WithApprovalHandler(agent, aegistest.ApproveAll))
		if status.Code(err) != codes.Unauthenticated {
			t.Error(err)
		}
		if _, err := aegis.Govern(t.Context(), agent, action, never(t), aegis.WithApprovalHandler(nil, aegistest.ApproveAll)); err == nil || !strings.Contains(err.Error(), "reviewer") {
			t.Error(err)
		}
		if row := row(t, daemon); row.Ending.Kind != aegis.EndingCancelled {
			t.Errorf("%+v", row)
		}
	})
}

func TestOnlyTheFirstEndOfAnExecutionCounts(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	execution, err := daemon.Agent().Begin(t.Context(), aegis.Action{Type: "read"})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(execution.Skip(t.Context(), "no need"), execution.End(t.Context(), 7, nil)); err != nil {
		t.Error(err)
	}
	if row := row(t, daemon); row.Result.Status != aegis.StatusSkipped || row.Result.Error != "no need" {
		t.Errorf("%+v", row)
	}
}

func TestAWrappedFunctionIsGoverned(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	remove := aegis.Wrap(daemon.Agent(), func(id int) aegis.Action {
		return aegis.Action{Type: "delete_contact", Params: map[string]any{"id": id}}
	}, func(context.Context, int) (int, error) {
		t.Error("the action ran")
		return 0, nil
	})
	if _, err := remove(t.Context(), 7); !errors.Is(err, aegis.ErrGovernance) {
		t.Error(err)
	}
	if row := row(t, daemon); row.Action.Params["id"] != 7.0 {
		t.Errorf("%+v", row)
	}
}
