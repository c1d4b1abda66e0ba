//! How conditions read values: finding a parameter, equality, order, and the text of a number.
//!
//! Numbers compare by their exact value, whether they are written as integers or as floats. Booleans are no numbers.
//! Text is compared by code point and never normalised.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

use crate::domain::{ParamPath, Walk, canonical_json};

/// What a parameter's name leads to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Found<'v> {
    /// Nothing, or null.
    Missing,
    /// This value, which is not null.
    Value(&'v Value),
    /// One value under the literal key and a different one at the end of the path.
    Conflict(&'v Value, &'v Value),
    /// The path leads through the second value, which has no keys. The first is the value under the literal key, if it
    /// is not null.
    Blocked(Option<&'v Value>, &'v Value),
}

/// Finds a parameter by its literal top-level key and by its path.
pub(super) fn find<'v>(params: &'v Map<String, Value>, path: &ParamPath) -> Found<'v> {
    let literal = path.literal(params);
    let nested = match path.walk(params) {
        Walk::Blocked(by) => return Found::Blocked(literal.filter(|literal| !literal.is_null()), by),
        Walk::Value(nested) => Some(nested),
        Walk::Missing => None,
    };
    match (literal, nested) {
        (Some(literal), Some(nested)) if !equal(literal, nested) => Found::Conflict(literal, nested),
        (Some(value), _) | (None, Some(value)) if !value.is_null() => Found::Value(value),
        _ => Found::Missing,
    }
}

/// Whether two names can reach the same value: they are the same, or one is inside the other.
pub(super) fn overlap(one: &ParamPath, other: &ParamPath) -> bool {
    let (one, other) = (one.as_str(), other.as_str());
    let (short, long) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Deep equality. 1 equals 1.0; apart from that, values that are written differently are different.
///
/// The recursion is as deep as the shallower value. One of the two comes from a policy, whose depth is bounded.
pub(super) fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => compare_numbers(one, other) == Some(Ordering::Equal),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            // Both are ordered by key.
            one.len() == other.len()
                && one.iter().zip(other).all(|((key, one), (other_key, other))| key == other_key && equal(one, other))
        }
        (one, other) => one == other,
    }
}

/// The order of two numbers or of two texts. `None` for everything else.
pub(super) fn compare(one: &Value, other: &Value) -> Option<Ordering> {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => compare_numbers(one, other),
        // The order of UTF-8 is that of code points.
        (Value::String(one), Value::String(other)) => Some(one.cmp(other)),
        _ => None,
    }
}

fn compare_numbers(one: &Number, other: &Number) -> Option<Ordering> {
    match (integer(one), integer(other)) {
        (Some(one), Some(other)) => Some(one.cmp(&other)),
        (Some(one), None) => compare_integer(one, other.as_f64()?),
        (None, Some(other)) => compare_integer(other, one.as_f64()?).map(Ordering::reverse),
        (None, None) => one.as_f64()?.partial_cmp(&other.as_f64()?),
    }
}

fn integer(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

/// The order of a 64-bit integer and a double, without rounding either.
fn compare_integer(integer: i128, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the cast saturates, and a saturated value is beyond every 64-bit integer on the right side"
    )]
    let whole = float.trunc() as i128;
    // If the whole parts are equal, the fraction of the float decides.
    Some(integer.cmp(&whole).then_with(|| 0.0_f64.partial_cmp(&float.fract()).unwrap_or(Ordering::Equal)))
}

/// The text that a pattern searches: a number as RFC 8785 writes it. So 5 and 5.0, which have one digest, have one
/// decision. RFC 8785 cannot write integers beyond what a double holds; they are written out.
pub(super) fn number_text(number: &Number) -> String {
    if integer(number).is_some() {
        return number.to_string();
    }
    canonical_json(number).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_else(|| number.to_string())
}

