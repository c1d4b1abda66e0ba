//! The stored form of a row: a fixed head of facts for filters, then the state as JSON.
//!
//! With the head, a scan compares only a few bytes of each row. The head has the first eight bytes of each text's
//! SHA-256. A match is only a hint: the row is compared with its record before it is shown, so a collision gains
//! nothing. Rows and index entries stay small, however long an agent's texts are.

use super::filter::{RowFilter, TextFilter};
use super::keys::{EMPTY, Kind, Short, short, word};
use super::row::RowState;
use crate::audit::log::record::DecisionRecord;
use crate::domain::{Approval, DecisionId, Digest, Outcome, ResultStatus, RiskLevel, Timestamp};

/// The fields of a row that filters use, in [`Facts::LEN`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// When the decision was given, in microseconds since 1970.
    pub(crate) time: i64,
    pub(crate) decision: [u8; 16],
    pub(crate) session: Short,
    pub(crate) action_type: Short,
    pub(crate) target: Short,
    pub(crate) actor: Short,
    pub(crate) rule: Short,
    pub(crate) risk: u8,
    pub(crate) approval: u8,
    /// The current outcome.
    pub(crate) outcome: u8,
    pub(crate) status: u8,
    /// Whether an idempotency key points at the row.
    pub(crate) has_key: bool,
}

/// The status of a row that waits for an answer.
pub(crate) const STATUS_PENDING: u8 = 1;
/// The status of an allowed, unreported row: `unknown` once it is old enough.
pub(crate) const STATUS_UNREPORTED: u8 = 2;

impl Facts {
    pub(crate) const LEN: usize = 8 + 16 + 5 * 8 + 5;

    /// The facts of a new row.
    pub(crate) fn new(time: Timestamp, decision: &DecisionRecord, state: &RowState) -> Self {
        let mut facts = Self {
            time: time.as_microsecond(),
            decision: *decision.decision_id.as_bytes(),
            session: short(&decision.session_id),
            action_type: short(&decision.action.r#type),
            target: short(&decision.action.target),
            actor: short(&decision.actor.id),
            rule: short(&decision.matched_rule),
            risk: decision.risk_level as u8,
            approval: approval_code(decision.approval),
            outcome: 0,
            status: 0,
            has_key: state.idempotency.is_some(),
        };
        facts.follow(state);
        facts
    }

    /// Updates the facts that may change.
    pub(crate) fn follow(&mut self, state: &RowState) {
        self.outcome = outcome_code(state.outcome_now());
        self.status = status_code(state);
    }

    /// The index entries of the row, as kind and value. Empty values are not indexed, because no filter uses them.
    pub(crate) fn index_values(&self) -> impl Iterator<Item = (Kind, Short)> {
        [
            (Kind::Session, self.session),
            (Kind::ActionType, self.action_type),
            (Kind::Actor, self.actor),
            (Kind::Rule, self.rule),
            (Kind::Risk, word(self.risk)),
            (Kind::Status, word(self.index_status())),
        ]
        .into_iter()
        .filter(|(_, value)| *value != EMPTY)
    }

    /// The status in the index. "Reported as unknown" and "never reported" share one value.
    pub(crate) fn index_status(&self) -> u8 {
        if self.status == result_code(ResultStatus::Unknown) { STATUS_UNREPORTED } else { self.status }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.time.to_be_bytes());
        out.extend_from_slice(&self.decision);
        for short in [self.session, self.action_type, self.target, self.actor, self.rule] {
            out.extend_from_slice(&short);
        }
        out.extend_from_slice(&[self.risk, self.approval, self.outcome, self.status, u8::from(self.has_key)]);
    }

    fn decode(bytes: &[u8; Self::LEN]) -> Self {
        let short = |i: usize| {
            let mut short = [0; 8];
            short.copy_from_slice(&bytes[i * 8..i * 8 + 8]);
            short
        };
        let mut decision = [0; 16];
        decision.copy_from_slice(&bytes[8..24]);
        Self {
            time: i64::from_be_bytes(short(0)),
            decision,
            session: short(3),
            action_type: short(4),
            target: short(5),
            actor: short(6),
            rule: short(7),
            risk: bytes[64],
            approval: bytes[65],
            outcome: bytes[66],
            status: bytes[67],
            has_key: bytes[68] != 0,
        }
    }

    /// The index value of an enum.
    pub(crate) fn word(code: u8) -> Short {
        word(code)
    }
}

/// The text between the state and its checksum. The checksum is one more JSON member, which older programs ignore.
const SUM: &[u8] = br#","sum":""#;
/// The length of a checksum in hexadecimal digits.
const SUM_DIGITS: usize = 16;
/// How long all of it is: `,"sum":"0123456789abcdef"}`.
const SUM_LEN: usize = SUM.len() + SUM_DIGITS + 2;

