//! Writes canonical JSON (RFC 8785) in one pass. Only these bytes are ever hashed. Each decision needs it twice: for
//! the action's digest and for the record.
//!
//! The output is the same as that of the `serde_json_canonicalizer` crate; a test compares the two. This writer is
//! faster: it writes members into one buffer and moves them only if they are not sorted. It also returns the positions
//! of the top-level members. So the store can fill in the sequence number and the record's id without writing the rest
//! again.

use std::fmt::{Display, Write as _};
use std::ops::Range;

use serde::Serialize;
use serde::ser::{self, Error as _};
use serde_json::Error;

use super::MAX_WHOLE_NUMBER;

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

/// One `"key":value` in the output: `"key"` ends at `key_end`, the colon follows.
#[derive(Clone, Copy)]
struct Member {
    start: usize,
    key_end: usize,
    end: usize,
}

struct Writer {
    out: Vec<u8>,
    /// The members of every open object, innermost last.
    members: Vec<Member>,
    depth: usize,
    text: String,
    outermost: Vec<Member>,
}

impl Writer {
    /// Writes a value after `reserved` zero bytes.
    fn write<T: Serialize>(value: &T, reserved: usize) -> Result<Self, Error> {
        let (out, members, outermost) = (Vec::with_capacity(1024), Vec::new(), Vec::new());
        let mut writer = Self { out, members, depth: 0, text: String::new(), outermost };
        writer.out.resize(reserved, 0);
        value.serialize(&mut writer)?;
        Ok(writer)
    }

    fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn digits(&mut self, value: impl Display) {
        self.text.clear();
        // Writing to a String cannot fail.
        let _ = write!(self.text, "{value}");
        self.out.extend_from_slice(self.text.as_bytes());
    }

    /// A number as ECMAScript prints it. The `serde_json_canonicalizer` crate does this.
    fn double(&mut self, value: f64) -> Result<(), Error> {
        self.out.extend_from_slice(&serde_json_canonicalizer::to_vec(&value)?);
        Ok(())
    }

    fn string(&mut self, text: &str) {
        self.out.push(b'"');
        let bytes = text.as_bytes();
        let mut plain = 0;
        for (i, byte) in bytes.iter().enumerate() {
            let escape: &[u8] = match byte {
                b'"' => b"\\\"",
                b'\\' => b"\\\\",
                0x08 => b"\\b",
                0x09 => b"\\t",
                0x0a => b"\\n",
                0x0c => b"\\f",
                0x0d => b"\\r",
                0x00..=0x1f => b"",
                _ => continue,
            };
            self.out.extend_from_slice(&bytes[plain..i]);
            plain = i + 1;
            if escape.is_empty() {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                self.out.extend_from_slice(b"\\u00");
                self.out.push(HEX[usize::from(byte >> 4)]);
                self.out.push(HEX[usize::from(byte & 15)]);
            } else {
                self.out.extend_from_slice(escape);
            }
        }
        self.out.extend_from_slice(&bytes[plain..]);
        self.out.push(b'"');
    }

