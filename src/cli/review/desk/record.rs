//! The newest rows of the record, as they are written.

use std::collections::BTreeMap;

use crate::proto::v1::AuditRow;

/// How many rows are kept.
const MOST: usize = 500;

/// What the stream of the record says.
#[derive(Debug)]
pub(in crate::cli::review) enum Tail {
    /// A new row, or one that has changed.
    Row(Box<AuditRow>),
    /// All that was recorded before is there.
    CaughtUp,
    /// The stream broke; it is being opened again.
    Lost(String),
    /// The stream cannot be had.
    Refused(String),
}

/// How well the rows are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli::review) enum Follows {
    /// Nobody has looked yet.
    #[default]
    Not,
    Loading,
    Live,
    Lost,
    Refused(String),
}

/// The rows, by their numbers.
#[derive(Debug, Default)]
pub(in crate::cli::review) struct Record {
    rows: BTreeMap<u64, AuditRow>,
    pub(in crate::cli::review) follows: Follows,
}

impl Record {
    /// The rows, the newest first.
    pub(in crate::cli::review) fn rows(&self) -> impl Iterator<Item = &AuditRow> {
        self.rows.values().rev()
    }

    /// How many rows there are.
    pub(in crate::cli::review) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Takes in a row. Says whether it is a new one.
    pub(super) fn take_in(&mut self, row: AuditRow) -> bool {
        let is_new = self.rows.insert(row.number, row).is_none();
        while self.rows.len() > MOST {
            self.rows.pop_first();
        }
        is_new
    }

    /// Somebody looks. Says whether the stream must be opened.
    pub(super) fn open(&mut self) -> bool {
        let is_needed = matches!(self.follows, Follows::Not | Follows::Refused(_));
        if is_needed {
            self.follows = Follows::Loading;
        }
        is_needed
    }
}
