package aegisgrpc_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/aegis-sidecar/aegis/clients/go/aegisgrpc"
	"github.com/aegis-sidecar/aegis/clients/go/aegistest"
)

const attackPolicy = `
version: "1"
rules:
  - name: guarded
    match: { type: "/grpc.health.v1.Health/*" }
    conditions: { param_eq: { service: guarded } }
    risk_level: critical
    approval: block
  - { name: for_real, match: { type: "/x.Y/Purge" }, conditions: { param_eq: { dry_run: false } }, risk_level: critical, approval: block }
  - { name: ask, match: { type: "*" }, conditions: { param_eq: { service: safe } }, risk_level: high, approval: approve }
  - { name: the_rest, risk_level: low, approval: auto }
`

// A target is a server that takes every method, and notes what it is sent, and a governed connection to it.
type target struct {
	daemon     *aegistest.Daemon
	connection *grpc.ClientConn
	lock       sync.Mutex
	seen       []string
}

func newTarget(t *testing.T) *target {
	it := &target{daemon: aegistest.Start(t, attackPolicy)}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		method, _ := grpc.MethodFromServerStream(stream)
		var message emptypb.Empty
		if err := stream.RecvMsg(&message); err != nil {
			return err
		}
		it.lock.Lock()
		it.seen = append(it.seen, fmt.Sprintf("%s %q", method, message.ProtoReflect().GetUnknown()))
		it.lock.Unlock()
		return stream.SendMsg(&emptypb.Empty{})
	}))
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	agent := it.daemon.Agent()
	it.connection, err = grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithChainUnaryInterceptor(aegisgrpc.UnaryClientInterceptor(agent)),
		grpc.WithChainStreamInterceptor(aegisgrpc.StreamClientInterceptor(agent)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = it.connection.Close() })
	return it
}

func (it *target) calls() []string {
	it.lock.Lock()
	defer it.lock.Unlock()
	return slices.Clone(it.seen)
}

// checked calls Health.Check with some message.
func (it *target) check(ctx context.Context, message any, options ...grpc.CallOption) error {
	return it.connection.Invoke(ctx, grpc_health_v1.Health_Check_FullMethodName, message, &emptypb.Empty{}, options...)
}

const sentSafe = `/grpc.health.v1.Health/Check "\n\x04safe"`

func TestAMessageThatChangesWhileAReviewerThinksIsSentAsItWas(t *testing.T) {
	for name, message := range map[string]interface{ set(string) any }{"v2": &v2Message{}, "v1": &v1Message{}} {
		t.Run(name, func(t *testing.T) {
			it := newTarget(t)
			ended := make(chan error, 1)
			request := message.set("safe")
			go func() { ended <- it.check(t.Context(), request) }()
			approval, err := it.daemon.Pending(t.Context(), grpc_health_v1.Health_Check_FullMethodName)
			if err != nil {
				t.Fatal(err)
			}
			message.set("guarded")
			if _, err := it.daemon.Reviewer().Approve(t.Context(), approval, "looks right"); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			if calls := it.calls(); !slices.Equal(calls, []string{sentSafe}) {
				t.Error(calls)
			}
		})
	}
}

type v2Message struct {
	grpc_health_v1.HealthCheckRequest
}

func (m *v2Message) set(service string) any {
	m.Service = service
	return &m.HealthCheckRequest
}

// A v1Message is what protoc-gen-go wrote before it knew reflection.
type v1Message struct {
	Service string `protobuf:"bytes,1,opt,name=service,proto3" json:"service,omitempty"`
}

func (m *v1Message) Reset()         { *m = v1Message{} }
func (m *v1Message) String() string { return m.Service }
func (*v1Message) ProtoMessage()    {}

func (m *v1Message) set(service string) any {
	m.Service = service
	return m
}

func TestAMessageOfTheFirstGenerationIsShown(t *testing.T) {
	it := newTarget(t)
	if err := it.check(t.Context(), &v1Message{Service: "guarded"}); status.Code(err) != codes.PermissionDenied {
		t.Error(err)
	}
	if err := it.check(t.Context(), &v1Message{Service: "open"}); err != nil {
		t.Error(err)
	}
	if calls := it.calls(); len(calls) != 1 || !strings.Contains(calls[0], "open") {
		t.Error(calls)
	}
}

// A liar shows one thing, and writes another.
type liar struct{ v1Message }

func (*liar) Marshal() ([]byte, error) { return []byte("\x0a\x07guarded"), nil }

func (m *liar) Unmarshal(text []byte) error {
	m.Service = string(text[2:])
	return nil
}

// A codec of the caller's own.
type ownCodec struct{}

func (ownCodec) Marshal(value any) ([]byte, error)  { return []byte("\x0a\x07guarded"), nil }
func (ownCodec) Unmarshal(text []byte, _ any) error { return nil }
func (ownCodec) Name() string                       { return "own" }

