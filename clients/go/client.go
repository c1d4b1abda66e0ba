package aegis

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/aegis-sidecar/aegis/clients/go/aegisv1"
)

const (
	// longestDelay is the longest wait between two attempts.
	longestDelay = 30 * time.Second
	// shortestPause is the shortest one.
	shortestPause = 20 * time.Millisecond
	// maxMessage is the largest answer that is taken, in bytes: a row holds an action and a result, of 4 MiB each.
	maxMessage = 16 << 20
)

// A Client is a connection to a daemon, with one credential. It may be used by any number of goroutines.
type Client struct {
	connection *grpc.ClientConn
	endpoint   endpoint
	call       callConfig

	governance aegisv1.GovernanceServiceClient
	approvals  aegisv1.ApprovalServiceClient
	audit      aegisv1.AuditServiceClient
	health     grpc_health_v1.HealthClient
}

// New makes a client. It does not connect: the first call does, and the client connects again by itself whenever the
// connection is lost. Close it when it is no longer needed.
//
// There is an error where an option is wrong: an endpoint that is not one, a TLS file that cannot be used, a credential
// that would be sent where others can read it.
func New(options ...Option) (*Client, error) {
	config := clientConfig{call: callConfig{timeout: 30 * time.Second, retries: 3, retryDelay: time.Second}}
	for _, option := range options {
		if option == nil {
			return nil, errNilOption
		}
		option.applyToClient(&config)
	}
	if config.call.wrong != nil {
		return nil, config.call.wrong
	}
	if config.call.idempotencyKey != "" || config.call.confirmationToken != "" {
		return nil, errors.New("aegis: an idempotency key and a confirmation token belong to one proposal: give them to Propose")
	}
	at, err := parseEndpoint(config.address())
	if err != nil {
		return nil, err
	}
	transport, err := config.transport(at)
	if err != nil {
		return nil, err
	}
	dial := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithUserAgent("aegis-go"),
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		// A connection that is dead without a word is found out.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		// The daemon is near: it is tried again soon after it was gone.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
	}
	if token := config.credential(); token != "" {
		if !at.private {
			return nil, fmt.Errorf("aegis: the credential is not sent to %s, as others on the way could read it: use https://", at.text)
		}
		if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return nil, errors.New("aegis: the token holds white space or characters beyond ASCII: it is one line, without its end")
		}
		dial = append(dial, grpc.WithPerRPCCredentials(bearer(token)))
	}
	connection, err := grpc.NewClient(at.target, append(dial, config.dial...)...)
	if err != nil {
		return nil, fmt.Errorf("aegis: the client for %s cannot be made: %w", at.text, err)
	}
	return &Client{
		connection: connection,
		endpoint:   at,
		call:       config.call,
		governance: aegisv1.NewGovernanceServiceClient(connection),
		approvals:  aegisv1.NewApprovalServiceClient(connection),
		audit:      aegisv1.NewAuditServiceClient(connection),
		health:     grpc_health_v1.NewHealthClient(connection),
	}, nil
}

// address is the endpoint that was given, else that of the environment, else the daemon of this user.
func (c clientConfig) address() string {
	if c.endpoint != nil {
		return *c.endpoint
	}
	if named := os.Getenv("AEGIS_ENDPOINT"); named != "" {
		return named
	}
	return localEndpoint()
}

// credential is the token that was given, else that of the environment. Empty: none.
func (c clientConfig) credential() string {
	if c.token != nil {
		return *c.token
	}
	return cmp.Or(os.Getenv("AEGIS_TOKEN"), os.Getenv("AEGIS_API_KEY"))
}

func (c clientConfig) transport(at endpoint) (credentials.TransportCredentials, error) {
	if !at.tls {
		if c.tls != nil || c.files != (tlsFiles{}) {
			return nil, fmt.Errorf("aegis: TLS is set up, and %s does not speak it: write https://", at.text)
		}
		return insecure.NewCredentials(), nil
	}
	if c.tls != nil {
		return credentials.NewTLS(c.tls), nil
	}
	config, err := c.files.orEnvironment().load()
	if err != nil {
		return nil, err
	}
	return credentials.NewTLS(config), nil
}

// A bearer is a token that every call carries. [New] has made sure that the transport is private.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func (b bearer) RequireTransportSecurity() bool { return false }

