//! Reads JSON and query strings strictly, and reports everything that is wrong with them at once.
//!
//! serde stops at the first mistake. So a request that is wrong is read again without the part that was reported, until
//! nothing is wrong any more. A right request is read once.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

use crate::domain::json::parse_strict;
use crate::domain::{CallError, Violation};

/// The most mistakes that are looked for.
const MAX_VIOLATIONS: usize = 64;

/// Reads a JSON object, whatever its content type says. An empty body is an empty object.
pub(super) fn body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CallError> {
    let text = text(bytes)?;
    match parse_strict(text) {
        Ok(Strict(read)) => Ok(read),
        Err(_) => object(json(text)?),
    }
}

/// Reads any JSON, for a body that can be one of several things.
pub(super) fn any(bytes: &[u8]) -> Result<Value, CallError> {
    json(text(bytes)?)
}

/// Reads an object of a body.
pub(super) fn object<T: DeserializeOwned>(value: Value) -> Result<T, CallError> {
    Strict::deserialize(&value).map(|Strict(read)| read).map_err(|_| wrong::<Strict<T>>(value))
}

/// Reads a list of objects.
pub(super) fn list<T: DeserializeOwned>(value: Value) -> Result<Vec<T>, CallError> {
    objects(&value).map_err(|_| wrong::<Vec<Strict<T>>>(value))
}

fn text(bytes: &[u8]) -> Result<&str, CallError> {
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|error| CallError::invalid_field("", format!("the body is not UTF-8: {error}")))?;
    Ok(if text.trim().is_empty() { "{}" } else { text })
}

fn json(text: &str) -> Result<Value, CallError> {
    parse_strict(text).map_err(|error| CallError::invalid_field("", format!("the body is not JSON: {error}")))
}

fn wrong<T: DeserializeOwned>(value: Value) -> CallError {
    CallError::invalid(violations::<T>(value))
}

/// An object that is one: serde would also read a struct from a list of its fields.
pub(super) struct Strict<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Strict<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Strict<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Strict<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members)).map(Strict)
            }
        }

        deserializer.deserialize_map(Members(PhantomData))
    }
}

/// Reads a member that is an object.
pub(super) fn member<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Strict::deserialize(deserializer).map(|Strict(read)| read)
}

/// Reads a member of any kind; null is a value too.
pub(super) fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Reads a member that is a list of objects.
pub(super) fn objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Vec::<Strict<T>>::deserialize(deserializer)?.into_iter().map(|Strict(read)| read).collect())
}

/// Reads a query string. A name that comes several times has several values.
pub(super) fn query<T: DeserializeOwned>(query: &str) -> Result<T, CallError> {
    let mut object = Map::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let value = Value::from(value.into_owned());
        match object.get_mut(&*name) {
            None => drop(object.insert(name.into_owned(), value)),
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    let value = Value::Object(object);
    T::deserialize(&value).map_err(|_| wrong::<T>(value))
}

/// Everything that is wrong, as far as one mistake does not hide another.
fn violations<T: DeserializeOwned>(mut value: Value) -> Vec<Violation> {
    let mut found: Vec<Violation> = Vec::new();
    while found.len() < MAX_VIOLATIONS {
        let Err(error) = serde_path_to_error::deserialize::<_, T>(&value) else { break };
        let path: Vec<Segment> = error.path().iter().cloned().collect();
        let field = match error.path().to_string() {
            root if root == "." => String::new(),
            field => field,
        };
        let description = error.inner().to_string();
        // What stands for an item that was taken out is of the wrong kind too.
        if let Some((Segment::Seq { .. }, list)) = path.split_last()
            && found.iter().any(|known| known.field == field)
        {
            if list.is_empty() || !take_out(&mut value, list) {
                break;
            }
            continue;
        }
        let is_new = found.iter().all(|known| known.field != field || known.description != description);
        found.push(Violation::new(field, description));
        if !is_new || !take_out(&mut value, &path) {
            break;
        }
    }
    found
}

/// Takes the value at this path out. An item of a list is replaced, so that the others keep their places.
fn take_out(value: &mut Value, path: &[Segment]) -> bool {
    let Some((last, steps)) = path.split_last() else { return false };
    let mut at = value;
    for step in steps {
        let next = match step {
            Segment::Seq { index } => at.get_mut(index),
            Segment::Map { key } => at.get_mut(key),
            Segment::Enum { .. } | Segment::Unknown => Some(at),
        };
        let Some(next) = next else { return false };
        at = next;
    }
    match (last, at) {
        (Segment::Map { key }, Value::Object(object)) => object.remove(key).is_some(),
        (Segment::Seq { index }, Value::Array(items)) => match items.get_mut(*index) {
            Some(item) => {
                *item = Value::Object(Map::new());
                true
            }
            None => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Item {
        name: String,
        count: u8,
        #[serde(deserialize_with = "objects")]
        items: Vec<Item>,
        words: Vec<String>,
    }

    fn wrong<T>(read: Result<T, CallError>) -> Vec<String> {
        let Err(error) = read else { return Vec::new() };
        error.violations.into_iter().map(|violation| violation.field).collect()
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let text = br#"{"name": 1, "count": 300, "nmae": "x",
            "items": [{"count": "1"}, {"name": "good"}, 5, {"name": null}]}"#;
        let mut found = wrong(body::<Item>(text));
        found.sort();
        assert_eq!(found, ["count", "items[0].count", "items[2]", "items[3].name", "name", "nmae"]);
        assert_eq!(body::<Item>(b"").unwrap(), Item::default());
        assert_eq!(body::<Item>(b" {\"count\": 3} ").unwrap().count, 3);
    }

    #[test]
    fn what_is_no_json_says_where() {
        for (text, says) in [
            (&b"{\"name\": "[..], "line 1 column 9"),
            (b"{\"name\": \"a\", \"name\": \"b\"}", "given twice"),
            (b"\xff", "not UTF-8"),
            (b"[1] [2]", "trailing characters"),
        ] {
            let error = body::<Item>(text).unwrap_err();
            assert!(error.message.contains(says), "{error}");
        }
        assert!(body::<Item>("[".repeat(1000).as_bytes()).is_err());
        assert_eq!(wrong(body::<Item>(b"5")), [""]);
        assert_eq!(wrong(body::<Item>(b"[]")), [""]);
        assert_eq!(wrong(body::<Item>(br#"{"items": [["a"]]}"#)), ["items[0]"]);
        assert_eq!(wrong(body::<Item>(br#"{"words": ["a", 5, "b"], "count": "1"}"#)), ["count", "words[1]"]);
    }

    #[test]
    fn a_search_for_mistakes_ends() {
        let many = format!("{{\"items\": [{}{{}}]}}", "{\"count\": \"x\"},".repeat(500));
        assert_eq!(wrong(body::<Item>(many.as_bytes())).len(), MAX_VIOLATIONS);
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Query {
        session_id: String,
        many: Vec<String>,
    }

    #[test]
    fn a_query_is_read_by_name() {
        let read: Query = query("session_id=a+b%2Fc&many=1&many=2").unwrap();
        assert_eq!((read.session_id.as_str(), read.many.len()), ("a b/c", 2));
        assert_eq!(wrong(query::<Query>("session=a&session_id=1&session_id=2")), ["session", "session_id"]);
    }
}
