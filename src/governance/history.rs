//! One question as a reviewer asks for it: with what its session did before.

use std::sync::Arc;

use super::error::GovernanceError;
use super::governor::Governor;
use crate::audit::row::AuditRow;
use crate::audit::{Order, Query, RowFilter};
use crate::domain::ApprovalId;

/// How many earlier actions of the session a reviewer sees.
const HISTORY: usize = 10;

/// A question of the record, open or ended.
#[derive(Clone, Debug)]
pub struct AskedOnce {
    /// The decision that asked, with its question.
    pub row: AuditRow,
    /// Earlier decisions of the same session, newest first.
    pub history: Vec<AuditRow>,
}

impl Governor {
    /// A question with the earlier actions of its session.
    pub async fn asked_once(&self, approval_id: ApprovalId) -> Result<AskedOnce, GovernanceError> {
        let (now, unreported_after) = (self.now(), self.unreported_after());
        let unrecorded = Arc::clone(&self.unrecorded);
        let found = self.store.scan(move |reader| {
            let Some(mut row) = reader.by_approval(approval_id)? else { return Ok(None) };
            unrecorded.amend(&mut row.state);
            if row.decision.session_id.is_empty() {
                return Ok(Some(AskedOnce { row, history: Vec::new() }));
            }
            let filter = RowFilter { session_id: Some(row.decision.session_id.clone()), ..RowFilter::default() };
            let (order, after, limit) = (Order::NewestFirst, Some(row.row), HISTORY);
            let query = Query { filter: &filter, order, after, limit, now, unreported_after };
            let history = reader.rows(&query)?.rows;
            Ok(Some(AskedOnce { row, history }))
        });
        let found = found.await?.filter(|asked| asked.row.state.approval.is_some());
        found.ok_or(GovernanceError::NoApproval(approval_id))
    }
}
