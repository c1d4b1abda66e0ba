// Package aegismcp governs the tools of MCP sessions (github.com/modelcontextprotocol/go-sdk): every call of a tool is
// proposed before it is sent, and its result reported.
//
//	client := mcp.NewClient(implementation, nil)
//	client.AddSendingMiddleware(aegismcp.Middleware(agent, "crm"))
//
// The action's type is the tool's name, its target the server's, as you call it: a server may call itself what it likes.
// Its params are the tool's arguments. The record gets what the tool returned; a tool that says of itself that it failed
// counts as failed.
//
// The arguments are written as JSON once, before they are proposed, and that text is sent. Arguments that another reader may
// understand differently are refused: a name that is there twice, a number that would be rounded, half a character. The model
// reads that as the failure of the tool, which is not called and not on the record. A request
// of a kind that this package does not know is refused as well, as it might call a tool. What a session sends to read or to list
// is not governed.
//
// It is a module of its own, so that the SDK does not depend on MCP's.
package aegismcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
	"github.com/aegis-sidecar/aegis/clients/go/aegisv1"
	"github.com/aegis-sidecar/aegis/clients/go/internal/deepcopy"
	"github.com/aegis-sidecar/aegis/clients/go/internal/exactjson"
)

// Middleware governs every call of a tool that the sessions of a client make: give it to [mcp.Client.AddSendingMiddleware],
// after all others. A call that is not allowed is not sent, and its error is as for [aegis.Govern]. Where its arguments are refused
// before they are proposed, there is no error but a result that says so ([mcp.CallToolResult.IsError]).
func Middleware(client *aegis.Client, server string, options ...aegis.CallOption) mcp.Middleware {
	return func(next mcp.MethodHandler) mcp.MethodHandler {
		return func(ctx context.Context, method string, request mcp.Request) (mcp.Result, error) {
			if harmless(method) {
				return next(ctx, method, request)
			}
			if method != "tools/call" {
				return nil, fmt.Errorf("aegismcp: the method %.60q is not known here, and might call a tool: it is not sent", method)
			}
			params, ok := request.GetParams().(*mcp.CallToolParams)
			session, sent := request.GetSession().(*mcp.ClientSession)
			if !ok || !sent {
				return nil, fmt.Errorf("aegismcp: a call of a tool comes as %T, which is not known here: it is not sent", request.GetParams())
			}
			return govern(ctx, client, server, params, options, func(params *mcp.CallToolParams) (mcp.Result, error) {
				return next(ctx, method, &mcp.ClientRequest[mcp.Params]{Session: session, Params: params})
			})
		}
	}
}

// CallTool governs one call of a tool, of a session whose client has no [Middleware].
func CallTool(
	ctx context.Context, client *aegis.Client, session *mcp.ClientSession, server string, params *mcp.CallToolParams, options ...aegis.CallOption,
) (*mcp.CallToolResult, error) {
	if session == nil {
		return nil, errors.New("aegismcp: the session is nil: connect a client to the server")
	}
	return govern(ctx, client, server, params, options, func(params *mcp.CallToolParams) (*mcp.CallToolResult, error) {
		return session.CallTool(ctx, params)
	})
}

// govern proposes a call, makes it and reports it.
func govern[R mcp.Result](
	ctx context.Context, client *aegis.Client, server string, params *mcp.CallToolParams, options []aegis.CallOption,
	call func(*mcp.CallToolParams) (R, error),
) (R, error) {
	var none R
	if params == nil || params.Name == "" {
		return none, errors.New("aegismcp: the call names no tool")
	}
	// What is proposed is what is sent, whoever holds the parameters.
	fixed, _, err := deepcopy.Of(*params)
	if err != nil {
		return told[R](&aegis.InvalidActionError{Path: "params", Problem: err.Error()})
	}
	text, arguments, err := object(fixed.Arguments)
	if err != nil {
		return told[R](err)
	}
	fixed.Arguments = text
	execution, err := client.Begin(ctx, aegis.Action{Type: fixed.Name, Target: server, Params: arguments}, options...)
	if err != nil {
		return told[R](err)
	}
	result, err := call(&fixed)
	returned, toolFailed := any(result).(*mcp.CallToolResult)
	toolFailed = toolFailed && returned != nil && returned.IsError
	var failed error
	switch {
	case err != nil:
		failed = execution.End(ctx, nil, err)
	case toolFailed:
		failed = execution.End(ctx, nil, errors.New(said(returned)))
	default:
		failed = execution.End(ctx, result, nil)
	}
	if err == nil {
		return result, failed
	}
	if failed != nil {
		err = errors.Join(err, failed)
	}
	return none, err
}

// told is an error as the caller gets it. That the arguments are wrong is what the model reads, as the failure of the tool: it can
// send better ones, and its run goes on.
func told[R mcp.Result](err error) (R, error) {
	var none R
	if !isBadInput(err) {
		return none, err
	}
	failure := &mcp.CallToolResult{}
	failure.SetError(fmt.Errorf("the tool was not called, as its arguments cannot be proposed whole: %w", err))
	if result, ok := any(failure).(R); ok {
		return result, nil
	}
	return none, err
}

// isBadInput says whether a call was not proposed because of its arguments: this package refused them, or the daemon (too deep, too
// large).
func isBadInput(err error) bool {
	if invalid := (*aegis.InvalidActionError)(nil); errors.As(err, &invalid) {
		return strings.HasPrefix(invalid.Path, "params")
	}
	failed := (*aegis.Error)(nil)
	return errors.As(err, &failed) && (failed.Reason == aegis.ReasonText(aegisv1.ErrorReason_ERROR_REASON_INVALID_REQUEST) ||
		failed.Reason == aegis.ReasonText(aegisv1.ErrorReason_ERROR_REASON_MESSAGE_TOO_LARGE))
}

// deepest is how deep arguments may be nested.
const deepest = 60

// harmless says whether a method is known to call no tool.
func harmless(method string) bool {
	switch method {
	case "initialize", "ping", "server/discover", "tools/list", "tasks/get", "tasks/list", "tasks/result", "tasks/cancel":
		return true
	}
	for _, kind := range []string{"notifications/", "prompts/", "resources/", "roots/", "completion/", "logging/", "subscriptions/"} {
		if strings.HasPrefix(method, kind) {
			return true
		}
	}
	return false
}

// object is the arguments as JSON, and read back from it.
func object(arguments any) (json.RawMessage, map[string]any, error) {
	if arguments == nil {
		return json.RawMessage("{}"), nil, nil
	}
	text, err := json.Marshal(arguments)
	if err != nil {
		return nil, nil, &aegis.InvalidActionError{Path: "params", Problem: "cannot be written as JSON: " + err.Error()}
	}
	value, err := exactjson.Read(text, deepest)
	if failed := (*exactjson.Error)(nil); errors.As(err, &failed) {
		return nil, nil, &aegis.InvalidActionError{Path: "params" + failed.Path, Problem: "is JSON that " + failed.Error()}
	}
	read, ok := value.(map[string]any)
	if !ok {
		return nil, nil, &aegis.InvalidActionError{Path: "params", Problem: "is not a JSON object, which the arguments of a tool are"}
	}
	return text, read, nil
}

// said is what a tool says of its failure.
func said(result *mcp.CallToolResult) string {
	var texts []string
	for _, content := range result.Content {
		if text, ok := content.(*mcp.TextContent); ok {
			texts = append(texts, text.Text)
		}
	}
	if len(texts) == 0 {
		return "the tool failed and does not say why"
	}
	return strings.Join(texts, "\n")
}
