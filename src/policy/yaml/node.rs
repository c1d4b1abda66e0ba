//! A document as a tree of values, each with its position.

use serde_json::{Map, Number, Value as Json};

use crate::policy::diagnostic::Pos;

/// A value of a policy file, and its position.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::policy) struct Node {
    pub(in crate::policy) pos: Pos,
    pub(in crate::policy) value: Value,
}

/// The kinds of values that JSON has; keys keep the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::policy) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One key of a mapping, and its value.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::policy) struct Entry {
    pub(in crate::policy) key: String,
    pub(in crate::policy) pos: Pos,
    pub(in crate::policy) value: Node,
}

impl Node {
    /// The word for this value's type in messages.
    pub(in crate::policy) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing (null)",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    pub(in crate::policy) fn to_json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(number) => Json::Number(number.clone()),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => Json::Array(items.iter().map(Node::to_json).collect()),
            Value::Map(entries) => Json::Object(map_to_json(entries)),
        }
    }
}

pub(in crate::policy) fn map_to_json(entries: &[Entry]) -> Map<String, Json> {
    entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect()
}
