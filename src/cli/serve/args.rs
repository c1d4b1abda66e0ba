//! The flags of `aegis serve`, and the configuration made from them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::uri::Authority;

use crate::auth::IdentitySource;
use crate::auth::tls::{ClientCertificates, TlsFiles};
use crate::cli::times;
use crate::daemon::telemetry::LogFormat;
use crate::daemon::{AdminListener, Anonymous, Config, Limits, Losses};
use crate::domain::{JsonLimits, Timestamp};
use crate::governance::{PolicySource, Settings};
use crate::limits::{Amount, GrowthLimits};
use crate::outbound::WitnessSource;
use crate::outbound::executor::ExecutorSource;
use crate::outbound::fetch::Url;

const EXAMPLES: &str = "\
Examples:
  With the built-in starter policy, on http://127.0.0.1:50051:
    aegis serve
  With a policy, and a second file with what this environment changes:
    aegis serve base.yaml production.yaml
  On a unix socket for an agent beside it, and on a free port, which is printed:
    aegis serve policy.yaml --uds /run/aegis/agent.sock --port 0

Policy files are layers. The later file wins: its rules are tried first, a rule of the same name replaces the \
earlier one, and its defaults override. The files are watched. A bad file changes nothing and is reported.

Signals: TERM and INT stop the daemon. HUP reads the policy, identities and certificates again. USR1 and USR2 do \
nothing.";

/// Run the daemon
///
/// The daemon decides proposals by the policy, asks people if the policy says so, and keeps the record. On the main
/// listener, a caller without a credential is an agent and nothing else. People use the socket in the data directory.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct ServeArgs {
    /// Policy files, lowest layer first [default: the built-in starter policy]
    #[arg(value_name = "POLICY")]
    pub(super) policy: Vec<PathBuf>,

    /// Keep the record, the keys and the credential here [env: `AEGIS_DATA_DIR`] [default: `$XDG_STATE_HOME/aegis`]
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,

    /// Name the log of records, for example `example.com/payments`. Only a new data directory takes the name, and it
    /// never changes [default: `aegis/` and 32 hex digits]
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,

    /// Give every caller on loopback every role. For development; never beside a real agent
    #[arg(long)]
    dev: bool,

    /// Answer once the record is on disk, or sooner
    #[arg(long, value_enum, default_value = "full")]
    durability: Durability,

    /// Refuse calls and fail probes once the disk has not answered for this long
    #[arg(long, value_name = "DURATION", value_parser = times::duration, default_value = "5s")]
    disk_timeout: Duration,

    /// Remove the content of records older than this, for example 90d. Their hashes and a note stay [default: keep
    /// all]
    #[arg(long, value_name = "DURATION", value_parser = times::duration)]
    retain: Option<Duration>,

    /// Let `--retain` continue after a gap that began at this time. After a gap of a day or more the clock may have
    /// jumped, so `--retain` removes nothing; the log names the time to give here
    #[arg(long, value_name = "TIME", value_parser = times::point)]
    confirm_clock: Option<Timestamp>,

    /// Send every checkpoint to a witness, which exposes a record that was truncated or replaced by an older copy:
    /// `file:PATH` on another volume, or `URL#VKEY` of a witness that cosigns (c2sp.org/tlog-witness). May be given
    /// several times
    #[arg(long, value_name = "WITNESS")]
    witness: Vec<WitnessSource>,

    /// Show an allowed action as `unknown` when nobody has reported its result for this long
    #[arg(long, value_name = "DURATION", value_parser = times::duration, default_value = "10m")]
    unreported_after: Duration,

    /// Let open calls continue for this long after the daemon is told to stop
    #[arg(long, value_name = "DURATION", value_parser = times::duration, default_value = "10s")]
    shutdown_grace: Duration,

    /// Stop when standard input reaches its end. Standard input must be a pipe or socket whose other end the parent
    /// holds: it closes when the parent ends, even by SIGKILL
    #[arg(long)]
    pub(super) ends_with_parent: bool,

    /// Write the log for people or as JSON
    #[arg(long, value_enum, default_value = "auto")]
    pub(super) log_format: LogFormat,

    #[command(flatten)]
    listen: ListenArgs,

    #[command(flatten)]
    losses: LossArgs,

    #[command(flatten)]
    executor: ExecutorArgs,

    #[command(flatten)]
    limits: LimitArgs,
}

