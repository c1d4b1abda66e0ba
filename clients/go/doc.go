// Package aegis asks Aegis, `sudo` for AI agents, whether an action may run, and reports what came of it.
//
// The daemon decides and records; the action runs here, in the agent's process, and only on an ALLOW that this package
// understood. A daemon that is gone, a deadline that is past, an outcome that this package does not know: the action does
// not run.
//
//	client, err := aegis.New()
//	// …
//	defer client.Close()
//	rows, err := aegis.Govern(ctx, client, aegis.Action{Type: "read_contacts", Target: "crm"}, readContacts)
//
// # Where to begin
//
// [Govern] wraps a function: it proposes, waits for a reviewer where the policy asks for one, runs the function and reports
// its result. [Runtime] does the same for plans of actions, with retries, verification and rollback. [Client.Begin] is for
// what does not fit into one function. [Client.Propose], [Client.Wait] and [Client.Report] are the single steps.
//
// Packages aegishttp and aegisgrpc govern what an HTTP or a gRPC client sends; the module aegismcp governs the tools of an
// MCP session. Package aegistest starts a real daemon for tests.
//
// # Errors
//
// A denial is a value: [Client.Propose] and [Client.Wait] return it as a [Decision]. What wraps an action ([Govern],
// [Client.Begin], the adapters) returns a [*DeniedError] instead, as there is no result to return. A call that failed is an
// [*Error], and nothing is known about the action; an action that cannot be sent whole is an [*InvalidActionError]; a report
// that failed after the action ran is a [*ReportError]. All are found with [errors.As]; [errors.Is] with [ErrGovernance] tells
// what the governance system refused from what never reached it, and status.FromError gives the gRPC status.
//
// # Environment
//
// What is not given to [New] is read from AEGIS_ENDPOINT, AEGIS_TOKEN (else AEGIS_API_KEY), AEGIS_TLS_CA, AEGIS_TLS_CERT and
// AEGIS_TLS_KEY. Without an endpoint, the daemon is the one of this user's data directory, or else the one at the default port.
package aegis
