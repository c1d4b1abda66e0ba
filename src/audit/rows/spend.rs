//! [`Spend`]: what a decision spent of limits, as its row keeps it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::page::PagePosition;
use crate::domain::{Digest, ResultStatus};

/// The name of a count: a keyed hash of the limit and of what it counts by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SpentKey {
    /// Whether the caller has no credential.
    pub is_anonymous: bool,
    /// The hash.
    pub digest: Digest,
}

impl SpentKey {
    /// The bytes of the hash in the position of a page. So many bytes of a keyed hash are never those of another one.
    const POSITION: usize = 15;

    /// The position after this count in a list.
    pub fn position(self) -> PagePosition {
        let mut position = [u8::from(self.is_anonymous); 16];
        position[1..].copy_from_slice(&self.digest.0[..Self::POSITION]);
        position
    }

    /// The end of the counts up to this position.
    pub fn up_to(position: PagePosition) -> Self {
        let mut digest = Digest([0xff; 32]);
        digest.0[..Self::POSITION].copy_from_slice(&position[1..]);
        Self { is_anonymous: position[0] != 0, digest }
    }
}

/// What a decision spent, for its later report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spend {
    /// The count.
    pub key: SpentKey,
    /// When, in microseconds since 1970.
    pub at: i64,
    /// How much, in millionths. 0 if only failures are counted.
    pub amount: u64,
    /// How long it counts, in seconds; `None` means until somebody resets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<u64>,
    /// The reported results that give it back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub release_on: Vec<ResultStatus>,
    /// The count of failures that a report changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<Failures>,
}

/// A count of failures in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// The name of the limit.
    pub limit: String,
    /// What it counts by, for people.
    pub by: BTreeMap<String, String>,
}
