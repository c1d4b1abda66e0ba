package aegishttp_test

import (
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
	"github.com/aegis-sidecar/aegis/clients/go/aegishttp"
	"github.com/aegis-sidecar/aegis/clients/go/aegistest"
)

func Example() {
	daemon, err := aegistest.New(policy)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = daemon.Stop() }()
	site := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer site.Close()

	client := &http.Client{Transport: aegishttp.NewTransport(daemon.Agent(), http.DefaultTransport)}
	response, err := client.Get(site.URL + "/users")
	if err != nil {
		log.Fatal(err)
	}
	_ = response.Body.Close()
	fmt.Println(response.Status)

	request, err := http.NewRequest(http.MethodDelete, site.URL+"/users/7", nil)
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.Do(request)
	var denied *aegis.DeniedError
	fmt.Println(errors.As(err, &denied), denied.Status)
	// Output:
	// 200 OK
	// true blocked
}
