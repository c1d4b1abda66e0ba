//! Opaque texts: what a caller gets from the daemon and sends back unchanged, for example a cursor or a page token.
//!
//! ```text
//! base64url( kind (1) ‖ body ‖ checksum (4) )        no padding
//! checksum = the first bytes of SHA-256(kind ‖ body)
//! ```
//!
//! The kind tells one use from another, and an older layout from a newer one. The checksum finds texts that were cut or
//! made up. It is no secret: such a text gives its holder nothing that the call itself does not.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Digest;

const SUM: usize = 4;

/// What an opaque text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum OpaqueKind {
    /// A position in a log.
    Cursor = 1,
    /// A position in a list.
    PageToken = 2,
}

/// The text of this body.
pub fn seal(kind: OpaqueKind, body: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(1 + body.len() + SUM);
    bytes.push(kind as u8);
    bytes.extend_from_slice(body);
    let sum = Digest::of(&bytes);
    bytes.extend_from_slice(&sum.0[..SUM]);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The body of such a text; `None` if it is damaged, or not of this kind and length.
pub fn open<const N: usize>(kind: OpaqueKind, text: &str) -> Option<[u8; N]> {
    // Longer texts are not decoded at all.
    if text.len() > (1 + N + SUM).div_ceil(3) * 4 {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (head, sum) = bytes.split_last_chunk::<SUM>()?;
    if Digest::of(head).0[..SUM] != *sum {
        return None;
    }
    let (first, body) = head.split_first()?;
    if *first == kind as u8 { body.try_into().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_opens_as_what_it_was_made_for_and_as_nothing_else() {
        let text = seal(OpaqueKind::Cursor, &[7; 24]);
        assert_eq!(open(OpaqueKind::Cursor, &text), Some([7; 24]));
        assert_eq!(open::<24>(OpaqueKind::PageToken, &text), None);
        assert_eq!(open::<23>(OpaqueKind::Cursor, &text), None);
        assert_eq!(open::<25>(OpaqueKind::Cursor, &text), None);
    }

    #[test]
    fn a_text_that_was_cut_changed_or_made_up_does_not_open() {
        let text = seal(OpaqueKind::PageToken, b"abcdefgh");
        for (at, _) in text.char_indices() {
            let mut wrong = text.clone();
            let other = if wrong.as_bytes()[at] == b'A' { "B" } else { "A" };
            wrong.replace_range(at..=at, other);
            assert_eq!(open::<8>(OpaqueKind::PageToken, &wrong), None, "{wrong}");
            assert_eq!(open::<8>(OpaqueKind::PageToken, &text[..at]), None, "{}", &text[..at]);
        }
        for made_up in ["500", "", "=", "\u{e9}", &"A".repeat(1 << 20)] {
            assert_eq!(open::<8>(OpaqueKind::PageToken, made_up), None);
        }
    }
}
