package aegis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
)

// Causes of a [*DeniedError] that is about a confirmation.
var (
	// ErrNotConfirmed is the cause where the agent's own user did not confirm.
	ErrNotConfirmed = errors.New("the user did not confirm")
	// ErrNoConfirm is the cause where the policy wants the agent's own user to confirm, and there is no [WithConfirm].
	ErrNoConfirm = errors.New("the policy wants the user to confirm, and WithConfirm does not say how to ask")
)

var (
	errCallerGone = errors.New("the caller had stopped waiting")
	errNoAnswer   = errors.New("the answer took too long")
	errHook       = errors.New("a hook, or asking the user, failed")
)

// abandonWithin is how long one attempt takes at most to withdraw what nobody waits for any longer.
const abandonWithin = 5 * time.Second

// begin takes an action from what the caller gave to where it may run: every way to run one goes through here.
func (c *Client) begin(ctx context.Context, action Action, config callConfig) (*Execution, error) {
	if config.approvalHandler != nil && config.reviewer == nil {
		return nil, errNoReviewer
	}
	if err := ctx.Err(); err != nil {
		return nil, newError(ctx, c.endpoint.text, "Propose", err)
	}
	proposed, err := newProposal(action, config)
	if err != nil {
		return nil, err
	}
	decision, err := c.proposeOrWithdraw(ctx, proposed, config)
	if err != nil {
		return nil, err
	}
	decision, err = c.settle(ctx, proposed, decision, config)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		_, err := c.withdraw(ctx, proposed, decision, errCallerGone, config)
		return nil, joined(fmt.Errorf("aegis: %s is allowed, and did not run: %w", proposed.action, endOf(ctx)), err)
	}
	if err := proposed.unchanged(); err != nil {
		_, failed := c.withdraw(ctx, proposed, decision, ErrChanged, config)
		return nil, joined(err, failed)
	}
	return &Execution{
		Action: proposed.copy(), Decision: decision.clone(),
		client: c, config: config, proposed: proposed, decision: *decision, startedAt: time.Now(),
	}, nil
}

// proposeOrWithdraw proposes. Where the context ends before the answer is there, or the attempt took too long, the daemon may
// have the proposal all the same, and reviewers be asked: then it is withdrawn.
func (c *Client) proposeOrWithdraw(ctx context.Context, proposed *proposal, config callConfig) (*Decision, error) {
	shared := config.idempotencyKey != ""
	if !shared {
		config.idempotencyKey = newKey()
	}
	decision, retried, err := c.propose(ctx, proposed, config)
	gone := errCallerGone
	if failed := (*Error)(nil); err != nil && ctx.Err() == nil {
		if !errors.As(err, &failed) || failed.Code != codes.DeadlineExceeded {
			return nil, err
		}
		gone = errNoAnswer
	}
	if err == nil {
		if claimed := decision.Replayed && !retried; claimed && decision.mayRun() {
			return nil, &AlreadyClaimedError{Action: proposed.copy(), Decision: decision.clone()}
		}
		return decision, nil
	}
	// The same key is the same proposal: this finds it, or it is there from now on and withdrawn at once.
	config.retries, config.timeout = 0, min(config.timeout, abandonWithin)
	decision, _, failed := c.propose(context.WithoutCancel(ctx), proposed, config)
	// Whoever else has the caller's key may run what is allowed by now: that it did not run is not for this call to say.
	if anothers := failed == nil && shared && decision.Replayed && decision.Outcome == OutcomeAllow; failed == nil && !anothers {
		_, failed = c.withdraw(ctx, proposed, decision, gone, config)
	}
	return nil, joined(err, failed)
}

// mayRun says whether the action may run, now or when a reviewer says so. A confirmation is a proposal of its own.
func (d *Decision) mayRun() bool { return d.Outcome == OutcomeAllow || d.Outcome == OutcomeEscalate }

// settle goes from the first answer to the last: an ALLOW, or an error.
func (c *Client) settle(ctx context.Context, proposed *proposal, decision *Decision, config callConfig) (*Decision, error) {
	err := c.watch(ctx, config.hooks.OnDecision, proposed, decision, config)
	if err != nil {
		return nil, err
	}
	if decision.Outcome == OutcomeRequireConfirmation {
		if decision, err = c.confirm(ctx, proposed, decision, config); err != nil {
			return nil, err
		}
		if err := c.watch(ctx, config.hooks.OnDecision, proposed, decision, config); err != nil {
			return nil, err
		}
	}
	var cause error
	if decision.Outcome == OutcomeEscalate {
		if decision, cause, err = c.review(ctx, proposed, decision, config); err != nil {
			return nil, err
		}
		if err := c.watch(ctx, config.hooks.OnApproval, proposed, decision, config); err != nil {
			return nil, err
		}
	}
	if decision.Code == CodeAlreadyReported && decision.Result != nil {
		return nil, &AlreadyReportedError{Action: proposed.copy(), Decision: decision.clone(), Result: *decision.clone().Result}
	}
	if decision.Outcome != OutcomeAllow {
		return nil, denied(proposed.copy(), decision, cause)
	}
	return decision, nil
}

type decisionHook = func(context.Context, Action, Decision) error

