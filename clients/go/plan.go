package aegis

import (
	"fmt"
	"strings"
)

// A Plan is a list of actions, each with what the policy would answer. See [Runtime.Plan] and [Runtime.Execute].
type Plan struct {
	// Steps are the actions, in order.
	Steps []Step
}

// A Step is an action of a [Plan].
type Step struct {
	// Action is the action.
	Action Action
	// Evaluation is what the policy answered when the plan was made.
	Evaluation Evaluation
}

// HasBlocked says whether the policy forbids an action of the plan.
func (p *Plan) HasBlocked() bool { return p.has(ApprovalBlock) }

// RequiresApproval says whether a reviewer would be asked about an action of the plan.
func (p *Plan) RequiresApproval() bool { return p.has(ApprovalApprove) }

// AutoOnly says whether every action of the plan would run at once.
func (p *Plan) AutoOnly() bool {
	for _, step := range p.Steps {
		if step.Evaluation.ApprovalMode != ApprovalAuto {
			return false
		}
	}
	return true
}

func (p *Plan) has(mode ApprovalMode) bool {
	for _, step := range p.Steps {
		if step.Evaluation.ApprovalMode == mode {
			return true
		}
	}
	return false
}

// Summary is the plan for people, one line for each action:
//
//  1. [   AUTO] read on crm - Fetch contacts  (risk=LOW, rule=reads)
func (p *Plan) Summary() string {
	var text strings.Builder
	for i, step := range p.Steps {
		action := visible(step.Action.String())
		if step.Action.Description != "" {
			action += " - " + visible(step.Action.Description)
		}
		answer := step.Evaluation
		fmt.Fprintf(&text, "%3d. [%7s] %s  (risk=%s, rule=%s)\n", i+1, strings.ToUpper(string(answer.ApprovalMode)),
			action, strings.ToUpper(answer.RiskLevel.String()), answer.MatchedRule)
	}
	return text.String()
}

// DryRun is what executing the plan would come to if everybody who is asked says yes and every action works. Nothing is
// proposed, nothing runs, nobody is asked, and the record does not change. The data of each result says what would be
// needed.
func (p *Plan) DryRun() []Result {
	results := make([]Result, len(p.Steps))
	for i, step := range p.Steps {
		result := Result{Action: step.Action, Status: StatusSuccess, Data: map[string]any{"dry_run": true, "would_execute": true}}
		switch step.Evaluation.Outcome {
		case OutcomeAllow:
		case OutcomeEscalate:
			result.Data = map[string]any{"dry_run": true, "approval_required": true}
		case OutcomeRequireConfirmation:
			result.Data = map[string]any{"dry_run": true, "confirmation_required": true}
		default:
			result.Status, result.Data = StatusBlocked, nil
			result.Err = fmt.Errorf("blocked by policy rule: %s", step.Evaluation.MatchedRule)
		}
		results[i] = result
	}
	return results
}
