//! The policy floor: it compiles YAML into a policy, and the policy decides.
//!
//! It is pure: no clock, no I/O, nothing asynchronous. A [`Question`] carries the moment, a [`Source`] the text of a
//! file. The life of a policy, and where to look for each step:
//!
//! 1. `yaml` reads the text of a layer into values with positions, strictly and within bounds;
//! 2. `read` makes rules of them, reporting every mistake at its place ([`Diagnostic`]);
//! 3. `compiled` merges the layers and names the result by the hash of its normal form (`canonical`); `lint` checks
//!    the whole for what is legal but probably not meant, and `advice` looks longer (each kind has a [`Code`]);
//! 4. `index` finds the few rules worth trying for a [`Question`]; `rule`, `globs`, `target_path`, `condition`,
//!    `pattern`, `shape`, `window`, `value` and `lenient` say whether a rule matches, does not match, or may match
//!    (`truth`); the strictest rule that may match gives the [`Verdict`];
//! 5. `limit` says how often something may happen, and `scoped` what a limit beside the rules is about; the daemon
//!    counts;
//! 6. `explain` does the same slowly and says why, `mask` hides what a policy names, `secrets` hides what looks like a
//!    secret, `coverage` counts what tests have tried, `schema` describes the format.
//!
//! ```
//! use aegis::domain::{Action, Approval, Timestamp};
//! use aegis::policy::{Policy, Question};
//!
//! let policy = Policy::starter();
//! let action = Action { r#type: "delete".into(), target: "db".into(), ..Action::default() };
//! let question = Question {
//!     action: &action,
//!     declared_actor: "agent-7",
//!     authenticated_actor: None,
//!     now: Timestamp::UNIX_EPOCH,
//!     masked: &[],
//! };
//! let verdict = policy.evaluate(&question);
//! assert_eq!((verdict.approval, verdict.matched_rule), (Approval::Block, "delete_block"));
//! assert_eq!(verdict.reason(), "rule `delete_block` blocks this action");
//! ```

mod advice;
mod canonical;
mod code;
mod compiled;
mod condition;
mod coverage;
mod diagnostic;
mod explain;
mod glob;
mod globs;
mod index;
mod lenient;
mod limit;
mod lint;
mod mask;
mod pattern;
mod question;
mod read;
mod replay;
mod rule;
mod schema;
mod scoped;
mod secrets;
mod sets;
mod shape;
mod strict;
mod target_path;
mod truth;
mod value;
mod verdict;
mod window;
mod yaml;

/// How long the text of one layer may be, in bytes.
pub const MAX_SOURCE_BYTES: usize = yaml::MAX_BYTES;

pub use advice::{advise, fix};
pub use code::{Code, Severity};
pub use compiled::{CODING_AGENT, MAX_LAYERS, Policy, STARTER, Source};
pub use condition::{Condition, Group, Length, Test};
pub use coverage::{Coverage, Uncovered};
pub use diagnostic::{Diagnostic, LoadErrors};
pub use explain::{ConditionTrace, Explanation, Outcome, RuleTrace};
pub use glob::Glob;
pub use globs::Globs;
pub use limit::{By, Counted, Limit, Quantity};
pub use mask::{is_masked, mask, masked_characters};
pub use pattern::Pattern;
pub use question::Question;
pub use rule::{DEFAULT_TIMEOUT, OnTimeout, Position, Rule};
pub use schema::schema;
pub use scoped::Scoped;
pub use secrets::{Found, Secrets};
pub use shape::Shape;
pub use strict::{Step, StrictYaml};
pub use truth::{Doubt, Why};
pub use verdict::{Charge, DEFAULT_RULE, Reached, Verdict};
pub use window::{Minute, Weekdays, Window, Zone};

#[cfg(test)]
mod tests;
