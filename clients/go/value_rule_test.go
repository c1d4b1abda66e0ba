package aegis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/big"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// A five is written by a method of its pointer.
type five struct{ List []int }

func (*five) MarshalJSON() ([]byte, error) { return []byte(`{"five":5}`), nil }

type level int

func (l level) MarshalText() ([]byte, error) { return []byte(fmt.Sprintf("level-%d", int(l))), nil }

type failure struct {
	Op  string
	Err error
}

func (f *failure) Error() string { return f.Op + ": " + f.Err.Error() }

type trip struct {
	Site    *url.URL      `json:"site"`
	Home    url.URL       `json:"home"`
	Wait    time.Duration `json:"wait"`
	When    time.Time     `json:"when"`
	Amount  *big.Int      `json:"amount"`
	Balance big.Int       `json:"balance"`
	Why     error         `json:"why"`
	Five    five          `json:"five"`
	Level   level         `json:"level"`
	Ctx     context.Context
}

func TestValuesOfEveryDayBecomeJSONByTheRule(t *testing.T) {
	large, _ := new(big.Int).SetString("9007199254740993", 10)
	site := &url.URL{Scheme: "https", Host: "example.com", Path: "/a", RawQuery: "b=c", User: url.UserPassword("ada", "pw")}
	when := time.Date(2026, 1, 2, 3, 4, 5, 6_000_000, time.FixedZone("", 3600))
	away := &failure{"read", fs.ErrNotExist}
	for _, rule := range []struct {
		value    any
		expected string
	}{
		{when, `"2026-01-02T03:04:05.006+01:00"`},
		{&when, `"2026-01-02T03:04:05.006+01:00"`},
		{90 * time.Second, `90`},
		{1500 * time.Millisecond, `1.5`},
		{site, `"https://ada:pw@example.com/a?b=c"`},
		{*site, `"https://ada:pw@example.com/a?b=c"`},
		{netip.MustParseAddr("127.0.0.1"), `"127.0.0.1"`},
		{big.NewInt(7), `7`},
		{*big.NewInt(-7), `-7`},
		{big.NewInt(1<<53 - 1), `9007199254740991`},
		{large, `"9007199254740993"`},
		{new(big.Int).Neg(large), `"-9007199254740993"`},
		{big.NewRat(1, 4), `0.25`},
		{big.NewRat(1, 3), `"1/3"`},
		{big.NewRat(1999, 100), `19.99`},
		{big.NewRat(1<<62, 1<<10), `4503599627370496`},
		{new(big.Rat).Add(big.NewRat(1, 10), big.NewRat(1, 1e18)), `"0.100000000000000001"`},
		{new(big.Rat), `0`},
		{big.NewFloat(0.5), `0.5`},
		{new(big.Float).SetMantExp(big.NewFloat(1), -1<<30), `"0x.8p-1073741823"`},
		{new(big.Float).SetInt(large), `"9.007199254740993e+15"`},
		{[]byte{0xff}, `"/w=="`},
		{float32(0.1), `0.1`},
		{errors.New("broken"), `"broken"`},
		{away, `"read: file does not exist"`},
		{[]error{away, nil}, `["read: file does not exist",null]`},
		{five{}, `{"five":5}`},
		{&five{}, `{"five":5}`},
		{level(2), `"level-2"`},
		{map[level]int{2: 1}, `{"level-2":1}`},
		{map[any]any{"a": 1, 2: "b"}, `{"2":"b","a":1}`},
		{map[int8][]uint16{-1: {7}}, `{"-1":[7]}`},
		{http.Header{"A": {"b"}}, `{"A":["b"]}`},
		{struct{}{}, `{}`},
		{map[string]struct{}{"a": {}}, `{"a":{}}`},
		{&grpc_health_v1.HealthCheckRequest{}, `{"service":""}`},
		{durationpb.New(time.Second), `"1s"`},
		{&trip{Site: site, Home: *site, Wait: time.Minute, When: when, Amount: large, Balance: *big.NewInt(3), Why: away, Level: 1},
			`{"Ctx":null,"amount":"9007199254740993","balance":3,"five":{"five":5},"home":"https://ada:pw@example.com/a?b=c","level":"level-1",` +
				`"site":"https://ada:pw@example.com/a?b=c","wait":60,"when":"2026-01-02T03:04:05.006+01:00","why":"read: file does not exist"}`},
	} {
		sent, err := toValue("params.x", rule.value)
		if err != nil {
			t.Errorf("%T: %v", rule.value, err)
			continue
		}
		if text, _ := json.Marshal(sent.AsInterface()); string(text) != rule.expected {
			t.Errorf("%T is sent as %s, and not %s", rule.value, text, rule.expected)
		}
	}
}

type base struct {
	ID   int
	Name string `json:"name"`
}

type other struct{ Note string }

type embedded struct {
	base
	*other
	Named base      `json:"named"`
	Skip  int       `json:"-"`
	Empty []int     `json:",omitempty"`
	Zero  time.Time `json:"zero,omitzero"`
	Text  int64     `json:"text,string"`
	Name  string
	low   int
}

type shadow struct {
	base
	ID string
}

