package aegis_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
	"github.com/aegis-sidecar/aegis/clients/go/aegisv1"
)

// A quick daemon answers at once that nothing is decided, and ends each stream at once.
type quick struct {
	aegisv1.UnimplementedGovernanceServiceServer
	aegisv1.UnimplementedApprovalServiceServer

	calls  atomic.Int64
	enough context.CancelFunc
}

func (q *quick) AwaitDecision(_ context.Context, request *aegisv1.AwaitDecisionRequest) (*aegisv1.AwaitDecisionResponse, error) {
	if q.calls.Add(1) == 5 {
		q.enough()
	}
	return &aegisv1.AwaitDecisionResponse{
		Decision: &aegisv1.Decision{DecisionId: request.GetDecisionId(), Outcome: aegisv1.Outcome_OUTCOME_ESCALATE},
	}, nil
}

func (q *quick) StreamApprovals(*aegisv1.StreamApprovalsRequest, grpc.ServerStreamingServer[aegisv1.StreamApprovalsResponse]) error {
	if q.calls.Add(1) == 20 {
		q.enough()
	}
	return nil
}

func TestADaemonThatAnswersAtOnceIsNotAskedAllTheTime(t *testing.T) {
	for name, test := range map[string]struct {
		apart time.Duration
		use   func(context.Context, *aegis.Client) error
	}{
		"a wait": {100 * time.Millisecond, func(ctx context.Context, client *aegis.Client) error {
			_, err := client.Wait(ctx, "dec_1")
			return err
		}},
		"a stream": {20 * time.Millisecond, func(ctx context.Context, client *aegis.Client) error {
			for _, err := range client.StreamApprovals(ctx, aegis.ApprovalFilter{}) {
				return err
			}
			return nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ctx, enough := context.WithCancel(t.Context())
			defer enough()
			server, daemon := grpc.NewServer(), &quick{enough: enough}
			aegisv1.RegisterGovernanceServiceServer(server, daemon)
			aegisv1.RegisterApprovalServiceServer(server, daemon)
			go func() { _ = server.Serve(listener) }()
			defer server.Stop()
			client, err := aegis.New(
				aegis.WithEndpoint("http://"+listener.Addr().String()), aegis.WithToken(""), aegis.WithRetryDelay(0), aegis.WithRetries(1_000_000))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			began := time.Now()
			if err := test.use(ctx, client); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			// The machine may be slow: then there are fewer.
			if calls, most := daemon.calls.Load(), int64(time.Since(began)/test.apart)+1; calls > most {
				t.Errorf("%d calls, and at most %d in this time", calls, most)
			}
		})
	}
}
