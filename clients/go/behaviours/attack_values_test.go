package behaviours

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
	"github.com/aegis-sidecar/aegis/clients/go/aegistest"
	"github.com/aegis-sidecar/aegis/clients/go/aegisv1"
)

// A forgedAnswer is what a server answers that is not the daemon.
type forgedAnswer struct {
	Name    string
	Propose forgedDecision
	Await   forgedDecision
}

type forgedDecision struct {
	DecisionID   string `yaml:"decision_id"`
	Outcome      string
	ActionDigest string `yaml:"action_digest"`
}

func (d forgedDecision) proto() *aegisv1.Decision {
	return &aegisv1.Decision{
		DecisionId: d.DecisionID, ActionDigest: d.ActionDigest,
		Outcome: aegisv1.Outcome(aegisv1.Outcome_value["OUTCOME_"+d.Outcome]),
	}
}

// An impostor answers as a row of the table says.
type impostor struct {
	aegisv1.UnimplementedGovernanceServiceServer
	forgedAnswer
}

func (i *impostor) Propose(context.Context, *aegisv1.ProposeRequest) (*aegisv1.ProposeResponse, error) {
	return &aegisv1.ProposeResponse{Decision: i.forgedAnswer.Propose.proto()}, nil
}

func (i *impostor) AwaitDecision(context.Context, *aegisv1.AwaitDecisionRequest) (*aegisv1.AwaitDecisionResponse, error) {
	return &aegisv1.AwaitDecisionResponse{Decision: i.Await.proto()}, nil
}

func TestADecisionIsTakenOnlyForWhatWasSent(t *testing.T) {
	for _, answer := range readAttacks(t).Answers {
		t.Run(answer.Name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			server := grpc.NewServer()
			aegisv1.RegisterGovernanceServiceServer(server, &impostor{forgedAnswer: answer})
			go func() { _ = server.Serve(listener) }()
			t.Cleanup(server.Stop)
			agent, err := aegis.New(aegis.WithEndpoint("http://"+listener.Addr().String()), aegis.WithToken(""))
			if err != nil {
				t.Fatal(err)
			}
			defer agent.Close()
			ctx, cancel := context.WithTimeout(t.Context(), longest)
			defer cancel()
			_, err = aegis.Govern(ctx, agent, aegis.Action{Type: "act"}, func(context.Context, aegis.Decision) (any, error) {
				t.Error("the action ran")
				return nil, nil
			})
			if failed := (*aegis.Error)(nil); !errors.As(err, &failed) || failed.Reason != aegis.ReasonWrongAnswer {
				t.Error(err)
			}
		})
	}
}

// A valueCase is a value, and what it is proposed as.
type valueCase struct {
	Value   any
	JSON    yaml.Node
	Refused bool
}

// notInGo are kinds of values that Go has no type for.
var notInGo = map[string]string{
	"date": "time.Time is a moment", "time": "time.Time is a moment", "uuid": "a UUID is of other modules, and a TextMarshaler there",
	"path": "a path is a string", "set": "a set is a map",
}

// errNotInGo says that a row is about something that Go does not have.
var errNotInGo = errors.New("not in Go")

