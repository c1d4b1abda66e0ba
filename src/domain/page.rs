//! [`PageTokens`]: where the next page of a list begins, as the opaque text that a client sends back.
//!
//! ```text
//! the first bytes of SHA-256(name of the list ‖ digest of the request) (8) ‖ position (16)
//! ```
//!
//! With another filter, the same position would silently leave out entries. So a token is good for its own request
//! only.

use super::Digest;
use super::opaque::{self, OpaqueKind};

/// A position in a list: the id or the number of the last entry of a page.
pub type PagePosition = [u8; 16];

/// The page tokens of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageTokens([u8; 8]);

/// Why a page token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageTokenError {
    /// The text is no page token.
    #[error("the page token cannot be read: send the `next_page_token` of the page before, unchanged")]
    Malformed,
    /// The token is from a request with another filter, order or list.
    #[error("the page token belongs to another request: send it with the same filter, or leave it out to begin again")]
    OtherRequest,
}

impl PageTokens {
    /// The tokens of a request for this list, identified by a digest of everything that selects and orders its entries.
    pub fn new(list: &str, request: Digest) -> Self {
        let mut name = list.as_bytes().to_vec();
        name.push(0);
        name.extend_from_slice(&request.0);
        let mut mark = [0; 8];
        mark.copy_from_slice(&Digest::of(&name).0[..8]);
        Self(mark)
    }

    /// The token for the page after this entry.
    pub fn after(&self, position: PagePosition) -> String {
        opaque::seal(OpaqueKind::PageToken, &[&self.0[..], &position[..]].concat())
    }

    /// The token for the page after the entry with this number.
    pub fn after_number(&self, number: u64) -> String {
        self.after(u128::from(number).to_be_bytes())
    }

    /// The entry after which the page begins.
    pub fn position(&self, token: &str) -> Result<PagePosition, PageTokenError> {
        let body: [u8; 24] = opaque::open(OpaqueKind::PageToken, token).ok_or(PageTokenError::Malformed)?;
        if body[..8] != self.0 {
            return Err(PageTokenError::OtherRequest);
        }
        let mut position = [0; 16];
        position.copy_from_slice(&body[8..]);
        Ok(position)
    }

    /// The number of the entry after which the page begins.
    pub fn number(&self, token: &str) -> Result<u64, PageTokenError> {
        u64::try_from(u128::from_be_bytes(self.position(token)?)).map_err(|_| PageTokenError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_own_request_only() {
        let tokens = PageTokens::new("rows", Digest::of(b"filter"));
        let token = tokens.after_number(7);
        assert_eq!(tokens.number(&token), Ok(7));
        for other in [PageTokens::new("rows", Digest::of(b"other")), PageTokens::new("tokens", Digest::of(b"filter"))] {
            assert_eq!(other.number(&token), Err(PageTokenError::OtherRequest));
        }
        assert_eq!(tokens.number("7"), Err(PageTokenError::Malformed));
        assert_eq!(tokens.number(&tokens.after([0xff; 16])), Err(PageTokenError::Malformed));
    }
}
