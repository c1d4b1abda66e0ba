//! The gRPC door: reads requests into the domain, calls governance, and writes answers. It decides nothing.

pub(crate) mod admin;
pub(crate) mod approvals;
pub(crate) mod audit;
pub(crate) mod governance;
pub(crate) mod policies;
pub(crate) mod request;
mod response;
pub(crate) mod status;
pub(crate) mod streams;

use tonic::{Request, Status};

use super::standing::Standing;
use crate::domain::Caller;

/// Who is calling.
fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    standing(request).map(|standing| standing.caller.clone())
}

/// Who is calling, and what that rests on. The gate put it there: a call without one did not pass it.
fn standing<T>(request: &Request<T>) -> Result<&Standing, Status> {
    request.extensions().get::<Standing>().ok_or_else(|| Status::internal("the call did not pass the gate"))
}