func TestAStructIsItsOwnJSON(t *testing.T) {
	for _, value := range []any{
		embedded{base: base{1, "n"}, Text: 1 << 60, Name: "N", low: 1}, embedded{other: &other{"x"}}, shadow{base{1, "n"}, "s"},
		struct {
			A *int
			B any
			C map[string]*base
			D [2]bool
			E string `json:"e,omitempty"`
		}{C: map[string]*base{"a": nil, "b": {2, "m"}}},
		struct {
			base `json:"renamed"`
		}{base{3, "x"}},
		struct{ A json.RawMessage }{json.RawMessage(`{"x":[1]}`)},
	} {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		var expected any
		if err := json.Unmarshal(text, &expected); err != nil {
			t.Fatal(err)
		}
		sent, err := toValue("params.x", value)
		if err != nil || !reflect.DeepEqual(sent.AsInterface(), expected) {
			t.Errorf("%T is sent as %v, and not %s: %v", value, sent.AsInterface(), text, err)
		}
	}
}

// Both embedded structures have a field that JSON calls the same, and encoding/json shows neither.
type clash struct {
	Left
	Right
}

type Left struct{ X int }

type Right struct{ X int }

type crash struct{}

func (crash) MarshalJSON() ([]byte, error) { panic("no") }

func TestNothingIsLeftOutWithoutAWord(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	request, _ := http.NewRequest(http.MethodPost, "http://example.com", strings.NewReader("a"))
	unknown := &emptypb.Empty{}
	unknown.ProtoReflect().SetUnknown([]byte("\x0a\x07guarded"))
	deep := []any{}
	for range 100 {
		deep = []any{deep}
	}
	for _, refused := range []struct {
		value         any
		path, problem string
	}{
		{ctx, "params.x", "never a parameter"},
		{map[string]any{"a": []any{ctx}}, "params.x.a[0]", "never a parameter"},
		{&trip{Ctx: ctx}, "params.x.Ctx", "never a parameter"},
		{&sync.Mutex{}, "params.x", "show nothing"},
		{struct{ hidden int }{1}, "params.x", "show nothing"},
		{map[string]any{"user": url.User("ada")}, "params.x.user", "show nothing"},
		{request, "params.x.Body.Reader", "show nothing"},
		{clash{}, "params.x", `called "X"`},
		{crash{}, "params.x", "panics"},
		{json.RawMessage(`{"a":1,"a":2}`), "params.x.a", "repeats a name"},
		{json.RawMessage(`{"a":"\ud800"}`), "params.x", "surrogate"},
		{json.RawMessage(`{"a":9007199254740993}`), "params.x.a", "2^53"},
		{unknown, "params.x", "does not know"},
		{map[any]any{"1": 1, 1: 2}, `params.x["1"]`, "twice"},
		{map[any]any{nil: 1}, "params.x", "key that is nil"},
		{map[[1]int]int{{1}: 1}, "params.x", "key that is a [1]int"},
		{math.MaxFloat64, "params.x", "as a string"},
		{deep, "params.x" + strings.Repeat("[0]", 63), "deeper than 64"},
	} {
		_, err := toStruct("params", map[string]any{"x": refused.value})
		invalid := (*InvalidActionError)(nil)
		if !errors.As(err, &invalid) || invalid.Path != refused.path || !strings.Contains(invalid.Problem, refused.problem) {
			t.Errorf("%T: %v", refused.value, err)
		}
	}
}

type (
	hiddenMarshaler struct{ n int }
	// Their authors may not have noticed that each is written as what it embeds.
	embedsTime struct {
		time.Time
		Command string
	}
	embedsPointer struct {
		*big.Int
		Command string
	}
	embedsHidden struct {
		hiddenMarshaler
		Command string
	}
	embedsMessage struct {
		*durationpb.Duration
		Command string
	}
	embedsDeep struct {
		embedsOnly
		Command string
	}
	// These show all that they have, or say themselves how they are written.
	embedsOnly  struct{ time.Time }
	embedsPlain struct {
		embedsOnly
		note string
	}
	writesAll struct {
		time.Time
		Command string
	}
	writesByPtr struct {
		time.Time
		Command string
	}
)

func (hiddenMarshaler) MarshalJSON() ([]byte, error) { return []byte(`"hidden"`), nil }
func (writesAll) MarshalJSON() ([]byte, error)       { return []byte(`"all"`), nil }
func (*writesByPtr) MarshalJSON() ([]byte, error)    { return []byte(`"all"`), nil }

func TestAStructureThatIsWrittenAsAnotherThatItEmbedsIsRefused(t *testing.T) {
	for _, value := range []any{
		embedsTime{time.Unix(0, 0), "rm"}, &embedsTime{time.Unix(0, 0), "rm"}, embedsPointer{big.NewInt(1), "rm"},
		embedsHidden{hiddenMarshaler{1}, "rm"}, embedsMessage{durationpb.New(0), "rm"}, embedsDeep{embedsOnly{time.Unix(0, 0)}, "rm"},
		[]embedsTime{{}},
	} {
		_, err := toValue("params.v", value)
		if invalid := (*InvalidActionError)(nil); !errors.As(err, &invalid) || !strings.Contains(err.Error(), "without its field Command") {
			t.Errorf("%T: %v", value, err)
		}
	}
	for _, value := range []any{
		embedsOnly{time.Unix(0, 0)}, embedsPlain{embedsOnly{}, "x"}, writesAll{}, &writesAll{}, writesByPtr{}, &writesByPtr{}, time.Time{},
		durationpb.New(0), big.NewInt(1),
	} {
		if _, err := toValue("params.v", value); err != nil {
			t.Errorf("%T: %v", value, err)
		}
	}
}
