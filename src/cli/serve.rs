//! `aegis serve`: the daemon.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::data_dir::DataDir;
use super::environment::Environment;
use super::exit::Exit;
use super::failure::Failure;
use super::out::Out;
use super::times;
use crate::governance::{PolicySource, Settings};
use crate::limits::Amount;
use crate::server::tls::{ClientCertificates, TlsFiles};
use crate::server::{
    self, AdminListener, Anonymous, Config, IdentitySource, Limits, Listening, RequestLimits, WitnessSource,
};
use crate::telemetry::{self, LogFormat};

const EXAMPLES: &str = "\
Examples:
  With the built-in starter policy, on http://127.0.0.1:50051:
    aegis serve
  With a policy and what this environment changes about it:
    aegis serve base.yaml production.yaml
  On a unix socket for an agent beside it, and on a port that is picked and printed:
    aegis serve policy.yaml --uds /run/aegis/agent.sock --port 0

The later policy file wins: its rules are tried first, a rule of the same name replaces the earlier one, and \
its defaults override. The files are watched; a bad one changes nothing and is reported.";

/// Run the daemon
///
/// Decides what agents propose by the policy, asks people where the policy says so, and keeps the record. The main
/// listener lets anonymous callers be agents and nothing else. People use the socket in the data directory.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ServeArgs {
    /// The policy's files, lowest first [default: the built-in starter policy]
    #[arg(value_name = "POLICY")]
    pub(super) policy: Vec<PathBuf>,

    /// Where the policy, the record and the credentials are kept [env: `AEGIS_DATA_DIR`]
    /// [default: `$XDG_STATE_HOME/aegis`]
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,

    /// What the log of records is called, for example `example.com/payments`, in a new data directory: it is its name for
    /// good [default: `aegis/` and 32 hex digits]
    #[arg(long, value_name = "NAME")]
    pub(super) origin: Option<String>,

    /// Development: every caller on loopback may do everything. Never beside a real agent
    #[arg(long)]
    pub(super) dev: bool,

    /// How sure a decision is on the record before it is given
    #[arg(long, value_enum, default_value = "full")]
    pub(super) durability: Durability,

    /// After which time without an answer of the disk calls are refused, and probes are told
    #[arg(long, value_name = "DURATION", value_parser = times::duration, default_value = "5s")]
    pub(super) disk_timeout: Duration,

    /// How long the record keeps what it says, for example 90d: what is older goes, its hashes and a note of that stay
    /// [default: for ever]
    #[arg(long, value_name = "DURATION", value_parser = times::duration)]
    pub(super) retain: Option<Duration>,

    /// Tell a witness of every checkpoint, so that the record cannot be cut off or set back unnoticed: `file:PATH` (on another
    /// volume), or `URL#VKEY` of a witness that cosigns (c2sp.org/tlog-witness). May be given several times
    #[arg(long, value_name = "WITNESS")]
    pub(super) witness: Vec<WitnessSource>,

    /// After which time an allowed action that nobody reported shows as `unknown`
    #[arg(long, value_name = "DURATION", value_parser = times::duration, default_value = "10m")]
    pub(super) unreported_after: Duration,

    /// How long open calls may go on when the daemon is told to stop
    #[arg(long, value_name = "DURATION", value_parser = times::duration, default_value = "10s")]
    pub(super) shutdown_grace: Duration,

    /// How the log is written
    #[arg(long, value_enum, default_value = "auto")]
    pub(super) log_format: LogFormat,

    #[command(flatten)]
    pub(super) listen: ListenArgs,

    #[command(flatten)]
    pub(super) limits: LimitArgs,
}

/// Where the daemon listens.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Listeners")]
pub(super) struct ListenArgs {
    /// The port on 127.0.0.1; 0 picks one and prints it
    #[arg(long, value_name = "PORT", default_value_t = 50051)]
    pub(super) port: u16,

    /// Listen here instead; may be given several times
    #[arg(long, value_name = "IP:PORT", conflicts_with = "port")]
    pub(super) listen: Vec<SocketAddr>,

    /// Listen on this unix socket, too
    #[arg(long, value_name = "PATH")]
    pub(super) uds: Option<PathBuf>,

    /// Listen where other machines can reach it without TLS: everybody on the way can read and change what is said
    #[arg(long)]
    pub(super) allow_plaintext: bool,

    /// Where probes (`/live`, `/ready`) and Prometheus (`/metrics`) ask: IP:PORT or `off`
    /// [default: 127.0.0.1:9464, if it is free]
    #[arg(long, value_name = "IP:PORT", value_parser = admin_listener)]
    pub(super) admin_listen: Option<AdminListener>,

