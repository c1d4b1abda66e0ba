package aegis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/aegis-sidecar/aegis/clients/go/aegisv1"
)

const (
	// awaitFor is how long one call waits for a reviewer; [Client.Wait] makes as many as it takes.
	awaitFor = time.Minute
	// awaitGrace is how long after the expiry of an approval a daemon that is gone may come back and say how it ended.
	awaitGrace = 30 * time.Second
)

// Propose asks whether an action may run. It does not wait for a reviewer: the outcome may be [OutcomeEscalate], and
// [Client.Wait] waits. A DENY is a decision, not an error, but with [WithDenialAsError].
//
// Errors: [*InvalidActionError], [*Error]. Then nothing is known about the action: do not run it.
func (c *Client) Propose(ctx context.Context, action Action, options ...CallOption) (*Decision, error) {
	config, err := c.configure(ctx, options)
	if err != nil {
		return nil, err
	}
	proposed, err := newProposal(action, config)
	if err != nil {
		return nil, err
	}
	decision, _, err := c.propose(ctx, proposed, config)
	return orDenied(proposed.action, decision, err, config)
}

// orDenied is an answer, as an error where it is no and that is asked for.
func orDenied(action Action, decision *Decision, err error, config callConfig) (*Decision, error) {
	if err == nil && config.denialAsError && decision.Outcome == OutcomeDeny {
		return nil, denied(action, decision, nil)
	}
	return decision, err
}

// propose is Propose. It says as well whether an earlier attempt of this very call may have been the one that was answered first.
func (c *Client) propose(ctx context.Context, proposed *proposal, config callConfig) (decision *Decision, retried bool, err error) {
	key := config.idempotencyKey
	if key == "" {
		key = newKey()
	}
	answer, attempts, err := attempt(ctx, c, config, "Propose", c.governance.Propose, &aegisv1.ProposeRequest{
		Actor:             config.actor.proto(),
		Action:            proposed.sent,
		Context:           &aegisv1.ProposalContext{SessionId: config.sessionID, Metadata: proposed.metadata},
		IdempotencyKey:    key,
		ConfirmationToken: config.confirmationToken,
	})
	if err != nil {
		return nil, attempts > 1, err
	}
	decision, err = accept("Propose", answer.GetDecision(), asked{canonical: proposed.canonical})
	return decision, attempts > 1, err
}

func (a Actor) proto() *aegisv1.Actor { return &aegisv1.Actor{Id: a.ID, Type: a.Type} }

// Evaluate asks what the policy would answer: nobody is asked, and nothing is recorded.
func (c *Client) Evaluate(ctx context.Context, action Action, options ...CallOption) (*Evaluation, error) {
	evaluations, err := c.EvaluateMany(ctx, []Action{action}, options...)
	if err != nil {
		return nil, err
	}
	return &evaluations[0], nil
}

// EvaluateMany asks what the policy would answer for each of up to 1,000 actions, all under one revision of it. The
// answers come in the order of the actions. An [*InvalidActionError] names the action as "actions[1]", from 0.
func (c *Client) EvaluateMany(ctx context.Context, actions []Action, options ...CallOption) ([]Evaluation, error) {
	config, err := c.configure(ctx, options)
	if err != nil {
		return nil, err
	}
	request := &aegisv1.EvaluateRequest{At: timeToProto(config.at), Explain: config.explain}
	for i, action := range actions {
		proposed, err := action.proto()
		if invalid := (*InvalidActionError)(nil); errors.As(err, &invalid) && len(actions) > 1 {
			return nil, &InvalidActionError{Path: fmt.Sprintf("actions[%d].%s", i, invalid.Path), Problem: invalid.Problem}
		}
		if err != nil {
			return nil, err
		}
		request.Items = append(request.Items, &aegisv1.EvaluateItem{Actor: config.actor.proto(), Action: proposed})
	}
	answer, err := call(ctx, c, config, "Evaluate", c.governance.Evaluate, request)
	if err != nil {
		return nil, err
	}
	if got := len(answer.GetEvaluations()); got != len(actions) {
		return nil, unknownOutcome("Evaluate", fmt.Sprintf("%d actions were answered with %d evaluations", len(actions), got))
	}
	evaluations := make([]Evaluation, len(actions))
	for i, answered := range answer.GetEvaluations() {
		evaluation, err := evaluationFromProto(answered, answer.GetPolicyRevision())
		if err != nil {
			return nil, err
		}
		evaluations[i] = *evaluation
	}
	return evaluations, nil
}

