package behaviours

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
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

// longest is longer than any behaviour takes, however busy the machine: reaching it is a failure.
const longest = time.Minute

func TestBehaviours(t *testing.T) {
	for _, path := range tablePaths {
		t.Run(filepath.Base(path), func(t *testing.T) { runTable(t, readTable(t, path)) })
	}
}

func runTable(t *testing.T, table table) {
	for _, behaviour := range table.Behaviours {
		if behaviour.Policy == "" {
			behaviour.Policy = table.Policy
		}
		transports := behaviour.Transports
		if len(transports) == 0 {
			transports = []string{"tcp"}
		}
		for _, transport := range transports {
			name := behaviour.Name
			if len(transports) > 1 {
				name += " (" + transport + ")"
			}
			t.Run(name, func(t *testing.T) { run(t, behaviour, transport) })
		}
	}
}

// A runner executes one behaviour.
type runner struct {
	t      *testing.T
	ctx    context.Context
	daemon *aegistest.Daemon
	agent  *aegis.Client
	// named are decisions by the name that a step gave them.
	named map[string]aegis.Decision
	// background are steps that run, by name.
	background map[string]<-chan outcome

	lock sync.Mutex
	// lost is the RPC whose next answer is lost.
	lost string
}

// An outcome is what a step came to: what it is compared with `expect` by, and its error.
type outcome struct {
	value any
	err   error
}

var errHook = errors.New("the hook raises")

func run(t *testing.T, b behaviour, transport string) {
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	r := &runner{t: t, ctx: ctx, named: map[string]aegis.Decision{}, background: map[string]<-chan outcome{}}
	options := []aegis.Option{
		aegis.WithToken(b.Token),
		aegis.WithRetryDelay(20 * time.Millisecond),
		aegis.WithDialOptions(grpc.WithChainUnaryInterceptor(r.loseAnswers)),
	}
	// An approval is seen before its proposal is answered: the retries last longer than a start of the daemon.
	if slices.ContainsFunc(b.Steps, func(s step) bool { return s.Daemon == "start" }) {
		options = append(options, aegis.WithRetries(9))
	}
	switch {
	case b.Stub != nil:
		agent, err := aegis.New(append(options, aegis.WithEndpoint(serveStub(t, b.Stub)))...)
		if err != nil {
			t.Fatal(err)
		}
		r.agent = agent
		defer agent.Close()
	case transport == "tcp" || transport == "unix":
		r.daemon = aegistest.Start(t, b.Policy)
		if transport == "unix" {
			options = append(options, aegis.WithEndpoint(r.daemon.UnixEndpoint))
		}
		if b.Environment == nil {
			r.agent = r.daemon.Agent(options...)
			break
		}
		setEnvironment(t, r.daemon, *b.Environment)
		// Without endpoint and credential.
		agent, err := aegis.New(options[1:]...)
		if err != nil {
			t.Fatal(err)
		}
		r.agent = agent
		defer agent.Close()
	default:
		t.Fatalf("the transport %s is not known here", transport)
	}
	for i, step := range b.Steps {
		if err := r.step(step); err != nil {
			t.Fatalf("step %d: %v", i+1, err)
		}
	}
	if len(r.background) > 0 {
		t.Errorf("nothing joins %v", r.background)
	}
	r.compareRecord(b)
}

