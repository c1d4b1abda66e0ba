//! The size of what a caller sent, whatever the encoding.

use serde_json::{Map, Value};

use super::Proposal;

/// About how many bytes a value has on the wire at least, in any encoding: its names and texts without escapes, and a
/// few bytes for each value.
pub fn content_len(value: &Value) -> usize {
    let own = 2;
    own + match value {
        Value::Null | Value::Bool(_) => 0,
        Value::Number(_) => 8,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(content_len).sum(),
        Value::Object(map) => object_content_len(map),
    }
}

/// The same for an object.
fn object_content_len(map: &Map<String, Value>) -> usize {
    map.iter().map(|(name, value)| 2 + name.len() + content_len(value)).sum()
}

impl Proposal {
    /// About how many bytes it has on the wire at least.
    pub fn content_len(&self) -> usize {
        let texts = [
            &self.actor.id,
            &self.actor.r#type,
            &self.action.r#type,
            &self.action.target,
            &self.action.description,
            &self.session_id,
        ];
        let texts: usize = texts.into_iter().map(String::len).sum();
        texts + object_content_len(&self.action.params) + object_content_len(&self.metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn content_is_never_more_than_the_wire_has() {
        // As protobuf writes a `Value`: a tag and a length for each value and each entry, and eight bytes a number.
        for (value, wire) in [
            (json!("text"), 6),
            (json!([1, 2, 3]), 2 + 3 * 11),
            (json!({"a": null}), 2 + 2 + 3 + 4),
            (json!("\u{1}"), 3),
        ] {
            assert!(content_len(&value) <= wire, "{value}: {} > {wire}", content_len(&value));
        }
    }
}
