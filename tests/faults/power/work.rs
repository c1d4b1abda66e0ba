//! What is done to a store while the power is about to go, and the ledger of what was acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use aegis::audit::{
    ApprovalState, ConfirmationClosed, ConfirmationState, DecisionRecord, Draft, Event, IdentityRecord, Opening,
    Reader, Store, StoreError, StoredLayer, StoredPolicy, StoredToken, Tx, TxError,
};
use aegis::domain::{
    Action, Actor, Approval, ApprovalId, DecisionId, Digest, Ending, EndingKind, How, Outcome, RecordId, Report,
    ResultStatus, RiskLevel, Role, Timestamp, TokenId,
};
use serde_json::{Map, json};

use super::dice::Dice;
use super::disk::Disk;

/// Something that a caller was told is done.
#[derive(Clone, Debug)]
pub(crate) enum Done {
    Decided { row: u64, record_id: RecordId, record: Arc<DecisionRecord> },
    Ended { decision: DecisionId, ending: Ending },
    Confirmed { decision: DecisionId, by: DecisionId },
    Reported { decision: DecisionId, report: Report },
    PolicyKept { revision: Digest },
    TokenRevoked { token: TokenId },
}

/// A decision that something can still be done to.
#[derive(Clone, Debug)]
struct Known {
    id: DecisionId,
    approval: Option<ApprovalId>,
    token: Option<Digest>,
    reportable: bool,
}

/// Who works: knows what was acknowledged, and thinks of more to do.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    dice: Dice,
    next: u64,
    known: Vec<Known>,
    tokens: Vec<TokenId>,
    policy: Digest,
}

