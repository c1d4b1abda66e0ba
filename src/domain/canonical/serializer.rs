//! Serde's view of the writer: every shape that serde knows, as JSON.

use std::fmt::{Display, Write as _};

use serde::Serialize;
use serde::ser::{self, Error as _};
use serde_json::Error;

use super::writer::{Member, Writer};
use crate::domain::numbers::MAX_WHOLE_NUMBER;

impl Writer {
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
}

pub(super) struct Object<'w> {
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

pub(super) struct Array<'w> {
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
