//! `aegis serve`: the daemon.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::exit::Exit;
use super::failure::Failure;
use super::times;

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

    /// Development: every caller on loopback may do everything. Never beside a real agent
    #[arg(long)]
    pub(super) dev: bool,

    /// How sure a decision is on the record before it is given
    #[arg(long, value_enum, default_value = "full")]
    pub(super) durability: Durability,

    /// After which time an allowed action that nobody reported shows as `unknown`
    #[arg(long, value_name = "DURATION", value_parser = times::duration, default_value = "10m")]
    pub(super) unreported_after: Duration,

    /// How long open calls may go on when the daemon is told to stop
    #[arg(long, value_name = "DURATION", value_parser = times::duration, default_value = "10s")]
    pub(super) shutdown_grace: Duration,

    /// How the log is written [default: pretty on a terminal, else json]
    #[arg(long, value_enum)]
    pub(super) log_format: Option<LogFormat>,

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

    /// Pending approvals of one caller: an identity, or a connection of an anonymous caller
    #[arg(long = "max-pending-per-caller", value_name = "N", default_value_t = 1_000)]
    pub(super) pending_per_caller: usize,

    /// Proposals a second of one caller; 0 for any number
    #[arg(long = "max-proposals-per-second", value_name = "N", default_value_t = 0)]
    pub(super) proposals_per_second: u32,

    /// The largest message
    #[arg(long = "max-message-bytes", value_name = "BYTES", default_value_t = 4 << 20)]
    pub(super) message_bytes: usize,

    /// Open connections
    #[arg(long = "max-connections", value_name = "N", default_value_t = 10_000)]
    pub(super) connections: usize,

    /// Open streams and waiting calls of one connection
    #[arg(long = "max-streams", value_name = "N", default_value_t = 20_000)]
    pub(super) streams: u32,

    /// The largest params of an action, as JSON
    #[arg(long = "max-params-bytes", value_name = "BYTES", default_value_t = 1 << 20)]
    pub(super) params_bytes: usize,

    /// How deep params may be nested
    #[arg(long = "max-params-depth", value_name = "N", default_value_t = 64)]
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

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum LogFormat {
    /// For people
    Pretty,
    /// One JSON object a line
    Json,
}

/// Runs the daemon until it is told to stop.
pub(super) fn run(_args: &ServeArgs) -> Result<Exit, Failure> {
    Err(Failure::new("this build has no daemon yet"))
}
