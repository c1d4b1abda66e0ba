package aegis

import (
	"context"
	"fmt"
	"iter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/aegis-sidecar/aegis/clients/go/aegisv1"
)

// An Approval is a question put to reviewers: everything that a person needs to answer it. Action, Actor and Metadata hold
// text that an agent controls: show control and bidirectional characters visibly.
type Approval struct {
	// ApprovalID names it: "apr_" and a UUIDv7.
	ApprovalID string `json:"approval_id"`
	// DecisionID is the decision that waits for it.
	DecisionID string `json:"decision_id"`
	// Actor is who proposed, as declared.
	Actor Actor `json:"actor"`
	// Identity is who proposed, as authenticated.
	Identity Identity `json:"identity"`
	// Action is what is proposed. Masked parameters read "[masked, N characters]".
	Action Action `json:"action"`
	// Masked is what is masked in the action, and where it stands.
	Masked []Mask `json:"masked,omitempty"`
	// SessionID is the session that the proposal comes from.
	SessionID string `json:"session_id,omitempty"`
	// Metadata are the labels that came with the proposal.
	Metadata map[string]any `json:"metadata,omitempty"`
	// ActionDigest is the digest of exactly this action: what [Client.Approve] and [Client.Deny] send with the answer.
	ActionDigest string `json:"action_digest"`
	// MatchedRule is the rule that asks, or "<default>".
	MatchedRule string `json:"matched_rule"`
	// Reason says why it asks.
	Reason string `json:"reason"`
	// RiskLevel is how dangerous the policy says the action is.
	RiskLevel RiskLevel `json:"risk_level"`
	// PolicyRevision is the policy that asked.
	PolicyRevision string `json:"policy_revision"`
	// RequestedAt is when the question was put.
	RequestedAt time.Time `json:"requested_at"`
	// ExpiresAt is when it ends by itself.
	ExpiresAt time.Time `json:"expires_at"`
	// TimeoutAllows says whether the action may run when nobody answers.
	TimeoutAllows bool `json:"timeout_allows"`
	// State is where it stands.
	State ApprovalState `json:"state"`
	// Votes are the votes of reviewers, oldest first.
	Votes []Vote `json:"votes,omitempty"`
	// Version is 1 when it was made, and one more with each change: of two messages about it, the higher one is newer.
	Version uint32 `json:"version"`
	// CallerWaiting says whether the proposer still waits for the answer. Nil where that is not known.
	CallerWaiting *bool `json:"caller_waiting,omitempty"`
	// Ending is how it ended. Nil while it is pending.
	Ending *Ending `json:"ending,omitempty"`
	// History is what this session did before, newest first, at most 10 rows. Only from [Client.GetApproval].
	History []SessionAction `json:"history,omitempty"`
}

// An Identity is who called, as the daemon authenticated it.
type Identity struct {
	// Subject is the subject, or "anonymous".
	Subject string `json:"subject"`
	// How is how it was established, for example "token" or "unix_peer".
	How string `json:"how"`
	// ActorID is the one actor id that the credential may declare. Empty: any.
	ActorID string `json:"actor_id,omitempty"`
	// Groups are the groups that the credential named, for example in the claims of a JWT.
	Groups []string `json:"groups,omitempty"`
}

// A Mask is a part of an action that is not shown and not stored.
type Mask struct {
	// Path is the path of the parameter, for example "user.token". A list on the way stands for each of its elements.
	Path string `json:"path"`
	// Start is where the placeholder begins in the text as shown, in characters (runes) from 0. Nil, like End, where the whole value
	// is masked.
	Start *uint32 `json:"start,omitempty"`
	// End is where the placeholder ends: the position of the first character after it.
	End *uint32 `json:"end,omitempty"`
	// Length is how many characters the placeholder stands for. 0: unknown, as the path leads to several values.
	Length uint32 `json:"length"`
	// Digest is, in rows of the record, the digest of the masked value: equal values of one store have equal digests.
	Digest string `json:"digest,omitempty"`
}

