package aegismcp_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
	"github.com/aegis-sidecar/aegis/clients/go/aegismcp"
	"github.com/aegis-sidecar/aegis/clients/go/aegistest"
)

const policy = `
version: "1"
rules:
  - name: large
    match: { type: read_contacts, target: crm }
    conditions: { param_gt: { limit: 100 } }
    risk_level: high
    approval: approve
  - { name: reads, match: { type: "read*", target: crm }, risk_level: low, approval: auto }
  - { name: no_deletes, match: { type: "delete*" }, risk_level: critical, approval: block }
`

type arguments struct {
	Limit int `json:"limit"`
}

// serve connects a session to an MCP server with three tools, and counts their calls.
func serve(t *testing.T, middleware ...mcp.Middleware) (*mcp.ClientSession, map[string]int) {
	called := map[string]int{}
	server := mcp.NewServer(&mcp.Implementation{Name: "says-it-is-harmless", Version: "1"}, nil)
	tool := func(name string, run func(arguments) (any, error)) {
		mcp.AddTool(server, &mcp.Tool{Name: name}, func(_ context.Context, _ *mcp.CallToolRequest, given arguments) (*mcp.CallToolResult, any, error) {
			called[name]++
			structured, err := run(given)
			return nil, structured, err
		})
	}
	tool("read_contacts", func(given arguments) (any, error) { return map[string]int{"rows": given.Limit}, nil })
	tool("read_nothing", func(arguments) (any, error) { return nil, errors.New("the database is away") })
	tool("delete_contacts", func(arguments) (any, error) { return map[string]int{}, nil })
	here, there := mcp.NewInMemoryTransports()
	connected, err := server.Connect(t.Context(), there, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connected.Close() })
	client := mcp.NewClient(&mcp.Implementation{Name: "agent", Version: "1"}, nil)
	client.AddSendingMiddleware(middleware...)
	session, err := client.Connect(t.Context(), here, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	return session, called
}

type call func(ctx context.Context, params *mcp.CallToolParams) (*mcp.CallToolResult, error)

// eachWay runs a test with the middleware, and with calls that are governed one by one.
func eachWay(t *testing.T, test func(t *testing.T, daemon *aegistest.Daemon, call call, called map[string]int)) {
	t.Run("middleware", func(t *testing.T) {
		daemon := aegistest.Start(t, policy)
		session, called := serve(t, aegismcp.Middleware(daemon.Agent(), "crm"))
		if _, err := session.ListTools(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		test(t, daemon, session.CallTool, called)
	})
	t.Run("single call", func(t *testing.T) {
		daemon := aegistest.Start(t, policy)
		session, called := serve(t)
		agent := daemon.Agent()
		test(t, daemon, func(ctx context.Context, params *mcp.CallToolParams) (*mcp.CallToolResult, error) {
			return aegismcp.CallTool(ctx, agent, session, "crm", params)
		}, called)
	})
}

func row(t *testing.T, daemon *aegistest.Daemon) aegis.AuditRow {
	t.Helper()
	rows, err := daemon.Rows(t.Context())
	if err != nil || len(rows) != 1 {
		t.Fatalf("%+v %v", rows, err)
	}
	return rows[0]
}

func TestAToolThatIsAllowedRunsAndItsResultIsOnTheRecord(t *testing.T) {
	eachWay(t, func(t *testing.T, daemon *aegistest.Daemon, call call, called map[string]int) {
		result, err := call(t.Context(), &mcp.CallToolParams{Name: "read_contacts", Arguments: arguments{Limit: 10}})
		if err != nil || result.IsError || called["read_contacts"] != 1 {
			t.Fatal(result, err, called)
		}
		row := row(t, daemon)
		text, _ := json.Marshal(row)
		if row.Action.Type != "read_contacts" || row.Action.Target != "crm" || row.Action.Params["limit"] != 10.0 || row.Result.Status != aegis.StatusSuccess {
			t.Errorf("%s", text)
		}
		if !strings.Contains(string(text), `"structuredContent":{"rows":10}`) {
			t.Errorf("the result is not in %s", text)
		}
	})
}

func TestAToolThatIsBlockedIsNotCalledAndIsOnTheRecord(t *testing.T) {
	eachWay(t, func(t *testing.T, daemon *aegistest.Daemon, call call, called map[string]int) {
		_, err := call(t.Context(), &mcp.CallToolParams{Name: "delete_contacts", Arguments: arguments{}})
		if denied := (*aegis.DeniedError)(nil); !errors.As(err, &denied) || called["delete_contacts"] != 0 {
			t.Fatal(err, called)
		}
		if row := row(t, daemon); row.Result.Status != aegis.StatusBlocked {
			t.Errorf("%+v", row)
		}
	})
}

func TestAReviewerIsAskedAboutTheArguments(t *testing.T) {
	eachWay(t, func(t *testing.T, daemon *aegistest.Daemon, call call, called map[string]int) {
		answering, stop := context.WithCancel(t.Context())
		answered := make(chan error, 1)
		go func() {
			_, err := daemon.Deny(answering, "read_contacts", "too many")
			answered <- err
		}()
		// Where it was never asked, there is nothing to answer either.
		defer stop()
		time.AfterFunc(30*time.Second, stop)
		_, err := call(t.Context(), &mcp.CallToolParams{Name: "read_contacts", Arguments: map[string]any{"limit": 101}})
		if err := <-answered; err != nil {
			t.Fatal(err)
		}
		if err == nil || !strings.Contains(err.Error(), "too many") || called["read_contacts"] != 0 {
			t.Fatal(err, called)
		}
		if row := row(t, daemon); row.Result.Status != aegis.StatusDenied {
			t.Errorf("%+v", row)
		}
	})
}

func TestAToolThatFailsIsReportedAsFailed(t *testing.T) {
	eachWay(t, func(t *testing.T, daemon *aegistest.Daemon, call call, _ map[string]int) {
		result, err := call(t.Context(), &mcp.CallToolParams{Name: "read_nothing", Arguments: arguments{}})
		if err != nil || !result.IsError {
			t.Fatal(result, err)
		}
		if row := row(t, daemon); row.Result.Status != aegis.StatusFailed || row.Result.Error != "the database is away" {
			t.Errorf("%+v", row)
		}
	})
}

func TestArgumentsThatCannotBeSentWholeAreRefused(t *testing.T) {
	eachWay(t, func(t *testing.T, _ *aegistest.Daemon, call call, called map[string]int) {
		result, err := call(t.Context(), &mcp.CallToolParams{Name: "read_contacts", Arguments: map[string]any{"limit": 1 << 60}})
		if err != nil || !result.IsError || called["read_contacts"] != 0 {
			t.Fatal(err, called)
		}
		if invalid := (*aegis.InvalidActionError)(nil); !errors.As(result.GetError(), &invalid) || invalid.Path != "params.limit" {
			t.Error(result.GetError())
		}
	})
}
