package aegis_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
	"github.com/aegis-sidecar/aegis/clients/go/aegistest"
	"github.com/aegis-sidecar/aegis/clients/go/aegisv1"
)

const runKey = "one-run-of-this-action"

func TestManyCallsWithOneKeyAreOneRun(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	agent := daemon.Agent()
	var ran, claimed atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			got, err := aegis.Govern(t.Context(), agent, aegis.Action{Type: "read"}, func(context.Context, aegis.Decision) (int, error) {
				ran.Add(1)
				return 7, nil
			}, aegis.WithIdempotencyKey(runKey))
			switch {
			case errors.Is(err, aegis.ErrAlreadyClaimed):
				claimed.Add(1)
			case err != nil || got != 7:
				t.Error(got, err)
			}
		})
	}
	all.Wait()
	if ran.Load() != 1 {
		t.Errorf("%d runs, %d claimed", ran.Load(), claimed.Load())
	}
	row(t, daemon)
}

func TestARecordedResultComesInTheTypeOfTheFunction(t *testing.T) {
	type contact struct {
		Name string `json:"name"`
		Age  int    `json:"age"`
	}
	daemon := aegistest.Start(t, policy)
	agent, action := daemon.Agent(), aegis.Action{Type: "read"}
	key := aegis.WithIdempotencyKey(runKey)
	want := []contact{{"Ada", 36}}
	for range 2 {
		got, err := aegis.Govern(t.Context(), agent, action, returns(want), key)
		if err != nil || len(got) != 1 || got[0] != want[0] {
			t.Error(got, err)
		}
	}
	if plain, err := aegis.Govern(t.Context(), agent, action, func(context.Context, aegis.Decision) (any, error) {
		t.Error("it ran again")
		return nil, nil
	}, key); err != nil || len(plain.([]any)) != 1 {
		t.Error(plain, err)
	}
	// What the type cannot hold whole is an error.
	reported := (*aegis.AlreadyReportedError)(nil)
	for _, call := range []func() error{
		func() error { _, err := aegis.Govern(t.Context(), agent, action, returns(1), key); return err },
		func() error {
			_, err := aegis.Govern(t.Context(), agent, action, returns([]struct{ Name string }{}), key)
			return err
		},
	} {
		if err := call(); !errors.As(err, &reported) || reported.Cause == nil || reported.Result.Status != aegis.StatusSuccess {
			t.Error(err)
		}
	}
	// Nothing on the record is nothing where the type has that, and no made-up zero elsewhere.
	other := aegis.WithIdempotencyKey(runKey + "-of-nothing")
	if _, err := aegis.Govern(t.Context(), agent, action, returns[any](nil), other); err != nil {
		t.Error(err)
	}
	if got, err := aegis.Govern(t.Context(), agent, action, returns(map[string]int{}), other); got != nil || err != nil {
		t.Error(got, err)
	}
	if _, err := aegis.Govern(t.Context(), agent, action, returns(1), other); !errors.Is(err, aegis.ErrAlreadyReported) {
		t.Error(err)
	}
}

func TestARuntimeRunsOneActionOnceUnderAKey(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	attempts := 0
	broken := errors.New("the database is away")
	rt := newRuntime(t, daemon.Agent(), func(context.Context, aegis.Action) (any, error) { attempts++; return nil, broken })
	key := aegis.WithIdempotencyKey(runKey)
	first, err := rt.RunOne(t.Context(), aegis.Action{Type: "read"}, key)
	if err != nil || first.Status != aegis.StatusFailed || !errors.Is(first.Err, broken) {
		t.Errorf("%+v, %v", first, err)
	}
	again, err := rt.RunOne(t.Context(), aegis.Action{Type: "read"}, key)
	if err != nil || again.Status != aegis.StatusFailed || !errors.Is(again.Err, aegis.ErrAlreadyReported) || again.Attempts != 0 || attempts != 1 {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestAConfirmationIsRedeemedByOneCall(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	var ran, claimed atomic.Int32
	var both sync.WaitGroup
	both.Add(2)
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			_, err := aegis.Govern(t.Context(), daemon.Agent(), aegis.Action{Type: "send"}, func(context.Context, aegis.Decision) (any, error) {
				ran.Add(1)
				return "sent", nil
			}, aegis.WithIdempotencyKey(runKey), aegis.WithConfirm(func(context.Context, aegis.Action, aegis.Decision) (bool, error) {
				both.Done()
				both.Wait()
				return true, nil
			}))
			switch {
			case errors.Is(err, aegis.ErrAlreadyClaimed):
				claimed.Add(1)
			case err != nil:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if ran.Load() != 1 || claimed.Load() != 1 {
		t.Errorf("%d runs, %d claimed", ran.Load(), claimed.Load())
	}
}

// A busy server refuses the first proposals, with or without advice.
type busy struct {
	aegisv1.UnimplementedGovernanceServiceServer
	advice   time.Duration
	refusals atomic.Int32
}

func (b *busy) Propose(context.Context, *aegisv1.ProposeRequest) (*aegisv1.ProposeResponse, error) {
	if b.refusals.Add(1) > 2 {
		return &aegisv1.ProposeResponse{Decision: &aegisv1.Decision{DecisionId: "dec_1", Outcome: aegisv1.Outcome_OUTCOME_DENY}}, nil
	}
	refusal := status.New(codes.ResourceExhausted, "busy")
	if b.advice > 0 {
		refusal, _ = refusal.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(b.advice)})
	}
	return nil, refusal.Err()
}

func TestACallIsRepeatedWhereTheDaemonSaysSoAndWhenItSaysSo(t *testing.T) {
	for name, advice := range map[string]time.Duration{"with advice": 20 * time.Millisecond, "without": 0} {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			server, busy := grpc.NewServer(), &busy{advice: advice}
			aegisv1.RegisterGovernanceServiceServer(server, busy)
			go func() { _ = server.Serve(listener) }()
			defer server.Stop()
			// Its own pauses would last for minutes.
			client, err := aegis.New(aegis.WithEndpoint("http://"+listener.Addr().String()), aegis.WithToken(""), aegis.WithRetryDelay(time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
			defer cancel()
			decision, err := client.Propose(ctx, aegis.Action{Type: "read"})
			if advice > 0 {
				if err != nil || decision.Outcome != aegis.OutcomeDeny || busy.refusals.Load() != 3 {
					t.Error(err, busy.refusals.Load())
				}
				return
			}
			if failed := (*aegis.Error)(nil); !errors.As(err, &failed) || failed.RetryAfter != 0 || busy.refusals.Load() != 1 {
				t.Error(err, busy.refusals.Load())
			}
		})
	}
}
