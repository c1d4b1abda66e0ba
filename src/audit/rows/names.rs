//! Reads the texts of a decision's record that are counted.

use std::borrow::Cow;
use std::collections::BTreeSet;

use redb::{ReadTransaction, StorageError};
use serde::Deserialize;

use super::counts::{Counted, Label};
use super::tables::COUNTS;
use crate::audit::log::leaf::{HEADER_LEN, REDACTED, leaf_data_of_redacted};
use crate::store::error::storage;

/// The two texts of a decision's record that are counted.
#[derive(Deserialize)]
pub(crate) struct Names<'a> {
    #[serde(borrow)]
    pub(crate) action: ActionType<'a>,
    #[serde(borrow)]
    pub(crate) matched_rule: Cow<'a, str>,
}

#[derive(Deserialize)]
pub(crate) struct ActionType<'a> {
    #[serde(borrow)]
    pub(crate) r#type: Cow<'a, str>,
}

impl<'a> Names<'a> {
    /// Reads them from the value of a record.
    pub(crate) fn of(value: &'a [u8]) -> Result<Self, StorageError> {
        if leaf_data_of_redacted(value).is_some() {
            let action = ActionType { r#type: REDACTED.into() };
            return Ok(Self { action, matched_rule: REDACTED.into() });
        }
        let payload = value.get(HEADER_LEN..).ok_or_else(|| StorageError::Corrupted("a record is too short".into()))?;
        serde_json::from_slice(payload)
            .map_err(|error| StorageError::Corrupted(format!("the record of a decision: {error}")))
    }
}

pub(crate) fn known_labels(read: &ReadTransaction, kind: Counted) -> Result<BTreeSet<Label>, StorageError> {
    let counts = COUNTS.open(read).map_err(storage)?;
    let mut labels = BTreeSet::new();
    for entry in counts.range([kind as u8].as_slice()..[kind as u8 + 1].as_slice())? {
        if let Ok(label) = std::str::from_utf8(&entry?.0.value()[1..]) {
            labels.insert(label.into());
        }
    }
    Ok(labels)
}
