package aegishttp_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
	"github.com/aegis-sidecar/aegis/clients/go/aegishttp"
	"github.com/aegis-sidecar/aegis/clients/go/aegistest"
)

const policy = `
version: "1"
rules:
  - { name: secrets, match: { target: "*/secret" }, risk_level: critical, approval: block }
  - { name: no_deletes, match: { type: delete }, risk_level: critical, approval: block }
  - { name: overrides, match: { type: post }, conditions: { param_exists: { method_override: true } }, risk_level: critical, approval: block }
  - { name: the_rest, risk_level: low, approval: auto }
`

// A site is a server that notes what it is asked.
type site struct {
	*httptest.Server
	lock  sync.Mutex
	asked []string
	heads []http.Header
}

func newSite(t *testing.T) *site {
	s := &site{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.lock.Lock()
		s.asked = append(s.asked, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(body)))
		s.heads = append(s.heads, r.Header.Clone())
		s.lock.Unlock()
		switch r.URL.Path {
		case "/to":
			http.Redirect(w, r, r.URL.Query().Get("where"), http.StatusTemporaryRedirect)
		case "/missing":
			http.NotFound(w, r)
		default:
			_, _ = io.WriteString(w, "ok")
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *site) requests() []string {
	s.lock.Lock()
	defer s.lock.Unlock()
	return append([]string{}, s.asked...)
}

func governed(t *testing.T) (*aegistest.Daemon, *http.Client) {
	daemon := aegistest.Start(t, policy)
	return daemon, &http.Client{Transport: aegishttp.NewTransport(daemon.Agent(), http.DefaultTransport)}
}

func rows(t *testing.T, daemon *aegistest.Daemon) []aegis.AuditRow {
	t.Helper()
	rows, err := daemon.Rows(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestARequestIsProposedSentAndReported(t *testing.T) {
	site := newSite(t)
	daemon, client := governed(t)
	request, _ := http.NewRequestWithContext(t.Context(), "post", site.URL+"/users?name=ada&tag=a&tag=b", strings.NewReader("the body"))
	request.Header.Set("Authorization", "Bearer do-not-tell")
	request.Header.Set("Content-Type", "text/plain")
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, err := io.ReadAll(response.Body); err != nil || string(text) != "ok" {
		t.Fatal(string(text), err)
	}
	if asked := site.requests(); len(asked) != 1 || asked[0] != "POST /users?name=ada&tag=a&tag=b the body" {
		t.Fatal(asked)
	}
	recorded := rows(t, daemon)
	if len(recorded) != 1 {
		t.Fatal(recorded)
	}
	row := recorded[0]
	if row.Action.Type != "post" || row.Action.Target != site.URL+"/users" || row.Result.Status != aegis.StatusSuccess {
		t.Errorf("%+v", row)
	}
	text, _ := json.Marshal(row)
	for _, part := range []string{`"name":["ada"]`, `"tag":["a","b"]`, `"data":{"status_code":200}`, `"body":"the body"`} {
		if !strings.Contains(string(text), part) {
			t.Errorf("%s is not in %s", part, text)
		}
	}
	if strings.Contains(string(text), "do-not-tell") {
		t.Errorf("a credential is on the record: %s", text)
	}
}

func TestNoSpellingDodgesARule(t *testing.T) {
	site := newSite(t)
	daemon, client := governed(t)
	address := strings.TrimPrefix(site.URL, "http://")
	for _, target := range []string{
		site.URL + "/secret", "HTTP://" + address + "/secret", site.URL + "/%73ecret", site.URL + "/a/../secret", site.URL + "/./secret",
		site.URL + "/a/%2e%2E/secret", site.URL + "/secret?x=1", site.URL + "/secret#part",
	} {
		_, err := client.Get(target)
		if denied := (*aegis.DeniedError)(nil); !errors.As(err, &denied) || denied.Status != aegis.StatusBlocked {
			t.Errorf("%s: %v", target, err)
		}
	}
	for _, method := range []string{"DELETE", "delete", "Delete"} {
		request, _ := http.NewRequestWithContext(t.Context(), method, site.URL+"/users/7", nil)
		if _, err := client.Do(request); !errors.Is(err, aegis.ErrGovernance) {
			t.Errorf("%s: %v", method, err)
		}
	}
	request, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, site.URL+"/users/7", nil)
	request.Header.Set("x-http-method-override", "DELETE")
	if _, err := client.Do(request); !errors.Is(err, aegis.ErrGovernance) {
		t.Errorf("an override: %v", err)
	}
	if asked := site.requests(); len(asked) != 0 {
		t.Errorf("the server was asked: %v", asked)
	}
	for _, row := range rows(t, daemon) {
		if row.Result.Status != aegis.StatusBlocked {
			t.Errorf("%+v", row)
		}
	}
	if count := len(rows(t, daemon)); count != 12 {
		t.Errorf("%d rows, and not 12", count)
	}
}

func TestWhatCannotBeGovernedIsNotSent(t *testing.T) {
	site := newSite(t)
	daemon, client := governed(t)
	request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, site.URL, nil)
	request.Host = "internal.example.com"
	if _, err := client.Do(request); err == nil || !strings.Contains(err.Error(), "Host header") {
		t.Errorf("another host: %v", err)
	}
	for _, target := range []string{"http://127.1/", "http://0x7f000001/", "http://example.com:99999/", "ftp://example.com/", "http://ada:pw@example.com/", site.URL + "/?a;b"} {
		if _, err := client.Get(target); err == nil || !strings.Contains(err.Error(), "aegishttp") {
			t.Errorf("%s: %v", target, err)
		}
	}
	if recorded := rows(t, daemon); len(recorded) != 0 || len(site.requests()) != 0 {
		t.Error(recorded, site.requests())
	}
}

func TestEveryHopOfARedirectIsProposed(t *testing.T) {
	site, other := newSite(t), newSite(t)
	daemon, client := governed(t)
	if _, err := client.Get(site.URL + "/to?where=/secret"); !errors.Is(err, aegis.ErrGovernance) {
		t.Fatalf("a redirect to what is blocked: %v", err)
	}
	if asked := site.requests(); len(asked) != 1 {
		t.Errorf("the server was asked for %v", asked)
	}

	// Another origin: the body goes there, the credentials do not.
	client.Jar, _ = cookiejar.New(nil)
	request, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, site.URL+"/to?where="+other.URL+"/open", strings.NewReader("once"))
	request.Header = http.Header{"Authorization": {"Bearer do-not-tell"}, "X-Api-Key": {"do-not-tell"}, "Cookie": {"a=do-not-tell"}, "Accept": {"text/plain"}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if asked := other.requests(); len(asked) != 1 || asked[0] != "PUT /open once" {
		t.Errorf("the other server was asked for %v", asked)
	}
	if got := other.heads[0]; strings.Contains(fmt.Sprint(got), "do-not-tell") || got.Get("Accept") != "text/plain" {
		t.Errorf("the other server was sent %v", got)
	}
	if got := fmt.Sprint(site.heads[len(site.heads)-1]); strings.Count(got, "do-not-tell") != 3 {
		t.Errorf("the first server was sent %v", got)
	}

	var seen []string
	for _, row := range rows(t, daemon) {
		seen = append(seen, row.Action.Type+" "+row.Action.Target+" "+string(row.Result.Status))
	}
	expected := []string{
		"get " + site.URL + "/to success", "get " + site.URL + "/secret blocked",
		"put " + site.URL + "/to success", "put " + other.URL + "/open success",
	}
	if strings.Join(seen, "\n") != strings.Join(expected, "\n") {
		t.Errorf("%q, and not %q", seen, expected)
	}
}

func TestABodyIsSentWholeWhetherItIsShownOrNot(t *testing.T) {
	site := newSite(t)
	daemon, client := governed(t)
	large := strings.Repeat("x", 20_000)
	for _, body := range []io.Reader{
		strings.NewReader(`{"a":1}`), strings.NewReader(large),
		// Neither has a length that net/http knows.
		io.MultiReader(strings.NewReader("from"), strings.NewReader(" a stream")),
	} {
		response, err := client.Post(site.URL+"/", "application/json", body)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
	}
	if asked := site.requests(); strings.Join(asked, "\n") != "POST / {\"a\":1}\nPOST / "+large+"\nPOST / from a stream" {
		t.Errorf("%d requests: %.200v", len(asked), asked)
	}
	expected := []string{`map[body:map[a:1]]`, `map[body_bytes:20000]`, `map[body_stream:true]`}
	for i, row := range rows(t, daemon) {
		if shown := fmt.Sprint(row.Action.Params); shown != expected[i] {
			t.Errorf("%s, and not %s", shown, expected[i])
		}
	}
}

// A body that notes whether it was closed, and what was read of it.
type body struct {
	io.Reader
	closed bool
}

func (b *body) Close() error { b.closed = true; return nil }

func TestTheBodyOfADeniedRequestIsClosedUnread(t *testing.T) {
	site := newSite(t)
	_, client := governed(t)
	text := strings.NewReader("secret plans")
	sent := &body{Reader: text}
	request, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, site.URL+"/secret", sent)
	if _, err := client.Do(request); !errors.Is(err, aegis.ErrGovernance) {
		t.Fatal(err)
	}
	if !sent.closed || text.Len() != len("secret plans") {
		t.Errorf("closed: %v; %d bytes are left", sent.closed, text.Len())
	}
}

func TestAResponseThatSaysNoIsReportedAsFailed(t *testing.T) {
	site := newSite(t)
	daemon, client := governed(t)
	response, err := client.Get(site.URL + "/missing")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	site.Close()
	if _, err := client.Get(site.URL + "/gone"); err == nil {
		t.Fatal("the server is gone")
	}
	recorded := rows(t, daemon)
	if len(recorded) != 2 || recorded[0].Result.Error != "HTTP 404" || recorded[1].Result.Status != aegis.StatusFailed {
		t.Errorf("%+v", recorded)
	}
}

func TestWithoutADaemonNothingIsSent(t *testing.T) {
	site := newSite(t)
	daemon := aegistest.Start(t, policy)
	client := &http.Client{Transport: aegishttp.NewTransport(daemon.Agent(aegis.WithRetries(0)), nil)}
	if err := daemon.Kill(); err != nil {
		t.Fatal(err)
	}
	_, err := client.Get(site.URL)
	if failed := (*aegis.Error)(nil); !errors.As(err, &failed) || errors.Is(err, aegis.ErrGovernance) {
		t.Fatal(err)
	}
	if asked := site.requests(); len(asked) != 0 {
		t.Fatal(asked)
	}
}
