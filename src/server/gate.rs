//! The gate, which every call of every protocol passes. It authenticates the call once, and the table in [`access`]
//! decides whether to admit it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::Router;
use http::header::{AUTHORIZATION, CONTENT_TYPE, ORIGIN};
use http::{HeaderValue, Request, Response, Version};
use tonic::Status;
use tonic::body::Body;
use tower::{Service, ServiceExt as _};
use tracing::{Instrument as _, Span};

use super::access::{self, Access, Route};
use super::answer::Answers;
use super::aside::{self, Aside};
use super::deadline::Deadline;
use super::grpc::sending::with_messages;
use super::measure::{self, Measured};
use super::problem::{self, Failed};
use super::receive::{Kind, Load, Receiver, Shape, bytes, room};
use super::standing::Standing;
use super::web::Hosts;
use super::{explain, trace};
use crate::auth::{Chain, Connection};
use crate::domain::{CallError, Caller, Defence, ErrorCode, Roles};
use crate::metrics::Metrics;

/// The headers about compression (gRPC over HTTP/2, "Message-Encoding"), and the name of none.
const ENCODING: &str = "grpc-encoding";
const ACCEPT_ENCODING: &str = "grpc-accept-encoding";
const IDENTITY: &str = "identity";

/// Counts refused calls.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    unauthenticated: AtomicU64,
    permission_denied: AtomicU64,
}

impl Refusals {
    /// The counts of this run: calls without a valid credential, and calls without a required role.
    pub(crate) fn total(&self) -> (u64, u64) {
        (self.unauthenticated.load(Ordering::Relaxed), self.permission_denied.load(Ordering::Relaxed))
    }

    fn count(&self, code: ErrorCode) {
        let counter = match code {
            ErrorCode::CredentialRequired | ErrorCode::CredentialInvalid | ErrorCode::TooManyFailures => {
                &self.unauthenticated
            }
            ErrorCode::RoleRequired | ErrorCode::CrossOrigin => &self.permission_denied,
            _ => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// The settings of the gate.
pub(crate) struct GateKeeper {
    /// The authenticators.
    pub(crate) authenticator: Arc<Chain>,
    /// What is counted for Prometheus.
    pub(crate) metrics: Arc<Metrics>,
    /// The counter of refusals.
    pub(crate) refusals: Arc<Refusals>,
    /// What receives requests.
    pub(crate) receiver: Receiver,
    /// What bounds answers that nobody reads.
    pub(crate) answers: Answers,
    /// Where large requests are read.
    pub(crate) aside: Aside,
    /// How large a message may be: for those who sent a larger one.
    pub(crate) message_bytes: usize,
    /// The names of this daemon.
    pub(crate) hosts: Hosts,
}

/// The gRPC services and the REST API behind the gate.
#[derive(Clone)]
pub(crate) struct Gate<S> {
    keeper: Arc<GateKeeper>,
    grpc: S,
    rest: Router,
}

/// The protocol of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Grpc,
    Http,
}

impl Protocol {
    /// A gRPC call uses HTTP/2 and a content type of gRPC (`application/grpc`, `application/grpc+proto`). A web page
    /// cannot send that content type without a CORS preflight, and the daemon answers none.
    fn of<B>(request: &Request<B>) -> Self {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        match kind.strip_prefix("application/grpc") {
            Some(rest) if request.version() == Version::HTTP_2 && (rest.is_empty() || rest.starts_with(['+', ';'])) => {
                Self::Grpc
            }
            _ => Self::Http,
        }
    }

    fn route<B>(self, request: &Request<B>) -> Route<'_> {
        match self {
            Self::Grpc => Route::Grpc(request.uri().path()),
            Self::Http => Route::Http(request.method().as_str(), request.uri().path()),
        }
    }

    /// How a request of it arrives.
    fn shape<B>(self, request: &Request<B>) -> Shape {
        match self {
            Self::Grpc if access::sends_a_stream(request.uri().path()) => Shape::Messages,
            Self::Grpc => Shape::Message,
            Self::Http => Shape::Bytes,
        }
    }

    fn refuse(self, error: CallError) -> Response<Body> {
        match self {
            Self::Grpc => {
                let is_about_compression = error.code == ErrorCode::UnsupportedCompression;
                let mut answer = Status::from(error).into_http();
                if is_about_compression {
                    answer.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static(IDENTITY));
                }
                answer
            }
            Self::Http => problem::response(error),
        }
    }
}

