//! The life of the daemon on one page: open what is ours, take up the record, bind, serve, stop in good order.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::Server;
use tonic_health::pb::health_server::HealthServer;

use super::admin::Admin;
use super::admin_service::Administration;
use super::approval_service::Approvals;
use super::audit_service::Audit;
use super::authenticate::{self, Chain, Failures, IdentitySource, Known, LocalOperator, MadeTokens, Reloader};
use super::connection::{self, Bound, Door, Listener};
use super::data_dir::{self, DataDir, DataDirError};
use super::gate::{GateLayer, Refusals};
use super::governance_service::Governance;
use super::health::Health;
use super::policy_service::Policies;
use super::request::{MAX_WAIT, RequestLimits};
use super::streams::Streams;
use super::witnesses::{self, WitnessError, WitnessSource, Witnesses};
use super::{access, admin, background};
use crate::audit::{OpenError, Options, Store, StoreError};
use crate::domain::{Clock, Role, Roles, SystemClock};
use crate::governance::{Generation, Generations, Governor, KeyFiles, Notary, NotaryError, PolicySource, Settings};
use crate::policy::LoadErrors;
use crate::proto::FILE_DESCRIPTOR_SET;
use crate::proto::v1::admin_service_server::AdminServiceServer;
use crate::proto::v1::approval_service_server::ApprovalServiceServer;
use crate::proto::v1::audit_service_server::AuditServiceServer;
use crate::proto::v1::governance_service_server::GovernanceServiceServer;
use crate::proto::v1::policy_service_server::PolicyServiceServer;

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
    fn roles(self) -> Roles {
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
    fn is_dev(&self) -> bool {
        self.anonymous == Anonymous::Everybody
    }
}

/// What is bounded at the door.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// One message, in bytes.
    pub message_bytes: usize,
    /// Connections at once.
    pub connections: usize,
    /// Calls at once on one connection.
    pub calls_per_connection: u32,
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
    /// What an action may carry.
    pub request: RequestLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 4 << 20,
            connections: 4096,
            calls_per_connection: 16_384,
            handshake: Duration::from_secs(10),
            connection_age: Duration::from_hours(4),
            connection_age_grace: MAX_WAIT + Duration::from_mins(1),
            wrong_credentials: 10,
            streams: 4096,
            request: RequestLimits { params_bytes: 256 << 10, params_depth: 32 },
        }
    }
}

/// Where the daemon listens, once it does.
#[derive(Clone, Debug)]
pub struct Listening {
    /// The main listener, as the command line takes it: `http://127.0.0.1:50051`, `unix:/run/aegis/agent.sock`.
    pub endpoints: Vec<String>,
    /// The private socket.
    pub private: PathBuf,
    /// The admin listener, if there is one.
    pub admin: Option<SocketAddr>,
    /// How many rules are in force.
    pub rules: usize,
    /// The revision of the policy in force.
    pub revision: crate::domain::Digest,
}

