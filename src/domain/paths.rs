//! The name of a parameter: a literal top-level key, and a path into nested objects.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A parameter's name as a policy writes it, for example `user.address.city`.
///
/// It names the literal top-level key `user.address.city`, and the value that the path `user` / `address` / `city` leads to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ParamPath(String);

impl ParamPath {
    /// The path with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text of the path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the text has more than one part.
    pub fn is_nested(&self) -> bool {
        self.0.contains('.')
    }

    /// What stands under the literal top-level key of this name.
    pub fn literal<'v>(&self, params: &'v Map<String, Value>) -> Option<&'v Value> {
        params.get(&self.0)
    }

    /// What the path leads to, if it has more than one part.
    pub fn nested<'v>(&self, params: &'v Map<String, Value>) -> Option<&'v Value> {
        let mut parts = self.0.split('.');
        let mut value = params.get(parts.next()?)?;
        let mut deeper = false;
        for part in parts {
            value = value.as_object()?.get(part)?;
            deeper = true;
        }
        deeper.then_some(value)
    }
}

impl fmt::Display for ParamPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
