//! Checks the entries of a backup while they pass: the log is whole, and the one that the backup says.

use redb::Value as _;

use super::{About, BackupError};
use crate::audit::log::merkle::Frontier;
use crate::audit::log::stored::checked_leaf;
use crate::audit::log::tables::RECORDS;
use crate::audit::tables::TABLES;
use crate::store::copy::each_entry;
use crate::store::table::Registered as _;

/// Checks the entries of one backup.
#[derive(Debug)]
pub struct Checker {
    about: About,
    entries: u64,
    log: Frontier,
}

impl Checker {
    /// For the entries of this backup.
    pub fn new(about: &About) -> Self {
        Self { about: about.clone(), entries: 0, log: Frontier::default() }
    }

    /// How many records have passed.
    pub fn records(&self) -> u64 {
        self.log.size()
    }

    /// Takes the next entries.
    pub fn take(&mut self, entries: &[u8]) -> Result<(), BackupError> {
        let wrong = |what: String| Err(BackupError::Wrong(what));
        let is_whole = each_entry(entries, |entry| {
            self.entries += 1;
            if !TABLES.iter().any(|table| table.name() == entry.table) {
                return wrong(format!("this program does not know its table `{}`", entry.table));
            }
            let Some(value) = entry.value else { return wrong("an entry has no value".into()) };
            if entry.table != RECORDS.name() {
                return Ok(());
            }
            let expected = self.log.size() + 1;
            if entry.key.len() != size_of::<u64>() || u64::from_bytes(entry.key) != expected {
                return wrong(format!("record {expected} is missing"));
            }
            self.log.push(checked_leaf(expected, value).map_err(BackupError::Wrong)?);
            Ok(())
        })?;
        if is_whole { Ok(()) } else { wrong("it has entries that cannot be read".into()) }
    }

    /// Ends the check, after the last entry.
    pub fn finish(self) -> Result<(), BackupError> {
        let Self { about, entries, log } = self;
        if entries != about.entries {
            return Err(BackupError::Wrong(format!("it has {entries} entries, and should have {}", about.entries)));
        }
        if log.size() != about.last_sequence || log.root() != about.root {
            return Err(BackupError::Wrong(format!(
                "its log has {} records with the root {}, and it says {} with {}",
                log.size(),
                log.root(),
                about.last_sequence,
                about.root
            )));
        }
        Ok(())
    }
}
