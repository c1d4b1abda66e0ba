//! Rules that overlap with opposite answers: one allows a part of what a later one blocks.
//!
//! Two patterns are no mistake and are not reported: an exception before a general block (the rule that allows is
//! inside the other), and a general rule that allows under conditions before a block of its rest.

use crate::domain::Approval;
use crate::policy::code::Code;
use crate::policy::diagnostic::{Report, quoted};
use crate::policy::globs::Globs;
use crate::policy::lint::place::warn;
use crate::policy::rule::Rule;

/// How many steps of comparing globs one check may take. A policy that needs more is not checked to the end.
const MAX_STEPS: usize = 20_000_000;

pub(super) fn check(rules: &[Rule], report: &mut Report) {
    let mut steps = 0_usize;
    for (at, blocks) in rules.iter().enumerate().filter(|(_, rule)| rule.approval == Approval::Block) {
        let allowing = rules[..at].iter().filter(|rule| rule.approval == Approval::Auto);
        for allows in allowing {
            steps += cost(allows, blocks);
            if steps > MAX_STEPS {
                return;
            }
            if let Some((kind, target)) = overlap(allows, blocks) {
                let message = format!(
                    "rule `{}` blocks `{}` on `{}`, but rule `{}` ({}:{}) comes first and allows it",
                    quoted(&blocks.name),
                    quoted(&kind),
                    quoted(&target),
                    quoted(&allows.name),
                    allows.position.file,
                    allows.position.line
                );
                warn(report, blocks, Code::OppositeRules, message);
                break;
            }
        }
    }
}

fn cost(one: &Rule, other: &Rule) -> usize {
    let length = |rule: &Rule| rule.type_pattern.as_str().len() + rule.target_pattern.as_str().len() + 1;
    length(one).saturating_mul(length(other))
}

/// An action that both rules are about, if neither is inside the other.
fn overlap(allows: &Rule, blocks: &Rule) -> Option<(String, String)> {
    // Paths are compared in another form, so nothing is known about what two of them have in common.
    let is_plain = |rule: &Rule| rule.target_path_pattern.is_none() && rule.actor_pattern.is_none();
    let inside = |one: &Rule, other: &Rule| {
        other.type_pattern.contains(&one.type_pattern) && other.target_pattern.contains(&one.target_pattern)
    };
    if !is_plain(allows) || !is_plain(blocks) || inside(allows, blocks) || inside(blocks, allows) {
        return None;
    }
    Some((common(&allows.type_pattern, &blocks.type_pattern)?, common(&allows.target_pattern, &blocks.target_pattern)?))
}

fn common(one: &Globs, other: &Globs) -> Option<String> {
    one.iter().find_map(|one| other.iter().find_map(|other| one.common(other)))
}
