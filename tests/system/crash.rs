//! Killed under load: what was acknowledged is there, whole, once, and every hash is right.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use aegis::audit::checkpoint::SignedCheckpoint;
use aegis::audit::log::{LogIdentity, LogKey};
use aegis::audit::merkle::{Frontier, verify_consistency};
use aegis::domain::Digest;
use aegis::proto::v1::admin_service_client::AdminServiceClient;
use aegis::proto::v1::audit_service_client::AuditServiceClient;
use aegis::proto::v1::{self, Outcome, ResultStatus};
use tokio::sync::watch;
use tonic::transport::Channel;

use crate::harness::{Agent, Daemon, Ledger, Reviewer, Setup, ask, long, no, pending, propose, report, whole_log, yes};

const LOAD: &str = "
rules:
  - {name: pay, match: {type: pay}, approval: approve}
  - {name: reads, match: {type: read}, risk_level: low, approval: auto}
  - {name: deletes, match: {type: delete}, risk_level: critical, approval: block}
";

/// How many clients propose, decide and report at once.
const CLIENTS: usize = 64;

/// What the clients of one round share.
#[derive(Clone)]
struct Round {
    ledger: Arc<Mutex<Ledger>>,
    entries: watch::Sender<usize>,
    /// From here on a call may fail: the daemon is being killed.
    ending: Arc<AtomicBool>,
}

impl Round {
    fn new(ledger: &Arc<Mutex<Ledger>>) -> Self {
        Self { ledger: Arc::clone(ledger), entries: watch::Sender::new(0), ending: Arc::default() }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("the ledger is whole")
    }

    fn note(&self, note: impl FnOnce(&mut Ledger)) {
        note(&mut self.ledger());
        self.entries.send_modify(|entries| *entries += 1);
    }

    /// Passes on an answer; fails where a call failed although nobody had killed the daemon.
    fn answer<T>(&self, answer: Result<tonic::Response<T>, tonic::Status>) -> Option<T> {
        match answer {
            Ok(answer) => Some(answer.into_inner()),
            Err(status) => {
                assert!(self.ending.load(Ordering::Acquire), "failed while the daemon ran: {status:?}");
                None
            }
        }
    }

    /// Asks for a checkpoint whenever there is news, until the daemon is gone.
    async fn auditor(self, mut auditor: AuditServiceClient<Channel>) {
        let mut entries = self.entries.subscribe();
        while let Some(answer) = self.answer(auditor.get_checkpoint(v1::GetCheckpointRequest {}).await) {
            self.ledger().checkpoints.insert(answer.checkpoint);
            entries.changed().await.expect("this round has the other end");
        }
    }

    /// Replaces the key that signs checkpoints, so late that it may be when the daemon is killed.
    async fn admin(self, mut admin: AdminServiceClient<Channel>, at: usize) {
        let mut entries = self.entries.subscribe();
        entries.wait_for(|entries| *entries >= at).await.expect("this round has the other end");
        self.answer(admin.rotate_log_key(v1::RotateLogKeyRequest::default()).await);
    }

