package behaviours

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
	"github.com/aegis-sidecar/aegis/clients/go/aegisv1"
)

const unknownPath = "../../../tests/sdk/unknown.yaml"

// The table of what a newer daemon may say, as tests/sdk/README.md describes it. A key that is not here is an error.
type unknownTable struct {
	Version  int
	Messages []newerMessage
}

type newerMessage struct {
	Name    string
	Message string
	Base64  string
	Expect  map[string]any
}

// notShown is what a message does not show here.
var notShown = map[string]string{
	"approval_mode of an outcome that is not known": "there is no answer then, but an error",
}

func TestWhatANewerDaemonSaysIsNoYesAndNothingPending(t *testing.T) {
	text, err := os.ReadFile(unknownPath)
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	var table unknownTable
	if err := decoder.Decode(&table); err != nil {
		t.Fatal(err)
	}
	if table.Version != 1 || len(table.Messages) < 12 {
		t.Fatalf("version %d, %d messages", table.Version, len(table.Messages))
	}
	for _, message := range table.Messages {
		t.Run(message.Name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), longest)
			defer cancel()
			text, err := base64.StdEncoding.DecodeString(message.Base64)
			if err != nil {
				t.Fatal(err)
			}
			shown := newer(t, text).show(ctx, t, message.Message)
			for key, expected := range message.Expect {
				if shown["may_run"] == false && key == "approval_mode" && notShown[key+" of an outcome that is not known"] != "" {
					continue
				}
				if value, known := shown[key]; !known || fmt.Sprint(value) != fmt.Sprint(expected) {
					t.Errorf("%s is %v, and not %v", key, value, expected)
				}
			}
		})
	}
}

// A newerServer answers with one message.
type newerServer struct {
	aegisv1.UnimplementedGovernanceServiceServer
	aegisv1.UnimplementedApprovalServiceServer
	aegisv1.UnimplementedAuditServiceServer
	text []byte
	// resumed are the cursors by which the stream of the record was opened.
	resumed chan string
	client  *aegis.Client
}

func newer(t *testing.T, text []byte) *newerServer {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	it := &newerServer{text: text, resumed: make(chan string, 8)}
	server := grpc.NewServer()
	aegisv1.RegisterGovernanceServiceServer(server, it)
	aegisv1.RegisterApprovalServiceServer(server, it)
	aegisv1.RegisterAuditServiceServer(server, it)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	it.client, err = aegis.New(aegis.WithEndpoint("http://"+listener.Addr().String()), aegis.WithToken(""), aegis.WithRetryDelay(time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = it.client.Close() })
	return it
}

// read reads the message.
func read[M proto.Message](it *newerServer, message M) (M, error) {
	return message, proto.Unmarshal(it.text, message)
}

// canonical is what the digest of the action of these tests is made of.
const canonical = `{"actor":{"id":""},"description":"","params":{},"session_id":"","target":"","type":"act"}`

func (it *newerServer) Propose(context.Context, *aegisv1.ProposeRequest) (*aegisv1.ProposeResponse, error) {
	answer, err := read(it, &aegisv1.ProposeResponse{})
	salt := make([]byte, 16)
	digest := sha256.Sum256(append(salt, canonical...))
	// An answer is taken only with the digest of the action.
	answer.GetDecision().ActionDigestSalt, answer.GetDecision().ActionDigest = hex.EncodeToString(salt), hex.EncodeToString(digest[:])
	return answer, err
}

func (it *newerServer) AwaitDecision(context.Context, *aegisv1.AwaitDecisionRequest) (*aegisv1.AwaitDecisionResponse, error) {
	return read(it, &aegisv1.AwaitDecisionResponse{})
}

func (it *newerServer) Evaluate(context.Context, *aegisv1.EvaluateRequest) (*aegisv1.EvaluateResponse, error) {
	return read(it, &aegisv1.EvaluateResponse{})
}

func (it *newerServer) GetApproval(context.Context, *aegisv1.GetApprovalRequest) (*aegisv1.GetApprovalResponse, error) {
	return read(it, &aegisv1.GetApprovalResponse{})
}

func (it *newerServer) StreamApprovals(_ *aegisv1.StreamApprovalsRequest, stream grpc.ServerStreamingServer[aegisv1.StreamApprovalsResponse]) error {
	message, err := read(it, &aegisv1.StreamApprovalsResponse{})
	marker := &aegisv1.StreamApprovalsResponse{Event: &aegisv1.StreamApprovalsResponse_SnapshotComplete{SnapshotComplete: &aegisv1.SnapshotComplete{}}}
	return errors.Join(err, stream.Send(message), stream.Send(marker))
}

