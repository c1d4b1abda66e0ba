package behaviours

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/aegis-sidecar/aegis/clients/go/aegishttp"
	"github.com/aegis-sidecar/aegis/clients/go/aegistest"
)

const httpTablePath = "../../../tests/sdk/http.yaml"

// A request and what is proposed for it, as tests/sdk/README.md describes it. A key that is not here is an error.
type httpCase struct {
	Says       string
	Method     string
	URL        string
	Headers    map[string]string
	Body       string
	BodyBase64 string `yaml:"body_base64"`
	BodySize   int    `yaml:"body_size"`

	AllowEncodedSlashes bool `yaml:"allow_encoded_slashes"`

	Refused bool
	Type    string
	Target  string
	Params  map[string]any
}

func (c httpCase) content(t *testing.T) []byte {
	if c.BodySize > 0 {
		return bytes.Repeat([]byte("x"), c.BodySize)
	}
	if c.BodyBase64 != "" {
		content, err := base64.StdEncoding.DecodeString(c.BodyBase64)
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	return []byte(c.Body)
}

// A wire notes what is sent, and answers 200.
type wire struct {
	sent    *http.Request
	content []byte
}

func (w *wire) RoundTrip(request *http.Request) (*http.Response, error) {
	w.sent = request
	if request.Body != nil {
		w.content, _ = io.ReadAll(request.Body)
	}
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
}

func TestEveryRequestIsProposedAsTheTableSays(t *testing.T) {
	text, err := os.ReadFile(httpTablePath)
	if err != nil {
		t.Fatal(err)
	}
	var table struct{ Cases []httpCase }
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&table); err != nil {
		t.Fatal(err)
	}
	if len(table.Cases) < 25 {
		t.Fatalf("%d cases: the table is larger", len(table.Cases))
	}
	daemon := aegistest.Start(t, "version: \"1\"\ndefaults: { risk_level: low, approval: auto }\nrules: []\n")
	for _, c := range table.Cases {
		t.Run(c.Says, func(t *testing.T) { c.run(t, daemon, setHeader) })
		// A map takes every spelling of a name.
		for spelling, spell := range map[string]func(string) string{"lower": strings.ToLower, "upper": strings.ToUpper} {
			if len(c.Headers) > 0 {
				t.Run(c.Says+" ("+spelling+")", func(t *testing.T) {
					c.run(t, daemon, func(request *http.Request, name, value string) { request.Header[spell(name)] = []string{value} })
				})
			}
		}
	}
}

// setHeader sets a header as a caller does.
func setHeader(request *http.Request, name, value string) {
	if name == "Host" {
		request.Host = value
	} else {
		request.Header.Set(name, value)
	}
}

func (c httpCase) run(t *testing.T, daemon *aegistest.Daemon, set func(request *http.Request, name, value string)) {
	before, err := daemon.Rows(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sent := &wire{}
	transport := aegishttp.NewTransport(daemon.Agent(), sent)
	transport.AllowEncodedSlashes = c.AllowEncodedSlashes
	failed := c.send(t, &http.Client{Transport: transport}, set)
	rows, err := daemon.Rows(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rows = rows[len(before):]
	if c.Refused {
		if failed == nil || sent.sent != nil || len(rows) != 0 {
			t.Fatalf("not refused: %v, sent %v, recorded %+v", failed, sent.sent, rows)
		}
		return
	}
	if failed != nil {
		t.Fatal(failed)
	}
	if c.Type == "" {
		c.Type = "get"
	}
	if len(rows) != 1 || rows[0].Action.Type != c.Type || rows[0].Action.Target != c.Target || !sameJSON(t, rows[0].Action.Params, c.Params) {
		t.Fatalf("proposed: %+v", rows)
	}
	if where, _, _ := strings.Cut(sent.sent.URL.String(), "?"); where != c.Target {
		t.Errorf("sent to %s", where)
	}
	if sent.sent.Method != strings.ToUpper(c.Type) || !bytes.Equal(sent.content, c.content(t)) {
		t.Errorf("sent: %s %q", sent.sent.Method, sent.content)
	}
}

func (c httpCase) send(t *testing.T, client *http.Client, set func(request *http.Request, name, value string)) error {
	request, err := http.NewRequestWithContext(t.Context(), c.Method, c.URL, bytes.NewReader(c.content(t)))
	if err != nil {
		return err
	}
	for name, value := range c.Headers {
		set(request, name, value)
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// sameJSON says whether two values have the same JSON: none is as good as empty.
func sameJSON(t *testing.T, a, b map[string]any) bool {
	if len(a) == 0 && len(b) == 0 {
		return true
	}
	var read [2]any
	for i, value := range []any{a, b} {
		text, err := json.Marshal(value)
		if err == nil {
			err = json.Unmarshal(text, &read[i])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return reflect.DeepEqual(read[0], read[1])
}