// setEnvironment gives this process the variables of a behaviour, and no other ones that say where a daemon is.
func setEnvironment(t *testing.T, daemon *aegistest.Daemon, environment map[string]string) {
	// Not t.TempDir, as the name of a socket has at most 108 bytes.
	home, err := os.MkdirTemp("", "home-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	state, empty := filepath.Join(home, ".local", "state"), filepath.Join(home, "empty")
	dataDir := filepath.Join(state, "aegis")
	if err := errors.Join(os.MkdirAll(state, 0o700), os.Mkdir(empty, 0o700), os.Symlink(daemon.DataDir, dataDir)); err != nil {
		t.Fatal(err)
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	known := map[string]string{
		"$home": home, "$state_home": state, "$data_dir": dataDir, "$endpoint": daemon.Endpoint, "$empty": empty,
		"$nobody": "http://" + closed.Addr().String(),
	}
	variables := []string{"AEGIS_ENDPOINT", "AEGIS_DATA_DIR", "AEGIS_TOKEN", "AEGIS_API_KEY", "XDG_STATE_HOME", "HOME"}
	for _, name := range variables {
		// Set first, so that the test puts back what was there.
		t.Setenv(name, "")
		_ = os.Unsetenv(name)
	}
	for name, value := range environment {
		if meant, ok := known[value]; ok {
			value = meant
		}
		if !slices.Contains(variables, name) || strings.HasPrefix(value, "$") {
			t.Fatalf("environment: %s: %s is not known here", name, value)
		}
		t.Setenv(name, value)
	}
}

// serveStub serves an agent side whose every decision has one outcome, known or not.
func serveStub(t *testing.T, stub *stub) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	aegisv1.RegisterGovernanceServiceServer(server, &stubServer{outcome: aegisv1.Outcome(stub.Propose.Outcome)})
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return "http://" + listener.Addr().String()
}

type stubServer struct {
	aegisv1.UnimplementedGovernanceServiceServer
	outcome aegisv1.Outcome
}

func (s *stubServer) Propose(context.Context, *aegisv1.ProposeRequest) (*aegisv1.ProposeResponse, error) {
	return &aegisv1.ProposeResponse{Decision: &aegisv1.Decision{DecisionId: "dec_stub", Outcome: s.outcome}}, nil
}

// loseAnswers lets the call of the RPC that is to be lost reach the daemon, and its answer not reach the client.
func (r *runner) loseAnswers(
	ctx context.Context, method string, request, reply any, connection *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	err := invoke(ctx, method, request, reply, connection, options...)
	r.lock.Lock()
	defer r.lock.Unlock()
	if err == nil && r.lost != "" && strings.HasSuffix(method, "/"+r.lost) {
		r.lost = ""
		return status.Error(codes.Unavailable, "the answer is lost")
	}
	return err
}

func (r *runner) step(s step) error {
	verb, err := s.verb()
	if err != nil {
		return err
	}
	if s.InBackground != "" {
		done := make(chan outcome, 1)
		go func() { done <- r.act(verb, s) }()
		r.background[s.InBackground] = done
		if !s.Expect.IsZero() || s.ExpectError != nil {
			return errors.New("what runs in the background is compared where it is joined")
		}
		return nil
	}
	return r.check(s, r.act(verb, s))
}

func (r *runner) act(verb string, s step) outcome {
	ctx := r.ctx
	if s.Deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.Deadline)
		defer cancel()
	}
	switch verb {
	case "Governed":
		return r.govern(ctx, s)
	case "Plan":
		return r.plan(ctx, s)
	case "Propose":
		return r.propose(ctx, s)
	case "Wait":
		return decided(r.agent.Wait(ctx, r.named[s.Wait].DecisionID))
	case "Cancel":
		return decided(r.agent.Cancel(ctx, r.named[s.Cancel].DecisionID, s.Reason))
	case "Evaluate":
		return r.evaluate(ctx, s)
	case "ListPending":
		approvals, err := r.agent.ListApprovals(ctx, aegis.ApprovalFilter{})
		return outcome{approvals, err}
	case "Approve":
		_, err := r.daemon.Approve(ctx, s.Approve.Type, s.Reason)
		return outcome{err: err}
	case "Deny":
		_, err := r.daemon.Deny(ctx, s.Deny.Type, s.Reason)
		return outcome{err: err}
	case "AwaitPending":
		_, err := r.daemon.Pending(ctx, s.AwaitPending.Type)
		return outcome{err: err}
	case "Join":
		done, ok := r.background[s.Join]
		if !ok {
			return outcome{err: fmt.Errorf("nothing runs as %s", s.Join)}
		}
		delete(r.background, s.Join)
		return <-done
	case "Daemon":
		switch s.Daemon {
		case "kill":
			return outcome{err: r.daemon.Kill()}
		case "start":
			return outcome{err: r.daemon.Restart()}
		}
		return outcome{err: fmt.Errorf("daemon: %s is not known here", s.Daemon)}
	case "Policy":
		return outcome{err: r.daemon.SetPolicy(ctx, s.Policy)}
	case "LoseAnswer":
		r.lock.Lock()
		defer r.lock.Unlock()
		r.lost = s.LoseAnswer
		return outcome{}
	default:
		return outcome{err: fmt.Errorf("the verb %s is not known here", verb)}
	}
}

