//! Forgets the answers to request ids when they are no longer valid.

use super::governor::Governor;
use crate::audit::StoreError;

impl Governor {
    /// Forgets answers to request ids that are no longer valid, a bounded number. Returns whether there may be more.
    pub async fn forget_answers(&self) -> Result<bool, StoreError> {
        let now = self.clock.now();
        if !self.store.scan(move |reader| reader.has_old_answers(now)).await? {
            return Ok(false);
        }
        Ok(self.store.transact(move |tx| tx.forget_answers(now)).await? > 0)
    }
}