impl GateKeeper {
    /// Admits the call and adds its [`Standing`] and its [`Deadline`] to the extensions, or refuses it.
    fn admit(&self, protocol: Protocol, request: &mut Request<Body>) -> Result<Deadline, CallError> {
        match protocol {
            Protocol::Http => self.hosts.check(request)?,
            Protocol::Grpc if request.headers().contains_key(ORIGIN) && Defence::Origin.on() => {
                let message = "a web page sent this call, and gRPC is not for web pages";
                return Err(CallError::new(ErrorCode::CrossOrigin, message));
            }
            Protocol::Grpc => {}
        }
        let allowed = match access::required(protocol.route(request)) {
            Access::Open => Roles::NONE,
            Access::AnyOf(roles) => roles,
            Access::Unknown => return Err(unknown(protocol, request)),
        };
        if protocol == Protocol::Grpc && is_compressed(request) {
            let message = "the message is compressed (grpc-encoding), and the daemon reads no compression";
            return Err(CallError::new(ErrorCode::UnsupportedCompression, message));
        }
        let deadline = match protocol {
            Protocol::Http => Some(Deadline::default()),
            Protocol::Grpc => Deadline::read(request.headers(), Instant::now()),
        };
        let Some(deadline) = deadline else {
            return Err(CallError::invalid_field(
                "grpc-timeout",
                "is at most eight digits and one of H, M, S, m, u, n",
            ));
        };
        request.extensions_mut().insert(deadline);
        if allowed.is_empty() {
            return Ok(deadline);
        }
        let Some(connection) = request.extensions().get::<Arc<Connection>>() else {
            return Err(CallError::internal("the call has no connection"));
        };
        let identity = self.authenticator.authenticate(connection, request.headers())?;
        if !identity.roles.meets(allowed) {
            return Err(if identity.is_authenticated() {
                access::role_required(&identity, allowed)
            } else {
                credential_required(allowed)
            });
        }
        let standing = Standing {
            caller: Caller { identity, connection: connection.id, peer: connection.peer.known() },
            needs: allowed,
            connection: Arc::clone(connection),
            authorization: request.headers().get(AUTHORIZATION).cloned(),
            authenticator: Arc::clone(&self.authenticator),
        };
        request.extensions_mut().insert(standing);
        Ok(deadline)
    }

    /// Checks each response: counts refusals by the services, and adds a reason to a status of gRPC that has none.
    fn dismiss(&self, protocol: Protocol, answer: Response<Body>, open: bool) -> Response<Body> {
        if protocol == Protocol::Http {
            if let Some(Failed(code)) = answer.extensions().get() {
                self.refusals.count(*code);
            }
            return answer;
        }
        if Status::from_header_map(answer.headers()).is_some_and(|it| it.code() == tonic::Code::PermissionDenied) {
            self.refusals.count(ErrorCode::RoleRequired);
        }
        let answer = explain::headers(answer, self.message_bytes);
        if open { explain::trailers(answer, self.message_bytes) } else { answer }
    }
}

/// Whether the messages of a call are compressed.
fn is_compressed<B>(request: &Request<B>) -> bool {
    request.headers().get(ENCODING).is_some_and(|encoding| encoding != IDENTITY)
}

/// The error for a path without a row. It is always the same, so that a caller learns nothing from it.
fn unknown<B>(protocol: Protocol, request: &Request<B>) -> CallError {
    let path = request.uri().path();
    if protocol == Protocol::Http && access::required(Route::Grpc(path)) != Access::Unknown {
        let message = "this is a gRPC method: send it as gRPC, with the content type application/grpc";
        return CallError::new(ErrorCode::UnsupportedContentType, message);
    }
    if protocol == Protocol::Grpc {
        return CallError::new(ErrorCode::UnknownMethod, "there is no such method; reflection lists all methods");
    }
    match access::methods_at(path).as_slice() {
        [] => {
            CallError::new(ErrorCode::UnknownMethod, "there is nothing at this path; `/openapi.json` lists all paths")
        }
        methods => problem::wrong_method(request.method(), methods),
    }
}

/// The error for a call without a required credential.
fn credential_required(allowed: Roles) -> CallError {
    let message = format!(
        "this needs a credential with one of these roles: {allowed}; call over the socket in the daemon's data \
         directory, or send `authorization: Bearer TOKEN`"
    );
    CallError::new(ErrorCode::CredentialRequired, message)
}

impl<S> Gate<S> {
    /// Puts the gate in front of these gRPC services and this REST API.
    pub(crate) fn new(keeper: GateKeeper, grpc: S, rest: Router) -> Self {
        Self { keeper: Arc::new(keeper), grpc, rest }
    }
}

