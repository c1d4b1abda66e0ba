package aegishttp

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// overrides are the headers by which frameworks let a client ask for another method. They are proposed.
var overrides = []string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"}

// rewrites are the headers by which servers let a proxy say which resource is meant. A request with one is refused: a rule about
// its URL would not be about what the server does.
var rewrites = []string{
	"Destination", "Forwarded", "X-Envoy-Original-Host", "X-Envoy-Original-Path", "X-Forwarded-Host",
	"X-Forwarded-Method", "X-Forwarded-Path", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Proto",
	"X-Forwarded-Scheme", "X-Forwarded-Server", "X-Forwarded-Uri", "X-Host", "X-Http-Destinationurl",
	"X-Http-Host-Override", "X-Ms-Original-Url", "X-Original-Host", "X-Original-Method", "X-Original-Path",
	"X-Original-Uri", "X-Original-Url", "X-Override-Url", "X-Rewrite-Uri", "X-Rewrite-Url", "X-Script-Name",
	"X-Waws-Unencoded-Url",
}

// framing are the headers that say where a request ends. A request with one is refused: a second request could hide in its body.
var framing = []string{"Http2-Settings", "Proxy-Connection", "Trailer", "Transfer-Encoding", "Upgrade"}

// spelledOneWay are the headers that net/http writes itself, or reads: another spelling of them is another header to it, and none to
// some servers.
var spelledOneWay = []string{"Connection", "Content-Encoding", "Content-Length", "Content-Type", "Host", "Te"}

// normaliseHeaders gives a request headers whose names have the one spelling that net/http knows, so that nothing in them goes
// unseen. It refuses those that change which resource is meant or where the request ends.
func normaliseHeaders(sent *http.Request) error {
	written := sent.Header
	sent.Header = make(http.Header, len(written))
	names := make([]string, 0, len(written))
	for name := range written {
		names = append(names, name)
	}
	// The order is always the same where two spellings of a name meet.
	slices.Sort(names)
	for _, name := range names {
		if !httpguts.ValidHeaderFieldName(name) {
			return fmt.Errorf("aegishttp: %.40q is not the name of a header", name)
		}
		for _, value := range written[name] {
			if !httpguts.ValidHeaderFieldValue(value) {
				return fmt.Errorf("aegishttp: the header %s holds a control character", name)
			}
		}
		key := http.CanonicalHeaderKey(name)
		sent.Header[key] = append(sent.Header[key], written[name]...)
	}
	for name, values := range sent.Header {
		if err := checkHeader(sent, name, values); err != nil {
			return err
		}
	}
	if len(sent.Trailer) > 0 {
		return errors.New("aegishttp: the request has trailers, which come after it was judged: send them as headers")
	}
	// net/http writes these from the request itself.
	for _, name := range []string{"Host", "Content-Length"} {
		sent.Header.Del(name)
	}
	sent.Trailer, sent.TransferEncoding = nil, nil
	return nil
}

func checkHeader(sent *http.Request, name string, values []string) error {
	// To servers that hand headers on as variables, an underscore is a hyphen.
	meant := http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
	value := strings.ToLower(strings.Join(values, ", "))
	switch {
	case slices.Contains(rewrites, meant):
		return fmt.Errorf("aegishttp: the header %s says which resource is meant in place of the URL, and a rule about the URL could be dodged by it: "+
			"put it into the URL", name)
	case slices.Contains(framing, meant):
		return fmt.Errorf("aegishttp: the header %s is about the connection, and another request could hide behind it: leave it out", name)
	case meant != name && slices.Contains(spelledOneWay, meant):
		return fmt.Errorf("aegishttp: the header %s is %s to some servers: write it so", name, meant)
	case meant == "Te" && value != "trailers":
		return fmt.Errorf("aegishttp: the header TE says %.40q, and asks for an encoding of the transfer: leave it out", value)
	case meant == "Connection":
		for option := range strings.SplitSeq(value, ",") {
			if option = strings.TrimSpace(option); option != "" && option != "keep-alive" && option != "close" {
				return fmt.Errorf("aegishttp: the header Connection names %q: only keep-alive and close are sent", option)
			}
		}
	case meant == "Content-Length":
		if length := max(sent.ContentLength, 0); value != strconv.FormatInt(length, 10) {
			return fmt.Errorf("aegishttp: the header %s says %.40q, and the body is %d bytes long: leave it out", name, value, length)
		}
	case meant == "Host":
		return sameHost(sent, value)
	}
	return nil
}

// sameHost refuses a host that is not that of the URL, which is normalised already.
func sameHost(sent *http.Request, host string) error {
	asked, err := normaliseHost(host, sent.URL.Scheme)
	if err != nil {
		return err
	}
	if asked != sent.URL.Host {
		return fmt.Errorf("aegishttp: the request for the host %s names another, %s, in its Host header: a rule about the one could be dodged by the other",
			sent.URL.Host, asked)
	}
	return nil
}

// methodOverride is the method that a header asks for in place of that of the request, in lower case.
func methodOverride(headers http.Header) (string, error) {
	override := ""
	for name, values := range headers {
		if !slices.Contains(overrides, http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))) {
			continue
		}
		method := strings.ToLower(strings.TrimSpace(strings.Join(values, ", ")))
		if method == "" {
			continue
		}
		if override != "" && override != method {
			return "", errors.New("aegishttp: the headers ask for two different methods in place of that of the request")
		}
		override = method
	}
	return override, nil
}

// harmless are the headers that may go on to another origin: nothing that could be a credential.
var harmless = []string{
	"Accept", "Accept-Encoding", "Accept-Language", "Content-Encoding", "Content-Language", "Content-Type", "Cookie", "User-Agent",
}

// keepCredentials takes off a request, where a redirect led to it from another origin, what was meant for that.
func keepCredentials(sent *http.Request) {
	foreign := map[string]bool{}
	elsewhere := false
	for response := sent.Response; response != nil && response.Request != nil; response = response.Request.Response {
		from := response.Request
		if where, err := normaliseURL(from.URL, true); err == nil && where.Scheme == sent.URL.Scheme && where.Host == sent.URL.Host {
			continue
		}
		elsewhere = true
		for name, values := range from.Header {
			if http.CanonicalHeaderKey(name) != "Cookie" {
				continue
			}
			for _, cookie := range (&http.Request{Header: http.Header{"Cookie": values}}).Cookies() {
				foreign[cookie.Name+"="+cookie.Value] = true
			}
		}
	}
	if !elsewhere {
		return
	}
	for name := range sent.Header {
		if !slices.Contains(harmless, name) {
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