func TestValuesBecomeJSONAsTheTableSays(t *testing.T) {
	table := readAttacks(t)
	daemon := aegistest.Start(t, table.Policy)
	agent := daemon.Agent()
	tried := 0
	for i, row := range table.Values {
		value, err := withValues(row.Value)
		if errors.Is(err, errNotInGo) {
			continue
		}
		if err != nil {
			t.Fatalf("row %d: %v", i+1, err)
		}
		tried++
		before, err := daemon.Rows(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = agent.Propose(t.Context(), aegis.Action{Type: "act", Params: map[string]any{"v": value}})
		rows, failed := daemon.Rows(t.Context())
		if failed != nil {
			t.Fatal(failed)
		}
		rows = rows[len(before):]
		if row.Refused {
			invalid := (*aegis.InvalidActionError)(nil)
			if !errors.As(err, &invalid) || !strings.HasPrefix(invalid.Path, "params.v") || len(rows) != 0 {
				t.Errorf("row %d (%T) is not refused: %v, recorded %+v", i+1, value, err, rows)
			}
			continue
		}
		var expected any
		if err := row.JSON.Decode(&expected); err != nil {
			t.Fatal(err)
		}
		if err != nil || len(rows) != 1 || !sameJSON(t, rows[0].Action.Params, map[string]any{"v": expected}) {
			t.Errorf("row %d (%T) is proposed as %+v: %v", i+1, value, rows, err)
		}
	}
	if tried < 18 {
		t.Errorf("%d values were tried", tried)
	}
}

// withValues is a value of the table, in which {$value: KIND, of: TEXT} is what it stands for.
func withValues(value any) (any, error) {
	var err error
	switch value := value.(type) {
	case []any:
		made := make([]any, len(value))
		for i, item := range value {
			if made[i], err = withValues(item); err != nil {
				return nil, err
			}
		}
		return made, nil
	case map[string]any:
		if kind, ok := value["$value"].(string); ok {
			return makeValue(kind, value["of"])
		}
		made := map[string]any{}
		for key, item := range value {
			if made[key], err = withValues(item); err != nil {
				return nil, err
			}
		}
		return made, nil
	}
	return value, nil
}

type colour string

type opaque struct{ hidden []int }

func makeValue(kind string, of any) (any, error) {
	if why, not := notInGo[kind]; not {
		return nil, fmt.Errorf("%w: %s", errNotInGo, why)
	}
	text := fmt.Sprint(of)
	switch kind {
	case "integer":
		return strconv.ParseInt(text, 10, 64)
	case "bigint":
		integer, ok := new(big.Int).SetString(text, 10)
		return integer, right(ok, text)
	case "decimal":
		if text == "NaN" {
			return nil, errNotInGo
		}
		ratio, ok := new(big.Rat).SetString(text)
		return ratio, right(ok, text)
	case "number":
		return map[string]float64{"nan": math.NaN(), "infinity": math.Inf(1)}[text], nil
	case "datetime":
		return time.Parse(time.RFC3339, text)
	case "duration":
		seconds, err := strconv.ParseFloat(text, 64)
		return time.Duration(seconds * float64(time.Second)), err
	case "url":
		return url.Parse(text)
	case "bytes":
		return base64.StdEncoding.DecodeString(text)
	case "enum":
		return colour(text), nil
	case "record":
		return makeRecord(of)
	case "function":
		return func() {}, nil
	case "cycle":
		cycle := map[string]any{}
		cycle["again"] = cycle
		return cycle, nil
	case "opaque":
		return &opaque{hidden: []int{1}}, nil
	case "half_character":
		return "a\xed\xa0\x80", nil
	}
	return nil, fmt.Errorf("the kind %s is not known here", kind)
}

func right(ok bool, text string) error {
	if !ok {
		return fmt.Errorf("%s is no number", text)
	}
	return nil
}

// makeRecord is a structure with these fields. A date in it, which Go does not have, is a text there.
func makeRecord(of any) (any, error) {
	parts, ok := of.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("a record of %v", of)
	}
	var names []string
	for name := range parts {
		names = append(names, name)
	}
	slices.Sort(names)
	var fields []reflect.StructField
	var values []reflect.Value
	for i, name := range names {
		part := parts[name]
		if made, ok := part.(map[string]any); ok && made["$value"] == "date" {
			part = made["of"]
		}
		value, err := withValues(part)
		if err != nil {
			return nil, err
		}
		fields = append(fields, reflect.StructField{
			Name: fmt.Sprintf("F%d", i), Type: reflect.TypeOf(value), Tag: reflect.StructTag(fmt.Sprintf("json:%q", name)),
		})
		values = append(values, reflect.ValueOf(value))
	}
	record := reflect.New(reflect.StructOf(fields)).Elem()
	for i, value := range values {
		record.Field(i).Set(value)
	}
	return record.Interface(), nil
}

// readYAML is JSON as the table is read, with its whole numbers as integers.
func readYAML(text json.RawMessage) (map[string]any, error) {
	var read map[string]any
	err := yaml.Unmarshal(text, &read)
	return read, err
}
