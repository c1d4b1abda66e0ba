//! Redact: removes the payloads of a decision from the record, and records that.

use serde::{Deserialize, Serialize};

use super::error::GovernanceError;
use super::governor::Governor;
use super::job::{self, Refused};
use super::requests::RequestId;
use crate::audit::record::Event;
use crate::audit::row::RowState;
use crate::domain::{Caller, DecisionId, Outcome, Timestamp};

/// A redacted decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redacted {
    /// The record of the redaction.
    pub sequence: u64,
    /// The records without a payload.
    pub sequences: Vec<u64>,
}

impl Governor {
    /// Removes the payloads of a decision: of the decision itself, its approval, its confirmation and its results. An
    /// open decision cannot be redacted.
    pub async fn redact(
        &self,
        caller: &Caller,
        decision_id: DecisionId,
        reason: String,
        request_id: Option<&str>,
    ) -> Result<Redacted, GovernanceError> {
        let id = RequestId::new(caller, request_id, "RedactDecision", &(decision_id, &reason))?;
        // Searches the log for the records first, because that can take long, and then runs the job. The job searches
        // only the few records that came meanwhile.
        let (looked, up_to) = self.records_of(decision_id).await?;
        let (now, unreported_after) = (self.clock.now(), self.settings.unreported_after);
        let (by, how) = (caller.identity.subject.to_string(), caller.identity.how);
        let redacted = job::run(&self.store, move |tx| {
            if let Some(id) = &id
                && let Some(earlier) = id.answered_in(tx, now)?.map_err(|error| Refused::By(error.into()))?
            {
                return Ok(earlier);
            }
            let Some((row, state)) = tx.row_by_decision(decision_id)? else {
                return Err(Refused::By(GovernanceError::NoSuchDecision(decision_id)));
            };
            if let Err(why) = may_redact(&state, now, unreported_after) {
                return Err(Refused::By(GovernanceError::NotRedactable { decision_id, why }));
            }
            let mut sequences = looked;
            sequences.extend(tx.records_of(decision_id, up_to + 1)?);
            tx.scrub_row(row)?;
            for sequence in &sequences {
                tx.drop_payload(*sequence)?;
            }
            let event = Event::DecisionRedacted { decision_id, sequences: sequences.clone(), reason, by, how };
            let redacted = Redacted { sequence: tx.append(now, &event)?.sequence, sequences };
            if let Some(id) = id {
                id.keep(tx, now, &redacted)?;
            }
            Ok(redacted)
        })
        .await;
        self.held.forget(decision_id);
        redacted
    }

    /// The records of a decision, and the last record that was searched.
    async fn records_of(&self, decision_id: DecisionId) -> Result<(Vec<u64>, u64), GovernanceError> {
        let (first, last) = self
            .store
            .look(move |reader| {
                let last = reader.last_sequence()?;
                Ok((reader.by_decision(decision_id)?.map_or(last + 1, |row| row.state.sequence), last))
            })
            .await?;
        let (mut found, mut next) = (Vec::new(), first);
        while next <= last {
            // A new snapshot for each page, so that none is kept for long.
            let (page, after) = self.store.scan(move |reader| reader.records_of(decision_id, next..=last)).await?;
            found.extend(page);
            next = after;
        }
        Ok((found, last))
    }
}

/// Whether a decision in this state can be redacted, or why not.
pub(super) fn may_redact(
    state: &RowState,
    now: Timestamp,
    unreported_after: std::time::Duration,
) -> Result<(), &'static str> {
    if state.redacted.is_some() {
        return Err("it is redacted already");
    }
    match state.outcome_now() {
        Outcome::Escalate => Err("its approval is pending: wait until it has ended, or deny it"),
        Outcome::RequireConfirmation => match &state.confirmation {
            Some(confirmation) if confirmation.closed.is_none() && confirmation.expires_at > now => {
                Err("it waits for the confirmation of the agent's user: wait until that is over")
            }
            _ => Ok(()),
        },
        Outcome::Allow if state.status(now, unreported_after).is_none() => {
            Err("its result is outstanding: wait until it is reported, or is `unknown`")
        }
        Outcome::Allow | Outcome::Deny => Ok(()),
    }
}
