package aegis

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/aegis-sidecar/aegis/clients/go/internal/exactjson"
)

const (
	// deepest is how deep a value may be nested: the daemon takes 30 levels by default, and protobuf about as many.
	deepest = 64

	notUTF8 = "is not UTF-8, and JSON can hold nothing else: send bytes as a []byte"
)

// toStruct is values as they are sent: nil where there are none.
func toStruct(path string, values map[string]any) (*structpb.Struct, error) {
	if len(values) == 0 {
		return nil, nil
	}
	value, err := toValue(path, values)
	if err != nil {
		return nil, err
	}
	return value.GetStructValue(), nil
}

// toValue is a value as it is sent, or an *InvalidActionError that says which part of it JSON cannot hold exactly.
// clients/README.md has the rule, which all SDKs share.
func toValue(path string, value any) (*structpb.Value, error) {
	return (&encoder{open: map[visit]string{}}).value(path, reflect.ValueOf(value))
}

// An encoder walks one value.
type encoder struct {
	// open is what the walk is inside of, with its path: to meet one of these again is a cycle.
	open map[visit]string
	// depth is how many lists, objects and pointers the walk is inside of.
	depth int
}

// A visit is a map, a pointer, or a slice by its first element and length.
type visit struct {
	kind    reflect.Kind
	pointer uintptr
	length  int
}

func (e *encoder) value(path string, value reflect.Value) (*structpb.Value, error) {
	for value.Kind() == reflect.Interface {
		value = value.Elem()
	}
	if !value.IsValid() {
		return structpb.NewNullValue(), nil
	}
	switch value.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice:
		if value.IsNil() {
			return structpb.NewNullValue(), nil
		}
	}
	if known, ok, err := e.known(path, value); ok || err != nil {
		return known, err
	}
	switch value.Kind() {
	case reflect.Pointer:
		return e.within(path, visit{reflect.Pointer, value.Pointer(), 0}, func() (*structpb.Value, error) {
			return e.value(path, value.Elem())
		})
	case reflect.Bool:
		return structpb.NewBoolValue(value.Bool()), nil
	case reflect.String:
		return textValue(path, value.String())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if integer := value.Int(); integer > exactjson.LargestInteger || integer < -exactjson.LargestInteger {
			return nil, tooLarge(path, strconv.FormatInt(integer, 10))
		}
		return structpb.NewNumberValue(float64(value.Int())), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		if integer := value.Uint(); integer > exactjson.LargestInteger {
			return nil, tooLarge(path, strconv.FormatUint(integer, 10))
		}
		return structpb.NewNumberValue(float64(value.Uint())), nil
	case reflect.Float32:
		// As encoding/json writes it: 0.1, and not 0.10000000149011612.
		shortest, _ := strconv.ParseFloat(strconv.FormatFloat(value.Float(), 'g', -1, 32), 64)
		return floatValue(path, shortest)
	case reflect.Float64:
		return floatValue(path, value.Float())
	case reflect.Slice:
		if value.Type().Elem().Kind() == reflect.Uint8 {
			return structpb.NewStringValue(base64.StdEncoding.EncodeToString(value.Bytes())), nil
		}
		return e.within(path, visit{reflect.Slice, value.Pointer(), value.Len()}, func() (*structpb.Value, error) {
			return e.list(path, value)
		})
	case reflect.Array:
		return e.deeper(path, func() (*structpb.Value, error) { return e.list(path, value) })
	case reflect.Map:
		return e.within(path, visit{reflect.Map, value.Pointer(), 0}, func() (*structpb.Value, error) {
			return e.object(path, value)
		})
	case reflect.Struct:
		return e.deeper(path, func() (*structpb.Value, error) { return e.structure(path, value) })
	default:
		problem := fmt.Sprintf("is a %s, which JSON cannot hold", value.Type())
		return nil, &InvalidActionError{Path: path, Problem: problem}
	}
}

// within walks what one map, pointer or slice holds.
func (e *encoder) within(path string, at visit, walk func() (*structpb.Value, error)) (*structpb.Value, error) {
	if first, inside := e.open[at]; inside && (at.kind != reflect.Slice || at.length > 0) {
		problem := fmt.Sprintf("contains itself (at %s), a cycle, which JSON cannot hold", path)
		return nil, &InvalidActionError{Path: first, Problem: problem}
	}
	e.open[at] = path
	defer delete(e.open, at)
	return e.deeper(path, walk)
}

// deeper walks one level further inside.
func (e *encoder) deeper(path string, walk func() (*structpb.Value, error)) (*structpb.Value, error) {
	if e.depth == deepest {
		return nil, &InvalidActionError{Path: path, Problem: fmt.Sprintf("is nested deeper than %d levels", deepest)}
	}
	e.depth++
	defer func() { e.depth-- }()
	return walk()
}

