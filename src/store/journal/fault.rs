//! Why a journal does not fit its database.

/// Why a journal does not fit its database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JournalFault {
    /// The file is missing or empty.
    #[error("it is missing")]
    Missing,
    /// The file belongs to another record.
    #[error("it belongs to another record")]
    Foreign,
    /// The database has checkpoints that the journal does not know.
    #[error("it is older than the record: it has generation {journal}, the record has {record}")]
    Older {
        /// The newest generation of the journal.
        journal: u64,
        /// The generation of the database.
        record: u64,
    },
    /// The journal has checkpoints that the database does not know.
    #[error("the record is older than it: it has generation {journal}, the record has {record}")]
    Newer {
        /// The newest generation of the journal.
        journal: u64,
        /// The generation of the database.
        record: u64,
    },
    /// The file is damaged.
    #[error("it is damaged at byte {at}: {what}")]
    Damaged {
        /// The offset in the file.
        at: u64,
        /// What is wrong there.
        what: String,
    },
}
