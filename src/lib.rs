//! Aegis: `sudo` for AI agents, as a sidecar.
//!
//! # The house
//!
//! Each floor uses only those below it:
//!
//! - [`cli`]: one file per command; thin.
//! - [`server`]: listeners, who is calling, the gRPC services. Translates, and does nothing else.
//! - [`governance`]: the pipeline, propose -> decide -> record -> (ask) -> answer. Owns the order of things.
//! - [`approvals`], [`audit`]: the open questions in memory; the record, and what proves it.
//! - [`store`]: the engine under the record. One file, one writer, many readers; it knows no meaning.
//! - [`policy`]: YAML -> compiled policy -> decision. Pure.
//! - [`domain`]: the words that all of them share. [`proto`]: what the wire has, for `server` and `cli` alone.
//!   [`telemetry`]: the log and the traces. [`watcher`]: sees that files have changed, for whoever reads files. [`fetch`]:
//!   gets small documents over HTTP, for whoever needs one.
//!
//! # The life of one proposal
//!
//! 1. An agent calls `Propose`. [`server`]'s gate turns its connection and headers into a caller and asks the one table
//!    whether that caller may; `governance_service` reads the request into a [`domain::Proposal`].
//! 2. [`governance::Governor::propose`] asks the policy in force: a [`policy::Verdict`] in well under a microsecond.
//! 3. The decision, masked as the policy says, becomes a job for the one writer of [`audit::Store`]: idempotency and
//!    confirmation are checked, record and row are written in the transaction of the batch, and the batch is synced.
//! 4. Only then is the agent answered: ALLOW, DENY, or ESCALATE with a question that enters [`approvals::Queue`], where
//!    reviewers see it on their streams.
//! 5. A reviewer's `Approve` is a job again: still open? in time? not the proposer's own? does the policy now in force
//!    still allow it? The first answer counts, is recorded, and wakes whoever waits for it.
//! 6. The agent runs the action and reports; the row of the record is complete.
#![forbid(unsafe_code)]

pub mod approvals;
pub mod audit;
pub mod cli;
pub mod domain;
pub mod fetch;
pub mod governance;
pub mod policy;
pub mod proto;
pub mod server;
pub(crate) mod store;
pub mod telemetry;
pub mod watcher;
