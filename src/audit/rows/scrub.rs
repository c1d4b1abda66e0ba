//! Removes the data of a redacted decision from its row and the index.

use redb::ReadableTable as _;

use super::bitmaps::clear_bit;
use super::counts::{Counted, OTHERS, key, label};
use super::facts::{Facts, approval_of_code, encode_row};
use super::idempotency::key_prefix;
use super::keys::{EMPTY, Kind};
use super::row::RowState;
use crate::audit::log::leaf::REDACTED;
use crate::audit::log::record::{DecisionRecord, Event, IdentityRecord};
use crate::audit::log::stored::parse_record;
use crate::audit::state::Tx;
use crate::domain::{Action, Actor, Approval, Digest, How, QuestionState, RecordId, RiskLevel};
use crate::store::error::{TxError, missing};

/// The data that the row of a redacted decision keeps.
pub(crate) fn redacted_decision(facts: &Facts, state: &RowState) -> DecisionRecord {
    let text = || REDACTED.to_owned();
    DecisionRecord {
        decision_id: state.decision_id,
        actor: Actor { id: text(), r#type: text() },
        identity: IdentityRecord { subject: text(), how: How::Anonymous, groups: Vec::new(), actor: None, peer: None },
        session_id: text(),
        metadata: serde_json::Map::new(),
        action: Action { r#type: text(), target: text(), params: serde_json::Map::new(), description: text() },
        action_digest: state.action_digest,
        redact: Vec::new(),
        masked: Vec::new(),
        masked_digests: std::collections::BTreeMap::new(),
        marks: Vec::new(),
        outcome: state.outcome,
        reason: text(),
        risk_level: RiskLevel::ALL.into_iter().find(|level| *level as u8 == facts.risk).unwrap_or(RiskLevel::Critical),
        approval: approval_of_code(facts.approval).unwrap_or(Approval::Block),
        matched_rule: text(),
        constraints: serde_json::Map::new(),
        policy_revision: Digest([0; 32]),
        approval_id: state.approval.as_ref().map(|approval| approval.approval_id),
        expires_at: state.approval.as_ref().map(|approval| approval.expires_at),
        trace_id: String::new(),
        executes: false,
        limits: Vec::new(),
        halted: false,
    }
}

impl Tx<'_> {
    /// Removes the data of a decision from its row and the index. Call it before the payload of the decision is
    /// removed.
    pub fn scrub_row(&mut self, row: u64) -> Result<(), TxError> {
        let (old_facts, mut state) = self.stored_row(row)?;
        if state.redacted.is_some() {
            return Ok(());
        }
        let value =
            self.tables.records.read()?.get(state.sequence)?.ok_or_else(|| missing("record", state.sequence))?;
        let record = parse_record(state.sequence, value.value()).map_err(TxError::Corrupt)?;
        drop(value);
        let Event::Decision(decision) = record.event else {
            return Err(TxError::Corrupt(format!("record {} is no decision", state.sequence)));
        };
        let key_prefix = state.idempotency.map(key_prefix);
        let token = state.confirmation.as_ref().map(|confirmation| confirmation.token_hash);
        let spent = std::mem::take(&mut state.spent);
        scrub_state(&mut state, record.record_id);
        let facts = Facts {
            session: EMPTY,
            action_type: EMPTY,
            target: EMPTY,
            actor: EMPTY,
            rule: EMPTY,
            has_key: false,
            ..old_facts
        };
        let value = encode_row(&facts, &state).map_err(crate::domain::ParamsError::from)?;
        self.tables.rows.insert(row, value.as_slice())?;
        if let Some(prefix) = key_prefix {
            let keys = &mut self.tables.idempotency;
            if keys.read()?.get(&prefix)?.is_some_and(|now| now.value() == row) {
                keys.remove(&prefix)?;
            }
        }
        for spend in spent {
            self.scrub_spent(spend.key)?;
        }
        if let Some(token) = token {
            self.tables.confirmations.remove(&token.0)?;
        }
        if let Some(tail) = self.host.rows.get_mut(row) {
            tail.facts = facts;
            (tail.action_type, tail.rule) = (REDACTED.into(), REDACTED.into());
            if let Some(prefix) = tail.key.take() {
                self.host.rows.forget_key(&prefix, row);
            }
            return Ok(());
        }
        let index = &mut self.tables.index;
        for (kind, value) in old_facts.index_values() {
            if matches!(kind, Kind::Session | Kind::ActionType | Kind::Actor | Kind::Rule) {
                clear_bit(index, kind, value, row)?;
            }
        }
        self.count_as_redacted(Counted::ActionType, &label(&decision.action.r#type))?;
        self.count_as_redacted(Counted::Rule, &label(&decision.matched_rule))
    }

    fn count_as_redacted(&mut self, kind: Counted, label: &str) -> Result<(), TxError> {
        let apart = self.tables.counts.read()?.get(key(kind, label.as_bytes()).as_slice())?.is_some();
        self.batch.add(kind, if apart { label.as_bytes() } else { OTHERS }, -1);
        let known = match kind {
            Counted::ActionType => &mut self.host.rows.action_types,
            _ => &mut self.host.rows.rules,
        };
        self.batch.add_label(kind, REDACTED, known);
        Ok(())
    }
}

fn scrub_state(state: &mut RowState, record_id: RecordId) {
    state.redacted = Some(record_id);
    state.action_digest = Digest([0; 32]);
    state.action_key = None;
    state.idempotency = None;
    state.reported = None;
    state.spent = Vec::new();
    if let Some(confirmation) = &mut state.confirmation {
        confirmation.token_hash = Digest([0; 32]);
    }
    if let Some(approval) = &mut state.approval {
        approval.votes.clear();
        if let QuestionState::Ended(ending) = &mut approval.state {
            (ending.by, ending.reason) = (REDACTED.to_owned(), REDACTED.to_owned());
        }
    }
    if let Some(report) = &mut state.result {
        report.data = None;
        if !report.error.is_empty() {
            REDACTED.clone_into(&mut report.error);
        }
    }
}
