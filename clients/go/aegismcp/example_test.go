package aegismcp_test

import (
	"context"
	"fmt"
	"log"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/aegis-sidecar/aegis/clients/go/aegismcp"
	"github.com/aegis-sidecar/aegis/clients/go/aegistest"
)

func Example() {
	daemon, err := aegistest.New(policy)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = daemon.Stop() }()
	ctx := context.Background()
	server := mcp.NewServer(&mcp.Implementation{Name: "contacts", Version: "1"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "read_contacts"}, func(context.Context, *mcp.CallToolRequest, arguments) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "Ada, Grace"}}}, nil, nil
	})
	here, there := mcp.NewInMemoryTransports()
	if _, err := server.Connect(ctx, there, nil); err != nil {
		log.Fatal(err)
	}

	client := mcp.NewClient(&mcp.Implementation{Name: "agent", Version: "1"}, nil)
	client.AddSendingMiddleware(aegismcp.Middleware(daemon.Agent(), "crm"))
	session, err := client.Connect(ctx, here, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()
	result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "read_contacts", Arguments: arguments{Limit: 2}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Content[0].(*mcp.TextContent).Text)
	_, err = session.CallTool(ctx, &mcp.CallToolParams{Name: "delete_contacts", Arguments: arguments{}})
	fmt.Println(err)
	// Output:
	// Ada, Grace
	// aegis: delete_contacts on crm is blocked (rule no_deletes): rule `no_deletes` blocks this action
}
