package behaviours

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
	"github.com/aegis-sidecar/aegis/clients/go/aegistest"
)

const attacksPath = "../../../tests/sdk/attacks.yaml"

// The table of attacks, as tests/sdk/README.md describes it. A key that is not here is an error.
type attackTable struct {
	Policy  string
	Attacks []attack
	Answers []forgedAnswer
	Values  []valueCase
}

type attack struct {
	Name   string
	Seats  []string
	Target string
	Params map[string]any
	Change change

	Reviewer  string
	Retries   int
	OrRefused bool `yaml:"or_refused"`

	Proposed map[string]any
	Ran      []map[string]any
	Denied   bool
	Refused  string
	Told     bool

	// Of the seat http.
	Request     *httpCase
	RedirectsTo string `yaml:"redirects_to"`
	Sent        []sentRequest

	// Of the seat browser, which this SDK does not have.
	Page   *string
	Action any
	Asked  bool
	Hits   *[]string
	Opened *[]string
}

// A change is what changes, and when.
type change struct {
	When  string
	Of    string
	Set   map[string]any
	Unset []string

	// Of the seat browser.
	Page   *string
	GoesTo string `yaml:"goes_to"`
}

func readAttacks(t *testing.T) attackTable {
	t.Helper()
	text, err := os.ReadFile(attacksPath)
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	var read attackTable
	if err := decoder.Decode(&read); err != nil {
		t.Fatalf("%s: %v", attacksPath, err)
	}
	if len(read.Attacks) < 15 || len(read.Answers) < 3 || len(read.Values) < 20 {
		t.Fatalf("%s: %d attacks, %d answers, %d values: the table is larger", attacksPath, len(read.Attacks), len(read.Answers), len(read.Values))
	}
	return read
}

func TestWhatIsChangedOrHiddenDoesNotRun(t *testing.T) {
	table := readAttacks(t)
	daemon := aegistest.Start(t, table.Policy)
	for _, attack := range table.Attacks {
		if err := attack.Change.known(); err != nil {
			t.Fatal(err)
		}
		if slices.Contains(attack.Seats, "wrap") {
			attack.Seats = append(attack.Seats, "wrapped pointer")
		}
		for _, seat := range attack.Seats {
			run, known := seats[seat]
			if !known {
				t.Fatalf("the seat %s is not known here", seat)
			}
			if run == nil {
				continue
			}
			t.Run(attack.Name+" ("+seat+")", func(t *testing.T) { attack.run(t, daemon, run) })
		}
	}
}

// A seat is one way to make the call. It returns what the call ended with.
type seat func(*attempt) error

// seats are all of them. In Go there is no adapter of a framework whose model sends arguments, and none for browsers.
var seats = map[string]seat{
	"wrap": wrapped, "wrapped pointer": wrappedPointer, "call": called, "executor": executed, "mcp": overMCP, "http": overHTTP,
	"tool": nil, "browser": nil,
}

// An attempt is one attack from one seat.
type attempt struct {
	attack
	t      *testing.T
	ctx    context.Context
	daemon *aegistest.Daemon
	// kept is what the caller gives, and can change.
	kept map[string]any
	// ran are the arguments of each run.
	ran []map[string]any
	// told says that the call ended with an answer that is a failure, and not with an error.
	told bool
	// sent are the requests that the transport was given, and request the one that the caller made.
	http *httpAttempt
}

func (a attack) run(t *testing.T, daemon *aegistest.Daemon, run seat) {
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	before, err := daemon.Rows(ctx)
	if err != nil {
		t.Fatal(err)
	}
	made, err := withValues(deepCopy(a.Params))
	if err != nil {
		t.Fatal(err)
	}
	it := &attempt{attack: a, t: t, ctx: ctx, daemon: daemon, kept: made.(map[string]any)}
	reviewed := make(chan error, 1)
	go func() { reviewed <- it.review() }()
	failed := run(it)
	if err := <-reviewed; err != nil {
		t.Error(err)
	}
	rows, err := daemon.Rows(ctx)
	if err != nil {
		t.Fatal(err)
	}
	it.compare(failed, rows[len(before):])
}

// review answers as the reviewer does, once the change was made.
func (it *attempt) review() error {
	target := it.Target
	if it.Request != nil {
		target = it.Request.URL
	}
	if !strings.Contains(target, "ask") {
		return nil
	}
	reviewer := it.daemon.Reviewer()
	for event, err := range reviewer.StreamApprovals(it.ctx, aegis.ApprovalFilter{}) {
		if err != nil {
			return err
		}
		if event.Kind != aegis.ApprovalPending {
			continue
		}
		if it.Change.When == "reviewing" {
			it.change(it.kept)
		}
		if it.Reviewer == "deny" {
			_, err = reviewer.Deny(it.ctx, event.Approval, "no")
		} else {
			_, err = reviewer.Approve(it.ctx, event.Approval, "yes")
		}
		return err
	}
	return errors.New("nothing was asked")
}

