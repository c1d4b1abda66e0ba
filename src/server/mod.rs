//! The doors: who may come in, and what each protocol says. A door translates; [`governance`](crate::governance) decides.

pub mod access;
pub(crate) mod gate;
pub(crate) mod grpc;
pub(crate) mod listen;
mod standing;
mod trace;

pub use grpc::request::RequestLimits;
