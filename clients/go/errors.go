package aegis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/aegis-sidecar/aegis/clients/go/aegisv1"
)

// ErrGovernance is what [errors.Is] finds in every error by which the governance system itself refused a call: a request
// that is wrong, an approval that is decided already, an outcome that is not known, an action that cannot be sent whole, a
// denial. An [*Error] without it means that the call failed on the way: network, deadline, credential.
var ErrGovernance = errors.New("refused by the governance system")

// Reasons that this package gives itself; those of the daemon are [aegisv1.ErrorReason], see [ReasonText].
const (
	// ReasonUnknownOutcome is the reason of an [*Error] for a decision that this package does not understand.
	ReasonUnknownOutcome = "UNKNOWN_OUTCOME"
	// ReasonWrongAnswer is the reason of an [*Error] for an answer about something else than was asked for.
	ReasonWrongAnswer = "WRONG_ANSWER"
)

// ReasonText is how an [*Error] gives a reason of the API: without the prefix of its enum, for example "RATE_LIMITED". The API
// (proto/README.md) says what to do about each. A later daemon may give a reason that is not among them: go by Code then.
func ReasonText(reason aegisv1.ErrorReason) string {
	return strings.TrimPrefix(reason.String(), "ERROR_REASON_")
}

// An Error says that a call failed. Nothing is known about the action: do not run it.
type Error struct {
	// Method is the RPC that failed, for example "Propose".
	Method string
	// Code is the gRPC code.
	Code codes.Code
	// Reason is the daemon's reason for programs (google.rpc.ErrorInfo), for example "IDEMPOTENCY_KEY_REUSED". Empty where the
	// daemon gave none, or was not reached.
	Reason string
	// Message says what is wrong, for people.
	Message string
	// Fields are the fields of the request that are wrong, with what is wrong about them.
	Fields []FieldViolation
	// RetryAfter is when the same call may work, as the daemon says (google.rpc.RetryInfo). Zero where it says nothing.
	RetryAfter time.Duration
	// Metadata is what else the daemon says, for example "by" and "at" with ALREADY_DECIDED.
	Metadata map[string]string

	causes []error
}

// A FieldViolation is one thing that is wrong with a request.
type FieldViolation struct {
	// Field is the path of the field, for example "action.type".
	Field string
	// Description says what is wrong about it.
	Description string
}

// Error says what failed, and why.
func (e *Error) Error() string {
	why := e.Code.String()
	if e.Reason != "" {
		why += ", " + e.Reason
	}
	return fmt.Sprintf("aegis: %s: %s (%s)", e.Method, e.Message, why)
}

// Unwrap is the gRPC error, and the context's where that had ended the call.
func (e *Error) Unwrap() []error { return e.causes }

// GRPCStatus is the status that the call ended with.
func (e *Error) GRPCStatus() *status.Status {
	for _, cause := range e.causes {
		if from, ok := status.FromError(cause); ok {
			return from
		}
	}
	return status.New(e.Code, e.Message)
}

// Is finds [ErrGovernance] in a call that the governance system refused.
func (e *Error) Is(target error) bool {
	if target != ErrGovernance {
		return false
	}
	switch e.Code {
	case codes.InvalidArgument, codes.NotFound, codes.FailedPrecondition, codes.Aborted, codes.AlreadyExists, codes.OutOfRange:
		return true
	case codes.PermissionDenied:
		// Anything else is about the credential.
		return e.has(aegisv1.ErrorReason_ERROR_REASON_OWN_PROPOSAL) || e.has(aegisv1.ErrorReason_ERROR_REASON_ACTOR_NOT_ALLOWED)
	default:
		return e.Reason == ReasonUnknownOutcome || e.Reason == ReasonWrongAnswer
	}
}

// has says whether the daemon gave this reason.
func (e *Error) has(reason aegisv1.ErrorReason) bool { return e.Reason == ReasonText(reason) }

// transient says whether the same call may work a moment later: the daemon says so, or was not reached.
func (e *Error) transient() bool { return e.RetryAfter > 0 || e.Code == codes.Unavailable }