type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl<S> Service<Request<Body>> for Gate<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.grpc.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let protocol = Protocol::of(&request);
        let measured = Measured::begin(&self.keeper.metrics, protocol.route(&request));
        let admitted = self.keeper.admit(protocol, &mut request);
        let admitted = admitted.and_then(|deadline| Ok((deadline, self.keeper.receiver.place(&request)?)));
        let (deadline, place) = match admitted {
            Ok(admitted) => admitted,
            Err(error) => {
                self.keeper.refusals.count(error.code);
                let connection = request.extensions().get::<Arc<Connection>>().map(Arc::as_ref);
                measure::refused(&self.keeper.metrics, error.code, request.headers(), connection);
                tracing::debug!(path = request.uri().path(), code = %error.code, "call refused");
                let answer = protocol.refuse(error);
                let span = trace::request_span(protocol.route(&request), measured.method(), &request);
                measured.end(&answer, &span);
                return Box::pin(std::future::ready(Ok(answer)));
            }
        };
        let is_open = request.extensions().get::<Standing>().is_none();
        let span = trace::request_span(protocol.route(&request), measured.method(), &request);
        // `grpc` was polled ready; its clone was not.
        let ready = self.grpc.clone();
        let mut grpc = std::mem::replace(&mut self.grpc, ready);
        let (keeper, rest) = (Arc::clone(&self.keeper), self.rest.clone());
        let under_way = request.extensions().get::<Arc<Connection>>().map(|connection| connection.activity.call());
        let answering = async move {
            let _under_way = under_way;
            let shape = protocol.shape(&request);
            let kind = Kind::of(&request);
            let keeps = match room(&request) {
                Ok(room) if !access::answers_with_a_stream(protocol.route(&request)) => Some(Arc::clone(room)),
                _ => None,
            };
            let answering = async {
                let mut request = match keeper.receiver.receive(request, shape).await {
                    Ok(request) => request,
                    Err(error) => return Ok::<_, Infallible>(protocol.refuse(error)),
                };
                let heavy =
                    aside::heavy(protocol.route(&request), bytes(&request)).filter(|_| Defence::HeavyAside.on());
                let is_known = matches!(kind, Kind::Known | Kind::Private);
                let of_call = Arc::clone(&keeper);
                let reading = async move {
                    if let Err(error) = of_call.receiver.load(&mut request, shape).await {
                        return Ok::<_, Infallible>(protocol.refuse(error));
                    }
                    // Held here as well, because a service drops the extensions when it has read the message.
                    let load = request.extensions().get::<Load>().cloned();
                    let answer = match protocol {
                        Protocol::Grpc => with_messages(grpc.call(request).await?),
                        Protocol::Http => rest.oneshot(request).await.map(|answer| answer.map(Body::new))?,
                    };
                    if let Some(load) = load {
                        load.release();
                    }
                    let Some(room) = keeps else { return Ok(answer) };
                    let kept = of_call.answers.keep(kind, &room, answer).await;
                    Ok(kept.unwrap_or_else(|error| protocol.refuse(error)))
                };
                let Some(heavy) = heavy else { return reading.await };
                let ended = keeper.aside.run(is_known, heavy, reading.in_current_span()).await;
                ended.unwrap_or_else(|| Ok(protocol.refuse(CallError::internal("the call broke off"))))
            };
            let answer = match deadline.at() {
                None => answering.await?,
                Some(at) => tokio::time::timeout_at(at.into(), answering).await.unwrap_or_else(|_| {
                    let message = "the caller's deadline passed before the response was ready";
                    Ok(protocol.refuse(CallError::new(ErrorCode::DeadlineExceeded, message)))
                })?,
            };
            let answer = keeper.dismiss(protocol, answer, is_open);
            measured.end(&answer, &Span::current());
            Ok(match place {
                Some(place) => place.until_sent(answer),
                None => answer,
            })
        };
        Box::pin(answering.instrument(span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_grpc_by_its_version_and_content_type() {
        for (kind, protocol) in [
            ("application/grpc", Protocol::Grpc),
            ("application/grpc+proto", Protocol::Grpc),
            ("application/grpc;charset=utf-8", Protocol::Grpc),
            ("application/grpc-web", Protocol::Http),
            ("application/grpc-web+proto", Protocol::Http),
            ("text/plain", Protocol::Http),
            ("application/json", Protocol::Http),
            ("", Protocol::Http),
        ] {
            let request = |version| Request::builder().version(version).header(CONTENT_TYPE, kind).body(()).unwrap();
            assert_eq!(Protocol::of(&request(Version::HTTP_2)), protocol, "{kind}");
            assert_eq!(Protocol::of(&request(Version::HTTP_11)), Protocol::Http, "{kind}");
        }
        assert_eq!(Protocol::of(&Request::new(())), Protocol::Http);
    }
}
