//! Statistics over all decisions. They come from counters, so no query reads the log.

use std::collections::BTreeMap;
use std::time::Duration;

use redb::{ReadableTable, ReadableTableMetadata};

use super::counts::{Changes, Changing, Counted, MAX_LABELS, label, minute_of_value};
use super::facts::{decode_row, outcome_code, result_code};
use super::names::Names;
use super::tables::{COUNTS, PENDING, ROWS};
use crate::audit::log::tables::RECORDS;
use crate::domain::{Outcome, ResultStatus, RiskLevel, Timestamp};
use crate::store::error::{StoreError, damaged, guarded, missing};
use crate::store::reader::Reader;

/// Numbers over all decisions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// How many decisions there are.
    pub decisions: u64,
    /// How many records there are.
    pub records: u64,
    /// How many approvals are open.
    pub open_approvals: u64,
    /// Decisions by risk level.
    pub by_risk: BTreeMap<RiskLevel, u64>,
    /// Decisions by current outcome.
    pub by_outcome: BTreeMap<&'static str, u64>,
    /// Decisions by result status. An allowed, unreported action counts as unknown after its time, rounded to whole
    /// minutes.
    pub by_status: BTreeMap<&'static str, u64>,
    /// Decisions by the action's type. Long types are shortened. Only the first thousand types are listed.
    pub by_action_type: BTreeMap<String, u64>,
    /// Decisions by the rule that matched. Only the first thousand rules are listed.
    pub by_rule: BTreeMap<String, u64>,
}

impl Reader {
    /// The statistics of this snapshot.
    pub fn stats(&self, now: Timestamp, unreported_after: Duration) -> Result<Stats, StoreError> {
        guarded(|| self.count(now, unreported_after))
    }

    fn count(&self, now: Timestamp, unreported_after: Duration) -> Result<Stats, StoreError> {
        let mut stats = Stats { decisions: self.last_row()?, records: self.last_sequence()?, ..Stats::default() };
        stats.open_approvals = self.table(PENDING)?.len()?;
        let patience = unreported_after.as_secs() + u64::from(unreported_after.subsec_nanos() > 0);
        let over = now.as_second().saturating_sub_unsigned(patience).div_euclid(60);
        for entry in self.table(COUNTS)?.iter()? {
            let (key, count) = entry?;
            let (kind, value) = key.value().split_first().ok_or_else(|| damaged("a counter has no kind"))?;
            stats.add(*kind, value, count.value(), over);
        }
        for (kind, value, by) in self.uncounted()?.iter() {
            stats.add(kind, value, by.unsigned_abs(), over);
        }
        Ok(stats)
    }

    /// Counts the rows that the counters do not cover yet.
    fn uncounted(&self) -> Result<Changes, StoreError> {
        let (rows, records) = (self.table(ROWS)?, self.table(RECORDS)?);
        let mut changes = Changes::default();
        for entry in rows.range(self.indexed()? + 1..)? {
            let value = entry?.1;
            let (facts, state) = decode_row(value.value()).map_err(damaged)?;
            let record = records.get(state.sequence)?.ok_or_else(|| missing("record", state.sequence))?;
            let names = Names::of(record.value())?;
            changes.add(Counted::Risk, &[facts.risk], 1);
            changes.add_changing(Changing::of(&facts, &state), 1);
            changes.add(Counted::ActionType, label(&names.action.r#type).as_bytes(), 1);
            changes.add(Counted::Rule, label(&names.matched_rule).as_bytes(), 1);
        }
        Ok(changes)
    }
}

impl Stats {
    /// Adds a counter. Counters come in the order of their kinds.
    fn add(&mut self, kind: u8, value: &[u8], count: u64, over: i64) {
        let code = value.first().copied().unwrap_or(0);
        match Counted::ALL.into_iter().find(|counted| *counted as u8 == kind) {
            Some(Counted::Risk) => {
                if let Some(level) = RiskLevel::ALL.into_iter().find(|level| *level as u8 == code) {
                    *self.by_risk.entry(level).or_default() += count;
                }
            }
            Some(Counted::Status) => {
                if let Some(status) = ResultStatus::ALL.into_iter().find(|status| result_code(*status) == code) {
                    *self.by_status.entry(status.as_str()).or_default() += count;
                }
            }
            Some(Counted::Outcome) => {
                let all = [Outcome::Allow, Outcome::Deny, Outcome::Escalate, Outcome::RequireConfirmation];
                if let Some(outcome) = all.into_iter().find(|outcome| outcome_code(*outcome) == code) {
                    *self.by_outcome.entry(outcome.as_str()).or_default() += count;
                }
            }
            Some(Counted::ActionType) => add_label(&mut self.by_action_type, value, count),
            Some(Counted::Rule) => add_label(&mut self.by_rule, value, count),
            // The counters cannot know the current time, so these rows are counted as unreported.
            Some(Counted::UnreportedMinute) if minute_of_value(value).is_some_and(|minute| minute < over) => {
                *self.by_status.entry(ResultStatus::Unknown.as_str()).or_default() += count;
            }
            Some(Counted::UnreportedMinute) | None => {}
        }
    }
}

fn add_label(labels: &mut BTreeMap<String, u64>, value: &[u8], count: u64) {
    if let Ok(label) = std::str::from_utf8(value)
        && (labels.contains_key(label) || labels.len() < MAX_LABELS)
    {
        *labels.entry(label.to_owned()).or_default() += count;
    }
}