// An ApprovalState is where an approval stands. One that this package does not know is "unknown(N)", and is not pending.
type ApprovalState string

// Where approvals stand.
const (
	// StatePending: reviewers may still answer.
	StatePending ApprovalState = "pending"
	// StateApproved: a reviewer said yes.
	StateApproved ApprovalState = "approved"
	// StateDenied: a reviewer said no, or the policy then in force blocks the action.
	StateDenied ApprovalState = "denied"
	// StateExpired: nobody answered in time.
	StateExpired ApprovalState = "expired"
	// StateCancelled: the proposer withdrew.
	StateCancelled ApprovalState = "cancelled"
)

// A Verdict is what a reviewer decides.
type Verdict string

// What reviewers decide.
const (
	// VerdictApprove: the action may run.
	VerdictApprove Verdict = "approve"
	// VerdictDeny: the action must not run.
	VerdictDeny Verdict = "deny"
)

// A Vote is the vote of a reviewer.
type Vote struct {
	// VoteID names it: the id of its record.
	VoteID string `json:"vote_id"`
	// Verdict is what the reviewer decided.
	Verdict Verdict `json:"verdict"`
	// By is the reviewer, as authenticated.
	By Identity `json:"by"`
	// VotedAt is when.
	VotedAt time.Time `json:"voted_at"`
	// Reason says why, in the reviewer's words.
	Reason string `json:"reason,omitempty"`
	// ActionDigest is the digest that the reviewer sent: what was shown.
	ActionDigest string `json:"action_digest"`
}

// An EndingKind is how an approval ended.
type EndingKind string

// How approvals end.
const (
	// EndingApproved: a reviewer said yes.
	EndingApproved EndingKind = "approved"
	// EndingDenied: a reviewer said no, or the policy then in force blocks the action.
	EndingDenied EndingKind = "denied"
	// EndingExpired: nobody answered in time.
	EndingExpired EndingKind = "expired"
	// EndingCancelled: the proposer withdrew.
	EndingCancelled EndingKind = "cancelled"
)

// An Ending is the end of an approval. There is exactly one.
type Ending struct {
	// Kind is how it ended.
	Kind EndingKind `json:"kind"`
	// Allows says whether the action may run now.
	Allows bool `json:"allows"`
	// By is who ended it, as authenticated. Nil where time or the policy did.
	By *Identity `json:"by,omitempty"`
	// EndedAt is when.
	EndedAt time.Time `json:"ended_at"`
	// Reason says why, in the reviewer's words or the daemon's.
	Reason string `json:"reason,omitempty"`
	// Code is "POLICY_CHANGED" or "TIMEOUT" where the daemon itself decided. Else empty.
	Code string `json:"code,omitempty"`
}

// A SessionAction is something that a session did before.
type SessionAction struct {
	// DecidedAt is when it was decided.
	DecidedAt time.Time `json:"decided_at"`
	// Type is the kind of action.
	Type string `json:"type"`
	// Target is what it acted on.
	Target string `json:"target"`
	// Outcome is how it was answered, as it stands.
	Outcome Outcome `json:"outcome"`
	// ResultStatus is what became of it. Empty while nothing can be said.
	ResultStatus ResultStatus `json:"result_status,omitempty"`
}

// An ApprovalFilter says which approvals are asked for: those for which every part that is set holds, and of a list one of its
// items. Globs are those of the policy: a text without *, ? and [...] matches exactly, as every other text does.
type ApprovalFilter struct {
	// SessionID is the session.
	SessionID string
	// ActionType is a glob that the action's type matches.
	ActionType string
	// Target is a glob that the action's target matches.
	Target string
	// RiskLevels are the risk levels: one of them.
	RiskLevels []RiskLevel
	// MinRiskLevel is the least risk.
	MinRiskLevel RiskLevel
	// ActorID is the proposer, as declared.
	ActorID string
	// Subject is the proposer, as authenticated.
	Subject string
	// Approver is a reviewer who voted, as authenticated. Not on a stream: nobody has voted on what is pending.
	Approver string
	// MatchedRule is the rule that matched.
	MatchedRule string
	// Since is the earliest moment.
	Since time.Time
	// Until is the latest moment.
	Until time.Time
	// States are where the approvals stand: one of them. Only of [Client.ListApprovals]. None: pending.
	States []ApprovalState
}

