//! JSON that is safe to look at: hidden characters (bidi overrides, zero-width, C1 controls) are written as `\u`
//! escapes.
//!
//! Nothing is lost: whoever parses it gets the characters back. A terminal never gets them.

use std::io;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};

use crate::domain::visible;

/// JSON on one line.
pub(super) fn compact<T: Serialize>(value: &T) -> String {
    write(value, CompactFormatter)
}

/// JSON indented by two blanks.
pub(super) fn pretty<T: Serialize>(value: &T) -> String {
    write(value, PrettyFormatter::new())
}

fn write<T: Serialize>(value: &T, layout: impl Formatter) -> String {
    let mut bytes = Vec::new();
    value
        .serialize(&mut Serializer::with_formatter(&mut bytes, Escaping(layout)))
        .expect("what this program prints has string keys and goes to memory");
    String::from_utf8(bytes).expect("JSON is UTF-8")
}

/// A layout that escapes hidden characters in strings.
struct Escaping<F>(F);

impl<F: Formatter> Formatter for Escaping<F> {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if matches!(visible(fragment), std::borrow::Cow::Borrowed(_)) {
            return writer.write_all(fragment.as_bytes());
        }
        for c in fragment.chars() {
            let mut utf8 = [0; 4];
            if matches!(visible(c.encode_utf8(&mut utf8)), std::borrow::Cow::Borrowed(_)) {
                write!(writer, "{c}")?;
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn hidden_characters_are_escaped_and_parse_back() {
        let value = json!({"a\u{202e}": ["\u{9b}31m", "\u{e0041}", "é日本", "line\nbreak"]});
        let text = compact(&value);
        assert_eq!(text, r#"{"a\u202e":["\u009b31m","\udb40\udc41","é日本","line\nbreak"]}"#);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        assert_eq!(serde_json::from_str::<Value>(&pretty(&value)).unwrap(), value);
    }

    #[test]
    fn the_layouts_match_serde_json() {
        let value = json!({"a": [], "b": {"c": [1, 2]}, "d": {}});
        assert_eq!(pretty(&value), serde_json::to_string_pretty(&value).unwrap());
    }
}
