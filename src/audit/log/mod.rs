//! The log: append-only records, and the Merkle tree that proves them.

pub(crate) mod append;
pub mod checkpoint;
pub(crate) mod end;
mod find;
pub(crate) mod identity;
pub(crate) mod leaf;
pub mod merkle;
pub mod note;
mod read;
pub mod record;
mod redaction;
pub(crate) mod stored;
pub(crate) mod tables;
#[cfg(test)]
mod tests;
pub(crate) mod tiles;
pub(crate) mod tree;
pub(crate) mod unsealed;

pub use append::Appended;
pub use identity::{LogIdentity, LogKey, sign_rotation, verify_rotation};
pub use leaf::{LEAF_DOMAIN, LEAF_HASH_LEN, REDACTED, SALT_LEN, leaf_data, leaf_hash};
pub use record::{Cursor, DecisionRecord, Event, IdentityRecord, RECORD_VERSION, Record, VoteRecord};
pub use stored::{Content, StoredRecord};
pub use tiles::TILE_WIDTH;
