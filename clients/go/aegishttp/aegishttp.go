// Package aegishttp governs what an HTTP client sends: every request is proposed before it is sent, and its response
// reported.
//
//	client := &http.Client{Transport: aegishttp.NewTransport(agent, http.DefaultTransport)}
//
// The action's type is the method in lower case ("get", "delete"). Its target is the URL as it is sent, without user, query
// and fragment: "https://api.example.com/users/7". Its params are the query ("query", each name with its list of values) and
// a header that asks the server for another method ("method_override"). Headers and bodies are not proposed, as credentials
// and contents would stand on the record.
//
// What is proposed is what is sent: scheme and host are written in lower case, a default port is left out, "." and ".." are
// resolved and needless percent-encoding is undone, so that no spelling dodges a rule. A request whose Host header is not
// that of its URL is refused. A redirect is a request of its own, as [http.Client] sends each through its transport.
package aegishttp

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

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
		closeBody(request)
		return nil, err
	}
	response, err := t.base.RoundTrip(sent)
	if err != nil {
		if failed := execution.End(ctx, nil, err); failed != nil {
			err = errors.Join(err, failed)
		}
		return nil, err
	}
	var failed error
	if response.StatusCode >= http.StatusBadRequest {
		failed = fmt.Errorf("HTTP %d", response.StatusCode)
	}
	if err := execution.End(ctx, map[string]any{"status": response.StatusCode}, failed); err != nil {
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

// overrides are the headers by which frameworks let a client ask for another method than that of the request.
var overrides = []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"}

// normalise is the request as it is sent, and the action that says so. The request itself stays as it is.
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
	params := map[string]any{}
	if query := where.Query(); len(query) > 0 {
		params["query"] = map[string][]string(query)
	}
	for _, header := range overrides {
		if method := request.Header.Get(header); method != "" {
			params["method_override"] = strings.ToLower(method)
		}
	}
	target := url.URL{Scheme: where.Scheme, Host: where.Host, Path: where.Path, RawPath: where.RawPath}
	return sent, aegis.Action{Type: strings.ToLower(sent.Method), Target: target.String(), Params: params}, nil
}

func normaliseURL(written *url.URL) (*url.URL, error) {
	if written == nil {
		return nil, errors.New("aegishttp: the request has no URL")
	}
	where := *written
	where.Scheme = strings.ToLower(where.Scheme)
	if where.Opaque != "" || where.Scheme != "http" && where.Scheme != "https" {
		return nil, fmt.Errorf("aegishttp: the URL %s is none of http:// or https:// with a host and a path", where.Redacted())
	}
	var err error
	if where.Host, err = normaliseHost(where.Host, where.Scheme); err != nil {
		return nil, err
	}
	// What is not well formed some servers read in their own way, and the policy would not see it.
	if _, err := url.ParseQuery(where.RawQuery); err != nil {
		return nil, fmt.Errorf("aegishttp: the query of the request cannot be read: %w", err)
	}
	escaped := withoutDots(unescapeUnreserved(where.EscapedPath()))
	if where.Path, err = url.PathUnescape(escaped); err != nil {
		return nil, fmt.Errorf("aegishttp: the path of the request cannot be read: %w", err)
	}
	where.RawPath = escaped
	where.Fragment, where.RawFragment = "", ""
	return &where, nil
}

// normaliseHost is a host, with its port unless that is the scheme's.
func normaliseHost(written, scheme string) (string, error) {
	wrong := func() (string, error) {
		return "", fmt.Errorf("aegishttp: %q is not a host, or not written as one is", written)
	}
	ascii, err := httpguts.PunycodeHostPort(written)
	if err != nil {
		return wrong()
	}
	parsed := url.URL{Host: ascii}
	name, port := strings.ToLower(parsed.Hostname()), parsed.Port()
	name = strings.TrimSuffix(name, ".")
	if address, err := netip.ParseAddr(name); err == nil {
		name = address.Unmap().String()
	} else if name == "" || numeric(name[strings.LastIndex(name, ".")+1:]) {
		// "127.1" and "0x7f000001" are addresses to some resolvers and names to others.
		return wrong()
	}
	if port == "" {
		if strings.Contains(name, ":") {
			name = "[" + name + "]"
		}
		return name, nil
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return wrong()
	}
	if scheme == "http" && number == 80 || scheme == "https" && number == 443 {
		return normaliseHost(strings.TrimSuffix(ascii, ":"+port), scheme)
	}
	return net.JoinHostPort(name, strconv.FormatUint(number, 10)), nil
}

// numeric says whether a label can be read as a number.
func numeric(label string) bool {
	_, err := strconv.ParseUint(label, 0, 64)
	return err == nil || label != "" && strings.Trim(label, "0123456789") == ""
}

// unescapeUnreserved undoes the percent-encoding of what needs none (RFC 3986, 6.2.2), and writes the rest in capitals.
func unescapeUnreserved(path string) string {
	var text strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] != '%' || i+2 >= len(path) {
			text.WriteByte(path[i])
			continue
		}
		code, err := strconv.ParseUint(path[i+1:i+3], 16, 8)
		switch {
		case err != nil:
			text.WriteByte(path[i])
			continue
		case unreserved(byte(code)):
			text.WriteByte(byte(code))
		default:
			text.WriteString(strings.ToUpper(path[i : i+3]))
		}
		i += 2
	}
	return text.String()
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// withoutDots resolves "." and ".." (RFC 3986, 5.2.4). Empty segments stay: to a server they may mean something.
func withoutDots(path string) string {
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	var kept []string
	for i, segment := range segments {
		last := i == len(segments)-1
		switch segment {
		case ".":
		case "..":
			if len(kept) > 0 {
				kept = kept[:len(kept)-1]
			}
		default:
			kept = append(kept, segment)
			continue
		}
		if last {
			kept = append(kept, "")
		}
	}
	return "/" + strings.Join(kept, "/")
}
