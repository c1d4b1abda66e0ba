//! Reads the fields of what a host says.

use serde_json::{Map, Value};

/// The text under the first of these keys that has one.
pub(super) fn text<'v>(object: &'v Map<String, Value>, keys: &[&str]) -> &'v str {
    keys.iter().find_map(|key| object.get(*key)?.as_str()).unwrap_or_default()
}

/// An object, or the JSON text of one.
pub(super) fn object(value: Option<&Value>) -> Result<Map<String, Value>, String> {
    match value {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(object)) => Ok(object.clone()),
        Some(Value::String(text)) => match crate::domain::json::parse_strict(text) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(_) => Err("the tool's input is JSON text, but no object".to_owned()),
            Err(error) => Err(format!("the tool's input is text, but no JSON: {error}")),
        },
        Some(_) => Err("the tool's input is no object".to_owned()),
    }
}

/// The named members that are there, for the record.
pub(super) fn labels(object: &Map<String, Value>, names: &[&str]) -> Map<String, Value> {
    names.iter().filter_map(|name| Some(((*name).to_owned(), object.get(*name)?.clone()))).collect()
}
