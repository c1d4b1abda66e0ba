//! Asks policies what suites ask.

use std::path::{Path, PathBuf};

use super::suite::{self, Case, Expected, Suite};
use crate::cli::failure::Failure;
use crate::cli::policy_files;
use crate::domain::{Outcome, RiskLevel};
use crate::policy::{Condition, Coverage, Group, Policy, Question};

/// The results of all suites.
pub(super) struct Results {
    pub(super) suites: Vec<SuiteResult>,
}

/// The results of one suite.
pub(super) struct SuiteResult {
    pub(super) file: String,
    /// The layers of its policy, as messages name them.
    pub(super) layers: Vec<String>,
    pub(super) revision: String,
    pub(super) tests: Vec<TestResult>,
    /// What its tests left untried, if no earlier suite tests the same policy; else `None`.
    pub(super) coverage: Option<CoverageResult>,
}

/// The result of one case.
pub(super) struct TestResult {
    pub(super) case: Case,
    pub(super) outcome: Outcome,
    pub(super) risk_level: RiskLevel,
    pub(super) rule: String,
    /// Where the rule is written: `base.yaml:4`; empty for the defaults.
    pub(super) place: String,
    /// The reason that an agent would be given.
    pub(super) reason: String,
}

/// What all tests of one policy left untried.
pub(super) struct CoverageResult {
    pub(super) tried: usize,
    pub(super) all: usize,
    pub(super) untried: Vec<Untried>,
}

/// A rule or condition that was not tried.
pub(super) struct Untried {
    pub(super) rule: String,
    pub(super) place: String,
    /// Empty for the rule itself.
    pub(super) condition: String,
    pub(super) what: &'static str,
}

impl Results {
    /// Reads and runs these suites. Nothing runs if one cannot be read.
    pub(super) fn of(suites: &[PathBuf]) -> Result<Self, Failure> {
        let suites: Vec<Suite> = suites.iter().map(|path| suite::read(path)).collect::<Result<_, _>>()?;
        let policies: Vec<Policy> = suites.iter().map(policy).collect::<Result<_, _>>()?;
        let mut coverages: Vec<Coverage<'_>> = policies.iter().map(Coverage::new).collect();
        let mut results = Vec::with_capacity(suites.len());
        for ((suite, policy), coverage) in suites.into_iter().zip(&policies).zip(&mut coverages) {
            let tests = suite.cases.into_iter().map(|case| test(policy, coverage, case)).collect();
            let layers = policy.layers().iter().map(|layer| layer.name.clone()).collect();
            let revision = policy.revision().to_string();
            results.push(SuiteResult { file: suite.file, layers, revision, tests, coverage: None });
        }
        // Suites of the same files cover a policy together.
        for first in 0..results.len() {
            if results[..first].iter().any(|earlier| earlier.layers == results[first].layers) {
                continue;
            }
            let mut whole = Coverage::new(&policies[first]);
            for (result, coverage) in results.iter().zip(&coverages).skip(first) {
                if result.layers == results[first].layers {
                    whole.add(coverage);
                }
            }
            results[first].coverage = Some(covered(&whole));
        }
        Ok(Self { suites: results })
    }

    /// How many tests there are.
    pub(super) fn total(&self) -> usize {
        self.suites.iter().map(|suite| suite.tests.len()).sum()
    }

    /// How many tests failed.
    pub(super) fn failed(&self) -> usize {
        self.suites.iter().flat_map(|suite| &suite.tests).filter(|test| !test.passed()).count()
    }
}

impl TestResult {
    /// Whether the answer is the expected one.
    pub(super) fn passed(&self) -> bool {
        let Expected { outcome, rule, risk_level } = &self.case.expected;
        *outcome == self.outcome
            && rule.as_ref().is_none_or(|rule| *rule == self.rule)
            && risk_level.is_none_or(|level| level == self.risk_level)
    }

    /// The name of the test, with the actor and the action.
    pub(super) fn title(&self) -> String {
        let Case { name, actor_name, action_name, .. } = &self.case;
        let who = if actor_name.is_empty() { String::new() } else { format!("{actor_name}, ") };
        format!("{name}: {who}{action_name}")
    }

    /// What was expected, and what was answered instead.
    pub(super) fn difference(&self) -> String {
        let Expected { outcome, rule, risk_level } = &self.case.expected;
        let rule = rule.as_ref().map_or_else(String::new, |rule| format!(" by `{rule}`"));
        let level = risk_level.map_or_else(String::new, |level| format!(" at {level} risk"));
        let place = if self.place.is_empty() { String::new() } else { format!(" ({})", self.place) };
        format!(
            "expected {}{rule}{level}, got {} by `{}`{place} at {} risk: {}",
            outcome.as_str(),
            self.outcome.as_str(),
            self.rule,
            self.risk_level,
            self.reason
        )
    }
}

/// The policy of a suite. A policy that looks at the clock needs one in the suite, so that a test says the same every
/// day.
fn policy(suite: &Suite) -> Result<Policy, Failure> {
    let policy = Policy::load(&policy_files::read(&suite.layers)?).map_err(|errors| policy_files::invalid(&errors))?;
    let on_clock = policy.rules().iter().find(|rule| looks_at_clock(&rule.conditions));
    if let (Some(rule), false) = (on_clock, suite.has_clock) {
        let message = format!("{}: rule `{}` looks at the clock, and the suite has none", suite.file, rule.name);
        return Err(Failure::new(message).hint("give it one, for example `now: 2026-11-27T10:00:00Z`"));
    }
    Ok(policy)
}

fn looks_at_clock(group: &Group) -> bool {
    group.iter().any(|condition| match condition {
        Condition::Time(..) | Condition::Weekdays(..) => true,
        Condition::All(groups) | Condition::Any(groups) => groups.iter().any(looks_at_clock),
        Condition::Not(group) => looks_at_clock(group),
        Condition::Param(..) | Condition::Caller(..) => false,
    })
}

fn test<'p>(policy: &'p Policy, coverage: &mut Coverage<'p>, case: Case) -> TestResult {
    let question = Question {
        action: &case.action,
        declared_actor: &case.actor.id,
        authenticated_actor: case.actor.authenticated.then_some(case.actor.id.as_str()),
        now: case.now,
        masked: &[],
    };
    coverage.count(&question);
    let verdict = policy.evaluate(&question);
    TestResult {
        outcome: verdict.approval.first_outcome(),
        risk_level: verdict.risk_level,
        rule: verdict.matched_rule.to_owned(),
        place: verdict.rule.map_or_else(String::new, |rule| place(&rule.position.file, rule.position.line)),
        reason: verdict.reason(),
        case,
    }
}

fn covered(coverage: &Coverage<'_>) -> CoverageResult {
    let (tried, all) = coverage.share();
    let untried = coverage.uncovered().into_iter().map(|one| Untried {
        rule: one.rule.name.clone(),
        place: place(&one.rule.position.file, one.rule.position.line),
        condition: one.condition,
        what: one.what,
    });
    CoverageResult { tried, all, untried: untried.collect() }
}

fn place(file: &str, line: usize) -> String {
    format!("{}:{line}", Path::new(file).display())
}
