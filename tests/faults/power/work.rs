//! The work on a store before the power fails, and the ledger of what was acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use aegis::audit::checkpoint::{Checkpoint, SignedCheckpoint};
use aegis::audit::log::{LogIdentity, LogKey, sign_rotation};
use aegis::audit::merkle::verify_consistency;
use aegis::audit::note::{SigningKey, sign};
use aegis::audit::{
    ApprovalState, ConfirmationClosed, ConfirmationState, DecisionRecord, Draft, Event, IdentityRecord, Opening,
    Reader, RowState, Standalone, StoreError, StoredLayer, StoredPolicy, StoredToken, TILE_WIDTH, Tx, TxError, Vote,
    VoteRecord,
};
use aegis::domain::{
    Action, Actor, Approval, ApprovalId, DecisionId, Digest, Ending, EndingKind, How, Outcome, QuestionState, RecordId,
    Report, ResultStatus, RiskLevel, Role, Timestamp, TokenId, Verdict,
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
    Redacted { decision: DecisionId, sequences: Vec<u64> },
    Retired { last: u64 },
    KeyNamed(LogKey),
    Signed(Box<SignedCheckpoint>),
}

/// The name of the log.
const ORIGIN: &str = "example.com/harness";

/// A decision that can still change.
#[derive(Clone, Debug)]
struct Known {
    id: DecisionId,
    approval: Option<ApprovalId>,
    token: Option<Digest>,
    reportable: bool,
}

/// A worker knows what was acknowledged, and chooses what to do next.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    dice: Dice,
    next: u64,
    known: Vec<Known>,
    tokens: Vec<TokenId>,
    policy: Digest,
    /// The seeds of all keys that were ever meant to sign for the log.
    keys: Vec<[u8; 32]>,
}

