package behaviours

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"reflect"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
)

// tablePaths are the tables of behaviours.
var tablePaths = []string{"../../../tests/sdk/behaviours.yaml", "../../../tests/sdk/once.yaml"}

// The table, as tests/sdk/README.md describes it. A key that is not here is an error.
type table struct {
	Version    int
	Policy     string
	Behaviours []behaviour
}

type behaviour struct {
	Name        string
	Policy      string
	Transports  []string
	Token       string
	Environment *map[string]string
	Stub        *stub
	Steps       []step
	Record      *[]map[string]any
	RecordCount *int `yaml:"record_count"`
}

type stub struct {
	Propose struct{ Outcome int32 }
}

type step struct {
	// The verbs: a step has one of them.
	Governed     *action
	Plan         []planned
	Propose      *action
	Wait         string
	Cancel       string
	Evaluate     []action
	ListPending  *struct{} `yaml:"list_pending"`
	Approve      *pending
	Deny         *pending
	AwaitPending *pending `yaml:"await_pending"`
	Join         string
	Daemon       string
	Policy       string
	LoseAnswer   string `yaml:"lose_answer"`

	// What belongs to them.
	As             string
	InBackground   string `yaml:"in_background"`
	Confirms       string
	Executor       executor
	Hook           *hook
	Deadline       time.Duration
	IdempotencyKey string `yaml:"idempotency_key"`
	Session        string
	Reason         string
	Times          int
	MaxRetries     int `yaml:"max_retries"`
	Rollback       *action
	DryRun         bool `yaml:"dry_run"`

	Expect      yaml.Node
	ExpectError *expectedError `yaml:"expect_error"`
}

// verbs are the fields of a step before As.
const verbs = 14

// verb is the name of the field of the one verb that a step has.
func (s step) verb() (string, error) {
	var found []string
	value := reflect.ValueOf(s)
	for i := range verbs {
		if !value.Field(i).IsZero() {
			found = append(found, value.Type().Field(i).Name)
		}
	}
	if len(found) != 1 {
		return "", fmt.Errorf("a step has one verb, and this one has %v", found)
	}
	return found[0], nil
}

type action struct {
	Type        string
	Target      string
	Params      params
	Description string
}

func (a action) sdk() aegis.Action {
	return aegis.Action{Type: a.Type, Target: a.Target, Params: a.Params, Description: a.Description}
}

// params are parameters, in which $unsafe stands for what YAML cannot say.
type params map[string]any

func (p *params) UnmarshalYAML(node *yaml.Node) error {
	var plain map[string]any
	if err := node.Decode(&plain); err != nil {
		return err
	}
	value, err := withUnsafe(plain)
	if err == nil {
		*p = value.(map[string]any)
	}
	return err
}

func withUnsafe(value any) (any, error) {
	var err error
	switch value := value.(type) {
	case []any:
		for i := range value {
			if value[i], err = withUnsafe(value[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		if what, ok := value["$unsafe"]; ok {
			return unsafe(what)
		}
		for key := range value {
			if value[key], err = withUnsafe(value[key]); err != nil {
				return nil, err
			}
		}
	}
	return value, nil
}

func unsafe(what any) (any, error) {
	switch what {
	case "nan":
		return math.NaN(), nil
	case "infinity":
		return math.Inf(1), nil
	case "function":
		return func() {}, nil
	case "cycle":
		cycle := map[string]any{}
		cycle["again"] = cycle
		return cycle, nil
	}
	if integer, ok := what.(int); ok {
		return integer, nil
	}
	return nil, fmt.Errorf("$unsafe: %v is not known here", what)
}

type planned struct {
	Action   action
	Executor executor
}

type executor struct {
	Returns  any
	Raises   string
	Verifies *bool
}

type pending struct{ Type string }

type hook struct {
	OnDecision string `yaml:"on_decision"`
}

type expectedError struct {
	Kind, Code, Reason, Path string
}

func readTable(t *testing.T, path string) table {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	var read table
	if err := decoder.Decode(&read); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if read.Version != 1 || len(read.Behaviours) == 0 {
		t.Fatalf("%s: version %d with %d behaviours", path, read.Version, len(read.Behaviours))
	}
	return read
}
