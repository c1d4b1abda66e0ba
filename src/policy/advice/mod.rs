//! What `aegis lint` finds beside the warnings of loading: what takes longer to find, or is a matter of judgement.
//!
//! Loading warns only of what is never a guess ([`lint`](super::lint)). A finding here may be meant: then it stays.

mod broad;
mod fix;
mod never;
mod opposite;
#[cfg(test)]
mod tests;

pub use fix::fix;

use super::compiled::Policy;
use super::diagnostic::{Diagnostic, Report};

/// What is legal in a policy, and may let more through, or less, than its author believes.
pub fn advise(policy: &Policy) -> Vec<Diagnostic> {
    let mut report = Report::default();
    broad::check(policy, &mut report);
    opposite::check(policy.rules(), &mut report);
    never::check(policy.rules(), &mut report);
    // Nothing here is an error.
    report.finish().unwrap_or_default()
}
