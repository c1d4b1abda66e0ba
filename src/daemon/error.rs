//! Why the daemon could not start.

use std::io;
use std::net::SocketAddr;

use super::data_dir::DataDirError;
use crate::audit::{OpenError, StoreError};
use crate::governance::NotaryError;
use crate::outbound::WitnessError;
use crate::policy::LoadErrors;
use crate::server::access;

/// The daemon could not start, or not go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The policy is not valid.
    #[error("the policy is not valid:\n{0}")]
    Policy(#[from] LoadErrors),
    /// The identities file, or what it names, is not valid.
    #[error("the identities are not valid:\n{0}")]
    Identities(LoadErrors),
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The record cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The record cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The record is not what a witness has seen, or a witness cannot be told.
    #[error(transparent)]
    Witness(#[from] WitnessError),
    /// The log cannot be signed for.
    #[error(transparent)]
    Notary(#[from] NotaryError),
    /// A listener cannot be bound.
    #[error("cannot listen on {address}: {error}")]
    Bind {
        /// Where.
        address: String,
        /// What the operating system said.
        error: io::Error,
    },
    /// The system lets this process open too few files.
    #[error(
        "this process may open {limit} files, and the daemon needs at least {least}: raise the hard limit (`ulimit -Hn`)"
    )]
    Descriptors {
        /// How many it may open.
        limit: usize,
        /// How many it needs.
        least: usize,
    },
    /// A plaintext listener would be reachable from elsewhere.
    #[error(
        "{0} can be reached from other machines, and this listener has no TLS: listen on 127.0.0.1 or a unix socket, or say \
         --allow-plaintext"
    )]
    Plaintext(SocketAddr),
    /// `--dev` would be reachable from elsewhere.
    #[error("--dev gives every caller every role, so it listens on loopback only, not on {0}")]
    DevNotLoopback(SocketAddr),
    /// Nobody could call.
    #[error("there is no main listener: give --port, --listen or --uds")]
    NoListener,
    /// A method of the API has no role.
    #[error(transparent)]
    Access(#[from] access::UnknownMethod),
    /// The descriptors that were compiled in are not valid.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}
