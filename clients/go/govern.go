package aegis

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/aegis-sidecar/aegis/clients/go/internal/deepcopy"
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
//
// With [WithIdempotencyKey] two calls are one run: a call whose action is reported already returns what is on the record, or an
// [*AlreadyReportedError] where that is no success; a call whose action another one may still run returns an
// [*AlreadyClaimedError].
//
// The action is copied before it is proposed. What the function itself captures is not: run what [Wrap] passes to its function,
// or [Execution.Action], where somebody else holds the arguments. A function that returns an iterator is refused: see
// [GovernSeq].
func Govern[T any](
	ctx context.Context, client *Client, action Action, run func(context.Context, Decision) (T, error), options ...CallOption,
) (T, error) {
	return govern(ctx, client, action, run, func() error { return nil }, options)
}

// govern is Govern, with a last look before the function runs.
func govern[T any](
	ctx context.Context, client *Client, action Action, run func(context.Context, Decision) (T, error), look func() error, options []CallOption,
) (T, error) {
	var none T
	if run == nil {
		return none, errors.New("aegis: Govern needs a function to run, and it is nil")
	}
	if isIterator(reflect.TypeFor[T]()) {
		return none, errIterator
	}
	execution, err := client.Begin(ctx, action, options...)
	if reported, ok := err.(*AlreadyReportedError); ok && reported.Result.Status == StatusSuccess {
		return recorded[T](reported)
	}
	if err != nil {
		return none, err
	}
	if err := look(); err != nil {
		return none, joined(err, execution.Skip(ctx, err.Error()))
	}
	defer execution.abandon(ctx)
	result, err := run(ctx, execution.Decision)
	if err == nil && isIterator(reflect.TypeOf(result)) {
		result, err = none, errIterator
	}
	return result, joined(err, execution.End(ctx, result, err))
}

// Wrap makes a function that is governed: see [Govern]. The action is made of the argument.
//
// The argument is copied first: its pointers, slices, maps and exported fields. The action is made of the copy, and the function
// runs with it, so that nobody changes it meanwhile; what the function writes into it, the caller does not see. What cannot be
// copied (a connection, a structure behind a pointer with fields that are not exported) is shared: then the action is made
// once more just before the function runs, and where it is another one by now, there is an error with [ErrChanged].
func Wrap[Argument, T any](
	client *Client, describe func(Argument) Action, run func(context.Context, Argument) (T, error), options ...CallOption,
) func(context.Context, Argument) (T, error) {
	return func(ctx context.Context, argument Argument) (T, error) {
		var none T
		if describe == nil || run == nil {
			return none, errors.New("aegis: Wrap needs a function that describes the action and one that runs it, and one of them is nil")
		}
		held, whole, err := deepcopy.Of(argument)
		if err != nil {
			return none, &InvalidActionError{Path: "argument", Problem: err.Error()}
		}
		// Whoever describes it gets another copy: what is kept of that changes nothing that runs.
		described := func() Action {
			shown, _, _ := deepcopy.Of(held)
			return describe(shown)
		}
		action := described()
		before, err := action.proto()
		if err != nil {
			return none, err
		}
		look := func() error {
			if whole {
				return nil
			}
			if now, err := described().proto(); err != nil || !proto.Equal(before, now) {
				return &changedError{action: action.String()}
			}
			return nil
		}
		return govern(ctx, client, action, func(ctx context.Context, _ Decision) (T, error) { return run(ctx, held) }, look, options)
	}
}

var errIterator = errors.New("aegis: the function returns an iterator, which would be reported as a success before it has run: use GovernSeq")

// isIterator says whether a type is one that `for range` takes and that is a function: iter.Seq, iter.Seq2 and the like.
func isIterator(of reflect.Type) bool {
	if of == nil || of.Kind() != reflect.Func || of.NumIn() != 1 || of.NumOut() != 0 {
		return false
	}
	yield := of.In(0)
	return yield.Kind() == reflect.Func && yield.NumIn() <= 2 && yield.NumOut() == 1 && yield.Out(0).Kind() == reflect.Bool
}

// GovernSeq governs a function that returns an iterator. Each range over what it returns is an action of its own: it is proposed
// when the range begins, and reported when the range ends. It is reported as a success when it was read to its end or left, and
// as failed with the last error that it gave. Where it may not run, the one thing that comes is the error: see [Govern].
//
// The record has how many values came, and none of them.
func GovernSeq[V any](
	ctx context.Context, client *Client, action Action, run func(context.Context, Decision) iter.Seq2[V, error], options ...CallOption,
) iter.Seq2[V, error] {
	held := action.clone()
	return func(yield func(V, error) bool) {
		var none V
		if run == nil {
			yield(none, errors.New("aegis: GovernSeq needs a function to run, and it is nil"))
			return
		}
		execution, err := client.Begin(ctx, held, options...)
		if err != nil {
			yield(none, err)
			return
		}
		defer execution.abandon(ctx)
		count, left := 0, false
		var failed error
		for value, err := range run(ctx, execution.Decision) {
			if err != nil {
				failed = err
			} else {
				count++
			}
			if left = !yield(value, err); left {
				break
			}
		}
		err = execution.End(ctx, map[string]any{"values": count}, failed)
		if err != nil && !left {
			yield(none, fmt.Errorf("aegis: the values came, and then: %w", err))
		}
	}
}
