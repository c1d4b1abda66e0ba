//! What the log says about each decision, about tokens, and about removed payloads.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::audit::log::leaf::REDACTED;
use crate::audit::log::record::{Event, Record};
use crate::audit::rows::facts::Facts;
use crate::audit::rows::keys::EMPTY;
use crate::audit::rows::row::{ConfirmationClosed, RowState, Vote};
use crate::domain::{ApprovalId, DecisionId, Digest, Ending, Outcome, Report, ResultStatus, Timestamp, TokenId};

/// What the log says about one decision.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The decision's own record, if it still has a payload.
    sequence: Option<u64>,
    question: Option<Question>,
    ending: Option<(ApprovalId, Ending)>,
    votes: Vec<Vote>,
    closed: Option<ConfirmationClosed>,
    report: Option<Report>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Question {
    approval_id: ApprovalId,
    expires_at: Timestamp,
    timeout_allows: bool,
}

/// What the whole log says.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// How many records the log has.
    pub(super) records: u64,
    /// The last record that retention has processed, as in `meta`.
    pub(super) retired: u64,
    decisions: HashMap<DecisionId, Told>,
    /// Decisions that redeemed a confirmation.
    redeemers: HashSet<DecisionId>,
    made: BTreeSet<TokenId>,
    revoked: BTreeSet<TokenId>,
    /// Records without a payload.
    gone: BTreeSet<u64>,
    /// Records without a payload, for which no other record has given the reason yet.
    unexplained: BTreeSet<u64>,
    /// Records that retention never removes.
    stays: BTreeSet<u64>,
    /// The redacted decisions and their records.
    redactions: HashMap<DecisionId, Vec<u64>>,
    /// The last record of the last range that was retired.
    retired_to: u64,
    /// The retired records are older than this.
    retired_before: Option<Timestamp>,
}

impl Log {
    /// Reads the next record, which has no payload.
    pub(super) fn take_redacted(&mut self, sequence: u64) {
        self.gone.insert(sequence);
        self.unexplained.insert(sequence);
    }

    /// Reads the next record. Fails if it contradicts the records before it.
    pub(super) fn take(&mut self, record: Record) -> Result<(), String> {
        let Record { sequence, record_id, time, event, .. } = record;
        match event {
            Event::Decision(decision) => {
                // A record about a decision must come after the decision.
                let told = Told { sequence: Some(sequence), ..Told::default() };
                if self.decisions.insert(decision.decision_id, told).is_some() {
                    return Err(format!("{} is decided twice", decision.decision_id));
                }
            }
            Event::ApprovalRequested { approval_id, decision_id, expires_at, timeout_allows } => {
                let question = Question { approval_id, expires_at, timeout_allows };
                if self.told(decision_id).question.replace(question).is_some() {
                    return Err(format!("{decision_id} asks twice"));
                }
            }
            Event::ApprovalEnded { approval_id, decision_id, ending, vote, .. } => {
                let told = self.told(decision_id);
                told.votes.extend(vote.map(|vote| Vote { record_id, voted_at: time, vote }));
                if told.ending.replace((approval_id, ending)).is_some() {
                    return Err(format!("{approval_id} ends twice"));
                }
            }
            Event::Confirmed { decision_id, confirmed_by } => {
                self.redeemers.insert(confirmed_by);
                let redeemed = ConfirmationClosed::Redeemed(confirmed_by);
                if self.told(decision_id).closed.replace(redeemed).is_some() {
                    return Err(format!("{decision_id} is confirmed twice"));
                }
            }
            Event::ConfirmationCancelled { decision_id, .. } => {
                self.told(decision_id).closed = Some(ConfirmationClosed::Cancelled);
            }
            Event::Result { decision_id, report, .. } => self.told(decision_id).report = Some(report),
            Event::TokenCreated { token_id, .. } => drop(self.made.insert(token_id)),
            Event::TokenRevoked { token_id, .. } => {
                if !self.revoked.insert(token_id) {
                    return Err(format!("the token {token_id} is revoked twice"));
                }
            }
            Event::LogStarted { .. } | Event::LogSucceeds { .. } | Event::LogKeyRotated { .. } => {
                self.stays.insert(sequence);
            }
            Event::DecisionRedacted { decision_id, sequences, .. } => {
                self.stays.insert(sequence);
                if let Some(whole) = sequences.iter().find(|sequence| !self.unexplained.remove(sequence)) {
                    return Err(format!(
                        "it says that record {whole} was removed, and that record still has its payload"
                    ));
                }
                if self.redactions.insert(decision_id, sequences).is_some() {
                    return Err(format!("{decision_id} is redacted twice"));
                }
            }
            Event::RecordsRetired { first, last, count, before, .. } => {
                self.stays.insert(sequence);
                if first <= self.retired_to || last < first || last >= sequence {
                    return Err(format!("it retires records {first} to {last} after {}", self.retired_to));
                }
                self.retired_to = last;
                self.retired_before = self.retired_before.max(Some(before));
                let taken: Vec<_> = self.unexplained.range(first..=last).copied().collect();
                if taken.len() as u64 != count {
                    return Err(format!("it says that {count} payloads were removed, and {} are missing", taken.len()));
                }
                for sequence in taken {
                    self.unexplained.remove(&sequence);
                }
            }
            Event::DaemonStarted { .. }
            | Event::DaemonStopped
            | Event::PolicyLoaded { .. }
            | Event::PolicyRejected { .. }
            | Event::ReplayDenied { .. }
            | Event::IdentitiesLoaded { .. }
            | Event::IdentitiesRejected { .. }
            | Event::DiskFull { .. }
            | Event::RecordRecovered { .. }
            | Event::RecordRestored { .. }
            | Event::ClockJumped { .. }
            | Event::LimitReset { .. }
            | Event::Halted { .. }
            | Event::Resumed { .. }
            | Event::CallsRefused { .. } => {}
        }
        Ok(())
    }

