package aegishttp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// normaliseURL is the one spelling of a URL that rules see and that is sent.
func normaliseURL(written *url.URL, encodedSlashes bool) (*url.URL, error) {
	if written == nil {
		return nil, errors.New("aegishttp: the request has no URL")
	}
	where := *written
	where.Scheme = strings.ToLower(where.Scheme)
	if where.Opaque != "" || where.Scheme != "http" && where.Scheme != "https" {
		return nil, fmt.Errorf("aegishttp: the URL %s is none of http:// or https:// with a host and a path", where.Redacted())
	}
	if where.User != nil {
		return nil, errors.New("aegishttp: the URL holds a user: send credentials in a header")
	}
	var err error
	if where.Host, err = normaliseHost(where.Host, where.Scheme); err != nil {
		return nil, err
	}
	// To some servers it is a slash. An escaped one is a backslash to everybody.
	if strings.Contains(where.RawPath, `\`) {
		return nil, errors.New(`aegishttp: the path of the URL holds a backslash: write / or %5C`)
	}
	escaped := normaliseEscapes(where.EscapedPath(), "!$&'()*+,;=:@/")
	if err := checkSegments(escaped, encodedSlashes); err != nil {
		return nil, err
	}
	escaped = withoutDots(escaped)
	if where.RawQuery, err = normaliseQuery(where.RawQuery); err != nil {
		return nil, err
	}
	if where.Path, err = url.PathUnescape(escaped); err != nil {
		return nil, fmt.Errorf("aegishttp: the path of the request cannot be read: %w", err)
	}
	where.RawPath = escaped
	where.ForceQuery, where.OmitHost = false, false
	where.Fragment, where.RawFragment = "", ""
	return &where, nil
}

var (
	hostName = regexp.MustCompile(`^[a-z0-9_-]+(\.[a-z0-9_-]+)*$`)
	numeric  = regexp.MustCompile(`(^|\.)([0-9]+|0x[0-9a-f]*)$`)
)

// normaliseHost is a host, with its port unless that is the scheme's.
func normaliseHost(written, scheme string) (string, error) {
	wrong := func() (string, error) {
		return "", fmt.Errorf("aegishttp: %q is not a host, or not written as one is", written)
	}
	parsed := url.URL{Host: written}
	name, port := strings.ToLower(parsed.Hostname()), parsed.Port()
	bracketed := strings.HasPrefix(written, "[")
	if strings.ContainsFunc(name, func(r rune) bool { return r >= utf8.RuneSelf }) {
		var err error
		// Full-width letters and digits, for example, not all libraries take for what they look like.
		if name, err = idna.Lookup.ToASCII(name); err != nil || !strings.Contains(name, "xn--") {
			return wrong()
		}
	}
	address, err := netip.ParseAddr(name)
	switch {
	case err == nil && address.Zone() == "" && address.Is6() == bracketed:
		name = address.Unmap().String()
		if address.Unmap().Is6() {
			name = "[" + name + "]"
		}
	default:
		name = strings.TrimSuffix(name, ".")
		// "127.1" and "0x7f000001" are addresses to some resolvers and names to others.
		if bracketed || !hostName.MatchString(name) || numeric.MatchString(name) {
			return wrong()
		}
	}
	if port == "" {
		return name, nil
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return wrong()
	}
	if scheme == "http" && number == 80 || scheme == "https" && number == 443 {
		return name, nil
	}
	return net.JoinHostPort(strings.Trim(name, "[]"), strconv.FormatUint(number, 10)), nil
}

// readQuery is each name of a query with its values, in order. What is not well formed some servers read in their own way, and
// the policy would not see it.
func readQuery(raw string) (map[string]any, error) {
	query := map[string]any{}
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		written, text, _ := strings.Cut(part, "=")
		name, err := url.QueryUnescape(written)
		if err != nil {
			return nil, fmt.Errorf("aegishttp: the query of the request cannot be read: %w", err)
		}
		value, err := url.QueryUnescape(text)
		if err != nil {
			return nil, fmt.Errorf("aegishttp: the query of the request cannot be read: %w", err)
		}
		switch {
		case strings.Contains(part, ";"):
			return nil, errors.New("aegishttp: the query of the request holds a semicolon, which separates parts to some servers: write %3B")
		case !utf8.ValidString(name) || !utf8.ValidString(value):
			return nil, errors.New("aegishttp: the query of the request is not UTF-8")
		case name == "__proto__":
			return nil, errors.New("aegishttp: the query of the request has the name __proto__, which not every SDK can propose")
		}
		values, _ := query[name].([]any)
		query[name] = append(values, value)
	}
	return query, nil
}

// normaliseEscapes undoes the percent-encoding of what needs none (RFC 3986, 6.2.2), escapes what is neither unreserved nor among
// those that are kept, and writes escapes in capitals.
func normaliseEscapes(path, kept string) string {
	var text strings.Builder
	for i := 0; i < len(path); i++ {
		code := path[i]
		if code == '%' && i+2 < len(path) {
			if escaped, err := strconv.ParseUint(path[i+1:i+3], 16, 8); err == nil {
				i += 2
				if unreserved(byte(escaped)) {
					text.WriteByte(byte(escaped))
				} else {
					fmt.Fprintf(&text, "%%%02X", escaped)
				}
				continue
			}
		}
		if unreserved(code) || strings.IndexByte(kept, code) >= 0 {
			text.WriteByte(code)
		} else {
			fmt.Fprintf(&text, "%%%02X", code)
		}
	}
	return text.String()
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// checkSegments refuses a path that some servers resolve to another one than is proposed.
func checkSegments(escaped string, encodedSlashes bool) error {
	slashes := strings.Contains(escaped, "%2F") || strings.Contains(escaped, "%5C")
	if slashes && !encodedSlashes {
		return errors.New("aegishttp: the path of the URL holds an escaped slash, which is a slash to some servers and none to others: " +
			"write /, or allow it with AllowEncodedSlashes")
	}
	decoded := strings.NewReplacer("%2F", "/", "%5C", "/").Replace(escaped)
	for segment := range strings.SplitSeq(decoded, "/") {
		name, _, parametrised := strings.Cut(segment, ";")
		if (name == "." || name == "..") && (parametrised || slashes) {
			return fmt.Errorf("aegishttp: the path of the URL holds the segment %q, which servers resolve in different ways", segment)
		}
	}
	return nil
}

// normaliseQuery escapes what a query may not hold. Escapes stay as they are: the values that they stand for are proposed.
func normaliseQuery(raw string) (string, error) {
	var text strings.Builder
	for i := range len(raw) {
		code := raw[i]
		switch {
		case code < ' ' || code == 0x7f:
			return "", errors.New("aegishttp: the query of the request holds a control character")
		case unreserved(code) || strings.IndexByte("%!$&'()*+,;=:@/?[]{}|\\^`", code) >= 0:
			text.WriteByte(code)
		default:
			fmt.Fprintf(&text, "%%%02X", code)
		}
	}
	return text.String(), nil
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
