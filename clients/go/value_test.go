package aegis

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

type address struct {
	City   string `json:"city"`
	Number int64  `json:"number,omitempty"`
	secret string
}

type kind string

func TestWhatJSONHoldsIsSentWhole(t *testing.T) {
	seven := 7
	params := map[string]any{
		"null": nil, "yes": true, "text": "ü", "kind": kind("k"), "int": -(1<<53 - 1), "uint": uint64(1<<53 - 1), "byte": byte(7),
		"float": 0.5, "number": json.Number("12.5"), "pointer": &seven, "none": (*int)(nil), "bytes": []byte("ab"),
		"list": []any{1, "a", nil}, "array": [2]bool{true, false}, "map": map[string]int{"a": 1}, "by number": map[int]string{1: "a"},
		"struct": address{City: "Ulm", Number: 3, secret: "no"}, "structs": []*address{{City: "Bonn"}},
		"time": time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), "raw": json.RawMessage(`{"a":[1]}`), "literal": "\uFFFD", "escape": `\ufffd`,
	}
	sent, err := toStruct("params", params)
	if err != nil {
		t.Fatal(err)
	}
	expected, err := json.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(sent.AsMap())
	if err != nil {
		t.Fatal(err)
	}
	var one, other any
	if err := errors.Join(json.Unmarshal(expected, &one), json.Unmarshal(got, &other)); err != nil {
		t.Fatal(err)
	}
	expected, _ = json.Marshal(one)
	got, _ = json.Marshal(other)
	if string(got) != string(expected) {
		t.Errorf("%s\nis not what encoding/json writes:\n%s", got, expected)
	}
}

func TestWhatJSONCannotHoldIsRefusedWithItsPath(t *testing.T) {
	type list struct{ Next *list }
	loop := &list{}
	loop.Next = loop
	cyclic := []any{nil}
	cyclic[0] = cyclic
	pointer := new(any)
	*pointer = pointer
	for _, refused := range []struct {
		value         any
		path, problem string
	}{
		{1 << 53, "params.x", "as a string"},
		{-9.1e15, "params.x", "as a string"},
		{uint64(math.MaxUint64), "params.x", "as a string"},
		{json.Number("9007199254740993"), "params.x", "as a string"},
		{json.Number("99999999999999999999"), "params.x", "as a string"},
		{json.Number("1e999"), "params.x", "no number"},
		{[]any{1, float32(math.Inf(-1))}, "params.x[1]", "-Inf"},
		{map[string]any{"a.b": math.NaN()}, `params.x["a.b"]`, "NaN"},
		{address{Number: 1 << 60}, "params.x.number", "as a string"},
		{loop, "params.x", "cycle"},
		{cyclic, "params.x", "contains itself"},
		{pointer, "params.x", "contains itself"},
		{make(chan int), "params.x", "chan int"},
		{func() {}, "params.x", "func()"},
		{complex(1, 2), "params.x", "complex128"},
		{"a\xff", "params.x", "UTF-8"},
		{address{City: "a\xff"}, "params.x.city", "UTF-8"},
		{map[string]any{"\xff": 1}, `params.x["\xff"]`, "UTF-8"},
	} {
		_, err := toStruct("params", map[string]any{"x": refused.value})
		invalid := (*InvalidActionError)(nil)
		if !errors.As(err, &invalid) || invalid.Path != refused.path || !strings.Contains(invalid.Problem, refused.problem) {
			t.Errorf("%T: %v", refused.value, err)
		}
	}
}

func TestTheSameValueTwiceIsNoCycle(t *testing.T) {
	shared := map[string]any{"a": []any{}}
	if _, err := toStruct("params", map[string]any{"x": []any{shared, shared}, "y": shared}); err != nil {
		t.Error(err)
	}
}

func FuzzJSONNumbers(f *testing.F) {
	for _, seed := range []string{"0", "-1", "9007199254740992", "9007199254740993", "1e5", "0.1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var plain any
		if json.Unmarshal([]byte(text), &plain) != nil {
			return
		}
		value, err := toValue("x", json.RawMessage(text))
		number, ok := plain.(float64)
		if !ok || err != nil {
			return
		}
		if value.GetNumberValue() != number {
			t.Errorf("%s is sent as %v", text, value)
		}
	})
}

func TestDelaysDoubleUpToHalfAMinute(t *testing.T) {
	for attempt, whole := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, longestDelay, longestDelay} {
		if got := delay(time.Second, attempt); got < whole/2 || got > whole {
			t.Errorf("attempt %d: %s", attempt, got)
		}
	}
	if got := delay(time.Second, 1000); got > longestDelay {
		t.Error(got)
	}
	if got := delay(0, 5); got != 0 {
		t.Error(got)
	}
}

func TestEndpoints(t *testing.T) {
	for text, target := range map[string]string{
		"http://127.0.0.1:50051":    "dns:///127.0.0.1:50051",
		"http://localhost":          "dns:///localhost:80",
		"https://aegis.example/":    "dns:///aegis.example:443",
		"http://[::1]:50051":        "dns:///[::1]:50051",
		"unix:/run/aegis.sock":      "unix:/run/aegis.sock",
		"unix:///run/aegis.sock":    "unix:/run/aegis.sock",
		"https://10.0.0.7:1234":     "dns:///10.0.0.7:1234",
		"http://[::ffff:127.0.0.1]": "dns:///[::ffff:127.0.0.1]:80",
	} {
		parsed, err := parseEndpoint(text)
		if err != nil || parsed.target != target || !parsed.private {
			t.Errorf("%s: %+v %v", text, parsed, err)
		}
	}
	for _, text := range []string{"", "127.0.0.1:50051", "ftp://a", "http://", "http://a:b", "http://u:p@a:1", "http://a:1/x", "http://a:1?x", "unix:", "unix:relative"} {
		if parsed, err := parseEndpoint(text); err == nil || !strings.Contains(err.Error(), "unix:/PATH") {
			t.Errorf("%s: %+v %v", text, parsed, err)
		}
	}
}

func TestTextOfAnAgentCannotActOnATerminal(t *testing.T) {
	if shown := visible("a\x1b[2K\u202Eb\nc"); shown != `a\u{1B}[2K\u{202E}b\u{A}c` {
		t.Error(shown)
	}
}