    fn told(&mut self, decision_id: DecisionId) -> &mut Told {
        self.decisions.entry(decision_id).or_default()
    }

    /// How many records have no payload.
    pub(super) fn redacted(&self) -> u64 {
        self.gone.len() as u64
    }

    /// Called after the last record. For each missing payload a record must say that it was removed, and each payload
    /// that a record names as removed must be missing.
    pub(super) fn check_redactions(&self) -> Result<(), String> {
        if let Some(sequence) = self.unexplained.first() {
            return Err(format!("record {sequence} has no payload, and no record says that it was removed"));
        }
        if !(self.retired_to..=self.records).contains(&self.retired) {
            return Err(format!(
                "`meta` says that retention has processed {} of {} records, and the log says {}",
                self.retired, self.records, self.retired_to
            ));
        }
        let accounted = self.gone.range(..=self.retired).count() + self.stays.range(..=self.retired).count();
        if accounted as u64 != self.retired {
            return Err(format!(
                "retention has processed {} records, and only {accounted} of them are retired or must stay",
                self.retired
            ));
        }
        let unmade = self.revoked.difference(&self.made).next();
        if let Some(token) = unmade.filter(|_| self.retired_before.is_none()) {
            return Err(format!("{token} is revoked and was never created"));
        }
        Ok(())
    }

    /// The tokens that were created and not revoked, as far as the log says.
    pub(super) fn tokens(&self) -> impl Iterator<Item = &TokenId> {
        self.made.difference(&self.revoked)
    }

    /// Whether this token can exist: a record says that it was created, or that record may be retired.
    pub(super) fn may_have_made(&self, token: TokenId, at: Timestamp) -> Result<(), String> {
        if self.revoked.contains(&token) {
            return Err(format!("{token} was revoked, and is still stored"));
        }
        if self.made.contains(&token) || self.retired_before.is_some_and(|before| at < before) {
            return Ok(());
        }
        Err(format!("{token} is stored, and was never created"))
    }

    /// What the log says about a decision whose row is not redacted.
    pub(super) fn tells(&mut self, decision: DecisionId) -> Result<Told, String> {
        if self.redactions.contains_key(&decision) {
            return Err(format!("{decision} was redacted, and its row does not say so"));
        }
        self.decisions.remove(&decision).ok_or_else(|| format!("the log has no {decision}"))
    }

    /// Whether a row may be a redacted or retired one.
    pub(super) fn redacts(&mut self, state: &RowState) -> Result<(), String> {
        let (decision, sequence) = (state.decision_id, state.sequence);
        if !self.gone.contains(&sequence) {
            return Err(format!("it is redacted, and record {sequence} is not"));
        }
        let told = self.decisions.remove(&decision);
        if let Some(sequences) = self.redactions.remove(&decision) {
            if !sequences.contains(&sequence) {
                return Err(format!("{decision} was redacted, but its own record {sequence} was not"));
            }
            return told.map_or(Ok(()), |told| {
                Err(format!("{decision} was redacted, and records about it have payloads: {told:?}"))
            });
        }
        if sequence > self.retired {
            return Err(format!("no record says that {decision} was redacted"));
        }
        // Only records after the retired ones are left.
        told.map_or(Ok(()), |told| agrees_scrubbed(state, &told))
    }

    /// Called after the last row: the log must have no other decisions.
    pub(super) fn is_told(&self, decisions: &HashSet<DecisionId>) -> Result<(), String> {
        let without_row = self.decisions.keys().chain(self.redactions.keys()).next();
        if let Some(decision) = without_row.or_else(|| self.redeemers.difference(decisions).next()) {
            return Err(format!("the log has {decision}, which has no row"));
        }
        Ok(())
    }
}