// watch calls a hook, if there is one. One that fails or panics keeps the action from running, whatever the answer is.
func (c *Client) watch(ctx context.Context, hook decisionHook, proposed *proposal, decision *Decision, config callConfig) (err error) {
	if hook == nil {
		return nil
	}
	worked := false
	defer func() {
		if !worked {
			_, failed := c.withdraw(ctx, proposed, decision, errHook, config)
			err = joined(err, failed)
		}
	}()
	err = hook(ctx, proposed.copy(), decision.clone())
	worked = err == nil
	return err
}

// denied is the error for an answer that is no.
func denied(action Action, decision *Decision, cause error) *DeniedError {
	status := StatusDenied
	if decision.ApprovalMode == ApprovalBlock {
		status = StatusBlocked
	}
	return &DeniedError{Action: action, Decision: *decision, Status: status, Cause: cause}
}

// confirm asks the agent's own user, and proposes again where the answer is yes.
func (c *Client) confirm(ctx context.Context, proposed *proposal, decision *Decision, config callConfig) (*Decision, error) {
	refuse := func(cause error) (*Decision, error) {
		withdrawn, err := c.withdraw(ctx, proposed, decision, cause, config)
		if err != nil {
			return nil, errors.Join(cause, err)
		}
		return nil, denied(proposed.copy(), withdrawn, cause)
	}
	if config.confirm == nil {
		return refuse(ErrNoConfirm)
	}
	confirmed := false
	ask := func(ctx context.Context, action Action, decision Decision) (err error) {
		confirmed, err = config.confirm(ctx, action, decision)
		return err
	}
	err := c.watch(ctx, ask, proposed, decision, config)
	if err != nil {
		return nil, err
	}
	if !confirmed {
		return refuse(ErrNotConfirmed)
	}
	// A key of the caller's stays: of two calls with it, the daemon lets one redeem the token.
	config.confirmationToken = decision.ConfirmationToken
	if decision, err = c.proposeOrWithdraw(ctx, proposed, config); err != nil {
		return nil, err
	}
	if decision.Outcome == OutcomeRequireConfirmation {
		return refuse(errors.New("the policy wants the user to confirm once more"))
	}
	return decision, nil
}

// review waits for a reviewer. Where nobody waits any longer, it withdraws, and the cause says why.
func (c *Client) review(
	ctx context.Context, proposed *proposal, decision *Decision, config callConfig,
) (ended *Decision, cause error, err error) {
	waiting, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if config.approvalTimeout > 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeoutCause(waiting, config.approvalTimeout, ErrApprovalTimeout)
		defer cancel()
	}
	// Whoever looks at the log of an agent that seems to hang learns what it waits for, and what to answer.
	log := config.log().With("approval_id", decision.ApprovalID, "decision_id", decision.DecisionID, "action", visible(proposed.action.String()))
	log.InfoContext(ctx, "aegis: waiting for a reviewer; `aegis review` answers", "expires_at", decision.ExpiresAt)
	if config.approvalHandler != nil {
		go func() {
			if err := handle(waiting, config.reviewer, config.approvalHandler, *decision); err != nil {
				stop(&handlerError{err})
			}
		}()
	}
	ended, err = c.wait(waiting, proposed.asked(decision), decision.ExpiresAt, config)
	if err == nil {
		log.InfoContext(ctx, "aegis: the wait for a reviewer is over", "outcome", ended.Outcome)
		return ended, nil, nil
	}
	if waiting.Err() == nil {
		log.WarnContext(ctx, "aegis: the wait for a reviewer failed", "error", err)
		return nil, nil, err
	}
	cause = context.Cause(waiting)
	if ctx.Err() != nil {
		cause = endOf(ctx)
	}
	log.InfoContext(ctx, "aegis: nobody waits for a reviewer any longer", "cause", cause)
	ended, failed := c.withdrawn(ctx, proposed, decision, cause, config)
	if failed != nil {
		return nil, nil, errors.Join(cause, failed)
	}
	if handling := (*handlerError)(nil); errors.As(cause, &handling) && ended.Outcome != OutcomeAllow {
		return nil, nil, fmt.Errorf("aegis: %s waits for nobody any longer: %w", proposed.action, cause)
	}
	// A reviewer may have been quicker: then the answer holds, and the caller's context decides whether there is time.
	return ended, cause, nil
}

// withdraw makes sure that nobody approves what will not run, and that the record says that it did not. It does so even
// when the context has ended.
func (c *Client) withdraw(ctx context.Context, proposed *proposal, decision *Decision, why error, config callConfig) (*Decision, error) {
	decision, err := c.withdrawn(ctx, proposed, decision, why, config)
	if err == nil && decision.Outcome == OutcomeAllow {
		report := Report{Status: StatusSkipped, Error: why.Error()}
		_, err = c.report(context.WithoutCancel(ctx), decision.DecisionID, report, nil, config)
	}
	return decision, err
}

// withdrawn is a decision after it was withdrawn, or as it stands where it does not wait for anybody.
func (c *Client) withdrawn(ctx context.Context, proposed *proposal, decision *Decision, why error, config callConfig) (*Decision, error) {
	if decision.Outcome == OutcomeAllow || decision.Outcome == OutcomeDeny {
		return decision, nil
	}
	ctx = context.WithoutCancel(ctx)
	ended, err := c.cancel(ctx, proposed.asked(decision), why.Error(), config)
	if failed := (*Error)(nil); errors.As(err, &failed) && failed.Code == codes.FailedPrecondition {
		return c.await(ctx, proposed.asked(decision), 0, config)
	}
	return ended, err
}
