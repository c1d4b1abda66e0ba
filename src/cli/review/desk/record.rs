//! The newest rows of the record, as they are written.

use std::collections::BTreeMap;

use super::Desk;
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

    /// Somebody looks. Says whether the stream must be opened.
    pub(super) fn open(&mut self) -> bool {
        let is_needed = matches!(self.follows, Follows::Not | Follows::Refused(_));
        if is_needed {
            self.follows = Follows::Loading;
        }
        is_needed
    }
}

impl Desk {
    /// Takes in what the stream of the record says.
    pub(in crate::cli::review) fn follow(&mut self, tail: Tail) {
        match tail {
            Tail::Row(row) => {
                let is_new = self.record.rows.insert(row.number, *row).is_none();
                while self.record.rows.len() > MOST {
                    self.record.rows.pop_first();
                }
                // Whoever has scrolled away from the newest row goes on seeing the same rows.
                if is_new && self.page == super::Page::Record && self.scroll > 0 && !self.is_helping {
                    self.scroll += 1;
                }
            }
            Tail::CaughtUp => self.record.follows = Follows::Live,
            Tail::Lost(why) => {
                self.record.follows = Follows::Lost;
                self.warn(&why);
            }
            Tail::Refused(why) => self.record.follows = Follows::Refused(why),
        }
    }
}
