//! Writes canonical JSON (RFC 8785) in one pass. Only these bytes are ever hashed. Each decision needs it twice: for
//! the action's digest and for the record.
//!
//! The output is the same as that of the `serde_json_canonicalizer` crate; a test compares the two. This writer is
//! faster: it writes members into one buffer and moves them only if they are not sorted. It also returns the positions
//! of the top-level members. So the store can fill in the sequence number and the record's id without writing the rest
//! again.

mod serializer;
mod writer;

use std::ops::Range;

use serde::Serialize;
use serde::ser::Error as _;
use serde_json::Error;

use self::writer::{Member, Writer};

/// A value has no canonical JSON form.
#[derive(Debug, thiserror::Error)]
#[error("no canonical JSON form: {0}")]
pub struct ParamsError(#[from] Error);

/// The canonical JSON (RFC 8785) of a value. Only these bytes are ever hashed.
pub fn canonical_json<T: Serialize>(value: &T) -> Result<Vec<u8>, ParamsError> {
    Ok(Writer::write(value, 0)?.out)
}

/// The canonical JSON of an object, with the place of each of its members' values.
pub(crate) struct Canonical {
    /// The JSON.
    pub(crate) bytes: Vec<u8>,
    members: Vec<Member>,
}

impl Canonical {
    /// Writes a value, which must be an object, after `reserved` zero bytes.
    pub(crate) fn object<T: Serialize>(value: &T, reserved: usize) -> Result<Self, Error> {
        let writer = Writer::write(value, reserved)?;
        if writer.outermost.is_empty() {
            return Err(Error::custom("only an object with members can be recorded"));
        }
        Ok(Self { bytes: writer.out, members: writer.outermost })
    }

    /// The position of the value of a top-level member.
    pub(crate) fn value_of(&self, key: &str) -> Option<Range<usize>> {
        let member = self.members.iter().find(|member| {
            let quoted = &self.bytes[member.start..member.key_end];
            quoted.len() == key.len() + 2 && &quoted[1..quoted.len() - 1] == key.as_bytes()
        })?;
        Some(member.key_end + 1..member.end)
    }
}

/// The length of a value's JSON in bytes.
pub fn json_len(value: &impl Serialize) -> Result<usize, ParamsError> {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    serde_json::to_writer(&mut count, value)?;
    Ok(count.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn written<T: Serialize>(value: &T) -> Vec<u8> {
        Canonical::object(value, 0).unwrap().bytes
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Value::from),
            (-1000i32..1000).prop_map(|i| Value::from(f64::from(i))),
            ".{0,12}".prop_map(Value::from),
            "[\\x00-\\x7f]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map("[\\x00-\\x7fé\u{fb33}\u{1f600}€]{0,4}", inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_bytes_are_those_of_the_other_writer(value in any_json()) {
            let object = json!({ "value": value, "a": 1 });
            for value in [value, object] {
                prop_assert_eq!(
                    String::from_utf8(canonical_json(&value).unwrap()).unwrap(),
                    serde_json_canonicalizer::to_string(&value).unwrap()
                );
            }
        }
    }

    #[derive(Serialize)]
    enum Variant {
        Unit,
        Newtype(u8),
        Tuple(u8, u8),
        Struct { b: u8, a: u8 },
    }

    #[derive(Serialize)]
    struct Everything {
        variants: Vec<Variant>,
        after: Option<char>,
        #[serde(flatten)]
        flat: Flat,
    }

    #[derive(Serialize)]
    #[serde(tag = "kind")]
    enum Flat {
        One { zebra: &'static str, beta: () },
    }

    #[test]
    fn every_shape_that_serde_knows_is_written_and_sorted() {
        let value = Everything {
            variants: vec![Variant::Unit, Variant::Newtype(1), Variant::Tuple(1, 2), Variant::Struct { b: 1, a: 2 }],
            after: Some('"'),
            flat: Flat::One { zebra: "\u{7f}\u{1}", beta: () },
        };
        let expected = serde_json_canonicalizer::to_string(&value).unwrap();
        assert_eq!(String::from_utf8(written(&value)).unwrap(), expected);
    }

    #[test]
    fn the_outermost_members_are_found_and_inner_ones_of_the_same_name_are_not() {
        let value = json!({"z": {"sequence": 7}, "sequence": 0, "a": {"sequence": 1}});
        let canonical = Canonical::object(&value, 3).unwrap();
        let place = canonical.value_of("sequence").unwrap();
        assert_eq!(&canonical.bytes[place.clone()], b"0");
        assert_eq!(&canonical.bytes[..3], &[0; 3]);
        assert_eq!(&canonical.bytes[3..place.start], br#"{"a":{"sequence":1},"sequence":"#);
        assert!(canonical.value_of("missing").is_none());
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert!(Canonical::object(&1, 0).is_err());
        assert!(Canonical::object(&std::collections::BTreeMap::from([(1, 2)]), 0).is_err());
    }
}
