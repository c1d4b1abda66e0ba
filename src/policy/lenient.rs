//! How a lenient reader could take a value: the program that runs the action may read `"5"` as 5 and `[5]` as 5.
//!
//! A value may fail a test as it is, and pass as such a reader takes it. The condition is then unknown
//! ([`condition`](super::condition)). The depth of values is bounded where they enter, so the recursion is bounded
//! too.

use serde_json::{Number, Value};

use super::value::equal;

/// Whether two scalars of different types read the same: a text and a number, a text and a boolean.
pub(super) fn reads_alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::String(text), number @ Value::Number(_)) | (number @ Value::Number(_), Value::String(text)) => {
            read_number(text).is_some_and(|read| equal(&Value::Number(read), number))
        }
        (Value::String(text), Value::Bool(bool)) | (Value::Bool(bool), Value::String(text)) => {
            text.trim().eq_ignore_ascii_case(if *bool { "true" } else { "false" })
        }
        _ => false,
    }
}

/// The number that a text spells, in any notation: `5`, `+5`, ` 5.0`, `5e0`.
fn read_number(text: &str) -> Option<Number> {
    let text = text.trim();
    // This check is cheap and comes first, because most texts are no numbers. It also excludes `inf` and `nan`.
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return None;
    }
    if let Ok(integer) = text.parse::<i64>() {
        return Some(integer.into());
    }
    if let Ok(integer) = text.parse::<u64>() {
        return Some(integer.into());
    }
    text.parse().ok().and_then(Number::from_f64)
}

/// Whether a list or mapping holds this scalar, or one that reads the same, at any depth. Keys do not count.
pub(super) fn holds(container: &Value, scalar: &Value) -> bool {
    let is_scalar = !matches!(scalar, Value::Array(_) | Value::Object(_));
    is_scalar && inside(container, &|value| equal(value, scalar) || reads_alike(value, scalar))
}

/// Whether a text inside a list or mapping, at any depth, passes. Keys and numbers do not count.
pub(super) fn holds_text(container: &Value, passes: impl Fn(&str) -> bool) -> bool {
    inside(container, &|value| value.as_str().is_some_and(&passes))
}

/// Whether anything inside a value passes.
pub(super) fn inside(value: &Value, passes: &impl Fn(&Value) -> bool) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| passes(item) || inside(item, passes)),
        Value::Object(map) => map.values().any(|item| passes(item) || inside(item, passes)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_reads_the_same_in_every_notation() {
        for text in ["5", " 5", "+5", "05", "5.0", "5.", "5e0", "0.5e1", "5\n"] {
            assert!(reads_alike(&json!(text), &json!(5)) && reads_alike(&json!(5), &json!(text)), "{text:?}");
        }
        for text in ["", "5a", "6", "five", "5 5", "-5", "0x5", "--5", "."] {
            assert!(!reads_alike(&json!(text), &json!(5)), "{text:?}");
        }
        assert!(reads_alike(&json!("18446744073709551615"), &json!(u64::MAX)));
        assert!(!reads_alike(&json!("inf"), &json!(5)) && !reads_alike(&json!("1e999"), &json!(5)));
        assert!(reads_alike(&json!("True "), &json!(true)) && !reads_alike(&json!("true"), &json!(false)));
        assert!(!reads_alike(&json!(1), &json!(true)) && !reads_alike(&json!("1"), &json!(true)));
    }

    #[test]
    fn values_are_found_at_any_depth_and_keys_are_not() {
        let container = json!({"a": [{"b": "5"}, [true]], "k": null});
        for (wanted, is_held) in [(json!(5), true), (json!(true), true), (json!([true]), false), (json!("k"), false)] {
            assert_eq!(holds(&container, &wanted), is_held, "{wanted}");
        }
        assert!(!holds(&json!(5), &json!(5)), "a scalar holds nothing");
        assert!(holds_text(&container, |text| text == "5") && !holds_text(&json!([5, {"5": 1}]), |text| text == "5"));
    }
}
