package aegishttp

import (
	"net/http"
	"testing"
)

func TestWhatIsProposedIsWhatIsSent(t *testing.T) {
	for written, expected := range map[string]string{
		"http://example.com":                       "http://example.com/",
		"HTTPS://EXAMPLE.com:443/A":                "https://example.com/A",
		"http://example.com.:080/a//b/":            "http://example.com/a//b/",
		"http://example.com:8080/a/./b/../c/..":    "http://example.com:8080/a/",
		"http://example.com/%7euser/%61%2fb?q=%61": "http://example.com/~user/a%2Fb?q=%61",
		"http://example.com/../../x":               "http://example.com/x",
		"http://bücher.example/ü":                  "http://xn--bcher-kva.example/%C3%BC",
		"http://[::FFFF:127.0.0.1]:80/":            "http://127.0.0.1/",
		"http://[2001:DB8::0:1]/":                  "http://[2001:db8::1]/",
	} {
		request, err := http.NewRequest("", written, nil)
		if err != nil {
			t.Fatal(err)
		}
		sent, action, err := normalise(request, true)
		if err != nil {
			t.Errorf("%s: %v", written, err)
			continue
		}
		if sent.URL.String() != expected {
			t.Errorf("%s is sent as %s, and not %s", written, sent.URL, expected)
		}
		withoutQuery := *sent.URL
		withoutQuery.RawQuery = ""
		if action.Target != withoutQuery.String() || action.Type != "get" || sent.Method != "GET" {
			t.Errorf("%s is proposed as %+v", written, action)
		}
	}
}