    /// Who may call, and as what: a file of users, tokens, certificates and issuers. It is watched
    #[arg(long, value_name = "FILE")]
    pub(super) auth: Option<PathBuf>,

    /// Speak TLS on TCP, with this certificate and those between it and its authority (PEM). It is watched
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(super) tls_cert: Option<PathBuf>,

    /// The key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(super) tls_key: Option<PathBuf>,

    /// Let in only clients whose certificate one of these authorities signed (PEM); `--auth` says what each may do
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(super) tls_client_ca: Option<PathBuf>,

    /// Give callers without a credential no role at all, not even that of an agent
    #[arg(long)]
    pub(super) no_anonymous: bool,
}

/// What one caller, or all together, may take.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct LimitArgs {
    /// Pending approvals of all callers together
    #[arg(long = "max-pending", value_name = "N", default_value_t = 10_000)]
    pub(super) pending: usize,

    /// Pending approvals of one caller: an identity, or without a credential a user of a unix socket or an address
    #[arg(long = "max-pending-per-caller", value_name = "N", default_value_t = 1_000)]
    pub(super) pending_per_caller: usize,

    /// Bytes of all pending approvals together, as JSON
    #[arg(long = "max-pending-bytes", value_name = "BYTES", default_value_t = 64 << 20)]
    pub(super) pending_bytes: usize,

    /// Bytes of one caller's pending approvals, as JSON
    #[arg(long = "max-pending-bytes-per-caller", value_name = "BYTES", default_value_t = 16 << 20)]
    pub(super) pending_bytes_per_caller: usize,

    /// Per cent of what all callers may have pending that callers without a credential may have together
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u8).range(..=100))]
    pub(super) anonymous_share: u8,

    /// Proposals a second of all callers together; 0 for any number
    #[arg(long = "max-proposals-per-second", value_name = "N", default_value_t = 0)]
    pub(super) proposals_per_second: u32,

    /// The largest message
    #[arg(long = "max-message-bytes", value_name = "BYTES", default_value_t = 4 << 20)]
    pub(super) message_bytes: usize,

    /// Open connections of the main listener; the socket in the data directory has as many of its own
    #[arg(long = "max-connections", value_name = "N", default_value_t = 10_000)]
    pub(super) connections: usize,

    /// How long a client may take for the handshake of TLS, and again to say that it speaks HTTP/2
    #[arg(long = "handshake-timeout", value_name = "DURATION", value_parser = times::duration, default_value = "10s")]
    pub(super) handshake: Duration,

    /// How old a connection may be: then it takes no new calls
    #[arg(long = "max-connection-age", value_name = "DURATION", value_parser = times::duration, default_value = "4h")]
    pub(super) connection_age: Duration,

    /// How long calls and streams of such a connection may go on; no call waits for longer than an hour
    #[arg(long = "max-connection-age-grace", value_name = "DURATION", value_parser = times::duration)]
    #[arg(default_value = "61m")]
    pub(super) connection_age_grace: Duration,

    /// Calls under way on one connection, waiting ones and streams included
    #[arg(long = "max-calls-per-connection", value_name = "N", default_value_t = 20_000)]
    pub(super) calls_per_connection: u32,

    /// Wrong credentials at once over one connection, then one a second; ten times that from one address. 0 for any number
    #[arg(long = "max-wrong-credentials", value_name = "N", default_value_t = 10)]
    pub(super) wrong_credentials: u32,

    /// Open server streams (of approvals, of the record, of the policy)
    #[arg(long = "max-streams", value_name = "N", default_value_t = 4096)]
    pub(super) streams: usize,

    /// The largest params of an action, as JSON
    #[arg(long = "max-params-bytes", value_name = "BYTES", default_value_t = 1 << 20)]
    pub(super) params_bytes: usize,

    /// How deep params may be nested
    #[arg(long = "max-params-depth", value_name = "N", default_value_t = 32)]
    pub(super) params_depth: usize,
}

/// How sure a decision is on the record before it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Durability {
    /// It is on disk
    Full,
    /// The system has it: a power cut may lose the newest records
    Relaxed,
}

