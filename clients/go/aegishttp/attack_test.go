package aegishttp_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"context"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
	"github.com/aegis-sidecar/aegis/clients/go/aegishttp"
	"github.com/aegis-sidecar/aegis/clients/go/aegistest"
)

// smuggled is a body that ends where the request does not say, and goes on with another request.
const smuggled = "0\r\n\r\nDELETE /users/7 HTTP/1.1\r\nHost: x\r\n\r\n"

func TestNoSecondRequestHidesInABody(t *testing.T) {
	site := newSite(t)
	_, client := governed(t)
	for name, forge := range map[string]func(*http.Request){
		"a header":              func(r *http.Request) { r.Header["transfer-encoding"] = []string{"chunked"} },
		"a header in capitals":  func(r *http.Request) { r.Header["TRANSFER-ENCODING"] = []string{"chunked"} },
		"an underscore":         func(r *http.Request) { r.Header["transfer_encoding"] = []string{"chunked"} },
		"a length":              func(r *http.Request) { r.Header["content-length"] = []string{"0"} },
		"the field":             func(r *http.Request) { r.TransferEncoding, r.ContentLength = []string{"identity"}, -1 },
		"the field without end": func(r *http.Request) { r.TransferEncoding, r.ContentLength = []string{"identity"}, 0 },
		"a trailer":             func(r *http.Request) { r.Trailer, r.ContentLength = http.Header{"X-A": {"b"}}, -1 },
		"a value with an end":   func(r *http.Request) { r.Header["X-A"] = []string{"b\r\nTransfer-Encoding: chunked"} },
		"a name with an end":    func(r *http.Request) { r.Header["X-A: b\r\nTransfer-Encoding"] = []string{"chunked"} },
		"a method with an end":  func(r *http.Request) { r.Method = "POST /notes HTTP/1.1\r\nX-A: b\r\n\r\nDELETE" },
		"a query with an end":   func(r *http.Request) { r.URL.RawQuery = "a HTTP/1.1\r\n\r\nDELETE /users/7" },
		"a query with a blank":  func(r *http.Request) { r.URL.RawQuery = "a=b HTTP/1.1" },
		"the wrong length":      func(r *http.Request) { r.ContentLength = 3 },
	} {
		request, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, site.URL+"/notes", strings.NewReader(smuggled))
		forge(request)
		if response, err := client.Do(request); err == nil {
			_ = response.Body.Close()
		}
		for _, asked := range site.requests() {
			if !strings.HasPrefix(asked, "POST /notes") {
				t.Errorf("%s: the server was asked for %q", name, asked)
			}
		}
	}
	// Two of them can be sent as one request, and are.
	if asked := site.requests(); len(asked) != 3 {
		t.Errorf("%q", asked)
	}
}

func TestNoSpellingOfAHeaderGoesUnseen(t *testing.T) {
	site := newSite(t)
	_, client := governed(t)
	for _, name := range []string{"x-http-method-override", "X-HTTP-METHOD-OVERRIDE", "x_http_method_override", "X-Http-Method-Override"} {
		request, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, site.URL+"/users/7", nil)
		request.Header[name] = []string{"DELETE"}
		if _, err := client.Do(request); !errors.Is(err, aegis.ErrGovernance) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"host", "Host", "HOST"} {
		request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, site.URL+"/a", nil)
		request.Header[name] = []string{"internal.example.com"}
		if _, err := client.Do(request); err == nil || !strings.Contains(err.Error(), "Host") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if asked := site.requests(); len(asked) != 0 {
		t.Errorf("the server was asked for %q", asked)
	}
}

func TestNoCredentialFollowsToAnotherOriginInAnySpelling(t *testing.T) {
	site, other := newSite(t), newSite(t)
	_, client := governed(t)
	request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, site.URL+"/to?where="+other.URL+"/open", nil)
	request.Header = http.Header{"authorization": {"Bearer do-not-tell"}, "cookie": {"a=do-not-tell"}, "COOKIE2": {"do-not-tell"}, "x-api-key": {"do-not-tell"}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if got := fmt.Sprint(other.heads[0]); strings.Contains(got, "do-not-tell") {
		t.Errorf("the other server was sent %v", got)
	}
	if got := fmt.Sprint(site.heads[0]); strings.Count(got, "do-not-tell") != 4 {
		t.Errorf("the first server was sent %v", got)
	}
}

