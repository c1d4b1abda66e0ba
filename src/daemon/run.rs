//! The whole run of the daemon: open the data directory and the record, bind, serve, and stop cleanly.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::build_info::COMMIT;
use super::config::Config;
use super::data_dir::{self, DataDir};
use super::error::ServeError;
use super::health::Health;
use super::listeners::{self, Listening};
use super::probes::Admin;
use super::{background, descriptors, probes, space};
use crate::audit::{Options, Store};
use crate::auth::{self, Chain, Failures, Known, LocalOperator, MadeTokens, Reloader};
use crate::domain::{Clock, SystemClock};
use crate::governance::{
    Executions, Executor, Generation, Generations, Governor, KeyFiles, Noop, Notary, PreviousRun, find_clock_gap,
};
use crate::outbound::executor::HttpExecutor;
use crate::outbound::witnesses::{self, Witnesses};
use crate::server::access;
use crate::server::answer::Answers;
use crate::server::aside::Aside;
use crate::server::console::{self, SignInCodes};
use crate::server::gate::{Gate, GateKeeper, Refusals};
use crate::server::grpc::health::Statuses;
use crate::server::grpc::services::Services;
use crate::server::measure;
use crate::server::receive::Receiver;
use crate::server::rest;
use crate::server::streams::Streams;
use crate::server::transport::Transport;
use crate::server::web::Hosts;

/// Runs the daemon until `shutdown` resolves. Calls `ready` with the addresses as soon as it listens.
pub(crate) async fn run(
    config: Config,
    shutdown: impl Future<Output = ()>,
    ready: impl FnOnce(&Listening),
) -> Result<(), ServeError> {
    access::check()?;
    listeners::check_reach(&config)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let connections = descriptors::connections(config.limits.connections)?;
    let reloader = Reloader::start(config.identities.clone(), Arc::clone(&clock)).await;
    let reloader = reloader.map_err(ServeError::Identities)?;
    let known = Arc::clone(reloader.known());
    if known.load().tls.is_none() {
        listeners::check_plaintext(&config)?;
    }
    let data_dir = DataDir::open(&config.data_dir)?;
    let account = data_dir::account(data_dir.uid);
    warn_about(&config, &account);

    let (governor, notary) = start_governor(&config, &data_dir, clock).await?;
    say_start(&governor, &data_dir);
    if !config.identities.is_empty() {
        governor.record_identities(reloader.revision()).await?;
    }
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let refusals = Arc::new(Refusals::default());
    let statuses = Statuses::new();
    let health = Health::start(statuses.clone(), config.is_dev()).await;

    let witnesses = Witnesses::start(&config.witnesses, &notary, governor.store(), governor.clock(), &tasks, &stop)?;

    let aside = Aside::start().map_err(ServeError::Threads)?;
    let streams = Streams::new(config.limits.streams, aside.streams(), stop.clone());
    let mut listeners = listeners::bind(&config, &data_dir, &governor, &known)?;
    if let Some(listener) = listeners::bind_admin(&config).await? {
        listeners.listening.admin = listener.local_addr().ok();
        let admin = Admin {
            governor: Arc::clone(&governor),
            known: Arc::clone(&known),
            refusals: Arc::clone(&refusals),
            witnesses: Arc::clone(&witnesses),
            streams: streams.clone(),
            record: data_dir.record(),
        };
        tasks.spawn(probes::serve(listener, admin, config.limits.handshake, stop.clone()));
    }
    tasks.spawn(auth::watch(reloader, Arc::clone(&governor), stop.clone()));
    if !config.identities.is_empty() {
        background::follow_identities(&tasks, &known, &health, &stop);
    }
    background::follow_witnesses(&tasks, &witnesses, &health, &stop);
    space::start(&tasks, &governor, data_dir.record(), &stop);
    background::spawn(&tasks, &governor, &health, &refusals, config.retain, &stop);

    let chain = chain(&config, &data_dir, &account, &governor, known)?;
    let limits = config.limits.json;
    let executions = Executions::start(Arc::clone(&governor), executor(&config).await?, limits);
    let rest = rest::router(rest::Services {
        governor: Arc::clone(&governor),
        notary: Arc::clone(&notary),
        witnesses: Arc::clone(&witnesses),
        executions: Arc::clone(&executions),
        streams: streams.clone(),
        sign_in_codes: SignInCodes::default(),
        limits,
    });
    let services = Services {
        governor: Arc::clone(&governor),
        notary: Arc::clone(&notary),
        witnesses,
        streams,
        limits,
        message_bytes: config.limits.message_bytes,
    };
    let metrics = Arc::clone(governor.metrics());
    measure::expect_all(&metrics);
    let keeper = GateKeeper {
        metrics,
        authenticator: Arc::new(chain),
        refusals: Arc::clone(&refusals),
        receiver: Receiver::new(config.limits.receive()),
        answers: Answers::new(),
        aside,
        message_bytes: config.limits.message_bytes,
        hosts: Hosts::new(&config.allowed_hosts),
    };
    let gate = Gate::new(keeper, services.routes(statuses)?, rest.merge(console::router()));
    let queue = Arc::clone(governor.queue());
    let transport = Transport::new(gate, config.limits.per_connection(), move |id| queue.closed(id), stop.clone());
    let listening = listeners.listening.clone();
    let serving = transport.clone();
    let serve = move |stream, connection| serving.serve(stream, connection);
    listeners.accept(&config.limits, connections, &serve, &tasks, &stop);
    ready(&listening);
    say_serving(&listening);

    shutdown.await;
    tracing::info!("stopping: calls that are under way have {:?}", config.shutdown_grace);
    health.stop().await;
    stop.cancel();
    governor.queue().close();
    let (cut, ()) = tokio::join!(transport.finish(config.shutdown_grace), executions.finish(config.shutdown_grace));
    say_cut(cut);
    tasks.close();
    tasks.wait().await;
    close_record(&config, &governor, &notary).await;
    Ok(())
}