func (e *encoder) list(path string, list reflect.Value) (*structpb.Value, error) {
	values := make([]*structpb.Value, list.Len())
	for i := range values {
		value, err := e.value(fmt.Sprintf("%s[%d]", path, i), list.Index(i))
		if err != nil {
			return nil, err
		}
		values[i] = value
	}
	return structpb.NewListValue(&structpb.ListValue{Values: values}), nil
}

func (e *encoder) object(path string, object reflect.Value) (*structpb.Value, error) {
	fields := make(map[string]*structpb.Value, object.Len())
	for entries := object.MapRange(); entries.Next(); {
		name, err := keyName(path, entries.Key())
		if err != nil {
			return nil, err
		}
		at := exactjson.Member(path, name)
		if !utf8.ValidString(name) {
			return nil, &InvalidActionError{Path: at, Problem: "has a name that is not UTF-8"}
		}
		if _, twice := fields[name]; twice {
			return nil, &InvalidActionError{Path: at, Problem: "is there twice, under keys that are the same as text"}
		}
		if fields[name], err = e.value(at, entries.Value()); err != nil {
			return nil, err
		}
	}
	return structpb.NewStructValue(&structpb.Struct{Fields: fields}), nil
}

// keyName is the key of a map as JSON has it.
func keyName(path string, key reflect.Value) (string, error) {
	for key.Kind() == reflect.Interface {
		key = key.Elem()
	}
	switch {
	case key.Kind() == reflect.String:
		return key.String(), nil
	case key.IsValid() && key.Type().Implements(textMarshaler):
		text, err := callMethod(path, key, func(key any) ([]byte, error) { return asTextMarshaler(key).MarshalText() })
		return string(text), err
	case key.CanInt():
		return strconv.FormatInt(key.Int(), 10), nil
	case key.CanUint():
		return strconv.FormatUint(key.Uint(), 10), nil
	}
	kind := "nil"
	if key.IsValid() {
		kind = "a " + key.Type().String()
	}
	return "", &InvalidActionError{Path: path, Problem: "has a key that is " + kind + ": a name in JSON is text"}
}

// jsonValue is what was read from JSON, without its numbers rounded.
func (e *encoder) jsonValue(path string, text []byte) (*structpb.Value, error) {
	value, err := exactjson.Read(text, deepest)
	if failed := (*exactjson.Error)(nil); errors.As(err, &failed) {
		return nil, &InvalidActionError{Path: path + failed.Path, Problem: "is written as JSON, which " + failed.Error()}
	}
	return e.value(path, reflect.ValueOf(value))
}

func textValue(path, text string) (*structpb.Value, error) {
	if !utf8.ValidString(text) {
		return nil, &InvalidActionError{Path: path, Problem: notUTF8}
	}
	return structpb.NewStringValue(text), nil
}

func floatValue(path string, float float64) (*structpb.Value, error) {
	switch {
	case math.IsNaN(float) || math.IsInf(float, 0):
		return nil, &InvalidActionError{Path: path, Problem: fmt.Sprintf("is %v, which JSON cannot hold", float)}
	case math.Abs(float) > exactjson.LargestInteger:
		return nil, tooLarge(path, strconv.FormatFloat(float, 'g', -1, 64))
	}
	return structpb.NewNumberValue(float), nil
}

// jsonNumberValue is a number as JSON writes it.
func jsonNumberValue(path string, text json.Number) (*structpb.Value, error) {
	float, err := text.Float64()
	if err != nil || math.IsNaN(float) || math.IsInf(float, 0) {
		problem := fmt.Sprintf("is %.40q, which is no number that a double can hold", text.String())
		return nil, &InvalidActionError{Path: path, Problem: problem}
	}
	if math.Abs(float) > exactjson.LargestInteger {
		return nil, tooLarge(path, text.String())
	}
	return structpb.NewNumberValue(float), nil
}

func tooLarge(path, number string) error {
	problem := fmt.Sprintf("is %.40s, beyond the ±(2^53 - 1) that a JSON number holds exactly: send it as a string", number)
	return &InvalidActionError{Path: path, Problem: problem}
}

// validText is text for people: what is not UTF-8 in it is replaced, as losing it is better than losing the report.
func validText(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

// longestText is how much of an error or a reason is sent, in bytes: the daemon takes no more.
const longestText = 16 << 10

// cut is the beginning of a text that is longer than the daemon takes.
func cut(text string) string {
	if len(text) <= longestText {
		return text
	}
	end := longestText - len("...")
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "..."
}