    fn open_object(&mut self) -> Object<'_> {
        self.out.push(b'{');
        self.depth += 1;
        Object { base: self.members.len(), writer: self, closes: 0 }
    }

    fn open_array(&mut self) -> Array<'_> {
        self.out.push(b'[');
        self.depth += 1;
        Array { first: true, writer: self, closes: 0 }
    }

    /// Sorts the members from `base` on, and clears them.
    fn close_object(&mut self, base: usize) -> Result<(), Error> {
        let mut in_order = true;
        for pair in self.members[base..].windows(2) {
            if !self.precedes(pair[0], pair[1])? {
                in_order = false;
                break;
            }
        }
        if !in_order {
            self.reorder(base)?;
        }
        self.out.push(b'}');
        self.depth -= 1;
        if self.depth == 0 {
            self.outermost = self.members.split_off(base);
        } else {
            self.members.truncate(base);
        }
        Ok(())
    }

    fn reorder(&mut self, base: usize) -> Result<(), Error> {
        let first = self.members[base].start;
        let mut ordered = self.members[base..].to_vec();
        if ordered.iter().all(|member| is_plain(self.key(*member))) {
            ordered.sort_unstable_by(|a, b| self.key(*a).cmp(self.key(*b)));
        } else {
            let mut keyed = Vec::with_capacity(ordered.len());
            for member in ordered {
                keyed.push((self.key_units(member)?, member));
            }
            keyed.sort_by(|a, b| a.0.cmp(&b.0));
            ordered = keyed.into_iter().map(|(_, member)| member).collect();
        }
        // The writer has one form for each text, so equal keys have equal bytes.
        if ordered.windows(2).any(|pair| self.key(pair[0]) == self.key(pair[1])) {
            return Err(Error::custom("duplicate object key"));
        }
        let unordered = self.out.split_off(first);
        for (i, member) in ordered.iter().enumerate() {
            if i > 0 {
                self.out.push(b',');
            }
            let start = self.out.len();
            self.out.extend_from_slice(&unordered[member.start - first..member.end - first]);
            self.members[base + i] =
                Member { start, key_end: start + (member.key_end - member.start), end: self.out.len() };
        }
        Ok(())
    }

    /// The key as it is written, without its quotes.
    fn key(&self, member: Member) -> &[u8] {
        &self.out[member.start + 1..member.key_end - 1]
    }

    /// Whether one key is strictly less than the other.
    fn precedes(&self, a: Member, b: Member) -> Result<bool, Error> {
        let (left, right) = (self.key(a), self.key(b));
        if is_plain(left) && is_plain(right) {
            return Ok(left < right);
        }
        Ok(self.key_units(a)? < self.key_units(b)?)
    }

    /// The key as the UTF-16 code units that RFC 8785 sorts by.
    fn key_units(&self, member: Member) -> Result<Vec<u16>, Error> {
        let key: String = serde_json::from_slice(&self.out[member.start..member.key_end])?;
        Ok(key.encode_utf16().collect())
    }
}

/// Whether the bytes of a key are in the order of its UTF-16 code units: it is ASCII without escapes.
fn is_plain(key: &[u8]) -> bool {
    key.iter().all(|byte| byte.is_ascii() && *byte != b'\\')
}

struct Object<'w> {
    writer: &'w mut Writer,
    base: usize,
    /// How many wrapping objects end with this one. An enum variant wraps its content in an object.
    closes: usize,
}

impl Object<'_> {
    fn key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        if self.writer.members.len() > self.base {
            self.writer.out.push(b',');
        }
        let start = self.writer.out.len();
        key.serialize(&mut *self.writer)?;
        if self.writer.out.get(start) != Some(&b'"') {
            return Err(Error::custom("an object's key must be a string"));
        }
        let key_end = self.writer.out.len();
        self.writer.out.push(b':');
        self.writer.members.push(Member { start, key_end, end: 0 });
        Ok(())
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(&mut *self.writer)?;
        self.value_written();
        Ok(())
    }

    fn value_written(&mut self) {
        let end = self.writer.out.len();
        if let Some(member) = self.writer.members.last_mut() {
            member.end = end;
        }
    }

    fn finish(self) -> Result<(), Error> {
        self.writer.close_object(self.base)?;
        close_wrappers(self.writer, self.closes)
    }
}

struct Array<'w> {
    writer: &'w mut Writer,
    first: bool,
    closes: usize,
}

impl Array<'_> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        if !std::mem::take(&mut self.first) {
            self.writer.out.push(b',');
        }
        value.serialize(&mut *self.writer)
    }

    fn finish(self) -> Result<(), Error> {
        self.writer.out.push(b']');
        self.writer.depth -= 1;
        close_wrappers(self.writer, self.closes)
    }
}

/// Opens the object around the content of an enum variant.
fn open_wrapper(writer: &mut Writer, variant: &str) -> Result<(), Error> {
    let mut object = writer.open_object();
    object.key(variant)
}

fn close_wrappers(writer: &mut Writer, count: usize) -> Result<(), Error> {
    for _ in 0..count {
        let base = writer.members.len() - 1;
        let mut object = Object { writer, base, closes: 0 };
        object.value_written();
        object.finish()?;
    }
    Ok(())
}

