//! [`Pending`]: a question for a reviewer. It holds the decision that asked, and what only this process knows.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};

use super::proposer::Proposer;
use crate::audit::record::{DecisionRecord, IdentityRecord};
use crate::audit::{ApprovalState, RowFilter};
use crate::domain::{
    Action, ApprovalId, ConnectionId, DecisionId, Defence, Digest, ParamPath, QuestionState, RecordId, RiskLevel,
    Timestamp,
};
use crate::limits::Share;

/// The most memory, in bytes, that the variable part of a decision may use. Of a larger decision only the head stays in
/// memory: 1 MB of JSON can take more than 10 MB, and ten thousand questions may be open.
const KEPT_BYTES: usize = 4 << 10;

/// A question that waits for a reviewer. Its mutable state, [`QuestionState`](crate::domain::QuestionState), is in the
/// store.
#[derive(Debug)]
pub struct Pending {
    /// Its id.
    pub approval_id: ApprovalId,
    /// The decision that waits for it.
    pub decision: Asked,
    /// The record of that decision.
    pub record_id: RecordId,
    /// The length of the decision's JSON, in bytes. The question counts as this many bytes against the limits.
    pub bytes: usize,
    /// The parameters that the record masks.
    pub unmasked: UnmaskedCell,
    /// The connection of the proposal; `None` if it was made before the daemon started.
    pub connection: Option<ConnectionId>,
    /// When the question was asked.
    pub requested_at: Timestamp,
    /// When it expires, by the wall clock, for people.
    pub expires_at: Timestamp,
    /// When it expires, by [`Clock::uptime`](crate::domain::Clock::uptime). A jump of the wall clock does not change
    /// it.
    pub deadline: Duration,
    /// Whether the rule allows the action if nobody answers.
    pub timeout_allows: bool,
    /// Whether it expired while no daemon was running, so that nobody could answer.
    pub is_missed: bool,
    /// The user that the daemon runs as. See [`Proposer::is_reviewer`].
    pub own_uid: u32,
}

/// The decision that asks. Of a large one, only the head.
#[derive(Clone, Debug)]
pub struct Asked {
    record: Arc<DecisionRecord>,
    is_whole: bool,
}

impl Asked {
    /// Keeps the decision, or only the head of a large one.
    pub fn new(decision: Arc<DecisionRecord>) -> Self {
        let mut memory = HeapBytes::default();
        memory.map(&decision.action.params);
        memory.map(&decision.metadata);
        memory.map(&decision.constraints);
        memory.bytes += decision.action.description.len() + decision.action.target.len();
        memory.bytes += (decision.masked.len() + decision.redact.len() + 2 * decision.marks.len()) * 64
            + decision.masked_digests.len() * 128;
        if memory.bytes <= KEPT_BYTES || !Defence::QuestionsOnDisk.on() {
            return Self { record: decision, is_whole: true };
        }
        let head = DecisionRecord {
            action: Action { r#type: decision.action.r#type.clone(), ..Action::default() },
            actor: decision.actor.clone(),
            identity: decision.identity.clone(),
            session_id: decision.session_id.clone(),
            matched_rule: decision.matched_rule.clone(),
            reason: decision.reason.clone(),
            trace_id: decision.trace_id.clone(),
            metadata: Map::new(),
            constraints: Map::new(),
            redact: Vec::new(),
            masked: Vec::new(),
            masked_digests: std::collections::BTreeMap::new(),
            marks: Vec::new(),
            limits: decision.limits.clone(),
            ..*decision
        };
        Self { record: Arc::new(head), is_whole: false }
    }

    /// The whole decision; `None` if only the store has it.
    pub fn whole(&self) -> Option<&Arc<DecisionRecord>> {
        self.is_whole.then_some(&self.record)
    }

    /// The decision, which may be the head only.
    pub fn head(&self) -> &Arc<DecisionRecord> {
        &self.record
    }

    /// The decision's id.
    pub fn decision_id(&self) -> DecisionId {
        self.record.decision_id
    }

    /// The digest of the action, which a vote must repeat.
    pub fn action_digest(&self) -> Digest {
        self.record.action_digest
    }

    /// Who proposed, as authenticated.
    pub fn identity(&self) -> &IdentityRecord {
        &self.record.identity
    }

    /// Who proposed, as declared.
    pub fn actor_id(&self) -> &str {
        &self.record.actor.id
    }

    /// The agent's session.
    pub fn session_id(&self) -> &str {
        &self.record.session_id
    }

    /// The type of the action.
    pub fn action_type(&self) -> &str {
        &self.record.action.r#type
    }

    /// Whether the daemon runs the action when it is allowed.
    pub fn executes(&self) -> bool {
        self.record.executes
    }

    /// The risk level that the policy gives the action.
    pub fn risk_level(&self) -> RiskLevel {
        self.record.risk_level
    }
}

/// The unmasked parameters of an action whose parameters the record masks.
#[derive(Debug)]
pub enum Unmasked {
    /// The record masks no parameter.
    Nothing,
    /// The original values of the top-level parameters that contain something masked, and their share of the memory
    /// limit.
    Known(Map<String, Value>, Share),
    /// This process does not know them: it started after the proposal, or the memory limit was reached.
    Unknown,
}

/// The unmasked parameters of a question. They are dropped when the question ends, even if a slow watcher still holds
/// the question.
#[derive(Debug)]
pub struct UnmaskedCell(Mutex<Unmasked>);

impl UnmaskedCell {
    /// Keeps these parameters.
    pub fn new(unmasked: Unmasked) -> Self {
        Self(Mutex::new(unmasked))
    }