// newError is the error of a call over a client of this endpoint.
func newError(ctx context.Context, endpoint, method string, err error) *Error {
	from, ok := status.FromError(err)
	if !ok {
		from = status.FromContextError(err)
	}
	failed := &Error{Method: method, Code: from.Code(), Message: from.Message(), causes: []error{err}}
	for _, detail := range from.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			failed.Reason, failed.Metadata = detail.GetReason(), detail.GetMetadata()
		case *errdetails.RetryInfo:
			failed.RetryAfter = detail.GetRetryDelay().AsDuration()
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				field := FieldViolation{violation.GetField(), violation.GetDescription()}
				failed.Fields = append(failed.Fields, field)
			}
		}
	}
	if failed.Code == codes.Unavailable && failed.Reason == "" {
		failed.Message = fmt.Sprintf("no answer from the daemon at %s; does it run, and is AEGIS_ENDPOINT right? %s", endpoint, failed.Message)
	}
	// The context ended the call, whatever gRPC made of it.
	if ctx.Err() != nil {
		failed.causes = append(failed.causes, endOf(ctx))
	}
	return failed
}

// endOf is why a context has ended: [errors.Is] finds both its error and the cause that it was cancelled with.
func endOf(ctx context.Context) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, ctx.Err()) {
		return cause
	}
	return &endError{cause: cause, err: ctx.Err()}
}

// An endError is the cause that a context was cancelled with.
type endError struct{ cause, err error }

func (e *endError) Error() string   { return e.cause.Error() }
func (e *endError) Unwrap() []error { return []error{e.cause, e.err} }

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

// errNoReviewer is for an approval handler that nobody answers for.
var errNoReviewer = errors.New("aegis: an approval handler answers as a reviewer: give WithApprovalHandler a client with a reviewer's credential")

// unknownOutcome is the error for a decision that is missing, or whose outcome this package does not know.
func unknownOutcome(method, what string) *Error {
	message := what + "; the action does not run. Is the daemon newer than this package?"
	return &Error{Method: method, Code: codes.Internal, Reason: ReasonUnknownOutcome, Message: message}
}

// wrongAnswer is the error for an answer about something else than was asked for.
func wrongAnswer(method, what string) *Error {
	message := what + "; the action does not run. Is the daemon at this endpoint the right one?"
	return &Error{Method: method, Code: codes.Internal, Reason: ReasonWrongAnswer, Message: message}
}

// An InvalidActionError says that an action, or a result, cannot be sent whole, and where. Nothing was sent.
type InvalidActionError struct {
	// Path is the place, for example "params.user.age" or "params.scores[1]".
	Path string
	// Problem says what is wrong there and what would be right.
	Problem string
}

// Error says where and what.
func (e *InvalidActionError) Error() string { return "aegis: " + e.Path + " " + e.Problem }

// GRPCStatus is INVALID_ARGUMENT.
func (e *InvalidActionError) GRPCStatus() *status.Status {
	return status.New(codes.InvalidArgument, e.Error())
}

// Is finds [ErrGovernance].
func (e *InvalidActionError) Is(target error) bool { return target == ErrGovernance }

// A DeniedError says that the answer is no: the action has not run. What wraps an action returns it, and
// [Client.Propose] and [Client.Wait] with [WithDenialAsError].
type DeniedError struct {
	// Action is what was proposed.
	Action Action
	// Decision is the answer.
	Decision Decision
	// Status is [StatusBlocked] where the policy forbids the action, else [StatusDenied]: a person said no, or nobody said
	// yes in time.
	Status ResultStatus
	// Cause is why nobody waits any longer: the context's error, or [ErrApprovalTimeout]. Nil where somebody said no.
	Cause error
}

// ErrApprovalTimeout is the cause of a [*DeniedError] when [WithApprovalTimeout] was over before a reviewer had answered.
var ErrApprovalTimeout = errors.New("nobody answered within the approval timeout")

// Error says what was denied, by which rule, and why.
func (e *DeniedError) Error() string {
	var text strings.Builder
	fmt.Fprintf(&text, "aegis: %s is %s", e.Action, e.Status)
	if e.Decision.MatchedRule != "" {
		fmt.Fprintf(&text, " (rule %s)", e.Decision.MatchedRule)
	}
	if e.Decision.Reason != "" {
		text.WriteString(": " + e.Decision.Reason)
	}
	if e.Cause != nil {
		text.WriteString(": " + e.Cause.Error())
	}
	return text.String()
}

