//! The life of the daemon on one page: open what is ours, take up the record, bind, serve, stop in good order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::Server;
use tonic_health::pb::health_server::HealthServer;

use super::admin::Admin;
use super::admin_service::Administration;
use super::approval_service::Approvals;
use super::audit_service::Audit;
use super::authenticate::{self, Chain, Failures, LocalOperator, MadeTokens, Reloader};
use super::config::{Config, Limits};
use super::connection;
use super::data_dir::{self, DataDir, DataDirError};
use super::gate::{GateLayer, Refusals};
use super::governance_service::Governance;
use super::health::Health;
use super::listen::{self, Listening};
use super::policy_service::Policies;
use super::streams::Streams;
use super::witnesses::{self, WitnessError, Witnesses};
use super::{access, admin, background};
use crate::audit::{OpenError, Options, Store, StoreError};
use crate::domain::{Clock, SystemClock};
use crate::governance::{Generation, Generations, Governor, KeyFiles, Notary, NotaryError};
use crate::policy::LoadErrors;
use crate::proto::FILE_DESCRIPTOR_SET;
use crate::proto::v1::admin_service_server::AdminServiceServer;
use crate::proto::v1::approval_service_server::ApprovalServiceServer;
use crate::proto::v1::audit_service_server::AuditServiceServer;
use crate::proto::v1::governance_service_server::GovernanceServiceServer;
use crate::proto::v1::policy_service_server::PolicyServiceServer;

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
    listen::check_reach(&config)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let reloader = Reloader::start(config.identities.clone(), Arc::clone(&clock)).await;
    let reloader = reloader.map_err(ServeError::Identities)?;
    let known = Arc::clone(reloader.known());
    if known.load().tls.is_none() {
        listen::check_plaintext(&config)?;
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

    let (connections, mut listening) = listen::listen(&config, &data_dir, &governor, &known, &tasks, &stop).await?;
    if let Some(listener) = listen::bind_admin(&config).await? {
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
    // Before the record: one without its secret is refused.
    let store_key = data_dir.store_key()?;
    let store = Store::open(&data_dir.record(), options)?;
    let generations = Generations::new(config.policy.clone(), Generation { policy, loaded_at: clock.now() });
    let flags = [(config.is_dev(), "dev"), (config.relaxed_durability, "relaxed-durability")];
    let flags = flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| flag.to_owned()).collect();
    let settings = config.governance.clone();
    let (files, origin) = (KeyFiles::new(&config.data_dir), config.origin.clone());
    witnesses::check(&config.witnesses, &store)?;
    let notary = Notary::start(store.clone(), files, clock.clone(), getrandom::fill, origin).await?;
    let governor = Governor::start(store, generations, clock, getrandom::fill, store_key, settings, flags).await?;
    Ok((Arc::new(governor), Arc::new(notary)))
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
