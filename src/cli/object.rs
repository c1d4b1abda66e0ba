//! A JSON object whose members stay in the order in which they were written: JSON and CSV are made from one list.

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;

/// Names and values, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Object(Vec<(&'static str, Value)>);

impl Object {
    /// Adds a member. A missing value is `null`, so that all objects of a kind have the same members.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.push((name, value.into()));
        self
    }

    /// The members.
    pub(super) fn members(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.0.iter().map(|(name, value)| (*name, value))
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.members() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