// Unwrap is the cause.
func (e *DeniedError) Unwrap() error { return e.Cause }

// GRPCStatus is PERMISSION_DENIED.
func (e *DeniedError) GRPCStatus() *status.Status {
	return status.New(codes.PermissionDenied, e.Error())
}

// Is finds [ErrGovernance].
func (e *DeniedError) Is(target error) bool { return target == ErrGovernance }

// ErrAlreadyClaimed is what [errors.Is] finds in an [*AlreadyClaimedError].
var ErrAlreadyClaimed = errors.New("another call has the decision for this idempotency key")

// An AlreadyClaimedError says that an earlier proposal with the same idempotency key has this decision, and that its result is not
// reported: that call may run the action, or have run it, so this one does not. Once nobody else can run it, and whether it ran is
// known, propose it with another key.
type AlreadyClaimedError struct {
	// Action is what was proposed.
	Action Action
	// Decision is the answer: an ALLOW, or an ESCALATE that the other call waits for.
	Decision Decision
}

// Error says which decision, and what to do.
func (e *AlreadyClaimedError) Error() string {
	return fmt.Sprintf("aegis: %s does not run: an earlier call with the same idempotency key has the decision %s (%s). "+
		"Find out whether that one runs; for another run, propose with another key", e.Action, e.Decision.DecisionID, e.Decision.Outcome)
}

// Is finds [ErrAlreadyClaimed] and [ErrGovernance].
func (e *AlreadyClaimedError) Is(target error) bool {
	return target == ErrAlreadyClaimed || target == ErrGovernance
}

// GRPCStatus is ALREADY_EXISTS.
func (e *AlreadyClaimedError) GRPCStatus() *status.Status {
	return status.New(codes.AlreadyExists, e.Error())
}

// ErrAlreadyReported is what [errors.Is] finds in an [*AlreadyReportedError].
var ErrAlreadyReported = errors.New("the action ran once, and its result is reported")

// An AlreadyReportedError says that the action was allowed for this idempotency key once, and that its result is on the record: it
// does not run again. A success comes as what [Govern] returns, and as this error only where that cannot hold what is on the record.
type AlreadyReportedError struct {
	// Action is what was proposed.
	Action Action
	// Decision is the answer.
	Decision Decision
	// Result is what was reported.
	Result ActionResult
	// Cause is why a success cannot be returned. Nil where it was none.
	Cause error
}

// Error says what became of the action, with its own error.
func (e *AlreadyReportedError) Error() string {
	text := fmt.Sprintf("aegis: %s does not run again: %s has the result %s", e.Action, e.Decision.DecisionID, e.Result.Status)
	if e.Result.Error != "" {
		text += ": " + e.Result.Error
	}
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// Unwrap is the cause.
func (e *AlreadyReportedError) Unwrap() error { return e.Cause }

// Is finds [ErrAlreadyReported] and [ErrGovernance].
func (e *AlreadyReportedError) Is(target error) bool {
	return target == ErrAlreadyReported || target == ErrGovernance
}

// GRPCStatus is ALREADY_EXISTS.
func (e *AlreadyReportedError) GRPCStatus() *status.Status {
	return status.New(codes.AlreadyExists, e.Error())
}

// A ReportError says that an action has run and that the report of it failed: the record shows it as unknown. Do not run
// the action again for that; report it again with [Client.Report].
type ReportError struct {
	// Decision is the one that allowed the action.
	Decision Decision
	// Report is what could not be reported.
	Report Report
	// Result is what the action returned, as it returned it.
	Result any
	// Err is why.
	Err error
}

// Error says that the action has run and why the report failed.
func (e *ReportError) Error() string {
	return fmt.Sprintf("the action ran (%s), but the report of %s failed: %v", e.Report.Status, e.Decision.DecisionID, e.Err)
}

// Unwrap is why the report failed.
func (e *ReportError) Unwrap() error { return e.Err }
