//! One rule.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::fields::Reader;
use crate::domain::{Approval, RiskLevel};
use crate::policy::code::Code;
use crate::policy::condition::{Condition, Group};
use crate::policy::diagnostic::{Path, quoted};
use crate::policy::glob::{Glob, MAX_CHARS};
use crate::policy::globs::Globs;
use crate::policy::limit::Limit;
use crate::policy::rule::{OnTimeout, Rule};
use crate::policy::target_path;
use crate::policy::verdict::DEFAULT_RULE;
use crate::policy::yaml::{Node, Value, map_to_json};

const KEYS: [&str; 11] = [
    "name",
    "match",
    "conditions",
    "risk_level",
    "approval",
    "reason",
    "constraints",
    "timeout",
    "on_timeout",
    "redact",
    "limit",
];

/// The longest name of a rule, in characters.
pub(in crate::policy) const MAX_NAME: usize = 256;

/// The longest reason, in characters.
pub(in crate::policy) const MAX_REASON: usize = 4096;

/// The longest time that an approval may stay open.
const MAX_TIMEOUT: Duration = Duration::from_hours(720);

impl Reader<'_> {
    pub(super) fn rule(&mut self, node: &Node, path: &Path<'_>, index: usize) -> Option<Rule> {
        let entries = self.map(node, path, "a mapping with `match`, `conditions`, `risk_level` and `approval`")?;
        let mut rule = Rule::new(index, self.position(node));
        let mut limit = None;
        let before = self.report.error_count();
        for entry in entries {
            let (value, path_here) = (&entry.value, path.key(&entry.key));
            match entry.key.as_str() {
                "name" => {
                    if let Some(name) = self.name(value, &path_here) {
                        (rule.name, rule.is_named) = (name, true);
                    }
                }
                "match" => self.matching(value, &path_here, &mut rule),
                "conditions" => rule.conditions = self.conditions(value, &path_here),
                "risk_level" => rule.risk_level = self.risk_level(value, &path_here).unwrap_or(rule.risk_level),
                "approval" => rule.approval = self.approval(value, &path_here).unwrap_or(rule.approval),
                "reason" => rule.reason = self.text(value, &path_here, MAX_REASON).map(str::to_owned),
                "constraints" => {
                    let wanted = "a mapping, which is handed to the agent as it is";
                    rule.constraints = self.map(value, &path_here, wanted).map(map_to_json).unwrap_or_default();
                }
                "timeout" => rule.timeout = self.timeout(value, &path_here),
                "on_timeout" => {
                    let known = [OnTimeout::Deny.as_str(), OnTimeout::Allow.as_str()];
                    rule.on_timeout =
                        self.word(value, &path_here, "answer", &known, &[("block", "deny")]).unwrap_or_default();
                }
                "redact" => rule.redact = self.param_paths(value, &path_here),
                "limit" => limit = self.limit_of_rule(value, &path_here),
                _ => self.unknown(entry, path, "key", &KEYS),
            }
        }
        rule.limit = limit.map(|limit| Arc::new(Limit { name: rule.name.clone(), ..limit }));
        // The checks below compare the parts of a rule, which means nothing while one of them is wrong.
        if self.report.error_count() == before {
            self.check_whole(node, path, &rule);
        }
        Some(rule)
    }

    fn name(&mut self, node: &Node, path: &Path<'_>) -> Option<String> {
        let name = self.text(node, path, MAX_NAME)?;
        if name == DEFAULT_RULE {
            self.error(
                node.pos,
                path,
                Code::ReservedName,
                format!("`{DEFAULT_RULE}` is what stands for no rule at all: choose another name"),
            );
            return None;
        }
        Some(name.to_owned())
    }

    pub(super) fn matching(&mut self, node: &Node, path: &Path<'_>, rule: &mut Rule) {
        let Some(entries) = self.map(node, path, "a mapping with `type`, `target`, `target_path` and `actor`") else {
            return;
        };
        for entry in entries {
            let here = path.key(&entry.key);
            match entry.key.as_str() {
                "type" => rule.type_pattern = self.globs(&entry.value, &here, Self::glob),
                "target" => rule.target_pattern = self.globs(&entry.value, &here, Self::glob),
                "target_path" => {
                    rule.target_path_pattern = Some(Box::new(self.globs(&entry.value, &here, Self::path_glob)));
                }
                "actor" => rule.actor_pattern = Some(self.globs(&entry.value, &here, Self::glob)),
                _ => self.unknown(entry, path, "key", &["type", "target", "target_path", "actor"]),
            }
        }
    }

    /// A glob, a list of globs, or a set of them.
    fn globs(&mut self, node: &Node, path: &Path<'_>, read: fn(&mut Self, &Node, &Path<'_>) -> Glob) -> Globs {
        if !matches!(node.value, Value::List(_) | Value::Map(_)) {
            return read(self, node, path).into();
        }
        // What is wrong is reported and never used.
        let nothing = || Globs::from(Glob::new(""));
        let Some(items) = self.list_or_set(node, path, "a glob, a list of globs or `{ set: NAME }`") else {
            return nothing();
        };
        if items.is_empty() {
            let message = "must not be empty: leave the key out if everything is meant, which is `*`";
            self.error(node.pos, path, Code::EmptyValue, message);
        }
        let of_set = path.key("set");
        let path = if matches!(node.value, Value::Map(_)) { &of_set } else { path };
        let globs = items.iter().enumerate().map(|(i, item)| read(self, item, &path.item(i))).collect();
        Globs::new(globs).unwrap_or_else(nothing)
    }

    /// A glob over targets in their normal form.
    fn path_glob(&mut self, node: &Node, path: &Path<'_>) -> Glob {
        let glob = self.glob(node, path);
        if let Some(mistake) = target_path::mistake(glob.as_str()) {
            self.error(
                node.pos,
                path,
                Code::InvalidGlob,
                format!("`{}` matches no target: {mistake}", quoted(glob.as_str())),
            );
        }
        glob
    }

    fn glob(&mut self, node: &Node, path: &Path<'_>) -> Glob {
        // An empty glob is legal: it matches only the empty text. A wrong glob is reported and never used.
        let text = self.any_text(node, path, MAX_CHARS).unwrap_or_default();
        let (glob, oddities) = Glob::parse(text);
        for oddity in oddities {
            self.warn(node.pos, path, Code::OddGlob, format!("in `{}` {}", quoted(text), oddity.message()));
        }
        if let (true, Value::Text(_)) = (text.is_empty(), &node.value) {
            let message = "matches only what is empty: leave the key out if everything is meant, which is `*`";
            self.warn(node.pos, path, Code::EmptyGlob, message);
        }
        glob
    }

    fn timeout(&mut self, node: &Node, path: &Path<'_>) -> Option<Duration> {
        let text = self.text(node, path, 32)?;
        let Some(timeout) = parse_timeout(text) else {
            self.error(
                node.pos,
                path,
                Code::InvalidTime,
                format!("`{}` is no time: write a whole number with a unit, like 30s, 5m or 1h", quoted(text)),
            );
            return None;
        };
        if timeout > MAX_TIMEOUT {
            self.error(
                node.pos,
                path,
                Code::InvalidTime,
                format!("`{}` is longer than an approval may stay open, which is 720h", quoted(text)),
            );
            return None;
        }
        Some(timeout)
    }

    fn check_whole(&mut self, node: &Node, path: &Path<'_>, rule: &Rule) {
        if rule.on_timeout == OnTimeout::Allow && rule.risk_level >= RiskLevel::High {
            let message = format!(
                "`on_timeout: allow` is never possible at risk level {}: nobody has looked at it",
                rule.risk_level
            );
            self.error(node.pos, &path.key("on_timeout"), Code::UnsafeTimeout, message);
        }
        let asks = matches!(rule.approval, Approval::Approve | Approval::Confirm);
        if !asks && (rule.timeout.is_some() || rule.on_timeout == OnTimeout::Allow) {
            let message =
                format!("`timeout` and `on_timeout` mean nothing with `approval: {}`: nobody is asked", rule.approval);
            self.warn(node.pos, path, Code::UnusedTimeout, message);
        }
        if rule.limit.is_some() && rule.approval == Approval::Block {
            let message = "`limit` means nothing with `approval: block`: nothing is allowed that could be counted";
            self.warn(node.pos, &path.key("limit"), Code::UnusedLimit, message);
        }
        if rule.limit.is_some() && !rule.is_named {
            let message = format!(
                "what was spent is kept under the name of the rule, and `{}` is another rule once one is added before \
                 it: give the rule a name",
                quoted(&rule.name)
            );
            self.warn(node.pos, &path.key("limit"), Code::AutomaticName, message);
        }
        self.check_actor(node, path, rule);
    }

    /// Warns of a rule, or a limit, that an agent can avoid by another name.
    pub(super) fn check_actor(&mut self, node: &Node, path: &Path<'_>, rule: &Rule) {
        if let (Some(actor), false) = (&rule.actor_pattern, rule.may_need_no_reviewer()) {
            let message = format!(
                "an agent that is not authenticated chooses its own name, so it can avoid `{}`: let agents \
                 authenticate, or put a rule without `actor` after this one that is as strict",
                quoted(actor.as_str())
            );
            self.warn(node.pos, &path.key("match").key("actor"), Code::UnauthenticatedActor, message);
        }
        if !rule.may_need_no_reviewer() && names_caller(&rule.conditions) {
            let message = "an agent that is not authenticated chooses its own name, so it chooses what `${actor.id}` \
                stands for: let agents authenticate, or turn the rule around, so that the caller's own are allowed";
            self.warn(node.pos, &path.key("conditions"), Code::UnauthenticatedActor, message);
        }
    }
}

impl FromStr for OnTimeout {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "deny" => Ok(Self::Deny),
            "allow" => Ok(Self::Allow),
            _ => Err(()),
        }
    }
}

/// Whether a condition compares with the caller. The depth of conditions is bounded.
fn names_caller(group: &Group) -> bool {
    group.iter().any(|condition| match condition {
        Condition::Caller(..) => true,
        Condition::All(groups) | Condition::Any(groups) => groups.iter().any(names_caller),
        Condition::Not(group) => names_caller(group),
        Condition::Time(..) | Condition::Weekdays(..) | Condition::Param(..) => false,
    })
}

/// Reads `30s`, `5m` or `1h`.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        _ => return None,
    };
    // No sign and no leading zero, so zero is refused too: a timeout of zero denies before anybody can look.
    if digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // A number with too many digits is too long a timeout.
    let amount = if digits.is_empty() { return None } else { digits.parse().unwrap_or(u64::MAX) };
    Some(Duration::from_secs(amount.saturating_mul(seconds)))
}

/// A timeout as a policy writes it, in the largest unit that divides it.
pub(in crate::policy) fn timeout_text(timeout: Duration) -> String {
    match timeout.as_secs() {
        seconds if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        seconds if seconds % 60 == 0 => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}