func TestAMessageThatCannotBeShownWholeIsNotSent(t *testing.T) {
	encoding.RegisterCodec(ownCodec{})
	it := newTarget(t)
	hidden := &emptypb.Empty{}
	hidden.ProtoReflect().SetUnknown([]byte("\x0a\x07guarded"))
	inside := &descriptorpb.FileDescriptorProto{MessageType: []*descriptorpb.DescriptorProto{{Field: []*descriptorpb.FieldDescriptorProto{{}}}}}
	inside.MessageType[0].Field[0].ProtoReflect().SetUnknown([]byte("\xf2\xff\x01\x01x"))
	plain := &grpc_health_v1.HealthCheckRequest{Service: "open"}
	for name, err := range map[string]error{
		"unknown fields":             it.check(t.Context(), hidden),
		"unknown fields inside":      it.check(t.Context(), inside),
		"no message":                 it.check(t.Context(), map[string]any{"service": "guarded"}),
		"nothing":                    it.check(t.Context(), nil),
		"another codec by its name":  it.check(t.Context(), plain, grpc.CallContentSubtype("own")),
		"another codec":              it.check(t.Context(), plain, grpc.ForceCodec(ownCodec{})),
		"another host":               it.check(metadata.AppendToOutgoingContext(t.Context(), "host", "internal"), plain),
		"an unknown field, streamed": watch(t, it, hidden),
	} {
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "aegisgrpc") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What it shows may be anything: what it writes is what counts.
	if err := it.check(t.Context(), &liar{v1Message{Service: "open"}}); err == nil {
		t.Error("a message that writes itself otherwise than it looks was sent")
	}
	if calls := it.calls(); len(calls) != 0 {
		t.Error(calls)
	}
}

// Options of another package, by which it hands on one of gRPC's.
type (
	embedding   struct{ grpc.ForceCodecCallOption }
	further     struct{ *embedding }
	anyOption   struct{ grpc.CallOption }
	ownOption   struct{ grpc.EmptyCallOption }
	ownOptional struct{ *grpc.EmptyCallOption }
)

func TestNoOptionOfACallGoesUnseen(t *testing.T) {
	it := newTarget(t)
	plain := &grpc_health_v1.HealthCheckRequest{Service: "open"}
	codec := grpc.ForceCodecCallOption{Codec: ownCodec{}}
	for name, option := range map[string]grpc.CallOption{
		"a pointer to one":        &codec,
		"one that is embedded":    embedding{codec},
		"one that is so twice":    further{&embedding{codec}},
		"one of another's making": anyOption{anyOption{grpc.ForceCodecV2CallOption{}}},
		"an authority":            &grpc.AuthorityOverrideCallOption{Authority: "internal"},
		"an embedded authority":   anyOption{grpc.CallAuthority("internal")},
		"a codec by its name":     anyOption{grpc.CallContentSubtype("own")},
		"nothing":                 anyOption{},
		"nil":                     nil,
	} {
		if err := it.check(t.Context(), plain, option); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "aegisgrpc") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if calls := it.calls(); len(calls) != 0 {
		t.Fatal(calls)
	}
	var header metadata.MD
	if err := it.check(t.Context(), plain, grpc.Header(&header), grpc.WaitForReady(true), grpc.StaticMethod(), grpc.MaxCallSendMsgSize(1<<20),
		grpc.CallContentSubtype("proto"), grpc.OnFinish(func(error) {}), ownOption{}, &ownOption{}, anyOption{ownOption{}}, ownOptional{&grpc.EmptyCallOption{}}); err != nil {
		t.Error(err)
	}
}

func TestMetadataThatChangesWhileAReviewerThinksIsSentAsItWas(t *testing.T) {
	daemon := aegistest.Start(t, attackPolicy)
	ctx, held := t.Context(), metadata.MD{"tenant": {"ours"}}
	asked := make(chan error, 1)
	go func() {
		approval, err := daemon.Pending(ctx, grpc_health_v1.Health_Check_FullMethodName)
		if err == nil {
			held["tenant"][0], held["host"] = "theirs", []string{"internal"}
			_, err = daemon.Reviewer().Approve(ctx, approval, "")
		}
		asked <- err
	}()
	connection, err := grpc.NewClient("passthrough:///nowhere", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	var sent metadata.MD
	note := func(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
		sent, _ = metadata.FromOutgoingContext(ctx)
		return nil
	}
	err = aegisgrpc.UnaryClientInterceptor(daemon.Agent())(metadata.NewOutgoingContext(ctx, held), grpc_health_v1.Health_Check_FullMethodName,
		&grpc_health_v1.HealthCheckRequest{Service: "safe"}, &emptypb.Empty{}, connection, note)
	if err := errors.Join(err, <-asked); err != nil {
		t.Fatal(err)
	}
	if len(sent) != 1 || sent.Get("tenant")[0] != "ours" {
		t.Error(sent)
	}
}

func watch(t *testing.T, it *target, message proto.Message) error {
	stream, err := it.connection.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, grpc_health_v1.Health_Watch_FullMethodName)
	if err != nil {
		return err
	}
	return stream.SendMsg(message)
}

