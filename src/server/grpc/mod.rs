//! The gRPC door: reads requests into the domain, calls governance, and writes answers. It decides nothing.

mod admin;
mod approvals;
mod audit;
mod governance;
mod policies;
mod request;
mod response;
pub(crate) mod services;
mod status;
pub(crate) mod streams;

use tonic::Request;

use super::deadline::Deadline;
use super::standing::Standing;
use crate::domain::{CallError, Caller};

/// Who is calling.
fn caller<T>(request: &Request<T>) -> Result<Caller, CallError> {
    standing(request).map(|standing| standing.caller.clone())
}

/// Who is calling, and what that rests on. The gate put it there: a call without one did not pass it.
fn standing<T>(request: &Request<T>) -> Result<&Standing, CallError> {
    request.extensions().get::<Standing>().ok_or_else(|| CallError::internal("the call did not pass the gate"))
}

/// Until when the caller waits for an answer.
fn deadline<T>(request: &Request<T>) -> Deadline {
    request.extensions().get().copied().unwrap_or_default()
}
