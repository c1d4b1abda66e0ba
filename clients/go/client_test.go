package aegis_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
	"github.com/aegis-sidecar/aegis/clients/go/aegistest"
)

const policy = `
version: "1"
rules:
  - { name: reads, match: { type: "read*" }, risk_level: low, approval: auto, constraints: { max_rows: 100 } }
  - { name: writes, match: { type: "write*" }, risk_level: high, approval: approve }
  - { name: sends, match: { type: "send*" }, risk_level: medium, approval: confirm }
  - { name: no_deletes, match: { type: "delete*" }, risk_level: critical, approval: block, reason: Deleting is a person's job. }
`

func rows(t *testing.T, daemon *aegistest.Daemon) []aegis.AuditRow {
	t.Helper()
	rows, err := daemon.Rows(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// row is the only row of the record.
func row(t *testing.T, daemon *aegistest.Daemon) aegis.AuditRow {
	t.Helper()
	rows := rows(t, daemon)
	if len(rows) != 1 {
		t.Fatalf("%d rows: %+v", len(rows), rows)
	}
	return rows[0]
}

func TestACredentialIsNotSentWhereOthersCanReadIt(t *testing.T) {
	for endpoint, safe := range map[string]bool{
		"http://10.0.0.7:50051": false, "http://aegis.example:50051": false, "http://localhost.example:50051": false,
		"https://10.0.0.7:50051": true, "http://localhost:50051": true, "http://127.7.7.7:50051": true, "unix:/run/aegis.sock": true,
	} {
		client, err := aegis.New(aegis.WithEndpoint(endpoint), aegis.WithToken("aegis_x"))
		if (err == nil) != safe {
			t.Errorf("%s: %v", endpoint, err)
		}
		if err == nil {
			_ = client.Close()
		}
	}
}

func TestWhatIsWrongWithOptionsIsSaidAtOnce(t *testing.T) {
	for problem, options := range map[string][]aegis.Option{
		"unix:/PATH":      {aegis.WithEndpoint("nowhere")},
		"white space":     {aegis.WithToken("a\nb")},
		"does not speak":  {aegis.WithTLSCA("ca.pem")},
		"no such file":    {aegis.WithEndpoint("https://a:1"), aegis.WithTLSCA("/nonexistent.pem")},
		"needs both":      {aegis.WithEndpoint("https://a:1"), aegis.WithTLSCertificate("cert.pem", "")},
		"idempotency key": {aegis.WithIdempotencyKey("k")},
	} {
		if _, err := aegis.New(options...); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%s: %v", problem, err)
		}
	}
}

func TestTheEnvironmentSaysWhatOptionsDoNot(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	t.Setenv("AEGIS_ENDPOINT", daemon.UnixEndpoint)
	t.Setenv("AEGIS_TOKEN", "aegis_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	client, err := aegis.New()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if client.Endpoint() != daemon.UnixEndpoint {
		t.Error(client.Endpoint())
	}
	failed := (*aegis.Error)(nil)
	if _, err = client.Propose(t.Context(), aegis.Action{Type: "read"}); !errors.As(err, &failed) || failed.Reason != "CREDENTIAL_INVALID" {
		t.Errorf("the token of the environment: %v", err)
	}
	anonymous, err := aegis.New(aegis.WithToken(""))
	if err != nil {
		t.Fatal(err)
	}
	defer anonymous.Close()
	if decision, err := anonymous.Propose(t.Context(), aegis.Action{Type: "read"}); err != nil || !decision.Allowed() {
		t.Errorf("an empty token: %+v %v", decision, err)
	}
}

func TestATokenSaysWhoProposes(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	binary, err := aegistest.Binary()
	if err != nil {
		t.Fatal(err)
	}
	create := exec.CommandContext(t.Context(), binary, "token", "create", "--role", "agent", "--name", "ada", "--data-dir", daemon.DataDir)
	token, err := create.Output()
	if err != nil {
		t.Fatal(err)
	}
	agent := daemon.Agent(aegis.WithToken(strings.TrimSpace(string(token))), aegis.WithActor(aegis.Actor{ID: "agent-7", Type: "ai-agent"}),
		aegis.WithSession("s-1"), aegis.WithMetadata(map[string]any{"source": "test"}))
	// What the caller has for other servers stays here.
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer of-another")
	if _, err := agent.Propose(ctx, aegis.Action{Type: "read", Description: "why"}); err != nil {
		t.Fatal(err)
	}
	row := row(t, daemon)
	if row.Identity.Subject != "token:ada" || row.Actor.ID != "agent-7" || row.SessionID != "s-1" || row.Metadata["source"] != "test" || row.Action.Description != "why" {
		t.Errorf("%+v", row)
	}
}

func TestADaemonBehindTLS(t *testing.T) {
	certificate, key := selfSigned(t)
	daemon := aegistest.Start(t, policy, aegistest.WithArguments("--tls-cert", certificate, "--tls-key", key))
	if !strings.HasPrefix(daemon.Endpoint, "https://") {
		t.Fatal(daemon.Endpoint)
	}
	decision, err := daemon.Agent(aegis.WithTLSCA(certificate)).Propose(t.Context(), aegis.Action{Type: "read"})
	if err != nil || !decision.Allowed() {
		t.Errorf("%+v %v", decision, err)
	}
	_, err = daemon.Agent(aegis.WithRetries(0)).Propose(t.Context(), aegis.Action{Type: "read"})
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an authority that is not known: %v", err)
	}
}

