package aegishttp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"regexp"
	"strings"
	"unicode/utf8"
)

const (
	// longestBody is how much of a body is shown: of a larger one only its size is.
	longestBody = 16 << 10
	// deepest is how deep a JSON body may be nested that is shown as its value: as an action may be by default.
	deepest = 30
	// largest is the largest number of a JSON body that every SDK holds exactly.
	largest = 1<<53 - 1
)

// showBody adds what is shown of a body to params. What it reads is put back.
func showBody(sent *http.Request, params map[string]any) error {
	if sent.Body == nil || sent.Body == http.NoBody {
		return nil
	}
	if sent.ContentLength <= 0 {
		params["body_stream"] = true
		return nil
	}
	kind, _, _ := strings.Cut(sent.Header.Get("Content-Type"), ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	isJSON := kind == "application/json" || strings.HasSuffix(kind, "+json")
	isText := strings.HasPrefix(kind, "text/") || kind == "application/x-www-form-urlencoded"
	if !isJSON && !isText || sent.ContentLength > longestBody {
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
	params["body"] = string(content)
	if !utf8.Valid(content) {
		delete(params, "body")
		params["body_bytes"] = len(content)
	} else if value, exact := readJSON(content); isJSON && exact {
		params["body"] = value
	}
	return nil
}

// escapes finds the escapes of JSON strings: the first group is half a surrogate pair.
var escapes = regexp.MustCompile(`\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u([dD][89a-fA-F][0-9a-fA-F]{2})|.)`)

// readJSON is the value of a JSON text, and whether it says all that the text does, in every SDK.
func readJSON(text []byte) (any, bool) {
	if !json.Valid(text) {
		return nil, false
	}
	for _, match := range escapes.FindAllSubmatch(text, -1) {
		if match[1] != nil {
			return nil, false
		}
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return readValue(decoder, 0)
}

func readValue(decoder *json.Decoder, depth int) (any, bool) {
	token, err := decoder.Token()
	if err != nil {
		return nil, false
	}
	switch token := token.(type) {
	case json.Number:
		number, err := token.Float64()
		return number, err == nil && math.Abs(number) <= largest
	case json.Delim:
		if depth >= deepest {
			return nil, false
		}
		if token == '[' {
			return readList(decoder, depth+1)
		}
		return readObject(decoder, depth+1)
	default:
		return token, true
	}
}

func readList(decoder *json.Decoder, depth int) (any, bool) {
	list := []any{}
	for decoder.More() {
		value, exact := readValue(decoder, depth)
		if !exact {
			return nil, false
		}
		list = append(list, value)
	}
	_, err := decoder.Token()
	return list, err == nil
}

func readObject(decoder *json.Decoder, depth int) (any, bool) {
	object := map[string]any{}
	for decoder.More() {
		token, err := decoder.Token()
		name, isText := token.(string)
		// A name that is there twice servers read in different ways; the other not every SDK can hold.
		if _, twice := object[name]; err != nil || !isText || twice || name == "__proto__" {
			return nil, false
		}
		value, exact := readValue(decoder, depth)
		if !exact {
			return nil, false
		}
		object[name] = value
	}
	_, err := decoder.Token()
	return object, err == nil
}
