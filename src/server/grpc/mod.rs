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
pub(crate) mod sending;
pub(crate) mod services;
mod status;

use tonic::Request;

use super::deadline::Deadline;
use super::standing::Standing;
use crate::domain::{CallError, Caller};

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