func TestZeroValuesAreShown(t *testing.T) {
	it := newTarget(t)
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("x.proto"), Package: proto.String("x"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("PurgeRequest"), Field: []*descriptorpb.FieldDescriptorProto{{
			Name: proto.String("dry_run"), Number: proto.Int32(1),
			Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(), Type: descriptorpb.FieldDescriptorProto_TYPE_BOOL.Enum(),
		}}}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	purge := dynamicpb.NewMessage(file.Messages().Get(0))
	if err := it.connection.Invoke(t.Context(), "/x.Y/Purge", purge, &emptypb.Empty{}); status.Code(err) != codes.PermissionDenied {
		t.Error(err)
	}
	if calls := it.calls(); len(calls) != 0 {
		t.Error(calls)
	}
}

func TestTheOneMessageOfAStreamIsProposed(t *testing.T) {
	it := newTarget(t)
	client := grpc_health_v1.NewHealthClient(it.connection)
	if _, err := client.Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "guarded"}); status.Code(err) != codes.PermissionDenied {
		t.Error(err)
	}
	request := &grpc_health_v1.HealthCheckRequest{Service: "safe"}
	ended := make(chan error, 1)
	go func() {
		stream, err := client.Watch(t.Context(), request)
		if err == nil {
			_, err = stream.Recv()
		}
		ended <- err
	}()
	approval, err := it.daemon.Pending(t.Context(), grpc_health_v1.Health_Watch_FullMethodName)
	if err != nil {
		t.Fatal(err)
	}
	request.Service = "guarded"
	if _, err := it.daemon.Reviewer().Approve(t.Context(), approval, "looks right"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if calls := it.calls(); len(calls) != 1 || !strings.Contains(calls[0], "safe") {
		t.Error(calls)
	}
}

func TestAStreamIsNotUsedBeforeItsOneMessage(t *testing.T) {
	it := newTarget(t)
	stream, err := it.connection.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, grpc_health_v1.Health_Watch_FullMethodName)
	if err != nil {
		t.Fatal(err)
	}
	_, headerless := stream.Header()
	for _, err := range []error{stream.RecvMsg(&emptypb.Empty{}), stream.CloseSend(), headerless} {
		if status.Code(err) != codes.Internal {
			t.Error(err)
		}
	}
	if stream.Trailer() != nil || stream.Context() == nil {
		t.Error("a trailer, or no context")
	}
	if err := stream.SendMsg(&grpc_health_v1.HealthCheckRequest{Service: "open"}); err != nil {
		t.Fatal(err)
	}
	if err := stream.SendMsg(&grpc_health_v1.HealthCheckRequest{Service: "guarded"}); err == nil {
		t.Error("a second message was sent")
	}
}

func TestAStreamOfMessagesSaysThatTheyAreNotShown(t *testing.T) {
	it := newTarget(t)
	both := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	stream, err := it.connection.NewStream(t.Context(), both, "/x.Y/Talk")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	rows, err := it.daemon.Rows(t.Context())
	if err != nil || len(rows) != 1 || rows[0].Action.Params["message_stream"] != true {
		t.Errorf("%+v %v", rows, err)
	}
	// A method that takes one message cannot be called so to hide it.
	for _, method := range []string{grpc_health_v1.Health_Check_FullMethodName, grpc_health_v1.Health_Watch_FullMethodName} {
		if _, err := it.connection.NewStream(t.Context(), both, method); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", method, err)
		}
	}
}

func TestAMethodHasOneSpelling(t *testing.T) {
	it := newTarget(t)
	for _, method := range []string{"grpc.health.v1.Health/Check", "//grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Check ", "/grpc.health.v1.Health/Check?x", "/a/b/c", ""} {
		err := it.connection.Invoke(t.Context(), method, &grpc_health_v1.HealthCheckRequest{Service: "guarded"}, &emptypb.Empty{})
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%q: %v", method, err)
		}
	}
	if calls := it.calls(); len(calls) != 0 {
		t.Error(calls)
	}
}

func TestAnInterceptorWithoutAClientCallsNothing(t *testing.T) {
	it := newTarget(t)
	unary := aegisgrpc.UnaryClientInterceptor(nil)
	err := unary(t.Context(), "/x.Y/Z", &emptypb.Empty{}, &emptypb.Empty{}, it.connection, func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error {
		t.Error("the call was made")
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "client is nil") {
		t.Error(err)
	}
}
