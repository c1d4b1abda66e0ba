//! A page that a client can receive.

use prost::Message;

use crate::domain::Defence;

/// The most bytes of a page, below the default limit of clients (4 MiB). The first entry may be larger.
const PAGE_BYTES: usize = 2 << 20;

/// As many of the entries as fit into one message, and the position where the next page begins.
pub(crate) fn fitting<T: Message, P: Copy>(
    entries: impl IntoIterator<Item = (P, T)>,
    next: Option<P>,
) -> (Vec<T>, Option<P>) {
    let (mut page, mut bytes, mut last) = (Vec::new(), 0, None);
    for (position, entry) in entries {
        bytes += entry.encoded_len();
        if bytes > PAGE_BYTES && !page.is_empty() && Defence::PageBytes.on() {
            return (page, last);
        }
        page.push(entry);
        last = Some(position);
    }
    (page, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_on_the_next_page_and_no_page_is_empty() {
        let entry = |n: u8, bytes| (n, "x".repeat(bytes));
        let page = |entries: Vec<(u8, String)>| {
            let (page, next) = fitting(entries, Some(9));
            (page.len(), next)
        };
        assert_eq!(page(vec![]), (0, Some(9)));
        assert_eq!(page(vec![entry(1, 10), entry(2, 10)]), (2, Some(9)));
        assert_eq!(page(vec![entry(1, PAGE_BYTES - 100), entry(2, 50), entry(3, 200)]), (2, Some(2)));
        assert_eq!(page(vec![entry(1, PAGE_BYTES * 2), entry(2, 1)]), (1, Some(1)));
    }
}
