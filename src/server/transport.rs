//! HTTP/1.1 and HTTP/2 side by side over one connection's bytes, and the life of that connection.
//!
//! What a connection speaks is seen from its first bytes. It is told to leave when it is old or when the daemon stops, and
//! cut when it has not left in time.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tower::{Service, ServiceExt as _};

use super::listen::Stream;
use super::receive::Room;
use crate::auth::Connection;

/// How often an idle HTTP/2 connection is asked whether it is alive, and how long it may take to answer.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// How much of an HTTP/1.1 request may wait to be read: its headers, and what of its body comes with them.
const HTTP1_BUFFER: usize = 64 << 10;

/// What bounds a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionLimits {
    /// Calls at once over HTTP/2.
    pub(crate) calls: u32,
    /// Bytes of requests that are arriving.
    pub(crate) receiving: usize,
    /// Calls at once that need no credential, where none was shown.
    pub(crate) open_calls: usize,
    /// How long a client may take to send the headers of an HTTP/1.1 request.
    pub(crate) headers: Duration,
    /// How old a connection may be: then it takes no new calls.
    pub(crate) age: Duration,
    /// How long what is under way may go on from there.
    pub(crate) grace: Duration,
}

/// Serves connections with one service.
#[derive(Clone)]
pub(crate) struct Transport<S> {
    service: S,
    builder: Arc<auto::Builder<TokioExecutor>>,
    limits: ConnectionLimits,
    connections: TaskTracker,
    /// Tells every connection to leave.
    stop: CancellationToken,
    /// Cuts those that have not left.
    cut: CancellationToken,
}

impl<S> Transport<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    /// Serves with this service, until told to stop.
    pub(crate) fn new(service: S, limits: ConnectionLimits, stop: CancellationToken) -> Self {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.headers).max_buf_size(HTTP1_BUFFER);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE_EVERY)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .max_concurrent_streams(limits.calls);
        Self {
            service,
            builder: Arc::new(builder),
            limits,
            connections: TaskTracker::new(),
            stop,
            cut: CancellationToken::new(),
        }
    }

    /// Serves a connection in a task of its own.
    pub(crate) fn serve(&self, stream: Stream, connection: Connection) {
        let transport = self.clone();
        let peer = connection.peer;
        self.connections.spawn(async move {
            let cut = transport.cut.clone();
            tokio::select! {
                served = transport.run(stream, Arc::new(connection)) => {
                    if let Err(error) = served {
                        // Whoever goes away in the middle of something, typically.
                        tracing::debug!(%peer, error, "a connection ended badly");
                    }
                }
                () = cut.cancelled() => {}
            }
        });
    }

    async fn run(
        self,
        stream: Stream,
        connection: Arc<Connection>,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let room = Arc::new(Room::new(self.limits.receiving, self.limits.open_calls));
        let service = service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Arc::clone(&connection));
            request.extensions_mut().insert(Arc::clone(&room));
            self.service.clone().oneshot(request)
        });
        let mut serving = pin!(self.builder.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            served = serving.as_mut() => return served,
            () = tokio::time::sleep(self.limits.age) => {}
            () = self.stop.cancelled() => {
                serving.as_mut().graceful_shutdown();
                // How long that may take is for whoever stops the daemon to say.
                return serving.await;
            }
        }
        serving.as_mut().graceful_shutdown();
        // Time is up then: whatever is still under way ends with the connection.
        tokio::time::timeout(self.limits.grace, serving).await.unwrap_or(Ok(()))
    }

    /// Waits until every connection has left, for so long; then cuts what is left, and says how many those were.
    pub(crate) async fn finish(&self, grace: Duration) -> usize {
        self.connections.close();
        if tokio::time::timeout(grace, self.connections.wait()).await.is_ok() {
            return 0;
        }
        let left = self.connections.len();
        self.cut.cancel();
        self.connections.wait().await;
        left
    }
}
