//! [`Call`]: a request that passed the gate. [`Answer`]: what a handler gives back.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, RawPathParams, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::{self, HeaderValue};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::read;
use crate::audit::StoreError;
use crate::domain::check::MAX_WAIT;
use crate::domain::{CallError, Caller, times};
use crate::governance::{BeforeWait, GovernanceError, NotaryError};
use crate::server::receive::Load;
use crate::server::standing::Standing;
use crate::server::streams::Messages;
use crate::server::{problem, trace};

/// A request that passed the gate, and has arrived whole.
pub(super) struct Call {
    standing: Option<Standing>,
    load: Option<Load>,
    headers: HeaderMap,
    path: Vec<(String, String)>,
    query: String,
    body: Bytes,
}

impl<S: Send + Sync> FromRequest<S> for Call {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        let path = <RawPathParams as axum::extract::FromRequestParts<S>>::from_request_parts(&mut parts, state).await;
        let path = path.map_err(|error| CallError::invalid_field("", format!("the path is wrong: {error}")))?;
        let body = body.collect().await.map_err(|error| CallError::internal(error.to_string()))?;
        Ok(Self {
            standing: parts.extensions.remove(),
            load: parts.extensions.remove(),
            path: path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers,
            body: body.to_bytes(),
        })
    }
}

impl Call {
    /// The caller with its credential. The gate adds it to every call that it admits.
    pub(super) fn standing(&self) -> Result<&Standing, CallError> {
        self.standing.as_ref().ok_or_else(|| CallError::internal("the call did not pass the gate"))
    }

    /// The caller.
    pub(super) fn caller(&self) -> Result<&Caller, CallError> {
        self.standing().map(|standing| &standing.caller)
    }

    /// The trace id that the caller sent, or empty.
    pub(super) fn trace_id(&self) -> String {
        trace::trace_id(&self.headers)
    }

    /// Gives back what is held for the request, before a call waits.
    pub(super) fn before_wait(&self) -> Option<BeforeWait> {
        let load = self.load.clone()?;
        Some(BeforeWait(Arc::new(move || load.release())))
    }

    /// A header, if it was sent as text.
    pub(super) fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// An id that the path names.
    pub(super) fn id<T: FromStr>(&self, name: &str) -> Result<T, CallError>
    where
        T::Err: Display,
    {
        let text = self.path.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value);
        text.parse().map_err(|error: T::Err| CallError::invalid_field(name, error.to_string()))
    }

    /// The query.
    pub(super) fn query<T: DeserializeOwned>(&self) -> Result<T, CallError> {
        read::query(&self.query)
    }

    /// The body, as it was sent.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// The body, an object.
    pub(super) fn body<T: DeserializeOwned>(&self) -> Result<T, CallError> {
        read::body(&self.body)
    }
}

/// A duration to wait, as the API writes it: `30s`, `5m`. At most an hour.
pub(super) fn wait(field: &str, text: Option<&str>, default: Duration) -> Result<Duration, CallError> {
    let Some(text) = text else { return Ok(default) };
    match times::duration(text) {
        Ok(wait) if wait <= MAX_WAIT => Ok(wait),
        Ok(_) => Err(CallError::invalid_field(field, "at most one hour: ask again")),
        Err(why) => Err(CallError::invalid_field(field, why)),
    }
}

/// Why a call failed.
#[derive(Debug)]
pub(super) struct Failure(CallError);

/// What a handler gives back.
pub(super) type Answer = Result<Response, Failure>;

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self(error)
    }
}

impl From<GovernanceError> for Failure {
    fn from(error: GovernanceError) -> Self {
        Self(error.into())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self(error.into())
    }
}

impl From<NotaryError> for Failure {
    fn from(error: NotaryError) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        problem::response(self.0).map(Body::new)
    }
}

/// A JSON document.
pub(super) fn json(status: StatusCode, document: &impl Serialize) -> Answer {
    let text = serde_json::to_vec(document).map_err(|error| CallError::internal(error.to_string()))?;
    Ok(with_type(status, "application/json", text))
}

/// A body that is sent while it is made. If it breaks off, its connection does.
pub(super) fn streamed(messages: Messages) -> Body {
    Body::from_stream(messages.map(|part| part.map_err(|broken| broken.error)))
}

/// A body of this media type. Nothing of the API may be kept by a cache.
pub(super) fn with_type(status: StatusCode, media_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