func selfSigned(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "aegis"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, bytes []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", signed), write("key.pem", "PRIVATE KEY", encoded)
}

func TestErrorsSayWhatAProgramHasToKnow(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	agent := daemon.Agent(aegis.WithRetries(1), aegis.WithRetryDelay(time.Millisecond))
	_, err := agent.Wait(t.Context(), "nonsense")
	failed := (*aegis.Error)(nil)
	if !errors.As(err, &failed) || failed.Code != codes.InvalidArgument || len(failed.Fields) != 1 || failed.Fields[0].Field != "decision_id" || !errors.Is(err, aegis.ErrGovernance) {
		t.Errorf("%+v", err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = agent.Propose(over, aegis.Action{Type: "read"})
	if !errors.Is(err, context.Canceled) || status.Code(err) != codes.Canceled || errors.Is(err, aegis.ErrGovernance) {
		t.Errorf("%+v", err)
	}
	if _, err := agent.Propose(t.Context(), aegis.Action{Type: "delete"}, aegis.WithDenialAsError()); status.Code(err) != codes.PermissionDenied {
		t.Errorf("%+v", err)
	}
	if serving, err := agent.Health(t.Context()); err != nil || !serving {
		t.Error(serving, err)
	}
	if err := daemon.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := agent.Health(t.Context()); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), daemon.Endpoint) {
		t.Errorf("%v", err)
	}
}

func TestEvaluateExplainsToAnAuditor(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	evaluation, err := daemon.Auditor().Evaluate(t.Context(), aegis.Action{Type: "write"}, aegis.WithExplain(), aegis.WithAt(time.Now()))
	if err != nil || len(evaluation.Trace) != 2 || !evaluation.Trace[1].Matched || evaluation.Trace[1].Line != 5 || evaluation.PolicyRevision == "" {
		t.Errorf("%+v %v", evaluation, err)
	}
	_, err = daemon.Agent().EvaluateMany(t.Context(), []aegis.Action{{Type: "read"}, {Type: ""}})
	if invalid := (*aegis.InvalidActionError)(nil); !errors.As(err, &invalid) || invalid.Path != "actions[1].type" {
		t.Error(err)
	}
}

