//! The pipeline of a proposal: propose -> decide -> record -> (ask) -> answer. This floor defines the order of these
//! steps.
//!
//! Every change of state is one job for the store ([`Store::transact`]). The job checks its conditions again, and
//! writes the records and the changed state. Only after that is durable, the state in memory ([`Queue`],
//! [`Generations`]) changes and the caller gets its answer.
//!
//! The store has one writer, so jobs run in the order of their arrival. Of two reviewers, one is first. An approval is
//! decided under the policy that is in force when its job runs. A proposal is decided when it arrives, and its record
//! names the policy that decided. That policy can be older than the `policy_loaded` record just before it.
//!
//! [`Store::transact`]: crate::audit::Store::transact
//! [`Queue`]: crate::approvals::Queue
//!
//! Other parts of this floor: the [`Notary`] signs checkpoints of the log, `redact` redacts decisions, `retain` retires
//! old records.

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
pub use propose::{BeforeWait, Propose};
pub use redact::Redacted;
pub use review::Voted;
pub use token_changes::{MadeToken, NewToken};
pub use tokens::Tokens;
