//! The keys of the index: kinds, short hashes of texts, segments of rows and their bitmaps.

use crate::domain::Digest;

/// The number of rows in a segment. A segment has one time span, and one bitmap for each value.
pub(crate) const SEGMENT_LEN: usize = 256;
pub(crate) const SEGMENT_ROWS: u64 = SEGMENT_LEN as u64;

/// The first eight bytes of the SHA-256 of a text.
pub(crate) type Short = [u8; 8];

/// The short hash of a text.
pub(crate) fn short(text: &str) -> Short {
    let mut short = [0; 8];
    short.copy_from_slice(&Digest::of(text.as_bytes()).0[..8]);
    short
}

/// The short hash of the empty text.
pub(crate) const EMPTY: Short = [0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14];

/// A short hash for a value of an enum.
pub(crate) const fn word(code: u8) -> Short {
    [code, 0, 0, 0, 0, 0, 0, 0]
}

/// The kind of an index entry. Its number is the first byte of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Kind {
    Session = 1,
    ActionType = 2,
    Actor = 3,
    Risk = 4,
    Status = 5,
    Rule = 6,
}

/// The key of an index entry: `kind ‖ value ‖ segment`.
pub(crate) type IndexKey = [u8; 17];
/// The value of an index entry: which rows of the segment have the value. Row `n` of the segment, counted from 0, is
/// bit `n % 8` (the lowest first) of byte `n / 8`.
pub(crate) type Bitmap = [u8; SEGMENT_LEN / 8];

/// The key of an index entry.
pub(crate) fn index_key(kind: Kind, value: Short, segment: u64) -> IndexKey {
    let mut key = [0; 17];
    key[0] = kind as u8;
    key[1..9].copy_from_slice(&value);
    key[9..].copy_from_slice(&segment.to_be_bytes());
    key
}

/// The segment of an index entry.
pub(crate) fn segment_of_key(key: &IndexKey) -> u64 {
    let mut segment = [0; 8];
    segment.copy_from_slice(&key[9..]);
    u64::from_be_bytes(segment)
}

/// The segment of a row.
pub(crate) const fn segment_of(row: u64) -> u64 {
    row.saturating_sub(1) / SEGMENT_ROWS
}

/// The first row of a segment.
pub(crate) const fn first_row(segment: u64) -> u64 {
    segment * SEGMENT_ROWS + 1
}

/// The byte and the bit of a row in its segment's bitmap.
pub(crate) const fn bit_of(row: u64) -> (usize, u8) {
    let place = row.saturating_sub(1) % SEGMENT_ROWS;
    ((place / 8) as usize, 1 << (place % 8))
}
