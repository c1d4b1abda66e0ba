package aegis

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"sync"
	"time"
)

// An Executor runs actions, in this process. With parallelism it is called by several goroutines.
type Executor interface {
	// Execute runs an action that is allowed, and returns its result for the record.
	Execute(context.Context, Action) (any, error)
}

// An ExecutorFunc is a function that is an [Executor].
type ExecutorFunc func(context.Context, Action) (any, error)

// Execute calls the function.
func (f ExecutorFunc) Execute(ctx context.Context, action Action) (any, error) { return f(ctx, action) }

// A Verifier is an [Executor] that looks whether an action that ran without an error has worked.
type Verifier interface {
	// Verify says whether an action has worked. Where it has not, the action counts as failed, and its result is kept.
	Verify(ctx context.Context, action Action, result any) (bool, error)
}

// Why actions of a plan have not worked, or not run: see [Result.Err].
var (
	// ErrVerification: the action ran, and its verification says that it has not worked.
	ErrVerification = errors.New("post-execution verification failed")
	// ErrSkipped: an earlier action failed or was denied.
	ErrSkipped = errors.New("skipped due to prior failure")
)

// A RuntimeOption sets up a [Runtime]: see [NewRuntime]. Every [CallOption] is one.
type RuntimeOption interface{ applyToRuntime(*runtimeConfig) }

type runtimeConfig struct {
	call         []CallOption
	retries      int
	retryBackoff time.Duration
	rollback     func(Action, error) (Action, bool)
	parallelism  int
	auditor      *Client
}

type runtimeOption func(*runtimeConfig)

func (o runtimeOption) applyToRuntime(c *runtimeConfig) { o(c) }

// WithActionRetries is how often an action that returned an error runs again, under the one decision that allowed it, and
// how long to wait before: the backoff doubles with each, up to 30 s, with jitter. Default: not at all. ([WithRetries] is
// about calls of the daemon.)
func WithActionRetries(retries int, backoff time.Duration) RuntimeOption {
	return runtimeOption(func(c *runtimeConfig) { c.retries, c.retryBackoff = retries, backoff })
}

// WithRollback says how to undo an action that failed: the action that does so, or false where there is none. It is
// proposed and recorded like any other, and runs only if it is allowed. Default: nothing is undone.
func WithRollback(rollback func(failed Action, why error) (Action, bool)) RuntimeOption {
	return runtimeOption(func(c *runtimeConfig) { c.rollback = rollback })
}

// WithParallelism is how many actions of a plan may be under way at once. They begin in order; when one fails, those that
// have not begun are skipped. Default: 1.
func WithParallelism(actions int) RuntimeOption {
	return runtimeOption(func(c *runtimeConfig) { c.parallelism = actions })
}

// WithAuditor is the client that [Runtime.Audit] reads the record with. It needs an auditor's credential.
func WithAuditor(auditor *Client) RuntimeOption {
	return runtimeOption(func(c *runtimeConfig) { c.auditor = auditor })
}

// A Runtime plans and executes actions, each as [Govern] does. It may be used by any number of goroutines.
type Runtime struct {
	client   *Client
	executor Executor
	config   runtimeConfig
	call     callConfig
}

// NewRuntime makes a runtime that proposes over a client and runs with an executor. Closing the client is the caller's.
// Without a session ([WithSession]), given here or to the client, it makes one up.
func NewRuntime(client *Client, executor Executor, options ...RuntimeOption) (*Runtime, error) {
	config := runtimeConfig{parallelism: 1}
	for _, option := range options {
		if option == nil {
			return nil, errNilOption
		}
		option.applyToRuntime(&config)
	}
	call, err := client.configure(context.Background(), config.call)
	switch {
	case err != nil:
		return nil, err
	case executor == nil || isNilFunc(executor):
		return nil, errors.New("aegis: a runtime needs an executor")
	case config.parallelism < 1:
		return nil, fmt.Errorf("aegis: a parallelism of %d runs nothing: 1 runs one action after the other", config.parallelism)
	case call.idempotencyKey != "" || call.confirmationToken != "":
		return nil, errors.New("aegis: an idempotency key and a confirmation token belong to one run, not to a runtime: " +
			"give RunOne or Execute the key")
	case call.approvalHandler != nil && call.reviewer == nil:
		return nil, errNoReviewer
	case config.retries < 0 || config.retryBackoff < 0:
		return nil, fmt.Errorf("aegis: WithActionRetries(%d, %s): give 0, or more", config.retries, config.retryBackoff)
	}
	if call.sessionID == "" {
		call.sessionID = newKey()[:12]
	}
	return &Runtime{client: client, executor: executor, config: config, call: call}, nil
}

