//! What an operator may choose, and what is chosen otherwise.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::auth::IdentitySource;
use crate::domain::check::MAX_WAIT;
use crate::domain::{JsonLimits, Timestamp};
use crate::domain::{Role, Roles};
use crate::governance::{PolicySource, Settings};
use crate::outbound::witnesses::WitnessSource;
use crate::server::receive::ReceiveLimits;
use crate::server::transport::ConnectionLimits;

/// Everything that an operator may choose.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the policy comes from.
    pub policy: PolicySource,
    /// Where the record, the private socket and the credential live.
    pub data_dir: PathBuf,
    /// What the log is called, if somebody says: see [`Notary::start`].
    pub origin: Option<String>,
    /// The main listener's addresses; port 0 picks one.
    pub tcp: Vec<SocketAddr>,
    /// The main listener's unix sockets.
    pub unix: Vec<PathBuf>,
    /// What callers without a credential may do on the main listener.
    pub anonymous: Anonymous,
    /// Who else is known, and by what.
    pub identities: IdentitySource,
    /// Where probes and Prometheus ask.
    pub admin: AdminListener,
    /// Whether a listener that others can route to may be without TLS.
    pub allow_plaintext: bool,
    /// Whether an answer may be given before it is durable.
    pub relaxed_durability: bool,
    /// How long the disk may take over a write before calls are refused and probes are told.
    pub disk_timeout: Duration,
    /// Who is told of every checkpoint.
    pub witnesses: Vec<WitnessSource>,
    /// How long the record keeps what it says; for ever, where nothing is said.
    pub retain: Option<Duration>,
    /// When the gap began that an operator has looked at: retention may go by the clock after it.
    pub confirm_clock: Option<Timestamp>,
    /// What governs.
    pub governance: Settings,
    /// What is bounded.
    pub limits: Limits,
    /// How long calls may go on after the daemon was told to stop.
    pub shutdown_grace: Duration,
}

/// What callers without a credential may do on the main listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anonymous {
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

/// Where probes and Prometheus ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminListener {
    /// Nowhere.
    Off,
    /// On [`DEFAULT_ADMIN`], unless somebody else listens there: a second daemon on a machine still starts.
    Default,
    /// Here, or not at all.
    At(SocketAddr),
}

/// Where the admin listener is by default.
pub const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9464);

impl Config {
    pub(crate) fn is_dev(&self) -> bool {
        self.anonymous == Anonymous::Everybody
    }
}

/// What is bounded at the door.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// One message, in bytes.
    pub message_bytes: usize,
    /// All requests that are arriving from callers of one kind, in bytes.
    pub receiving_bytes: usize,
    /// How long a request may take to arrive whole.
    pub receive_timeout: Duration,
    /// Connections at once.
    pub connections: usize,
    /// Calls at once on one connection.
    pub calls_per_connection: u32,
    /// Calls to health and reflection at once on one connection that showed no credential.
    pub open_calls_per_connection: usize,
    /// Wrong credentials at once over one connection; 0 is as many as come.
    pub wrong_credentials: u32,
    /// How long a client may take for the handshake of TLS, and again to say that it speaks HTTP/2.
    pub handshake: Duration,
    /// How old a connection may be: then it takes no new calls.
    pub connection_age: Duration,
    /// How long what is under way may go on from there.
    pub connection_age_grace: Duration,
    /// Server streams at once.
    pub streams: usize,
    /// How large parameters, metadata and result data may be.
    pub json: JsonLimits,
}

impl Limits {
    /// What bounds requests while they arrive.
    pub(crate) fn receive(&self) -> ReceiveLimits {
        ReceiveLimits { message_bytes: self.message_bytes, bytes: self.receiving_bytes, timeout: self.receive_timeout }
    }

    /// What bounds one connection.
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

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 4 << 20,
            receiving_bytes: 32 << 20,
            receive_timeout: Duration::from_secs(30),
            connections: 4096,
            calls_per_connection: 2048,
            open_calls_per_connection: 16,
            handshake: Duration::from_secs(10),
            connection_age: Duration::from_hours(4),
            connection_age_grace: MAX_WAIT + Duration::from_mins(1),
            wrong_credentials: 10,
            streams: 4096,
            json: JsonLimits::default(),
        }
    }
}
