//! A record as a line of JSON. The line contains the payload byte for byte.

use crate::audit::log::leaf::{SALT_LEN, leaf_data};
use crate::domain::Digest;

/// The text before the payload.
const BEFORE: &[u8] = b"{\"payload\":";
/// The text between payload and salt.
const BETWEEN: &[u8] = b",\"salt\":\"";
/// The text before the leaf data of a redacted record.
const BEFORE_REDACTED: &[u8] = b"{\"redacted\":\"";
/// The end of a line.
const AFTER: &[u8] = b"\"}";

/// A record, or the rest of a redacted one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryLine<'a> {
    /// The whole record.
    Whole {
        /// The salt of the hash.
        salt: [u8; SALT_LEN],
        /// The payload as canonical JSON.
        payload: &'a [u8],
    },
    /// The payload was removed.
    Redacted {
        /// The hash of salt and payload.
        leaf_data: Digest,
    },
}

impl<'a> EntryLine<'a> {
    /// Reads a line, without its newline.
    pub fn parse(line: &'a [u8]) -> Result<Self, &'static str> {
        if let Some(rest) = line.strip_prefix(BEFORE_REDACTED) {
            let hex = rest.strip_suffix(AFTER).ok_or("the line does not end as it should")?;
            return Ok(Self::Redacted {
                leaf_data: Digest(from_hex(hex).ok_or("the leaf data is not 64 hex digits")?),
            });
        }
        let rest = line.strip_prefix(BEFORE).ok_or("the line does not begin as it should")?;
        let rest = rest.strip_suffix(AFTER).ok_or("the line does not end as it should")?;
        let at = rest.len().checked_sub(2 * SALT_LEN).ok_or("the line is too short")?;
        let (rest, hex) = rest.split_at(at);
        let salt = from_hex(hex).ok_or("the salt is not 32 hex digits")?;
        let payload = rest.strip_suffix(BETWEEN).ok_or("the line has no salt where it should")?;
        Ok(Self::Whole { salt, payload })
    }

    /// Writes the line, with its newline.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Whole { salt, payload } => {
                out.extend_from_slice(BEFORE);
                out.extend_from_slice(payload);
                out.extend_from_slice(BETWEEN);
                out.extend_from_slice(hex::encode(salt).as_bytes());
            }
            Self::Redacted { leaf_data } => {
                out.extend_from_slice(BEFORE_REDACTED);
                out.extend_from_slice(hex::encode(leaf_data.0).as_bytes());
            }
        }
        out.extend_from_slice(AFTER);
        out.push(b'\n');
    }

    /// The leaf data, from which the leaf hash is computed.
    pub fn leaf_data(&self) -> Digest {
        match self {
            Self::Whole { salt, payload } => leaf_data(salt, payload),
            Self::Redacted { leaf_data } => *leaf_data,
        }
    }
}

/// Bytes as lower-case hex. No other form is accepted.
fn from_hex<const N: usize>(hex: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(hex, &mut bytes).ok()?;
    hex.iter().all(|byte| !byte.is_ascii_uppercase()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_parses_to_what_was_written() {
        for entry in [
            EntryLine::Whole { salt: [0xab; 16], payload: br#"{"a":",\"salt\":\"","b":1}"# },
            EntryLine::Redacted { leaf_data: Digest([7; 32]) },
        ] {
            let mut line = Vec::new();
            entry.write(&mut line);
            serde_json::from_slice::<serde_json::Value>(&line).unwrap();
            let line = line.strip_suffix(b"\n").unwrap();
            assert_eq!(EntryLine::parse(line), Ok(entry));
            for at in 0..line.len() {
                for bit in 0..8 {
                    let mut changed = line.to_vec();
                    changed[at] ^= 1 << bit;
                    assert_ne!(EntryLine::parse(&changed), Ok(entry), "byte {at}, bit {bit}");
                }
            }
        }
        assert!(EntryLine::parse(b"").is_err());
        assert!(EntryLine::parse(br#"{"payload":,"salt":""}"#).is_err());
    }
}
