//! Rules that let more through than they seem to: `auto` on everything, a timeout that allows anybody, a guard on a
//! spelling.

use crate::domain::Approval;
use crate::policy::code::Code;
use crate::policy::compiled::Policy;
use crate::policy::condition::{Condition, Group};
use crate::policy::diagnostic::{Path, Pos, Report, quoted};
use crate::policy::glob::Glob;
use crate::policy::lint::escape;
use crate::policy::lint::place::warn;
use crate::policy::rule::{OnTimeout, Rule};

pub(super) fn check(policy: &Policy, report: &mut Report) {
    if policy.defaults().1 == Approval::Auto {
        let file = policy.layers().last().map_or("policy", |layer| &layer.name);
        let message = "`defaults.approval` is auto: every action that no rule names runs at once";
        report.warn(file, Pos { line: 1, column: 1 }, &Path::Root.key("defaults"), Code::AllowsEverything, message);
    }
    for rule in policy.rules() {
        allows_everything(rule, report);
        silent_allow(rule, report);
        dodgeable(rule, report);
    }
}

fn allows_everything(rule: &Rule, report: &mut Report) {
    let is_broad = rule.type_pattern.matches_everything()
        && rule.target_pattern.matches_everything()
        && rule.target_path_pattern.is_none()
        && !has_test(&rule.conditions);
    if rule.approval == Approval::Auto && is_broad {
        let name = quoted(&rule.name);
        let message = format!("rule `{name}` is auto on `*`: every action that no rule before it names runs at once");
        warn(report, rule, Code::AllowsEverything, message);
    }
}

fn silent_allow(rule: &Rule, report: &mut Report) {
    if rule.approval != Approval::Approve || rule.on_timeout != OnTimeout::Allow {
        return;
    }
    let who = match (rule.actor_pattern.is_none(), has_test(&rule.conditions) || rule.target_path_pattern.is_some()) {
        (true, true) => "by an unauthenticated caller and by a value in doubt",
        (true, false) => "by an unauthenticated caller",
        (false, true) => "by a value in doubt",
        (false, false) => return,
    };
    let message =
        format!("rule `{}` allows if nobody answers, and it is reached {who}: waiting is enough", quoted(&rule.name));
    warn(report, rule, Code::SilentAllow, message);
}

/// A rule that blocks or asks on a fixed path, which `/x/../path` reaches too.
fn dodgeable(rule: &Rule, report: &mut Report) {
    if rule.may_need_no_reviewer() || rule.target_path_pattern.is_some() {
        return;
    }
    let is_path = |text: &str| text.starts_with('/') && escape::root(&format!("{text}/*")).is_some();
    let dodged =
        rule.target_pattern.iter().map(Glob::as_str).find(|text| {
            !text.contains("..") && (escape::root(text).is_some() && text.starts_with('/') || is_path(text))
        });
    if let Some(glob) = dodged {
        let message = format!(
            "rule `{}` guards the target `{}` as it is spelled: `/x/..{}` leads there and does not match",
            quoted(&rule.name),
            quoted(glob),
            quoted(glob)
        );
        warn(report, rule, Code::DodgeableTarget, message);
    }
}

/// Whether something about a parameter is tested. The depth of conditions is bounded.
fn has_test(group: &Group) -> bool {
    group.iter().any(|condition| match condition {
        Condition::Param(..) | Condition::Caller(..) => true,
        Condition::All(groups) | Condition::Any(groups) => groups.iter().any(has_test),
        Condition::Not(group) => has_test(group),
        Condition::Time(..) | Condition::Weekdays(..) => false,
    })
}
