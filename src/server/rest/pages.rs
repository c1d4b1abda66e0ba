//! A page that a client can receive.

use serde::Serialize;

use crate::domain::{CallError, Defence};

/// The most bytes of JSON in a page. The first entry may be larger.
const PAGE_BYTES: usize = 2 << 20;

/// A page.
pub(super) struct Page<T, P> {
    /// The entries.
    pub(super) entries: Vec<T>,
    /// The position where the next page begins; `None` on the last page.
    pub(super) next: Option<P>,
}

/// As many of the entries as fit into one answer.
pub(super) fn fitting<T: Serialize, P: Copy>(
    entries: impl IntoIterator<Item = (P, T)>,
    next: Option<P>,
) -> Result<Page<T, P>, CallError> {
    let (mut page, mut bytes, mut last) = (Vec::new(), 0, None);
    for (position, entry) in entries {
        let text = serde_json::to_vec(&entry).map_err(|error| CallError::internal(error.to_string()))?;
        bytes += text.len();
        if bytes > PAGE_BYTES && !page.is_empty() && Defence::PageBytes.on() {
            return Ok(Page { entries: page, next: last });
        }
        page.push(entry);
        last = Some(position);
    }
    Ok(Page { entries: page, next })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_on_the_next_page_and_no_page_is_empty() {
        let page = |entries: &[(u8, usize)]| {
            let entries = entries.iter().map(|(n, bytes)| (*n, "x".repeat(*bytes)));
            let page = fitting(entries, Some(9)).unwrap();
            (page.entries.len(), page.next)
        };
        assert_eq!(page(&[]), (0, Some(9)));
        assert_eq!(page(&[(1, 10), (2, 10)]), (2, Some(9)));
        assert_eq!(page(&[(1, PAGE_BYTES - 100), (2, 50), (3, 200)]), (2, Some(2)));
        assert_eq!(page(&[(1, PAGE_BYTES * 2), (2, 1)]), (1, Some(1)));
    }
}
