package aegisgrpc

import (
	"context"
	"reflect"
	"regexp"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
	"github.com/aegis-sidecar/aegis/clients/go/internal/wholeproto"
)

// fullMethod is how a method is written. Servers take other spellings, which rules do not.
var fullMethod = regexp.MustCompile(`^/[A-Za-z0-9_.]+/[A-Za-z0-9_]+$`)

// describe is the action of a call without its message, and the context to make the call with: its metadata is a copy, which nobody
// changes while a reviewer thinks.
func describe(
	ctx context.Context, method string, connection *grpc.ClientConn, options []grpc.CallOption,
) (context.Context, aegis.Action, error) {
	none := aegis.Action{}
	if !fullMethod.MatchString(method) {
		return nil, none, refused("%.80q is not the full name of a method, as in /package.Service/Method", method)
	}
	for i := range options {
		if err := checkOption(reflect.ValueOf(&options[i])); err != nil {
			return nil, none, err
		}
	}
	if sent, ok := metadata.FromOutgoingContext(ctx); ok {
		for key := range sent {
			if strings.EqualFold(key, "host") || strings.HasPrefix(key, ":") {
				return nil, none, refused("the metadata %s names another host: a rule about the target could be dodged by it", key)
			}
		}
		ctx = metadata.NewOutgoingContext(ctx, sent)
	}
	return ctx, aegis.Action{Type: method, Target: connection.CanonicalTarget()}, nil
}

// checkDirection refuses a stream of many messages to a method that is known to take one: it would be proposed without it.
func checkDirection(method string, description *grpc.StreamDesc) error {
	name := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(method, "/"), "/", "."))
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		return nil
	}
	known, ok := found.(protoreflect.MethodDescriptor)
	if ok && description.ClientStreams && !known.IsStreamingClient() {
		return refused("%s takes one message, and is called as if it took a stream of them", method)
	}
	return nil
}

// hold is a copy of a message, to be sent, and what is shown of it.
func hold(message any) (any, map[string]any, error) {
	switch message := message.(type) {
	case proto.Message:
		held := proto.Clone(message)
		if !held.ProtoReflect().IsValid() {
			held = held.ProtoReflect().New().Interface()
		}
		params, err := fields(held)
		return held, params, err
	case protoadapt.MessageV1:
		return holdV1(message)
	default:
		return nil, nil, refused("a %T is no message of Protobuf, and cannot be shown", message)
	}
}

// holdV1 is hold for messages of the first generation. Those may write themselves, and so what is shown is what they write.
func holdV1(message protoadapt.MessageV1) (any, map[string]any, error) {
	written, err := proto.Marshal(protoadapt.MessageV2Of(message))
	if err != nil {
		return nil, nil, refused("the request cannot be written: %v", err)
	}
	held := protoadapt.MessageV2Of(message).ProtoReflect().New().Interface()
	if err := proto.Unmarshal(written, held); err != nil {
		return nil, nil, refused("the request cannot be read back: %v", err)
	}
	rewritten, err := proto.Marshal(held)
	if err != nil {
		return nil, nil, refused("the copy of the request cannot be written: %v", err)
	}
	shown := dynamicpb.NewMessage(held.ProtoReflect().Descriptor())
	if err := proto.Unmarshal(rewritten, shown); err != nil {
		return nil, nil, refused("the request cannot be read back: %v", err)
	}
	params, err := fields(shown)
	return protoadapt.MessageV1Of(held), params, err
}

// fields are those of a message.
func fields(message proto.Message) (map[string]any, error) {
	value, err := wholeproto.Value(message)
	if err != nil {
		return nil, refused("the request cannot be shown whole: it %v", err)
	}
	if object, ok := value.(map[string]any); ok {
		return object, nil
	}
	// Well-known types such as Timestamp are no objects in JSON.
	return map[string]any{"value": value}, nil
}
