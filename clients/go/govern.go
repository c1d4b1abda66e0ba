package aegis

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/aegis-sidecar/aegis/clients/go/aegisv1"
)

// Causes of a [*DeniedError] that is about a confirmation.
var (
	// ErrNotConfirmed is the cause where the agent's own user did not confirm.
	ErrNotConfirmed = errors.New("the user did not confirm")
	// ErrNoConfirm is the cause where the policy wants the agent's own user to confirm, and there is no [WithConfirm].
	ErrNoConfirm = errors.New("the policy wants the user to confirm, and WithConfirm does not say how to ask")
)

var (
	errAbandoned  = errors.New("the action ended in a panic or runtime.Goexit")
	errCallerGone = errors.New("the caller had stopped waiting")
	errNoAnswer   = errors.New("the answer took too long")
	errHook       = errors.New("a hook, or asking the user, failed")
)

// Hooks are called as an action goes along. What they are given is a copy: they watch, and can turn no answer into
// another. An error of a hook is returned as it is; before the action runs it keeps it from running. With parallelism they
// are called by several goroutines.
type Hooks struct {
	// OnDecision is called with the first answer to every proposal.
	OnDecision func(context.Context, Action, Decision) error
	// OnApproval is called with the answer to a proposal once a reviewer has decided, or the approval has ended otherwise.
	OnApproval func(context.Context, Action, Decision) error
	// OnExecute is called when an action has run, after it was reported.
	OnExecute func(context.Context, Action, Result) error
}

// A Result is what became of an action.
type Result struct {
	// Action is the action.
	Action Action
	// Decision is the answer to its proposal. Nil where there was none.
	Decision *Decision
	// Status is what became of it.
	Status ResultStatus
	// Data is what it returned.
	Data any
	// Err is why it has not worked, or not run: a *DeniedError where it is blocked or denied. Nil on success.
	Err error
	// Attempts is how often it ran.
	Attempts int
	// StartedAt is when it started. Zero where it did not.
	StartedAt time.Time
	// CompletedAt is when it was over.
	CompletedAt time.Time
}

// Govern runs a function if the policy, and whoever it asks, allows the action: it proposes, waits for a reviewer or asks
// the user ([WithConfirm]) where it has to, runs the function, and reports what came of it. It returns what the function
// returns.
//
// Without an ALLOW the function does not run. The error is a [*DeniedError] where the answer is no, also where the context
// ended before a reviewer had answered (then the proposal is withdrawn); an [*InvalidActionError], an [*Error] or a hook's
// own where there is no answer. An error of the function's own is reported and returned as it is. Where the function ran and
// its report failed, there is a [*ReportError] beside its result.
func Govern[T any](
	ctx context.Context, client *Client, action Action, run func(context.Context, Decision) (T, error), options ...CallOption,
) (T, error) {
	execution, err := client.Begin(ctx, action, options...)
	if err != nil {
		var none T
		return none, err
	}
	ended := false
	defer func() {
		if !ended {
			_ = execution.End(ctx, nil, errAbandoned)
		}
	}()
	result, err := run(ctx, execution.Decision.clone())
	ended = true
	return result, joined(err, execution.End(ctx, result, err))
}

// An Execution is an action that may run now. End it when it has run.
type Execution struct {
	// Action is what was proposed.
	Action Action
	// Decision is the ALLOW.
	Decision Decision

	client    *Client
	config    callConfig
	startedAt time.Time
	ended     atomic.Bool
}

// Begin does what [Govern] does before the action runs, for what does not fit into one function: a stream, for example. It
// returns only where the action may run; then run it, and call [Execution.End]. Errors as for [Govern].
func (c *Client) Begin(ctx context.Context, action Action, options ...CallOption) (*Execution, error) {
	return c.begin(ctx, action, c.call.with(options))
}

