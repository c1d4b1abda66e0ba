//! Who talks through the proxy: what client and server say of themselves when they connect.

use std::cell::RefCell;

use serde_json::{Map, Value, json};

use crate::domain::check::is_refused;

/// The longest name or version that goes on the record.
const MAX_TEXT: usize = 100;
/// The actor of a client that gives no name.
const NOBODY: &str = "mcp-client";
/// What a server may say about a tool. They are claims: no rule trusts them unless it says so.
const HINTS: [&str; 4] = ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"];

/// What the two have said of themselves.
#[derive(Debug, Default)]
pub(super) struct Peers {
    client: RefCell<Map<String, Value>>,
    server: RefCell<Map<String, Value>>,
    protocol: RefCell<String>,
}

impl Peers {
    /// The client says who it is.
    pub(super) fn client_is(&self, initialize: &Map<String, Value>) {
        *self.client.borrow_mut() = implementation(initialize.get("clientInfo"));
    }

    /// The server says who it is.
    pub(super) fn server_is(&self, result: &Value) {
        *self.server.borrow_mut() = implementation(result.get("serverInfo"));
        *self.protocol.borrow_mut() = text(result.get("protocolVersion"));
    }

    /// The name of the client, as an actor.
    pub(super) fn actor(&self) -> String {
        match self.client.borrow().get("name").and_then(Value::as_str) {
            Some(name) if !name.trim().is_empty() => name.trim().to_owned(),
            _ => NOBODY.to_owned(),
        }
    }

    /// The labels of a proposal. `tool` is the definition of the tool, if it is about one.
    pub(super) fn labels(&self, tool: Option<&Value>) -> Map<String, Value> {
        let mut labels = Map::from_iter([
            ("door".to_owned(), json!("mcp")),
            ("client".to_owned(), Value::Object(self.client.borrow().clone())),
            ("server".to_owned(), Value::Object(self.server.borrow().clone())),
            ("protocol".to_owned(), json!(*self.protocol.borrow())),
        ]);
        let annotations = tool.and_then(|tool| tool.get("annotations"));
        let hints = HINTS.into_iter().filter_map(|hint| {
            let value = annotations?.get(hint)?;
            value.is_boolean().then(|| (hint.to_owned(), value.clone()))
        });
        let hints: Map<_, _> = hints.collect();
        if !hints.is_empty() {
            labels.insert("annotations".to_owned(), Value::Object(hints));
        }
        labels
    }
}

fn implementation(info: Option<&Value>) -> Map<String, Value> {
    let of = |name: &str| (name.to_owned(), Value::String(text(info.and_then(|info| info.get(name)))));
    Map::from_iter([of("name"), of("version")])
}

/// A text without what a name may not have.
fn text(value: Option<&Value>) -> String {
    let text = value.and_then(Value::as_str).unwrap_or_default();
    text.chars().filter(|c| !is_refused(*c)).take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_says_of_itself_is_bounded_and_has_no_hidden_characters() {
        let peers = Peers::default();
        assert_eq!(peers.actor(), NOBODY);
        let Value::Object(initialize) = json!({"clientInfo": {"name": "ev\u{202e}il\n", "version": "x".repeat(500)}})
        else {
            unreachable!("an object")
        };
        peers.client_is(&initialize);
        assert_eq!(peers.actor(), "evil");
        let labels = peers.labels(Some(&json!({"annotations": {"readOnlyHint": true, "title": "t", "x": 1}})));
        assert_eq!(labels["client"]["version"].as_str().map(str::len), Some(MAX_TEXT));
        assert_eq!(labels["annotations"], json!({"readOnlyHint": true}));
    }
}
