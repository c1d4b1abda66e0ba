//! Aegis: `sudo` for AI agents, as a sidecar.
//!
//! # The house
//!
//! Each floor uses only those below it, and no two files import each other. `tests/floors.rs` holds both.
//!
//! - [`cli`]: one file per command; thin.
//! - [`daemon`]: the life of the process: configuration, the data directory, listeners, background work, probes.
//! - [`server`]: the doors. `listen` and `transport` carry HTTP/1.1 and HTTP/2, `gate` and `access` let calls in,
//!   `grpc`
//!   translates. A door decides nothing.
//! - [`auth`]: who is calling: tokens, users of the machine, client certificates, JWTs.
//! - [`outbound`]: what leaves: documents that are fetched, checkpoints that are sent to witnesses.
//! - [`governance`]: the pipeline: propose -> decide -> record -> (ask) -> answer. It owns the order of things.
//! - [`approvals`]: the question as a pure state machine, and the queue of those that are open.
//! - [`limits`]: counters and budgets.
//! - [`audit`]: the record. `log` has the records and their proofs, `rows` what is known of each decision, `evidence`
//!   what
//!   can be verified elsewhere, `check` holds the one against the other.
//! - [`store`]: the engine under the record: one file, one writer, many readers. It knows no meaning.
//! - [`policy`]: YAML -> compiled policy -> decision. Pure: no clock, no I/O.
//! - [`domain`]: the words that all of them share, what a proposal must be, and the codes of errors.
//!
//! Two small ones lie beside `domain`: [`proto`] is what the wire has, for `server` and `cli` alone; [`watcher`] sees
//! that files have changed.
//!
//! # The life of one proposal
//!
//! 1. An agent calls `Propose`. The gate of [`server`] turns its connection and headers into a caller and asks the one
//!    table whether that caller may. `grpc::governance` reads the request, and [`domain::check`] checks it.
//! 2. [`governance::Governor::propose`] asks the policy in force: a [`policy::Verdict`] in well under a microsecond.
//! 3. The decision, masked as the policy says, becomes a job for the one writer of [`store`]: idempotency and
//!    confirmation are checked, record and row are written in the transaction of the batch, and the batch is synced.
//! 4. Only then is the agent answered: ALLOW, DENY, or ESCALATE with a question that enters [`approvals::Queue`], where
//!    reviewers see it on their streams.
//! 5. A reviewer's `Approve` is a job again: still open? in time? not the proposer's own? does the policy now in force
//!    still allow it? [`approvals::Pending::next`] says what comes of it. The first vote counts, is recorded, and wakes
//!    whoever waits for it.
//! 6. The agent runs the action and reports; the row of the record is complete.
#![forbid(unsafe_code)]

pub(crate) mod approvals;
pub mod audit;
pub mod auth;
pub mod cli;
pub(crate) mod daemon;
pub mod domain;
pub mod governance;
pub(crate) mod limits;
pub mod metrics;
pub(crate) mod outbound;
pub mod policy;
pub mod proto;
pub mod server;
pub(crate) mod store;
pub(crate) mod watcher;