func decided(decision *aegis.Decision, err error) outcome {
	if err != nil {
		return outcome{err: err}
	}
	return outcome{value: withResult(decision)}
}

// withResult is a decision with its result as the rows of the record have it.
func withResult(decision *aegis.Decision) map[string]any {
	got := asJSON(decision).(map[string]any)
	got["replayed"] = decision.Replayed
	if decision.Result != nil {
		got["result_status"], got["result_data"] = decision.Result.Status, decision.Result.Data
	}
	return got
}

func (r *runner) govern(ctx context.Context, s step) outcome {
	ran := false
	options, err := hooked(s)
	if err != nil {
		return outcome{err: err}
	}
	options = append(options, s.keyed()...)
	data, err := aegis.Govern(ctx, r.agent, s.Governed.sdk(), func(context.Context, aegis.Decision) (any, error) {
		ran = true
		return s.Executor.run()
	}, options...)
	got := map[string]any{"ran": ran, "status": "success", "data": data}
	denied, reported := (*aegis.DeniedError)(nil), (*aegis.AlreadyReportedError)(nil)
	switch {
	case errors.As(err, &reported):
		got["status"], got["error"] = string(reported.Result.Status), err.Error()
		err = nil
	case errors.As(err, &denied):
		got["status"], got["reason"] = string(denied.Status), denied.Decision.Reason
		err = nil
	case ran && err != nil:
		got["status"], got["error"] = "failed", err.Error()
		err = nil
	}
	return outcome{got, err}
}

// keyed are the options of a step that has a key or a session.
func (s step) keyed() []aegis.CallOption {
	var options []aegis.CallOption
	if s.IdempotencyKey != "" {
		options = append(options, aegis.WithIdempotencyKey(s.IdempotencyKey))
	}
	if s.Session != "" {
		options = append(options, aegis.WithSession(s.Session))
	}
	return options
}

func (e executor) run() (any, error) {
	if e.Raises != "" {
		return nil, errors.New(e.Raises)
	}
	return e.Returns, nil
}

func hooked(s step) ([]aegis.CallOption, error) {
	if s.Hook == nil {
		return nil, nil
	}
	switch s.Hook.OnDecision {
	case "tries_to_allow":
		return []aegis.CallOption{aegis.WithHooks(aegis.Hooks{OnDecision: func(_ context.Context, action aegis.Action, decision aegis.Decision) error {
			decision.Outcome, decision.ApprovalMode = aegis.OutcomeAllow, aegis.ApprovalAuto
			action.Type = "read_contacts"
			return nil
		}})}, nil
	case "raises":
		return []aegis.CallOption{aegis.WithHooks(aegis.Hooks{OnDecision: func(context.Context, aegis.Action, aegis.Decision) error {
			return errHook
		}})}, nil
	default:
		return nil, fmt.Errorf("on_decision: %s is not known here", s.Hook.OnDecision)
	}
}

// byType executes the actions of a plan by their types, and notes in which order.
type byType struct {
	executors map[string]executor
	ran       []string
}

func (e *byType) Execute(_ context.Context, action aegis.Action) (any, error) {
	e.ran = append(e.ran, action.Type)
	return e.executors[action.Type].run()
}

func (e *byType) Verify(_ context.Context, action aegis.Action, _ any) (bool, error) {
	verifies := e.executors[action.Type].Verifies
	return verifies == nil || *verifies, nil
}

