package aegis

import (
	"bytes"
	"encoding"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/structpb"
)

// maxInteger is the largest integer up to which a double holds every one exactly: 2^53.
const maxInteger = 1 << 53

const notUTF8 = "is not UTF-8, and JSON can hold nothing else: send bytes as a []byte"

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
func toValue(path string, value any) (*structpb.Value, error) {
	return (&encoder{open: map[visit]string{}}).value(path, reflect.ValueOf(value))
}

// An encoder walks one value.
type encoder struct {
	// open is what the walk is inside of, with its path: to meet one of these again is a cycle.
	open map[visit]string
}

// A visit is a map, a pointer, or a slice by its first element and length.
type visit struct {
	kind    reflect.Kind
	pointer uintptr
	length  int
}

var (
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
	jsonNumber    = reflect.TypeFor[json.Number]()
)

func (e *encoder) value(path string, value reflect.Value) (*structpb.Value, error) {
	if !value.IsValid() {
		return structpb.NewNullValue(), nil
	}
	switch value.Kind() {
	case reflect.Interface, reflect.Pointer, reflect.Map, reflect.Slice:
		if value.IsNil() {
			return structpb.NewNullValue(), nil
		}
	}
	if value.Type() == jsonNumber {
		return number(path, json.Number(value.String()))
	}
	if value.Type().Implements(jsonMarshaler) || value.Type().Implements(textMarshaler) {
		return e.asJSON(path, value)
	}
	switch value.Kind() {
	case reflect.Interface:
		return e.value(path, value.Elem())
	case reflect.Pointer:
		return e.within(path, visit{reflect.Pointer, value.Pointer(), 0}, func() (*structpb.Value, error) {
			return e.value(path, value.Elem())
		})
	case reflect.Bool:
		return structpb.NewBoolValue(value.Bool()), nil
	case reflect.String:
		if !utf8.ValidString(value.String()) {
			return nil, &InvalidActionError{Path: path, Problem: notUTF8}
		}
		return structpb.NewStringValue(value.String()), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if integer := value.Int(); integer > maxInteger || integer < -maxInteger {
			return nil, tooLarge(path, strconv.FormatInt(integer, 10))
		}
		return structpb.NewNumberValue(float64(value.Int())), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		if integer := value.Uint(); integer > maxInteger {
			return nil, tooLarge(path, strconv.FormatUint(integer, 10))
		}
		return structpb.NewNumberValue(float64(value.Uint())), nil
	case reflect.Float32, reflect.Float64:
		if float := value.Float(); math.IsNaN(float) || math.IsInf(float, 0) {
			return nil, &InvalidActionError{Path: path, Problem: fmt.Sprintf("is %v, which JSON cannot hold", float)}
		}
		return structpb.NewNumberValue(value.Float()), nil
	case reflect.Slice:
		if value.Type().Elem().Kind() == reflect.Uint8 {
			return structpb.NewStringValue(base64.StdEncoding.EncodeToString(value.Bytes())), nil
		}
		return e.within(path, visit{reflect.Slice, value.Pointer(), value.Len()}, func() (*structpb.Value, error) {
			return e.list(path, value)
		})
	case reflect.Array:
		return e.list(path, value)
	case reflect.Map:
		return e.within(path, visit{reflect.Map, value.Pointer(), 0}, func() (*structpb.Value, error) {
			return e.object(path, value)
		})
	case reflect.Struct:
		return e.asJSON(path, value)
	default:
		problem := fmt.Sprintf("is a %s, which JSON cannot hold", value.Type())
		return nil, &InvalidActionError{Path: path, Problem: problem}
	}
}

// within walks what one map, pointer or slice holds.
func (e *encoder) within(path string, at visit, walk func() (*structpb.Value, error)) (*structpb.Value, error) {
	if first, inside := e.open[at]; inside && (at.kind != reflect.Slice || at.length > 0) {
		problem := fmt.Sprintf("contains itself (at %s), which JSON cannot hold", path)
		return nil, &InvalidActionError{Path: first, Problem: problem}
	}
	e.open[at] = path
	defer delete(e.open, at)
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
	if object.Type().Key().Kind() != reflect.String || object.Type().Key().Implements(textMarshaler) {
		return e.asJSON(path, object)
	}
	fields := make(map[string]*structpb.Value, object.Len())
	for entries := object.MapRange(); entries.Next(); {
		key := entries.Key().String()
		at := member(path, key)
		if !utf8.ValidString(key) {
			return nil, &InvalidActionError{Path: at, Problem: "has a name that is not UTF-8"}
		}
		value, err := e.value(at, entries.Value())
		if err != nil {
			return nil, err
		}
		fields[key] = value
	}
	return structpb.NewStructValue(&structpb.Struct{Fields: fields}), nil
}

// replaced finds what encoding/json writes in place of text that is not UTF-8: U+FFFD itself it does not escape.
var replaced = regexp.MustCompile(`(^|[^\\])(\\\\)*\\ufffd`)

// asJSON takes a value as encoding/json writes it, and then checks what it wrote like anything else.
func (e *encoder) asJSON(path string, value reflect.Value) (*structpb.Value, error) {
	text, err := json.Marshal(value.Interface())
	if err != nil {
		return nil, &InvalidActionError{Path: path, Problem: "cannot be written as JSON: " + err.Error()}
	}
	if replaced.Match(text) {
		return nil, &InvalidActionError{Path: path, Problem: notUTF8}
	}
	var decoded any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&decoded); err != nil {
		return nil, &InvalidActionError{Path: path, Problem: "cannot be read back from JSON: " + err.Error()}
	}
	return e.value(path, reflect.ValueOf(decoded))
}

// number is a JSON number: the integers are those without a fraction and an exponent.
func number(path string, text json.Number) (*structpb.Value, error) {
	if integer, err := text.Int64(); err == nil {
		if integer > maxInteger || integer < -maxInteger {
			return nil, tooLarge(path, text.String())
		}
		return structpb.NewNumberValue(float64(integer)), nil
	}
	float, err := text.Float64()
	if err != nil || math.IsNaN(float) || math.IsInf(float, 0) {
		problem := fmt.Sprintf("is %q, which is no number that a double can hold", text.String())
		return nil, &InvalidActionError{Path: path, Problem: problem}
	}
	if float == math.Trunc(float) && math.Abs(float) > maxInteger && !bytes.ContainsAny([]byte(text), ".eE") {
		return nil, tooLarge(path, text.String())
	}
	return structpb.NewNumberValue(float), nil
}

func tooLarge(path, integer string) error {
	problem := fmt.Sprintf("is %s, beyond the ±2^53 that a JSON number holds exactly: send it as a string", integer)
	return &InvalidActionError{Path: path, Problem: problem}
}

var plainName = regexp.MustCompile(`^[\pL_][\pL\pN_-]*$`)

// member is the path of a member: `params.user`, or `params["a.b"]` where the dot would mislead.
func member(path, name string) string {
	if plainName.MatchString(name) {
		return path + "." + name
	}
	return path + "[" + strconv.Quote(name) + "]"
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