/// The value of a row: the facts, then the state with a checksum over both.
pub(crate) fn encode_row(facts: &Facts, state: &RowState) -> Result<Vec<u8>, serde_json::Error> {
    let mut value = Vec::with_capacity(512);
    facts.encode(&mut value);
    serde_json::to_writer(&mut value, state)?;
    // The closing brace moves behind the checksum.
    value.pop();
    let sum = sum(&value);
    value.extend_from_slice(SUM);
    value.extend_from_slice(sum.as_bytes());
    value.extend_from_slice(b"\"}");
    Ok(value)
}

/// The first bytes of the SHA-256. The checksum detects disks that return wrong data. The log, not the checksum,
/// detects tampering.
fn sum(bytes: &[u8]) -> String {
    hex::encode(&Digest::of(bytes).0[..SUM_DIGITS / 2])
}

/// Whether a row's value matches its checksum. An older value without a checksum is accepted.
fn is_intact(value: &[u8]) -> bool {
    let Some((head, tail)) = value.split_last_chunk::<SUM_LEN>() else { return true };
    match tail.strip_prefix(SUM).and_then(|tail| tail.strip_suffix(b"\"}")) {
        Some(told) => told == sum(head).as_bytes(),
        None => true,
    }
}

/// The facts of a row's value; `None` if it is too short.
pub(crate) fn decode_facts(value: &[u8]) -> Option<Facts> {
    value.first_chunk().map(Facts::decode)
}

/// The facts and the state of a row's value.
pub(crate) fn decode_row(value: &[u8]) -> Result<(Facts, RowState), String> {
    let facts = decode_facts(value).ok_or("a row is too short")?;
    if !is_intact(value) {
        return Err(format!("the row of {} does not match its checksum", DecisionId::from_bytes(facts.decision)));
    }
    let state = serde_json::from_slice(&value[Facts::LEN..]).map_err(|error| format!("a row's state: {error}"))?;
    Ok((facts, state))
}

pub(crate) const fn approval_code(approval: Approval) -> u8 {
    match approval {
        Approval::Auto => 1,
        Approval::Confirm => 2,
        Approval::Approve => 3,
        Approval::Block => 4,
    }
}

pub(crate) const fn approval_of_code(code: u8) -> Option<Approval> {
    match code {
        1 => Some(Approval::Auto),
        2 => Some(Approval::Confirm),
        3 => Some(Approval::Approve),
        4 => Some(Approval::Block),
        _ => None,
    }
}

pub(crate) const fn outcome_code(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Allow => 1,
        Outcome::Deny => 2,
        Outcome::Escalate => 3,
        Outcome::RequireConfirmation => 4,
    }
}

/// The code of a final status. [`STATUS_PENDING`] and [`STATUS_UNREPORTED`] have the codes below.
pub(crate) const fn result_code(status: ResultStatus) -> u8 {
    match status {
        ResultStatus::Success => 3,
        ResultStatus::Failed => 4,
        ResultStatus::Blocked => 5,
        ResultStatus::Denied => 6,
        ResultStatus::Skipped => 7,
        ResultStatus::RolledBack => 8,
        ResultStatus::Unknown => 9,
    }
}

fn status_code(state: &RowState) -> u8 {
    match (&state.result, state.allowed_at) {
        (Some(report), _) => result_code(report.status),
        (None, Some(_)) => STATUS_UNREPORTED,
        (None, None) => STATUS_PENDING,
    }
}

/// A filter on facts. A row that passes may match; a row that fails does not match.
#[derive(Debug, Default)]
pub(crate) struct FactFilter {
    session: Option<Short>,
    action_type: Option<Short>,
    target: Option<Short>,
    actor: Option<Short>,
    rule: Option<Short>,
    risks: Option<Vec<u8>>,
    approvals: Option<Vec<u8>>,
    outcomes: Option<Vec<u8>>,
    index_statuses: Option<Vec<u8>>,
    since: Option<i64>,
    until: Option<i64>,
}

impl FactFilter {
    pub(crate) fn new(filter: &RowFilter) -> Self {
        let hash = |text: &Option<String>| text.as_deref().map(short);
        let exact = |text: &Option<TextFilter>| text.as_ref().and_then(TextFilter::exact).map(short);
        let levels: Vec<u8> =
            RiskLevel::ALL.into_iter().filter(|level| filter.has_level(*level)).map(|level| level as u8).collect();
        let index_status = |status: &ResultStatus| match status {
            ResultStatus::Unknown => STATUS_UNREPORTED,
            status => result_code(*status),
        };
        Self {
            session: hash(&filter.session_id),
            action_type: exact(&filter.action_type),
            target: exact(&filter.target),
            actor: hash(&filter.actor_id),
            rule: hash(&filter.matched_rule),
            risks: Some(levels).filter(|levels| levels.len() < RiskLevel::ALL.len()),
            approvals: codes(&filter.approval_modes, |mode| approval_code(*mode)),
            outcomes: codes(&filter.outcomes, |outcome| outcome_code(*outcome)),
            index_statuses: codes(&filter.statuses, index_status),
            // Rows have times in whole microseconds. So `since` is rounded up and `until` is rounded down.
            since: filter.since.map(ceil_microsecond),
            until: filter.until.map(floor_microsecond),
        }
    }

