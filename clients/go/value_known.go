package aegis

import (
	"context"
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/aegis-sidecar/aegis/clients/go/internal/exactjson"
	"github.com/aegis-sidecar/aegis/clients/go/internal/wholeproto"
)

var (
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
	protoMessage  = reflect.TypeFor[proto.Message]()
	errorType     = reflect.TypeFor[error]()
	contextType   = reflect.TypeFor[context.Context]()

	urlType      = reflect.TypeFor[*url.URL]()
	bigIntType   = reflect.TypeFor[*big.Int]()
	bigRatType   = reflect.TypeFor[*big.Rat]()
	bigFloatType = reflect.TypeFor[*big.Float]()
)

// known is a value whose type says how it is written, and whether it is one.
func (e *encoder) known(path string, value reflect.Value) (*structpb.Value, bool, error) {
	of := value.Type()
	// Only a type with a name has methods, and only of a package. What a field hides cannot be asked.
	if of.Kind() != reflect.Pointer && of.PkgPath() == "" || !value.CanInterface() {
		return nil, false, nil
	}
	switch value := value.Interface().(type) {
	case json.Number:
		number, err := jsonNumberValue(path, value)
		return number, true, err
	case time.Duration:
		return structpb.NewNumberValue(value.Seconds()), true, nil
	case *url.URL:
		text, err := textValue(path, value.String())
		return text, true, err
	case *big.Int, *big.Rat, *big.Float:
		return structpbOf(bigValue(value)), true, nil
	}
	if write := e.writer(of); write != nil {
		written, err := write(path, value)
		return written, true, err
	}
	if of.Kind() == reflect.Pointer {
		return nil, false, nil
	}
	// The methods may be those of a pointer to it.
	pointer := reflect.PointerTo(of)
	if e.writer(pointer) == nil && pointer != urlType && pointer != bigIntType && pointer != bigRatType && pointer != bigFloatType {
		return nil, false, nil
	}
	held := reflect.New(of)
	held.Elem().Set(value)
	return e.known(path, held)
}

// A writer writes a value of a type that has a method for it.
type writer = func(path string, value reflect.Value) (*structpb.Value, error)

// writer is the one for a type, or nil.
func (e *encoder) writer(of reflect.Type) writer {
	switch {
	case of.Implements(contextType):
		return func(path string, value reflect.Value) (*structpb.Value, error) {
			problem := fmt.Sprintf("is a context.Context (%s), which is never a parameter: leave it out", value.Type())
			return nil, &InvalidActionError{Path: path, Problem: problem}
		}
	case of.Implements(protoMessage):
		return func(path string, value reflect.Value) (*structpb.Value, error) {
			message, _ := value.Interface().(proto.Message)
			read, err := wholeproto.Value(message)
			if err != nil {
				return nil, &InvalidActionError{Path: path, Problem: err.Error()}
			}
			return e.value(path, reflect.ValueOf(read))
		}
	case of.Implements(jsonMarshaler):
		return func(path string, value reflect.Value) (*structpb.Value, error) {
			text, err := callMethod(path, value, json.Marshal)
			if err != nil {
				return nil, err
			}
			return e.jsonValue(path, text)
		}
	case of.Implements(textMarshaler):
		return func(path string, value reflect.Value) (*structpb.Value, error) {
			text, err := callMethod(path, value, func(value any) ([]byte, error) { return asTextMarshaler(value).MarshalText() })
			if err != nil {
				return nil, err
			}
			return textValue(path, string(text))
		}
	case of.Implements(errorType):
		return func(path string, value reflect.Value) (*structpb.Value, error) {
			text, err := callMethod(path, value, func(value any) ([]byte, error) {
				failed, _ := value.(error)
				return []byte(failed.Error()), nil
			})
			if err != nil {
				return nil, err
			}
			return structpb.NewStringValue(validText(string(text))), nil
		}
	default:
		return nil
	}
}

func asTextMarshaler(value any) encoding.TextMarshaler {
	marshaler, _ := value.(encoding.TextMarshaler)
	return marshaler
}

// callMethod has a value write itself. Its method is not ours: where it panics, the value cannot be sent.
func callMethod(path string, value reflect.Value, write func(any) ([]byte, error)) (text []byte, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			text, err = nil, fmt.Errorf("it panics: %v", panicked)
		}
		if err != nil {
			problem := fmt.Sprintf("cannot be written as JSON: %s: %s", value.Type(), err)
			text, err = nil, &InvalidActionError{Path: path, Problem: validText(problem)}
		}
	}()
	return write(value.Interface())
}

// bigValue is a number where the text of the nearest double says the same, else the text of the number itself.
func bigValue(value any) any {
	var float float64
	var text string
	switch value := value.(type) {
	case *big.Int:
		float, _ = value.Float64()
		text = value.String()
	case *big.Rat:
		float, _ = value.Float64()
		text = value.RatString()
		if digits, exact := value.FloatPrec(); exact {
			text = value.FloatString(digits)
		}
	case *big.Float:
		if exponent := value.MantExp(nil); exponent > 5000 || exponent < -5000 {
			// Its decimal digits would take all memory.
			return value.Text('p', 0)
		}
		float, _ = value.Float64()
		text = value.Text('g', -1)
	}
	if math.Abs(float) <= exactjson.LargestInteger && sameNumber(float, text) {
		return float
	}
	return text
}

// sameNumber says whether a double, as JSON writes it, is the number of a text.
func sameNumber(float float64, text string) bool {
	// A double of 0 may stand for a number so small that reading it takes all memory.
	if float == 0 {
		return strings.Trim(text, "-0.") == ""
	}
	written, ok := new(big.Rat).SetString(strconv.FormatFloat(float, 'g', -1, 64))
	meant, known := new(big.Rat).SetString(text)
	return ok && known && written.Cmp(meant) == 0
}

// structpbOf is a number or a text as it is sent.
func structpbOf(value any) *structpb.Value {
	if float, ok := value.(float64); ok {
		return structpb.NewNumberValue(float)
	}
	text, _ := value.(string)
	return structpb.NewStringValue(text)
}