// Close ends the connection, and with it the calls that are under way.
func (c *Client) Close() error { return c.connection.Close() }

// Endpoint is where the daemon is.
func (c *Client) Endpoint() string { return c.endpoint.text }

// Conn is the connection itself, with the credential, for the generated stubs of what this package has no method for:
// package aegisv1's policy and admin services.
func (c *Client) Conn() grpc.ClientConnInterface { return c.connection }

// Health says whether the daemon serves: it runs, and it can answer agents.
func (c *Client) Health(ctx context.Context, options ...CallOption) (bool, error) {
	config, err := c.configure(ctx, options)
	if err != nil {
		return false, err
	}
	answer, err := call(ctx, c, config, "Health", c.health.Check, &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		return false, err
	}
	return answer.GetStatus() == grpc_health_v1.HealthCheckResponse_SERVING, nil
}

// A method is one of a generated client.
type method[Request, Response any] = func(context.Context, *Request, ...grpc.CallOption) (*Response, error)

// call makes a unary call, again where it failed in a way that passes. Only for calls that may be repeated.
func call[Request, Response any](
	ctx context.Context, c *Client, config callConfig, name string, rpc method[Request, Response], request *Request,
) (*Response, error) {
	response, _, err := attempt(ctx, c, config, name, rpc, request)
	return response, err
}

// attempt is call, and says as well how many attempts it took.
func attempt[Request, Response any](
	ctx context.Context, c *Client, config callConfig, name string, rpc method[Request, Response], request *Request,
) (response *Response, attempts int, err error) {
	for attempts := 1; ; attempts++ {
		response, failed := once(ctx, c, config.timeout, name, rpc, request)
		if failed == nil {
			return response, attempts, nil
		}
		if !failed.transient() || attempts > config.retries || !failed.pause(ctx, config.retryDelay, attempts-1) {
			return nil, attempts, failed
		}
	}
}

// once makes a unary call once.
func once[Request, Response any](
	ctx context.Context, c *Client, timeout time.Duration, name string, rpc method[Request, Response], request *Request,
) (*Response, *Error) {
	limited, cancel := context.WithTimeout(own(ctx), timeout)
	defer cancel()
	response, err := rpc(limited, request)
	if err != nil {
		return nil, newError(ctx, c.endpoint.text, name, deadlineAsSuch(limited, err))
	}
	return response, nil
}

// deadlineAsSuch is an error as it is, but where it says that the deadline is past and calls that CANCELLED: the daemon keeps the
// deadline too, and may notice a moment before this side does.
func deadlineAsSuch(ctx context.Context, err error) error {
	deadline, ok := ctx.Deadline()
	if !ok || status.Code(err) != codes.Canceled || time.Until(deadline) > time.Second {
		return err
	}
	<-ctx.Done()
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return err
	}
	return status.FromContextError(ctx.Err()).Err()
}

// own is the context of a call of ours: without the metadata that the caller has set for its own calls of other servers, which
// may hold their credentials.
func own(ctx context.Context) context.Context { return metadata.NewOutgoingContext(ctx, nil) }

// pause waits before the attempt that follows this one (from 0), and says whether the context lasted that long.
func pause(ctx context.Context, base time.Duration, attempt int) bool {
	return sleep(ctx, delay(base, attempt))
}

// pause waits before the attempt that follows one which failed so: as long as the daemon says, where it does, with a little more at
// random, and at most 30 s.
func (e *Error) pause(ctx context.Context, base time.Duration, attempt int) bool {
	if e.RetryAfter <= 0 {
		return pause(ctx, base, attempt)
	}
	asked := min(e.RetryAfter, longestDelay)
	return sleep(ctx, asked+mathrand.N(asked/4+1))
}

func sleep(ctx context.Context, lasts time.Duration) bool {
	// Whatever options and daemons say: nobody is called again and again without a pause.
	timer := time.NewTimer(max(lasts, shortestPause))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// delay is base · 2^attempt, at most 30 s, and of that between a half and the whole.
func delay(base time.Duration, attempt int) time.Duration {
	whole := longestDelay
	if attempt < 30 && base < longestDelay>>attempt {
		whole = base << attempt
	}
	if whole <= 0 {
		return 0
	}
	return whole/2 + mathrand.N(whole/2+1)
}

// newKey is text that nobody else has.
func newKey() string { return rand.Text() }
