//! What is legal in a policy and probably not meant, as far as it takes more than one rule to see it.
//!
//! Whatever one rule shows by itself is said where it is read ([`read`](super::read)). A warning here is never a guess:
//! a rule that is called hidden is hidden. What cannot be shown cheaply is not said.

mod escape;
mod hidden;
mod place;
#[cfg(test)]
mod tests;

use super::diagnostic::Report;
use super::rule::Rule;

/// Looks at the rules in the order in which they are tried.
pub(super) fn check(rules: &[Rule], report: &mut Report) {
    hidden::check(rules, report);
    escape::check(rules, report);
}
