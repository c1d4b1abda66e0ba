//! The state that the writer keeps in memory, and the engine's types with that state.

use crate::audit::log::end::LogEnd;
use crate::audit::rows::tail::Tail;

/// The state of the writer: the end of the log, and the rows that are not indexed yet.
#[derive(Debug, PartialEq)]
pub struct State {
    /// The end of the log.
    pub(crate) log: LogEnd,
    /// The end of the rows.
    pub(crate) rows: Tail,
}

/// The record: an open store and its writer.
pub type Store = crate::store::Store<State>;

/// The record, for a program without callers.
pub type Standalone = crate::store::Standalone<State>;

/// The transaction that a job runs in.
pub type Tx<'t> = crate::store::Tx<'t, State>;
