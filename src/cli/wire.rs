//! Converts between the API's messages and JSON: structs, values, moments, durations.

use std::time::Duration;

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value as Wire};
use serde_json::{Map, Number, Value};

use super::times;
use crate::domain::check::inexact;
use crate::domain::{MAX_WHOLE_NUMBER, Timestamp};

/// The largest whole number whose two neighbours are doubles as well, so that no other number is rounded to it.
#[expect(clippy::cast_precision_loss, reason = "2^53 - 1 is exact in a double")]
const LARGEST_EXACT: f64 = MAX_WHOLE_NUMBER as f64;

/// A JSON object as a message. Refuses an integer that a double would round, and names its path.
pub(super) fn to_struct(object: Map<String, Value>, path: &str) -> Result<Struct, String> {
    let mut fields = std::collections::BTreeMap::new();
    for (key, value) in object {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        fields.insert(key, to_value(value, &path)?);
    }
    Ok(Struct { fields })
}

/// Any JSON as a message.
pub(super) fn to_value(value: Value, path: &str) -> Result<Wire, String> {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(value),
        Value::Number(number) => Kind::NumberValue(exact(&number, path)?),
        Value::String(text) => Kind::StringValue(text),
        Value::Array(items) => {
            let items = items.into_iter().enumerate().map(|(i, item)| to_value(item, &format!("{path}[{i}]")));
            Kind::ListValue(ListValue { values: items.collect::<Result<_, _>>()? })
        }
        Value::Object(object) => Kind::StructValue(to_struct(object, path)?),
    };
    Ok(Wire { kind: Some(kind) })
}

fn exact(number: &Number, path: &str) -> Result<f64, String> {
    let double = number.as_f64().ok_or_else(|| format!("{path}: {number} is not a number that JSON has"))?;
    if double.fract() == 0.0 && double.abs() > LARGEST_EXACT {
        return Err(format!("{path}: {}", inexact(number)));
    }
    Ok(double)
}

/// A message as a JSON object.
pub(super) fn from_struct(message: Option<&Struct>) -> Map<String, Value> {
    let fields = message.into_iter().flat_map(|message| &message.fields);
    fields.map(|(key, value)| (key.clone(), from_value(Some(value)))).collect()
}

/// A message as JSON.
pub(super) fn from_value(message: Option<&Wire>) -> Value {
    match message.and_then(|message| message.kind.as_ref()) {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => Value::Bool(*value),
        Some(Kind::NumberValue(number)) => from_number(*number),
        Some(Kind::StringValue(text)) => Value::String(text.clone()),
        Some(Kind::ListValue(list)) => list.values.iter().map(|item| from_value(Some(item))).collect(),
        Some(Kind::StructValue(object)) => Value::Object(from_struct(Some(object))),
    }
}

/// A whole number is shown as it was sent: `150`, not `150.0`.
fn from_number(number: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "only whole numbers below 2^53 get there")]
    if number.fract() == 0.0 && number.abs() <= LARGEST_EXACT {
        return Value::from(number as i64);
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

/// A moment, if the message has a valid one.
pub(super) fn moment(message: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    message.and_then(|message| Timestamp::new(message.seconds, message.nanos).ok())
}

/// A moment for data, with six digits.
pub(super) fn time(message: Option<&prost_types::Timestamp>) -> Option<String> {
    moment(message).map(times::exact)
}

/// A moment as a message.
pub(super) fn to_moment(moment: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: moment.as_second(), nanos: moment.subsec_nanosecond() }
}

/// A duration as a message. A duration that is too long for a message becomes the longest possible one.
pub(super) fn to_duration(duration: Duration) -> prost_types::Duration {
    duration.try_into().unwrap_or(prost_types::Duration { seconds: i64::MAX, nanos: 0 })
}

/// A text that may be missing: in a message, empty means missing.
pub(super) fn present(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(object) = value else { unreachable!("tests pass objects") };
        object
    }

    #[test]
    fn json_is_the_same_after_a_round_trip() {
        let params =
            object(json!({"count": 150, "rate": 0.5, "tags": ["a", null, true], "user": {"name": "é"}, "neg": -7}));
        let message = to_struct(params.clone(), "").unwrap();
        assert_eq!(from_struct(Some(&message)), params);
        assert_eq!(from_struct(None), Map::new());
    }

    #[test]
    fn an_integer_that_would_be_rounded_is_refused_with_its_path() {
        let error = to_struct(object(json!({"a": [{"b": 9_007_199_254_740_993_u64}]})), "params").unwrap_err();
        assert!(error.starts_with("params.a[0].b: 9007199254740993"), "{error}");
        assert!(to_struct(object(json!({"a": -9_007_199_254_740_993_i64})), "").is_err());
        assert!(to_struct(object(json!({"a": 9_007_199_254_740_992_u64})), "").is_err());
        assert!(to_struct(object(json!({"a": 9_007_199_254_740_993.0_f64})), "").is_err());
        assert!(to_struct(object(json!({"a": 9_007_199_254_740_991_u64, "b": 0.1})), "").is_ok());
    }

    #[test]
    fn moments_keep_their_fraction() {
        let at: Timestamp = "2026-11-20T22:49:44.69941Z".parse().unwrap();
        assert_eq!(moment(Some(&to_moment(at))), Some(at));
        let before: Timestamp = "1969-12-31T23:59:59.5Z".parse().unwrap();
        assert_eq!(moment(Some(&to_moment(before))), Some(before));
    }
}