    /// The action as it was proposed, and the masked parameters that are unknown. A condition on an unknown parameter
    /// has no certain result.
    pub fn restore<'a>(&self, mut action: Action, masked: &'a [ParamPath]) -> (Action, &'a [ParamPath]) {
        match &*self.lock() {
            Unmasked::Nothing => (action, &[]),
            Unmasked::Known(params, _) => {
                action.params.extend(params.iter().map(|(name, value)| (name.clone(), value.clone())));
                (action, &[])
            }
            Unmasked::Unknown => (action, masked),
        }
    }

    /// Drops the parameters after the question ended.
    pub fn forget(&self) {
        *self.lock() = Unmasked::Unknown;
    }

    fn lock(&self) -> MutexGuard<'_, Unmasked> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    /// Who proposed.
    pub fn proposer(&self) -> Proposer<'_> {
        Proposer { identity: self.decision.identity(), connection: self.connection }
    }

    /// Whether a filter may match. Of a large question, the target is not known here.
    pub fn may_match(&self, filter: &RowFilter) -> bool {
        let (record, at) = (&self.decision.record, self.requested_at);
        // Nobody has voted on an open question.
        filter.approver.is_none()
            && if self.decision.is_whole {
                filter.matches_decision(record, at)
            } else {
                filter.matches_head(record, at)
            }
    }

    /// The question as the store has it while it is open.
    pub fn open_state(&self) -> ApprovalState {
        ApprovalState {
            approval_id: self.approval_id,
            expires_at: self.expires_at,
            timeout_allows: self.timeout_allows,
            state: QuestionState::Open,
            votes: Vec::new(),
        }
    }

    /// Whether the action may run if nobody answers. False if nobody could have answered.
    pub fn silence_allows(&self) -> bool {
        self.timeout_allows && !self.is_missed
    }
}

/// Estimates how many bytes of memory a JSON value takes.
pub(crate) fn heap_bytes(map: &Map<String, Value>) -> usize {
    let mut heap = HeapBytes::default();
    heap.map(map);
    heap.bytes
}

#[derive(Default)]
struct HeapBytes {
    bytes: usize,
}

impl HeapBytes {
    /// A map node has eleven entries of 56 bytes. Every node except a single root is at least half full.
    const NODE: usize = 11 * 56 + 16;

    fn map(&mut self, map: &Map<String, Value>) {
        self.bytes += map.len().div_ceil(6) * Self::NODE;
        for (name, value) in map {
            self.bytes += name.len();
            self.value(value);
        }
    }

    /// The depth of values is bounded when they arrive.
    fn value(&mut self, value: &Value) {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
            Value::String(text) => self.bytes += text.len(),
            Value::Array(items) => {
                self.bytes += items.len() * size_of::<Value>();
                for item in items {
                    self.value(item);
                }
            }
            Value::Object(map) => self.map(map),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approvals::testing::decision;
    use crate::limits::{Amount, Quota, QuotaKey, QuotaLimits};
    use serde_json::json;

    #[test]
    fn what_was_masked_is_put_back_until_the_question_ends() {
        let all = Amount { count: 1, bytes: 100 };
        let quota = Quota::new(QuotaLimits { total: all, anonymous: all, per_caller: all });
        let key = QuotaKey { is_anonymous: false, name: "ada".into() };
        let share = quota.take(&key, 100).unwrap();
        let sent = json!({"card": {"number": "4111", "name": "Ada"}});
        let cell = UnmaskedCell::new(Unmasked::Known(sent.as_object().unwrap().clone(), share));
        let masked = [ParamPath::new("card.number")];
        let shown = json!({"card": {"number": "[masked, 4 characters]", "name": "Ada"}, "amount": 5});
        let action = Action { params: shown.as_object().unwrap().clone(), ..Action::default() };

        let (whole, unknown) = cell.restore(action.clone(), &masked);
        let expected = json!({"card": {"number": "4111", "name": "Ada"}, "amount": 5});
        assert_eq!((Value::Object(whole.params), unknown), (expected, &[][..]));
        assert!(quota.take(&key, 1).is_err());
        cell.forget();
        assert_eq!(cell.restore(action.clone(), &masked), (action, &masked[..]));
        assert!(quota.take(&key, 100).is_ok(), "and its room is free again");
    }

    fn asked(params: &Value) -> Asked {
        let mut decision = decision(1);
        decision.action.params = params.as_object().unwrap().clone();
        decision.action.r#type = "pay".into();
        Asked::new(Arc::new(decision))
    }

    #[test]
    fn a_small_question_stays_in_memory_and_of_a_large_one_only_the_head() {
        let small = asked(&json!({"count": 150, "to": "bank"}));
        assert_eq!(small.whole().unwrap().action.params["count"], 150);
        for large in [
            json!({"text": "x".repeat(KEPT_BYTES)}),
            json!({"numbers": vec![0; 200]}),
            json!({"maps": vec![json!({"a": 1}); 8]}),
        ] {
            let large = asked(&large);
            assert!(large.whole().is_none());
            assert_eq!((large.action_type(), large.risk_level()), ("pay", RiskLevel::Medium));
            assert!(large.record.action.params.is_empty());
        }
    }
}
