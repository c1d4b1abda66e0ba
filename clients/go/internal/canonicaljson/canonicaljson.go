// Package canonicaljson writes protobuf's JSON values as RFC 8785 (JCS) has them: one text for equal values, so that two
// sides can compare a hash. It is here, and no other module, because its input needs no parser and no check of numbers: they
// are doubles already, and package strconv writes those as ECMAScript does.
package canonicaljson

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/structpb"
)

var (
	errNumber = errors.New("a number is not finite")
	errText   = errors.New("a text is not UTF-8")
	errKind   = errors.New("a value is none of those that JSON has")
)

// Append writes a value after the bytes.
func Append(to []byte, value *structpb.Value) ([]byte, error) {
	switch kind := value.GetKind().(type) {
	case *structpb.Value_NullValue:
		return append(to, "null"...), nil
	case *structpb.Value_BoolValue:
		return strconv.AppendBool(to, kind.BoolValue), nil
	case *structpb.Value_NumberValue:
		return appendNumber(to, kind.NumberValue)
	case *structpb.Value_StringValue:
		return appendText(to, kind.StringValue)
	case *structpb.Value_ListValue:
		return appendList(to, kind.ListValue.GetValues())
	case *structpb.Value_StructValue:
		return AppendObject(to, kind.StructValue.GetFields())
	default:
		return to, errKind
	}
}

// AppendObject writes an object after the bytes, its members in the order of their names' UTF-16.
func AppendObject(to []byte, fields map[string]*structpb.Value) ([]byte, error) {
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.SortFunc(names, compareUTF16)
	to = append(to, '{')
	for i, name := range names {
		if i > 0 {
			to = append(to, ',')
		}
		var err error
		if to, err = appendText(to, name); err != nil {
			return to, err
		}
		if to, err = Append(append(to, ':'), fields[name]); err != nil {
			return to, err
		}
	}
	return append(to, '}'), nil
}

func appendList(to []byte, values []*structpb.Value) ([]byte, error) {
	to = append(to, '[')
	for i, value := range values {
		if i > 0 {
			to = append(to, ',')
		}
		var err error
		if to, err = Append(to, value); err != nil {
			return to, err
		}
	}
	return append(to, ']'), nil
}

// compareUTF16 compares by UTF-16 code units. It differs from the order of the bytes beyond U+FFFF only, whose surrogates come
// before U+E000.
func compareUTF16(a, b string) int {
	return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
}

// appendNumber writes a number as ECMAScript does: with an exponent below 1e-6 and from 1e21 on, and no sign on zero.
func appendNumber(to []byte, number float64) ([]byte, error) {
	size := math.Abs(number)
	switch {
	case math.IsNaN(number) || math.IsInf(number, 0):
		return to, errNumber
	case size == 0:
		return append(to, '0'), nil
	case size >= 1e-6 && size < 1e21:
		return strconv.AppendFloat(to, number, 'f', -1, 64), nil
	}
	to = strconv.AppendFloat(to, number, 'e', -1, 64)
	// Package strconv writes at least two digits of an exponent: 1e-07.
	if end := len(to); to[end-4] == 'e' && to[end-2] == '0' {
		to = append(to[:end-2], to[end-1])
	}
	return to, nil
}

// appendText writes a text with the fewest escapes.
func appendText(to []byte, text string) ([]byte, error) {
	if !utf8.ValidString(text) {
		return to, errText
	}
	const hex = "0123456789abcdef"
	to = append(to, '"')
	for _, char := range []byte(text) {
		switch {
		case char == '"' || char == '\\':
			to = append(to, '\\', char)
		case char == '\b':
			to = append(to, `\b`...)
		case char == '\t':
			to = append(to, `\t`...)
		case char == '\n':
			to = append(to, `\n`...)
		case char == '\f':
			to = append(to, `\f`...)
		case char == '\r':
			to = append(to, `\r`...)
		case char < ' ':
			to = append(to, `\u00`...)
			to = append(to, hex[char>>4], hex[char&0xf])
		default:
			to = append(to, char)
		}
	}
	return append(to, '"'), nil
}
