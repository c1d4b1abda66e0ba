package exactjson

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestJSONThatAllReadersUnderstandAlikeIsRead(t *testing.T) {
	for _, text := range []string{
		`null`, `true`, ` "ü" `, `"\ud83d\ude00"`, `"\\ud800"`, `9007199254740991`, `-0.5`, `[]`, `{"a":{"a":[1,{"a":2}]},"A":1}`,
		strings.Repeat("[", 30) + strings.Repeat("]", 30),
	} {
		got, err := Read([]byte(text), 30)
		var expected any
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.UseNumber()
		if failed := decoder.Decode(&expected); failed != nil || err != nil || !reflect.DeepEqual(got, expected) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

func TestJSONThatReadersUnderstandDifferentlyIsRefused(t *testing.T) {
	for text, expected := range map[string]error{
		``: ErrNotJSON, `{`: ErrNotJSON, `{} {}`: ErrNotJSON, `NaN`: ErrNotJSON, "\uFEFF{}": ErrNotJSON, "\"\t\"": ErrNotJSON,
		`{"a":1,"a":1}`: ErrRepeatedName, `[{"b":{"a":1,"\u0061":2}}]`: ErrRepeatedName,
		`{"big":9007199254740993,"a":1,"a":2}`: ErrRepeatedName, `{"a":{},"b":"\udc00","a":{}}`: ErrRepeatedName,
		`9007199254740992`: ErrInexact, `[-1e300]`: ErrInexact, `1e400`: ErrInexact, `"\ud800"`: ErrInexact, `{"a\udc00":1}`: ErrInexact,
		`{"__proto__":1}`: ErrInexact, strings.Repeat("[", 31) + strings.Repeat("]", 31): ErrInexact,
	} {
		if value, err := Read([]byte(text), 30); !errors.Is(err, expected) || value != nil {
			t.Errorf("%s: %v, %v", text, value, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2.5,"x"]}`, `{"a":1,"a":2}`, `"\ud800"`, `[[[]]]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		value, err := Read(text, 30)
		if err != nil {
			return
		}
		// What was read says the same when it is written and read again.
		written, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Read(written, 30); err != nil || !reflect.DeepEqual(value, again) {
			t.Fatalf("%s became %s: %v", text, written, err)
		}
	})
}