func TestAStreamOfApprovalsResumesWhenTheDaemonRestarts(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	agent, reviewer := daemon.Agent(), daemon.Reviewer(aegis.WithRetryDelay(10*time.Millisecond))
	if _, err := agent.Propose(t.Context(), aegis.Action{Type: "write_one"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var seen []string
	for event, err := range reviewer.StreamApprovals(ctx, aegis.ApprovalFilter{}) {
		if err != nil {
			t.Fatal(err, seen)
		}
		what := event.Kind.String() + " " + event.Approval.Action.Type
		seen = append(seen, strings.TrimSpace(what))
		switch len(seen) {
		case 2:
			if err := daemon.Restart(); err != nil {
				t.Fatal(err)
			}
		case 5:
			if _, err := reviewer.Approve(ctx, lastPending(t, reviewer), "fine"); err != nil {
				t.Fatal(err)
			}
		case 6:
			cancel()
		}
		if len(seen) == 6 {
			break
		}
	}
	expected := "pending write_one, snapshot complete, lagged, pending write_one, snapshot complete, ended write_one"
	if got := strings.Join(seen, ", "); got != expected {
		t.Errorf("%s, and not %s", got, expected)
	}
}

func lastPending(t *testing.T, reviewer *aegis.Client) aegis.Approval {
	t.Helper()
	approvals, err := reviewer.ListApprovals(t.Context(), aegis.ApprovalFilter{MinRiskLevel: aegis.RiskHigh})
	if err != nil || len(approvals) != 1 {
		t.Fatal(approvals, err)
	}
	return approvals[0]
}

func TestWhatWasShownIsWhatIsDecided(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	if _, err := daemon.Agent(aegis.WithSession("s")).Propose(t.Context(), aegis.Action{Type: "write"}); err != nil {
		t.Fatal(err)
	}
	reviewer := daemon.Reviewer()
	shown := lastPending(t, reviewer)
	other := shown
	other.ActionDigest = strings.Repeat("0", 64)
	failed := (*aegis.Error)(nil)
	if _, err := reviewer.Approve(t.Context(), other, ""); !errors.As(err, &failed) || failed.Reason != "DIGEST_MISMATCH" {
		t.Errorf("%v", err)
	}
	ended, err := reviewer.Deny(t.Context(), shown, "no")
	if err != nil || ended.Ending == nil || ended.Ending.Kind != aegis.EndingDenied || ended.Ending.Reason != "no" {
		t.Errorf("%+v %v", ended, err)
	}
	if _, err := reviewer.Approve(t.Context(), shown, ""); !errors.As(err, &failed) || failed.Reason != "ALREADY_DECIDED" || failed.Metadata["ending"] == "" {
		t.Errorf("%v", err)
	}
	again, err := reviewer.GetApproval(t.Context(), shown.ApprovalID)
	if err != nil || again.Ending == nil || again.SessionID != "s" {
		t.Errorf("%+v %v", again, err)
	}
}

func TestTheRecordIsReadWithFiltersAndFollowed(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	agent := daemon.Agent()
	for _, kind := range []string{"read_a", "delete_b", "read_c"} {
		if _, err := agent.Propose(t.Context(), aegis.Action{Type: kind}); err != nil {
			t.Fatal(err)
		}
	}
	auditor := daemon.Auditor(aegis.WithRetryDelay(10 * time.Millisecond))
	types := func(query aegis.AuditQuery) string {
		var types []string
		for row, err := range auditor.StreamAudit(t.Context(), query) {
			if err != nil {
				t.Fatal(err)
			}
			types = append(types, row.Action.Type)
		}
		return strings.Join(types, " ")
	}
	for expected, query := range map[string]aegis.AuditQuery{
		"read_a delete_b read_c": {},
		"delete_b": {
			Outcomes: []aegis.Outcome{aegis.OutcomeAllow, aegis.OutcomeDeny}, ApprovalModes: []aegis.ApprovalMode{aegis.ApprovalBlock},
			RiskLevels: []aegis.RiskLevel{aegis.RiskCritical}, ResultStatuses: []aegis.ResultStatus{aegis.StatusBlocked}, ActionType: "delete*",
		},
		"delete_b read_c":        {Limit: 2},
		"read_c delete_b read_a": {NewestFirst: true},
		"read_a":                 {ActionType: "read_a", MatchedRule: "reads", Until: time.Now().Add(time.Hour)},
		"":                       {Since: time.Now().Add(time.Hour)},
	} {
		if got := types(query); got != expected {
			t.Errorf("%+v: %q, and not %q", query, got, expected)
		}
	}
	for _, err := range auditor.StreamAudit(t.Context(), aegis.AuditQuery{Outcomes: []aegis.Outcome{"PERHAPS"}}) {
		if !errors.Is(err, aegis.ErrGovernance) {
			t.Error(err)
		}
	}

	// Followed over a restart, each row comes once.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var followed []string
	for row, err := range auditor.StreamAudit(ctx, aegis.AuditQuery{Follow: true}) {
		if err != nil {
			t.Fatal(err, followed)
		}
		followed = append(followed, row.Action.Type)
		if len(followed) == 3 {
			if err := daemon.Restart(); err != nil {
				t.Fatal(err)
			}
			if _, err := agent.Propose(ctx, aegis.Action{Type: "read_d"}); err != nil {
				t.Fatal(err)
			}
		}
		if len(followed) == 4 {
			break
		}
	}
	if got := strings.Join(followed, " "); got != "read_a delete_b read_c read_d" {
		t.Error(got)
	}
}

func TestWithoutAnEndpointTheDaemonIsFoundInItsDataDirectory(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	for _, name := range []string{"AEGIS_ENDPOINT", "AEGIS_DATA_DIR", "XDG_STATE_HOME", "HOME", "AEGIS_TOKEN", "AEGIS_API_KEY"} {
		t.Setenv(name, "")
	}
	found := func() *aegis.Client {
		client, err := aegis.New()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		return client
	}
	// A path may have whatever a URL would not.
	// And is short: the name of a socket has at most 108 bytes.
	temporary, err := os.MkdirTemp("", "aegis")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(temporary) })
	home := filepath.Join(temporary, "a b%2F?c#d")
	state := filepath.Join(home, ".local", "state")
	if err := os.MkdirAll(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(daemon.DataDir, filepath.Join(state, "aegis")); err != nil {
		t.Fatal(err)
	}
	socket := "unix:" + filepath.Join(state, "aegis", "agent.sock")
	for variable, value := range map[string]string{"HOME": home, "XDG_STATE_HOME": state, "AEGIS_DATA_DIR": filepath.Join(state, "aegis")} {
		t.Run(variable, func(t *testing.T) {
			t.Setenv(variable, value)
			client := found()
			if client.Endpoint() != socket {
				t.Error(client.Endpoint())
			}
			if decision, err := client.Propose(t.Context(), aegis.Action{Type: "read"}); err != nil || !decision.Allowed() {
				t.Error(decision, err)
			}
			t.Setenv("AEGIS_ENDPOINT", daemon.Endpoint)
			if client := found(); client.Endpoint() != daemon.Endpoint {
				t.Error(client.Endpoint())
			}
		})
	}
	// Nothing falls back to the port from a socket that is there; what is no socket is none.
	t.Setenv("AEGIS_DATA_DIR", daemon.DataDir)
	if err := daemon.Kill(); err != nil {
		t.Fatal(err)
	}
	if client := found(); client.Endpoint() != "unix:"+filepath.Join(daemon.DataDir, "agent.sock") {
		t.Error(client.Endpoint())
	}
	empty := t.TempDir()
	t.Setenv("AEGIS_DATA_DIR", empty)
	if err := os.WriteFile(filepath.Join(empty, "agent.sock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if client := found(); client.Endpoint() != "http://127.0.0.1:50051" {
		t.Error(client.Endpoint())
	}
}

func TestThePlatformsNameForTheCredentialCountsWhereThereIsNoToken(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	t.Setenv("AEGIS_ENDPOINT", daemon.Endpoint)
	t.Setenv("AEGIS_TOKEN", "")
	t.Setenv("AEGIS_API_KEY", "aegis_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	client, err := aegis.New()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	failed := (*aegis.Error)(nil)
	if _, err = client.Propose(t.Context(), aegis.Action{Type: "read"}); !errors.As(err, &failed) || failed.Reason != "CREDENTIAL_INVALID" {
		t.Errorf("the key of the environment: %v", err)
	}
	t.Setenv("AEGIS_TOKEN", "two words")
	if _, err = aegis.New(); err == nil || !strings.Contains(err.Error(), "white space") {
		t.Error(err)
	}
}
