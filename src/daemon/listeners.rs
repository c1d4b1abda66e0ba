//! Checks, binds and starts the listeners of the daemon.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::{AdminListener, Config, DEFAULT_ADMIN, Limits};
use super::data_dir::DataDir;
use super::descriptors::Connections;
use super::error::ServeError;
use crate::auth::{Connection, Known, Listener};
use crate::domain::Defence;
use crate::governance::Governor;
use crate::server::listen::{self, Bound, Door, Stream, bind_tcp};
use crate::server::places::Places;

/// The addresses of a running daemon.
#[derive(Clone, Debug)]
pub(crate) struct Listening {
    /// The main listener in the form for the command line: `http://127.0.0.1:50051`, `unix:/run/aegis/agent.sock`.
    pub endpoints: Vec<String>,
    /// The admin listener, if there is one.
    pub admin: Option<SocketAddr>,
    /// How many rules are in force.
    pub rules: usize,
    /// The revision of the policy in force.
    pub revision: crate::domain::Digest,
}

/// Refuses listeners that the wrong callers could reach.
pub(crate) fn check_reach(config: &Config) -> Result<(), ServeError> {
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

/// Refuses a listener without TLS on a routable address, unless the operator allows it.
pub(crate) fn check_plaintext(config: &Config) -> Result<(), ServeError> {
    match config.tcp.iter().find(|address| !address.ip().is_loopback()) {
        Some(address) if !config.allow_plaintext => Err(ServeError::Plaintext(*address)),
        _ => Ok(()),
    }
}

/// The bound listeners, which do not accept connections yet.
pub(crate) struct Listeners {
    bound: Vec<(Bound, Listener, Option<Arc<Known>>)>,
    /// Their addresses.
    pub(crate) listening: Listening,
}

/// Binds every listener.
pub(crate) fn bind(
    config: &Config,
    data_dir: &DataDir,
    governor: &Arc<Governor>,
    known: &Arc<Known>,
) -> Result<Listeners, ServeError> {
    let main = Listener::Main { anonymous: config.anonymous.roles() };
    let tls = known.load().tls.is_some().then(|| Arc::clone(known));
    let scheme = if tls.is_some() { "https" } else { "http" };
    let mut bound = Vec::new();
    let mut endpoints = Vec::new();
    for address in &config.tcp {
        let at = |error| ServeError::Bind { address: address.to_string(), error };
        let listener = bind_tcp(*address).map_err(at)?;
        endpoints.push(format!("{scheme}://{}", listener.local_addr().map_err(at)?));
        bound.push((Bound::Tcp(listener), main, tls.clone()));
    }
    // If the identities file names users, the mode of the socket keeps other users out too.
    let mode = if known.load().names_users { 0o660 } else { 0o666 };
    for path in &config.unix {
        endpoints.push(format!("unix:{}", path.display()));
        bound.push((bind_unix(path, mode)?, main, None));
    }
    // For agents of the daemon's own user. Another process can listen on the port in place of the daemon, but not
    // here.
    let agents = data_dir.agent_socket();
    if !config.unix.contains(&agents) {
        bound.push((bind_unix(&agents, 0o600)?, main, None));
    }
    let private = data_dir.socket();
    bound.push((bind_unix(&private, 0o600)?, Listener::Private, None));
    if let Some(endpoint) = endpoints.first() {
        data_dir.announce(endpoint)?;
    }

    let generation = governor.generations().current();
    let (rules, revision) = (generation.policy.rules().len(), generation.policy.revision());
    Ok(Listeners { bound, listening: Listening { endpoints, admin: None, rules, revision } })
}

impl Listeners {
    /// Accepts connections on every listener until told to stop.
    pub(crate) fn accept<F>(
        self,
        limits: &Limits,
        connections: Connections,
        serve: &F,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) where
        F: Fn(Stream, Connection) + Clone + Send + 'static,
    {
        // People have their own: agents that take every connection cannot keep a reviewer out.
        let (main, private) = (Places::new(connections.main), Places::new(connections.private));
        for (bound, listener, tls) in self.bound {
            let has_its_own = listener == Listener::Private && Defence::PrivatePlaces.on();
            let places = if has_its_own { &private } else { &main };
            let (places, serve, stop) = (Arc::clone(places), serve.clone(), stop.clone());
            let (patience, bound_by) = (limits.handshake, "--max-connections");
            let door = Door { listener, tls, patience, places, bound_by, serve, stop };
            tasks.spawn(listen::accept(bound, door));
        }
    }
}

pub(crate) async fn bind_admin(config: &Config) -> Result<Option<TcpListener>, ServeError> {
    let address = match config.admin {
        AdminListener::Off => return Ok(None),
        AdminListener::Default => DEFAULT_ADMIN,
        AdminListener::At(address) => address,
    };
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if config.admin == AdminListener::Default => {
            tracing::warn!(%address, %error, "no admin listener: set --admin-listen for probes and metrics");
            Ok(None)
        }
        Err(error) => Err(ServeError::Bind { address: address.to_string(), error }),
    }
}

fn bind_unix(path: &Path, mode: u32) -> Result<Bound, ServeError> {
    listen::bind_unix(path, mode)
        .map_err(|error| ServeError::Bind { address: format!("unix:{}", path.display()), error })
}