// A link that breaks once a request is on it, so that net/http sends it again.
func TestWhatIsSentAgainIsWhatWasProposed(t *testing.T) {
	var bodies []string
	base := roundTrip(func(request *http.Request) (*http.Response, error) {
		first, _ := io.ReadAll(request.Body)
		bodies = append(bodies, string(first))
		if request.GetBody != nil {
			again, err := request.GetBody()
			if err != nil {
				return nil, err
			}
			second, _ := io.ReadAll(again)
			bodies = append(bodies, string(second))
		}
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	})
	daemon := aegistest.Start(t, policy)
	transport := aegishttp.NewTransport(daemon.Agent(), base)
	for body, expected := range map[string][]string{`{"a":1}`: {`{"a":1}`, `{"a":1}`}, strings.Repeat("x", 20_000): {strings.Repeat("x", 20_000)}} {
		bodies = nil
		request, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://example.com/a", strings.NewReader(body))
		request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("something else")), nil }
		if _, err := transport.RoundTrip(request); err != nil || !slices.Equal(bodies, expected) {
			t.Errorf("%.100q, %v", bodies, err)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (r roundTrip) RoundTrip(request *http.Request) (*http.Response, error) { return r(request) }

func TestWhatChangesWhileAReviewerThinksIsNotSent(t *testing.T) {
	site := newSite(t)
	daemon := aegistest.Start(t, "version: \"1\"\ndefaults: { risk_level: high, approval: approve }\nrules: []\n")
	client := &http.Client{Transport: aegishttp.NewTransport(daemon.Agent(), http.DefaultTransport)}
	body := []byte(`{"path":"/safe"}`)
	request, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, site.URL+"/safe", bytes.NewReader(body))
	ended := make(chan error, 1)
	go func() {
		response, err := client.Do(request)
		if err == nil {
			_ = response.Body.Close()
		}
		ended <- err
	}()
	approval, err := daemon.Pending(t.Context(), "put")
	if err != nil {
		t.Fatal(err)
	}
	copy(body, `{"path":"/evil"}`)
	request.Method, request.Host = http.MethodDelete, "evil.example"
	request.URL.Path, request.URL.RawQuery = "/secret", "force=1"
	request.Header.Set("X-Http-Method-Override", "DELETE")
	request.Body = io.NopCloser(strings.NewReader(`{"path":"/evil"}`))
	if _, err := daemon.Reviewer().Approve(t.Context(), approval, "looks right"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if asked := site.requests(); len(asked) != 1 || asked[0] != `PUT /safe {"path":"/safe"}` || site.heads[0].Get("X-Http-Method-Override") != "" {
		t.Errorf("the server was asked for %q with %v", asked, site.heads[0])
	}
}

func TestAReportThatFailsLeaksNoBody(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	agent := daemon.Agent(aegis.WithRetries(0), aegis.WithDialOptions(grpc.WithChainUnaryInterceptor(
		func(ctx context.Context, method string, request, reply any, connection *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
			if strings.HasSuffix(method, "/ReportResult") {
				return status.Error(codes.Unavailable, "cut off")
			}
			return invoke(ctx, method, request, reply, connection, options...)
		})))
	answer := &body{Reader: strings.NewReader("the answer")}
	transport := aegishttp.NewTransport(agent, roundTrip(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusCreated, Body: answer}, nil
	}))
	_, err := (&http.Client{Transport: transport}).Get("http://example.com/a")
	unreported := (*aegis.ReportError)(nil)
	if !errors.As(err, &unreported) || !answer.closed {
		t.Fatalf("closed: %v, %v", answer.closed, err)
	}
	if response, ok := unreported.Result.(*http.Response); !ok || response.StatusCode != http.StatusCreated || response.Body != http.NoBody {
		t.Errorf("%+v", unreported.Result)
	}
}

func TestURLsMadeByHandAreProposedAsTheyAreSent(t *testing.T) {
	mux := http.NewServeMux()
	var hit []string
	mux.HandleFunc("/secret", func(http.ResponseWriter, *http.Request) { hit = append(hit, "secret") })
	mux.HandleFunc("/", func(_ http.ResponseWriter, r *http.Request) { hit = append(hit, r.URL.Path) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	daemon := aegistest.Start(t, policy)
	transport := aegishttp.NewTransport(daemon.Agent(), nil)
	host := strings.TrimPrefix(server.URL, "http://")
	for _, made := range []*url.URL{
		{Scheme: "http", Host: host, Opaque: "//" + host + "/secret"},
		{Scheme: "http", Host: host, Path: "/a", RawPath: "/secret"},
		{Scheme: "http", Host: host, Path: "/secret", RawPath: "/%zz"},
		{Scheme: "http", Host: host, Path: "a/../secret"},
		{Scheme: "http", Host: host, Path: "secret"},
		{Scheme: "http", Host: host, Path: "/..;/secret"},
		{Scheme: "http", Host: host, Path: "/a\x00/../secret"},
		{Scheme: "http", Host: host + ".", Path: "/secret"},
		{Scheme: "http", User: url.User("ada"), Host: host, Path: "/secret"},
		nil,
	} {
		request := (&http.Request{URL: made}).WithContext(t.Context())
		if response, err := transport.RoundTrip(request); err == nil {
			_ = response.Body.Close()
		}
	}
	for _, row := range rows(t, daemon) {
		if strings.HasSuffix(row.Action.Target, "/secret") != (row.Result.Status == aegis.StatusBlocked) {
			t.Errorf("%+v", row)
		}
	}
	if slices.Contains(hit, "secret") {
		t.Error(hit)
	}
	for _, method := range []string{http.MethodConnect, "GET ", "DE\u017fLETE", "a/b"} {
		request := (&http.Request{Method: method, URL: &url.URL{Scheme: "http", Host: host, Path: "/"}}).WithContext(t.Context())
		if _, err := transport.RoundTrip(request); err == nil || errors.Is(err, aegis.ErrGovernance) {
			t.Errorf("%q: %v", method, err)
		}
	}
}

func TestATransportWithoutAClientSendsNothing(t *testing.T) {
	site := newSite(t)
	for _, transport := range []*aegishttp.Transport{aegishttp.NewTransport(nil, nil), {}} {
		if _, err := (&http.Client{Transport: transport}).Get(site.URL); err == nil || !strings.Contains(err.Error(), "no client") {
			t.Error(err)
		}
	}
	if asked := site.requests(); len(asked) != 0 {
		t.Error(asked)
	}
}
