//! The bytes of canonical JSON: how texts and numbers are written, and the members of an object in their order.

use std::fmt::{Display, Write as _};

use serde::Serialize;
use serde::ser::Error as _;
use serde_json::Error;

/// One `"key":value` in the output: `"key"` ends at `key_end`, the colon follows.
#[derive(Clone, Copy)]
pub(super) struct Member {
    pub(super) start: usize,
    pub(super) key_end: usize,
    pub(super) end: usize,
}

pub(super) struct Writer {
    pub(super) out: Vec<u8>,
    /// The members of every open object, innermost last.
    pub(super) members: Vec<Member>,
    pub(super) depth: usize,
    pub(super) text: String,
    pub(super) outermost: Vec<Member>,
}

impl Writer {
    /// Writes a value after `reserved` zero bytes.
    pub(super) fn write<T: Serialize>(value: &T, reserved: usize) -> Result<Self, Error> {
        let (out, members, outermost) = (Vec::with_capacity(1024), Vec::new(), Vec::new());
        let mut writer = Self { out, members, depth: 0, text: String::new(), outermost };
        writer.out.resize(reserved, 0);
        value.serialize(&mut writer)?;
        Ok(writer)
    }

    pub(super) fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    pub(super) fn digits(&mut self, value: impl Display) {
        self.text.clear();
        // Writing to a String cannot fail.
        let _ = write!(self.text, "{value}");
        self.out.extend_from_slice(self.text.as_bytes());
    }

    /// A number as ECMAScript prints it. The `serde_json_canonicalizer` crate does this.
    pub(super) fn double(&mut self, value: f64) -> Result<(), Error> {
        self.out.extend_from_slice(&serde_json_canonicalizer::to_vec(&value)?);
        Ok(())
    }

    pub(super) fn string(&mut self, text: &str) {
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

    /// Sorts the members from `base` on, and clears them.
    pub(super) fn close_object(&mut self, base: usize) -> Result<(), Error> {
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