/// Runs the daemon until it is told to stop.
pub(super) fn run(args: &ServeArgs) -> Result<Exit, Failure> {
    let data_dir = DataDir::find(args.data_dir.as_deref(), &Environment::of_process())?;
    let config = config(args, &data_dir);
    // One thread answers: what takes long is the disk, and that has a thread of its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(format!("the daemon cannot start: {error}")))?;
    runtime.block_on(async {
        let telemetry = telemetry::init(args.log_format).map_err(|error| Failure::usage(error.to_string()))?;
        let stop = stop_signal().map_err(|error| Failure::new(format!("no signals: {error}")))?;
        let served = server::run(config, stop, |listening| announce(args, &data_dir, listening)).await;
        // It blocks until the last traces are out, and they go out on this runtime.
        let _ = tokio::task::spawn_blocking(|| telemetry.shutdown()).await;
        served.map_err(|error| Failure::new(error.to_string()))
    })?;
    Ok(Exit::Done)
}

fn config(args: &ServeArgs, data_dir: &DataDir) -> Config {
    let ServeArgs { listen, limits, .. } = args;
    Config {
        policy: if args.policy.is_empty() { PolicySource::Starter } else { PolicySource::Files(args.policy.clone()) },
        data_dir: data_dir.path().to_owned(),
        origin: args.origin.clone(),
        tcp: if listen.listen.is_empty() {
            vec![SocketAddr::from((Ipv4Addr::LOCALHOST, listen.port))]
        } else {
            listen.listen.clone()
        },
        unix: listen.uds.iter().cloned().collect(),
        admin: listen.admin_listen.unwrap_or(AdminListener::Default),
        anonymous: match (args.dev, listen.no_anonymous) {
            (true, _) => Anonymous::Everybody,
            (false, true) => Anonymous::Nobody,
            (false, false) => Anonymous::Agent,
        },
        identities: identities(listen),
        allow_plaintext: listen.allow_plaintext,
        relaxed_durability: args.durability == Durability::Relaxed,
        disk_timeout: args.disk_timeout,
        retain: args.retain,
        witnesses: args.witness.clone(),
        governance: Settings {
            pending: Amount { count: limits.pending, bytes: limits.pending_bytes },
            pending_per_caller: Amount { count: limits.pending_per_caller, bytes: limits.pending_bytes_per_caller },
            anonymous_share: limits.anonymous_share,
            proposals_per_second: limits.proposals_per_second,
            unreported_after: args.unreported_after,
            ..Settings::default()
        },
        limits: Limits {
            message_bytes: limits.message_bytes,
            connections: limits.connections,
            calls_per_connection: limits.calls_per_connection,
            wrong_credentials: limits.wrong_credentials,
            handshake: limits.handshake,
            connection_age: limits.connection_age,
            connection_age_grace: limits.connection_age_grace,
            streams: limits.streams,
            request: RequestLimits { params_bytes: limits.params_bytes, params_depth: limits.params_depth },
        },
        shutdown_grace: args.shutdown_grace,
    }
}

fn identities(listen: &ListenArgs) -> IdentitySource {
    let tls = listen.tls_cert.clone().zip(listen.tls_key.clone()).map(|(certificate, key)| TlsFiles {
        certificate,
        key,
        client_ca: listen.tls_client_ca.clone(),
        clients: ClientCertificates::Required,
    });
    IdentitySource { file: listen.auth.clone(), tls }
}

fn admin_listener(text: &str) -> Result<AdminListener, String> {
    match text {
        "off" => Ok(AdminListener::Off),
        address => match address.parse() {
            Ok(address) => Ok(AdminListener::At(address)),
            Err(_) => Err("expected IP:PORT, for example 127.0.0.1:9464, or `off`".to_owned()),
        },
    }
}

/// Says on stdout where the daemon is, one `listening on URL` a line first, so that a program can read it.
fn announce(args: &ServeArgs, data_dir: &DataDir, listening: &Listening) {
    let policy = match args.policy.as_slice() {
        [] => "built-in starter policy".to_owned(),
        files => files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(" + "),
    };
    let revision = listening.revision.to_string();
    let mut text = String::new();
    for endpoint in &listening.endpoints {
        text.extend(["listening on ", endpoint, "\n"]);
    }
    text.extend([
        format!("policy       {policy}: {} rules, revision {}\n", listening.rules, &revision[..12]),
        format!("data         {}\n", data_dir.path().display()),
        listening.admin.map(|address| format!("metrics      http://{address}/metrics\n")).unwrap_or_default(),
        "try          aegis propose bulk_update crm --params '{\"count\":150}' --wait 60s\n".to_owned(),
        "             aegis review      (in another terminal)\n".to_owned(),
    ]);
    let mut out = Out::stdout();
    // Whoever does not read where the daemon is still has a daemon.
    let _ = out.text(text).and_then(|()| out.flush());
}

/// Resolves at the first SIGTERM or SIGINT.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt): (Signal, Signal) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