// An ApprovalEventKind is what an [ApprovalEvent] says.
type ApprovalEventKind int

// What happens on a stream of approvals.
const (
	// ApprovalPending: this approval is pending. Part of a snapshot before [ApprovalSnapshotComplete], new or changed after it.
	ApprovalPending ApprovalEventKind = iota + 1
	// ApprovalSnapshotComplete: everything that is pending has been said.
	ApprovalSnapshotComplete
	// ApprovalEnded: this approval has ended. Forget it.
	ApprovalEnded
	// ApprovalLagged: something was missed, as this client was slow or the connection was lost. Forget everything: a new
	// snapshot follows.
	ApprovalLagged
)

// An ApprovalEvent is one message of a stream of approvals.
type ApprovalEvent struct {
	// Kind is what it says.
	Kind ApprovalEventKind
	// Approval is the approval that is pending or has ended. Zero with the other kinds.
	Approval Approval
}

// StreamApprovals gives what is pending, a marker, and then every change as it happens, until the context ends. It resumes
// by itself: when the connection was lost there is an [ApprovalLagged], and a new snapshot follows. An error is the last
// that comes. Needs a reviewer.
func (c *Client) StreamApprovals(ctx context.Context, filter ApprovalFilter, options ...CallOption) iter.Seq2[ApprovalEvent, error] {
	request := &aegisv1.StreamApprovalsRequest{Filter: filter.proto()}
	return func(yield func(ApprovalEvent, error) bool) {
		config, err := c.configure(ctx, options)
		if err != nil {
			yield(ApprovalEvent{}, err)
			return
		}
		source := stream[aegisv1.StreamApprovalsResponse]{
			client: c,
			config: config,
			name:   "StreamApprovals",
			open: func(ctx context.Context) (grpc.ServerStreamingClient[aegisv1.StreamApprovalsResponse], error) {
				return c.approvals.StreamApprovals(ctx, request)
			},
			reopened: func() bool { return yield(ApprovalEvent{Kind: ApprovalLagged}, nil) },
		}
		stopped := false
		err = source.each(ctx, func(message *aegisv1.StreamApprovalsResponse) bool {
			event, ok := approvalEventFromProto(message)
			stopped = ok && !yield(event, nil)
			return !stopped
		})
		if err != nil {
			yield(ApprovalEvent{}, err)
		}
	}
}

// approvalEventFromProto is false where there is nothing to say.
func approvalEventFromProto(message *aegisv1.StreamApprovalsResponse) (ApprovalEvent, bool) {
	switch event := message.GetEvent().(type) {
	case *aegisv1.StreamApprovalsResponse_Pending:
		return ApprovalEvent{ApprovalPending, approvalFromProto(event.Pending)}, true
	case *aegisv1.StreamApprovalsResponse_SnapshotComplete:
		return ApprovalEvent{Kind: ApprovalSnapshotComplete}, true
	case *aegisv1.StreamApprovalsResponse_Ended:
		return ApprovalEvent{ApprovalEnded, approvalFromProto(event.Ended)}, true
	case *aegisv1.StreamApprovalsResponse_Lagged:
		return ApprovalEvent{Kind: ApprovalLagged}, true
	default:
		return ApprovalEvent{}, false
	}
}

