//! The pipeline: propose -> decide -> record -> (ask) -> answer. This floor owns the order of things.
//!
//! Every change of state is one job for the record's writer ([`Store::transact`]). It checks what must still hold and
//! writes the records and the state they change. Only when that is durable it changes what is in memory ([`Queue`],
//! [`Generations`]) and answers. Because there is one writer, jobs have an order, that of their arrival: of two
//! reviewers one is first, and an approval is decided under the policy that is in force when its turn comes. A proposal is decided when it comes in:
//! its record names the policy that decided, which may be the one before the `policy_loaded` that stands just above it.
//!
//! [`Store::transact`]: crate::audit::Store::transact
//! [`Queue`]: crate::approvals::Queue
//!
//! Beside the pipeline: the [`Notary`] signs for the log; decisions are redacted, and old records retired.

mod cancel;
mod clock_gap;
mod decision;
mod error;
mod evaluate;
mod follow;
mod generations;
mod governor;
mod held;
mod job;
mod masking;
mod notary;
mod policy_changes;
mod propose;
mod redact;
mod restore;
mod retain;
mod review;
mod secret;
mod start;
#[cfg(test)]
mod tests;
mod token_changes;
mod tokens;
mod write;

pub use clock_gap::find_clock_gap;
pub use error::GovernanceError;
pub use evaluate::{Evaluated, Hypothesis};
pub use generations::{Generation, Generations, PolicySource, PolicyState, Rejection};
pub use governor::{Entropy, Governor, Settings};
pub use notary::{Issued, KeyFileError, KeyFiles, Notary, NotaryError, Rotated};
pub use policy_changes::{Reload, watch_policy_files};
pub use propose::Propose;
pub use redact::Redacted;
pub use review::Voted;
pub use token_changes::{MadeToken, NewToken};
pub use tokens::Tokens;
