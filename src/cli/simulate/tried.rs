//! A case and what the policy decides about it, as tables and JSON print it.

use std::fmt;

use serde_json::Value;

use super::case::Case;
use crate::cli::explain::{self, TriedCondition, TriedRule};
use crate::cli::object::Object;
use crate::cli::{paint, safe_json};
use crate::domain::{Approval, RiskLevel, visible};
use crate::policy::{Explanation, Outcome, RuleTrace, Verdict};

/// A case and what the policy decides about it.
pub(super) struct Tried<'a> {
    case: &'a Case,
    risk_level: RiskLevel,
    pub(super) approval: Approval,
    matched_rule: &'a str,
    is_allowed: bool,
    reason: String,
    /// The explanation, and how many rules it leaves out.
    pub(super) trace: Option<(Vec<TriedRule>, u64)>,
}

/// The limits that the action comes under. Only a daemon counts.
fn uncounted(verdict: &Verdict<'_>) -> String {
    let limits = verdict.charges().iter().map(|charge| charge.limit);
    let each: Vec<_> =
        limits.map(|limit| format!("; limit `{}` ({}) is not counted here", limit.name, limit.text())).collect();
    each.concat()
}

impl<'a> Tried<'a> {
    /// Joins a case and its verdict.
    pub(super) fn new(case: &'a Case, verdict: &Verdict<'a>, explanation: Option<&Explanation>) -> Self {
        Self {
            case,
            risk_level: verdict.risk_level,
            approval: verdict.approval,
            matched_rule: verdict.matched_rule,
            is_allowed: verdict.is_allowed(),
            reason: verdict.reason() + &uncounted(verdict),
            trace: explanation.map(|why| (why.rules.iter().map(rule).collect(), why.left_out as u64)),
        }
    }

    /// As a line of a table.
    pub(super) fn line(&self, number: usize) -> String {
        let title = match &self.case.id {
            Value::Null => format!("{}:{}", self.case.action.r#type, self.case.action.target),
            Value::String(id) => id.clone(),
            other => safe_json::compact(other),
        };
        let mode = self.approval.as_str().to_uppercase();
        let style = paint::of(&mode);
        format!(
            "  {number}. {}  {style}[{mode}]{style:#}  risk={}  rule={}  -> {style}{}{style:#}",
            visible(&title),
            self.risk_level.as_upper(),
            visible(self.matched_rule),
            match self.approval {
                Approval::Auto => "ALLOWED",
                Approval::Confirm => "NEEDS CONFIRMATION",
                Approval::Approve => "NEEDS APPROVAL",
                Approval::Block => "BLOCKED",
            }
        )
    }

    /// The answer as JSON.
    pub(super) fn json(&self) -> Object {
        let object = Object::default()
            .with("id", self.case.id.clone())
            .with("risk_level", self.risk_level.as_upper())
            .with("approval", self.approval.as_str())
            .with("matched_rule", self.matched_rule)
            .with("is_allowed", self.is_allowed)
            .with("reason", self.reason.as_str());
        match &self.trace {
            None => object,
            Some((rules, left_out)) => object
                .with("trace", rules.iter().map(explain::json).collect::<Vec<_>>())
                .with("rules_left_out", *left_out),
        }
    }
}

fn rule(trace: &RuleTrace) -> TriedRule {
    let conditions = trace.conditions.iter().map(|condition| TriedCondition {
        text: format!("{}: {}", condition.path, condition.wanted),
        result: match condition.outcome {
            Outcome::Holds => "holds",
            Outcome::Fails => "does not hold",
            Outcome::Indeterminate => "indeterminate",
        }
        .into(),
        seen: condition.seen.clone(),
        reason: condition.because.clone(),
    });
    TriedRule {
        name: trace.name.clone(),
        matched: trace.decides,
        reason: trace.because.clone(),
        conditions: conditions.collect(),
    }
}

/// Counts the decisions by approval mode.
#[derive(Default)]
pub(super) struct Tally {
    auto: usize,
    confirm: usize,
    approve: usize,
    block: usize,
}

impl Tally {
    /// Counts a decision.
    pub(super) fn count(&mut self, approval: Approval) {
        match approval {
            Approval::Auto => self.auto += 1,
            Approval::Confirm => self.confirm += 1,
            Approval::Approve => self.approve += 1,
            Approval::Block => self.block += 1,
        }
    }

    /// The number of counted decisions.
    pub(super) const fn total(&self) -> usize {
        self.auto + self.confirm + self.approve + self.block
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Summary: {} action{}", self.total(), if self.total() == 1 { "" } else { "s" })?;
        write!(f, "  {} auto-execute, {} need approval, ", self.auto, self.approve)?;
        if self.confirm > 0 {
            write!(f, "{} need confirmation, ", self.confirm)?;
        }
        writeln!(f, "{} blocked", self.block)
    }
}
