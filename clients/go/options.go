package aegis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/grpc"
)

// An Option sets up a [Client]: see [New].
type Option interface{ applyToClient(*clientConfig) }

// A CallOption says more about one call. Given to [New] it holds for all calls of that client, and given to [NewRuntime]
// for all of that runtime. What a call has no use for it ignores.
type CallOption interface {
	Option
	RuntimeOption
	applyToCall(*callConfig)
}

// A clientConfig is what options set up.
type clientConfig struct {
	endpoint *string
	token    *string
	tls      *tls.Config
	files    tlsFiles
	dial     []grpc.DialOption
	call     callConfig
}

// A callConfig is what call options set up.
type callConfig struct {
	timeout    time.Duration
	retries    int
	retryDelay time.Duration

	actor             Actor
	sessionID         string
	metadata          map[string]any
	idempotencyKey    string
	confirmationToken string
	denialAsError     bool
	at                time.Time
	explain           bool

	approvalTimeout time.Duration
	confirm         func(context.Context, Action, Decision) (bool, error)
	reviewer        *Client
	approvalHandler ApprovalHandler
	hooks           Hooks
	recordResult    func(any) any
	logger          *slog.Logger

	// wrong is the first option that cannot be right.
	wrong error
}

type clientOption func(*clientConfig)

func (o clientOption) applyToClient(c *clientConfig) { o(c) }

type callOption func(*callConfig)

func (o callOption) applyToClient(c *clientConfig)   { o(&c.call) }
func (o callOption) applyToRuntime(c *runtimeConfig) { c.call = append(c.call, o) }
func (o callOption) applyToCall(c *callConfig)       { o(c) }

// WithEndpoint says where the daemon is: http://HOST:PORT, https://HOST:PORT or unix:/PATH. Default: AEGIS_ENDPOINT, else
// agent.sock in the data directory of this user's daemon, else http://127.0.0.1:50051.
func WithEndpoint(endpoint string) Option {
	return clientOption(func(c *clientConfig) { c.endpoint = &endpoint })
}

// WithToken is the credential. It is sent only over https://, a unix socket or loopback. Empty: no credential, whatever
// the environment says. Default: AEGIS_TOKEN, else AEGIS_API_KEY, else none: an anonymous agent.
func WithToken(token string) Option {
	return clientOption(func(c *clientConfig) { c.token = &token })
}

// WithTLS is how to speak TLS to an https:// endpoint, in place of [WithTLSCA], [WithTLSCertificate] and the environment.
func WithTLS(setup *tls.Config) Option {
	return clientOption(func(c *clientConfig) { c.tls = setup })
}

// WithTLSCA names the PEM file of the authorities that may have signed the daemon's certificate. Default: AEGIS_TLS_CA,
// else the system's.
func WithTLSCA(file string) Option {
	return clientOption(func(c *clientConfig) { c.files.ca = file })
}

// WithTLSCertificate names the PEM files of the client's certificate and its key. Default: AEGIS_TLS_CERT and
// AEGIS_TLS_KEY, else none.
func WithTLSCertificate(certificate, key string) Option {
	return clientOption(func(c *clientConfig) { c.files.certificate, c.files.key = certificate, key })
}

// WithDialOptions adds options of gRPC's own, for example interceptors or a stats handler.
func WithDialOptions(options ...grpc.DialOption) Option {
	return clientOption(func(c *clientConfig) { c.dial = append(c.dial, options...) })
}

// WithTimeout is how long one attempt of a call may take, not counting what it waits for a reviewer. More than 0. Default: 30 s.
func WithTimeout(timeout time.Duration) CallOption {
	return callOption(func(c *callConfig) {
		c.timeout = timeout
		c.need(timeout > 0, "WithTimeout(%s): an attempt needs some time: give more than 0", timeout)
	})
}

// WithRetries is how often a call is sent again that failed in a way that passes: UNAVAILABLE, and what the daemon says to send again
// later (google.rpc.RetryInfo). A proposal that is sent again is one proposal, a report one report; approving and denying are not sent
// again. Default: 3.
func WithRetries(retries int) CallOption {
	return callOption(func(c *callConfig) {
		c.retries = retries
		c.need(retries >= 0, "WithRetries(%d): give 0 for none, or more", retries)
	})
}

// WithRetryDelay is how long to wait before the first retry; each further wait is twice as long, at most 30 s, with
// jitter. Where the daemon says how long, that counts. Default: 1 s.
func WithRetryDelay(delay time.Duration) CallOption {
	return callOption(func(c *callConfig) {
		c.retryDelay = delay
		c.need(delay >= 0, "WithRetryDelay(%s): give 0, or more", delay)
	})
}

// WithActor declares who proposes. Default: nobody.
func WithActor(actor Actor) CallOption {
	return callOption(func(c *callConfig) { c.actor = actor })
}

// WithSession names the agent's session: what one run of an agent did is found by it. Default: none; a [Runtime] makes
// one up.
func WithSession(id string) CallOption {
	return callOption(func(c *callConfig) { c.sessionID = id })
}

