// Package exactjson reads JSON that every reader understands alike, and says why it refuses other JSON.
//
// encoding/json keeps the last of two equal names, replaces half a character, and rounds numbers. Another reader may do
// something else with each, so that a rule would judge what the other side never sees.
package exactjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
)

// LargestInteger is the largest whole number that every JSON reader holds exactly, and whose neighbours it tells apart.
const LargestInteger = 1<<53 - 1

// Why a text is refused. Every error of [Read] is one of them.
var (
	// ErrNotJSON: the text is no JSON.
	ErrNotJSON = errors.New("is not JSON")
	// ErrRepeatedName: an object has a name twice, and readers differ in which value they keep.
	ErrRepeatedName = errors.New("repeats a name")
	// ErrInexact: readers may round, replace or drop a part of it.
	ErrInexact = errors.New("cannot be read exactly")
)

// escapes finds the escapes of JSON strings: the first group is half a surrogate pair.
var escapes = regexp.MustCompile(`\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u([dD][89a-fA-F][0-9a-fA-F]{2})|.)`)

// An Error says where a text is refused, and why.
type Error struct {
	// Path is the place, for example ".user.age" or "[1]". Empty: the whole text.
	Path string
	// Kind is one of the errors of this package.
	Kind error
	// Detail says more. May be empty.
	Detail string
}

// Error says what is wrong, and not where.
func (e *Error) Error() string {
	if e.Detail == "" {
		return e.Kind.Error()
	}
	return e.Kind.Error() + ": " + e.Detail
}

// Unwrap is the kind.
func (e *Error) Unwrap() error { return e.Kind }

// Read is the value of a JSON text: nil, bool, string, json.Number, []any or map[string]any, nested at most so deep. It
// reads on after an inexact part, so that [ErrRepeatedName] is found wherever it is. Its errors are of the type [*Error].
func Read(text []byte, deepest int) (any, error) {
	if !json.Valid(text) {
		return nil, &Error{Kind: ErrNotJSON}
	}
	reader := reader{decoder: json.NewDecoder(bytes.NewReader(text)), deepest: deepest}
	reader.decoder.UseNumber()
	for _, match := range escapes.FindAllSubmatch(text, -1) {
		if match[1] != nil {
			reader.note("", "a text holds half a surrogate pair")
		}
	}
	value, err := reader.value("", 0)
	if err != nil {
		return nil, err
	}
	if reader.inexact != nil {
		return nil, reader.inexact
	}
	return value, nil
}

// A reader reads one text.
type reader struct {
	decoder *json.Decoder
	deepest int
	// inexact is the first part that is not exact.
	inexact *Error
}

func (r *reader) note(path, format string, arguments ...any) {
	if r.inexact == nil {
		r.inexact = &Error{Path: path, Kind: ErrInexact, Detail: fmt.Sprintf(format, arguments...)}
	}
}

// token is the next token of a text that is known to be JSON.
func (r *reader) token(path string) (json.Token, error) {
	token, err := r.decoder.Token()
	if err != nil {
		return nil, &Error{Path: path, Kind: ErrNotJSON, Detail: err.Error()}
	}
	return token, nil
}

func (r *reader) value(path string, depth int) (any, error) {
	token, err := r.token(path)
	if err != nil {
		return nil, err
	}
	switch token := token.(type) {
	case json.Number:
		if float, err := token.Float64(); err != nil || math.Abs(float) > LargestInteger {
			r.note(path, "the number %.40s is beyond ±(2^53 - 1)", token)
		}
		return token, nil
	case json.Delim:
		if depth == r.deepest {
			r.note(path, "it is nested deeper than %d levels", r.deepest)
		}
		if token == '[' {
			return r.list(path, depth+1)
		}
		return r.object(path, depth+1)
	default:
		return token, nil
	}
}

func (r *reader) list(path string, depth int) (any, error) {
	list := []any{}
	for r.decoder.More() {
		value, err := r.value(fmt.Sprintf("%s[%d]", path, len(list)), depth)
		if err != nil {
			return nil, err
		}
		list = append(list, value)
	}
	_, err := r.token(path)
	return list, err
}

func (r *reader) object(path string, depth int) (any, error) {
	object := map[string]any{}
	for r.decoder.More() {
		token, err := r.token(path)
		if err != nil {
			return nil, err
		}
		name, _ := token.(string)
		at := Member(path, name)
		if _, twice := object[name]; twice {
			return nil, &Error{Path: at, Kind: ErrRepeatedName}
		}
		if name == "__proto__" {
			r.note(at, "JavaScript cannot hold this name")
		}
		if object[name], err = r.value(at, depth); err != nil {
			return nil, err
		}
	}
	_, err := r.token(path)
	return object, err
}

var plainName = regexp.MustCompile(`^[\pL_][\pL\pN_-]*$`)

// Member is the path of a member: `params.user`, or `params["a.b"]` where the dot would mislead.
func Member(path, name string) string {
	if plainName.MatchString(name) {
		return path + "." + name
	}
	return path + "[" + strconv.Quote(name) + "]"
}