func (c *Client) begin(ctx context.Context, action Action, config callConfig) (*Execution, error) {
	if config.approvalHandler != nil && config.reviewer == nil {
		return nil, errors.New("aegis: an approval handler answers as a reviewer: give WithApprovalHandler a client with a reviewer's credential")
	}
	if err := ctx.Err(); err != nil {
		return nil, newError(ctx, c.endpoint.text, "Propose", err)
	}
	decision, err := c.proposeOrWithdraw(ctx, action, config)
	if err != nil {
		return nil, err
	}
	action = action.clone()
	decision, err = c.settle(ctx, action, decision, config)
	if err != nil {
		return nil, err
	}
	if cause := ctx.Err(); cause != nil {
		_, err := c.withdraw(ctx, decision, errCallerGone, config)
		return nil, errors.Join(fmt.Errorf("aegis: %s is allowed, and did not run: %w", action, cause), err)
	}
	return &Execution{Action: action, Decision: *decision, client: c, config: config, startedAt: time.Now()}, nil
}

// abandonWithin is how long one attempt takes at most to withdraw what nobody waits for any longer.
const abandonWithin = 5 * time.Second

// proposeOrWithdraw proposes. Where the context ends before the answer is there, or the attempt took too long, the daemon may
// have the proposal all the same, and reviewers be asked: then it is withdrawn.
func (c *Client) proposeOrWithdraw(ctx context.Context, action Action, config callConfig) (*Decision, error) {
	if config.idempotencyKey == "" {
		config.idempotencyKey = newKey()
	}
	decision, err := c.propose(ctx, action, config)
	gone := errCallerGone
	if failed := (*Error)(nil); err != nil && ctx.Err() == nil {
		if !errors.As(err, &failed) || failed.Code != codes.DeadlineExceeded {
			return nil, err
		}
		gone = errNoAnswer
	}
	if err == nil {
		return decision, nil
	}
	// The same key is the same proposal: this finds it, or it is there from now on and withdrawn at once.
	config.retries, config.timeout = 0, min(config.timeout, abandonWithin)
	decision, failed := c.propose(context.WithoutCancel(ctx), action, config)
	if failed == nil {
		_, failed = c.withdraw(ctx, decision, gone, config)
	}
	return nil, joined(err, failed)
}

// settle goes from the first answer to the last: an ALLOW, or an error.
func (c *Client) settle(ctx context.Context, action Action, decision *Decision, config callConfig) (*Decision, error) {
	err := c.watch(ctx, config.hooks.OnDecision, action, decision, config)
	if err != nil {
		return nil, err
	}
	if decision.Outcome == OutcomeRequireConfirmation {
		if decision, err = c.confirm(ctx, action, decision, config); err != nil {
			return nil, err
		}
		if err := c.watch(ctx, config.hooks.OnDecision, action, decision, config); err != nil {
			return nil, err
		}
	}
	var cause error
	if decision.Outcome == OutcomeEscalate {
		if decision, cause, err = c.review(ctx, action, decision, config); err != nil {
			return nil, err
		}
		if err := c.watch(ctx, config.hooks.OnApproval, action, decision, config); err != nil {
			return nil, err
		}
	}
	if decision.Outcome != OutcomeAllow {
		return nil, denied(action, decision, cause)
	}
	return decision, nil
}

type decisionHook = func(context.Context, Action, Decision) error

// watch calls a hook, if there is one. One that fails or panics keeps the action from running, whatever the answer is.
func (c *Client) watch(ctx context.Context, hook decisionHook, action Action, decision *Decision, config callConfig) (err error) {
	if hook == nil {
		return nil
	}
	worked := false
	defer func() {
		if !worked {
			_, failed := c.withdraw(ctx, decision, errHook, config)
			err = joined(err, failed)
		}
	}()
	err = hook(ctx, action.clone(), decision.clone())
	worked = err == nil
	return err
}

// joined is two errors as one; one alone stays as it is.
func joined(first, second error) error {
	if first == nil {
		return second
	}
	if second == nil {
		return first
	}
	return errors.Join(first, second)
}

