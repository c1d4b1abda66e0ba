//! Masking parameters before they are stored or shown.
//!
//! Only scalars are masked, at any depth under a masked name, so that a reviewer still sees the shape of what is
//! asked.

use serde_json::{Map, Value};

use super::value;
use crate::domain::ParamPath;

/// The parameters with every scalar under these names replaced by `[masked, N characters]`. Also returns the names
/// that had a value under them, each once, in the order given.
pub fn mask<'a>(
    params: &Map<String, Value>,
    paths: impl Iterator<Item = &'a ParamPath>,
) -> (Map<String, Value>, Vec<ParamPath>) {
    let (mut shown, mut masked) = (params.clone(), Vec::<ParamPath>::new());
    for path in paths {
        // Two names can lead to one value; a value that is masked already is not measured again.
        if masked.contains(path) {
            continue;
        }
        let is_found = path.values(params).into_iter().any(has_scalar);
        if is_found {
            mask_literal(&mut shown, path, params);
            mask_nested(&mut shown, path, params);
            masked.push(path.clone());
        }
    }
    (shown, masked)
}

/// The placeholder of a text that is not shown.
pub fn masked_text(text: &str) -> String {
    format!("[masked, {} characters]", text.chars().count())
}

/// Whether a text is such a placeholder: an SDK that keeps secrets to itself sends one.
pub fn is_masked(text: &str) -> bool {
    let number = text.strip_prefix("[masked, ").and_then(|rest| rest.strip_suffix(" characters]"));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The placeholder of a value that is not shown.
pub(super) fn placeholder(value: &Value) -> String {
    let characters = match value {
        Value::String(text) if is_masked(text) => return text.clone(),
        Value::String(text) => text.chars().count(),
        Value::Number(number) => value::number_text(number).chars().count(),
        other => other.to_string().chars().count(),
    };
    format!("[masked, {characters} characters]")
}

fn has_scalar(value: &Value) -> bool {
    let mut left = vec![value];
    while let Some(value) = left.pop() {
        match value {
            Value::Array(items) => left.extend(items),
            Value::Object(map) => left.extend(map.values()),
            _ => return true,
        }
    }
    false
}

fn mask_literal(shown: &mut Map<String, Value>, path: &ParamPath, original: &Map<String, Value>) {
    if let (Some(shown), Some(original)) = (shown.get_mut(path.as_str()), path.literal(original)) {
        mask_value(shown, original);
    }
}

fn mask_nested(shown: &mut Map<String, Value>, path: &ParamPath, original: &Map<String, Value>) {
    let Some((first, rest)) = path.as_str().split_once('.') else { return };
    if let (Some(shown), Some(original)) = (shown.get_mut(first), original.get(first)) {
        mask_below(shown, original, rest);
    }
}

/// Masks the value at the end of a path. A list on the path means each of its elements. The depth of values is bounded
/// where they enter.
fn mask_below(shown: &mut Value, original: &Value, path: &str) {
    match (shown, original) {
        (Value::Array(shown), Value::Array(original)) => {
            for (shown, original) in shown.iter_mut().zip(original) {
                mask_below(shown, original, path);
            }
        }
        (Value::Object(shown), Value::Object(original)) => {
            let (key, rest) = path.split_once('.').map_or((path, None), |(key, rest)| (key, Some(rest)));
            let (Some(shown), Some(original)) = (shown.get_mut(key), original.get(key)) else { return };
            match rest {
                Some(rest) => mask_below(shown, original, rest),
                None => mask_value(shown, original),
            }
        }
        _ => {}
    }
}

/// Masks every scalar. The original has the same shape, so each length is that of the real value.
fn mask_value(shown: &mut Value, original: &Value) {
    let mut left = vec![(shown, original)];
    while let Some((shown, original)) = left.pop() {
        match (shown, original) {
            (Value::Array(shown), Value::Array(original)) => left.extend(shown.iter_mut().zip(original)),
            (Value::Object(shown), Value::Object(original)) => left.extend(shown.values_mut().zip(original.values())),
            (shown, original) => *shown = Value::String(placeholder(original)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn masked(params: &Value, paths: &[&str]) -> (Value, Vec<String>) {
        let paths: Vec<ParamPath> = paths.iter().map(|path| ParamPath::new(*path)).collect();
        let (shown, masked) = mask(params.as_object().unwrap(), paths.iter());
        (Value::Object(shown), masked.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn scalars_are_masked_with_their_length_and_shapes_stay() {
        let params = json!({"card": {"number": "4111 é", "cvc": 123, "tags": [true, null]}, "to": "a"});
        let expected = json!({"card": {"number": "[masked, 6 characters]", "cvc": "[masked, 3 characters]",
            "tags": ["[masked, 4 characters]", "[masked, 4 characters]"]}, "to": "a"});
        assert_eq!(masked(&params, &["card", "gone", "card"]), (expected, vec!["card".to_owned()]));
    }

    #[test]
    fn a_name_masks_the_literal_key_and_the_path() {
        let params = json!({"a.b": "xx", "a": {"b": "xyz", "c": 1}});
        let expected = json!({"a.b": "[masked, 2 characters]", "a": {"b": "[masked, 3 characters]", "c": 1}});
        assert_eq!(masked(&params, &["a.b"]), (expected, vec!["a.b".to_owned()]));
    }

    #[test]
    fn a_path_through_a_list_masks_every_element() {
        let params =
            json!({"customers": [{"iban": "DE89", "name": "a"}, {"name": "b"}, [{"iban": ["x", {"y": 12}]}], "iban"]});
        let expected = json!({"customers": [
            {"iban": "[masked, 4 characters]", "name": "a"},
            {"name": "b"},
            [{"iban": ["[masked, 1 characters]", {"y": "[masked, 2 characters]"}]}],
            "iban",
        ]});
        assert_eq!(masked(&params, &["customers.iban"]), (expected, vec!["customers.iban".to_owned()]));
        let nothing = json!({"customers": [{"name": "b"}, 5]});
        assert_eq!(masked(&nothing, &["customers.iban"]), (nothing.clone(), Vec::new()));
    }

    #[test]
    fn overlapping_names_give_the_length_of_the_real_value() {
        let params = json!({"a": {"b": "xyz"}});
        let expected = json!({"a": {"b": "[masked, 3 characters]"}});
        assert_eq!(masked(&params, &["a", "a.b"]), (expected, vec!["a".to_owned(), "a.b".to_owned()]));
    }

    #[test]
    fn a_value_that_its_sender_masked_keeps_its_length() {
        let params =
            json!({"a": "[masked, 7 characters]", "b": "[masked,  characters]", "c": "[masked, 7 characters] "});
        let shown =
            json!({"a": "[masked, 7 characters]", "b": "[masked, 21 characters]", "c": "[masked, 23 characters]"});
        let paths = ["a", "b", "c"].map(str::to_owned).to_vec();
        assert_eq!(masked(&params, &["a", "b", "c"]), (shown, paths));
    }

    #[test]
    fn a_missing_parameter_is_not_masked() {
        let params = json!({"a": {}, "b": [], "c": 1});
        assert_eq!(masked(&params, &["a", "b", "d", "c.x"]), (params.clone(), Vec::new()));
    }
}
