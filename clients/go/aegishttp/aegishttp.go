// Package aegishttp governs what an HTTP client sends: every request is proposed before it is sent, and its response
// reported.
//
//	client := &http.Client{Transport: aegishttp.NewTransport(agent, http.DefaultTransport)}
//
// The action's type is the method in lower case ("get", "delete"). Its target is the URL as it is sent, without query and
// fragment: "https://api.example.com/users/7". Its params are the query ("query", each name with its list of values), a header
// that asks the server for another method ("method_override", in lower case), and the body: "body" is the value of a JSON
// body, or the text of a text or a form, up to 16 KiB (JSON that could not be sent whole is text), "body_bytes" the size of
// any other, and "body_stream" is true where not even that is known. Headers are not proposed, as they hold credentials.
//
// What is proposed is what is sent: scheme and host are written in lower case, a default port is left out, "." and ".." are
// resolved and needless percent-encoding is undone, so that no spelling dodges a rule. What servers read in different ways is
// refused: a user in the URL, a Host header that is not that of the URL, an address like "127.1", a ";" in the query. A
// redirect is a request of its own, as [http.Client] sends each through its transport; to another origin go only headers that
// cannot be credentials.
package aegishttp

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
)

// A Transport is an [http.RoundTripper] that sends only what is allowed. It reports a request when the response's headers
// are there: as failed from 400 on, "HTTP 404" for example. The record gets the status code and nothing else of the response.
//
// A request that is not allowed is not sent: the error is as for [aegis.Govern], and [http.Client] wraps it, so that
// [errors.As] finds a [*aegis.DeniedError]. Where the request was sent and its report failed, the response is in the
// [*aegis.ReportError]. While a reviewer is asked the request's context counts, and with it [http.Client.Timeout].
type Transport struct {
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
	sent, action, err := normalise(request)
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
		if report := (*aegis.ReportError)(nil); errors.As(err, &report) {
			report.Result = response
		} else {
			_ = response.Body.Close()
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

// normalise is the request as it is sent, and the action that says so. The request itself stays as it is, but for its body,
// which is read where it is shown.
func normalise(request *http.Request) (*http.Request, aegis.Action, error) {
	where, err := normaliseURL(request.URL)
	if err != nil {
		return nil, aegis.Action{}, err
	}
	if request.Host != "" {
		asked, err := normaliseHost(request.Host, where.Scheme)
		if err != nil {
			return nil, aegis.Action{}, err
		}
		if asked != where.Host {
			return nil, aegis.Action{}, fmt.Errorf("aegishttp: the request for the host %s names another, %s, in its Host header: a rule about the one could be dodged by the other", where.Host, asked)
		}
	}
	sent := request.Clone(request.Context())
	sent.URL, sent.Host = where, where.Host
	sent.Method = strings.ToUpper(request.Method)
	if sent.Method == "" {
		sent.Method = http.MethodGet
	}
	keepCredentials(sent)
	params := map[string]any{}
	query, err := readQuery(where.RawQuery)
	if err != nil {
		return nil, aegis.Action{}, err
	}
	if len(query) > 0 {
		params["query"] = query
	}
	override, err := methodOverride(sent.Header)
	if err != nil {
		return nil, aegis.Action{}, err
	}
	if override != "" {
		params["method_override"] = override
	}
	if err := showBody(sent, params); err != nil {
		return nil, aegis.Action{}, err
	}
	target := url.URL{Scheme: where.Scheme, Host: where.Host, Path: where.Path, RawPath: where.RawPath}
	return sent, aegis.Action{Type: strings.ToLower(sent.Method), Target: target.String(), Params: params}, nil
}

// methodOverride is the method that frameworks let a client ask for in place of that of the request, in lower case.
func methodOverride(headers http.Header) (string, error) {
	override := ""
	for _, header := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"} {
		method := strings.ToLower(strings.TrimSpace(strings.Join(headers.Values(header), ", ")))
		if method == "" {
			continue
		}
		if override != "" && override != method {
			return "", fmt.Errorf("aegishttp: the headers ask for two methods, %s and %s, in place of that of the request", override, method)
		}
		override = method
	}
	return override, nil
}

// harmless are the headers that may go on to another origin: nothing that could be a credential.
var harmless = []string{
	"Accept", "Accept-Encoding", "Accept-Language", "Content-Encoding", "Content-Language", "Content-Length", "Content-Type", "Cookie",
	"User-Agent",
}

// keepCredentials takes off a request, where a redirect led to it from another origin, what was meant for that.
func keepCredentials(sent *http.Request) {
	foreign := map[string]bool{}
	elsewhere := false
	for response := sent.Response; response != nil && response.Request != nil; response = response.Request.Response {
		from := response.Request
		if where, err := normaliseURL(from.URL); err == nil && where.Scheme == sent.URL.Scheme && where.Host == sent.URL.Host {
			continue
		}
		elsewhere = true
		for _, cookie := range from.Cookies() {
			foreign[cookie.Name+"="+cookie.Value] = true
		}
	}
	if !elsewhere {
		return
	}
	for name := range sent.Header {
		if !slices.Contains(harmless, http.CanonicalHeaderKey(name)) {
			delete(sent.Header, name)
		}
	}
	// Those of the client's jar are meant for this origin.
	cookies := sent.Cookies()
	sent.Header.Del("Cookie")
	for _, cookie := range cookies {
		if !foreign[cookie.Name+"="+cookie.Value] {
			sent.AddCookie(cookie)
		}
	}
}
