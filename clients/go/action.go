package aegis

import (
	"unicode/utf8"

	"github.com/aegis-sidecar/aegis/clients/go/aegisv1"
)

// An Action is what an agent wants to do.
type Action struct {
	// Type is the kind of action, for example "bulk_update". Required. Rules match it with globs.
	Type string `json:"type"`
	// Target is what it acts on, for example "crm". May be empty. Rules match it with globs.
	Target string `json:"target,omitempty"`
	// Params are its arguments: anything that JSON holds exactly. Structs and types with their own JSON are sent as that, times
	// as RFC 3339, durations as seconds, URLs and errors as their text, bytes as base64: clients/README.md has the whole rule.
	// Whole numbers beyond ±(2^53 - 1), NaN, infinities, functions, channels, contexts, cycles, text that is not UTF-8, and
	// what JSON would show nothing of are refused with an *InvalidActionError that says where.
	Params map[string]any `json:"params,omitempty"`
	// Description is the agent's own words for a reviewer. No rule looks at it.
	Description string `json:"description,omitempty"`
}

// String is the type and the target, for example "read_contacts on crm".
func (a Action) String() string {
	if a.Target == "" {
		return a.Type
	}
	return a.Type + " on " + a.Target
}

// An Actor is who proposes, as declared. What was authenticated is an [Identity].
type Actor struct {
	// ID is the declared id, for example "agent-7".
	ID string `json:"id"`
	// Type is the declared kind, for example "ai-agent".
	Type string `json:"type,omitempty"`
}

// proto is the action as it is sent, or an *InvalidActionError.
func (a Action) proto() (*aegisv1.Action, error) {
	if a.Type == "" {
		return nil, &InvalidActionError{Path: "type", Problem: "is empty: say what kind of action it is"}
	}
	texts := []struct{ path, text string }{{"type", a.Type}, {"target", a.Target}, {"description", a.Description}}
	for _, field := range texts {
		if !utf8.ValidString(field.text) {
			return nil, &InvalidActionError{Path: field.path, Problem: notUTF8}
		}
	}
	params, err := toStruct("params", a.Params)
	if err != nil {
		return nil, err
	}
	return &aegisv1.Action{Type: a.Type, Target: a.Target, Params: params, Description: a.Description}, nil
}

func actionFromProto(action *aegisv1.Action) Action {
	return Action{
		Type:        action.GetType(),
		Target:      action.GetTarget(),
		Params:      action.GetParams().AsMap(),
		Description: action.GetDescription(),
	}
}
