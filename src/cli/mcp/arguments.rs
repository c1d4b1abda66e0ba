//! Arguments that the policy and the server may read differently.
//!
//! Some parsers ignore case, those of Go among them. To such a server `Path` is the argument `path`, and a rule about
//! `path` would not see it. So a name that differs only in case from another, or from one that the tool declares, is
//! refused.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::domain::visible;

/// Says what is wrong with the arguments of a tool, if anything.
pub(super) fn check(arguments: &Map<String, Value>, definition: &Value) -> Result<(), String> {
    let declared = definition.pointer("/inputSchema/properties").and_then(Value::as_object);
    let mut names: HashMap<String, &str> = HashMap::new();
    let is_declared = |name: &str| declared.is_some_and(|declared| declared.contains_key(name));
    let known = declared.into_iter().flat_map(Map::keys);
    for name in known.filter(|name| !arguments.contains_key(*name)) {
        names.insert(folded(name), name);
    }
    for name in arguments.keys() {
        match names.insert(folded(name), name) {
            // Of two declared names that read alike, either is right.
            Some(other) if !is_declared(name) || !is_declared(other) => {
                return Err(format!(
                    "the argument `{}` differs from `{}` only in case: the tool may take one for the other",
                    visible(name),
                    visible(other)
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Equal for names that are equal to a parser that ignores case, letters such as `ſ` and `K` (Kelvin) included.
fn folded(name: &str) -> String {
    name.to_uppercase().to_lowercase()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_that_differs_only_in_case_is_refused() {
        let tool = json!({"inputSchema": {"properties": {"path": {}, "task": {}, "A": {}, "a": {}}}});
        for (arguments, is_right) in [
            (json!({"path": 1, "other": 2}), true),
            (json!({}), true),
            (json!({"A": 1}), true),
            (json!({"A": 1, "a": 2}), true),
            (json!({"a": 1}), true),
            (json!({"Path": 1}), false),
            (json!({"path": 1, "PATH": 2}), false),
            (json!({"tas\u{212a}": 1}), false),
            (json!({"ta\u{17f}k": 1}), false),
            (json!({"x": 1, "X": 2}), false),
            (json!({"nested": {"x": 1, "X": 2}}), true),
        ] {
            let Value::Object(object) = &arguments else { unreachable!("tests pass objects") };
            assert_eq!(check(object, &tool).is_ok(), is_right, "{arguments}");
        }
        let Value::Object(any) = json!({"Path": 1}) else { unreachable!("an object") };
        assert!(check(&any, &json!({"name": "t"})).is_ok(), "a tool without a schema");
    }
}
