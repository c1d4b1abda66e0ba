//! [`RowFilter`]: which decisions somebody wants to see. Each interface reads it from its own requests. Queries,
//! streams and the list of approvals all use it, so a filter means the same everywhere.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::row::{AuditRow, RowState};
use crate::audit::log::record::DecisionRecord;
use crate::domain::{
    Approval, DecisionId, Digest, Outcome, ParamsError, QuestionStatus, ResultStatus, RiskLevel, Timestamp,
    canonical_json,
};
use crate::policy::Glob;

/// A filter. Every field that is set must match; of a list, one value must. An empty list is not set.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RowFilter {
    /// The session.
    pub session_id: Option<String>,
    /// The action's type.
    pub action_type: Option<TextFilter>,
    /// The action's target.
    pub target: Option<TextFilter>,
    /// The risk level.
    pub risk_levels: Vec<RiskLevel>,
    /// This risk level or a higher one.
    pub min_risk_level: Option<RiskLevel>,
    /// The declared actor.
    pub actor_id: Option<String>,
    /// The authenticated proposer.
    pub subject: Option<String>,
    /// A reviewer who voted.
    pub approver: Option<String>,
    /// The rule that matched.
    pub matched_rule: Option<String>,
    /// Not before this moment.
    pub since: Option<Timestamp>,
    /// Before this moment or at it.
    pub until: Option<Timestamp>,
    /// The approval that the policy required.
    pub approval_modes: Vec<Approval>,
    /// The current outcome.
    pub outcomes: Vec<Outcome>,
    /// The result status of the action.
    pub statuses: Vec<ResultStatus>,
    /// The state of the question to reviewers. A decision without a question has none.
    pub states: Vec<QuestionStatus>,
    /// The decision.
    pub decision_id: Option<DecisionId>,
}

/// A text in a filter: a glob of the policy, or exactly this text if it has no wildcard.
#[derive(Clone, Debug)]
pub enum TextFilter {
    /// Exactly this text.
    Exact(String),
    /// Every text that matches.
    Glob(Glob),
}

impl TextFilter {
    /// The longest text, in bytes: that of the longest target.
    pub const MAX_BYTES: usize = 8192;

    /// Reads a text of a filter.
    pub fn new(text: String) -> Self {
        let has_wildcard = text.contains(['*', '?', '[']);
        if has_wildcard { Self::Glob(Glob::new(&text)) } else { Self::Exact(text) }
    }

    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Exact(text) => text,
            Self::Glob(glob) => glob.as_str(),
        }
    }

    /// The only text that matches, if there is only one.
    pub(crate) fn exact(&self) -> Option<&str> {
        match self {
            Self::Exact(text) => Some(text),
            Self::Glob(_) => None,
        }
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(wanted) => wanted == text,
            Self::Glob(glob) => glob.matches(text),
        }
    }
}

impl PartialEq for TextFilter {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Serialize for TextFilter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl RowFilter {
    /// Whether a row matches.
    pub fn matches(&self, row: &AuditRow, now: Timestamp, unreported_after: Duration) -> bool {
        self.matches_decision(&row.decision, row.time) && self.matches_state(&row.state, now, unreported_after)
    }

    /// Whether the part of a row matches that never changes, except by redaction.
    pub fn matches_decision(&self, decision: &DecisionRecord, time: Timestamp) -> bool {
        self.matches_head(decision, time) && is_like(self.target.as_ref(), &decision.action.target)
    }

