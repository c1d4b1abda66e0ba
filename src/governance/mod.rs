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
//! `spending` counts what is allowed under the policy's limits, `halts` denies whom an admin has halted.
//!
//! Only a denial, a revocation and a halt take effect without their record, if the record cannot be written: see
//! `unrecorded`.
//!
//! Other parts of this floor: the [`Notary`] signs checkpoints of the log, `redact` redacts decisions, `retain` retires
//! old records, `from_backup` ends what must not go on in a restored record.

mod cancel;
mod clock_gap;
mod clock_state;
mod decision;
mod error;
mod evaluate;
mod execute;
mod follow;
mod forget;
mod from_backup;
mod generations;
mod governor;
mod halting;
mod halts;
mod held;
mod history;
mod in_memory;
mod job;
mod limits;
mod listing;
mod lookup;
mod masking;
mod notary;
mod policy_changes;
mod policy_update;
mod propose;
mod redact;
mod requests;
mod restore;
mod retain;
mod review;
mod secret;
mod spending;
mod start;
#[cfg(test)]
mod tests;
mod token_changes;
mod tokens;
mod unrecorded;
mod write;

pub use clock_gap::{ClockWatch, find_clock_gap};
pub use clock_state::ClockState;
pub use error::GovernanceError;
pub use evaluate::{Evaluated, Hypothesis, MAX_EVALUATIONS};
pub use execute::{Executed, Executions, Executor, Noop, Order, Running};
pub use from_backup::{Ended, after_restore};
pub use generations::{Generation, Generations, PolicySource, PolicyState, Rejection};
pub use governor::{Entropy, Governor, PreviousRun, Settings};
pub use halts::{Halts, InForce};
pub use history::AskedOnce;
pub use limits::{Counted, CountedPage};
pub use listing::{Listed, OpenApproval};
pub use lookup::{DecisionLife, RecordHeading, RecordReference};
pub use notary::{Issued, KeyFileError, KeyFiles, LostLog, Notary, NotaryError, Rotated};
pub use policy_changes::{Reload, watch_policy_files};
pub use policy_update::{FoundPolicy, PolicyUpdate, UpdateSource, UpdatedPolicy};
pub use propose::{BeforeWait, Propose};
pub use redact::Redacted;
pub use requests::RequestIdError;
pub use review::Voted;
pub use token_changes::{MadeToken, NewToken, RevokedToken};
pub use tokens::Tokens;
pub use unrecorded::Unrecorded;
