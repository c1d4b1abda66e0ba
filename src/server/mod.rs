//! The daemon: listeners, who is calling, the gRPC services. It translates; [`governance`](crate::governance) decides.

pub mod access;
mod admin;
mod admin_service;
mod approval_service;
mod audit_service;
pub mod authenticate;
mod background;
mod config;
pub mod connection;
pub mod data_dir;
mod gate;
mod governance_service;
mod health;
mod listen;
mod policy_service;
mod request;
mod response;
mod run;
mod standing;
mod status;
mod streams;
pub mod tls;
mod trace;
mod witnesses;

use tonic::{Request, Status};

use crate::domain::Caller;
use standing::Standing;

pub use authenticate::IdentitySource;
pub use config::{AdminListener, Anonymous, Config, DEFAULT_ADMIN, Limits};
pub use listen::Listening;
pub use request::RequestLimits;
pub use run::{ServeError, run};
pub use witnesses::{WitnessError, WitnessSource};

/// Who is calling.
fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    standing(request).map(|standing| standing.caller.clone())
}

/// Who is calling, and what that rests on. The gate put it there: a call without one did not pass it.
fn standing<T>(request: &Request<T>) -> Result<&Standing, Status> {
    request.extensions().get::<Standing>().ok_or_else(|| Status::internal("the call did not pass the gate"))
}
