//! Serves HTTP/1.1 and HTTP/2 on a connection, and ends the connection in time.
//!
//! The first bytes of a connection show its protocol. When a connection is old, or the daemon stops, the client is
//! asked to close it. If the client does not close it in time, the daemon does.

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

use super::linger::Lingering;
use super::listen::Stream;
use super::receive::Room;
use crate::auth::Connection;
use crate::domain::ConnectionId;

/// How often an idle HTTP/2 connection gets a ping, and how long the reply may take.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// The read buffer of an HTTP/1.1 connection: the headers, and the part of the body that arrives with them.
const HTTP1_BUFFER: usize = 64 << 10;
/// What is kept of one answer over HTTP/2 while its client reads nothing, beside what the answer itself counts.
const HTTP2_BUFFER: usize = 8 << 10;

/// The limits of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionLimits {
    /// The most concurrent calls over HTTP/2.
    pub(crate) calls: u32,
    /// Bytes of requests that are arriving.
    pub(crate) receiving: usize,
    /// Calls at once that need no credential, where none was shown.
    pub(crate) open_calls: usize,
    /// How long a client may take to send the headers of an HTTP/1.1 request.
    pub(crate) headers: Duration,
    /// The age after which a connection accepts no new calls.
    pub(crate) age: Duration,
    /// How long running calls may continue after that.
    pub(crate) grace: Duration,
}

/// Serves connections with a service.
#[derive(Clone)]
pub(crate) struct Transport<S> {
    service: S,
    builder: Arc<auto::Builder<TokioExecutor>>,
    limits: ConnectionLimits,
    connections: TaskTracker,
    /// Called with each connection that is closed.
    closed: Arc<dyn Fn(ConnectionId) + Send + Sync>,
    /// Asks every client to close its connection.
    stop: CancellationToken,
    /// Closes the connections that are still open.
    cut: CancellationToken,
}

impl<S> Transport<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    /// Creates a server of this service, which runs until told to stop. It calls `closed` for each closed connection.
    pub(crate) fn new(
        service: S,
        limits: ConnectionLimits,
        closed: impl Fn(ConnectionId) + Send + Sync + 'static,
        stop: CancellationToken,
    ) -> Self {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.headers).max_buf_size(HTTP1_BUFFER);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE_EVERY)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .max_concurrent_streams(limits.calls)
            .max_send_buf_size(HTTP2_BUFFER);
        Self {
            service,
            builder: Arc::new(builder),
            limits,
            connections: TaskTracker::new(),
            closed: Arc::new(closed),
            stop,
            cut: CancellationToken::new(),
        }
    }

    /// Serves a connection in a separate task.
    pub(crate) fn serve(&self, stream: Stream, connection: Connection) {
        let transport = self.clone();
        let (peer, id, closed) = (connection.peer, connection.id, Arc::clone(&self.closed));
        self.connections.spawn(async move {
            let cut = transport.cut.clone();
            tokio::select! {
                served = transport.run(stream, Arc::new(connection)) => {
                    if let Err(error) = served {
                        // Usually a client that disconnected during a call.
                        tracing::debug!(%peer, error, "a connection ended with an error");
                    }
                }
                () = cut.cancelled() => {}
            }
            closed(id);
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
        let mut serving = pin!(self.builder.serve_connection(TokioIo::new(Lingering::new(stream)), service));
        tokio::select! {
            served = serving.as_mut() => return served,
            () = tokio::time::sleep(self.limits.age) => {}
            () = self.stop.cancelled() => {
                serving.as_mut().graceful_shutdown();
                // The shutdown of the daemon has its own time limit.
                return serving.await;
            }
        }
        serving.as_mut().graceful_shutdown();
        // The time is over: running calls end with the connection.
        tokio::time::timeout(self.limits.grace, serving).await.unwrap_or(Ok(()))
    }

    /// Waits up to this time until every connection is closed. Then closes the rest, and returns their number.
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
