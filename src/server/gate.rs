//! The gate: every call passes it, is authenticated once, and is let in or refused by the one table.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use http::{Request, Response};
use tonic::body::Body;
use tower::{Layer, Service};
use tracing::Instrument as _;

use super::access::{self, Access};
use super::authenticate::Chain;
use super::connection::Connection;
use super::standing::Standing;
use super::status;
use super::trace;
use crate::domain::Caller;

/// How many calls were refused.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    unauthenticated: AtomicU64,
    permission_denied: AtomicU64,
}

impl Refusals {
    /// The counts in this run: calls without a valid credential, and calls by somebody who may not.
    pub(super) fn total(&self) -> (u64, u64) {
        (self.unauthenticated.load(Ordering::Relaxed), self.permission_denied.load(Ordering::Relaxed))
    }
}

/// Puts the gate before a service.
#[derive(Clone)]
pub(super) struct GateLayer {
    /// Who says who is calling.
    pub(super) authenticator: Arc<Chain>,
    /// Where refusals are counted.
    pub(super) refusals: Arc<Refusals>,
    /// How large a message may be: for those who sent a larger one.
    pub(super) message_bytes: usize,
}

impl GateLayer {
    /// Looks at an answer that is on its way out: counts what a service itself refused, and says clearly what the
    /// transport does not.
    fn dismiss(&self, answer: Response<Body>) -> Response<Body> {
        match tonic::Status::from_header_map(answer.headers()).map(|status| status.code()) {
            Some(tonic::Code::PermissionDenied) => {
                self.refusals.permission_denied.fetch_add(1, Ordering::Relaxed);
                answer
            }
            // Nothing of ours answers so: tonic does, to a message beyond `max_decoding_message_size`.
            Some(tonic::Code::OutOfRange) => status::message_too_large(self.message_bytes).into_http(),
            _ => answer,
        }
    }
}

impl<S> Layer<S> for GateLayer {
    type Service = Gate<S>;

    fn layer(&self, inner: S) -> Gate<S> {
        Gate { inner, layer: self.clone() }
    }
}

/// A service behind the gate.
#[derive(Clone)]
pub(super) struct Gate<S> {
    inner: S,
    layer: GateLayer,
}

impl<S> Gate<S> {
    /// Lets the call in with its [`Standing`] among the extensions, or says why not.
    fn admit(&self, request: &mut Request<Body>) -> Result<(), tonic::Status> {
        let path = request.uri().path();
        let allowed = match access::required(path) {
            Access::Open => return Ok(()),
            Access::AnyOf(roles) => roles,
            Access::Nobody => return Err(tonic::Status::unimplemented("no role may call this method")),
        };
        let Some(connection) = request.extensions().get::<Arc<Connection>>() else {
            return Err(tonic::Status::internal("the call came over no known connection"));
        };
        let identity = self.layer.authenticator.authenticate(connection, request.headers()).map_err(|error| {
            self.layer.refusals.unauthenticated.fetch_add(1, Ordering::Relaxed);
            status::unauthenticated(error)
        })?;
        if !identity.roles.meets(allowed) {
            let (counter, refusal) = if identity.is_authenticated() {
                (&self.layer.refusals.permission_denied, status::role_required(&identity, allowed))
            } else {
                (&self.layer.refusals.unauthenticated, status::credential_required(allowed))
            };
            counter.fetch_add(1, Ordering::Relaxed);
            return Err(refusal);
        }
        let standing = Standing {
            caller: Caller { identity, connection: connection.id, peer: connection.peer.known() },
            needs: allowed,
            connection: Arc::clone(connection),
            authorization: request.headers().get(AUTHORIZATION).cloned(),
            authenticator: Arc::clone(&self.layer.authenticator),
        };
        request.extensions_mut().insert(standing);
        Ok(())
    }
}

type Answer<E> = Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>>;

impl<S> Service<Request<Body>> for Gate<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answer<S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if let Err(refusal) = self.admit(&mut request) {
            tracing::debug!(method = request.uri().path(), code = ?refusal.code(), "call refused");
            return Box::pin(std::future::ready(Ok(refusal.into_http())));
        }
        let span = trace::request_span(&request);
        // `inner` was polled ready; its clone was not.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        let layer = self.layer.clone();
        Box::pin(async move { Ok(layer.dismiss(inner.call(request).await?)) }.instrument(span))
    }
}
