//! The network interfaces: listeners, access control, and the protocols. They convert messages;
//! [`governance`](crate::governance) decides.

pub mod access;
pub(crate) mod answer;
pub(crate) mod aside;
pub(crate) mod console;
mod deadline;
mod explain;
pub(crate) mod gate;
pub(crate) mod grpc;
mod linger;
pub(crate) mod listen;
pub(crate) mod measure;
pub(crate) mod places;
mod problem;
pub(crate) mod receive;
pub(crate) mod rest;
mod standing;
pub(crate) mod streams;
mod token_request;
mod trace;
pub(crate) mod transport;
mod unread;
pub(crate) mod web;
mod weigh;