/// The first line of the log: what starts, with which record.
fn say_start(governor: &Governor, data_dir: &DataDir) {
    let (version, record) = (env!("CARGO_PKG_VERSION"), data_dir.record());
    let (commit, record) = (COMMIT, record.display());
    match governor.previous_run() {
        PreviousRun::None => tracing::info!(version, commit, %record, "started: this record is new"),
        PreviousRun::Stopped => tracing::info!(version, commit, %record, "started: the last run stopped in good order"),
        PreviousRun::BrokenOff => {
            let message = "started: the last run broke off (killed, crashed, or the machine stopped); nothing that it \
                           acknowledged is lost";
            tracing::warn!(version, commit, %record, "{message}");
        }
    }
}

fn say_serving(listening: &Listening) {
    tracing::info!(
        endpoints = ?listening.endpoints,
        admin = listening.admin.map(tracing::field::display),
        rules = listening.rules,
        revision = %listening.revision,
        "serving"
    );
}

/// The authenticators of all listeners.
fn chain(
    config: &Config,
    data_dir: &DataDir,
    account: &data_dir::Account,
    governor: &Governor,
    known: Arc<Known>,
) -> Result<Chain, ServeError> {
    Ok(Chain {
        operator: LocalOperator::new(&account.name, data_dir.uid, &data_dir.credential()?),
        tokens: MadeTokens(Arc::clone(governor.tokens())),
        known,
        failures: Failures::new(config.limits.wrong_credentials),
        clock: Arc::clone(governor.clock()),
    })
}

/// What runs the actions of `execute`.
async fn executor(config: &Config) -> Result<Arc<dyn Executor>, ServeError> {
    Ok(match config.executor.clone() {
        Some(source) => Arc::new(HttpExecutor::start(source).await?),
        None => Arc::new(Noop),
    })
}

fn say_cut(connections: usize) {
    if connections > 0 {
        tracing::warn!(connections, "calls were still under way at the end of the grace period: they are cut off");
    }
}

/// Records what is left to record, and closes the record.
async fn close_record(config: &Config, governor: &Governor, notary: &Notary) {
    if let Err(error) = governor.record_unrecorded().await {
        let lost = *governor.unrecorded().count().borrow();
        tracing::error!(%error, lost, "denials and revocations are not on the record: repeat them");
    }
    if let Err(error) = governor.stop().await {
        tracing::error!(%error, "cannot record the end of this run");
    }
    witnesses::finish(&config.witnesses, notary).await;
    governor.store().shutdown();
    tracing::info!(uptime_seconds = governor.clock().uptime().as_secs(), "stopped");
}

/// Opens the record and restores its state.
async fn start_governor(
    config: &Config,
    data_dir: &DataDir,
    clock: Arc<dyn Clock>,
) -> Result<(Arc<Governor>, Arc<Notary>), ServeError> {
    let policy = config.policy.load()?;
    for warning in policy.warnings() {
        tracing::warn!("{warning}");
    }
    let options = || Options {
        relaxed: config.relaxed_durability,
        patience: config.disk_timeout,
        discard_journal: config.losses.discard_journal,
        on_batch: Some(Arc::new({
            let metrics = Arc::clone(&config.governance.metrics);
            move |jobs, took| metrics.batch(jobs, took)
        })),
        clock: Arc::clone(&clock),
        ..Options::default()
    };
    // The secret comes before the record, because a record without its secret is refused.
    let store_key = data_dir.store_key()?;
    let mut store = Store::open(&data_dir.record(), options())?;
    let files = KeyFiles::new(&config.data_dir);
    let lost =
        if config.losses.begin_new_log { Notary::lost(&store, &files, config.origin.as_deref()).await? } else { None };
    if let Some(lost) = &lost {
        store.shutdown();
        let aside = data_dir.set_record_aside()?;
        tracing::warn!(log = lost.origin, path = %aside.display(), "the key of the log is lost: a new log begins");
        store = Store::open(&data_dir.record(), options())?;
    }
    find_clock_gap(&store, clock.now(), config.confirm_clock).await?;
    let generations = Generations::new(config.policy.clone(), Generation::new(policy, clock.now()));
    let flags = [
        (config.is_dev(), "dev"),
        (config.relaxed_durability, "relaxed-durability"),
        (config.confirm_clock.is_some(), "confirm-clock"),
        (config.losses.discard_journal, "discard-journal"),
        (config.losses.begin_new_log, "begin-new-log"),
    ];
    let flags = flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| flag.to_owned()).collect();
    let settings = config.governance.clone();
    let origin = config.origin.clone();
    witnesses::check(&config.witnesses, &store).await?;
    let notary = Notary::start(store.clone(), files, clock.clone(), getrandom::fill, origin, lost).await?;
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
        tracing::warn!("--durability relaxed: a power loss may remove the last decisions from the record");
    }
    if account.logs_in {
        tracing::warn!(
            user = %account.name,
            "this user can log in: an agent that runs as the same user can read the credential and approve its own \
             actions. Run aegis as a separate user"
        );
    }
}
