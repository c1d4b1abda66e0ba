//! Lists of decisions and of approvals, in pages.
//!
//! Open approvals are in memory, so they are listed from there. Every other list is a query of the record. A page reads
//! a bounded number of entries. So it can have fewer entries than requested, or none, and not be the last one.

use std::sync::Arc;

use super::governor::Governor;
use crate::approvals::Pending;
use crate::audit::record::DecisionRecord;
use crate::audit::row::AuditRow;
use crate::audit::{Order, Query, RowFilter, StoreError};
use crate::domain::{ApprovalId, Defence};

/// The most open approvals that one page reads from the disk and does not return.
const READ_IN_VAIN: usize = 64;
/// The most bytes of JSON of the open approvals in one page. The first one may be larger.
const PAGE_BYTES: usize = 2 << 20;

/// A page.
#[derive(Debug)]
pub struct Listed<T, P> {
    /// The entries, each with its position.
    pub entries: Vec<(P, T)>,
    /// The position where the next page begins; `None` on the last page.
    pub next: Option<P>,
}

/// An open approval, with the whole decision that asks.
pub type OpenApproval = (Arc<Pending>, Arc<DecisionRecord>);

impl Governor {
    /// Rows that match, after this row.
    pub async fn rows(
        &self,
        filter: &RowFilter,
        order: Order,
        after: Option<u64>,
        size: usize,
    ) -> Result<Listed<AuditRow, u64>, StoreError> {
        let (filter, now, unreported_after) = (filter.clone(), self.now(), self.unreported_after());
        // One more than requested, to see whether there is another page.
        let limit = size.saturating_add(1);
        let page = self
            .store
            .scan(move |reader| reader.rows(&Query { filter: &filter, order, after, limit, now, unreported_after }));
        let page = page.await?;
        let mut entries: Vec<_> = page.rows.into_iter().map(|row| (row.row, row)).collect();
        let is_full = entries.len() > size;
        entries.truncate(size);
        let next = if is_full { entries.last().map(|(row, _)| *row) } else { page.next };
        Ok(Listed { entries, next })
    }

    /// Open approvals that match, after this one, oldest first.
    pub async fn open_approvals(
        &self,
        filter: &RowFilter,
        after: Option<ApprovalId>,
        size: usize,
    ) -> Result<Listed<OpenApproval, ApprovalId>, StoreError> {
        let limit = size.saturating_add(READ_IN_VAIN);
        let found = self.queue.page(after, limit + 1, |pending| pending.may_match(filter));
        let (mut entries, mut bytes, mut last) = (Vec::new(), 0, None);
        for pending in found.iter().take(limit) {
            bytes += pending.bytes;
            if entries.len() == size || (bytes > PAGE_BYTES && !entries.is_empty() && Defence::PageBytes.on()) {
                break;
            }
            last = Some(pending.approval_id);
            let asked = self.asked(pending).await?;
            if filter.matches_decision(&asked, pending.requested_at) {
                entries.push((pending.approval_id, (Arc::clone(pending), asked)));
            }
        }
        let more = found.last().map(|pending| pending.approval_id) != last;
        Ok(Listed { entries, next: last.filter(|_| more) })
    }
}