// StreamAudit sends the message, and breaks. What is opened after that goes on.
func (it *newerServer) StreamAudit(request *aegisv1.StreamAuditRequest, stream grpc.ServerStreamingServer[aegisv1.StreamAuditResponse]) error {
	it.resumed <- request.GetResumeAfter()
	if request.GetResumeAfter() != "" {
		<-stream.Context().Done()
		return nil
	}
	message, err := read(it, &aegisv1.StreamAuditResponse{})
	if err := errors.Join(err, stream.Send(message)); err != nil {
		return err
	}
	return status.Error(codes.Unavailable, "the connection broke")
}

var unknownValue = regexp.MustCompile(`unknown\(\d+\)`)

// show is what a client shows of the message.
func (it *newerServer) show(ctx context.Context, t *testing.T, message string) map[string]any {
	switch message {
	case "ProposeResponse":
		return showDecision(it.client.Propose(ctx, aegis.Action{Type: "act"}))
	case "AwaitDecisionResponse":
		answer, _ := read(it, &aegisv1.AwaitDecisionResponse{})
		return showDecision(it.client.Wait(ctx, answer.GetDecision().GetDecisionId()))
	case "EvaluateResponse":
		evaluation, err := it.client.Evaluate(ctx, aegis.Action{Type: "act"})
		if err != nil {
			return refused(err)
		}
		shown := map[string]any{"outcome": evaluation.Outcome, "approval_mode": evaluation.ApprovalMode, "may_run": evaluation.Outcome == aegis.OutcomeAllow}
		for _, rule := range evaluation.Trace {
			shown["condition_result"] = rule.Conditions[0].Result
		}
		return shown
	case "GetApprovalResponse":
		answer, _ := read(it, &aegisv1.GetApprovalResponse{})
		approval, err := it.client.GetApproval(ctx, answer.GetApproval().GetApprovalId())
		if err != nil {
			t.Fatal(err)
		}
		return showApproval(*approval)
	case "StreamApprovalsResponse":
		for event, err := range it.client.StreamApprovals(ctx, aegis.ApprovalFilter{}) {
			if err != nil {
				t.Fatal(err)
			}
			if event.Kind == aegis.ApprovalSnapshotComplete {
				return map[string]any{"event": "none"}
			}
			shown := showApproval(event.Approval)
			shown["event"] = event.Kind.String()
			return shown
		}
	case "StreamAuditResponse":
		return it.showRow(ctx, t)
	}
	t.Fatalf("the message %s is not known here", message)
	return nil
}

func (it *newerServer) showRow(ctx context.Context, t *testing.T) map[string]any {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	shown := map[string]any{"event": "none"}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for row, err := range it.client.StreamAudit(ctx, aegis.AuditQuery{Follow: true}) {
			if err != nil {
				return
			}
			shown = map[string]any{
				"event": "row", "outcome": row.Outcome, "risk_level": row.RiskLevel, "approval_mode": row.ApprovalMode,
				"ending_kind": row.Ending.Kind, "result_status": row.Result.Status,
			}
		}
	}()
	cursor := ""
	for cursor == "" {
		select {
		case cursor = <-it.resumed:
		case <-ctx.Done():
			t.Fatal("the stream was not resumed")
		}
	}
	stop()
	<-read
	shown["cursor"] = cursor
	return shown
}

func showDecision(decision *aegis.Decision, err error) map[string]any {
	if err != nil {
		return refused(err)
	}
	return map[string]any{
		"outcome": decision.Outcome, "code": decision.Code, "approval_mode": decision.ApprovalMode, "risk_level": decision.RiskLevel,
		"may_run": decision.Allowed(),
	}
}

// refused is what an answer that is not taken says of its outcome.
func refused(err error) map[string]any {
	failed := (*aegis.Error)(nil)
	if !errors.As(err, &failed) || failed.Reason != aegis.ReasonUnknownOutcome {
		return map[string]any{"error": err}
	}
	return map[string]any{"outcome": unknownValue.FindString(failed.Message), "may_run": false}
}

func showApproval(approval aegis.Approval) map[string]any {
	shown := map[string]any{"state": approval.State, "is_pending": approval.State == aegis.StatePending}
	if approval.Ending != nil {
		shown["ending_kind"] = approval.Ending.Kind
		if approval.Ending.By != nil {
			shown["by"] = approval.Ending.By.Subject
		}
	}
	for _, vote := range approval.Votes {
		shown["verdict"] = vote.Verdict
	}
	return shown
}
