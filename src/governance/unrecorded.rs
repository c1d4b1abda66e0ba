//! Denials, revocations and halts that are in force and not on the record yet.
//!
//! A full disk must not keep anybody from saying no. So a denial or a revocation that the record cannot take takes
//! effect in memory, and is written when the record can take it. Nothing that allows an action works like this: without
//! its record, an approval has not happened.
//!
//! What is in [`Unrecorded`] outranks the store. The store may even hold an approval of the same question: one whose
//! commit failed, so that nobody was told of it. The denial stays in force then, and becomes the result of the action.
//!
//! If the daemon ends before the record takes them, they are lost. So the answer says that they are not on the record.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::error::GovernanceError;
use crate::approvals::Pending;
use crate::audit::record::{Event, VoteRecord};
use crate::audit::row::{ApprovalState, RowState};
use crate::audit::{StoreError, StoredToken, Tx, TxError};
use crate::domain::{ApprovalId, DecisionId, Digest, Ending, How, Report, ResultStatus, Timestamp, TokenId};
use crate::limits::Share;

/// How long a denial or a revocation waits for its record before it takes effect without it.
const PATIENCE: Duration = Duration::from_secs(1);

/// A denial that is not on the record yet.
#[derive(Debug)]
pub(super) struct Denial {
    pub(super) pending: Arc<Pending>,
    /// The question, which has ended.
    pub(super) approval: ApprovalState,
    /// The digest of the action that the reviewer saw.
    pub(super) shown: Digest,
    /// How the reviewer was authenticated.
    pub(super) how: How,
    /// The vote, for the record.
    pub(super) vote: Option<VoteRecord>,
    /// Its place in the queue. It is kept, so that denials in memory are no more than open questions may be.
    pub(super) place: OnceLock<Share>,
}

impl Denial {
    /// The error for whoever comes later.
    pub(super) fn already(&self) -> GovernanceError {
        let approval_id = self.pending.approval_id;
        match self.approval.ending().cloned() {
            Some(ending) => GovernanceError::AlreadyDecided { approval_id, ending },
            None => GovernanceError::NoApproval(approval_id),
        }
    }

    /// The result of its action.
    pub(super) fn result(&self) -> Report {
        let reason = self.approval.ending().map_or("", |ending| &ending.reason);
        Report::settled(ResultStatus::Denied, reason)
    }
}

/// A revocation that is not on the record yet.
#[derive(Clone, Debug)]
pub(super) struct Revocation {
    pub(super) token: Arc<StoredToken>,
    pub(super) by: String,
    pub(super) at: Timestamp,
}

/// The denials and revocations of one daemon that are not on the record yet.
#[derive(Debug, Default)]
pub struct Unrecorded {
    all: Mutex<All>,
    /// How many there are.
    count: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct All {
    denials: BTreeMap<ApprovalId, Arc<Denial>>,
    by_decision: HashMap<DecisionId, ApprovalId>,
    revocations: BTreeMap<TokenId, Revocation>,
    /// How many halts.
    halts: usize,
}

impl Unrecorded {
    /// How many there are, and every change of it.
    pub fn count(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    /// The denial of this question.
    pub(super) fn denial(&self, approval_id: ApprovalId) -> Option<Arc<Denial>> {
        self.lock().denials.get(&approval_id).cloned()
    }

    /// The revocation of this token.
    pub(super) fn revocation(&self, token_id: TokenId) -> Option<Revocation> {
        self.lock().revocations.get(&token_id).cloned()
    }

    /// The latest revocation of such a token.
    pub(super) fn revoked(&self, is_meant: impl Fn(&StoredToken) -> bool) -> Option<Revocation> {
        let all = self.lock();
        all.revocations.values().filter(|revocation| is_meant(&revocation.token)).max_by_key(|one| one.at).cloned()
    }

    /// Changes a state that was read from the store to the one in force.
    pub fn amend(&self, state: &mut RowState) {
        let Some(approval) = &mut state.approval else { return };
        let Some(denial) = self.denial(approval.approval_id) else { return };
        approval.state = denial.approval.state.clone();
        state.result = Some(denial.result());
        state.allowed_at = None;
    }

    /// The denial of the question of this decision.
    pub(super) fn of_decision(&self, decision_id: DecisionId) -> Option<Arc<Denial>> {
        let all = self.lock();
        all.denials.get(all.by_decision.get(&decision_id)?).cloned()
    }

    /// The denial takes effect, unless there is one of this question already.
    pub(super) fn deny(&self, denial: &Arc<Denial>) -> bool {
        let mut is_first = false;
        self.change(|all| {
            let approval_id = denial.pending.approval_id;
            is_first = !all.denials.contains_key(&approval_id);
            if is_first {
                all.by_decision.insert(denial.pending.decision.decision_id(), approval_id);
                all.denials.insert(approval_id, Arc::clone(denial));
            }
        });
        is_first
    }

    /// The denial is on the record.
    pub(super) fn forget_denial(&self, approval_id: ApprovalId) {
        self.change(|all| {
            if let Some(denial) = all.denials.remove(&approval_id) {
                all.by_decision.remove(&denial.pending.decision.decision_id());
            }
        });
    }

    /// The revocation takes effect.
    pub(super) fn revoke(&self, revocation: Revocation) {
        self.change(|all| drop(all.revocations.insert(revocation.token.token_id, revocation)));
    }

    /// The revocation is on the record.
    pub(super) fn forget_revocation(&self, token_id: TokenId) {
        self.change(|all| drop(all.revocations.remove(&token_id)));
    }

    /// Some halts are not on the record yet, or none.
    pub(super) fn halted(&self, halts: usize) {
        self.change(|all| all.halts = halts);
    }

    /// Everything that is not on the record yet.
    pub(super) fn all(&self) -> (Vec<Arc<Denial>>, Vec<Revocation>) {
        let all = self.lock();
        (all.denials.values().cloned().collect(), all.revocations.values().cloned().collect())
    }

    fn change(&self, change: impl FnOnce(&mut All)) {
        let mut all = self.lock();
        change(&mut all);
        // Under the lock, so that the counts are announced in the order of the changes.
        self.count.send_replace(all.denials.len() + all.revocations.len() + all.halts);
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits a short time for a job of the store. `None` if the record cannot take it now.
pub(super) async fn recorded<T>(
    job: impl Future<Output = Result<T, GovernanceError>>,
) -> Option<Result<T, GovernanceError>> {
    match tokio::time::timeout(PATIENCE, job).await {
        // The daemon is stopping: nothing that is kept in memory would be written.
        Ok(Err(GovernanceError::Record(StoreError::Closed))) => Some(Err(StoreError::Closed.into())),
        Err(_) | Ok(Err(GovernanceError::Record(_))) => None,
        Ok(done) => Some(done),
    }
}

/// Gives an action that is allowed on the record a result that says that it was denied. A commit that failed can leave
/// such an approval on the disk. Nobody was told of it.
pub(super) fn overrule(
    tx: &mut Tx<'_>,
    now: Timestamp,
    row: u64,
    mut state: RowState,
    denial: &Ending,
) -> Result<(), TxError> {
    let error = format!("denied by {} at {}, before anybody was told that it was allowed", denial.by, denial.at);
    let report = Report::settled(ResultStatus::Denied, &error);
    let event =
        Event::Result { decision_id: state.decision_id, report: report.clone(), masked: Vec::new(), marks: Vec::new() };
    tx.append(now, &event)?;
    state.result = Some(report);
    tx.update_row(row, &state)
}
