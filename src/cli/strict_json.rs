//! JSON in which a key stands once. Of two equal keys most parsers take the last one, and some the first: an action
//! that one reader checks and another runs must not be written so.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Any JSON.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StrictValue(pub(super) Value);

/// A JSON object.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct StrictObject(pub(super) Map<String, Value>);

impl<'de> Deserialize<'de> for StrictValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Strict).map(Self)
    }
}

impl<'de> Deserialize<'de> for StrictObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Map<String, Value>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                object(map)
            }
        }
        deserializer.deserialize_map(Object).map(Self)
    }
}

/// Reads one value, and all in it.
struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Strict)? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        object(map).map(Value::Object)
    }
}

fn object<'de, A: MapAccess<'de>>(mut map: A) -> Result<Map<String, Value>, A::Error> {
    let mut object = Map::new();
    while let Some(key) = map.next_key::<String>()? {
        if object.contains_key(&key) {
            return Err(Error::custom(format_args!("the key {} stands twice", Value::from(key))));
        }
        let value = map.next_value_seed(Strict)?;
        object.insert(key, value);
    }
    Ok(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_json_is_read_as_serde_json_reads_it() {
        for text in [
            r#"{"a":[1,-2,2.5,1e300,18446744073709551615,null,true,"é\n",{"a":{"a":1}}]}"#,
            "[]",
            "null",
            r#""text""#,
            "7",
        ] {
            let strict: StrictValue = serde_json::from_str(text).unwrap();
            assert_eq!(strict.0, serde_json::from_str::<Value>(text).unwrap(), "{text}");
        }
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_with_its_place() {
        for (text, says) in [
            (r#"{"count":1,"count":150}"#, r#"the key "count" stands twice at line 1 column 18"#),
            ("{\"a\":\n[{\"b\":1,\n\"\\u0062\":2}]}", r#"the key "b" stands twice at line 3 column 8"#),
            (r#"{"":1,"":1}"#, r#"the key "" stands twice"#),
        ] {
            let error = serde_json::from_str::<StrictValue>(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
            assert_eq!(serde_json::from_str::<StrictObject>(text).unwrap_err().to_string(), error);
        }
    }
}