impl<'w> ser::Serializer for &'w mut Writer {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Array<'w>;
    type SerializeTuple = Array<'w>;
    type SerializeTupleStruct = Array<'w>;
    type SerializeTupleVariant = Array<'w>;
    type SerializeMap = Object<'w>;
    type SerializeStruct = Object<'w>;
    type SerializeStructVariant = Object<'w>;

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.raw(if value { "true" } else { "false" });
        Ok(())
    }
    fn serialize_i8(self, value: i8) -> Result<(), Error> {
        self.serialize_i64(i64::from(value))
    }
    fn serialize_i16(self, value: i16) -> Result<(), Error> {
        self.serialize_i64(i64::from(value))
    }
    fn serialize_i32(self, value: i32) -> Result<(), Error> {
        self.serialize_i64(i64::from(value))
    }
    fn serialize_i64(self, value: i64) -> Result<(), Error> {
        if value.unsigned_abs() <= MAX_WHOLE_NUMBER {
            self.digits(value);
            return Ok(());
        }
        #[expect(clippy::cast_precision_loss, reason = "RFC 8785 has no other numbers than doubles")]
        self.double(value as f64)
    }
    fn serialize_u8(self, value: u8) -> Result<(), Error> {
        self.serialize_u64(u64::from(value))
    }
    fn serialize_u16(self, value: u16) -> Result<(), Error> {
        self.serialize_u64(u64::from(value))
    }
    fn serialize_u32(self, value: u32) -> Result<(), Error> {
        self.serialize_u64(u64::from(value))
    }
    fn serialize_u64(self, value: u64) -> Result<(), Error> {
        if value <= MAX_WHOLE_NUMBER {
            self.digits(value);
            return Ok(());
        }
        #[expect(clippy::cast_precision_loss, reason = "RFC 8785 has no other numbers than doubles")]
        self.double(value as f64)
    }
    fn serialize_f32(self, value: f32) -> Result<(), Error> {
        self.serialize_f64(f64::from(value))
    }
    fn serialize_f64(self, value: f64) -> Result<(), Error> {
        self.double(value)
    }
    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.string(value.encode_utf8(&mut [0; 4]));
        Ok(())
    }
    fn serialize_str(self, value: &str) -> Result<(), Error> {
        self.string(value);
        Ok(())
    }
    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        self.collect_seq(value)
    }
    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<(), Error> {
        self.raw("null");
        Ok(())
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.serialize_str(variant)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        let mut object = self.open_object();
        object.key(variant)?;
        object.value(value)?;
        object.finish()
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Array<'w>, Error> {
        Ok(self.open_array())
    }
    fn serialize_tuple(self, _: usize) -> Result<Array<'w>, Error> {
        Ok(self.open_array())
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Array<'w>, Error> {
        Ok(self.open_array())
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Array<'w>, Error> {
        open_wrapper(self, variant)?;
        Ok(Array { closes: 1, ..self.open_array() })
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Object<'w>, Error> {
        Ok(self.open_object())
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Object<'w>, Error> {
        Ok(self.open_object())
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Object<'w>, Error> {
        open_wrapper(self, variant)?;
        Ok(Object { closes: 1, ..self.open_object() })
    }
    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), Error> {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        write!(text, "{value}").map_err(Error::custom)?;
        self.string(&text);
        self.text = text;
        Ok(())
    }
}

macro_rules! array {
    ($trait:ident, $method:ident) => {
        impl ser::$trait for Array<'_> {
            type Ok = ();
            type Error = Error;
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                self.element(value)
            }
            fn end(self) -> Result<(), Error> {
                self.finish()
            }
        }
    };
}
array!(SerializeSeq, serialize_element);
array!(SerializeTuple, serialize_element);
array!(SerializeTupleStruct, serialize_field);
array!(SerializeTupleVariant, serialize_field);

macro_rules! object {
    ($trait:ident) => {
        impl ser::$trait for Object<'_> {
            type Ok = ();
            type Error = Error;
            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Error> {
                self.key(key)?;
                self.value(value)
            }
            fn end(self) -> Result<(), Error> {
                self.finish()
            }
        }
    };
}
object!(SerializeStruct);
object!(SerializeStructVariant);

impl ser::SerializeMap for Object<'_> {
    type Ok = ();
    type Error = Error;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.key(key)
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.value(value)
    }
    fn end(self) -> Result<(), Error> {
        self.finish()
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