fn question(state: &RowState) -> Option<Question> {
    state.approval.as_ref().map(|approval| Question {
        approval_id: approval.approval_id,
        expires_at: approval.expires_at,
        timeout_allows: approval.timeout_allows,
    })
}

fn ending(state: &RowState) -> Option<(ApprovalId, &Ending)> {
    let approval = state.approval.as_ref()?;
    Some((approval.approval_id, approval.ending()?))
}

fn votes(state: &RowState) -> &[Vote] {
    state.approval.as_ref().map_or(&[], |approval| &approval.votes)
}

fn closed(state: &RowState) -> Option<ConfirmationClosed> {
    state.confirmation.as_ref().and_then(|confirmation| confirmation.closed)
}

/// Whether the state of a row matches the log.
pub(super) fn agrees(state: &RowState, told: &Told) -> Result<(), String> {
    if told.sequence != Some(state.sequence) {
        return Err(format!("its record is {:?}, not {}", told.sequence, state.sequence));
    }
    let told_ending = told.ending.as_ref().map(|(approval_id, ending)| (*approval_id, ending));
    if question(state) != told.question || ending(state) != told_ending {
        return Err(format!(
            "its approval is {:?}, the log has {:?}, {:?}",
            state.approval, told.question, told.ending
        ));
    }
    if votes(state) != told.votes {
        return Err(format!("its votes are {:?}, the log has {:?}", votes(state), told.votes));
    }
    if closed(state) != told.closed {
        return Err(format!("its confirmation is {:?}, the log has {:?}", closed(state), told.closed));
    }
    let settled_by_us = [ResultStatus::Blocked, ResultStatus::Denied, ResultStatus::Skipped];
    match (&state.result, &told.report) {
        (None, None) => Ok(()),
        (Some(result), Some(report)) if result == report => Ok(()),
        // A large value is in the record alone.
        (Some(result), Some(report))
            if state.reported.as_ref().is_some_and(|reported| reported.data_in.is_some())
                && *result == Report { data: None, ..report.clone() } =>
        {
            Ok(())
        }
        // The daemon sets these results itself, with the decision or with its ending.
        (Some(result), None) if settled_by_us.contains(&result.status) => Ok(()),
        (result, report) => Err(format!("its result is {result:?}, the log has {report:?}")),
    }
}

/// Whether the rest of a redacted row matches the rest in the log.
fn agrees_scrubbed(state: &RowState, told: &Told) -> Result<(), String> {
    if let Some(sequence) = told.sequence {
        return Err(format!("it is redacted, and its decision is record {sequence}"));
    }
    let asks = told.question.is_none_or(|asked| question(state) == Some(asked));
    let ends = told.ending.as_ref().is_none_or(|(approval_id, told)| {
        ending(state).is_some_and(|(id, it)| {
            (id, it.kind, it.allows, it.at) == (*approval_id, told.kind, told.allows, told.at) && it.code == told.code
        })
    });
    let closes = told.closed.is_none_or(|told| closed(state) == Some(told));
    let reports = told.report.as_ref().is_none_or(|told| {
        let result = state.result.as_ref();
        result.is_some_and(|it| {
            (it.status, it.started_at, it.completed_at) == (told.status, told.started_at, told.completed_at)
        })
    });
    if asks && ends && closes && reports { Ok(()) } else { Err(format!("the log has {told:?}")) }
}

/// Whether a redacted row holds nothing that redaction must remove.
pub(super) fn is_scrubbed(facts: &Facts, state: &RowState) -> Result<(), String> {
    let mut scrubbed = Facts {
        decision: *state.decision_id.as_bytes(),
        session: EMPTY,
        action_type: EMPTY,
        target: EMPTY,
        actor: EMPTY,
        rule: EMPTY,
        has_key: false,
        ..*facts
    };
    scrubbed.follow(state);
    if *facts != scrubbed {
        return Err("it is redacted, and its facts are not scrubbed".to_owned());
    }
    let left = if state.action_digest != Digest([0; 32]) {
        "the digest of its action"
    } else if state.action_key.is_some() {
        "the key that identifies its action"
    } else if !state.spent.is_empty() {
        "what it spent"
    } else if state.idempotency.is_some() {
        "its idempotency key"
    } else if state.confirmation.as_ref().is_some_and(|it| it.token_hash != Digest([0; 32])) {
        "its token"
    } else if ending(state).is_some_and(|(_, it)| it.by != REDACTED || it.reason != REDACTED) {
        "the reviewer and the reason of its approval"
    } else if !votes(state).is_empty() {
        "the votes of its approval"
    } else if state.result.as_ref().is_some_and(|it| it.data.is_some() || !["", REDACTED].contains(&&*it.error)) {
        "the data of its result"
    } else if state.outcome_now() == Outcome::Escalate {
        "an approval that is open"
    } else {
        return Ok(());
    };
    Err(format!("it is redacted, and still has {left}"))
}