/// What to give up, for one start.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Lost files")]
struct LossArgs {
    /// Start with a journal that does not fit `record.redb`, and lose the last records for good. The journal is kept as
    /// `record.journal.discarded`. Only for one start, if the right file cannot be found
    #[arg(long)]
    discard_journal: bool,

    /// Begin a new log, whose first records name the old one, if the private key of the log is lost for good. The old
    /// record is kept as `record.ended.redb`. Only for one start: nothing of the old record is in the new one
    #[arg(long)]
    begin_new_log: bool,
}

/// Where the daemon listens.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Listeners")]
struct ListenArgs {
    /// Listen on this port of 127.0.0.1; 0 picks a free one and prints it
    #[arg(long, value_name = "PORT", default_value_t = 50051)]
    port: u16,

    /// Listen on this address instead. May be given several times
    #[arg(long, value_name = "IP:PORT", conflicts_with = "port")]
    listen: Vec<SocketAddr>,

    /// Listen on this unix socket as well
    #[arg(long, value_name = "PATH")]
    uds: Option<PathBuf>,

    /// Allow an address without TLS that other machines can reach. Anyone on the network path can read and change what
    /// is sent
    #[arg(long)]
    allow_plaintext: bool,

    /// Answer REST requests for this host name too, beside `localhost` and the addresses that the daemon listens on. A
    /// browser can be made to send others here. May be given several times
    #[arg(long, value_name = "NAME", value_parser = host_name)]
    allowed_host: Vec<String>,

    /// Serve probes (`/livez`, `/readyz`) and Prometheus (`/metrics`) here: IP:PORT or `off`
    /// [default: 127.0.0.1:9464, if it is free]
    #[arg(long, value_name = "IP:PORT", value_parser = admin_listener)]
    admin_listen: Option<AdminListener>,

    /// Read callers and their roles from this file: users, tokens, certificates, issuers. The file is watched
    #[arg(long, value_name = "FILE")]
    auth: Option<PathBuf>,

    /// Use TLS on TCP with this certificate and its intermediates (PEM). The file is watched
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// Use this private key with the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Accept only clients with a certificate that one of these authorities signed (PEM). `--auth` says what each may
    /// do
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,

    /// Refuse callers without a credential; otherwise they are agents
    #[arg(long)]
    no_anonymous: bool,
}

/// Who runs the actions of `execute` (REST).
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Executor")]
#[expect(clippy::struct_field_names, reason = "they are the names of the flags")]
struct ExecutorArgs {
    /// Run the actions of `POST /api/v1/execute` by sending each to this URL, with its decision: https, or http on this
    /// machine. Its addresses are looked up once [default: run nothing, and answer `{"executed": true}`]
    #[arg(long, value_name = "URL", value_parser = executor_url)]
    executor_url: Option<Url>,

    /// Give an action this long. One that has not ended by then has the result `unknown`
    #[arg(long, value_name = "DURATION", value_parser = times::duration, default_value = "30s")]
    executor_timeout: Duration,

    /// Send an action again, up to three times, after a failed connection or a status of 429, 502, 503 or 504. Only for
    /// an executor that runs one action for one `Idempotency-Key`
    #[arg(long, requires = "executor_url")]
    executor_idempotent: bool,

    /// Check the executor's certificate with these authorities (PEM) [default: those of the machine]
    #[arg(long, value_name = "FILE", requires = "executor_url")]
    executor_ca: Option<PathBuf>,
}