func isNilFunc(executor Executor) bool {
	function, ok := executor.(ExecutorFunc)
	return ok && function == nil
}

// SessionID is the session of everything that this runtime proposes.
func (r *Runtime) SessionID() string { return r.call.sessionID }

// Plan asks what the policy would answer for each of up to 1,000 actions. Nothing is proposed, and nothing runs.
func (r *Runtime) Plan(ctx context.Context, actions ...Action) (*Plan, error) {
	plan := &Plan{}
	if len(actions) == 0 {
		return plan, nil
	}
	evaluations, err := r.client.EvaluateMany(ctx, actions, r.config.call...)
	if err != nil {
		return nil, err
	}
	for i, action := range actions {
		plan.Steps = append(plan.Steps, Step{Action: action.clone(), Evaluation: evaluations[i]})
	}
	return plan, nil
}

// Execute goes through the actions of a plan in order. Each is proposed anew: the policy that is in force then decides. A
// blocked action does not end the plan; one that fails or is denied does, and what comes after is proposed and at once
// reported as skipped, so that the record has it.
//
// The results are in the order of the plan, one for each action. There is an error only where governance itself did not
// work: a call failed, a report failed, a hook failed. It ends the plan as well. What became of the actions is in the
// results.
//
// The options are for this execution. With [WithIdempotencyKey] it can be taken up again, after a crash for example, by a runtime
// with the same session: the action at place i, from 0, is proposed with the key and "/i". What is reported already does not run
// again: its result is that of the record, with no attempts. What an earlier execution may still run ends the plan with an
// [*AlreadyClaimedError].
func (r *Runtime) Execute(ctx context.Context, plan *Plan, options ...CallOption) ([]Result, error) {
	if plan == nil {
		return nil, errors.New("aegis: the plan is nil: make one with Plan")
	}
	call, err := r.call.with(options)
	if err != nil {
		return nil, err
	}
	// The plan as it is now, whoever changes it while a reviewer thinks.
	actions := make([]Action, len(plan.Steps))
	for i, step := range plan.Steps {
		actions[i] = step.Action.clone()
	}
	run := execution{runtime: r, call: call, results: make([]Result, len(actions))}
	if r.config.parallelism == 1 {
		for i, action := range actions {
			run.step(ctx, i, action)
		}
		return run.results, run.err
	}
	free := make(chan struct{}, r.config.parallelism)
	var under sync.WaitGroup
	for i, action := range actions {
		free <- struct{}{}
		under.Go(func() {
			defer func() { <-free }()
			run.step(ctx, i, action)
		})
	}
	under.Wait()
	return run.results, run.err
}

// RunOne proposes and runs one action. The error is as for [Runtime.Execute]; what became of the action is in the result.
//
// The options are for this action: [WithIdempotencyKey] makes two calls one run, where both have the same session.
func (r *Runtime) RunOne(ctx context.Context, action Action, options ...CallOption) (Result, error) {
	call, err := r.call.with(options)
	if err != nil {
		return Result{Action: action, Status: StatusSkipped, Err: err}, err
	}
	return r.run(ctx, action, call, r.config.rollback)
}

// Audit reads the record, with the auditor's client of [WithAuditor]: see [Client.StreamAudit]. Without a session in the
// query it gives rows of this runtime's.
func (r *Runtime) Audit(ctx context.Context, query AuditQuery) iter.Seq2[AuditRow, error] {
	if r.config.auditor == nil {
		return func(yield func(AuditRow, error) bool) {
			yield(AuditRow{}, errors.New("aegis: the record is for auditors: give the runtime WithAuditor, a client with such a credential"))
		}
	}
	if query.SessionID == "" {
		query.SessionID = r.SessionID()
	}
	return r.config.auditor.StreamAudit(ctx, query)
}

// An execution is one walk through a plan.
type execution struct {
	runtime *Runtime
	call    callConfig
	results []Result

	lock sync.Mutex
	// stopped is set once an action has failed or was denied.
	stopped bool
	// gone is set once a call has failed: what is skipped then is not proposed any longer.
	gone bool
	// err is what has gone wrong with governance itself.
	err error
}

