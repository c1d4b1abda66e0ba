package aegis

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/aegis-sidecar/aegis/clients/go/aegisv1"
	"github.com/aegis-sidecar/aegis/clients/go/internal/deepcopy"
)

// ErrChanged is in the error of an action that is no longer what was proposed when it is about to run. It does not run then.
var ErrChanged = errors.New("the action changed after it was proposed")

// A proposal is the one way from what the caller gave to what runs. The action is copied and checked once, before anything is
// sent; what hooks see and what runs are copies of that copy.
type proposal struct {
	// action is the copy. Nobody outside is given this one.
	action Action
	// sent is the action as it was checked, and as the daemon gets it.
	sent *aegisv1.Action
	// metadata are the labels as the daemon gets them.
	metadata *structpb.Struct
	// whole says whether the copy shares nothing with what the caller holds.
	whole bool
}

// newProposal copies and checks an action.
func newProposal(action Action, config callConfig) (*proposal, error) {
	params, whole, err := deepcopy.Of(action.Params)
	if err != nil {
		return nil, &InvalidActionError{Path: "params", Problem: err.Error()}
	}
	action.Params = params
	sent, err := action.proto()
	if err != nil {
		return nil, err
	}
	metadata, err := toStruct("metadata", config.metadata)
	if err != nil {
		return nil, err
	}
	return &proposal{action: action, sent: sent, metadata: metadata, whole: whole}, nil
}

// copy is the action for somebody who may change it.
func (p *proposal) copy() Action { return p.action.clone() }

// clone is the action with params of its own.
func (a Action) clone() Action {
	// Where they are nested too deep to be copied they are too deep to be sent as well.
	a.Params, _, _ = deepcopy.Of(a.Params)
	return a
}

// unchanged checks, just before the action runs, that it is still what was proposed. Only what could not be copied can have
// changed.
func (p *proposal) unchanged() error {
	if p.whole {
		return nil
	}
	now, err := p.action.proto()
	if err != nil || !proto.Equal(now, p.sent) {
		return &changedError{action: p.action.String()}
	}
	return nil
}

// A changedError says which action changed.
type changedError struct{ action string }

func (e *changedError) Error() string {
	return "aegis: " + e.action + " does not run: it changed after it was proposed, through something that the caller still holds"
}

// Unwrap is [ErrChanged].
func (e *changedError) Unwrap() error { return ErrChanged }

// Is finds [ErrGovernance].
func (e *changedError) Is(target error) bool { return target == ErrGovernance }

// An asked is the decision that a later call asks about: its id, and its digest where that is known.
type asked struct{ decisionID, digest string }

// asked is this decision, for later calls.
func (d *Decision) asked() asked { return asked{d.DecisionID, d.ActionDigest} }

// accept is an answer as a decision, if it is the one that was asked for: an ALLOW for something else must not run this action.
// The first answer to a proposal may be any decision. Here, and nowhere else, the digest is to be compared with that of the
// action once the daemon sends its salt.
func accept(method string, answer *aegisv1.Decision, about asked) (*Decision, error) {
	decision, err := decisionFromProto(method, answer)
	switch {
	case err != nil:
		return nil, err
	case decision.DecisionID == "":
		return nil, wrongAnswer(method, "the answer names no decision")
	case about.decisionID != "" && decision.DecisionID != about.decisionID:
		return nil, wrongAnswer(method, fmt.Sprintf("the answer is the decision %s, and %s was asked for", decision.DecisionID, about.decisionID))
	case about.digest != "" && decision.ActionDigest != about.digest:
		return nil, wrongAnswer(method, "the answer to "+about.decisionID+" is about another action than was proposed")
	default:
		return decision, nil
	}
}