    /// The same without the target, which a large question does not keep in memory.
    pub fn matches_head(&self, decision: &DecisionRecord, time: Timestamp) -> bool {
        fn is(asked: Option<&str>, found: &str) -> bool {
            asked.is_none_or(|asked| asked == found)
        }
        is(self.session_id.as_deref(), &decision.session_id)
            && is_like(self.action_type.as_ref(), &decision.action.r#type)
            && self.has_level(decision.risk_level)
            && is(self.actor_id.as_deref(), &decision.actor.id)
            && is(self.subject.as_deref(), &decision.identity.subject)
            && is(self.matched_rule.as_deref(), &decision.matched_rule)
            && self.since.is_none_or(|since| time >= since)
            && self.until.is_none_or(|until| time <= until)
            && is_one_of(&self.approval_modes, decision.approval)
            && self.decision_id.is_none_or(|asked| asked == decision.decision_id)
    }

    /// Whether the part of a row matches that changes.
    fn matches_state(&self, state: &RowState, now: Timestamp, unreported_after: Duration) -> bool {
        let approval = state.approval.as_ref();
        is_one_of(&self.outcomes, state.outcome_now())
            && (self.statuses.is_empty()
                || state.status(now, unreported_after).is_some_and(|status| self.statuses.contains(&status)))
            && (self.states.is_empty()
                || approval.is_some_and(|approval| self.states.contains(&approval.state.status())))
            && self.approver.as_deref().is_none_or(|asked| {
                approval.is_some_and(|approval| approval.votes.iter().any(|vote| vote.vote.by.subject == asked))
            })
    }

    /// Whether a risk level matches.
    pub fn has_level(&self, level: RiskLevel) -> bool {
        is_one_of(&self.risk_levels, level) && self.min_risk_level.is_none_or(|least| level >= least)
    }

    /// Identifies the filter, so that a page token of one filter is not used with another.
    pub fn digest(&self) -> Result<Digest, ParamsError> {
        Ok(Digest::of(&canonical_json(self)?))
    }
}

fn is_like(asked: Option<&TextFilter>, found: &str) -> bool {
    asked.is_none_or(|asked| asked.matches(found))
}

fn is_one_of<T: PartialEq>(asked: &[T], found: T) -> bool {
    asked.is_empty() || asked.contains(&found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::testing::decision;

    #[test]
    fn a_text_with_a_wildcard_is_a_glob_of_the_policy_and_any_other_matches_exactly() {
        for (filter, text, matches) in [
            ("write", "write", true),
            ("write", "write_file", false),
            ("wri*", "write_file", true),
            ("*", "", true),
            ("wri*", "rewrite", false),
            ("a?c", "abc", true),
            ("[ab]*", "b/c\nd", true),
            ("[!ab]*", "b", false),
            // A set that is never closed stands for itself.
            ("[ab", "[ab", true),
            ("Write", "write", false),
        ] {
            assert_eq!(TextFilter::new(filter.into()).matches(text), matches, "{filter}, {text}");
        }
    }

    #[test]
    fn of_a_list_one_value_must_match_and_the_least_level_bounds_it() {
        let level = |risk_levels: &[RiskLevel], min_risk_level| {
            let filter = RowFilter { risk_levels: risk_levels.to_vec(), min_risk_level, ..RowFilter::default() };
            RiskLevel::ALL.into_iter().filter(|level| filter.has_level(*level)).collect::<Vec<_>>()
        };
        assert_eq!(level(&[], None), RiskLevel::ALL);
        assert_eq!(level(&[], Some(RiskLevel::High)), [RiskLevel::High, RiskLevel::Critical]);
        assert_eq!(level(&[RiskLevel::Low, RiskLevel::High], None), [RiskLevel::Low, RiskLevel::High]);
        assert_eq!(level(&[RiskLevel::Low, RiskLevel::High], Some(RiskLevel::Medium)), [RiskLevel::High]);
        assert!(level(&[RiskLevel::Low], Some(RiskLevel::High)).is_empty());
    }

    #[test]
    fn every_field_of_a_decision_is_compared() {
        let (decision, at) = (decision(1), Timestamp::UNIX_EPOCH);
        let text = |text: &str| Some(text.to_owned());
        let all = RowFilter {
            session_id: Some(decision.session_id.clone()),
            action_type: Some(TextFilter::new(decision.action.r#type.clone())),
            target: Some(TextFilter::new(decision.action.target.clone())),
            actor_id: Some(decision.actor.id.clone()),
            subject: Some(decision.identity.subject.clone()),
            matched_rule: Some(decision.matched_rule.clone()),
            ..RowFilter::default()
        };
        assert!(all.matches_decision(&decision, at));
        for other in [
            RowFilter { session_id: text("-"), ..all.clone() },
            RowFilter { action_type: Some(TextFilter::new("-".into())), ..all.clone() },
            RowFilter { target: Some(TextFilter::new("-*".into())), ..all.clone() },
            RowFilter { actor_id: text("-"), ..all.clone() },
            RowFilter { subject: text("-"), ..all.clone() },
            RowFilter { matched_rule: text("-"), ..all.clone() },
            RowFilter { since: Some("1970-01-01T00:00:01Z".parse().unwrap()), ..all.clone() },
            RowFilter { until: Some("1969-12-31T23:59:59Z".parse().unwrap()), ..all.clone() },
            RowFilter { decision_id: Some(DecisionId::from_bytes([9; 16])), ..all.clone() },
        ] {
            assert!(!other.matches_decision(&decision, at), "{other:?}");
            assert_ne!(other.digest().unwrap(), all.digest().unwrap(), "{other:?}");
        }
    }
}
