//! What ends when a record is restored from a backup.
//!
//! A backup shows the past. Since then, tokens may have been revoked and questions answered, and nobody knows. So no
//! token of that time works again, no question of that time can be answered, and no confirmation can be redeemed. The
//! record says that it was restored, and from what.

use super::clock_gap::find_clock_gap;
use crate::approvals::ended_by_restore;
use crate::audit::backup::About;
use crate::audit::record::Event;
use crate::audit::row::ConfirmationClosed;
use crate::audit::{Reader, Store, StoreError, Tx, TxError};
use crate::domain::{ApprovalId, DecisionId, Report, ResultStatus, Timestamp};

/// How many questions or confirmations end in one transaction.
const AT_ONCE: usize = 256;

/// What was ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Tokens that were revoked.
    pub tokens: usize,
    /// Questions that were open.
    pub questions: usize,
    /// Confirmations that could have been redeemed.
    pub confirmations: usize,
}

/// Records that this store was restored from a backup, and ends what must not go on. Nobody else has the store open.
pub async fn after_restore(store: &Store, now: Timestamp, about: &About) -> Result<Ended, StoreError> {
    // Before anything has the time of today: what is old in the backup may look older than it is.
    find_clock_gap(store, now, None).await?;
    let (made_at, last_sequence, root) = (about.made_at, about.last_sequence, about.root);
    let tokens = store
        .transact(move |tx| {
            tx.append(now, &Event::RecordRestored { made_at, last_sequence, root })?;
            let tokens = tx.tokens()?;
            for token in &tokens {
                let (token_id, subject, by) = (token.token_id, token.subject.clone(), String::new());
                tx.append(now, &Event::TokenRevoked { token_id, subject, by, at: None })?;
                tx.remove_token(token_id)?;
            }
            Ok(tokens.len())
        })
        .await?;
    let questions = store.scan_at_start(Reader::open_approvals).await?;
    for some in questions.chunks(AT_ONCE) {
        let some = some.to_vec();
        store.transact(move |tx| some.into_iter().try_for_each(|question| end_question(tx, now, question))).await?;
    }
    // What had expired when the backup was made stays expired.
    let after = made_at.min(now);
    let confirmations = store.scan_at_start(move |reader| reader.open_confirmations(after)).await?;
    for some in confirmations.chunks(AT_ONCE) {
        let some = some.to_vec();
        store.transact(move |tx| some.into_iter().try_for_each(|decision| end_confirmation(tx, now, decision))).await?;
    }
    Ok(Ended { tokens, questions: questions.len(), confirmations: confirmations.len() })
}

fn end_question(tx: &mut Tx<'_>, now: Timestamp, approval_id: ApprovalId) -> Result<(), TxError> {
    let Some((row, mut state)) = tx.row_by_approval(approval_id)? else {
        return Err(TxError::Corrupt(format!("{approval_id} is open, and is missing")));
    };
    let policy_revision = tx.decision_record(&state)?.policy_revision;
    let ending = ended_by_restore(now);
    state.result = Some(Report::settled(ResultStatus::Skipped, &ending.reason));
    let decision_id = state.decision_id;
    let event = Event::ApprovalEnded {
        approval_id,
        decision_id,
        ending: ending.clone(),
        how: None,
        policy_revision,
        vote: None,
    };
    tx.append(now, &event)?;
    if let Some(approval) = &mut state.approval {
        approval.state = Some(ending).into();
    }
    tx.update_row(row, &state)
}

fn end_confirmation(tx: &mut Tx<'_>, now: Timestamp, decision_id: DecisionId) -> Result<(), TxError> {
    let Some((row, mut state)) = tx.row_by_decision(decision_id)? else {
        return Err(TxError::Corrupt(format!("{decision_id} asks for confirmation, and is missing")));
    };
    let reason = ended_by_restore(now).reason;
    state.result = Some(Report::settled(ResultStatus::Skipped, &reason));
    if let Some(confirmation) = &mut state.confirmation {
        confirmation.closed = Some(ConfirmationClosed::Cancelled);
    }
    tx.append(now, &Event::ConfirmationCancelled { decision_id, reason })?;
    tx.update_row(row, &state)
}
