// Package aegisgrpc governs what a gRPC client calls: every call is proposed before it is made, and its end reported.
//
//	connection, err := grpc.NewClient(target,
//		grpc.WithChainUnaryInterceptor(aegisgrpc.UnaryClientInterceptor(agent)),
//		grpc.WithChainStreamInterceptor(aegisgrpc.StreamClientInterceptor(agent)))
//
// The action's type is the full method name ("/crm.v1.Contacts/Delete"). Its target is that of the connection, with its scheme
// ("dns:///crm.example.com:443"). The params are the request in the JSON of Protobuf, with the fields' names as the .proto file
// has them, zero values included, and 64-bit integers as strings. A stream to which the client sends one message is proposed
// with that message, and opened then. One to which it sends many is proposed when it is opened, with the param
// "message_stream": true in place of its messages: write rules about its method. Metadata is not proposed, as credentials would
// stand on the record; nor is what comes back recorded.
//
// What is sent is a copy of the message, made before it is proposed. A message that cannot be shown whole is refused: one with
// fields that its type does not know, one that is not of Protobuf, one that another codec would write.
//
// Put these last in the chain, so that no other interceptor changes what has been proposed.
package aegisgrpc

import (
	"context"
	"errors"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
)

// UnaryClientInterceptor governs unary calls. A call that is not allowed is not made: the error is as for [aegis.Govern], and
// the status of a denial is PERMISSION_DENIED.
func UnaryClientInterceptor(client *aegis.Client, options ...aegis.CallOption) grpc.UnaryClientInterceptor {
	return func(
		ctx context.Context, method string, request, reply any, connection *grpc.ClientConn, invoke grpc.UnaryInvoker,
		callOptions ...grpc.CallOption,
	) error {
		callOptions = slices.Clone(callOptions)
		ctx, action, err := describe(ctx, method, connection, callOptions)
		if err != nil {
			return err
		}
		held, params, err := hold(request)
		if err != nil {
			return err
		}
		action.Params = params
		_, err = aegis.Govern(ctx, client, action, func(ctx context.Context, _ aegis.Decision) (any, error) {
			return nil, invoke(ctx, method, held, reply, connection, callOptions...)
		}, options...)
		return err
	}
}

// StreamClientInterceptor governs streams. A stream that is not allowed is not opened: the error comes from opening it or, where the
// client sends one message, from sending that. It is reported when it ends: read it to its end, or cancel its context, as gRPC
// itself asks of you.
func StreamClientInterceptor(client *aegis.Client, options ...aegis.CallOption) grpc.StreamClientInterceptor {
	return func(
		ctx context.Context, description *grpc.StreamDesc, connection *grpc.ClientConn, method string, open grpc.Streamer,
		callOptions ...grpc.CallOption,
	) (grpc.ClientStream, error) {
		callOptions = slices.Clone(callOptions)
		ctx, action, err := describe(ctx, method, connection, callOptions)
		if err != nil {
			return nil, err
		}
		if err := checkDirection(method, description); err != nil {
			return nil, err
		}
		begin := func(action aegis.Action) (*stream, error) {
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
		if !description.ClientStreams {
			return &unopened{ctx: ctx, action: action, begin: begin}, nil
		}
		action.Params = map[string]any{"message_stream": true}
		return opened(begin(action))
	}
}

// opened is a stream as gRPC has it: nil where there is none.
func opened(governed *stream, err error) (grpc.ClientStream, error) {
	if err != nil {
		return nil, err
	}
	return governed, nil
}

// refused is the error for a call that cannot be governed.
func refused(format string, arguments ...any) error {
	return status.Errorf(codes.InvalidArgument, "aegisgrpc: "+format, arguments...)
}
