//! The gRPC interface: converts requests to the domain, calls governance, and converts the results. It decides nothing.

mod admin;
mod approvals;
mod audit;
mod audit_stream;
mod control;
mod filters;
mod governance;
pub(crate) mod health;
mod page;
mod policies;
mod request;
mod response;
pub(crate) mod services;
mod status;

use std::pin::Pin;

use futures_util::{Stream, StreamExt as _};
use prost::Message as _;
use tonic::{Request, Response, Status};

use super::deadline::Deadline;
use super::standing::Standing;
use super::streams;
use crate::domain::{CallError, Caller};
use crate::proto::v1;

/// The caller.
fn caller<T>(request: &Request<T>) -> Result<Caller, CallError> {
    standing(request).map(|standing| standing.caller.clone())
}

/// The caller with its credential. The gate adds it to every call that it admits.
fn standing<T>(request: &Request<T>) -> Result<&Standing, CallError> {
    request.extensions().get::<Standing>().ok_or_else(|| CallError::internal("the call did not pass the gate"))
}

/// The deadline of the caller.
fn deadline<T>(request: &Request<T>) -> Deadline {
    request.extensions().get().copied().unwrap_or_default()
}

/// The stream of responses, as tonic takes it.
type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

macro_rules! buffered {
    ($($message:ty),+) => {
        $(impl streams::Buffered for $message {
            fn bytes(&self) -> usize {
                self.encoded_len()
            }
        })+
    };
}

buffered!(v1::StreamApprovalsResponse, v1::StreamAuditResponse, v1::WatchPolicyResponse);

/// The response that sends these messages.
fn sending<T: 'static>(messages: streams::Messages<T>) -> Response<Messages<T>> {
    Response::new(Box::pin(messages.map(|message| message.map_err(Status::from))))
}