    /// The index entries that this filter can use: of each kind, a row must have one of these values.
    pub(crate) fn index_values(&self) -> Vec<(Kind, Vec<Short>)> {
        let words = |codes: &[u8]| codes.iter().copied().map(word).collect::<Vec<_>>();
        let one = |short: Option<Short>| short.filter(|short| *short != EMPTY).map(|short| vec![short]);
        let statuses = self.index_statuses.as_deref().or_else(|| self.waiting());
        [
            (Kind::Session, one(self.session)),
            (Kind::ActionType, one(self.action_type)),
            (Kind::Actor, one(self.actor)),
            (Kind::Rule, one(self.rule)),
            (Kind::Risk, self.risks.as_deref().map(words)),
            (Kind::Status, statuses.map(words)),
        ]
        .into_iter()
        .filter_map(|(kind, values)| Some((kind, values?)))
        .collect()
    }

    /// Only a waiting row has an outcome that asks.
    fn waiting(&self) -> Option<&'static [u8]> {
        let asks = [outcome_code(Outcome::Escalate), outcome_code(Outcome::RequireConfirmation)];
        self.outcomes
            .as_ref()
            .is_some_and(|outcomes| outcomes.iter().all(|outcome| asks.contains(outcome)))
            .then_some(&[STATUS_PENDING])
    }

    /// The first and the last microsecond of the filter, if it has any.
    pub(crate) fn times(&self) -> Option<(i64, i64)> {
        (self.since.is_some() || self.until.is_some())
            .then(|| (self.since.unwrap_or(i64::MIN), self.until.unwrap_or(i64::MAX)))
    }

    pub(crate) fn lets_through(&self, facts: &Facts) -> bool {
        fn holds<T: PartialEq + Copy>(asked: Option<T>, found: T) -> bool {
            asked.is_none_or(|asked| asked == found)
        }
        fn is_one_of(asked: Option<&Vec<u8>>, found: u8) -> bool {
            asked.is_none_or(|asked| asked.contains(&found))
        }
        holds(self.session, facts.session)
            && holds(self.action_type, facts.action_type)
            && holds(self.target, facts.target)
            && holds(self.actor, facts.actor)
            && holds(self.rule, facts.rule)
            && is_one_of(self.risks.as_ref(), facts.risk)
            && is_one_of(self.approvals.as_ref(), facts.approval)
            && is_one_of(self.outcomes.as_ref(), facts.outcome)
            && is_one_of(self.index_statuses.as_ref(), facts.index_status())
            && self.since.is_none_or(|since| facts.time >= since)
            && self.until.is_none_or(|until| facts.time <= until)
    }
}

/// The codes of a list; `None` if the list is empty, which means any.
fn codes<T>(list: &[T], code: impl Fn(&T) -> u8) -> Option<Vec<u8>> {
    (!list.is_empty()).then(|| list.iter().map(code).collect())
}

fn floor_microsecond(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanosecond().div_euclid(1000)).unwrap_or(i64::MAX)
}

fn ceil_microsecond(at: Timestamp) -> i64 {
    i64::try_from((at.as_nanosecond() + 999).div_euclid(1000)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::testing::{allowed, decision, later};

    #[test]
    fn a_row_reads_back_as_it_was_written() {
        let (decision, state) = (decision(1), allowed(1));
        let facts = Facts::new(later(5), &decision, &state);
        let value = encode_row(&facts, &state).unwrap();
        assert_eq!(decode_row(&value).unwrap(), (facts, state));
        assert_eq!(decode_facts(&value), Some(facts));
    }

    #[test]
    fn no_bit_of_a_row_changes_unseen() {
        let (decision, state) = (decision(1), allowed(1));
        let facts = Facts::new(later(5), &decision, &state);
        let value = encode_row(&facts, &state).unwrap();
        for bit in 0..value.len() * 8 {
            let mut flipped = value.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // What only spoils the checksum's own frame makes a row without one.
            assert!(
                decode_row(&flipped).is_err() || flipped[..value.len() - SUM_LEN] == value[..value.len() - SUM_LEN]
            );
        }
    }

    #[test]
    fn a_row_of_before_there_were_checksums_is_read() {
        let (decision, state) = (decision(1), allowed(1));
        let facts = Facts::new(later(5), &decision, &state);
        let mut value = Vec::new();
        facts.encode(&mut value);
        serde_json::to_writer(&mut value, &state).unwrap();
        assert_eq!(decode_row(&value).unwrap(), (facts, state));
    }

    #[test]
    fn a_damaged_row_is_an_error() {
        assert!(decode_row(&[0; 10]).is_err());
        assert!(decode_row(&[0; 80]).is_err());
    }

    #[test]
    fn bounds_between_two_microseconds_do_not_let_their_neighbours_in() {
        let between: Timestamp = "1970-01-01T00:00:00.0000015Z".parse().unwrap();
        assert_eq!((floor_microsecond(between), ceil_microsecond(between)), (1, 2));
        let before: Timestamp = "1969-12-31T23:59:59.9999985Z".parse().unwrap();
        assert_eq!((floor_microsecond(before), ceil_microsecond(before)), (-2, -1));
    }
}