// ListApprovals gives what is pending now, or stands as the filter's States say, oldest first. Needs a reviewer.
func (c *Client) ListApprovals(ctx context.Context, filter ApprovalFilter, options ...CallOption) ([]Approval, error) {
	config, err := c.configure(ctx, options)
	if err != nil {
		return nil, err
	}
	request := &aegisv1.ListApprovalsRequest{Filter: filter.proto(), PageSize: proto.Uint32(1000)}
	if request.States, err = allToProto(approvalStates, "States", filter.States); err != nil {
		return nil, err
	}
	var approvals []Approval
	for {
		page, err := call(ctx, c, config, "ListApprovals", c.approvals.ListApprovals, request)
		if err != nil {
			return nil, err
		}
		for _, approval := range page.GetApprovals() {
			approvals = append(approvals, approvalFromProto(approval))
		}
		if page.GetNextPageToken() == "" {
			return approvals, nil
		}
		request.PageToken = page.GetNextPageToken()
	}
}

// GetApproval gives one approval, pending or ended, with what its session did before. Needs a reviewer.
func (c *Client) GetApproval(ctx context.Context, approvalID string, options ...CallOption) (*Approval, error) {
	config, err := c.configure(ctx, options)
	if err != nil {
		return nil, err
	}
	request := &aegisv1.GetApprovalRequest{ApprovalId: approvalID}
	answer, err := call(ctx, c, config, "GetApproval", c.approvals.GetApproval, request)
	if err != nil {
		return nil, err
	}
	return answered("GetApproval", answer.GetApproval(), approvalID)
}

// Approve says yes to exactly what was shown: the approval as it came from this client, with its digest. The policy then
// in force is asked once more: if it blocks the action, the approval that is returned has ended denied. Needs a reviewer.
//
// There is an [*Error] with FAILED_PRECONDITION where the approval has ended (ALREADY_DECIDED, APPROVAL_EXPIRED) or is about
// another action (DIGEST_MISMATCH), and with PERMISSION_DENIED where the reviewer is the proposer (OWN_PROPOSAL).
func (c *Client) Approve(ctx context.Context, shown Approval, reason string, options ...CallOption) (*Approval, error) {
	config, err := c.configure(ctx, options)
	if err != nil {
		return nil, err
	}
	answer, failed := once(ctx, c, config.timeout, "Approve", c.approvals.Approve, &aegisv1.ApproveRequest{
		ApprovalId: shown.ApprovalID, ExpectedActionDigest: shown.ActionDigest, Reason: validText(reason),
	})
	if failed != nil {
		return nil, failed
	}
	return answered("Approve", answer.GetApproval(), shown.ApprovalID)
}

// Deny says no to exactly what was shown. Errors as for [Client.Approve]. Needs a reviewer.
func (c *Client) Deny(ctx context.Context, shown Approval, reason string, options ...CallOption) (*Approval, error) {
	config, err := c.configure(ctx, options)
	if err != nil {
		return nil, err
	}
	answer, failed := once(ctx, c, config.timeout, "Deny", c.approvals.Deny, &aegisv1.DenyRequest{
		ApprovalId: shown.ApprovalID, ExpectedActionDigest: shown.ActionDigest, Reason: validText(reason),
	})
	if failed != nil {
		return nil, failed
	}
	return answered("Deny", answer.GetApproval(), shown.ApprovalID)
}

func answered(method string, approval *aegisv1.Approval, asked string) (*Approval, error) {
	if approval == nil {
		return nil, unknownOutcome(method, "the answer holds no approval")
	}
	if got := approval.GetApprovalId(); got != asked {
		return nil, wrongAnswer(method, fmt.Sprintf("the answer is the approval %s, and %s was asked for", got, asked))
	}
	converted := approvalFromProto(approval)
	return &converted, nil
}

func (f ApprovalFilter) proto() *aegisv1.ApprovalFilter {
	return &aegisv1.ApprovalFilter{
		SessionId:    f.SessionID,
		ActionType:   f.ActionType,
		Target:       f.Target,
		RiskLevels:   riskLevelsToProto(f.RiskLevels),
		MinRiskLevel: aegisv1.RiskLevel(f.MinRiskLevel),
		ActorId:      f.ActorID,
		Subject:      f.Subject,
		Approver:     f.Approver,
		MatchedRule:  f.MatchedRule,
		Since:        timeToProto(f.Since),
		Until:        timeToProto(f.Until),
	}
}

