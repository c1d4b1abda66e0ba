package behaviours

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/aegis-sidecar/aegis/clients/go/aegishttp"
)

// A sentRequest is what has to be equal of a request that was sent.
type sentRequest struct {
	Method  string
	URL     string
	Body    *string
	Without string
}

// An httpAttempt is a request that changes, and a transport in place of the network.
type httpAttempt struct {
	request *http.Request
	content []byte
	// redirectsTo is where the first answer leads.
	redirectsTo string

	lock sync.Mutex
	sent []*http.Request
	got  []string
}

func (h *httpAttempt) RoundTrip(request *http.Request) (*http.Response, error) {
	var content []byte
	if request.Body != nil {
		content, _ = io.ReadAll(request.Body)
	}
	h.lock.Lock()
	defer h.lock.Unlock()
	h.sent, h.got = append(h.sent, request.Clone(request.Context())), append(h.got, string(content))
	answer := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: request}
	if len(h.sent) == 1 && h.redirectsTo != "" {
		answer.StatusCode = http.StatusFound
		answer.Header.Set("Location", h.redirectsTo)
	}
	return answer, nil
}

// overHTTP sends a request.
func overHTTP(it *attempt) error {
	content := it.Request.content(it.t)
	request, err := http.NewRequestWithContext(it.ctx, it.Request.Method, it.Request.URL, bytes.NewReader(content))
	if err != nil {
		return err
	}
	for name, value := range it.Request.Headers {
		setHeader(request, name, value)
	}
	it.http = &httpAttempt{request: request, content: content, redirectsTo: it.RedirectsTo}
	client := &http.Client{Transport: aegishttp.NewTransport(it.daemon.Agent(), it.http, it.options()...)}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// change changes the request that the caller holds.
func (h *httpAttempt) change(t *testing.T, change change) {
	for path, value := range change.Set {
		text, _ := value.(string)
		switch {
		case path == "url":
			other, err := url.Parse(text)
			if err != nil {
				t.Error(err)
				return
			}
			*h.request.URL = *other
		case path == "method":
			h.request.Method = text
		case path == "body":
			copy(h.content, text)
			h.request.Body = io.NopCloser(strings.NewReader(text))
			h.request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
		case strings.HasPrefix(path, "headers."):
			setHeader(h.request, strings.TrimPrefix(path, "headers."), text)
		default:
			t.Errorf("%s is not known here", path)
		}
	}
	if len(change.Unset) > 0 {
		t.Errorf("unset is not known here: %v", change.Unset)
	}
}

func (h *httpAttempt) compare(t *testing.T, expected []sentRequest, mayBeNone bool) {
	if mayBeNone && len(h.sent) == 0 {
		return
	}
	if len(h.sent) != len(expected) {
		t.Fatalf("%d requests were sent", len(h.sent))
	}
	for i, want := range expected {
		got := h.sent[i]
		if want.Method != "" && got.Method != want.Method || want.URL != "" && got.URL.String() != want.URL {
			t.Errorf("sent: %s %s", got.Method, got.URL)
		}
		if want.Body != nil && h.got[i] != *want.Body {
			t.Errorf("sent: %q", h.got[i])
		}
		if want.Without != "" && got.Header.Get(want.Without) != "" {
			t.Errorf("sent: %v", got.Header)
		}
		if where, _ := url.Parse(want.URL); want.URL != "" && got.Host != where.Host {
			t.Errorf("sent to %s", got.Host)
		}
	}
}
