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
)

// LargestInteger is the largest whole number that every JSON reader holds exactly, and whose neighbours it tells apart.
const LargestInteger = 1<<53 - 1

// Why a text is refused. Every error of [Read] is one of them.
var (
	// ErrNotJSON: the text is no JSON.
	ErrNotJSON = errors.New("is no JSON")
	// ErrRepeatedName: an object has a name twice, and readers differ in which value they keep.
	ErrRepeatedName = errors.New("repeats a name")
	// ErrInexact: readers may round, replace or drop a part of it.
	ErrInexact = errors.New("cannot be read exactly")
)

// escapes finds the escapes of JSON strings: the first group is half a surrogate pair.
var escapes = regexp.MustCompile(`\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u([dD][89a-fA-F][0-9a-fA-F]{2})|.)`)

// Read is the value of a JSON text: nil, bool, string, json.Number, []any or map[string]any, nested at most so deep. It
// reads on after an inexact part, so that [ErrRepeatedName] is found wherever it is.
func Read(text []byte, deepest int) (any, error) {
	if !json.Valid(text) {
		return nil, ErrNotJSON
	}
	reader := reader{decoder: json.NewDecoder(bytes.NewReader(text)), deepest: deepest}
	reader.decoder.UseNumber()
	for _, match := range escapes.FindAllSubmatch(text, -1) {
		if match[1] != nil {
			reader.note("a text holds half a surrogate pair")
		}
	}
	value, err := reader.value(0)
	if err == nil {
		err = reader.inexact
	}
	if err != nil {
		return nil, err
	}
	return value, nil
}

// A reader reads one text.
type reader struct {
	decoder *json.Decoder
	deepest int
	// inexact is the first part that is not exact.
	inexact error
}

func (r *reader) note(format string, arguments ...any) {
	if r.inexact == nil {
		r.inexact = fmt.Errorf("%w: "+format, append([]any{ErrInexact}, arguments...)...)
	}
}

func (r *reader) value(depth int) (any, error) {
	token, err := r.decoder.Token()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotJSON, err)
	}
	switch token := token.(type) {
	case json.Number:
		if float, err := token.Float64(); err != nil || math.Abs(float) > LargestInteger {
			r.note("the number %.40s is beyond ±(2^53 - 1)", token)
		}
		return token, nil
	case json.Delim:
		if depth == r.deepest {
			r.note("it is nested deeper than %d levels", r.deepest)
		}
		if token == '[' {
			return r.list(depth + 1)
		}
		return r.object(depth + 1)
	default:
		return token, nil
	}
}

func (r *reader) list(depth int) (any, error) {
	list := []any{}
	for r.decoder.More() {
		value, err := r.value(depth)
		if err != nil {
			return nil, err
		}
		list = append(list, value)
	}
	_, err := r.decoder.Token()
	return list, err
}

func (r *reader) object(depth int) (any, error) {
	object := map[string]any{}
	for r.decoder.More() {
		token, err := r.decoder.Token()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotJSON, err)
		}
		name, _ := token.(string)
		if _, twice := object[name]; twice {
			return nil, fmt.Errorf("%w: %.40q", ErrRepeatedName, name)
		}
		if name == "__proto__" {
			r.note("JavaScript cannot hold the name __proto__")
		}
		if object[name], err = r.value(depth); err != nil {
			return nil, err
		}
	}
	_, err := r.decoder.Token()
	return object, err
}