func approvalFromProto(approval *aegisv1.Approval) Approval {
	converted := Approval{
		ApprovalID:     approval.GetApprovalId(),
		DecisionID:     approval.GetDecisionId(),
		Actor:          actorFromProto(approval.GetActor()),
		Identity:       identityFromProto(approval.GetIdentity()),
		Action:         actionFromProto(approval.GetAction()),
		Masked:         masksFromProto(approval.GetMasked()),
		SessionID:      approval.GetContext().GetSessionId(),
		Metadata:       approval.GetContext().GetMetadata().AsMap(),
		ActionDigest:   approval.GetActionDigest(),
		MatchedRule:    approval.GetMatchedRule(),
		Reason:         approval.GetReason(),
		RiskLevel:      RiskLevel(approval.GetRiskLevel()),
		PolicyRevision: approval.GetPolicyRevision(),
		RequestedAt:    timeFromProto(approval.GetRequestedAt()),
		ExpiresAt:      timeFromProto(approval.GetExpiresAt()),
		TimeoutAllows:  approval.GetTimeoutAllows(),
		State:          stateFromProto(approval.GetState()),
		Version:        approval.GetVersion(),
		CallerWaiting:  approval.CallerWaiting,
		Ending:         endingFromProto(approval.GetEnding()),
	}
	for _, vote := range approval.GetVotes() {
		converted.Votes = append(converted.Votes, Vote{
			VoteID:       vote.GetVoteId(),
			Verdict:      fromProto(verdicts, vote.GetVerdict()),
			By:           identityFromProto(vote.GetBy()),
			VotedAt:      timeFromProto(vote.GetVotedAt()),
			Reason:       vote.GetReason(),
			ActionDigest: vote.GetActionDigest(),
		})
	}
	for _, action := range approval.GetHistory() {
		converted.History = append(converted.History, SessionAction{
			DecidedAt:    timeFromProto(action.GetDecidedAt()),
			Type:         action.GetType(),
			Target:       action.GetTarget(),
			Outcome:      fromProto(outcomes, action.GetOutcome()),
			ResultStatus: fromProto(resultStatuses, action.GetResultStatus()),
		})
	}
	return converted
}

func actorFromProto(actor *aegisv1.Actor) Actor {
	return Actor{ID: actor.GetId(), Type: actor.GetType()}
}

func identityFromProto(identity *aegisv1.Identity) Identity {
	return Identity{Subject: identity.GetSubject(), How: identity.GetHow(), ActorID: identity.GetActorId(), Groups: identity.GetGroups()}
}

func masksFromProto(masks []*aegisv1.Mask) []Mask {
	var converted []Mask
	for _, mask := range masks {
		converted = append(converted, Mask{
			Path: mask.GetPath(), Start: mask.Start, End: mask.End, Length: mask.GetLength(), Digest: mask.GetDigest(),
		})
	}
	return converted
}

func riskLevelsToProto(levels []RiskLevel) []aegisv1.RiskLevel {
	var converted []aegisv1.RiskLevel
	for _, level := range levels {
		converted = append(converted, aegisv1.RiskLevel(level))
	}
	return converted
}

func endingFromProto(ending *aegisv1.Ending) *Ending {
	if ending == nil {
		return nil
	}
	converted := &Ending{
		Kind:    fromProto(endingKinds, ending.GetKind()),
		Allows:  ending.GetAllows(),
		EndedAt: timeFromProto(ending.GetEndedAt()),
		Reason:  ending.GetReason(),
		Code:    ending.GetCode(),
	}
	if ending.GetBy() != nil {
		by := identityFromProto(ending.GetBy())
		converted.By = &by
	}
	return converted
}

// String says what kind of event it is.
func (k ApprovalEventKind) String() string {
	switch k {
	case ApprovalPending:
		return "pending"
	case ApprovalSnapshotComplete:
		return "snapshot complete"
	case ApprovalEnded:
		return "ended"
	case ApprovalLagged:
		return "lagged"
	default:
		return fmt.Sprintf("unknown(%d)", int(k))
	}
}