/// The limits for one caller, or for all together.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    /// Limit pending approvals, of all callers together
    #[arg(long = "max-pending", value_name = "N", default_value_t = 10_000)]
    pending: usize,

    /// Limit pending approvals of one caller: an identity, or without a credential a user of a unix socket or an
    /// address
    #[arg(long = "max-pending-per-caller", value_name = "N", default_value_t = 1_000)]
    pending_per_caller: usize,

    /// Limit the bytes of all pending approvals together, as JSON
    #[arg(long = "max-pending-bytes", value_name = "BYTES", default_value_t = 64 << 20)]
    pending_bytes: usize,

    /// Limit the bytes of one caller's pending approvals, as JSON
    #[arg(long = "max-pending-bytes-per-caller", value_name = "BYTES", default_value_t = 16 << 20)]
    pending_bytes_per_caller: usize,

    /// Limit all callers without a credential together to this percentage of each bound on pending approvals
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u8).range(..=100))]
    anonymous_share: u8,

    /// Limit proposals per second, of all callers together; 0 is no limit
    #[arg(long = "max-proposals-per-second", value_name = "N", default_value_t = 0)]
    proposals_per_second: u32,

    /// Limit what callers may write when less than this percentage of the record's disk is free, and fewer bytes than
    /// `--low-disk-bytes`: each caller may write a share, and all callers without a credential together one. 0 is no
    /// limit
    #[arg(long, value_name = "PERCENT", default_value_t = 20, value_parser = clap::value_parser!(u8).range(..=100))]
    low_disk_percent: u8,

    /// Do not limit what callers may write while this many bytes are free
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 30)]
    low_disk_bytes: u64,

    /// Let the share be this percentage of the free space in a minute
    #[arg(long, value_name = "PERCENT", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=100))]
    low_disk_share: u8,

    /// Limit the size of a message
    #[arg(long = "max-message-bytes", value_name = "BYTES", default_value_t = 4 << 20)]
    message_bytes: usize,

    /// Limit the bytes of arriving requests, for all callers without a credential together. Callers with a credential
    /// have a separate limit of the same size, and so has the socket in the data directory. One connection may use half
    #[arg(long = "max-receiving-bytes", value_name = "BYTES", default_value_t = 32 << 20)]
    receiving_bytes: usize,

    /// Refuse a request that has not arrived whole after this long
    #[arg(long = "receive-timeout", value_name = "DURATION", value_parser = times::duration, default_value = "30s")]
    receive_timeout: Duration,

    /// Limit open connections on the main listener. The socket in the data directory has a separate limit of the same
    /// size
    #[arg(long = "max-connections", value_name = "N", default_value_t = 10_000)]
    connections: usize,

    /// Drop clients that take longer than this for the TLS handshake, or then for the start of HTTP/2
    #[arg(long = "handshake-timeout", value_name = "DURATION", value_parser = times::duration, default_value = "10s")]
    handshake: Duration,

    /// Take no new calls on a connection older than this
    #[arg(long = "max-connection-age", value_name = "DURATION", value_parser = times::duration, default_value = "4h")]
    connection_age: Duration,

    /// Let calls and streams continue for this long after `--max-connection-age`. No call waits for longer than an
    /// hour
    #[arg(long = "max-connection-age-grace", value_name = "DURATION", value_parser = times::duration)]
    #[arg(default_value = "61m")]
    connection_age_grace: Duration,

    /// Limit open calls of one connection, waiting calls and streams included
    #[arg(long = "max-calls-per-connection", value_name = "N", default_value_t = 2048)]
    calls_per_connection: u32,

    /// Limit open calls to health and reflection on one connection without a credential
    #[arg(long = "max-open-calls-per-connection", value_name = "N", default_value_t = 16)]
    open_calls_per_connection: usize,

    /// Limit wrong credentials on one connection: this many at once, then one a second. One address may send ten times
    /// as many. 0 is no limit
    #[arg(long = "max-wrong-credentials", value_name = "N", default_value_t = 10)]
    wrong_credentials: u32,

    /// Limit open server streams (approvals, record, policy)
    #[arg(long = "max-streams", value_name = "N", default_value_t = 4096)]
    streams: usize,

    /// Limit the size of an action's params, as JSON
    #[arg(long = "max-params-bytes", value_name = "BYTES", default_value_t = JsonLimits::default().bytes)]
    params_bytes: usize,

    /// Limit how deep params are nested
    #[arg(long = "max-params-depth", value_name = "N", default_value_t = JsonLimits::default().depth)]
    params_depth: usize,
}