// denied is the error for an answer that is no.
func denied(action Action, decision *Decision, cause error) *DeniedError {
	status := StatusDenied
	if decision.Approval == ApprovalBlock {
		status = StatusBlocked
	}
	return &DeniedError{Action: action, Decision: *decision, Status: status, Cause: cause}
}

// confirm asks the agent's own user, and proposes again where the answer is yes.
func (c *Client) confirm(ctx context.Context, action Action, decision *Decision, config callConfig) (*Decision, error) {
	refuse := func(cause error) (*Decision, error) {
		withdrawn, err := c.withdraw(ctx, decision, cause, config)
		if err != nil {
			return nil, errors.Join(cause, err)
		}
		return nil, denied(action, withdrawn, cause)
	}
	if config.confirm == nil {
		return refuse(ErrNoConfirm)
	}
	confirmed := false
	ask := func(ctx context.Context, action Action, decision Decision) (err error) {
		confirmed, err = config.confirm(ctx, action, decision)
		return err
	}
	err := c.watch(ctx, ask, action, decision, config)
	if err != nil {
		return nil, err
	}
	if !confirmed {
		return refuse(ErrNotConfirmed)
	}
	config.idempotencyKey, config.confirmationToken = "", decision.ConfirmationToken
	if decision, err = c.proposeOrWithdraw(ctx, action, config); err != nil {
		return nil, err
	}
	if decision.Outcome == OutcomeRequireConfirmation {
		return refuse(errors.New("the policy wants the user to confirm once more"))
	}
	return decision, nil
}

// review waits for a reviewer. Where nobody waits any longer, it withdraws, and the cause says why.
func (c *Client) review(ctx context.Context, action Action, decision *Decision, config callConfig) (ended *Decision, cause error, err error) {
	waiting, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if config.approvalTimeout > 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeoutCause(waiting, config.approvalTimeout, ErrApprovalTimeout)
		defer cancel()
	}
	if config.approvalHandler != nil {
		go func() {
			if err := handle(waiting, config.reviewer, config.approvalHandler, *decision); err != nil {
				stop(&handlerError{err})
			}
		}()
	}
	ended, err = c.wait(waiting, decision.DecisionID, decision.ExpiresAt, config)
	if err == nil {
		return ended, nil, nil
	}
	if waiting.Err() == nil {
		return nil, nil, err
	}
	cause = context.Cause(waiting)
	ended, failed := c.withdrawn(ctx, decision, cause, config)
	if failed != nil {
		return nil, nil, errors.Join(cause, failed)
	}
	if handling := (*handlerError)(nil); errors.As(cause, &handling) && ended.Outcome != OutcomeAllow {
		return nil, nil, fmt.Errorf("aegis: %s waits for nobody any longer: %w", action, cause)
	}
	// A reviewer may have been quicker: then the answer holds, and the caller's context decides whether there is time.
	return ended, cause, nil
}

// withdraw makes sure that nobody approves what will not run, and that the record says that it did not. It does so even
// when the context has ended.
func (c *Client) withdraw(ctx context.Context, decision *Decision, why error, config callConfig) (*Decision, error) {
	decision, err := c.withdrawn(ctx, decision, why, config)
	if err == nil && decision.Outcome == OutcomeAllow {
		report := Report{Status: StatusSkipped, Error: why.Error()}
		_, err = c.report(context.WithoutCancel(ctx), decision.DecisionID, report, nil, config)
	}
	return decision, err
}

// withdrawn is a decision after it was withdrawn, or as it stands where it does not wait for anybody.
func (c *Client) withdrawn(ctx context.Context, decision *Decision, why error, config callConfig) (*Decision, error) {
	if decision.Outcome == OutcomeAllow || decision.Outcome == OutcomeDeny {
		return decision, nil
	}
	ctx = context.WithoutCancel(ctx)
	ended, err := c.cancel(ctx, decision.DecisionID, why.Error(), config)
	if failed := (*Error)(nil); errors.As(err, &failed) && failed.Code == codes.FailedPrecondition {
		return c.await(ctx, decision.DecisionID, 0, config)
	}
	return ended, err
}

