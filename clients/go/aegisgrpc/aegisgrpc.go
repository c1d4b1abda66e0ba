// Package aegisgrpc governs what a gRPC client calls: every call is proposed before it is made, and its end reported.
//
//	connection, err := grpc.NewClient(target,
//		grpc.WithChainUnaryInterceptor(aegisgrpc.UnaryClientInterceptor(agent)),
//		grpc.WithChainStreamInterceptor(aegisgrpc.StreamClientInterceptor(agent)))
//
// The action's type is the full method name ("/crm.v1.Contacts/Delete"). Its target is that of the connection, with its scheme
// ("dns:///crm.example.com:443"). The params of a unary call are the request in the JSON of Protobuf, with the fields'
// names as the .proto file has them and 64-bit integers as strings; a stream is proposed before there is a message, without
// params. Metadata is not proposed, as credentials would stand on the record; nor is what comes back recorded.
//
// Put these last in the chain, so that no other interceptor changes what has been proposed.
package aegisgrpc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
)

// UnaryClientInterceptor governs unary calls. A call that is not allowed is not made: the error is as for [aegis.Govern], and
// the status of a denial is PERMISSION_DENIED.
func UnaryClientInterceptor(client *aegis.Client, options ...aegis.CallOption) grpc.UnaryClientInterceptor {
	return func(
		ctx context.Context, method string, request, reply any, connection *grpc.ClientConn, invoke grpc.UnaryInvoker, callOptions ...grpc.CallOption,
	) error {
		action, err := describe(method, connection, callOptions)
		if err != nil {
			return err
		}
		if action.Params, err = fields(request); err != nil {
			return err
		}
		_, err = aegis.Govern(ctx, client, action, func(ctx context.Context, _ aegis.Decision) (any, error) {
			return nil, invoke(ctx, method, request, reply, connection, callOptions...)
		}, options...)
		return err
	}
}

// StreamClientInterceptor governs streams. A stream that is not allowed is not opened. It is reported when it ends: read it to
// its end, or cancel its context, as gRPC itself asks of you.
func StreamClientInterceptor(client *aegis.Client, options ...aegis.CallOption) grpc.StreamClientInterceptor {
	return func(
		ctx context.Context, description *grpc.StreamDesc, connection *grpc.ClientConn, method string, open grpc.Streamer, callOptions ...grpc.CallOption,
	) (grpc.ClientStream, error) {
		action, err := describe(method, connection, callOptions)
		if err != nil {
			return nil, err
		}
		execution, err := client.Begin(ctx, action, options...)
		if err != nil {
			return nil, err
		}
		opened, err := open(ctx, description, connection, method, callOptions...)
		if err != nil {
			if failed := execution.End(ctx, nil, err); failed != nil {
				err = errors.Join(err, failed)
			}
			return nil, err
		}
		governed := &stream{ClientStream: opened, execution: execution, ctx: ctx, many: description.ServerStreams}
		governed.forget = context.AfterFunc(ctx, func() { _ = execution.End(ctx, nil, context.Cause(ctx)) })
		return governed, nil
	}
}

// A stream is one that is reported when it ends.
type stream struct {
	grpc.ClientStream
	execution *aegis.Execution
	ctx       context.Context
	// many says whether more than one message may come.
	many bool
	// forget stops watching for the end of the context.
	forget func() bool
}

// RecvMsg receives, and reports the end of the stream when there is nothing more to come.
func (s *stream) RecvMsg(message any) error {
	err := s.ClientStream.RecvMsg(message)
	if err == nil && s.many {
		return nil
	}
	// When the context ended the stream, that is what is reported.
	s.forget()
	if err == nil || errors.Is(err, io.EOF) {
		if failed := s.execution.End(s.ctx, nil, nil); failed != nil {
			return failed
		}
		return err
	}
	if failed := s.execution.End(s.ctx, nil, err); failed != nil {
		return errors.Join(err, failed)
	}
	return err
}

func describe(method string, connection *grpc.ClientConn, options []grpc.CallOption) (aegis.Action, error) {
	for _, option := range options {
		if other, ok := option.(grpc.AuthorityOverrideCallOption); ok {
			message := fmt.Sprintf("aegisgrpc: the call names another authority, %s: a rule about the target could be dodged by it", other.Authority)
			return aegis.Action{}, status.Error(codes.InvalidArgument, message)
		}
	}
	return aegis.Action{Type: method, Target: connection.CanonicalTarget()}, nil
}

// fields are those of a message. What is not of Protobuf has none.
func fields(request any) (map[string]any, error) {
	message, ok := request.(proto.Message)
	if !ok {
		return nil, nil
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(message)
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "aegisgrpc: the request cannot be written as JSON: %v", err)
	}
	var read any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&read); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "aegisgrpc: the request cannot be read back from JSON: %v", err)
	}
	if object, ok := read.(map[string]any); ok {
		return object, nil
	}
	// Well-known types such as Timestamp are no objects in JSON.
	return map[string]any{"value": read}, nil
}
