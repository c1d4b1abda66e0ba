//! What a lenient reader could take a value for: whoever runs the action may read `"5"` as 5 and `[5]` as 5.
//!
//! A value that fails a test as it stands, and passes it as such a reader takes it, leaves the condition unknown
//! ([`condition`](super::condition)). Values are bounded in depth where they come in, so the recursion is too.

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

/// The number that a text is, however it is written: `5`, `+5`, ` 5.0`, `5e0`.
fn read_number(text: &str) -> Option<Number> {
    let text = text.trim();
    // Cheap, and so asked first: most texts are no numbers. It also keeps out `inf` and `nan`.
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

/// Whether something inside of a list or a mapping, at any depth, is this scalar or reads the same. Keys do not count.
pub(super) fn holds(container: &Value, scalar: &Value) -> bool {
    let is_scalar = !matches!(scalar, Value::Array(_) | Value::Object(_));
    is_scalar && inside(container, &|value| equal(value, scalar) || reads_alike(value, scalar))
}

/// Whether some text inside of a list or a mapping, at any depth, passes. Keys and numbers do not count.
pub(super) fn holds_text(container: &Value, passes: impl Fn(&str) -> bool) -> bool {
    inside(container, &|value| value.as_str().is_some_and(&passes))
}

/// Whether something below a value passes.
fn inside(value: &Value, passes: &impl Fn(&Value) -> bool) -> bool {
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
    fn a_number_reads_the_same_however_it_is_written() {
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