    /// Proposes, decides and reports until the daemon is gone.
    async fn client(self, name: String, mut agent: Agent, mut reviewer: Reviewer) {
        for n in 0.. {
            let r#type = ["pay", "read", "pay", "delete"][n % 4];
            let target = format!("{name}, {n}");
            let request =
                v1::ProposeRequest { idempotency_key: format!("the key of {target}"), ..propose(r#type, &target) };
            let Some(answer) = self.answer(agent.propose(request.clone()).await) else {
                self.ledger().in_doubt.push(request);
                return;
            };
            let decision = answer.decision.expect("an answer has a decision");
            self.note(|ledger| ledger.decisions.push(decision.clone()));
            let allows = match decision.outcome() {
                Outcome::Escalate => {
                    let reason = format!("because of {target}");
                    // Two reviewers at once, who do not agree: one is first, and the other is told so.
                    let mut other = reviewer.clone();
                    let (said_yes, said_no) =
                        tokio::join!(reviewer.approve(yes(&decision, &reason)), other.deny(no(&decision, &reason)));
                    let (allows, is_recorded) = match (said_yes, said_no) {
                        (Ok(_), Ok(_)) => panic!("{} ended twice", decision.approval_id),
                        (Ok(_), Err(_)) => (true, true),
                        // A denial that waited too long for the disk holds in memory, and says so: a kill forgets it.
                        (Err(_), Ok(denied)) => (false, !denied.get_ref().unrecorded),
                        (Err(status), Err(_)) => {
                            assert!(self.ending.load(Ordering::Acquire), "failed while the daemon ran: {status:?}");
                            return;
                        }
                    };
                    if is_recorded {
                        self.note(|ledger| drop(ledger.endings.insert(decision.approval_id.clone(), (allows, reason))));
                    }
                    allows
                }
                outcome => outcome == Outcome::Allow,
            };
            if allows {
                let status = if n % 2 == 0 { ResultStatus::Success } else { ResultStatus::Failed };
                let decision_id = decision.decision_id.clone();
                let report = report(&decision_id, status);
                let Some(answer) = self.answer(agent.report_result(report).await) else { return };
                self.note(|ledger| ledger.reports.push((decision_id, status, answer.audit_ref)));
            }
        }
    }
}

/// One store's life: so many kills, each under load, and after each everything is checked.
async fn life(life: usize, kills: usize) -> Tally {
    let ledger: Arc<Mutex<Ledger>> = Arc::default();
    let mut daemon = Setup::new().policy(LOAD).start();
    let mut before = Before::default();
    for kill in 0..kills {
        let round = Round::new(&ledger);
        let mut clients = Vec::new();
        let (agents, reviewers) = (daemon.agent().await, daemon.reviewer().await);
        for client in 0..CLIENTS {
            // A connection for every eighth of them: they are what takes long, not the kill.
            let (agent, reviewer) = if client % 8 == 0 {
                (daemon.agent().await, daemon.reviewer().await)
            } else {
                (agents.clone(), reviewers.clone())
            };
            let name = format!("life {life}, round {kill}, client {client}");
            clients.push(tokio::spawn(round.clone().client(name, agent, reviewer)));
        }
        // Killed in the middle of the work, each time elsewhere.
        let enough = 40 + (life * 31 + kill) * 97 % 260;
        clients.push(tokio::spawn(round.clone().auditor(daemon.auditor().await)));
        clients.push(tokio::spawn(round.clone().admin(daemon.administration().await, enough - kill % 8)));
        round.entries.subscribe().wait_for(|entries| *entries >= enough).await.unwrap();
        round.ending.store(true, Ordering::Release);
        daemon.kill();
        // Whoever waits for news hears of this.
        round.entries.send_modify(|_| ());
        for client in clients {
            client.await.unwrap();
        }
        daemon = daemon.restart();
        before = check(&daemon, &round.ledger, before).await;

        // Who was left in doubt asks again with the same key, and has one decision then.
        let in_doubt = std::mem::take(&mut round.ledger().in_doubt);
        let mut agent = daemon.agent().await;
        for request in in_doubt {
            let decision = ask(&mut agent, request).await;
            round.ledger().decisions.push(decision);
        }
    }
    let Before { checkpoints, .. } = check(&daemon, &ledger, before).await;
    let newest = Newest::of(&daemon).await;
    for checkpoint in &checkpoints {
        newest.contains(checkpoint).await;
    }
    let entries = ledger.lock().unwrap().entries();
    Tally { kills, entries, checkpoints: checkpoints.len(), rotations: newest.log.keys.len() - 1 }
}

/// What was seen of a store before it was killed, to be held against what is there afterwards.
#[derive(Default)]
struct Before {
    /// The leaves of the log.
    leaves: Vec<Vec<u8>>,
    /// Every checkpoint that was ever given to anybody.
    checkpoints: Vec<SignedCheckpoint>,
}

/// The newest checkpoint of a daemon, and whom it can be held against.
struct Newest {
    checkpoint: SignedCheckpoint,
    log: LogIdentity,
    auditor: AuditServiceClient<Channel>,
}

impl Newest {
    async fn of(daemon: &Daemon) -> Self {
        let mut auditor = daemon.auditor().await;
        let answer = auditor.get_checkpoint(v1::GetCheckpointRequest {}).await.expect("it can be had").into_inner();
        let key = |key: v1::LogKey| LogKey {
            sequence: key.sequence,
            key: key.verifier_key.parse().expect("a key in the form of signed notes"),
        };
        let log = LogIdentity { origin: answer.origin, keys: answer.keys.into_iter().map(key).collect() };
        let newest =
            Self { checkpoint: SignedCheckpoint::parse(&answer.checkpoint).expect("a checkpoint"), log, auditor };
        newest.is_signed(&newest.checkpoint);
        newest
    }

    /// By the key that was in force at its size.
    fn is_signed(&self, signed: &SignedCheckpoint) {
        assert_eq!(signed.checkpoint.origin, self.log.origin);
        let key = self.log.key_at(signed.checkpoint.size).expect("the log has a key").clone();
        signed.note.verify(&[key]).unwrap_or_else(|error| panic!("{error}: {signed}"));
    }

    /// What an earlier checkpoint says is the beginning of what this one says.
    async fn contains(&self, earlier: &SignedCheckpoint) {
        self.is_signed(earlier);
        let (old, new) = (&earlier.checkpoint, &self.checkpoint.checkpoint);
        assert!(old.size <= new.size, "the record has lost what was signed: {old} {new}");
        let request = v1::GetConsistencyProofRequest { first_tree_size: old.size, second_tree_size: Some(new.size) };
        let proof = self.auditor.clone().get_consistency_proof(request).await.expect("it can be proved").into_inner();
        let hashes = proof.hashes.into_iter().map(|hash| Digest(hash.try_into().expect("a hash")));
        let hashes: Vec<_> = hashes.collect();
        verify_consistency(old.size, &old.root, new.size, &new.root, &hashes)
            .unwrap_or_else(|error| panic!("{error}: {old} {new}"));
    }
}

/// Everything that must hold after a kill. Whatever else a daemon hands out that must stay true belongs here, and what
/// it is held against later into [`Before`].
async fn check(daemon: &Daemon, ledger: &Mutex<Ledger>, before: Before) -> Before {
    let newest = Newest::of(daemon).await;
    let after = whole_log(daemon).await;
    let Before { leaves, mut checkpoints } = before;
    let unchanged = leaves.iter().eq(after.iter().take(leaves.len()).map(|record| &record.leaf));
    assert!(unchanged, "what was read before the crash is still there, byte for byte");
    let mut tree = Frontier::default();
    let signed = usize::try_from(newest.checkpoint.checkpoint.size).expect("a number of records");
    for record in &after[..signed] {
        tree.push(Digest(record.leaf.as_slice().try_into().expect("a hash")));
    }
    assert_eq!(tree.root(), newest.checkpoint.checkpoint.root, "what is signed is what is read");
    let given = std::mem::take(&mut ledger.lock().expect("the ledger is whole").checkpoints);
    for checkpoint in given {
        let checkpoint = SignedCheckpoint::parse(&checkpoint).expect("a checkpoint");
        newest.contains(&checkpoint).await;
        checkpoints.push(checkpoint);
    }
    checkpoints.push(newest.checkpoint);
    ledger.lock().expect("the ledger is whole").check(&after);

    let asked = after.iter().filter(|record| record.is("approval_requested")).map(|record| record.text("/approval_id"));
    let ended: BTreeSet<_> =
        after.iter().filter(|record| record.is("approval_ended")).map(|record| record.text("/approval_id")).collect();
    let open: BTreeSet<_> = asked.filter(|id| !ended.contains(id)).map(str::to_owned).collect();
    let shown = pending(&mut daemon.reviewer().await).await;
    assert!(shown.into_iter().map(|approval| approval.approval_id).eq(open), "who is shown is who is open");
    Before { leaves: after.into_iter().map(|record| record.leaf).collect(), checkpoints }
}

/// How much was done.
struct Tally {
    kills: usize,
    entries: usize,
    checkpoints: usize,
    /// Keys that replaced another.
    rotations: usize,
}

/// How many kills the environment asks for, where it does.
fn kills_or(default: usize) -> usize {
    std::env::var("AEGIS_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_killed_under_load_has_everything_that_it_acknowledged_on_the_record() {
    let kills = kills_or(if long() { 1000 } else { 30 });
    // The whole log is read after each kill: a store that lived for all of them would be read for most of the time.
    let a_life = 25.min(kills.div_ceil(2));
    let began = std::time::Instant::now();
    let mut total = Tally { kills: 0, entries: 0, checkpoints: 0, rotations: 0 };
    for number in 0..kills.div_ceil(a_life) {
        let tally = life(number, a_life.min(kills - total.kills)).await;
        total = Tally {
            kills: total.kills + tally.kills,
            entries: total.entries + tally.entries,
            checkpoints: total.checkpoints + tally.checkpoints,
            rotations: total.rotations + tally.rotations,
        };
        // After each life: whoever cuts a long run short knows how much was checked.
        println!(
            "kill -9: {} kills under {CLIENTS} clients, {} acknowledgements, none lost, no approval ended twice; {} \
             checkpoints of {} keys, all consistent; {:.0} s",
            total.kills,
            total.entries,
            total.checkpoints,
            // Each life has one to begin with.
            total.rotations + number + 1,
            began.elapsed().as_secs_f64()
        );
    }
    assert!(total.entries >= 40 * kills && total.checkpoints > kills);
}
