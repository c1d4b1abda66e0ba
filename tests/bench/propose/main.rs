//! The daemon under load, compared with a minimal tonic server, in one run.
//!
//! The release binary and a bare echo server run in separate processes and take turns with the same client. Ratios
//! count; absolute figures hold for this machine and this day. Each durable run is between two probes of the disk. The
//! same is measured with the record on `/dev/shm`, where only the processor limits the speed.
//!
//! `cargo bench --bench propose` takes about a minute. `AEGIS_BENCH_LONG=1` adds and lengthens rounds. `-- throughput`
//! or `-- memory` measures only that. `AEGIS_BENCH_BINARY` names another build of the daemon to measure.

#![expect(clippy::cast_precision_loss, reason = "nothing counted here comes near 2^53")]

mod disk;
mod echo;
mod load;
mod memory;
mod process;
mod raw;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aegis::proto::v1;
use prost::Message as _;
use tonic::transport::Channel;

use disk::{Pace, Probe};
use load::{Call, Run, median};
use process::{Process, Transport};

/// A directory whose files are in memory.
const MEMORY: &str = "/dev/shm";

fn main() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("echo") {
        let (socket, bytes) = (arguments.next().expect("SOCKET"), arguments.next().expect("BYTES"));
        return echo::serve(Path::new(&socket), bytes.parse().expect("a number"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let wanted = |part| only.as_deref().is_none_or(|only| only == part);
    runtime.block_on(async {
        if wanted("throughput") {
            throughput().await;
        }
        if wanted("memory") {
            memory::report().await;
        }
    });
    let bytes = std::fs::metadata(process::binary()).expect("the binary is there").len();
    goal("the binary, stripped, MiB", bytes as f64 / f64::from(1 << 20), "<=", 15.0);
}

/// The number of rounds, and the time of each measurement.
fn plan() -> (usize, Duration) {
    if std::env::var_os("AEGIS_BENCH_LONG").is_some() {
        (9, Duration::from_secs(2))
    } else {
        (3, Duration::from_millis(500))
    }
}

/// A policy of a hundred rules, of which the last one matches.
fn policy() -> String {
    let mut policy = "rules:\n".to_owned();
    for rule in 0..99 {
        // Writing to a String cannot fail.
        let _ = writeln!(policy, "  - {{match: {{type: 'delete_{rule}*', target: 'crm/*'}}, approval: block}}");
    }
    policy + "  - {name: reads, match: {type: 'read_*'}, risk_level: low, approval: auto}\n"
}

fn actor() -> v1::Actor {
    v1::Actor { id: "agent-7".into(), r#type: "ai-agent".into() }
}

fn action(r#type: &str) -> v1::Action {
    let number = prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(150.0)) };
    let text = prost_types::Value { kind: Some(prost_types::value::Kind::StringValue("customers".into())) };
    let params = prost_types::Struct { fields: [("count".into(), number), ("table".into(), text)].into() };
    let description = "reads what changed since yesterday".into();
    v1::Action { r#type: r#type.into(), target: "crm/accounts".into(), params: Some(params), description }
}

fn propose(r#type: &str) -> Call {
    let context = Some(v1::ProposalContext { session_id: "session-42".into(), metadata: None });
    let (actor, action) = (Some(actor()), Some(action(r#type)));
    Call::new("Propose", &v1::ProposeRequest { actor, action, context, ..v1::ProposeRequest::default() })
}

fn evaluate() -> Call {
    let items = vec![v1::EvaluateItem { actor: Some(actor()), action: Some(action("read_rows")) }];
    Call::new("Evaluate", &v1::EvaluateRequest { items, ..v1::EvaluateRequest::default() })
}

/// A server, the call to it, and the results.
struct Subject {
    name: &'static str,
    process: usize,
    call: Call,
    /// Whether each run is between two probes of the disk.
    is_durable: bool,
    /// One entry for each transport.
    results: [Results; 2],
}

/// One entry for each round.
#[derive(Clone, Default)]
struct Results {
    alone: Vec<f64>,
    per_second: Vec<f64>,
    p50: Vec<f64>,
    cpu: Vec<f64>,
    raw_sync: Vec<f64>,
    lone_commit: Vec<f64>,
}

impl Subject {
    fn new(name: &'static str, process: usize, call: Call, is_durable: bool) -> Self {
        Self { name, process, call, is_durable, results: Default::default() }
    }

    async fn measure(&mut self, server: &Process, channel: &Channel, transport: Transport, probe: &mut Probe) {
        let (_, duration) = plan();
        let before = self.is_durable.then(|| probe.take());
        let alone = load::run(channel, &self.call, 1, duration).await;
        let between = self.is_durable.then(|| probe.take());
        let cpu = server.cpu();
        let Run { per_second, p50 } = load::run(channel, &self.call, 64, duration).await;
        let results = &mut self.results[transport as usize];
        results.alone.push(alone.p50);
        results.per_second.push(per_second);
        results.p50.push(p50);
        let cpu = server.cpu().saturating_sub(cpu);
        results.cpu.push(cpu.as_secs_f64() * 1e6 / (per_second * duration.as_secs_f64()));
        for Pace { raw, commit } in before.into_iter().chain(between) {
            results.raw_sync.push(raw);
            results.lone_commit.push(commit);
        }
    }
}

const TRANSPORTS: [Transport; 2] = [Transport::Unix, Transport::Tcp];

async fn throughput() {
    let disk = std::env::temp_dir();
    let memory = PathBuf::from(MEMORY);
    let on_memory = if memory.is_dir() { &memory } else { &disk };
    let durable = Process::daemon(&disk, &policy(), &[]);
    let relaxed = Process::daemon(&disk, &policy(), &["--durability", "relaxed"]);
    let in_memory = Process::daemon(on_memory, &policy(), &[]);

    let answer = propose("read_rows").once(&durable.connect(Transport::Unix).await).await.expect("an answer");
    let answered = v1::ProposeResponse::decode(answer.clone()).expect("an answer").decision.expect("a decision");
    assert_eq!(answered.outcome(), v1::Outcome::Allow);
    let servers = [Process::echo(answer.len()), durable, relaxed, in_memory];

    let mut subjects = [
        Subject::new("echo", 0, propose("read_rows"), false),
        Subject::new("Evaluate", 1, evaluate(), false),
        Subject::new("Propose, relaxed", 2, propose("read_rows"), false),
        Subject::new("Propose, durable", 1, propose("read_rows"), true),
        Subject::new("Propose, on /dev/shm", 3, propose("read_rows"), false),
    ];
    let mut probe = Probe::new(Path::new(&disk));
    let (rounds, duration) = plan();
    println!(
        "{rounds} rounds of {duration:?} each, medians; answers of {} bytes, 100 rules; one connection, unix socket \
         and TCP\n",
        answer.len()
    );
    let mut channels = Vec::new();
    for server in &servers {
        channels.push([server.connect(Transport::Unix).await, server.connect(Transport::Tcp).await]);
    }
    for subject in &subjects {
        for channel in &channels[subject.process] {
            load::run(channel, &subject.call, 64, Duration::from_millis(100)).await;
        }
    }
    for _ in 0..rounds {
        for transport in TRANSPORTS {
            for subject in &mut subjects {
                let (server, channel) = (&servers[subject.process], &channels[subject.process][transport as usize]);
                subject.measure(server, channel, transport, &mut probe).await;
            }
        }
    }
    print(&subjects);
}

/// The medians of a subject over its rounds.
struct Summary {
    alone: f64,
    per_second: f64,
    p50: f64,
    cpu: f64,
}

impl Results {
    fn summary(&self) -> Summary {
        let middle = |values: &[f64]| median(&mut values.to_vec());
        let Self { alone, per_second, p50, cpu, .. } = self;
        Summary { alone: middle(alone), per_second: middle(per_second), p50: middle(p50), cpu: middle(cpu) }
    }
}

fn print(subjects: &[Subject]) {
    for transport in TRANSPORTS {
        let [echo, evaluate, relaxed, durable, in_memory] =
            [0, 1, 2, 3, 4].map(|i: usize| subjects[i].results[transport as usize].summary());
        println!("{transport:?}: 1 in flight, then 64 in flight; in brackets the ratio to the echo");
        println!(
            "{:<22} {:>18} {:>20} {:>18} {:>17}",
            "", "1: p50 us", "64: requests/s", "64: p50 us", "us CPU/request"
        );
        for (subject, it) in subjects.iter().zip([&echo, &evaluate, &relaxed, &durable, &in_memory]) {
            println!(
                "{:<22} {:>10.0} ({:>5.2}) {:>12.0} ({:>5.2}) {:>10.0} ({:>5.2}) {:>9.1} ({:>5.2})",
                subject.name,
                it.alone,
                it.alone / echo.alone,
                it.per_second,
                it.per_second / echo.per_second,
                it.p50,
                it.p50 / echo.p50,
                it.cpu,
                it.cpu / echo.cpu
            );
        }
        let Results { raw_sync, lone_commit, .. } = &subjects[3].results[transport as usize];
        let (raw_sync, lone_commit) = (spread(raw_sync), spread(lone_commit));
        println!(
            "the disk meanwhile: fdatasync {raw_sync}, lone commit of redb {lone_commit} (us: median, least-most)"
        );
        let lone = echo.alone + median(&mut subjects[3].results[transport as usize].lone_commit.clone());
        goal("Evaluate, 64 in flight, of echo", evaluate.per_second / echo.per_second, ">=", 0.85);
        goal("Propose relaxed, 64 in flight, of echo", relaxed.per_second / echo.per_second, ">=", 0.90);
        goal("Propose durable, 64 in flight, of echo", durable.per_second / echo.per_second, ">=", 0.70);
        goal("Propose durable, 64 in flight, p50 of echo's", durable.p50 / echo.p50, "<=", 1.6);
        goal("Propose durable, alone, p50 of echo + lone commit", durable.alone / lone, "<=", 1.3);
        println!();
    }
}

fn spread(values: &[f64]) -> String {
    let mut values = values.to_vec();
    let middle = median(&mut values);
    let (least, most) = (values.first().copied().unwrap_or_default(), values.last().copied().unwrap_or_default());
    format!("{middle:.0}, {least:.0}-{most:.0}")
}

/// Prints a goal and whether it was met. It is no assertion, because the machine may be busy.
pub(crate) fn goal(what: &str, value: f64, relation: &str, goal: f64) {
    let is_met = if relation == ">=" { value >= goal } else { value <= goal };
    println!("  {what:<52} {value:>6.2}  goal {relation} {goal:<5} {}", if is_met { "met" } else { "NOT MET" });
}
