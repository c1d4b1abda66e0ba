package aegis_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
)

// refunds is a handler that asks before it acts. The context of the request ends when its client goes away, and with it the
// proposal: nobody approves a refund that nobody waits for.
func refunds(agent *aegis.Client) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		// Read the body first: until it is read, net/http does not notice that the client is gone.
		var order struct {
			ID     string `json:"id"`
			Amount int    `json:"amount"`
		}
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&order); err != nil {
			http.Error(w, "send an order as JSON", http.StatusBadRequest)
			return
		}
		action := aegis.Action{Type: "write_refund", Target: "shop", Params: map[string]any{"order": order}}
		_, err := aegis.Govern(r.Context(), agent, action, func(ctx context.Context, _ aegis.Decision) (string, error) {
			return "refunded " + order.ID, nil
		}, aegis.WithApprovalTimeout(time.Minute))
		var denied *aegis.DeniedError
		switch {
		case errors.As(err, &denied):
			http.Error(w, denied.Decision.Reason, http.StatusForbidden)
		case errors.Is(err, aegis.ErrGovernance):
			http.Error(w, err.Error(), http.StatusBadRequest)
		case err != nil:
			http.Error(w, "try again", http.StatusServiceUnavailable)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}
}

// An HTTP server whose client leaves while a reviewer is asked.
func ExampleGovern_httpServer() {
	daemon, stop := startDaemon()
	defer stop()
	server := httptest.NewServer(refunds(daemon.Agent()))
	defer server.Close()

	ctx, leave := context.WithCancel(context.Background())
	go func() {
		_, _ = daemon.Pending(context.Background(), "write_refund")
		leave()
	}()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, strings.NewReader(`{"id": "A-1", "amount": 20}`))
	if err != nil {
		log.Fatal(err)
	}
	_, err = http.DefaultClient.Do(request)
	fmt.Println(errors.Is(err, context.Canceled))

	for row, err := range daemon.Auditor().StreamAudit(context.Background(), aegis.AuditQuery{Follow: true}) {
		if err != nil {
			log.Fatal(err)
		}
		if row.Ending != nil {
			fmt.Println(row.Action, row.Ending.Kind)
			break
		}
	}
	// Output:
	// true
	// write_refund on shop cancelled
}
