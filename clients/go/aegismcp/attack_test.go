package aegismcp_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
	"github.com/aegis-sidecar/aegis/clients/go/aegismcp"
	"github.com/aegis-sidecar/aegis/clients/go/aegistest"
)

func TestArgumentsThatReadersUnderstandDifferentlyAreRefused(t *testing.T) {
	eachWay(t, func(t *testing.T, daemon *aegistest.Daemon, call call, called map[string]int) {
		for text, path := range map[string]string{
			`{"limit":1,"limit":1000}`: "params.limit", `{"limit":1,"l\u0069mit":1000}`: "params.limit", `{"a":[{"b":1,"b":2}]}`: "params.a[0].b",
			`{"limit":9007199254740993}`: "params.limit", `{"a":"\ud800"}`: "params", `[1]`: "params", `{"__proto__":{"limit":1}}`: "params.__proto__",
		} {
			result, err := call(t.Context(), &mcp.CallToolParams{Name: "read_contacts", Arguments: json.RawMessage(text)})
			if err != nil || !result.IsError {
				t.Errorf("%s: %v", text, err)
				continue
			}
			if invalid := (*aegis.InvalidActionError)(nil); !errors.As(result.GetError(), &invalid) || invalid.Path != path {
				t.Errorf("%s: %v", text, result.GetError())
			}
		}
		if _, err := call(t.Context(), &mcp.CallToolParams{}); err == nil {
			t.Error("a call without a tool")
		}
		if rows, err := daemon.Rows(t.Context()); err != nil || len(rows) != 0 || len(called) != 0 {
			t.Errorf("%+v %v %v", rows, called, err)
		}
	})
}

func TestParametersThatChangeWhileAReviewerThinksAreSentAsTheyWere(t *testing.T) {
	eachWay(t, func(t *testing.T, daemon *aegistest.Daemon, call call, called map[string]int) {
		held := &arguments{Limit: 101}
		params := &mcp.CallToolParams{Name: "read_contacts", Arguments: held, Meta: mcp.Meta{"a": "b"}}
		ended := make(chan error, 1)
		go func() {
			result, err := call(t.Context(), params)
			if err == nil && !strings.Contains(said(result), `"rows":101`) {
				err = errors.New(said(result))
			}
			ended <- err
		}()
		approval, err := daemon.Pending(t.Context(), "read_contacts")
		if err != nil {
			t.Fatal(err)
		}
		params.Name = "delete_contacts"
		held.Limit, params.Arguments = 100_000, map[string]any{"limit": 100_000}
		params.Meta["a"] = "c"
		if _, err := daemon.Reviewer().Approve(t.Context(), approval, "looks right"); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if called["read_contacts"] != 1 || called["delete_contacts"] != 0 {
			t.Error(called)
		}
	})
}

func said(result *mcp.CallToolResult) string {
	text, _ := json.Marshal(result)
	return string(text)
}

func TestAMethodThatIsNotKnownIsNotSent(t *testing.T) {
	sent := map[string]bool{}
	daemon := aegistest.Start(t, policy)
	handle := aegismcp.Middleware(daemon.Agent(), "crm")(func(_ context.Context, method string, _ mcp.Request) (mcp.Result, error) {
		sent[method] = true
		return nil, nil
	})
	for _, method := range []string{"tools/call", "Tools/Call", "tools/call ", "tools/callMany", "tools//call", "batch/call", ""} {
		if _, err := handle(t.Context(), method, &mcp.ClientRequest[*mcp.CallToolParams]{Params: &mcp.CallToolParams{Name: "delete_contacts"}}); err == nil {
			t.Errorf("%q was sent", method)
		}
	}
	for _, method := range []string{"ping", "tools/list", "resources/read", "notifications/cancelled"} {
		if _, err := handle(t.Context(), method, nil); err != nil || !sent[method] {
			t.Errorf("%s: %v", method, err)
		}
	}
	if len(sent) != 4 {
		t.Error(sent)
	}
}

func TestWithoutAClientNoToolIsCalled(t *testing.T) {
	session, called := serve(t)
	params := &mcp.CallToolParams{Name: "read_contacts", Arguments: arguments{Limit: 1}}
	if _, err := aegismcp.CallTool(t.Context(), nil, session, "crm", params); err == nil || !strings.Contains(err.Error(), "client is nil") {
		t.Error(err)
	}
	if _, err := aegismcp.CallTool(t.Context(), aegistest.Start(t, policy).Agent(), nil, "crm", params); err == nil || !strings.Contains(err.Error(), "session is nil") {
		t.Error(err)
	}
	if len(called) != 0 {
		t.Error(called)
	}
}
