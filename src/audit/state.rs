//! What the writer keeps in memory of the file, and what the engine is called with it.

use crate::audit::log::end::LogEnd;
use crate::audit::rows::tail::Tail;

/// What the writer keeps in memory: where the log ends, and the rows that are not indexed yet.
#[derive(Debug, PartialEq)]
pub struct State {
    /// The end of the log.
    pub(crate) log: LogEnd,
    /// The end of the rows.
    pub(crate) rows: Tail,
}

/// The record: an open store and its writer.
pub type Store = crate::store::Store<State>;

/// The record, in a program that answers nobody.
pub type Standalone = crate::store::Standalone<State>;

/// The transaction that a job runs in.
pub type Tx<'t> = crate::store::Tx<'t, State>;
