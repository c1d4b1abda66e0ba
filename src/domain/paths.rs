//! [`ParamPath`]: the name of a parameter. It is a literal top-level key and also a path into nested objects.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A parameter's name in a policy, for example `user.address.city`.
///
/// It names the literal top-level key `user.address.city`, and the value at the path `user` / `address` / `city`.
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

    /// The value of the literal top-level key with this name.
    pub fn literal<'v>(&self, params: &'v Map<String, Value>) -> Option<&'v Value> {
        params.get(&self.0)
    }

    /// The value at the path, if the path has more than one part and every value on it is an object.
    pub fn nested<'v>(&self, params: &'v Map<String, Value>) -> Option<&'v Value> {
        match self.walk(params) {
            Walk::Value(value) => Some(value),
            Walk::Missing | Walk::Blocked(_) => None,
        }
    }

    /// The value at the path. A name with one part is not a path.
    pub fn walk<'v>(&self, params: &'v Map<String, Value>) -> Walk<'v> {
        let Some((first, rest)) = self.0.split_once('.') else { return Walk::Missing };
        let Some(mut value) = params.get(first) else { return Walk::Missing };
        for part in rest.split('.') {
            value = match value {
                Value::Object(map) => match map.get(part) {
                    Some(value) => value,
                    None => return Walk::Missing,
                },
                Value::Null => return Walk::Missing,
                by => return Walk::Blocked(by),
            };
        }
        Walk::Value(value)
    }

    /// All values of the name: of the literal key and of the path. A list on the path is replaced by each of its
    /// elements.
    pub fn values<'v>(&self, params: &'v Map<String, Value>) -> Vec<&'v Value> {
        let mut found: Vec<&Value> = Vec::new();
        if let Some((first, rest)) = self.0.split_once('.') {
            found.extend(params.get(first));
            for part in rest.split('.') {
                found = elements(found).into_iter().filter_map(|value| value.as_object()?.get(part)).collect();
            }
        }
        found.extend(self.literal(params));
        found
    }
}

/// The result of following a path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Walk<'v> {
    /// No value: a key is missing, or a value on the path is null.
    Missing,
    /// This value, which may be null.
    Value(&'v Value),
    /// Unknown: this value on the path has no keys. It may be JSON in a text, or a list of objects.
    Blocked(&'v Value),
}

/// The values, with each list replaced by its elements at any depth.
fn elements(values: Vec<&Value>) -> Vec<&Value> {
    let (mut left, mut found) = (values, Vec::new());
    while let Some(value) = left.pop() {
        match value {
            Value::Array(items) => left.extend(items),
            other => found.push(other),
        }
    }
    found
}

impl fmt::Display for ParamPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_ends_at_a_value_at_nothing_or_at_what_has_no_keys() {
        let walk = |params: &Value, path: &str| format!("{:?}", ParamPath::new(path).walk(params.as_object().unwrap()));
        let params = json!({"a": {"b": {"c": null}, "n": null, "l": [{"x": 1}], "t": "{}"}, "a.b": 7});
        assert_eq!(walk(&params, "a.b.c"), format!("{:?}", Walk::Value(&Value::Null)));
        for path in ["a", "x", "x.y", "a.x", "a.n.x", "a.b.c.d"] {
            assert_eq!(walk(&params, path), "Missing", "{path}");
        }
        for path in ["a.l.x", "a.t.x", "a.l.0"] {
            assert!(walk(&params, path).starts_with("Blocked"), "{path}");
        }
    }

    #[test]
    fn a_list_stands_for_each_of_its_elements() {
        let params = json!({"c": [{"i": 1}, [{"i": 2}, 5], {"x": {"i": 3}}], "c.i": 4});
        let mut found = ParamPath::new("c.i").values(params.as_object().unwrap());
        found.sort_by_key(|value| value.as_i64());
        assert_eq!(found, [&json!(1), &json!(2), &json!(4)]);
        assert_eq!(ParamPath::new("c").values(params.as_object().unwrap()), [&params["c"]]);
    }
}