/// When the daemon answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Durability {
    /// Once the record is on disk
    Full,
    /// Sooner: a power cut may lose the newest records
    Relaxed,
}

impl ServeArgs {
    /// The configuration made from these flags.
    pub(super) fn config(&self, data_dir: &Path) -> Config {
        let Self { listen, limits, executor, .. } = self;
        Config {
            policy: if self.policy.is_empty() {
                PolicySource::Starter
            } else {
                PolicySource::Files(self.policy.clone())
            },
            data_dir: data_dir.to_owned(),
            origin: self.origin.clone(),
            tcp: if listen.listen.is_empty() {
                vec![SocketAddr::from((Ipv4Addr::LOCALHOST, listen.port))]
            } else {
                listen.listen.clone()
            },
            unix: listen.uds.iter().cloned().collect(),
            admin: listen.admin_listen.unwrap_or(AdminListener::Default),
            anonymous: match (self.dev, listen.no_anonymous) {
                (true, _) => Anonymous::Everybody,
                (false, true) => Anonymous::Nobody,
                (false, false) => Anonymous::Agent,
            },
            identities: listen.identities(),
            allowed_hosts: listen.allowed_host.clone(),
            allow_plaintext: listen.allow_plaintext,
            relaxed_durability: self.durability == Durability::Relaxed,
            disk_timeout: self.disk_timeout,
            losses: Losses { discard_journal: self.losses.discard_journal, begin_new_log: self.losses.begin_new_log },
            retain: self.retain,
            confirm_clock: self.confirm_clock,
            witnesses: self.witness.clone(),
            executor: executor.executor_url.clone().map(|url| ExecutorSource {
                url,
                timeout: executor.executor_timeout,
                is_idempotent: executor.executor_idempotent,
                authorities: executor.executor_ca.clone(),
            }),
            governance: Settings {
                pending: Amount { count: limits.pending, bytes: limits.pending_bytes },
                pending_per_caller: Amount { count: limits.pending_per_caller, bytes: limits.pending_bytes_per_caller },
                anonymous_share: limits.anonymous_share,
                proposals_per_second: limits.proposals_per_second,
                growth: GrowthLimits {
                    low_percent: limits.low_disk_percent,
                    low_bytes: limits.low_disk_bytes,
                    share: limits.low_disk_share,
                },
                unreported_after: self.unreported_after,
                ..Settings::default()
            },
            limits: Limits {
                message_bytes: limits.message_bytes,
                receiving_bytes: limits.receiving_bytes,
                receive_timeout: limits.receive_timeout,
                connections: limits.connections,
                calls_per_connection: limits.calls_per_connection,
                open_calls_per_connection: limits.open_calls_per_connection,
                wrong_credentials: limits.wrong_credentials,
                handshake: limits.handshake,
                connection_age: limits.connection_age,
                connection_age_grace: limits.connection_age_grace,
                streams: limits.streams,
                json: JsonLimits { bytes: limits.params_bytes, depth: limits.params_depth },
            },
            shutdown_grace: self.shutdown_grace,
        }
    }
}

impl ListenArgs {
    fn identities(&self) -> IdentitySource {
        let tls = self.tls_cert.clone().zip(self.tls_key.clone()).map(|(certificate, key)| TlsFiles {
            certificate,
            key,
            client_ca: self.tls_client_ca.clone(),
            clients: ClientCertificates::Required,
        });
        IdentitySource { file: self.auth.clone(), tls }
    }
}

fn executor_url(text: &str) -> Result<Url, String> {
    Url::parse(text).map_err(|error| error.to_string())
}

/// A name without a port.
fn host_name(text: &str) -> Result<String, String> {
    match text.parse::<Authority>() {
        Ok(authority) if authority.as_str() == authority.host() && !text.is_empty() => Ok(text.to_owned()),
        _ => Err("expected a host name without a port, for example aegis.example.com".to_owned()),
    }
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
