package aegistest_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
	"github.com/aegis-sidecar/aegis/clients/go/aegistest"
)

const policy = `
version: "1"
rules:
  - { name: reads, match: { type: "read*" }, risk_level: low, approval: auto }
  - { name: writes, match: { type: "write*" }, risk_level: medium, approval: approve }
`

func TestADaemonOfATestsOwn(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	agent := daemon.Agent()
	decision, err := agent.Propose(t.Context(), aegis.Action{Type: "read_contacts"})
	if err != nil || !decision.Allowed() {
		t.Fatalf("%+v %v", decision, err)
	}

	changed := strings.Replace(policy, "low, approval: auto", "critical, approval: block", 1)
	if err := daemon.SetPolicy(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	decision, err = agent.Propose(t.Context(), aegis.Action{Type: "read_contacts"})
	if err != nil || decision.Outcome != aegis.OutcomeDeny {
		t.Fatalf("%+v %v", decision, err)
	}
	if err := daemon.SetPolicy(t.Context(), "rules: 7"); err == nil || !strings.Contains(err.Error(), "refuses") {
		t.Fatalf("a policy that is wrong: %v", err)
	}

	endpoint := daemon.Endpoint
	if err := daemon.Restart(); err != nil {
		t.Fatal(err)
	}
	if daemon.Endpoint != endpoint {
		t.Fatalf("from %s to %s", endpoint, daemon.Endpoint)
	}
	rows, err := daemon.Rows(t.Context())
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
}

func TestApproveAllAnswersAsAReviewer(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	agent := daemon.Agent(aegis.WithApprovalHandler(daemon.Reviewer(), aegistest.ApproveAll))
	result, err := aegis.Govern(t.Context(), agent, aegis.Action{Type: "write_contacts"}, func(context.Context, aegis.Decision) (int, error) {
		return 7, nil
	})
	if err != nil || result != 7 {
		t.Fatal(result, err)
	}
}

func TestAPolicyThatIsWrongDoesNotStart(t *testing.T) {
	_, err := aegistest.New("rules: 7")
	if err == nil || !strings.Contains(err.Error(), "rules") {
		t.Fatal(err)
	}
}

func TestABinaryThatIsNotThereIsAnError(t *testing.T) {
	t.Setenv("AEGIS_BIN", "/nonexistent/aegis")
	if _, err := aegistest.New(""); err == nil || !strings.Contains(err.Error(), "AEGIS_BIN") {
		t.Fatal(err)
	}
	t.Setenv("AEGIS_BIN", "")
	t.Setenv("PATH", "")
	t.Chdir(t.TempDir())
	if _, err := aegistest.New(""); err == nil || errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
