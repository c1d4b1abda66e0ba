//! Parses JSON and refuses duplicate keys. Parsers differ on which of two equal keys wins (RFC 8259, section 4). So one
//! program could check the first value and another could use the second.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Error;

use super::defence::Defence;

/// Parses JSON into any type. Refuses a duplicate key at any depth, and names its place.
pub fn parse_strict<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Once.deserialize(&mut deserializer)?;
    deserializer.end()?;
    serde_json::from_str(text)
}

/// Checks a value without keeping it. The parser bounds the depth.
struct Once;

impl<'de> DeserializeSeed<'de> for Once {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Once {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Once)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            if seen.contains(&key) && Defence::DuplicateKeys.on() {
                return Err(A::Error::custom(format_args!(
                    "the key {} is given twice: give it once",
                    serde_json::Value::from(key)
                )));
            }
            seen.insert(key);
            entries.next_value_seed(Once)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_key_that_is_given_twice_is_refused_with_its_place() {
        for text in ["{\"a\": 1, \"a\": 1}", "[{\"b\": [{\"a\": 1,\n\"\\u0061\": 2}]}]"] {
            let error = parse_strict::<Value>(text).unwrap_err();
            assert!(error.to_string().starts_with("the key \"a\" is given twice: give it once at line "), "{error}");
        }
        let text = "{\"a\": {\"a\": [{\"a\": 1}, {\"a\": null}]}, \"b\": -1.5, \"A\": \"\\u00e9\"}";
        let expected = json!({"a": {"a": [{"a": 1}, {"a": null}]}, "b": -1.5, "A": "\u{e9}"});
        assert_eq!(parse_strict::<Value>(text).unwrap(), expected);
    }

    #[test]
    fn everything_else_is_as_the_parser_has_it() {
        for text in ["", "{", "{} {}", "[1,]", "nan"] {
            let (ours, theirs) =
                (parse_strict::<Value>(text).unwrap_err(), serde_json::from_str::<Value>(text).unwrap_err());
            assert_eq!(ours.to_string(), theirs.to_string(), "{text}");
        }
        assert!(parse_strict::<Value>(&"[".repeat(100_000)).is_err());
        assert!(parse_strict::<Vec<u8>>("[1, \"x\"]").unwrap_err().to_string().contains("invalid type"));
    }
}
