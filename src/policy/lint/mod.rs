//! Warnings about what is legal in a policy but probably not meant, if more than one rule is needed to see it.
//!
//! A warning about a single rule is given where the rule is read ([`read`](super::read)). A warning here is never a
//! guess: a rule reported as hidden is hidden. What cannot be shown cheaply is not reported.

pub(super) mod escape;
mod hidden;
pub(super) mod place;
#[cfg(test)]
mod tests;

use super::diagnostic::Report;
use super::rule::Rule;

/// Looks at the rules in the order in which they are tried.
pub(super) fn check(rules: &[Rule], report: &mut Report) {
    hidden::check(rules, report);
    escape::check(rules, report);
}
