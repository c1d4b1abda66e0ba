// Package aegishttp governs what an HTTP client sends: every request is proposed before it is sent, and its response
// reported.
//
//	client := &http.Client{Transport: aegishttp.NewTransport(agent, http.DefaultTransport)}
//
// The action's type is the method in lower case ("get", "delete"). Its target is the URL as it is sent, without query and
// fragment: "https://api.example.com/users/7". Its params are the query ("query", each name with its list of values), a header
// that asks the server for another method ("method_override", in lower case), and the body: "body" is the value of a JSON
// body, whatever its type is called, or the text of a text or a form, up to 16 KiB (JSON that not every reader holds exactly is
// text), "body_bytes" the size of any other, and "body_stream" is true where not even that is known. Headers are not proposed,
// as they hold credentials.
//
// What is proposed is what is sent: a copy of the request, made before it is proposed. Scheme and host are written in lower case, a
// default port is left out, "." and ".." are resolved and needless percent-encoding is undone, and the names of headers have one
// spelling, so that no spelling dodges a rule. What servers read in different ways is refused: a user in the URL, a Host header
// that is not that of the URL, an address like "127.1", a ";" in the query, an escaped slash in the path, JSON that says a name
// twice. So are headers that rewrite the URL (X-Original-URL, X-Forwarded-Host) or say where the request ends
// (Transfer-Encoding), trailers, and tunnels (CONNECT). tests/sdk/http.yaml has every case. A redirect is a request of its own, as
// [http.Client] sends each through its transport; to another origin go only headers that cannot be credentials.
//
// Give the transport to the client as the outermost one but for what only reads. A transport below it can change what is sent, and
// code in this process can always use another client.
package aegishttp

import (
	"errors"
	"fmt"
	"net/http"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
)

// A Transport is an [http.RoundTripper] that sends only what is allowed. It reports a request when the response's headers
// are there: as failed from 400 on, "HTTP 404" for example. The record gets the status code and nothing else of the response.
//
// A request that is not allowed is not sent: the error is as for [aegis.Govern], and [http.Client] wraps it, so that
// [errors.As] finds a [*aegis.DeniedError]. Where the request was sent and its report failed, the response is in the
// [*aegis.ReportError], with its body closed. While a reviewer is asked the request's context counts, and with it [http.Client.Timeout].
type Transport struct {
	// AllowEncodedSlashes sends paths with an escaped slash or backslash (%2F, %5C) as they are. Only for servers that do not
	// take them for a slash: to others, the path is another one than the rules see. Default: such a request is refused.
	AllowEncodedSlashes bool

	client  *aegis.Client
	base    http.RoundTripper
	options []aegis.CallOption
}

// NewTransport makes a transport that sends over another: [http.DefaultTransport], where that is nil.
func NewTransport(client *aegis.Client, base http.RoundTripper, options ...aegis.CallOption) *Transport {
	if base == nil {
		base = http.DefaultTransport
	}
	return &Transport{client: client, base: base, options: options}
}

// RoundTrip proposes a request, sends it if it is allowed, and reports its response.
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	if t.client == nil {
		closeBody(request)
		return nil, errors.New("aegishttp: the transport has no client: make it with NewTransport and an aegis.Client")
	}
	sent, action, err := normalise(request, t.AllowEncodedSlashes)
	if err != nil {
		closeBody(request)
		return nil, err
	}
	ctx := request.Context()
	execution, err := t.client.Begin(ctx, action, t.options...)
	if err != nil {
		closeBody(sent)
		return nil, err
	}
	response, err := t.base.RoundTrip(sent)
	if err == nil && (response == nil || response.Body == nil) {
		err = errors.New("aegishttp: the transport below returned no response, and no error")
	}
	if err != nil {
		if failed := execution.End(ctx, nil, err); failed != nil {
			err = errors.Join(err, failed)
		}
		return nil, err
	}
	if response.Request == nil {
		// By it the next hop of a redirect knows where it comes from.
		response.Request = sent
	}
	var failed error
	if response.StatusCode >= http.StatusBadRequest {
		failed = fmt.Errorf("HTTP %d", response.StatusCode)
	}
	if err := execution.End(ctx, map[string]any{"status_code": response.StatusCode}, failed); err != nil {
		// net/http does not return a response beside an error: nobody would close its body, and the connection would leak.
		_ = response.Body.Close()
		if report := (*aegis.ReportError)(nil); errors.As(err, &report) {
			response.Body = http.NoBody
			report.Result = response
		}
		return nil, err
	}
	return response, nil
}

// closeBody does what a transport has to do even with a request that it does not send.
func closeBody(request *http.Request) {
	if request.Body != nil {
		_ = request.Body.Close()
	}
}
