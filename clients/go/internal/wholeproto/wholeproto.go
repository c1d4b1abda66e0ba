// Package wholeproto shows protobuf messages whole, or not at all.
//
// It writes ProtoJSON with the names of the .proto file and with zero values, so that a rule about `dry_run == false` sees
// the field. It refuses a message that holds fields which its type does not know: they are sent, and nobody would see them.
package wholeproto

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protopath"
	"google.golang.org/protobuf/reflect/protorange"

	"github.com/aegis-sidecar/aegis/clients/go/internal/exactjson"
)

// deepest is how deep the JSON of a message may be nested: protobuf itself reads no more levels.
const deepest = 10_000

var errUnknown = errors.New("holds fields that its type does not know")

// Value is a message as JSON values: nil, bool, string, json.Number, []any or map[string]any.
func Value(message proto.Message) (any, error) {
	if !message.ProtoReflect().IsValid() {
		return nil, nil
	}
	err := protorange.Range(message.ProtoReflect(), func(values protopath.Values) error {
		step := values.Index(-1)
		if step.Step.Kind() == protopath.UnknownAccessStep {
			return fmt.Errorf("%w, at %s", errUnknown, values.Path[1:])
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("cannot be written as JSON: %w", err)
	}
	value, err := exactjson.Read(text, deepest)
	if err != nil {
		return nil, fmt.Errorf("is written as JSON that %w", err)
	}
	return value, nil
}
