//! The daemon under load, compared with a minimal tonic server, in one run.
//!
//! The release binary and a bare echo server run in separate processes and take turns with the same client. Ratios
//! count; absolute figures hold for this machine and this day. Each durable run is between two probes of the disk. The
//! same is measured with the record on `/dev/shm`, where only the processor limits the speed. A mean over lone calls
//! has its share of the database's own commits, which a median hides.
//!
//! `cargo bench --bench propose` takes about a minute. `AEGIS_BENCH_LONG=1` adds rounds, and makes them of 10,000 lone
//! calls, which reach several commits of the database. `-- throughput` or `-- memory` measures only that.
//! `AEGIS_BENCH_BINARY` names another build of the daemon to measure.

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
    goal("the binary, stripped, MiB", &[bytes as f64 / f64::from(1 << 20)], "<=", 20.0);
}

/// How many decisions a second make the steady load.
const PACE: u32 = 5_000;

/// How much is measured.
struct Plan {
    rounds: usize,
    /// The time of each measurement with many in flight.
    duration: Duration,
    /// The number of lone calls in each round.
    lone: u32,
}

fn plan() -> Plan {
    if std::env::var_os("AEGIS_BENCH_LONG").is_some() {
        Plan { rounds: 5, duration: Duration::from_secs(2), lone: 10_000 }
    } else {
        Plan { rounds: 3, duration: Duration::from_millis(500), lone: 1_000 }
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
    /// The mean over lone calls, in microseconds.
    alone: Vec<f64>,
    alone_p50: Vec<f64>,
    /// Microseconds of the processor for each lone call.
    alone_cpu: Vec<f64>,
    /// Syncs and bytes written for each lone call.
    alone_syncs: Vec<f64>,
    alone_bytes: Vec<f64>,
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
        let Plan { duration, lone, .. } = plan();
        let before = self.is_durable.then(|| probe.take());
        let (cpu, used) = (server.cpu(), server.disk_use());
        let alone = load::lone(channel, &self.call, lone).await;
        let (alone_cpu, alone_used) = (server.cpu().saturating_sub(cpu), server.disk_use());
        let between = self.is_durable.then(|| probe.take());
        let cpu = server.cpu();
        let Run { per_second, p50, .. } = load::run(channel, &self.call, 64, duration).await;
        let results = &mut self.results[transport as usize];
        results.alone.push(alone.mean);
        results.alone_p50.push(alone.p50);
        results.alone_cpu.push(alone_cpu.as_secs_f64() * 1e6 / f64::from(lone));
        if let (Some(before), Some(after)) = (used, alone_used) {
            results.alone_syncs.push((after.syncs - before.syncs) / f64::from(lone));
            results.alone_bytes.push((after.bytes - before.bytes) / f64::from(lone));
        }
        results.per_second.push(per_second);
        results.p50.push(p50);
        let cpu = server.cpu().saturating_sub(cpu);
        results.cpu.push(cpu.as_secs_f64() * 1e6 / (per_second * duration.as_secs_f64()));
        let probes: Vec<Pace> = before.into_iter().chain(between).collect();
        if !probes.is_empty() {
            let mean = |of: fn(&Pace) -> f64| probes.iter().map(of).sum::<f64>() / probes.len() as f64;
            results.raw_sync.push(mean(|pace| pace.raw));
            results.lone_commit.push(mean(|pace| pace.commit));
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
    let Plan { rounds, duration, lone } = plan();
    println!(
        "{rounds} rounds, each of {lone} lone calls and {duration:?} of 64 in flight; medians; answers of {} bytes, 100 \
         rules; one connection, unix socket and TCP\n",
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
    pause(&servers[1], &channels[1][Transport::Unix as usize], rounds).await;
}

/// The longest pause at a steady pace, while the database commits from time to time.
async fn pause(daemon: &Process, channel: &Channel, rounds: usize) {
    let Plan { duration, .. } = plan();
    let mut longest = Vec::new();
    let before = daemon.disk_use();
    for _ in 0..rounds {
        longest.push(load::paced(channel, &propose("read_rows"), PACE, 4 * duration).await / 1e3);
    }
    if let (Some(before), Some(after)) = (before, daemon.disk_use()) {
        let checkpoints = after.checkpoints - before.checkpoints;
        let mean = (after.checkpoint_us - before.checkpoint_us) / checkpoints.max(1.0) / 1e3;
        println!("{PACE} decisions/s: {checkpoints} commits of the database, {mean:.1} ms each");
    }
    goal("Propose durable, 5,000/s, p99.9 ms", &longest, "<=", 5.0);
}

impl Results {
    /// The median of a column.
    fn middle(column: &[f64]) -> f64 {
        median(&mut column.to_vec())
    }
}

/// The ratio of two columns, round by round.
fn ratio(of: &[f64], to: &[f64]) -> Vec<f64> {
    of.iter().zip(to).map(|(of, to)| of / to).collect()
}

fn print(subjects: &[Subject]) {
    for transport in TRANSPORTS {
        let [echo, evaluate, relaxed, durable] = [0, 1, 2, 3].map(|i: usize| &subjects[i].results[transport as usize]);
        println!("{transport:?}: 1 in flight, then 64 in flight; in brackets the ratio to the echo");
        println!(
            "{:<22} {:>18} {:>18} {:>20} {:>18} {:>17}",
            "", "1: mean us", "1: us CPU", "64: requests/s", "64: p50 us", "64: us CPU"
        );
        for subject in subjects {
            let it = &subject.results[transport as usize];
            let column =
                |of: fn(&Results) -> &[f64]| (Results::middle(of(it)), Results::middle(&ratio(of(it), of(echo))));
            let [alone, alone_cpu, per_second, p50, cpu] = [
                column(|it| &it.alone),
                column(|it| &it.alone_cpu),
                column(|it| &it.per_second),
                column(|it| &it.p50),
                column(|it| &it.cpu),
            ];
            println!(
                "{:<22} {:>10.0} ({:>5.2}) {:>10.1} ({:>5.2}) {:>12.0} ({:>5.2}) {:>10.0} ({:>5.2}) {:>9.1} ({:>5.2})",
                subject.name,
                alone.0,
                alone.1,
                alone_cpu.0,
                alone_cpu.1,
                per_second.0,
                per_second.1,
                p50.0,
                p50.1,
                cpu.0,
                cpu.1
            );
        }
        let (raw_sync, lone_commit) = (spread(&durable.raw_sync), spread(&durable.lone_commit));
        println!(
            "the disk meanwhile: append of 4 KiB with fdatasync {raw_sync}, lone commit of redb {lone_commit} (us: \
             median, least-most)"
        );
        let sum =
            |one: &[f64], other: &[f64]| one.iter().zip(other).map(|(one, other)| one + other).collect::<Vec<_>>();
        let append = sum(&echo.alone, &durable.raw_sync);
        let append_p50 = sum(&echo.alone_p50, &durable.raw_sync);
        goal("Evaluate, 64 in flight, of echo", &ratio(&evaluate.per_second, &echo.per_second), ">=", 0.85);
        goal("Propose durable, alone, mean, of echo + append", &ratio(&durable.alone, &append), "<=", 1.3);
        goal("Propose durable, alone, p50, of echo + append", &ratio(&durable.alone_p50, &append_p50), "<=", 1.3);
        goal("Propose durable, alone, CPU, of echo", &ratio(&durable.alone_cpu, &echo.alone_cpu), "<=", 5.0);
        goal("Propose durable, alone, syncs", &durable.alone_syncs, "<=", 1.05);
        let kib: Vec<f64> = durable.alone_bytes.iter().map(|bytes| bytes / 1024.0).collect();
        goal("Propose durable, alone, KiB written", &kib, "<=", 8.0);
        goal("Propose durable, 64 in flight, of echo", &ratio(&durable.per_second, &echo.per_second), ">=", 0.60);
        goal("Propose relaxed, 64 in flight, of echo", &ratio(&relaxed.per_second, &echo.per_second), ">=", 0.70);
        goal("Propose durable, 64 in flight, CPU, of echo", &ratio(&durable.cpu, &echo.cpu), "<=", 2.2);
        println!();
    }
}

fn spread(values: &[f64]) -> String {
    let mut values = values.to_vec();
    let middle = median(&mut values);
    let (least, most) = (values.first().copied().unwrap_or_default(), values.last().copied().unwrap_or_default());
    format!("{middle:.0}, {least:.0}-{most:.0}")
}

/// Prints a goal, its median with the least and the most of all rounds, and whether the median met it. It is no
/// assertion, because the machine may be busy.
pub(crate) fn goal(what: &str, values: &[f64], relation: &str, goal: f64) {
    let mut values = values.to_vec();
    let middle = median(&mut values);
    let is_met = if relation == ">=" { middle >= goal } else { middle <= goal };
    let (least, most) = (values.first().copied().unwrap_or(middle), values.last().copied().unwrap_or(middle));
    println!(
        "  {what:<50} {middle:>6.2} ({least:.2}-{most:.2})  goal {relation} {goal:<5} {}",
        if is_met { "met" } else { "NOT MET" }
    );
}
