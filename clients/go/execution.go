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

var errAbandoned = errors.New("the action ended its goroutine (runtime.Goexit)")

// A panicError is what is reported of an action that panicked.
type panicError struct{ value any }

func (e *panicError) Error() string { return fmt.Sprintf("the action ended in a panic: %v", e.value) }

// An Execution is an action that may run now. End it when it has run.
type Execution struct {
	// Action is what was proposed: a copy, which no one else holds.
	Action Action
	// Decision is the ALLOW.
	Decision Decision

	client    *Client
	config    callConfig
	proposed  *proposal
	decision  Decision
	startedAt time.Time
	ended     atomic.Bool
}

// Begin does what [Govern] does before the action runs, for what does not fit into one function: a stream, for example. It
// returns only where the action may run; then run it with [Execution.Action], and call [Execution.End]. Errors as for [Govern].
func (c *Client) Begin(ctx context.Context, action Action, options ...CallOption) (*Execution, error) {
	config, err := c.configure(ctx, options)
	if err != nil {
		return nil, err
	}
	return c.begin(ctx, action, config)
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
	_, err := e.client.report(context.WithoutCancel(ctx), e.decision.DecisionID, report, nil, e.config)
	return err
}

// abandon reports what the caller's function did instead of returning. Deferred, it lets a panic go on.
func (e *Execution) abandon(ctx context.Context) {
	if e.ended.Load() {
		return
	}
	if value := recover(); value != nil {
		_ = e.End(ctx, nil, &panicError{value})
		panic(value)
	}
	_ = e.End(ctx, nil, errAbandoned)
}

func (e *Execution) end(ctx context.Context, result Result) error {
	if e.ended.Swap(true) {
		return nil
	}
	decision := e.decision.clone()
	result.Action, result.Decision, result.StartedAt, result.CompletedAt = e.proposed.copy(), &decision, e.startedAt, time.Now()
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
	_, err = e.client.report(ctx, e.decision.DecisionID, report, data, e.config)
	if failed := (*Error)(nil); data != nil && errors.As(err, &failed) && failed.Code == codes.InvalidArgument {
		// Too large, or too deep: that it worked is worth more on the record than what it returned.
		_, err = e.client.report(ctx, e.decision.DecisionID, report, notRecorded(failed), e.config)
	}
	if err != nil {
		return &ReportError{Decision: e.decision.clone(), Report: report, Result: result.Data, Err: err}
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
		DecisionId: decisionID,
		Result: &aegisv1.ActionResult{
			Status:      status,
			Data:        data,
			Error:       validText(cut(report.Error)),
			StartedAt:   timeToProto(report.StartedAt),
			CompletedAt: timeToProto(report.CompletedAt),
		},
	})
	if err != nil {
		return "", err
	}
	return answer.GetAuditRef(), nil
}
