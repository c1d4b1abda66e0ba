//! Those who must be served whatever an agent does: a caller with a credential, and a reviewer at `aegis.sock`.
//!
//! No test asserts a time. What is asserted is a ratio in one run: the 99th percentile beside an attack against that of
//! the same callers before it, in the long run only: other tests are noise. Of several windows beside the attack the
//! best one counts, because the machine does other things as well.

use std::time::{Duration, Instant};

use aegis::proto::v1;
use aegis::proto::v1::governance_service_client::GovernanceServiceClient;
use tokio::sync::{Mutex, MutexGuard};

use crate::cage::{Cage, MEMORY, peak_mib};
use crate::harness::{Daemon, Setup, ask, long, pending, propose, with_token, yes};

/// How much longer an honest caller may wait beside an attack.
const RATIO: u32 = 5;
/// Calls of each kind in a window beside an attack, and in one that is not compared.
const CALLS: usize = 120;
const FEW_CALLS: usize = 40;

/// What the honest may do without anybody's leave, and what is asked.
pub(crate) const RULES: &str = "
rules:
  - {name: reads, match: {type: read}, risk_level: low, approval: auto}
  - {name: pay, match: {type: pay}, approval: approve, timeout: 1h}
";

/// A confined daemon, and the honest who use it.
pub(crate) struct Served {
    pub(crate) daemon: Daemon,
    pub(crate) cage: Cage,
    quiet: Waits,
    secret: String,
    /// One measurement at a time: two would be each other's noise.
    alone: MutexGuard<'static, ()>,
}

/// The 99th percentile of what each kind of caller waited.
#[derive(Clone, Copy, Debug)]
struct Waits {
    caller: Duration,
    reviewer: Duration,
}

impl Served {
    /// A daemon in a cage, with its real limits, and what the honest wait while nobody attacks.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        static ONE: Mutex<()> = Mutex::const_new(());
        let alone = ONE.lock().await;
        raise_own_limit();
        let cage = Cage::new();
        let daemon = cage.around(Setup::new().policy(RULES).args(&["--admin-listen", "127.0.0.1:0"]).args(arguments));
        let daemon = daemon.start();
        let (secret, _) = daemon.token("honest", &[v1::Role::Agent]).await;
        let none = Waits { caller: Duration::ZERO, reviewer: Duration::ZERO };
        let mut served = Self { daemon, cage, quiet: none, secret, alone };
        // The first window warms up. Two more are compared with in the long run.
        served.window(FEW_CALLS).await;
        let calls = if long() { CALLS } else { FEW_CALLS };
        let (a, b) = (served.window(calls).await, served.window(calls).await);
        served.quiet = Waits { caller: a.caller.max(b.caller), reviewer: a.reviewer.max(b.reviewer) };
        served
    }

    /// What the honest wait now. Each of their calls must be answered, each on new connections.
    async fn window(&self, calls: usize) -> Waits {
        let mut caller = GovernanceServiceClient::new(with_token(self.daemon.tcp().await, &self.secret));
        let mut reviewer = self.daemon.reviewer().await;
        let (mut of_caller, mut of_reviewer) = (Vec::new(), Vec::new());
        for n in 0..calls {
            let started = Instant::now();
            let answer = caller.propose(propose("read", &n.to_string())).await;
            of_caller.push(started.elapsed());
            let decision = answer.expect("an honest caller is answered").into_inner().decision.unwrap();
            assert_eq!(decision.outcome(), v1::Outcome::Allow);
            let started = Instant::now();
            // Of one session: what a page takes must not depend on what the attacker asks for.
            let filter = Some(v1::ApprovalFilter { session_id: "quiet".into(), ..v1::ApprovalFilter::default() });
            let request = v1::ListApprovalsRequest { filter, ..v1::ListApprovalsRequest::default() };
            reviewer.list_approvals(request).await.expect("a reviewer is answered");
            of_reviewer.push(started.elapsed());
        }
        Waits { caller: p99(of_caller), reviewer: p99(of_reviewer) }
    }

    /// The honest are served beside the attack that runs now, and it has not taken too much memory.
    pub(crate) async fn holds(&self, attack: &str) {
        let windows = if long() { 20 } else { 1 };
        let (mut best_caller, mut best_reviewer) = (Duration::MAX, Duration::MAX);
        for _ in 0..windows {
            let Waits { caller, reviewer } = self.window(CALLS).await;
            (best_caller, best_reviewer) = (best_caller.min(caller), best_reviewer.min(reviewer));
        }
        let ratio = |now: Duration, quiet: Duration| now.as_secs_f64() / quiet.as_secs_f64();
        let (caller, reviewer) = (ratio(best_caller, self.quiet.caller), ratio(best_reviewer, self.quiet.reviewer));
        println!(
            "{attack}: peak {} MiB, p99 of a caller {caller:.1}x (quiet {:?}), of a reviewer {reviewer:.1}x (quiet \
             {:?})",
            peak_mib(&self.daemon),
            self.quiet.caller,
            self.quiet.reviewer,
        );
        // Beside other tests and other machines' work a time shows little. The long run has the machine for itself.
        if long() {
            assert!(caller <= f64::from(RATIO), "{attack}: an honest caller waits {caller:.1} times as long");
            assert!(reviewer <= f64::from(RATIO), "{attack}: a reviewer waits {reviewer:.1} times as long");
        }
        self.lives(attack);
    }

    /// The daemon lives, and within its memory.
    pub(crate) fn lives(&self, attack: &str) {
        assert_eq!(self.cage.killed(), 0, "{attack}: the kernel ended the daemon for want of memory");
        let peak = peak_mib(&self.daemon);
        assert!(peak < MEMORY >> 20, "{attack}: {peak} MiB");
        assert!(!self.daemon.log().contains("panicked"), "{}", self.daemon.log());
    }

    /// It starts again in the same cage on what the attack left, and everybody is served.
    pub(crate) async fn starts_again(self, attack: &str) -> Self {
        let Self { daemon, cage, quiet, secret, alone } = self;
        let daemon = cage.again(daemon);
        let served = Self { daemon, cage, quiet, secret, alone };
        let mut reviewer = served.daemon.reviewer().await;
        pending(&mut reviewer).await;
        served.window(FEW_CALLS).await;
        served.lives(&format!("{attack}, after a restart"));
        println!("{attack}, after a restart: peak {} MiB", peak_mib(&served.daemon));
        served
    }

    /// A question of the honest caller reaches the reviewer and is answered.
    pub(crate) async fn is_reviewed(&self) {
        let mut caller = GovernanceServiceClient::new(with_token(self.daemon.tcp().await, &self.secret));
        let asked = caller.propose(propose("pay", "honest")).await.expect("it finds a place").into_inner();
        let asked = asked.decision.unwrap();
        assert_eq!(asked.outcome(), v1::Outcome::Escalate);
        let mut reviewer = self.daemon.reviewer().await;
        reviewer.approve(yes(&asked, "")).await.expect("a reviewer decides");
    }

    /// An agent without a credential is still answered.
    pub(crate) async fn answers_agents(&self) {
        let mut agent = self.daemon.agent().await;
        assert_eq!(ask(&mut agent, propose("read", "crm")).await.outcome(), v1::Outcome::Allow);
    }
}

fn p99(mut waits: Vec<Duration>) -> Duration {
    waits.sort_unstable();
    waits[waits.len() * 99 / 100 - 1]
}

/// Lets this process open as many files as it may.
pub(crate) fn raise_own_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("up to the hard limit");
}
