//! An action, before it is a message.

use serde_json::{Map, Value, json};

use crate::cli::wire;
use crate::proto::v1;

/// What a tool call would do.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) struct Action {
    /// The type, for example `shell/git`.
    pub(in crate::cli) kind: String,
    /// The target.
    pub(in crate::cli) target: String,
    /// The parameters.
    pub(in crate::cli) params: Map<String, Value>,
}

impl Action {
    /// An action with these parameters, which are an object.
    pub(super) fn new(kind: impl Into<String>, target: impl Into<String>, params: Value) -> Self {
        let params = match params {
            Value::Object(params) => params,
            other => Map::from_iter([("value".to_owned(), other)]),
        };
        Self { kind: kind.into(), target: target.into(), params }
    }

    /// The action as a message.
    pub(in crate::cli) fn message(&self, description: &str) -> Result<v1::Action, String> {
        Ok(v1::Action {
            r#type: self.kind.clone(),
            target: self.target.clone(),
            params: Some(wire::to_struct(self.params.clone(), "params")?),
            description: description.to_owned(),
        })
    }

    /// The same action has the same text.
    pub(super) fn identity(&self) -> String {
        json!([self.kind, self.target, self.params]).to_string()
    }

    /// For people and models: `shell/git push`.
    pub(in crate::cli) fn name(&self) -> String {
        let mut target: String = self.target.chars().take(80).collect();
        if target.len() < self.target.len() {
            target.push('…');
        }
        format!("{} {target}", self.kind).trim_end().to_owned()
    }
}
