//! A question that waits for a reviewer: the decision that asked, and what only this process knows of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};

use super::proposer::Proposer;
use crate::audit::record::{DecisionRecord, IdentityRecord};
use crate::domain::{Action, ApprovalId, ConnectionId, DecisionId, Digest, ParamPath, RiskLevel, Timestamp};
use crate::limits::Share;

/// How many bytes of memory the changing part of a decision may take to stay there. Of a larger one only the head is
/// kept: a megabyte of JSON takes ten of memory and more, and ten thousand questions may be open.
const KEPT_BYTES: usize = 4 << 10;

/// A question that waits for a reviewer. What changes about it is its [`QuestionState`](crate::domain::QuestionState),
/// which the store keeps.
#[derive(Debug)]
pub struct Pending {
    /// Its name.
    pub approval_id: ApprovalId,
    /// The decision that waits for it.
    pub decision: Asked,
    /// How long the JSON of the decision is: what the question counts for, and what it takes to show it.
    pub bytes: usize,
    /// The values that the record masks.
    pub unmasked: UnmaskedCell,
    /// The connection of the proposal. A connection does not outlive its daemon.
    pub connection: Option<ConnectionId>,
    /// When the question was put.
    pub requested_at: Timestamp,
    /// When it ends by itself, as people read it.
    pub expires_at: Timestamp,
    /// When it ends by itself, against [`Clock::uptime`](crate::domain::Clock::uptime): no jump of the wall clock moves
    /// it.
    pub deadline: Duration,
    /// Whether its rule lets the action run when nobody answers.
    pub timeout_allows: bool,
    /// Whether its time ran out while no daemon was running, so that nobody could answer.
    pub is_missed: bool,
    /// The user that the daemon runs as. See [`Proposer::is_reviewer`].
    pub own_uid: u32,
}

/// A decision that asks: all of it, or where it is large its head alone.
#[derive(Clone, Debug)]
pub struct Asked {
    record: Arc<DecisionRecord>,
    is_whole: bool,
}

impl Asked {
    /// Keeps the decision, or its head where it is large.
    pub fn new(decision: Arc<DecisionRecord>) -> Self {
        let mut memory = HeapBytes::default();
        memory.map(&decision.action.params);
        memory.map(&decision.metadata);
        memory.map(&decision.constraints);
        memory.bytes += decision.action.description.len() + decision.action.target.len();
        memory.bytes += (decision.masked.len() + decision.redact.len()) * 64 + decision.masked_digests.len() * 128;
        if memory.bytes <= KEPT_BYTES {
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
            ..*decision
        };
        Self { record: Arc::new(head), is_whole: false }
    }

    /// All of the decision; `None` where only the store has it.
    pub fn whole(&self) -> Option<&Arc<DecisionRecord>> {
        self.is_whole.then_some(&self.record)
    }

    /// The decision's name.
    pub fn decision_id(&self) -> DecisionId {
        self.record.decision_id
    }

    /// What a vote must carry.
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

    /// The kind of action.
    pub fn action_type(&self) -> &str {
        &self.record.action.r#type
    }

    /// How dangerous the policy says the action is.
    pub fn risk_level(&self) -> RiskLevel {
        self.record.risk_level
    }
}

/// The parameters of an action as the proposer sent them, where the record masks some.
#[derive(Debug)]
pub enum Unmasked {
    /// The record masks no parameter.
    Nothing,
    /// The top-level parameters that hold something masked, as they were sent; and their part of what may be kept of
    /// such.
    Known(Map<String, Value>, Share),
    /// This process does not know them: it started after the question was put, or has no room for them.
    Unknown,
}

/// The unmasked parameters of a question, which go when it ends: a watcher that is slow may hold the question for
/// longer.
#[derive(Debug)]
pub struct UnmaskedCell(Mutex<Unmasked>);

impl UnmaskedCell {
    /// Keeps these.
    pub fn new(unmasked: Unmasked) -> Self {
        Self(Mutex::new(unmasked))
    }

    /// The action as it was proposed, as far as it is known, and which of the masked parameters are not: any condition
    /// on them is in doubt.
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

    /// Forgets them: the question is over.
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

    /// Whether the action may run when nobody answers. Not where nobody could have answered.
    pub fn silence_allows(&self) -> bool {
        self.timeout_allows && !self.is_missed
    }
}

/// How many bytes of memory some JSON takes, about.
pub fn heap_bytes(map: &Map<String, Value>) -> usize {
    let mut heap = HeapBytes::default();
    heap.map(map);
    heap.bytes
}

#[derive(Default)]
struct HeapBytes {
    bytes: usize,
}

impl HeapBytes {
    /// A node of a map has room for eleven entries of 56 bytes, and is at least half full but for the only one.
    const NODE: usize = 11 * 56 + 16;

    fn map(&mut self, map: &Map<String, Value>) {
        self.bytes += map.len().div_ceil(6) * Self::NODE;
        for (name, value) in map {
            self.bytes += name.len();
            self.value(value);
        }
    }

    /// Depth is bounded where values come in.
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
