//! What an attacker does beside others: it runs on threads of its own until it is told to stop.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::StreamBody;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tower::ServiceExt as _;

use crate::harness::Daemon;

pub(crate) const PROPOSE: &str = "/aegis.v1.GovernanceService/Propose";
pub(crate) const EVALUATE: &str = "/aegis.v1.GovernanceService/Evaluate";

/// An attack that goes on until this is dropped.
pub(crate) struct Attack {
    over: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Attack {
    /// Runs so many of these at once, each again and again.
    ///
    /// The attacker yields to the daemon and to the honest: all of them share the cores of this machine, and what is
    /// measured is the daemon.
    pub(crate) fn of<F: Future<Output = ()> + Send>(
        many: usize,
        attacker: impl Fn(usize) -> F + Send + Sync + 'static,
    ) -> Self {
        let over = CancellationToken::new();
        let stop = over.clone();
        let thread = std::thread::spawn(move || {
            // The lowest priority; a machine that refuses is only noisier.
            let this = std::fs::read_link("/proc/thread-self").ok();
            let this = this.and_then(|path| path.file_name()?.to_str()?.parse().ok());
            let _ = rustix::process::setpriority_process(this.and_then(rustix::process::Pid::from_raw), 19);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let all = futures_util::future::join_all((0..many).map(|n| {
                    let attacker = &attacker;
                    async move {
                        loop {
                            attacker(n).await;
                            tokio::task::yield_now().await;
                        }
                    }
                }));
                tokio::select! {
                    () = stop.cancelled() => {}
                    _ = all => {}
                }
            });
        });
        Self { over, thread: Some(thread) }
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        self.over.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A connection to the main listener that takes so few bytes of an answer before it reads.
pub(crate) async fn reads_nothing(endpoint: &str) -> Channel {
    let endpoint = Endpoint::from_shared(endpoint.to_owned()).expect("the endpoint is a URL");
    endpoint.initial_stream_window_size(1).connect().await.expect("the daemon answers")
}

/// A connection, if the daemon takes one.
pub(crate) async fn connected(endpoint: &str) -> Option<Channel> {
    let endpoint = Endpoint::from_shared(endpoint.to_owned()).expect("the endpoint is a URL");
    tokio::time::timeout(Duration::from_secs(5), endpoint.connect()).await.ok()?.ok()
}

/// How a call ends whose message begins with these bytes and goes on for ever.
pub(crate) async fn half(channel: &Channel, method: &str, begun: Vec<u8>) -> Status {
    half_until(channel, method, begun, CancellationToken::new()).await
}

/// The same until the caller gives up.
pub(crate) async fn half_until(channel: &Channel, method: &str, begun: Vec<u8>, given_up: CancellationToken) -> Status {
    let begun = stream::iter((!begun.is_empty()).then(|| Ok(hyper::body::Frame::data(Bytes::from(begun)))));
    let end = stream::once(async move {
        given_up.cancelled_owned().await;
        Err(Status::cancelled("given up"))
    });
    match send(channel, method, Body::new(StreamBody::new(begun.chain(end)))).await {
        Ok(answer) => Status::from_header_map(answer.headers()).expect("an answer that failed"),
        Err(error) => error,
    }
}

/// A whole message, and its answer, of which nothing but the headers is read.
pub(crate) async fn unread_answer(channel: &Channel, method: &str, message: &Bytes) -> Option<http::Response<Body>> {
    let body = Body::new(http_body_util::Full::new(framed(message)));
    send(channel, method, body).await.ok().filter(|answer| Status::from_header_map(answer.headers()).is_none())
}

/// A whole message, and how its call ended.
pub(crate) async fn whole(channel: &Channel, method: &str, message: &Bytes) -> Status {
    use http_body_util::BodyExt as _;
    let body = Body::new(http_body_util::Full::new(framed(message)));
    let answer = match send(channel, method, body).await {
        Ok(answer) => answer,
        Err(error) => return error,
    };
    if let Some(status) = Status::from_header_map(answer.headers()) {
        return status;
    }
    let trailers = answer.into_body().collect().await.ok().and_then(|body| body.trailers().cloned());
    trailers
        .and_then(|trailers| Status::from_header_map(&trailers))
        .unwrap_or_else(|| Status::new(Code::Unknown, "broken off"))
}

fn framed(message: &Bytes) -> Bytes {
    let mut framed = vec![0];
    framed.extend(u32::try_from(message.len()).expect("a message").to_be_bytes());
    framed.extend(message);
    framed.into()
}

async fn send(channel: &Channel, method: &str, body: Body) -> Result<http::Response<Body>, Status> {
    let request = http::Request::post(format!("http://localhost{method}"));
    let request = request.header("content-type", "application/grpc").header("te", "trailers").body(body).unwrap();
    channel.clone().oneshot(request).await.map_err(|error| Status::unavailable(error.to_string()))
}

/// The protobuf field of bytes: a text, or a message in a message.
pub(crate) fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    prost::encoding::encode_varint(content.len() as u64, &mut bytes);
    bytes.extend(content);
    bytes
}

/// A proposal with this value as its parameter `a`, as bytes: `value` is a `google.protobuf.Value`.
pub(crate) fn with_value(kind: &str, value: &[u8]) -> Bytes {
    let entry = [field(1, b"a"), field(2, value)].concat();
    let action = [field(1, kind.as_bytes()), field(3, &field(1, &entry))].concat();
    field(2, &action).into()
}

/// A list of so many of this value.
pub(crate) fn list(value: &[u8], count: usize) -> Vec<u8> {
    field(6, &field(1, value).repeat(count))
}

/// Many connections that say nothing.
pub(crate) fn dial_many(address: &str, count: usize) -> Vec<std::net::TcpStream> {
    let address = address.trim_start_matches("http://");
    (0..count).map_while(|_| std::net::TcpStream::connect(address).ok()).collect()
}

/// The main listener of a daemon as a socket address.
pub(crate) fn address(daemon: &Daemon) -> String {
    daemon.endpoint.trim_start_matches("http://").to_owned()
}

/// A request of HTTP/1.1, and its answer. The connection ends with it.
pub(crate) async fn over_http(address: &str, method: &str, path: &str, headers: &str, body: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: \
         application/json\r\ncontent-length: {length}\r\n{headers}\r\n"
    );
    let (mut reads, mut writes) = stream.split();
    // What is refused is answered before it has come.
    let sending = async {
        writes.write_all(head.as_bytes()).await.ok()?;
        writes.write_all(body.as_bytes()).await.ok()
    };
    let mut answer = Vec::new();
    let (_, read) = tokio::join!(sending, reads.read_to_end(&mut answer));
    (read.is_ok() || !answer.is_empty()).then(|| String::from_utf8_lossy(&answer).into_owned())
}

/// A request whose body comes by bytes, and never ends.
pub(crate) async fn slowly(address: &str, begun: &str) -> Option<()> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let head = "POST /api/v1/governance/propose HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(begun.as_bytes()).await.ok()?;
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        stream.write_all(b" ").await.ok()?;
    }
}

/// Many requests on one connection, one after another, whose answers nobody reads; until the daemon takes no more.
pub(crate) async fn unread_over_http(address: &str, path: &str) -> Option<()> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let body = r#"{"action": {"type": "read", "target": "crm"}}"#;
    let length = body.len();
    let request = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{body}");
    for _ in 0..2_000 {
        tokio::time::timeout(Duration::from_secs(2), stream.write_all(request.as_bytes())).await.ok()?.ok()?;
    }
    Some(())
}