func (r *runner) plan(ctx context.Context, s step) outcome {
	executor := &byType{executors: map[string]executor{}, ran: []string{}}
	var actions []aegis.Action
	for _, planned := range s.Plan {
		actions = append(actions, planned.Action.sdk())
		executor.executors[planned.Action.Type] = planned.Executor
	}
	options := []aegis.RuntimeOption{aegis.WithActionRetries(s.MaxRetries, time.Millisecond)}
	if s.Rollback != nil {
		options = append(options, aegis.WithRollback(func(aegis.Action, error) (aegis.Action, bool) { return s.Rollback.sdk(), true }))
	}
	runtime, err := aegis.NewRuntime(r.agent, executor, options...)
	if err != nil {
		return outcome{err: err}
	}
	plan, err := runtime.Plan(ctx, actions...)
	if err != nil {
		return outcome{err: err}
	}
	var results []aegis.Result
	if s.DryRun {
		results = plan.DryRun()
	} else {
		results, err = runtime.Execute(ctx, plan, s.keyed()...)
	}
	statuses := []string{}
	for _, result := range results {
		statuses = append(statuses, string(result.Status))
	}
	return outcome{map[string]any{"statuses": statuses, "ran": executor.ran}, err}
}

func (r *runner) propose(ctx context.Context, s step) outcome {
	options := s.keyed()
	if s.Confirms != "" {
		options = append(options, aegis.WithConfirmationToken(r.named[s.Confirms].ConfirmationToken))
	}
	decisions := make([]*aegis.Decision, max(s.Times, 1))
	failures := make([]error, len(decisions))
	var all sync.WaitGroup
	for i := range decisions {
		all.Go(func() { decisions[i], failures[i] = r.agent.Propose(ctx, s.Propose.sdk(), options...) })
	}
	all.Wait()
	if err := errors.Join(failures...); err != nil {
		if len(failures) == 1 {
			err = failures[0]
		}
		return outcome{err: err}
	}
	distinct, outcomes := map[string]bool{}, map[aegis.Outcome]bool{}
	for _, decision := range decisions {
		distinct[decision.DecisionID], outcomes[decision.Outcome] = true, true
	}
	if len(outcomes) != 1 {
		return outcome{err: fmt.Errorf("the outcomes differ: %v", outcomes)}
	}
	if s.As != "" {
		r.named[s.As] = *decisions[0]
	}
	got := withResult(decisions[0])
	got["distinct_decisions"] = len(distinct)
	return outcome{value: got}
}

func (r *runner) evaluate(ctx context.Context, s step) outcome {
	if len(s.Evaluate) == 1 {
		evaluation, err := r.agent.Evaluate(ctx, s.Evaluate[0].sdk())
		if err != nil {
			return outcome{err: err}
		}
		return outcome{value: []any{asJSON(evaluation)}}
	}
	var actions []aegis.Action
	for _, action := range s.Evaluate {
		actions = append(actions, action.sdk())
	}
	evaluations, err := r.agent.EvaluateMany(ctx, actions)
	return outcome{asJSON(evaluations), err}
}

// check compares what a step came to with what is expected of it.
func (r *runner) check(s step, got outcome) error {
	if s.ExpectError != nil {
		if err := s.ExpectError.matches(got.err); err != nil {
			return err
		}
	} else if got.err != nil {
		return got.err
	}
	if s.Expect.IsZero() {
		return nil
	}
	if many := []map[string]any{}; s.Expect.Decode(&many) == nil {
		list, ok := got.value.([]any)
		if !ok || len(list) != len(many) {
			return fmt.Errorf("%v, and not %d of them", got.value, len(many))
		}
		for i := range many {
			if err := r.fields(many[i], list[i].(map[string]any)); err != nil {
				return fmt.Errorf("[%d]: %w", i, err)
			}
		}
		return nil
	}
	var one map[string]any
	if err := s.Expect.Decode(&one); err != nil {
		return err
	}
	value, ok := got.value.(map[string]any)
	if !ok {
		return fmt.Errorf("there is nothing to compare with %v", one)
	}
	return r.fields(one, value)
}

