//! Limits: on a rule, or in the `limits` of a file.

use std::str::FromStr;
use std::time::Duration;

use super::fields::Reader;
use super::rule::MAX_NAME;
use crate::domain::{Approval, ResultStatus, times};
use crate::policy::code::Code;
use crate::policy::diagnostic::{Path, quoted};
use crate::policy::limit::{By, Counted, Limit, Quantity};
use crate::policy::rule::{Position, Rule};
use crate::policy::scoped::Scoped;
use crate::policy::yaml::{Entry, Node, Value};

/// The most limits that a policy may have beside those of its rules. Every proposal is compared with all of them.
pub(in crate::policy) const MAX_LIMITS: usize = 100;

/// The longest time that a limit may look back.
const MAX_PER: Duration = Duration::from_hours(366 * 24);

const KEYS: [&str; 8] = ["max", "per", "by", "sum", "count", "approval", "risk_level", "release_on"];
const OWN_KEYS: [&str; 3] = ["name", "match", "conditions"];

/// The results that may give back what was spent.
const RELEASING: [ResultStatus; 3] = [ResultStatus::Failed, ResultStatus::Skipped, ResultStatus::RolledBack];

impl Reader<'_> {
    /// The limit of a rule.
    pub(super) fn limit_of_rule(&mut self, node: &Node, path: &Path<'_>) -> Option<Limit> {
        let entries = self.map(node, path, "a mapping with `max`, `per` and `by`")?;
        self.limit(entries, node, path, true)
    }

    /// The limits of a file.
    pub(super) fn limits(&mut self, node: &Node, path: &Path<'_>) -> Vec<Scoped> {
        let Some(items) = self.list(node, path, "a list of limits") else { return Vec::new() };
        if items.len() > MAX_LIMITS {
            let message = format!("has {} limits, a policy may have {MAX_LIMITS}", items.len());
            self.error(node.pos, path, Code::TooLarge, message);
            return Vec::new();
        }
        let mut limits: Vec<Scoped> = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            let path = path.item(i);
            let Some(limit) = self.scoped(item, &path) else { continue };
            if limits.iter().any(|other| other.limit.name == limit.limit.name) {
                let message = format!("the name `{}` is already that of a limit above", quoted(&limit.limit.name));
                self.error(item.pos, &path, Code::DuplicateRule, message);
            }
            limits.push(limit);
        }
        limits
    }

    /// One limit that stands alone.
    fn scoped(&mut self, node: &Node, path: &Path<'_>) -> Option<Scoped> {
        let entries = self.map(node, path, "a mapping with `name`, `match` and `max`")?;
        let mut scope = Rule { approval: Approval::Block, ..Rule::new(0, self.position(node)) };
        let mut is_named = false;
        for entry in entries {
            let (value, here) = (&entry.value, path.key(&entry.key));
            match entry.key.as_str() {
                "name" => {
                    is_named = true;
                    self.text(value, &here, MAX_NAME).unwrap_or_default().clone_into(&mut scope.name);
                }
                "match" => self.matching(value, &here, &mut scope),
                "conditions" => scope.conditions = self.conditions(value, &here),
                _ => {}
            }
        }
        if !is_named {
            let message = "a limit needs a `name`: what was spent is kept under it";
            self.error(node.pos, path, Code::EmptyValue, message);
        }
        self.check_actor(node, path, &scope);
        let limit = self.limit(entries, node, path, false)?;
        let limit = Limit { name: scope.name.clone(), ..limit };
        Some(Scoped { scope, limit: limit.into() })
    }

    fn limit(&mut self, entries: &[Entry], node: &Node, path: &Path<'_>, is_of_rule: bool) -> Option<Limit> {
        let (mut max, mut sum, mut counts_failures) = (None, None, false);
        let mut limit = Limit {
            name: String::new(),
            is_of_rule,
            max: Quantity::ONE,
            per: None,
            by: Vec::new(),
            counted: Counted::Actions,
            approval: Approval::Block,
            risk_level: None,
            release_on: Vec::new(),
        };
        let before = self.report.error_count();
        for entry in entries {
            let (value, here) = (&entry.value, path.key(&entry.key));
            match entry.key.as_str() {
                "max" => max = self.max(value, &here),
                "per" => limit.per = self.per(value, &here),
                "by" => limit.by = self.by(value, &here),
                "sum" => sum = self.param_path(value, &here),
                "count" => {
                    let word: Option<Count> = self.word(value, &here, "count", &["actions", "failures"], &[]);
                    counts_failures = matches!(word, Some(Count::Failures));
                }
                "approval" => limit.approval = self.limit_approval(value, &here),
                "risk_level" => limit.risk_level = self.risk_level(value, &here),
                "release_on" => limit.release_on = self.release_on(value, &here),
                key if !is_of_rule && OWN_KEYS.contains(&key) => {}
                _ if is_of_rule => self.unknown(entry, path, "key", &KEYS),
                _ => self.unknown(entry, path, "key", &[&OWN_KEYS[..], &KEYS[..]].concat()),
            }
        }
        if !entries.iter().any(|entry| entry.key == "max") {
            self.error(node.pos, path, Code::EmptyValue, "a limit needs `max`: the most that may be spent");
        }
        if self.report.error_count() != before {
            return None;
        }
        limit.max = max?;
        limit.counted = match (sum, counts_failures) {
            (None, false) => Counted::Actions,
            (Some(path), false) => Counted::Sum(path),
            (None, true) => Counted::Failures,
            (Some(_), true) => {
                let message = "`sum` and `count: failures` exclude each other: write two limits";
                self.error(node.pos, path, Code::InvalidValue, message);
                return None;
            }
        };
        self.check_limit(node, path, &limit).then_some(limit)
    }

    fn check_limit(&mut self, node: &Node, path: &Path<'_>, limit: &Limit) -> bool {
        let before = self.report.error_count();
        if !matches!(limit.counted, Counted::Sum(_)) && !limit.max.is_whole() {
            let message = "must be a whole number, unless `sum` names a parameter";
            self.error(node.pos, &path.key("max"), Code::InvalidValue, message);
        }
        if limit.counted == Counted::Failures && !limit.release_on.is_empty() {
            let message = "means nothing with `count: failures`: a report of a success begins again";
            self.error(node.pos, &path.key("release_on"), Code::InvalidValue, message);
        }
        if self.report.error_count() != before {
            return false;
        }
        for (by, chooses) in [
            (By::Session, "every agent chooses its own session"),
            (By::Actor, "an agent that is not authenticated chooses its own name"),
        ] {
            if limit.by.contains(&by) {
                let message = format!(
                    "{chooses}, and with another one it spends from the beginning: let agents authenticate, and add a \
                     limit by subject, or one for all"
                );
                self.warn(node.pos, &path.key("by"), Code::SelfChosenKey, message);
            }
        }
        if !limit.release_on.is_empty() {
            let message = "an agent reports its own results, so it can give back what it has spent";
            self.warn(node.pos, &path.key("release_on"), Code::ReleasedByAgent, message);
        }
        true
    }

    fn max(&mut self, node: &Node, path: &Path<'_>) -> Option<Quantity> {
        let Value::Number(number) = &node.value else {
            self.wrong(node, path, "a number");
            return None;
        };
        let is_enough = number.as_f64().is_some_and(|number| number >= 0.000_001);
        let max = Quantity::of(number).filter(|_| is_enough);
        if max.is_none() {
            let message = "must be from 0.000001 to 1000000000000 (10^12): to permit nothing, write a rule with \
                           `approval: block`";
            self.error(node.pos, path, Code::InvalidValue, message);
        }
        max
    }

    fn per(&mut self, node: &Node, path: &Path<'_>) -> Option<Duration> {
        let text = self.text(node, path, 32)?;
        let is_simple = text.len() > 1
            && text.ends_with(['s', 'm', 'h', 'd'])
            && !text.starts_with('0')
            && text[..text.len() - 1].bytes().all(|byte| byte.is_ascii_digit());
        let per = if is_simple { times::duration(text).ok() } else { None };
        let Some(per) = per.filter(|per| *per <= MAX_PER) else {
            let message = format!(
                "`{}` is no time: write a whole number with a unit, like 30s, 5m, 1h or 7d, at most 366d; leave `per` \
                 out if the limit holds until somebody resets it",
                quoted(text)
            );
            self.error(node.pos, path, Code::InvalidTime, message);
            return None;
        };
        Some(per)
    }

    /// A word or a list of words.
    fn by(&mut self, node: &Node, path: &Path<'_>) -> Vec<By> {
        let known = By::ALL.map(By::as_str);
        let mut all = Vec::new();
        match &node.value {
            Value::List(items) if items.is_empty() => {
                let message = "must not be empty: leave the key out for one count of everything";
                self.error(node.pos, path, Code::EmptyValue, message);
            }
            Value::List(items) => {
                for (i, item) in items.iter().enumerate() {
                    all.extend(self.word::<By>(item, &path.item(i), "word", &known, &[]));
                }
            }
            _ => all.extend(self.word::<By>(node, path, "word", &known, &[])),
        }
        // The order means nothing, so it must not change the revision.
        all.sort_unstable();
        all.dedup();
        all
    }

    fn limit_approval(&mut self, node: &Node, path: &Path<'_>) -> Approval {
        let approval = self.approval(node, path);
        if approval == Some(Approval::Auto) {
            let message = "a limit that allows what exceeds it limits nothing: write confirm, approve or block";
            self.error(node.pos, path, Code::InvalidValue, message);
        }
        approval.unwrap_or(Approval::Block)
    }

    fn release_on(&mut self, node: &Node, path: &Path<'_>) -> Vec<ResultStatus> {
        let Some(items) = self.list(node, path, "a list of results") else { return Vec::new() };
        let known = RELEASING.map(ResultStatus::as_str);
        let mut all = Vec::new();
        for (i, item) in items.iter().enumerate() {
            let result: Option<Releasing> = self.word(item, &path.item(i), "result", &known, &[]);
            all.extend(result.map(|Releasing(status)| status));
        }
        all.sort_unstable_by_key(|status| status.as_str());
        all.dedup();
        all
    }

    /// Where a value is written.
    pub(super) fn position(&self, node: &Node) -> Position {
        Position { file: self.file.to_owned(), line: node.pos.line, column: node.pos.column }
    }
}

/// What `count` says.
#[derive(Clone, Copy)]
enum Count {
    Actions,
    Failures,
}

impl FromStr for Count {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "actions" => Ok(Self::Actions),
            "failures" => Ok(Self::Failures),
            _ => Err(()),
        }
    }
}

/// A result in `release_on`.
struct Releasing(ResultStatus);

impl FromStr for Releasing {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        RELEASING.into_iter().find(|status| status.as_str() == word).map(Self).ok_or(())
    }
}