// End reports what came of the action: what it returned, or its error. It returns a [*ReportError] where that fails, and
// what the hook OnExecute returns. It reports even when the context has ended. Only the first call counts.
func (e *Execution) End(ctx context.Context, result any, err error) error {
	if err != nil {
		return e.end(ctx, Result{Status: StatusFailed, Err: err})
	}
	return e.end(ctx, Result{Status: StatusSuccess, Data: result})
}

// Skip reports that the action did not run after all, and why.
func (e *Execution) Skip(ctx context.Context, why string) error {
	if e.ended.Swap(true) {
		return nil
	}
	report := Report{Status: StatusSkipped, Error: why}
	_, err := e.client.report(context.WithoutCancel(ctx), e.Decision.DecisionID, report, nil, e.config)
	return err
}

func (e *Execution) end(ctx context.Context, result Result) error {
	if e.ended.Swap(true) {
		return nil
	}
	decision := e.Decision.clone()
	result.Action, result.Decision, result.StartedAt, result.CompletedAt = e.Action.clone(), &decision, e.startedAt, time.Now()
	reported := e.reportResult(context.WithoutCancel(ctx), result)
	if e.config.hooks.OnExecute == nil {
		return reported
	}
	return joined(reported, e.config.hooks.OnExecute(ctx, result.Action, result))
}

func (e *Execution) reportResult(ctx context.Context, result Result) error {
	report := Report{Status: result.Status, Data: result.Data, StartedAt: result.StartedAt, CompletedAt: result.CompletedAt}
	if result.Err != nil {
		report.Error = result.Err.Error()
	}
	if e.config.recordResult != nil {
		report.Data = e.config.recordResult(report.Data)
	}
	data, err := resultValue(report.Data)
	if err != nil {
		data = notRecorded(err)
	}
	_, err = e.client.report(ctx, e.Decision.DecisionID, report, data, e.config)
	if failed := (*Error)(nil); data != nil && errors.As(err, &failed) && failed.Code == codes.InvalidArgument {
		// Too large, or too deep: that it worked is worth more on the record than what it returned.
		_, err = e.client.report(ctx, e.Decision.DecisionID, report, notRecorded(failed), e.config)
	}
	if err != nil {
		return &ReportError{Decision: e.Decision, Report: report, Result: result.Data, Err: err}
	}
	return nil
}

// notRecorded stands on the record for a result that cannot be there.
func notRecorded(err error) *structpb.Value {
	why := structpb.NewStringValue(validText(err.Error()))
	return structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{"not_recorded": why}})
}

// resultValue is what an action returned, as it is sent: nil for nothing.
func resultValue(data any) (*structpb.Value, error) {
	value, err := toValue("data", data)
	if _, null := value.GetKind().(*structpb.Value_NullValue); null {
		return nil, err
	}
	return value, err
}

// report sends a report with data that is converted already.
func (c *Client) report(ctx context.Context, decisionID string, report Report, data *structpb.Value, config callConfig) (string, error) {
	status, err := toProto(resultStatuses, "status", report.Status)
	if err != nil {
		return "", err
	}
	answer, err := call(ctx, c, config, "ReportResult", c.governance.ReportResult, &aegisv1.ReportResultRequest{
		DecisionId:  decisionID,
		Status:      status,
		Data:        data,
		Error:       validText(cut(report.Error)),
		StartedAt:   timeToProto(report.StartedAt),
		CompletedAt: timeToProto(report.CompletedAt),
	})
	if err != nil {
		return "", err
	}
	return answer.GetAuditRef(), nil
}

// Wrap makes a function that is governed: see [Govern]. The action is made of the argument.
func Wrap[Argument, T any](
	client *Client, describe func(Argument) Action, run func(context.Context, Argument) (T, error), options ...CallOption,
) func(context.Context, Argument) (T, error) {
	return func(ctx context.Context, argument Argument) (T, error) {
		return Govern(ctx, client, describe(argument), func(ctx context.Context, _ Decision) (T, error) {
			return run(ctx, argument)
		}, options...)
	}
}
