//! The configuration of the daemon, and its defaults.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::auth::IdentitySource;
use crate::domain::{JsonLimits, Timestamp};
use crate::domain::{Role, Roles};
use crate::governance::{PolicySource, Settings};
use crate::outbound::executor::ExecutorSource;
use crate::outbound::witnesses::WitnessSource;
use crate::server::receive::ReceiveLimits;
use crate::server::transport::ConnectionLimits;

/// What an operator gives up, for one start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Losses {
    /// A journal that does not fit the record is discarded.
    pub discard_journal: bool,
    /// A new log begins if the private key of the log is lost.
    pub begin_new_log: bool,
}

/// The configuration of the daemon.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The source of the policy.
    pub policy: PolicySource,
    /// The data directory, with the record, the private socket and the credential.
    pub data_dir: PathBuf,
    /// The origin of the log, if it is set: see [`Notary::start`].
    pub origin: Option<String>,
    /// The TCP addresses of the main listener. Port 0 picks a free port.
    pub tcp: Vec<SocketAddr>,
    /// The unix sockets of the main listener.
    pub unix: Vec<PathBuf>,
    /// The roles of callers without a credential on the main listener.
    pub anonymous: Anonymous,
    /// The sources of identities.
    pub identities: IdentitySource,
    /// The admin listener, for probes and Prometheus.
    pub admin: AdminListener,
    /// The names of this daemon in the Host header of a request, beside `localhost` and its addresses.
    pub allowed_hosts: Vec<String>,
    /// Whether a listener on a routable address may run without TLS.
    pub allow_plaintext: bool,
    /// Whether the daemon may answer before the record is durable.
    pub relaxed_durability: bool,
    /// What an operator gives up, for one start.
    pub losses: Losses,
    /// How long a write may take before the daemon refuses calls and health reports a failure.
    pub disk_timeout: Duration,
    /// The witnesses of checkpoints.
    pub witnesses: Vec<WitnessSource>,
    /// Where the actions of `execute` run; `None` means nowhere.
    pub executor: Option<ExecutorSource>,
    /// How long the record keeps payloads; `None` means for ever.
    pub retain: Option<Duration>,
    /// The start of a jump of the clock that an operator has confirmed: retention may use the clock after it.
    pub confirm_clock: Option<Timestamp>,
    /// The settings of the governor.
    pub governance: Settings,
    /// The limits of the network interfaces.
    pub limits: Limits,
    /// How long running calls may continue after the daemon was told to stop.
    pub shutdown_grace: Duration,
}

/// The roles of callers without a credential on the main listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Anonymous {
    /// Nothing.
    Nobody,
    /// Propose, as agents.
    #[default]
    Agent,
    /// Everything: `--dev`, on loopback only.
    Everybody,
}

impl Anonymous {
    pub(crate) fn roles(self) -> Roles {
        match self {
            Self::Nobody => Roles::NONE,
            Self::Agent => Roles::of(&[Role::Agent]),
            Self::Everybody => Roles::of(&Role::ALL),
        }
    }
}

/// The admin listener, for probes and Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AdminListener {
    /// Nowhere.
    Off,
    /// On [`DEFAULT_ADMIN`]. If that address is in use, there is no admin listener, so that a second daemon on a
    /// machine still starts.
    Default,
    /// On this address. If it is in use, the daemon does not start.
    At(SocketAddr),
}

/// The default address of the admin listener.
pub(crate) const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9464);

impl Config {
    pub(crate) fn is_dev(&self) -> bool {
        self.anonymous == Anonymous::Everybody
    }
}

/// The limits of the network interfaces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The size of a message, in bytes.
    pub message_bytes: usize,
    /// The most bytes of requests that are arriving, together for all callers of one kind.
    pub receiving_bytes: usize,
    /// The longest time for a request to arrive whole.
    pub receive_timeout: Duration,
    /// The most open connections.
    pub connections: usize,
    /// The most concurrent calls on a connection.
    pub calls_per_connection: u32,
    /// The most concurrent calls to health and reflection on a connection that showed no credential.
    pub open_calls_per_connection: usize,
    /// The most concurrent wrong credentials on one connection; 0 means no limit.
    pub wrong_credentials: u32,
    /// The timeout of the TLS handshake, and again of the first bytes of the protocol.
    pub handshake: Duration,
    /// The age after which a connection accepts no new calls.
    pub connection_age: Duration,
    /// How long running calls may continue after that.
    pub connection_age_grace: Duration,
    /// The most open server streams.
    pub streams: usize,
    /// The limits of parameters, metadata and result data.
    pub json: JsonLimits,
}

impl Limits {
    /// The limits of requests while they arrive.
    pub(crate) fn receive(&self) -> ReceiveLimits {
        ReceiveLimits { message_bytes: self.message_bytes, bytes: self.receiving_bytes, timeout: self.receive_timeout }
    }

    /// The limits of one connection.
    pub(crate) fn per_connection(&self) -> ConnectionLimits {
        ConnectionLimits {
            calls: self.calls_per_connection,
            receiving: self.receive().per_connection(),
            open_calls: self.open_calls_per_connection,
            headers: self.handshake,
            age: self.connection_age,
            grace: self.connection_age_grace,
        }
    }
}
