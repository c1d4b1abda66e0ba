package aegis

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"

	"google.golang.org/grpc/codes"

	"github.com/aegis-sidecar/aegis/clients/go/aegisv1"
)

// An ApprovalHandler answers an approval, as a reviewer: see [WithApprovalHandler]. It ends when its context ends, as then
// somebody else has answered or nobody waits any longer. Where it returns an error nobody has answered, and the proposal
// is withdrawn.
type ApprovalHandler func(context.Context, Approval) (ApprovalAnswer, error)

// A ApprovalAnswer is what an [ApprovalHandler] answers. The zero value says no.
type ApprovalAnswer struct {
	// Approved says yes.
	Approved bool
	// Reason says why, for the record and the agent.
	Reason string
}

// A handlerError is an error of an approval handler.
type handlerError struct{ err error }

func (e *handlerError) Error() string { return "the approval handler failed: " + e.err.Error() }
func (e *handlerError) Unwrap() error { return e.err }

// handle has a handler answer the approval that a decision waits for.
func handle(ctx context.Context, reviewer *Client, handler ApprovalHandler, decision Decision) error {
	approval, err := reviewer.GetApproval(ctx, decision.ApprovalID)
	if err != nil {
		return err
	}
	if approval.DecisionID != decision.DecisionID || approval.ActionDigest != decision.ActionDigest {
		return fmt.Errorf("the approval %s is about another action than was proposed", approval.ApprovalID)
	}
	verdict, err := handler(ctx, *approval)
	if err != nil {
		return err
	}
	if verdict.Approved {
		_, err = reviewer.Approve(ctx, *approval, verdict.Reason)
	} else {
		_, err = reviewer.Deny(ctx, *approval, verdict.Reason)
	}
	// Somebody else, or the clock, was quicker: whoever waits learns of it.
	if failed := (*Error)(nil); errors.As(err, &failed) && failed.Code == codes.FailedPrecondition && !failed.has(aegisv1.ErrorReason_ERROR_REASON_DIGEST_MISMATCH) {
		return nil
	}
	return err
}

// CLIApprovalHandler asks on a terminal, one approval after the other, until the answer is yes or no. Text that an agent
// controls is shown with its control and bidirectional characters visible.
func CLIApprovalHandler(in io.Reader, out io.Writer) ApprovalHandler {
	var turn sync.Mutex
	lines := bufio.NewScanner(in)
	return func(ctx context.Context, approval Approval) (ApprovalAnswer, error) {
		turn.Lock()
		defer turn.Unlock()
		// It may have been answered while others were asked about.
		if err := ctx.Err(); err != nil {
			return ApprovalAnswer{}, err
		}
		if _, err := io.WriteString(out, describe(approval)); err != nil {
			return ApprovalAnswer{}, err
		}
		for {
			if _, err := io.WriteString(out, "Approve? [y/n] "); err != nil {
				return ApprovalAnswer{}, err
			}
			if !lines.Scan() {
				return ApprovalAnswer{}, errors.Join(errors.New("the input ended before there was an answer"), lines.Err())
			}
			switch strings.ToLower(strings.TrimSpace(lines.Text())) {
			case "y", "yes":
				return ApprovalAnswer{Approved: true}, nil
			case "n", "no":
				return ApprovalAnswer{Reason: "Denied by human operator"}, nil
			}
		}
	}
}

func describe(approval Approval) string {
	var text strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&text, "  %-12s %s\n", name, visible(value))
		}
	}
	fmt.Fprintf(&text, "\nAn agent asks (%s risk):\n", approval.RiskLevel)
	line("action", approval.Action.Type)
	line("target", approval.Action.Target)
	if len(approval.Action.Params) > 0 {
		params, err := json.Marshal(approval.Action.Params)
		if err != nil {
			params = []byte(err.Error())
		}
		line("params", string(params))
	}
	line("description", approval.Action.Description)
	line("actor", approval.Actor.ID)
	line("identity", approval.Identity.Subject)
	line("rule", approval.MatchedRule)
	line("reason", approval.Reason)
	line("expires", approval.ExpiresAt.Local().Format("15:04:05"))
	return text.String()
}

// visible shows what a terminal would not show, or would act on.
func visible(text string) string {
	var shown strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) {
			shown.WriteRune(r)
		} else {
			fmt.Fprintf(&shown, "\\u{%X}", r)
		}
	}
	return shown.String()
}
