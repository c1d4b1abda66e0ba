//! The progress of one call, as its client sees it: first of the wait for a person, then of the tool. The numbers rise
//! over both.

use std::cell::Cell;

use serde_json::{Map, Value, json};

use super::link::Link;

/// The progress of a call whose client asked for it.
#[derive(Debug, Default)]
pub(super) struct Progress {
    token: Option<Value>,
    /// The last number that the client got.
    last: Cell<f64>,
    /// What is added to the numbers of the tool.
    base: Cell<f64>,
}

impl Progress {
    /// Of a request with these parameters.
    pub(super) fn of(params: &Map<String, Value>) -> Self {
        let token = params.get("_meta").and_then(|meta| meta.get("progressToken"));
        let token = token.filter(|token| token.is_string() || token.is_number()).cloned();
        Self { token, ..Self::default() }
    }

    /// Whether the client asked for it.
    pub(super) fn is_wanted(&self) -> bool {
        self.token.is_some()
    }

    /// Whether this is the token.
    pub(super) fn is(&self, token: &Value) -> bool {
        self.token.as_ref() == Some(token)
    }

    /// Tells the client that the call waits, and for what.
    pub(super) fn tell(&self, client: &Link, message: &str) {
        let Some(token) = &self.token else { return };
        self.last.set(self.last.get() + 1.0);
        self.base.set(self.last.get());
        let params = json!({"progressToken": token, "progress": number(self.last.get()), "message": message});
        if let Value::Object(params) = params {
            client.offer("notifications/progress", params);
        }
    }

    /// Changes the numbers of the tool so that they rise.
    pub(super) fn shift(&self, params: &mut Map<String, Value>) {
        let base = self.base.get();
        if base == 0.0 {
            return;
        }
        for name in ["progress", "total"] {
            if let Some(told) = params.get(name).and_then(Value::as_f64) {
                params.insert(name.to_owned(), number(told + base));
            }
        }
    }
}

/// A whole number is written without a fraction.
fn number(number: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "only whole numbers below 2^53 get there")]
    if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 {
        return Value::from(number as i64);
    }
    Value::from(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::mcp::pipe::Outbox;

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(object) = value else { unreachable!("tests pass objects") };
        object
    }

    #[tokio::test]
    async fn the_numbers_rise_over_the_wait_and_the_tool() {
        let (reader, writer) = std::io::pipe().unwrap();
        let client = Link::new(Outbox::new(writer, 1 << 20));
        let progress = Progress::of(&object(json!({"_meta": {"progressToken": "t"}})));
        progress.tell(&client, "one");
        progress.tell(&client, "two");
        let mut tools = object(json!({"progressToken": "t", "progress": 0.5, "total": 1}));
        progress.shift(&mut tools);
        assert_eq!(Value::Object(tools), json!({"progressToken": "t", "progress": 2.5, "total": 3}));
        client.close().await;
        let told = std::io::read_to_string(reader).unwrap();
        assert!(told.contains("\"progress\":1,") && told.contains("\"progress\":2,"), "{told}");
    }

    #[test]
    fn without_a_token_nothing_is_changed() {
        let progress = Progress::of(&object(json!({"_meta": {"progressToken": {}}})));
        assert!(!progress.is_wanted());
        let mut tools = object(json!({"progress": 1}));
        progress.shift(&mut tools);
        assert_eq!(tools["progress"], 1);
    }
}