/// The daemon could not start, or not go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The policy is not valid.
    #[error("the policy is not valid:\n{0}")]
    Policy(#[from] LoadErrors),
    /// The identities file, or what it names, is not valid.
    #[error("the identities are not valid:\n{0}")]
    Identities(LoadErrors),
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The record cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The record cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The record is not what a witness has seen, or a witness cannot be told.
    #[error(transparent)]
    Witness(#[from] WitnessError),
    /// The log cannot be signed for.
    #[error(transparent)]
    Notary(#[from] NotaryError),
    /// A listener cannot be bound.
    #[error("cannot listen on {address}: {error}")]
    Bind {
        /// Where.
        address: String,
        /// What the operating system said.
        error: io::Error,
    },
    /// A plaintext listener would be reachable from elsewhere.
    #[error(
        "{0} can be reached from other machines, and this listener has no TLS: listen on 127.0.0.1 or a unix socket, or say \
         --allow-plaintext"
    )]
    Plaintext(SocketAddr),
    /// `--dev` would be reachable from elsewhere.
    #[error("--dev gives every caller every role, so it listens on loopback only, not on {0}")]
    DevNotLoopback(SocketAddr),
    /// Nobody could call.
    #[error("there is no main listener: give --port, --listen or --uds")]
    NoListener,
    /// A method of the API has no role.
    #[error(transparent)]
    Access(#[from] access::UnknownMethod),
    /// The descriptors that were compiled in are not valid.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The transport failed.
    #[error("the transport failed: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// Runs the daemon until `shutdown` resolves. `ready` hears where it listens as soon as it does.
pub async fn run(
    config: Config,
    shutdown: impl Future<Output = ()>,
    ready: impl FnOnce(&Listening),
) -> Result<(), ServeError> {
    access::check()?;
    check_reach(&config)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let reloader = Reloader::start(config.identities.clone(), Arc::clone(&clock)).await;
    let reloader = reloader.map_err(ServeError::Identities)?;
    let known = Arc::clone(reloader.known());
    if known.load().tls.is_none() {
        check_plaintext(&config)?;
    }
    let data_dir = DataDir::open(&config.data_dir)?;
    let account = data_dir::account(data_dir.uid);
    warn_about(&config, &account);

    let (governor, notary) = start_governor(&config, &data_dir, clock).await?;
    if !config.identities.is_empty() {
        governor.record_identities(reloader.revision()).await?;
    }
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let refusals = Arc::new(Refusals::default());
    let (reporter, health_service) = tonic_health::server::health_reporter();
    let health = Health::start(reporter, config.is_dev()).await;

    let (store, clock) = (governor.store(), governor.clock());
    let witnesses = Witnesses::start(&config.witnesses, &notary, store, clock, &health, &tasks, &stop)?;

    let (connections, mut listening) = listen(&config, &data_dir, &governor, &known, &tasks, &stop).await?;
    if let Some(listener) = bind_admin(&config).await? {
        listening.admin = listener.local_addr().ok();
        let admin = Admin {
            governor: Arc::clone(&governor),
            known: Arc::clone(&known),
            refusals: Arc::clone(&refusals),
            witnesses: Arc::clone(&witnesses),
        };
        tasks.spawn(admin::serve(listener, admin, stop.clone()));
    }
    tasks.spawn(authenticate::watch(reloader, Arc::clone(&governor), health.clone(), stop.clone()));
    background::spawn(&tasks, &governor, &health, &refusals, config.retain, &stop);

    let operator = LocalOperator::new(&account.name, data_dir.uid, &data_dir.credential()?);
    let chain = Chain {
        operator,
        tokens: MadeTokens(Arc::clone(governor.tokens())),
        known,
        failures: Failures::new(config.limits.wrong_credentials),
        clock: Arc::clone(governor.clock()),
    };
    let gate = GateLayer {
        authenticator: Arc::new(chain),
        refusals: Arc::clone(&refusals),
        message_bytes: config.limits.message_bytes,
    };
    let services = Services {
        governor: Arc::clone(&governor),
        notary: Arc::clone(&notary),
        witnesses,
        limits: config.limits,
        streams: Streams::new(config.limits.streams, stop.clone()),
        stop: stop.clone(),
    };
    let serving = tokio::spawn(serve(services, gate, health_service, connections));
    ready(&listening);

    shutdown.await;
    tracing::info!("stopping: calls that are under way have {:?}", config.shutdown_grace);
    health.stop().await;
    stop.cancel();
    governor.queue().close();
    let abort = serving.abort_handle();
    match tokio::time::timeout(config.shutdown_grace, serving).await {
        Ok(Ok(served)) => served?,
        Ok(Err(panicked)) => tracing::error!(error = %panicked, "the transport ended badly"),
        Err(_) => {
            tracing::warn!("calls were still under way at the end of the grace period: they are cut off");
            abort.abort();
        }
    }
    tasks.close();
    tasks.wait().await;
    if let Err(error) = governor.stop().await {
        tracing::error!(%error, "the end of this run could not be recorded");
    }
    witnesses::finish(&config.witnesses, &notary).await;
    governor.store().shutdown();
    Ok(())
}

/// Opens the record, and takes up where it left off.
async fn start_governor(
    config: &Config,
    data_dir: &DataDir,
    clock: Arc<dyn Clock>,
) -> Result<(Arc<Governor>, Arc<Notary>), ServeError> {
    let policy = config.policy.load()?;
    for warning in policy.warnings() {
        tracing::warn!("{warning}");
    }
    let options = Options {
        relaxed: config.relaxed_durability,
        patience: config.disk_timeout,
        clock: Arc::clone(&clock),
        ..Options::default()
    };
    let store = Store::open(&data_dir.record(), options)?;
    let generations = Generations::new(config.policy.clone(), Generation { policy, loaded_at: clock.now() });
    let flags = [(config.is_dev(), "dev"), (config.relaxed_durability, "relaxed-durability")];
    let flags = flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| flag.to_owned()).collect();
    let store_key = data_dir.store_key()?;
    let settings = config.governance.clone();
    let (files, origin) = (KeyFiles::new(&config.data_dir), config.origin.clone());
    witnesses::check(&config.witnesses, &store)?;
    let notary = Notary::start(store.clone(), files, clock.clone(), getrandom::fill, origin).await?;
    let governor = Governor::start(store, generations, clock, getrandom::fill, store_key, settings, flags).await?;
    Ok((Arc::new(governor), Arc::new(notary)))
}

/// Refuses listeners that would be reachable by those who must not reach them.
fn check_reach(config: &Config) -> Result<(), ServeError> {
    if config.tcp.is_empty() && config.unix.is_empty() {
        return Err(ServeError::NoListener);
    }
    for address in config.tcp.iter().filter(|address| !address.ip().is_loopback()) {
        if config.is_dev() {
            return Err(ServeError::DevNotLoopback(*address));
        }
    }
    Ok(())
}

/// Refuses to speak plaintext where others could listen, unless that is wanted.
fn check_plaintext(config: &Config) -> Result<(), ServeError> {
    match config.tcp.iter().find(|address| !address.ip().is_loopback()) {
        Some(address) if !config.allow_plaintext => Err(ServeError::Plaintext(*address)),
        _ => Ok(()),
    }
}

fn warn_about(config: &Config, account: &data_dir::Account) {
    if config.is_dev() {
        tracing::warn!(
            "--dev: EVERY CALLER HAS EVERY ROLE, agents can approve their own actions. Never in production."
        );
    }
    if config.relaxed_durability {
        tracing::warn!("--durability relaxed: the last answers before a power loss may be missing from the record");
    }
    if account.logs_in {
        tracing::warn!(
            user = %account.name,
            "this user can log in: an agent that runs as the same user can read the credential and approve its own actions. \
             Run aegis as a user of its own"
        );
    }
}

/// Binds every listener and starts to accept.
async fn listen(
    config: &Config,
    data_dir: &DataDir,
    governor: &Arc<Governor>,
    known: &Arc<Known>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(mpsc::Receiver<io::Result<connection::Stream>>, Listening), ServeError> {
    let main = Listener::Main { anonymous: config.anonymous.roles() };
    let tls = known.load().tls.is_some().then(|| Arc::clone(known));
    let scheme = if tls.is_some() { "https" } else { "http" };
    let mut bound = Vec::new();
    let mut endpoints = Vec::new();
    for address in &config.tcp {
        let at = |error| ServeError::Bind { address: address.to_string(), error };
        let listener = TcpListener::bind(address).await.map_err(at)?;
        endpoints.push(format!("{scheme}://{}", listener.local_addr().map_err(at)?));
        bound.push((Bound::Tcp(listener), main, tls.clone()));
    }
    // Where users are told apart, whoever is not named is kept out by the file system, too.
    let mode = if known.load().names_users { 0o660 } else { 0o666 };
    for path in &config.unix {
        endpoints.push(format!("unix:{}", path.display()));
        bound.push((bind_unix(path, mode)?, main, None));
    }
    let private = data_dir.socket();
    bound.push((bind_unix(&private, 0o600)?, Listener::Private, None));
    if let Some(endpoint) = endpoints.first() {
        data_dir.announce(endpoint)?;
    }

    let permits = || Arc::new(Semaphore::new(config.limits.connections));
    // People have their own: agents that take every connection cannot keep a reviewer out.
    let (main_permits, private_permits) = (permits(), permits());
    let (sender, connections) = mpsc::channel(64);
    for (bound, listener, tls) in bound {
        let permits = if listener == Listener::Private { &private_permits } else { &main_permits };
        let (permits, connections, stop) = (Arc::clone(permits), sender.clone(), stop.clone());
        let Limits { handshake: patience, connection_age, connection_age_grace, .. } = config.limits;
        let lifetime = connection_age.saturating_add(connection_age_grace);
        let door = Door { listener, tls, patience, lifetime, permits, connections, stop };
        tasks.spawn(connection::accept(bound, door));
    }
    let generation = governor.generations().current();
    let (rules, revision) = (generation.policy.rules().len(), generation.policy.revision());
    Ok((connections, Listening { endpoints, private, admin: None, rules, revision }))
}

async fn bind_admin(config: &Config) -> Result<Option<TcpListener>, ServeError> {
    let address = match config.admin {
        AdminListener::Off => return Ok(None),
        AdminListener::Default => DEFAULT_ADMIN,
        AdminListener::At(address) => address,
    };
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if config.admin == AdminListener::Default => {
            tracing::warn!(%address, %error, "no admin listener: probes and metrics need --admin-listen here");
            Ok(None)
        }
        Err(error) => Err(ServeError::Bind { address: address.to_string(), error }),
    }
}

fn bind_unix(path: &Path, mode: u32) -> Result<Bound, ServeError> {
    connection::bind_unix(path, mode)
        .map_err(|error| ServeError::Bind { address: format!("unix:{}", path.display()), error })
}

/// Serves until told to stop, then until the last call is over.
async fn serve(
    services: Services,
    gate: GateLayer,
    health: HealthServer<impl tonic_health::pb::health_server::Health>,
    connections: mpsc::Receiver<io::Result<connection::Stream>>,
) -> Result<(), ServeError> {
    let Services { governor, notary, witnesses, limits, streams, stop } = services;
    let Limits { message_bytes, request: limits, calls_per_connection, connection_age, .. } = limits;
    let governance = Governance { governor: Arc::clone(&governor), limits };
    let approvals = Approvals { governor: Arc::clone(&governor), streams: streams.clone(), limits };
    let audit = Audit {
        governor: Arc::clone(&governor),
        notary: Arc::clone(&notary),
        witnesses,
        streams: streams.clone(),
        limits,
    };
    let administration = Administration { governor: Arc::clone(&governor), notary, limits };
    let policies = Policies { governor, streams, limits };
    let router = Server::builder()
        .max_concurrent_streams(calls_per_connection)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        // The client is told to open another. What does not leave by itself is cut by the connection: with a grace, tonic
        // (0.14.9) would say nothing before it cuts.
        .max_connection_age(connection_age)
        .layer(gate)
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .add_service(GovernanceServiceServer::new(governance).max_decoding_message_size(message_bytes))
        .add_service(ApprovalServiceServer::new(approvals).max_decoding_message_size(message_bytes))
        .add_service(AuditServiceServer::new(audit).max_decoding_message_size(message_bytes))
        .add_service(AdminServiceServer::new(administration).max_decoding_message_size(message_bytes))
        .add_service(PolicyServiceServer::new(policies).max_decoding_message_size(message_bytes));
    router.serve_with_incoming_shutdown(ReceiverStream::new(connections), stop.cancelled_owned()).await?;
    Ok(())
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        // So that a debugging client can read the details of an error.
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}

/// What the services share.
struct Services {
    governor: Arc<Governor>,
    notary: Arc<Notary>,
    witnesses: Arc<Witnesses>,
    limits: Limits,
    streams: Streams,
    stop: CancellationToken,
}