/// What a call does in its turn, and what is done when it is acknowledged.
type Job = Box<dyn FnOnce(&mut Tx<'_>) -> Result<Vec<Done>, TxError> + Send>;

impl Worker {
    pub(crate) fn new(seed: u64) -> Self {
        let policy = Digest::of(b"no policy yet");
        Self { dice: Dice::new(seed), next: 1, known: Vec::new(), tokens: Vec::new(), policy }
    }

    /// Puts a first policy on the record, and so many decisions.
    pub(crate) async fn settle_in(
        &mut self,
        store: &Store,
        disk: &Disk,
        decisions: usize,
    ) -> Result<Vec<(usize, Done)>, StoreError> {
        let mut done = together(store, disk, vec![self.load_policy()]).await?;
        for _ in 0..decisions / 16 {
            let jobs = (0..16).map(|_| self.job(0)).collect();
            done.extend(together(store, disk, jobs).await?);
        }
        Ok(done)
    }

    /// Does something, or some things at once, and says what was acknowledged, and after how many steps of the disk.
    pub(crate) async fn work(&mut self, store: &Store, disk: &Disk) -> Result<Vec<(usize, Done)>, StoreError> {
        let jobs = if self.dice.once_in(3) { 1 + self.dice.below(5) } else { 1 };
        let jobs = (0..jobs).map(|_| self.job(12)).collect();
        together(store, disk, jobs).await
    }

    /// Something to do. It may be something large, once in so many times.
    fn job(&mut self, large: usize) -> Job {
        let place = self.dice.below(self.known.len());
        let known = self.known.get(place).cloned();
        match (self.dice.below(12), known) {
            (0..=1, Some(Known { id, approval: Some(approval), .. })) => {
                self.known[place].approval = None;
                self.end(id, approval)
            }
            (2..=3, Some(Known { id, reportable: true, .. })) => {
                self.known[place].reportable = false;
                self.report(id)
            }
            (4..=5, Some(Known { id, token: Some(token), .. })) => {
                self.known[place].token = None;
                self.confirm(id, token)
            }
            (6, _) if self.dice.once_in(4) => self.load_policy(),
            (6, _) => self.change_tokens(),
            _ => self.decide(large),
        }
    }

    fn moment(&mut self) -> Timestamp {
        self.next += 1;
        let start: Timestamp = "2026-01-02T03:04:05Z".parse().expect("a moment");
        start + Duration::from_secs(self.next)
    }

    fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.dice.fill(&mut bytes);
        bytes
    }

    fn decision(&mut self, at: Timestamp, outcome: Outcome, size: usize) -> DecisionRecord {
        let number = self.next;
        let action = Action {
            r#type: format!("type-{}", self.dice.below(4)),
            target: format!("target-{number}"),
            params: Map::from_iter([("note".to_owned(), json!("x".repeat(size)))]),
            description: String::new(),
        };
        let approval = match outcome {
            Outcome::Escalate => Approval::Approve,
            Outcome::RequireConfirmation => Approval::Confirm,
            Outcome::Deny => Approval::Block,
            Outcome::Allow => Approval::Auto,
        };
        DecisionRecord {
            decision_id: DecisionId::new(at, self.random()),
            actor: Actor { id: format!("agent-{}", self.dice.below(3)), r#type: "ai-agent".into() },
            identity: IdentityRecord { subject: "anonymous".into(), how: How::Anonymous, actor: None },
            session_id: format!("session-{}", self.dice.below(5)),
            metadata: Map::new(),
            action_digest: Digest::of(&number.to_be_bytes()),
            action,
            redact: Vec::new(),
            masked: Vec::new(),
            masked_digests: std::collections::BTreeMap::new(),
            outcome,
            reason: String::new(),
            risk_level: RiskLevel::ALL[self.dice.below(RiskLevel::ALL.len())],
            approval,
            matched_rule: format!("rule-{}", self.dice.below(4)),
            constraints: Map::new(),
            policy_revision: self.policy,
            approval_id: None,
            expires_at: None,
            trace_id: String::new(),
        }
    }

    fn decide(&mut self, large: usize) -> Job {
        let at = self.moment();
        let outcomes = [Outcome::Allow, Outcome::Escalate, Outcome::RequireConfirmation, Outcome::Deny];
        let outcome = outcomes[self.dice.below(4)];
        let size =
            if large > 0 && self.dice.once_in(large) { 1 << (12 + self.dice.below(6)) } else { self.dice.below(300) };
        let mut record = self.decision(at, outcome, size);
        let mut opening = Opening::default();
        if self.dice.once_in(2) {
            opening.idempotency = Some(Digest(self.random()));
        }
        match outcome {
            Outcome::Allow => opening.allowed_at = Some(at),
            Outcome::Deny => opening.result = Some(report(ResultStatus::Blocked)),
            Outcome::Escalate => {
                let approval_id = ApprovalId::new(at, self.random());
                (record.approval_id, record.expires_at) = (Some(approval_id), Some(at));
                let approval = ApprovalState { approval_id, expires_at: at, timeout_allows: false, ending: None };
                opening.approval = Some(approval);
            }
            Outcome::RequireConfirmation => {
                let token_hash = Digest(self.random());
                opening.confirmation = Some(ConfirmationState { token_hash, expires_at: at, closed: None });
            }
        }
        self.known.push(Known {
            id: record.decision_id,
            approval: record.approval_id,
            token: opening.confirmation.as_ref().map(|confirmation| confirmation.token_hash),
            reportable: outcome == Outcome::Allow,
        });
        insert(at, record, opening)
    }

    fn end(&mut self, decision_id: DecisionId, approval_id: ApprovalId) -> Job {
        let at = self.moment();
        let allows = self.dice.once_in(2);
        let ending = Ending {
            kind: if allows { EndingKind::Approved } else { EndingKind::Denied },
            allows,
            by: "local:ada".into(),
            at,
            reason: "because".into(),
            code: String::new(),
        };
        let policy_revision = self.policy;
        Box::new(move |tx| {
            // What was in doubt when the power went may not be there.
            let Some((row, mut state)) = tx.row_by_approval(approval_id)? else { return Ok(Vec::new()) };
            let Some(approval) = state.approval.as_mut().filter(|approval| approval.ending.is_none()) else {
                return Ok(Vec::new());
            };
            approval.ending = Some(ending.clone());
            if allows {
                state.allowed_at = Some(at);
            } else {
                state.result = Some(report(ResultStatus::Denied));
            }
            let how = Some(How::UnixPeer);
            let event = Event::ApprovalEnded { approval_id, decision_id, ending: ending.clone(), how, policy_revision };
            tx.append(at, &event)?;
            tx.update_row(row, &state)?;
            Ok(vec![Done::Ended { decision: decision_id, ending }])
        })
    }

    fn report(&mut self, decision_id: DecisionId) -> Job {
        let at = self.moment();
        let report = report([ResultStatus::Success, ResultStatus::Failed][self.dice.below(2)]);
        Box::new(move |tx| {
            let Some((row, mut state)) = tx.row_by_decision(decision_id)? else { return Ok(Vec::new()) };
            if state.result.is_some() {
                return Ok(Vec::new());
            }
            tx.append(at, &Event::Result { decision_id, report: report.clone(), masked: Vec::new() })?;
            state.result = Some(report.clone());
            tx.update_row(row, &state)?;
            Ok(vec![Done::Reported { decision: decision_id, report }])
        })
    }

    fn confirm(&mut self, decision_id: DecisionId, token: Digest) -> Job {
        let at = self.moment();
        let record = self.decision(at, Outcome::Allow, 20);
        let by = record.decision_id;
        let insert = insert(at, record, Opening { allowed_at: Some(at), ..Opening::default() });
        Box::new(move |tx| {
            let Some((row, mut state)) = tx.row_by_confirmation(token)? else { return Ok(Vec::new()) };
            let Some(confirmation) = state.confirmation.as_mut().filter(|it| it.closed.is_none()) else {
                return Ok(Vec::new());
            };
            confirmation.closed = Some(ConfirmationClosed::Redeemed(by));
            let mut done = insert(tx)?;
            tx.append(at, &Event::Confirmed { decision_id, confirmed_by: by })?;
            tx.update_row(row, &state)?;
            done.push(Done::Confirmed { decision: decision_id, by });
            Ok(done)
        })
    }

    fn load_policy(&mut self) -> Job {
        let at = self.moment();
        let source = format!("# {}\nversion: '1'\n", self.next);
        let revision = Digest::of(source.as_bytes());
        self.policy = revision;
        let layers = vec![StoredLayer { name: "policy.yaml".into(), source }];
        let policy = StoredPolicy { layers, merged: json!({"version": "1"}) };
        Box::new(move |tx| {
            tx.put_policy(revision, &policy)?;
            let layers = vec!["policy.yaml".to_owned()];
            tx.append(at, &Event::PolicyLoaded { revision, layers, by: String::new() })?;
            Ok(vec![Done::PolicyKept { revision }])
        })
    }

    fn change_tokens(&mut self) -> Job {
        let at = self.moment();
        if self.tokens.len() > 2 {
            let token = self.tokens.swap_remove(self.dice.below(self.tokens.len()));
            return Box::new(move |tx| {
                let Some(stored) = tx.remove_token(token)? else { return Ok(Vec::new()) };
                let event = Event::TokenRevoked { token_id: token, subject: stored.subject, by: "local:ada".into() };
                tx.append(at, &event)?;
                Ok(vec![Done::TokenRevoked { token }])
            });
        }
        let token_id = TokenId::new(at, self.random());
        self.tokens.push(token_id);
        let (subject, roles) = ("reviewer:bob".to_owned(), vec![Role::Reviewer]);
        let stored = StoredToken {
            token_id,
            hash: Digest(self.random()),
            subject: subject.clone(),
            roles: roles.clone(),
            actor: None,
            created_at: at,
            created_by: "local:ada".into(),
            expires_at: None,
        };
        Box::new(move |tx| {
            tx.put_token(&stored)?;
            let by = "local:ada".into();
            tx.append(at, &Event::TokenCreated { token_id, subject, roles, actor: None, expires_at: None, by })?;
            // No entry of the ledger: it may be revoked by a call that gets no answer.
            Ok(Vec::new())
        })
    }
}

/// Does these in one batch, in this order.
async fn together(store: &Store, disk: &Disk, jobs: Vec<Job>) -> Result<Vec<(usize, Done)>, StoreError> {
    // The writer is held until all of them wait for it. Each yields once before it is in the queue.
    let (release, held) = mpsc::channel::<()>();
    let (steps, noted) = (Arc::new(AtomicUsize::new(0)), disk.clone());
    let gate = tokio::spawn({
        let (store, steps) = (store.clone(), Arc::clone(&steps));
        async move {
            let job = move |tx: &mut Tx<'_>| {
                tx.after_commit(move || steps.store(noted.steps(), Ordering::SeqCst));
                // Released by being dropped.
                let _ = held.recv();
                Ok(Vec::new())
            };
            store.transact(job).await
        }
    });
    let mut calls = vec![gate];
    for job in jobs {
        let store = store.clone();
        calls.push(tokio::spawn(async move { store.transact(job).await }));
    }
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    drop(release);
    let mut done = Vec::new();
    for call in calls {
        done.extend(call.await.expect("a call does not panic")?);
    }
    let steps = steps.load(Ordering::SeqCst);
    Ok(done.into_iter().map(|done| (steps, done)).collect())
}

