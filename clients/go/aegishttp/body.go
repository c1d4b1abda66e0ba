package aegishttp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/aegis-sidecar/aegis/clients/go/internal/exactjson"
)

const (
	// longestBody is how much of a body is shown: of a larger one only its size is.
	longestBody = 16 << 10
	// deepest is how deep a JSON body may be nested that is shown as its value: as an action may be by default.
	deepest = 30
)

var byteOrderMark = []byte("\uFEFF")

// showBody adds what is shown of a body to params. What it reads is put back as a copy.
func showBody(sent *http.Request, params map[string]any) error {
	if sent.Body == nil {
		return nil
	}
	// What is sent again after a broken connection would be read anew, and might say something else.
	sent.GetBody = nil
	if sent.ContentLength <= 0 {
		sent.ContentLength = -1
		params["body_stream"] = true
		return nil
	}
	if sent.ContentLength > longestBody {
		params["body_bytes"] = sent.ContentLength
		return nil
	}
	content, err := io.ReadAll(io.LimitReader(sent.Body, sent.ContentLength+1))
	if err = errors.Join(err, sent.Body.Close()); err != nil {
		return fmt.Errorf("aegishttp: the body of the request cannot be read: %w", err)
	}
	if int64(len(content)) != sent.ContentLength {
		return fmt.Errorf("aegishttp: the body of the request is not %d bytes long, as its ContentLength says", sent.ContentLength)
	}
	sent.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	sent.Body, _ = sent.GetBody()
	// A server that heeds these reads another text than the bytes show.
	kinds := strings.Join(sent.Header.Values("Content-Type"), ", ")
	encoding := strings.ToLower(strings.TrimSpace(strings.Join(sent.Header.Values("Content-Encoding"), ", ")))
	if encoding != "" && encoding != "identity" || !isShownCharset(kinds) {
		params["body_bytes"] = len(content)
		return nil
	}
	shown, err := show(content, kinds)
	switch {
	case err != nil:
		return err
	case shown == nil:
		params["body_bytes"] = len(content)
	default:
		params["body"] = shown.value
	}
	return nil
}

var (
	charset = regexp.MustCompile(`(?i)charset`)
	// charsetValue is what follows the name.
	charsetValue = regexp.MustCompile(`^\s*=\s*([^;,]*)`)
	// shownCharset are the names of the one encoding of characters in which a body can be shown, and of the part of it that all share.
	shownCharset = regexp.MustCompile(`(?i)^"?(?:utf-?8|us-ascii|ascii)"?$`)
)

// isShownCharset says whether every charset of a type is one that a body is shown in.
func isShownCharset(contentType string) bool {
	for _, at := range charset.FindAllStringIndex(contentType, -1) {
		named := charsetValue.FindStringSubmatch(contentType[at[1]:])
		if named == nil || !shownCharset.MatchString(strings.TrimSpace(named[1])) {
			return false
		}
	}
	return true
}

// A shown is what is shown of a body.
type shown struct{ value any }

// show is the value of a JSON body, whatever its type is called, or the text of a text: nil where only its size can be shown.
func show(content []byte, contentType string) (*shown, error) {
	if !utf8.Valid(content) {
		return nil, nil
	}
	kind, _, _ := strings.Cut(contentType, ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	isJSON := kind == "application/json" || strings.HasSuffix(kind, "+json")
	isText := isJSON || strings.HasPrefix(kind, "text/") || kind == "application/x-www-form-urlencoded"
	rest, marked := bytes.CutPrefix(content, byteOrderMark)
	start := bytes.TrimLeft(rest, " \t\r\n")
	looksJSON := len(start) > 0 && (start[0] == '{' || start[0] == '[')
	if isJSON || looksJSON {
		value, err := exactjson.Read(rest, deepest)
		switch {
		case errors.Is(err, exactjson.ErrNotJSON):
		case errors.Is(err, exactjson.ErrRepeatedName):
			return nil, fmt.Errorf("aegishttp: the body of the request is JSON that %w, and servers differ in which value they take", err)
		case marked:
			return nil, errors.New("aegishttp: the body of the request is JSON after a byte order mark, which not every server reads: leave it out")
		case err == nil:
			return &shown{value}, nil
		default:
			// It cannot be read exactly, and as a text it is shown all the same.
			return &shown{string(content)}, nil
		}
	}
	if isText {
		return &shown{string(content)}, nil
	}
	return nil, nil
}