// WithMetadata gives a proposal free labels for the record, for example {"source": "customer-support-bot"}.
func WithMetadata(labels map[string]any) CallOption {
	return callOption(func(c *callConfig) { c.metadata = labels })
}

// WithIdempotencyKey makes two proposals with the same key within 24 hours one proposal with one decision, and its action runs once:
// after an agent has crashed, for example. At most 256 bytes; without a credential at least 16 characters, as the key is what keeps
// other callers out. For one proposal, or one [Runtime.Execute], and not for a client or a runtime. Default: a key that is new
// with each call.
func WithIdempotencyKey(key string) CallOption {
	return callOption(func(c *callConfig) { c.idempotencyKey = key })
}

// WithConfirmationToken sends the token of an earlier REQUIRE_CONFIRMATION for this very action, once the agent's user has
// confirmed. For one proposal only, not for a client or a runtime.
func WithConfirmationToken(token string) CallOption {
	return callOption(func(c *callConfig) { c.confirmationToken = token })
}

// WithDenialAsError makes [Client.Propose] and [Client.Wait] return a [*DeniedError] for a DENY.
func WithDenialAsError() CallOption {
	return callOption(func(c *callConfig) { c.denialAsError = true })
}

// WithExplain makes an evaluation say how each rule fared. Needs an auditor or an admin.
func WithExplain() CallOption {
	return callOption(func(c *callConfig) { c.explain = true })
}

// WithAt is the moment that the time conditions of an evaluation see. Default: now. Needs an auditor or an admin.
func WithAt(at time.Time) CallOption {
	return callOption(func(c *callConfig) { c.at = at })
}

// WithApprovalTimeout is how long [Govern], [Client.Begin] and a [Runtime] wait for a reviewer before they withdraw the
// proposal, with [ErrApprovalTimeout]. Default: until the approval expires or the context ends.
func WithApprovalTimeout(timeout time.Duration) CallOption {
	return callOption(func(c *callConfig) {
		c.approvalTimeout = timeout
		c.need(timeout > 0, "WithApprovalTimeout(%s): a reviewer needs some time: give more than 0, or leave the option out", timeout)
	})
}

// WithConfirm is how [Govern], [Client.Begin] and a [Runtime] ask the agent's own user where the policy wants that.
// Without it, and where it answers false, the answer is no. An error of it withdraws the proposal and is returned.
func WithConfirm(confirm func(context.Context, Action, Decision) (bool, error)) CallOption {
	return callOption(func(c *callConfig) { c.confirm = confirm })
}

// WithApprovalHandler has a handler in this process answer what [Govern], [Client.Begin] and a [Runtime] ask reviewers. It
// answers as the reviewer that the given client's credential stands for: without such a credential there is an error
// and the proposal is withdrawn. Any other reviewer may answer first.
func WithApprovalHandler(reviewer *Client, handler ApprovalHandler) CallOption {
	return callOption(func(c *callConfig) { c.reviewer, c.approvalHandler = reviewer, handler })
}

// WithLogger is where [Govern], [Client.Begin] and a [Runtime] say that they wait for a reviewer, for which approval, and how that
// ended. Default: [slog.Default]. A logger with [slog.DiscardHandler] keeps them silent.
func WithLogger(logger *slog.Logger) CallOption {
	return callOption(func(c *callConfig) { c.logger = logger })
}

// log is the logger.
func (c callConfig) log() *slog.Logger {
	if c.logger == nil {
		return slog.Default()
	}
	return c.logger
}

// WithHooks has functions of yours called as [Govern], [Client.Begin] and a [Runtime] go along.
func WithHooks(hooks Hooks) CallOption {
	return callOption(func(c *callConfig) { c.hooks = hooks })
}

// WithRecordedResult chooses what of an action's result goes on the record: what the function returns for it. Default: all
// of it, where JSON can hold it.
func WithRecordedResult(choose func(result any) any) CallOption {
	return callOption(func(c *callConfig) { c.recordResult = choose })
}

// need notes what is wrong with an option, where it is.
func (c *callConfig) need(right bool, format string, arguments ...any) {
	if !right && c.wrong == nil {
		c.wrong = fmt.Errorf("aegis: "+format, arguments...)
	}
}

var errNilOption = errors.New("aegis: an option is nil")

// with is the configuration of one call.
func (c callConfig) with(options []CallOption) (callConfig, error) {
	for _, option := range options {
		if option == nil {
			return c, errNilOption
		}
		option.applyToCall(&c)
	}
	return c, c.wrong
}

// configure is the configuration of one call of a client. It is the first thing in every call, so that nil is an error with words.
func (c *Client) configure(ctx context.Context, options []CallOption) (callConfig, error) {
	switch {
	case c == nil:
		return callConfig{}, errors.New("aegis: the client is nil: make one with New")
	case ctx == nil:
		return callConfig{}, errors.New("aegis: the context is nil: give context.Background() where there is none")
	}
	return c.call.with(options)
}