// fields compares the fields that are expected.
func (r *runner) fields(expected, got map[string]any) error {
	for name, want := range expected {
		value, known := got[name]
		switch name {
		case "same_decision_as":
			want, value, known = r.named[want.(string)].DecisionID, got["decision_id"], true
		case "approval":
			value, known = got["approval_mode"]
		case "reason", "error":
			text, _ := value.(string)
			if !strings.Contains(text, want.(string)) {
				return fmt.Errorf("%s is %q, which does not hold %q", name, text, want)
			}
			continue
		}
		if !known {
			return fmt.Errorf("there is no %s in %v", name, got)
		}
		if want, value := asJSON(want), asJSON(value); !reflect.DeepEqual(want, value) {
			return fmt.Errorf("%s is %#v, and not %#v", name, value, want)
		}
	}
	return nil
}

func (e expectedError) matches(err error) error {
	wrong := func(what string) error { return fmt.Errorf("the error is not %s: %w", what, err) }
	if err == nil {
		return fmt.Errorf("there is no error, and not %+v", e)
	}
	failed, invalid := (*aegis.Error)(nil), (*aegis.InvalidActionError)(nil)
	switch e.Kind {
	case "transport":
		if !errors.As(err, &failed) || errors.Is(err, aegis.ErrGovernance) {
			return wrong("one of transport")
		}
	case "governance":
		if !errors.Is(err, aegis.ErrGovernance) {
			return wrong("one of governance")
		}
	case "invalid_action":
		if !errors.As(err, &invalid) || !errors.Is(err, aegis.ErrGovernance) {
			return wrong("about an action that is not valid")
		}
	case "already_claimed":
		if claimed := (*aegis.AlreadyClaimedError)(nil); !errors.As(err, &claimed) || !errors.Is(err, aegis.ErrGovernance) {
			return wrong("about what another call may run")
		}
	case "hook":
		if err != errHook {
			return wrong("the hook's")
		}
	default:
		return fmt.Errorf("the kind %s is not known here", e.Kind)
	}
	if e.Path != "" && (invalid == nil || invalid.Path != e.Path) {
		return wrong("at " + e.Path)
	}
	if e.Code != "" {
		var code codes.Code
		if err := code.UnmarshalJSON([]byte(`"` + e.Code + `"`)); err != nil {
			return err
		}
		if status.Code(err) != code {
			return wrong(e.Code)
		}
	}
	if e.Reason != "" && (!errors.As(err, &failed) || failed.Reason != e.Reason) {
		return wrong(e.Reason)
	}
	return nil
}

func (r *runner) compareRecord(b behaviour) {
	if b.Record == nil && b.RecordCount == nil {
		return
	}
	rows, err := r.daemon.Rows(r.ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	want := len(rows)
	if b.RecordCount != nil {
		want = *b.RecordCount
	}
	if b.Record != nil {
		want = len(*b.Record)
	}
	if len(rows) != want {
		r.t.Fatalf("there are %d rows, and not %d", len(rows), want)
	}
	if b.Record == nil {
		return
	}
	for i, expected := range *b.Record {
		row := asJSON(rows[i]).(map[string]any)
		action := row["action"].(map[string]any)
		row["type"], row["target"] = action["type"], action["target"]
		if result, ok := row["result"].(map[string]any); ok {
			row["result_status"], row["result_data"], row["result_error"] = result["status"], result["data"], result["error"]
		}
		if ending, ok := row["ending"].(map[string]any); ok {
			row["ending"] = ending["kind"]
		}
		if err := r.fields(expected, row); err != nil {
			r.t.Errorf("row %d: %v", i+1, err)
		}
	}
}

// asJSON is a value as it reads back from JSON, so that values of different types compare.
func asJSON(value any) any {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	var plain any
	if err := json.Unmarshal(text, &plain); err != nil {
		panic(err)
	}
	return plain
}