fn insert(at: Timestamp, record: DecisionRecord, opening: Opening) -> Job {
    let draft = Draft::new(at, &record, opening).expect("a decision has a JSON form");
    Box::new(move |tx| {
        let inserted = tx.insert_decision(draft)?;
        let record_id = inserted.appended.record_id;
        Ok(vec![Done::Decided { row: inserted.row, record_id, record: Arc::new(record) }])
    })
}

fn report(status: ResultStatus) -> Report {
    Report { status, data: None, error: String::new(), started_at: None, completed_at: None }
}

/// What of the ledger is not in the store as it was told; `None` where all of it is.
pub(crate) fn lost(reader: &Reader, ledger: &[Done]) -> Result<Option<String>, StoreError> {
    let mut tokens = reader.tokens()?;
    tokens.sort_by_key(|token| token.token_id);
    let has_token = |id: TokenId| tokens.binary_search_by_key(&id, |token| token.token_id).is_ok();
    for (place, done) in ledger.iter().enumerate() {
        let there = match done {
            Done::Decided { row, record_id, record } => {
                reader.row(*row)?.is_some_and(|found| found.record_id == *record_id && found.decision == **record)
            }
            Done::Ended { decision, ending } => state(reader, *decision)?
                .is_some_and(|state| state.approval.is_some_and(|approval| approval.ending.as_ref() == Some(ending))),
            Done::Confirmed { decision, by } => state(reader, *decision)?.is_some_and(|state| {
                state.confirmation.is_some_and(|it| it.closed == Some(ConfirmationClosed::Redeemed(*by)))
            }),
            Done::Reported { decision, report } => {
                state(reader, *decision)?.is_some_and(|state| state.result.as_ref() == Some(report))
            }
            Done::PolicyKept { revision } => reader.policy(*revision)?.is_some(),
            Done::TokenRevoked { token } => !has_token(*token),
        };
        if !there {
            return Ok(Some(format!("entry {place} of {}: {done:?}", ledger.len())));
        }
    }
    Ok(None)
}

fn state(reader: &Reader, decision: DecisionId) -> Result<Option<aegis::audit::RowState>, StoreError> {
    Ok(reader.by_decision(decision)?.map(|row| row.state))
}
