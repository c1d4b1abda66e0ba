package behaviours

import (
	"context"
	"encoding/json"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
	"github.com/aegis-sidecar/aegis/clients/go/aegismcp"
)

func (it *attempt) action(params map[string]any) aegis.Action {
	return aegis.Action{Type: "act", Target: it.Target, Params: params}
}

// wrapped calls a function that is governed, with a map.
func wrapped(it *attempt) error {
	act := aegis.Wrap(it.daemon.Agent(), it.action, func(_ context.Context, arguments map[string]any) (any, error) {
		return nil, it.note(arguments)
	}, it.options()...)
	_, err := act(it.ctx, it.kept)
	return err
}

// A holder holds arguments behind a pointer.
type holder struct{ Arguments *map[string]any }

// wrappedPointer calls a function that is governed, with a structure behind a pointer.
func wrappedPointer(it *attempt) error {
	act := aegis.Wrap(it.daemon.Agent(), func(held *holder) aegis.Action { return it.action(*held.Arguments) },
		func(_ context.Context, held *holder) (any, error) { return nil, it.note(*held.Arguments) }, it.options()...)
	_, err := act(it.ctx, &holder{&it.kept})
	return err
}

func (it *attempt) runtime() *aegis.Runtime {
	options := []aegis.RuntimeOption{aegis.WithActionRetries(it.Retries, time.Millisecond)}
	for _, option := range it.options() {
		options = append(options, option)
	}
	executor := aegis.ExecutorFunc(func(_ context.Context, action aegis.Action) (any, error) { return nil, it.note(action.Params) })
	runtime, err := aegis.NewRuntime(it.daemon.Agent(), executor, options...)
	if err != nil {
		it.t.Fatal(err)
	}
	return runtime
}

// called runs one action of a runtime.
func called(it *attempt) error {
	result, err := it.runtime().RunOne(it.ctx, it.action(it.kept))
	if err == nil {
		err = result.Err
	}
	return err
}

// executed runs a plan of one action.
func executed(it *attempt) error {
	runtime := it.runtime()
	plan, err := runtime.Plan(it.ctx, it.action(it.kept))
	if err != nil {
		return err
	}
	if it.Change.When == "planned" {
		it.change(it.kept)
	}
	results, err := runtime.Execute(it.ctx, plan)
	if err == nil {
		err = results[0].Err
	}
	return err
}

// overMCP calls the tool of a server.
func overMCP(it *attempt) error {
	server := mcp.NewServer(&mcp.Implementation{Name: "server", Version: "1"}, nil)
	schema := json.RawMessage(`{"type":"object"}`)
	server.AddTool(&mcp.Tool{Name: "act", InputSchema: schema}, func(_ context.Context, request *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		// As the table was read, so that both have integers.
		arguments, err := readYAML(request.Params.Arguments)
		if err == nil {
			err = it.note(arguments)
		}
		return &mcp.CallToolResult{}, err
	})
	here, there := mcp.NewInMemoryTransports()
	serving, err := server.Connect(it.ctx, there, nil)
	if err != nil {
		return err
	}
	defer func() { _ = serving.Close() }()
	client := mcp.NewClient(&mcp.Implementation{Name: "agent", Version: "1"}, nil)
	client.AddSendingMiddleware(aegismcp.Middleware(it.daemon.Agent(), it.Target, it.options()...))
	session, err := client.Connect(it.ctx, here, nil)
	if err != nil {
		return err
	}
	defer func() { _ = session.Close() }()
	result, err := session.CallTool(it.ctx, &mcp.CallToolParams{Name: "act", Arguments: it.kept})
	it.told = err == nil && result.IsError
	return err
}