// Wait waits until a decision is no longer [OutcomeEscalate]: a reviewer has answered, the approval has expired, or it was
// withdrawn. It goes on by itself when the connection is lost or the daemon restarts, until the context ends or, where no
// daemon answers any longer, until the approval has expired. The proposal stays as it is when the context ends first: Wait
// may be called again, or [Client.Cancel].
func (c *Client) Wait(ctx context.Context, decisionID string, options ...CallOption) (*Decision, error) {
	config, err := c.configure(ctx, options)
	if err != nil {
		return nil, err
	}
	decision, err := c.wait(ctx, asked{decisionID: decisionID}, time.Time{}, config)
	return orDenied(Action{Type: decisionID}, decision, err, config)
}

// wait is Wait. The expiry is zero where it is not known yet.
func (c *Client) wait(ctx context.Context, about asked, expiresAt time.Time, config callConfig) (*Decision, error) {
	for failures := 0; ; {
		began := time.Now()
		decision, err := c.await(ctx, about, awaitFor, config)
		if err == nil {
			if decision.Outcome != OutcomeEscalate {
				return decision, nil
			}
			failures, expiresAt, about = 0, decision.ExpiresAt, about.then(decision)
			// A daemon that is asked to stop answers early; it is not asked at once again.
			if time.Since(began) < time.Second && !pause(ctx, 200*time.Millisecond, 0) {
				return nil, newError(ctx, c.endpoint.text, "AwaitDecision", ctx.Err())
			}
			continue
		}
		failed := (*Error)(nil)
		if !errors.As(err, &failed) || ctx.Err() != nil {
			return nil, err
		}
		// Waiting changes nothing, so that a call which hung may be repeated as well.
		if !failed.transient() && failed.Code != codes.DeadlineExceeded {
			return nil, err
		}
		heardOf := !expiresAt.IsZero()
		if !heardOf && failures >= config.retries || heardOf && time.Now().After(expiresAt.Add(awaitGrace)) {
			return nil, err
		}
		if !failed.pause(ctx, config.retryDelay, failures) {
			return nil, newError(ctx, c.endpoint.text, "AwaitDecision", ctx.Err())
		}
		failures++
	}
}

// await asks once for a decision as it stands, and lets the daemon wait for a reviewer for so long before it answers.
func (c *Client) await(ctx context.Context, about asked, wait time.Duration, config callConfig) (*Decision, error) {
	request := &aegisv1.AwaitDecisionRequest{DecisionId: about.decisionID, Wait: durationpb.New(wait)}
	answer, failed := once(ctx, c, wait+config.timeout, "AwaitDecision", c.governance.AwaitDecision, request)
	if failed != nil {
		return nil, failed
	}
	return accept("AwaitDecision", answer.GetDecision(), about)
}

// A Report says what came of an allowed action.
type Report struct {
	// Status is [StatusSuccess], [StatusFailed], [StatusSkipped] or [StatusRolledBack]. Required.
	Status ResultStatus
	// Data is what the action returned, for the record: what JSON can hold exactly, as in [Action.Params].
	Data any
	// Error is what went wrong, for the record.
	Error string
	// StartedAt is when the action started. May be zero.
	StartedAt time.Time
	// CompletedAt is when it was over. May be zero.
	CompletedAt time.Time
}

// Report says what came of an action that was allowed, and returns the record that holds the report. The same report again
// returns the same record; another report is an error.
func (c *Client) Report(ctx context.Context, decisionID string, report Report, options ...CallOption) (string, error) {
	config, err := c.configure(ctx, options)
	if err != nil {
		return "", err
	}
	data, err := resultValue(report.Data)
	if err != nil {
		return "", err
	}
	return c.report(ctx, decisionID, report, data, config)
}

// Cancel withdraws a proposal that still waits for a reviewer or a confirmation, and returns the decision as it stands
// then: DENY. There is an [*Error] with FAILED_PRECONDITION where it does not wait any longer.
func (c *Client) Cancel(ctx context.Context, decisionID, reason string, options ...CallOption) (*Decision, error) {
	config, err := c.configure(ctx, options)
	if err != nil {
		return nil, err
	}
	return c.cancel(ctx, asked{decisionID: decisionID}, reason, config)
}

func (c *Client) cancel(ctx context.Context, about asked, reason string, config callConfig) (*Decision, error) {
	request := &aegisv1.CancelProposalRequest{DecisionId: about.decisionID, Reason: validText(cut(reason))}
	for attempt := 0; ; attempt++ {
		answer, failed := once(ctx, c, config.timeout, "CancelProposal", c.governance.CancelProposal, request)
		if failed == nil {
			return accept("CancelProposal", answer.GetDecision(), about)
		}
		if attempt > 0 && failed.Code == codes.FailedPrecondition {
			// The answer to an earlier attempt was lost: it may have been this one that withdrew.
			if decision, err := c.await(ctx, about, 0, config); err == nil && decision.Outcome == OutcomeDeny {
				return decision, nil
			}
		}
		if !failed.transient() || attempt >= config.retries || !failed.pause(ctx, config.retryDelay, attempt) {
			return nil, failed
		}
	}
}
