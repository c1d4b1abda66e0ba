//! [`StreamCursor`]: where a stream of the log is, as the opaque text that a client sends back to resume.
//!
//! ```text
//! the first bytes of SHA-256(origin) (8) ‖ sequence number (8) ‖ the first bytes of the leaf hash of that record (8)
//! ```
//!
//! A sequence number alone is not enough. In another log, or in a log that was restored from an older copy, the same
//! number is another record, and a client that goes on from it would miss records without a sign.

use std::fmt;

use crate::audit::log::leaf::LEAF_HASH_LEN;
use crate::domain::Digest;
use crate::domain::opaque::{self, OpaqueKind};
use crate::store::{Reader, StoreError};

/// The first bytes of a hash. It tells logs and records apart; it proves nothing.
type Mark = [u8; 8];

/// A position in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamCursor {
    log: LogMark,
    sequence: u64,
    leaf: Mark,
}

/// Which log it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogMark(Mark);

/// Why a stream cannot resume at a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// The text is no cursor.
    #[error("the cursor cannot be read: send the `cursor` of a message of this stream, unchanged")]
    Malformed,
    /// The cursor is past the end of the log.
    #[error(
        "the cursor is at record {sequence}, and the log has only {last}: it was restored from an older copy, or lost \
         its last records. Read it again from the beginning"
    )]
    Ahead {
        /// Where the cursor is.
        sequence: u64,
        /// The last record of the log.
        last: u64,
    },
    /// The cursor is of another log, or of another version of this one.
    #[error("the cursor is at record {sequence} of another log: read this log from the beginning")]
    OtherLog {
        /// Where the cursor is.
        sequence: u64,
    },
}

impl fmt::Display for StreamCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = [self.log.0, self.sequence.to_be_bytes(), self.leaf].concat();
        f.write_str(&opaque::seal(OpaqueKind::Cursor, &body))
    }
}

impl std::str::FromStr for StreamCursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let body: [u8; 24] = opaque::open(OpaqueKind::Cursor, text).ok_or(CursorError::Malformed)?;
        let part = |at: usize| {
            let mut part = [0; 8];
            part.copy_from_slice(&body[at..at + 8]);
            part
        };
        Ok(Self { log: LogMark(part(0)), sequence: u64::from_be_bytes(part(8)), leaf: part(16) })
    }
}

impl LogMark {
    /// The cursor after the record with this sequence number and this leaf hash.
    pub fn cursor(self, sequence: u64, leaf: Digest) -> StreamCursor {
        StreamCursor { log: self, sequence, leaf: mark(leaf) }
    }
}

fn mark(digest: Digest) -> Mark {
    let mut mark = [0; 8];
    mark.copy_from_slice(&digest.0[..8]);
    mark
}

/// The leaf hash of the beginning of the log, where there is no record.
pub(super) const NO_LEAF: Digest = Digest([0; LEAF_HASH_LEN]);

impl Reader {
    /// Which log this is.
    pub fn log_mark(&self) -> Result<LogMark, StoreError> {
        let origin = self.log()?.map(|log| log.origin).unwrap_or_default();
        Ok(LogMark(mark(Digest::of(origin.as_bytes()))))
    }

    /// The cursor after the record with this sequence number.
    pub fn cursor_after(&self, sequence: u64) -> Result<StreamCursor, StoreError> {
        Ok(self.log_mark()?.cursor(sequence, self.leaf_after(sequence)?))
    }

    /// The sequence number to continue after, if the cursor is of this log.
    pub fn resume(&self, cursor: StreamCursor) -> Result<Result<u64, CursorError>, StoreError> {
        let StreamCursor { log, sequence, leaf } = cursor;
        if log != self.log_mark()? {
            return Ok(Err(CursorError::OtherLog { sequence }));
        }
        let last = self.last_sequence()?;
        if sequence > last {
            return Ok(Err(CursorError::Ahead { sequence, last }));
        }
        let is_same = mark(self.leaf_after(sequence)?) == leaf;
        Ok(if is_same { Ok(sequence) } else { Err(CursorError::OtherLog { sequence }) })
    }

    /// The leaf hash of the record with this sequence number.
    pub fn leaf_after(&self, sequence: u64) -> Result<Digest, StoreError> {
        sequence.checked_sub(1).map_or(Ok(NO_LEAF), |index| self.leaf_hash(index))
    }
}