// change changes what the caller keeps, or what a callback was given.
func (it *attempt) change(of map[string]any) {
	if it.http != nil {
		it.http.change(it.t, it.Change)
		return
	}
	for path, value := range it.Change.Set {
		set(of, path, value)
	}
	for _, path := range it.Change.Unset {
		at := strings.Split(path, ".")
		delete(reach(of, at[:len(at)-1]).(map[string]any), at[len(at)-1])
	}
}

func set(of any, path string, value any) {
	at := strings.Split(path, ".")
	last := at[len(at)-1]
	switch holder := reach(of, at[:len(at)-1]).(type) {
	case map[string]any:
		holder[last] = value
	case []any:
		place, _ := strconv.Atoi(last)
		holder[place] = value
	default:
		panic("nothing is at " + path)
	}
}

func reach(of any, at []string) any {
	for _, part := range at {
		switch holder := of.(type) {
		case map[string]any:
			of = holder[part]
		case []any:
			place, _ := strconv.Atoi(part)
			of = holder[place]
		}
	}
	return of
}

// compare compares what came of an attack with what the table says.
func (it *attempt) compare(failed error, rows []aegis.AuditRow) {
	t := it.t
	denied, invalid := (*aegis.DeniedError)(nil), (*aegis.InvalidActionError)(nil)
	switch {
	case it.Denied:
		if !errors.As(failed, &denied) {
			t.Errorf("not denied: %v", failed)
		}
	case it.Refused != "":
		if !errors.As(failed, &invalid) || invalid.Path != it.Refused || len(rows) != 0 {
			t.Errorf("not refused at %s: %v, recorded %+v", it.Refused, failed, rows)
		}
	case it.Told:
		if failed != nil || !it.told || len(rows) != 0 {
			t.Errorf("told: %v, %v, recorded %+v", it.told, failed, rows)
		}
	case failed != nil && !it.OrRefused:
		t.Error(failed)
	}
	if it.Proposed != nil {
		if len(rows) == 0 || !sameJSON(t, rows[len(rows)-1].Action.Params, it.Proposed) {
			t.Errorf("proposed: %+v", rows)
		}
	}
	if it.Request != nil {
		it.http.compare(t, it.Sent, failed != nil && it.OrRefused)
		return
	}
	if len(it.ran) != len(it.Ran) {
		t.Fatalf("ran: %v", it.ran)
	}
	for i, expected := range it.Ran {
		if !reflect.DeepEqual(it.ran[i], expected) {
			t.Errorf("run %d was with %v", i+1, it.ran[i])
		}
	}
}

// deepCopy copies what is made of maps and lists.
func deepCopy(value any) any {
	switch value := value.(type) {
	case map[string]any:
		copied := map[string]any{}
		for key, item := range value {
			copied[key] = deepCopy(item)
		}
		return copied
	case []any:
		copied := make([]any, len(value))
		for i, item := range value {
			copied[i] = deepCopy(item)
		}
		return copied
	default:
		return value
	}
}

// note notes a run.
func (it *attempt) note(arguments map[string]any) error {
	it.ran = append(it.ran, deepCopy(arguments).(map[string]any))
	if it.Change.When == "first_attempt" && len(it.ran) == 1 {
		if it.Change.Of == "given" {
			it.change(arguments)
		} else {
			it.change(it.kept)
		}
		return errors.New("the first attempt fails")
	}
	return nil
}

// options are the callbacks in which something changes.
func (it *attempt) options() []aegis.CallOption {
	options := []aegis.CallOption{aegis.WithConfirm(func(_ context.Context, given aegis.Action, _ aegis.Decision) (bool, error) {
		it.callback("confirming", given.Params)
		return true, nil
	})}
	return append(options, aegis.WithHooks(aegis.Hooks{OnDecision: func(_ context.Context, given aegis.Action, _ aegis.Decision) error {
		it.callback("on_decision", given.Params)
		return nil
	}}))
}

func (it *attempt) callback(when string, given map[string]any) {
	switch {
	case it.Change.When != when:
	case it.Change.Of == "given":
		it.change(given)
	default:
		it.change(it.kept)
	}
}

// known is an error where the table has a moment that is not known here.
func (c change) known() error {
	switch c.When {
	case "", "reviewing", "confirming", "on_decision", "first_attempt", "planned":
		return nil
	}
	return fmt.Errorf("when: %s is not known here", c.When)
}