func (e *execution) step(ctx context.Context, i int, action Action) {
	e.lock.Lock()
	stopped, gone := e.stopped, e.gone
	e.lock.Unlock()
	// What it counts as if the executor ends the goroutine.
	result, err := Result{Action: action, Status: StatusFailed, Err: errAbandoned}, error(nil)
	defer func() { e.note(i, result, err) }()
	switch {
	case gone:
		result = Result{Action: action, Status: StatusSkipped, Err: ErrSkipped}
	case stopped:
		result, err = e.runtime.skip(ctx, action)
	default:
		call := e.call
		if call.idempotencyKey != "" {
			call.idempotencyKey = fmt.Sprintf("%s/%d", call.idempotencyKey, i)
		}
		result, err = e.runtime.run(ctx, action, call, e.runtime.config.rollback)
	}
}

// note keeps a result, and what follows from it for the actions that come after.
func (e *execution) note(i int, result Result, err error) {
	e.lock.Lock()
	defer e.lock.Unlock()
	e.results[i] = result
	e.stopped = e.stopped || err != nil || result.Status != StatusSuccess && result.Status != StatusBlocked
	if failed := (*Error)(nil); errors.As(err, &failed) && !errors.Is(failed, ErrGovernance) {
		e.gone = true
	}
	e.err = joined(e.err, err)
}

// skip proposes an action that will not run, so that the record has it.
func (r *Runtime) skip(ctx context.Context, action Action) (Result, error) {
	result := Result{Action: action, Status: StatusSkipped, Err: ErrSkipped}
	proposed, err := newProposal(action, r.call)
	if err != nil {
		return result, err
	}
	decision, _, err := r.client.propose(ctx, proposed, r.call)
	if err != nil {
		return result, err
	}
	result.Decision = decision
	_, err = r.client.withdraw(ctx, proposed, decision, ErrSkipped, r.call)
	return result, err
}

// run proposes an action and runs it.
func (r *Runtime) run(
	ctx context.Context, action Action, call callConfig, rollback func(Action, error) (Action, bool),
) (Result, error) {
	execution, err := r.client.begin(ctx, action, call)
	if reported, ok := err.(*AlreadyReportedError); ok {
		return reported.asResult(), nil
	}
	if no := (*DeniedError)(nil); errors.As(err, &no) {
		decision := no.Decision
		return Result{Action: action, Decision: &decision, Status: no.Status, Err: no}, nil
	}
	if err != nil {
		return Result{Action: action, Status: StatusSkipped, Err: err}, err
	}
	proposed := execution.proposed
	result := Result{Action: execution.Action, Decision: &execution.Decision, StartedAt: execution.startedAt}
	defer execution.abandon(ctx)
	for {
		if err := proposed.unchanged(); err != nil {
			result.Err = err
			break
		}
		result.Attempts++
		result.Data, result.Err = r.executor.Execute(ctx, proposed.copy())
		if result.Err == nil && isIterator(reflect.TypeOf(result.Data)) {
			result.Data, result.Err = nil, errIterator
		}
		if result.Err == nil || result.Attempts > r.config.retries || !pause(ctx, r.config.retryBackoff, result.Attempts-1) {
			break
		}
	}
	if result.Err == nil {
		result.Err = r.verify(ctx, proposed, result.Data)
	}
	result.Status = StatusSuccess
	var undone error
	if result.Err != nil {
		result.Status, undone = r.undo(ctx, proposed, result.Err, rollback)
	}
	ended := execution.end(ctx, result)
	result.CompletedAt = time.Now()
	return result, joined(undone, ended)
}

func (r *Runtime) verify(ctx context.Context, proposed *proposal, data any) error {
	verifier, ok := r.executor.(Verifier)
	if !ok {
		return nil
	}
	worked, err := verifier.Verify(ctx, proposed.copy(), data)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrVerification, err)
	case !worked:
		return ErrVerification
	default:
		return nil
	}
}

// undo rolls an action back that failed: what it counts as then, and what has gone wrong with governance.
func (r *Runtime) undo(ctx context.Context, proposed *proposal, why error, rollback func(Action, error) (Action, bool)) (ResultStatus, error) {
	if rollback == nil {
		return StatusFailed, nil
	}
	undoing, ok := rollback(proposed.copy(), why)
	if !ok {
		return StatusFailed, nil
	}
	// The rollback of a rollback would be one too many.
	undone, err := r.run(ctx, undoing, r.call, nil)
	if undone.Status == StatusSuccess {
		return StatusRolledBack, err
	}
	return StatusFailed, err
}