/// The work of one call, which returns the ledger entries to add once it is acknowledged.
type Job = Box<dyn FnOnce(&mut Tx<'_>) -> Result<Vec<Done>, TxError> + Send>;

impl Worker {
    pub(crate) fn new(seed: u64) -> Self {
        let policy = Digest::of(b"no policy yet");
        Self { dice: Dice::new(seed), next: 1, known: Vec::new(), tokens: Vec::new(), policy, keys: Vec::new() }
    }

    /// Records the log's name, a first policy and about this many decisions with their results.
    pub(crate) async fn settle_in(
        &mut self,
        store: &Standalone,
        disk: &Disk,
        decisions: u64,
    ) -> Result<Vec<Done>, StoreError> {
        let (_, mut done) = together(store, disk, vec![self.name_log(), self.load_policy()]).await?;
        let until = store.read()?.last_row()? + decisions;
        while idle(store).await?.last_row()? < until {
            let jobs = (0..16).map(|_| self.job(0)).collect();
            done.extend(together(store, disk, jobs).await?.1);
        }
        Ok(done)
    }

    /// Runs one or several jobs at once. Returns what was acknowledged, each with the number of disk operations before
    /// that.
    pub(crate) async fn work(&mut self, store: &Standalone, disk: &Disk) -> Result<Vec<(usize, Done)>, StoreError> {
        let jobs = if self.dice.once_in(3) { 1 + self.dice.below(5) } else { 1 };
        let mut jobs: Vec<_> = (0..jobs).map(|_| self.job(12)).collect();
        if self.dice.once_in(3) {
            jobs.extend(self.retire(&idle(store).await?)?);
        }
        if idle(store).await?.log()?.is_none() {
            jobs.push(self.name_log());
        }
        let (steps, done) = together(store, disk, jobs).await?;
        let mut done: Vec<_> = done.into_iter().map(|done| (steps, done)).collect();
        if self.dice.once_in(2) {
            // In a relaxed store, a checkpoint after the batch may have made it durable.
            let (reader, durable) = (idle(store).await?, *store.durable().borrow());
            done.extend(self.sign(&reader, durable)?.map(|signed| (disk.steps(), signed)));
        }
        Ok(done)
    }

    /// Something to do. Once in `large` times it is something large.
    fn job(&mut self, large: usize) -> Job {
        let place = self.dice.below(self.known.len());
        let known = self.known.get(place).cloned();
        match (self.dice.below(14), known) {
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
            (7, Some(Known { id, .. })) => self.redact(id),
            (8, _) if self.dice.once_in(4) => self.rotate(),
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
            identity: IdentityRecord {
                subject: "anonymous".into(),
                how: How::Anonymous,
                groups: Vec::new(),
                actor: None,
                peer: None,
            },
            session_id: format!("session-{}", self.dice.below(5)),
            metadata: Map::new(),
            action_digest: Digest::of(&number.to_be_bytes()),
            action,
            redact: Vec::new(),
            masked: Vec::new(),
            masked_digests: std::collections::BTreeMap::new(),
            marks: Vec::new(),
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
            executes: false,
            limits: Vec::new(),
            halted: false,
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
                let (expires_at, timeout_allows, state, votes) = (at, false, QuestionState::Open, Vec::new());
                let approval = ApprovalState { approval_id, expires_at, timeout_allows, state, votes };
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
        let (how, groups, actor, peer) = (How::UnixPeer, Vec::new(), None, None);
        let by = IdentityRecord { subject: ending.by.clone(), how, groups, actor, peer };
        let policy_revision = self.policy;
        Box::new(move |tx| {
            // A write that was not acknowledged before the power loss may be missing.
            let Some((row, mut state)) = tx.row_by_approval(approval_id)? else { return Ok(Vec::new()) };
            let Some(approval) = state.approval.as_mut().filter(|approval| approval.state.is_open()) else {
                return Ok(Vec::new());
            };
            approval.state = QuestionState::Ended(ending.clone());
            if allows {
                state.allowed_at = Some(at);
            } else {
                state.result = Some(report(ResultStatus::Denied));
            }
            let how = Some(How::UnixPeer);
            let verdict = if allows { Verdict::Approve } else { Verdict::Deny };
            let vote = VoteRecord { verdict, by, reason: "because".into(), action_digest: state.action_digest };
            let (ended, vote_cast) = (ending.clone(), Some(vote.clone()));
            let event =
                Event::ApprovalEnded { approval_id, decision_id, ending: ended, how, policy_revision, vote: vote_cast };
            let record_id = tx.append(at, &event)?.record_id;
            if let Some(approval) = &mut state.approval {
                approval.votes.push(Vote { record_id, voted_at: at, vote });
            }
            tx.update_row(row, &state)?;
            Ok(vec![Done::Ended { decision: decision_id, ending }])
        })
    }

    fn report(&mut self, decision_id: DecisionId) -> Job {
        let at = self.moment();
        let report = report([ResultStatus::Success, ResultStatus::Failed][self.dice.below(2)]);
        Box::new(move |tx| {
            let Some((row, mut state)) = tx.row_by_decision(decision_id)? else { return Ok(Vec::new()) };
            if state.result.is_some() || state.redacted.is_some() {
                return Ok(Vec::new());
            }
            tx.append(
                at,
                &Event::Result { decision_id, report: report.clone(), masked: Vec::new(), marks: Vec::new() },
            )?;
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
            tx.append(at, &Event::PolicyLoaded { revision, layers, by: String::new(), comment: String::new() })?;
            Ok(vec![Done::PolicyKept { revision }])
        })
    }

    fn change_tokens(&mut self) -> Job {
        let at = self.moment();
        if self.tokens.len() > 2 {
            let token = self.tokens.swap_remove(self.dice.below(self.tokens.len()));
            return Box::new(move |tx| {
                let Some(stored) = tx.remove_token(token)? else { return Ok(Vec::new()) };
                let by = "local:ada".into();
                let event = Event::TokenRevoked { token_id: token, subject: stored.subject, by, at: None };
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
            // Not in the ledger, because a call without an answer may revoke the token.
            Ok(Vec::new())
        })
    }

    fn name_log(&mut self) -> Job {
        let (at, seed) = (self.moment(), self.random());
        self.keys.push(seed);
        let key = signing_key(seed).verifier().clone();
        Box::new(move |tx| {
            if tx.log()?.is_some() {
                return Ok(Vec::new());
            }
            let appended = tx.append(at, &Event::LogStarted { origin: ORIGIN.into(), key: key.to_string() })?;
            let key = LogKey { sequence: appended.sequence, key };
            tx.put_log(&LogIdentity { origin: ORIGIN.into(), keys: vec![key.clone()] })?;
            Ok(vec![Done::KeyNamed(key)])
        })
    }

    fn rotate(&mut self) -> Job {
        let (at, seed) = (self.moment(), self.random());
        self.keys.push(seed);
        let keys = self.keys.clone();
        Box::new(move |tx| {
            let Some(mut log) = tx.log()? else { return Ok(Vec::new()) };
            let mut keys = keys.into_iter().map(signing_key);
            let old = keys.find(|key| log.current() == Some(key.verifier())).expect("the worker knows the log's keys");
            let new = signing_key(seed);
            let event = Event::LogKeyRotated {
                old_key: old.verifier().to_string(),
                new_key: new.verifier().to_string(),
                statement: sign_rotation(ORIGIN, &old, &new),
                by: "local:ada".into(),
            };
            let appended = tx.append(at, &event)?;
            let key = LogKey { sequence: appended.sequence, key: new.verifier().clone() };
            log.keys.push(key.clone());
            tx.put_log(&log)?;
            Ok(vec![Done::KeyNamed(key)])
        })
    }

    /// Signs a checkpoint of what is durable, with the key in force at that size.
    fn sign(&self, reader: &Reader, size: u64) -> Result<Option<Done>, StoreError> {
        // The empty log has nothing to lose, and its name may not be durable yet.
        let Some(log) = reader.log()?.filter(|_| size > 0) else { return Ok(None) };
        let mut keys = self.keys.iter().map(|seed| signing_key(*seed));
        let key = keys.find(|key| log.key_at(size) == Some(key.verifier())).expect("the worker knows the log's keys");
        let checkpoint = Checkpoint { origin: log.origin, size, root: reader.tree_root(size)? };
        let note = sign(&checkpoint.to_string(), &[&key]);
        let signed = SignedCheckpoint::parse(&note).expect("a signed checkpoint parses");
        Ok(Some(Done::Signed(Box::new(signed))))
    }

    fn redact(&mut self, decision_id: DecisionId) -> Job {
        let at = self.moment();
        Box::new(move |tx| {
            let Some((row, state)) = tx.row_by_decision(decision_id)? else { return Ok(Vec::new()) };
            if state.redacted.is_some() || is_open(&state) {
                return Ok(Vec::new());
            }
            let sequences = tx.records_of(decision_id, state.sequence)?;
            tx.scrub_row(row)?;
            for sequence in &sequences {
                tx.drop_payload(*sequence)?;
            }
            let (reason, by, how) = ("asked for".into(), "local:ada".into(), How::UnixPeer);
            let event = Event::DecisionRedacted { decision_id, sequences: sequences.clone(), reason, by, how };
            tx.append(at, &event)?;
            Ok(vec![Done::Redacted { decision: decision_id, sequences }])
        })
    }

    /// Ends all open approvals and retires all whole tiles. Does nothing if there are none.
    fn retire(&mut self, reader: &Reader) -> Result<Vec<Job>, StoreError> {
        let first = reader.retired()? + 1;
        let last = reader.last_sequence()? / TILE_WIDTH * TILE_WIDTH;
        if first > last {
            return Ok(Vec::new());
        }
        let open = reader.pending()?;
        let mut jobs: Vec<_> =
            open.into_iter().map(|(approval, row)| self.end(row.decision.decision_id, approval)).collect();
        let (at, root) = (self.moment(), reader.tree_root(last)?);
        jobs.push(Box::new(move |tx| {
            if tx.retired()? + 1 != first || !tx.may_retire(first..=last, at, is_open)? {
                return Ok(Vec::new());
            }
            let count = tx.retire(first..=last)?.count;
            if count > 0 {
                tx.append(at, &Event::RecordsRetired { first, last, count, root, before: at, passed: vec![] })?;
            }
            Ok(vec![Done::Retired { last }])
        }));
        Ok(jobs)
    }
}

fn signing_key(seed: [u8; 32]) -> SigningKey {
    SigningKey::from_seed(ORIGIN, seed).expect("a name that a log can have")
}

fn is_open(state: &RowState) -> bool {
    state.outcome_now() == Outcome::Escalate
}

/// Takes a snapshot while the writer is idle. A snapshot that is open during a write changes which pages the writer
/// uses, and so the tape.
async fn idle(store: &Standalone) -> Result<Reader, StoreError> {
    store.transact(|_| Ok(())).await?;
    store.read()
}

/// Runs the jobs in one batch, in this order. Returns the number of disk operations after which the batch was durable,
/// and what was done.
async fn together(store: &Standalone, disk: &Disk, jobs: Vec<Job>) -> Result<(usize, Vec<Done>), StoreError> {
    // Hold the writer until all jobs are queued.
    let (entered, begun) = tokio::sync::oneshot::channel();
    let (release, held) = mpsc::channel::<()>();
    let (steps, noted) = (Arc::new(AtomicUsize::new(0)), disk.clone());
    let gate = tokio::spawn({
        let (store, steps) = (store.clone(), Arc::clone(&steps));
        async move {
            let job = move |tx: &mut Tx<'_>| {
                tx.after_commit(move || steps.store(noted.steps(), Ordering::SeqCst));
                // If the store has failed, nobody waits for this.
                let _ = entered.send(());
                // Ends when `release` is dropped.
                let _ = held.recv();
                Ok(Vec::new())
            };
            store.transact(job).await
        }
    });
    // If the gate was refused, this is an error; the call below reports it.
    let _ = begun.await;
    let mut calls = vec![gate];
    for job in jobs {
        let store = store.clone();
        calls.push(tokio::spawn(async move { store.transact(job).await }));
        // A call yields once before it is queued, and calls that have yielded continue in any order.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
    }
    drop(release);
    let mut done = Vec::new();
    for call in calls {
        done.extend(call.await.expect("a call does not panic")?);
    }
    Ok((steps.load(Ordering::SeqCst), done))
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

/// The first ledger entry that the store lacks or has changed; `None` if it has them all. For a redacted decision only
/// its row is left to compare. [`Reader::check`] has found the record of the redaction.
pub(crate) fn lost(reader: &Reader, ledger: &[Done]) -> Result<Option<String>, StoreError> {
    let mut tokens = reader.tokens()?;
    tokens.sort_by_key(|token| token.token_id);
    let has_token = |id: TokenId| tokens.binary_search_by_key(&id, |token| token.token_id).is_ok();
    let (log, size) = (reader.log()?, reader.last_sequence()?);
    let root = reader.tree_root(size)?;
    for (place, done) in ledger.iter().enumerate() {
        let there = match done {
            Done::Decided { row, record_id, record } => reader.row(*row)?.is_some_and(|found| {
                found.record_id == *record_id && (found.decision == **record || found.state.redacted.is_some())
            }),
            Done::Ended { decision, ending } => state(reader, *decision)?.is_some_and(|state| {
                let redacted = state.redacted.is_some();
                let found: Option<Ending> = state.approval.and_then(|approval| approval.state.into());
                found.is_some_and(|found| {
                    found == *ending || redacted && (found.kind, found.at) == (ending.kind, ending.at)
                })
            }),
            Done::Confirmed { decision, by } => state(reader, *decision)?.is_some_and(|state| {
                state.confirmation.is_some_and(|it| it.closed == Some(ConfirmationClosed::Redeemed(*by)))
            }),
            Done::Reported { decision, report } => {
                state(reader, *decision)?.is_some_and(|state| state.result.as_ref() == Some(report))
            }
            Done::PolicyKept { revision } => reader.policy(*revision)?.is_some(),
            Done::TokenRevoked { token } => !has_token(*token),
            Done::Redacted { decision, sequences } => {
                let mut gone = state(reader, *decision)?.is_some_and(|state| state.redacted.is_some());
                for sequence in sequences {
                    gone &= reader.records(sequence - 1, 1)?.first().is_some_and(|record| record.record().is_none());
                }
                gone
            }
            Done::Retired { last } => reader.retired()? >= *last,
            Done::KeyNamed(key) => log.as_ref().is_some_and(|log| log.keys.contains(key)),
            Done::Signed(signed) => {
                let old = &signed.checkpoint;
                let key = log.as_ref().and_then(|log| log.key_at(old.size)).cloned();
                let is_signed = key.is_some_and(|key| signed.note.verify(&[key]).is_ok());
                is_signed && old.size <= size && {
                    let proof = reader.consistency_proof(old.size, size)?;
                    verify_consistency(old.size, &old.root, size, &root, &proof).is_ok()
                }
            }
        };
        if !there {
            return Ok(Some(format!("entry {place} of {}: {done:?}", ledger.len())));
        }
    }
    Ok(None)
}

fn state(reader: &Reader, decision: DecisionId) -> Result<Option<RowState>, StoreError> {
    Ok(reader.by_decision(decision)?.map(|row| row.state))
}
