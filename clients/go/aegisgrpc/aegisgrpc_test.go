package aegisgrpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
	"github.com/aegis-sidecar/aegis/clients/go/aegisgrpc"
	"github.com/aegis-sidecar/aegis/clients/go/aegistest"
)

const policy = `
version: "1"
rules:
  - name: guarded
    match: { type: "/grpc.health.v1.Health/Check" }
    conditions: { param_eq: { service: guarded } }
    risk_level: critical
    approval: block
  - { name: no_lists, match: { type: "/grpc.health.v1.Health/List" }, risk_level: critical, approval: block }
  - { name: the_rest, risk_level: low, approval: auto }
`

// A world is a server, a governed connection to it, and the daemon that governs.
type world struct {
	daemon     *aegistest.Daemon
	connection *grpc.ClientConn
	lock       sync.Mutex
	called     []string
}

func newWorld(t *testing.T) *world {
	w := &world{daemon: aegistest.Start(t, policy)}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	note := func(method string) {
		w.lock.Lock()
		defer w.lock.Unlock()
		w.called = append(w.called, method)
	}
	server := grpc.NewServer(
		grpc.ChainUnaryInterceptor(func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			note(info.FullMethod)
			return handle(ctx, request)
		}),
		grpc.ChainStreamInterceptor(func(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
			note(info.FullMethod)
			return handle(server, stream)
		}),
	)
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	reflection.Register(server)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	agent := w.daemon.Agent()
	w.connection, err = grpc.NewClient(listener.Addr().String(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithChainUnaryInterceptor(aegisgrpc.UnaryClientInterceptor(agent)),
		grpc.WithChainStreamInterceptor(aegisgrpc.StreamClientInterceptor(agent)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.connection.Close() })
	return w
}

func (w *world) calls() string {
	w.lock.Lock()
	defer w.lock.Unlock()
	return strings.Join(w.called, " ")
}

// row is the one row of the record, once it says what came of the action.
func (w *world) row(t *testing.T) aegis.AuditRow {
	t.Helper()
	for {
		rows, err := w.daemon.Rows(t.Context())
		if err != nil || len(rows) != 1 {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		if rows[0].Result.Status != "" {
			return rows[0]
		}
		time.Sleep(time.Millisecond)
	}
}

func TestAUnaryCallIsProposedMadeAndReported(t *testing.T) {
	w := newWorld(t)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer do-not-tell")
	answer, err := grpc_health_v1.NewHealthClient(w.connection).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err != nil || answer.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Fatal(answer, err)
	}
	row := w.row(t)
	text, _ := json.Marshal(row)
	if row.Action.Type != "/grpc.health.v1.Health/Check" || row.Action.Target != w.connection.CanonicalTarget() || row.Result.Status != aegis.StatusSuccess {
		t.Errorf("%s", text)
	}
	if strings.Contains(string(text), "do-not-tell") {
		t.Errorf("a credential is on the record: %s", text)
	}
}

func TestACallIsJudgedByItsRequestAndNotMadeWhenItIsBlocked(t *testing.T) {
	w := newWorld(t)
	client := grpc_health_v1.NewHealthClient(w.connection)
	_, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "guarded"})
	if denied := (*aegis.DeniedError)(nil); !errors.As(err, &denied) || status.Code(err) != codes.PermissionDenied {
		t.Fatal(err)
	}
	if called := w.calls(); called != "" {
		t.Error(called)
	}
	if row := w.row(t); row.Result.Status != aegis.StatusBlocked || row.Action.Params["service"] != "guarded" {
		t.Errorf("%+v", row)
	}
}

func TestACallThatFailsIsReportedAndKeepsItsStatus(t *testing.T) {
	w := newWorld(t)
	_, err := grpc_health_v1.NewHealthClient(w.connection).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "unheard"})
	if status.Code(err) != codes.NotFound {
		t.Fatal(err)
	}
	if row := w.row(t); row.Result.Status != aegis.StatusFailed || !strings.Contains(row.Result.Error, "NotFound") {
		t.Errorf("%+v", row)
	}
}

func TestAnotherAuthorityIsRefused(t *testing.T) {
	w := newWorld(t)
	client := grpc_health_v1.NewHealthClient(w.connection)
	_, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}, grpc.CallAuthority("internal"))
	if status.Code(err) != codes.InvalidArgument || w.calls() != "" {
		t.Fatal(err, w.calls())
	}
}

func TestAStreamIsReportedWhenItEnds(t *testing.T) {
	w := newWorld(t)
	stream, err := grpc_reflection_v1.NewServerReflectionClient(w.connection).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	request := &grpc_reflection_v1.ServerReflectionRequest{MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{}}
	if err := stream.Send(request); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	rows, err := w.daemon.Rows(t.Context())
	if err != nil || len(rows) != 1 || rows[0].Result.Status != "" {
		t.Fatalf("before its end: %+v %v", rows, err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Fatal(err)
	}
	if row := w.row(t); row.Result.Status != aegis.StatusSuccess {
		t.Errorf("%+v", row)
	}
}

func TestAStreamThatIsLeftIsReported(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := grpc_health_v1.NewHealthClient(w.connection).Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if row := w.row(t); row.Result.Status != aegis.StatusFailed || row.Result.Error != context.Canceled.Error() {
		t.Errorf("%+v", row)
	}
}

func TestAStreamThatIsBlockedIsNotOpened(t *testing.T) {
	w := newWorld(t)
	if err := w.daemon.SetPolicy(t.Context(), strings.ReplaceAll(policy, "Health/List", "Health/Watch")); err != nil {
		t.Fatal(err)
	}
	_, err := grpc_health_v1.NewHealthClient(w.connection).Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if status.Code(err) != codes.PermissionDenied || w.calls() != "" {
		t.Fatal(err, w.calls())
	}
	if row := w.row(t); row.Result.Status != aegis.StatusBlocked {
		t.Errorf("%+v", row)
	}
}
