package aegishttp

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
)

// normalise is the request as it is sent, and the action that says so. What is sent is a copy: the request itself stays as it is,
// but for its body, which is read where it is shown.
func normalise(request *http.Request, encodedSlashes bool) (*http.Request, aegis.Action, error) {
	none := aegis.Action{}
	where, err := normaliseURL(request.URL, encodedSlashes)
	if err != nil {
		return nil, none, err
	}
	sent := request.Clone(request.Context())
	sent.URL, sent.Host = where, where.Host
	if request.Host != "" {
		if err := sameHost(sent, request.Host); err != nil {
			return nil, none, err
		}
	}
	if sent.Method, err = normaliseMethod(request.Method); err != nil {
		return nil, none, err
	}
	if sent.Body == nil || sent.Body == http.NoBody {
		sent.Body, sent.GetBody, sent.ContentLength = nil, nil, 0
	}
	if err := normaliseHeaders(sent); err != nil {
		return nil, none, err
	}
	keepCredentials(sent)
	params := map[string]any{}
	query, err := readQuery(where.RawQuery)
	if err != nil {
		return nil, none, err
	}
	if len(query) > 0 {
		params["query"] = query
	}
	override, err := methodOverride(sent.Header)
	if err != nil {
		return nil, none, err
	}
	if override != "" {
		params["method_override"] = override
	}
	if err := showBody(sent, params); err != nil {
		return nil, none, err
	}
	target := url.URL{Scheme: where.Scheme, Host: where.Host, Path: where.Path, RawPath: where.RawPath}
	return sent, aegis.Action{Type: strings.ToLower(sent.Method), Target: target.String(), Params: params}, nil
}

// normaliseMethod is the method in capitals.
func normaliseMethod(written string) (string, error) {
	if written == "" {
		return http.MethodGet, nil
	}
	// A letter beyond ASCII may have an ASCII capital; and what a method is made of is what a header's name is made of.
	if !httpguts.ValidHeaderFieldName(written) {
		return "", fmt.Errorf("aegishttp: %.40q is not a method", written)
	}
	method := strings.ToUpper(written)
	switch method {
	case http.MethodConnect:
		return "", fmt.Errorf("aegishttp: a request with the method %s opens a tunnel, of which nothing would be seen", method)
	case http.MethodTrace, "TRACK":
		return "", fmt.Errorf("aegishttp: a request with the method %s gives its headers back, and with them credentials", method)
	}
	return method, nil
}