/// The word for a value's type in messages.
pub(super) const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn find_in(params: &Value, path: &str) -> Option<Value> {
        match find(params.as_object().unwrap(), &ParamPath::new(path)) {
            Found::Missing => None,
            Found::Value(value) => Some(value.clone()),
            Found::Conflict(one, other) => Some(json!([one, other])),
            Found::Blocked(literal, by) => Some(json!({"literal": literal, "by": by})),
        }
    }

    #[test]
    fn a_name_is_read_as_a_literal_key_and_as_a_path() {
        assert_eq!(find_in(&json!({"a.b": 1}), "a.b"), Some(json!(1)));
        assert_eq!(find_in(&json!({"a": {"b": 1}}), "a.b"), Some(json!(1)));
        assert_eq!(find_in(&json!({"a": {"b": 1}, "a.b": 1.0}), "a.b"), Some(json!(1.0)));
        assert_eq!(find_in(&json!({"a": {"b": 1}, "a.b": 2}), "a.b"), Some(json!([2, 1])));
        assert_eq!(find_in(&json!({"a": {"b": 1}, "a.b": null}), "a.b"), Some(json!([null, 1])));
        assert_eq!(find_in(&json!({"a": null, "b": null}), "a.b"), None);
        assert_eq!(find_in(&json!({"a": [1]}), "a.0"), Some(json!({"literal": null, "by": [1]})));
        assert_eq!(find_in(&json!({"a": 1, "a.b": 2}), "a.b"), Some(json!({"literal": 2, "by": 1})));
        assert_eq!(find_in(&json!({"b": null}), "b"), None);
    }

    #[test]
    fn names_overlap_along_a_path() {
        let overlap = |one: &str, other: &str| overlap(&ParamPath::new(one), &ParamPath::new(other));
        assert!(overlap("a", "a") && overlap("a", "a.b") && overlap("a.b.c", "a.b"));
        assert!(!overlap("a", "ab") && !overlap("a.b", "a.c"));
    }

    #[test]
    fn equality_is_deep_and_booleans_are_not_numbers() {
        assert!(equal(&json!({"a": [1, {"b": 2.0}]}), &json!({"a": [1.0, {"b": 2}]})));
        assert!(!equal(&json!(1), &json!(true)));
        assert!(!equal(&json!([0]), &json!([false])));
        assert!(!equal(&json!("5"), &json!(5)));
        assert!(!equal(&json!("\u{e9}"), &json!("e\u{301}")));
        assert!(equal(&json!(-0.0), &json!(0)));
        assert!(!equal(&json!(9_007_199_254_740_993_u64), &json!(9_007_199_254_740_992.0)));
    }

    #[test]
    fn numbers_compare_without_rounding() {
        let order = |one: Value, other: Value| compare(&one, &other);
        assert_eq!(order(json!(9_007_199_254_740_993_u64), json!(9_007_199_254_740_992.0)), Some(Ordering::Greater));
        assert_eq!(order(json!(u64::MAX), json!(1.8e19)), Some(Ordering::Greater));
        assert_eq!(order(json!(u64::MAX), json!(1e300)), Some(Ordering::Less));
        assert_eq!(order(json!(i64::MIN), json!(-1e300)), Some(Ordering::Greater));
        assert_eq!(order(json!(-1), json!(-1.5)), Some(Ordering::Greater));
        assert_eq!(order(json!(1), json!(1.5)), Some(Ordering::Less));
        assert_eq!(order(json!("B"), json!("a")), Some(Ordering::Less));
        assert_eq!(order(json!("5"), json!(5)), None);
        assert_eq!(order(json!(true), json!(1)), None);
        assert_eq!(order(json!([1]), json!([2])), None);
    }

    #[test]
    fn numbers_have_one_text_however_they_are_written() {
        let text = |value: Value| value.as_number().map(number_text);
        assert_eq!(text(json!(5.0)), text(json!(5)));
        assert_eq!(text(json!(0.1)).as_deref(), Some("0.1"));
        assert_eq!(text(json!(1e21)).as_deref(), Some("1e+21"));
        assert_eq!(text(json!(u64::MAX)).as_deref(), Some("18446744073709551615"));
    }

    proptest! {
        #[test]
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        fn integers_and_doubles_are_ordered_by_their_value(
            integer in any::<i64>(), halves in -(1_i64 << 53)..1 << 53, shift in 0_i32..10,
        ) {
            // Half of a 53-bit integer, shifted: a double that is known exactly as a fraction of integers.
            let float = halves as f64 / 2.0 * 2.0_f64.powi(shift);
            let expected = (i128::from(integer) * 2).cmp(&(i128::from(halves) << shift));
            prop_assert_eq!(compare(&json!(integer), &json!(float)), Some(expected));
            prop_assert_eq!(compare(&json!(float), &json!(integer)), Some(expected.reverse()));
        }
    }
}
