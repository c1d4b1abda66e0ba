//! The lower bound: a bare tonic server that reads a request of the same size and answers with the same number of
//! bytes.
//!
//! It runs in a separate process with the same kind of runtime as the daemon: the bench binary starts itself with
//! `echo SOCKET BYTES`.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::{self, Either, Pending, Ready};
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tower::Service;

use super::raw::Raw;

/// The limit on concurrent calls of a connection: the same as the daemon's in the measurement of memory.
const CALLS_PER_CONNECTION: u32 = 20_000;

/// Answers calls of every method of the service, except `AwaitDecision`, which never ends.
#[derive(Clone)]
struct Echo {
    answer: Bytes,
}

impl NamedService for Echo {
    const NAME: &'static str = "aegis.v1.GovernanceService";
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let waits = request.uri().path().ends_with("/AwaitDecision");
        let answer = Answer { bytes: self.answer.clone(), waits };
        Box::pin(async move { Ok(Grpc::new(Raw).unary(answer, request).await) })
    }
}

/// The handler of a request after it was read.
struct Answer {
    bytes: Bytes,
    waits: bool,
}

impl UnaryService<Bytes> for Answer {
    type Response = Bytes;
    type Future = Either<Ready<Result<Response<Bytes>, Status>>, Pending<Result<Response<Bytes>, Status>>>;

    fn call(&mut self, _: Request<Bytes>) -> Self::Future {
        if self.waits {
            return Either::Right(future::pending());
        }
        Either::Left(future::ready(Ok(Response::new(self.bytes.clone()))))
    }
}

/// Serves on this socket and on a TCP port until it is killed. Prints the port as the daemon does.
pub(crate) fn serve(socket: &Path, answer_bytes: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let echo = Echo { answer: vec![b'x'; answer_bytes].into() };
    runtime.block_on(async {
        let tcp =
            TcpIncoming::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port").with_nodelay(Some(true));
        let unix = UnixListenerStream::new(UnixListener::bind(socket).expect("a socket"));
        println!("listening on http://{}", tcp.local_addr().expect("a port"));
        println!("listening on unix:{}", socket.display());
        let server = || Server::builder().max_concurrent_streams(CALLS_PER_CONNECTION).add_service(echo.clone());
        let both = tokio::try_join!(server().serve_with_incoming(tcp), server().serve_with_incoming(unix));
        both.expect("the transport works");
    });
}
