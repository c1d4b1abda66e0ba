package aegis

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/aegis-sidecar/aegis/clients/go/aegisv1"
	"github.com/aegis-sidecar/aegis/clients/go/internal/canonicaljson"
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
	// canonical is what the digest of a decision about it is made of: see [canonicalAction].
	canonical []byte
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
	canonical, err := canonicalAction(sent, config.actor.ID, config.sessionID)
	if err != nil {
		return nil, &InvalidActionError{Path: "action", Problem: "has no canonical JSON: " + err.Error()}
	}
	metadata, err := toStruct("metadata", config.metadata)
	if err != nil {
		return nil, err
	}
	return &proposal{action: action, sent: sent, canonical: canonical, metadata: metadata, whole: whole}, nil
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

// canonicalAction is the RFC 8785 JSON of an action with who proposes it in which session. The daemon makes the same.
func canonicalAction(action *aegisv1.Action, actorID, sessionID string) ([]byte, error) {
	actor := &structpb.Struct{Fields: map[string]*structpb.Value{"id": structpb.NewStringValue(actorID)}}
	return canonicaljson.AppendObject(nil, map[string]*structpb.Value{
		"actor":       structpb.NewStructValue(actor),
		"description": structpb.NewStringValue(action.GetDescription()),
		"params":      structpb.NewStructValue(action.GetParams()),
		"session_id":  structpb.NewStringValue(sessionID),
		"target":      structpb.NewStringValue(action.GetTarget()),
		"type":        structpb.NewStringValue(action.GetType()),
	})
}

// saltBytes is how long the salt of a digest is.
const saltBytes = 16

// actionDigest is SHA-256 in hex of a salt, which is given in hex, and the canonical action.
func actionDigest(salt string, canonical []byte) (string, error) {
	digested, err := hex.DecodeString(salt)
	if err != nil || len(digested) != saltBytes {
		return "", fmt.Errorf("the salt of the digest is %q, and not %d hex digits", salt, 2*saltBytes)
	}
	sum := sha256.Sum256(append(digested, canonical...))
	return hex.EncodeToString(sum[:]), nil
}

// An asked is what a call asks about: an action, a decision, or both.
type asked struct {
	// decisionID is the decision. Empty where it is not made yet.
	decisionID string
	// digest is the digest of an earlier answer. Empty where there was none.
	digest string
	// canonical is the action that was sent. Nil where it is not known.
	canonical []byte
}

// then is the same with the decision that is known by now.
func (a asked) then(decision *Decision) asked {
	return asked{decision.DecisionID, decision.ActionDigest, a.canonical}
}

// asked is the decision about this proposal, for later calls.
func (p *proposal) asked(decision *Decision) asked {
	return asked{canonical: p.canonical}.then(decision)
}

// about says what is wrong with a decision as one about the action that was sent. Nil: nothing.
func (a asked) about(decision *Decision) error {
	// What does not allow anything may come without a digest.
	bare := decision.ActionDigestSalt == "" && decision.Outcome != OutcomeAllow
	if a.canonical == nil || bare {
		return nil
	}
	digest, err := actionDigest(decision.ActionDigestSalt, a.canonical)
	if err == nil && digest != decision.ActionDigest {
		err = fmt.Errorf("its digest is %q, and that of the action is %s", decision.ActionDigest, digest)
	}
	return err
}

// accept is an answer as a decision, if it is the one that was asked for: an ALLOW for something else must not run this action.
// The first answer to a proposal may be any decision about the action that was sent.
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
	}
	if err := about.about(decision); err != nil {
		return nil, wrongAnswer(method, fmt.Sprintf("the answer %s is not about the action that was sent: %v", decision.DecisionID, err))
	}
	return decision, nil
}
