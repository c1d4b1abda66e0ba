//! Why the daemon failed to start.

use std::io;
use std::net::SocketAddr;

use super::data_dir::DataDirError;
use crate::audit::{OpenError, StoreError};
use crate::governance::NotaryError;
use crate::outbound::WitnessError;
use crate::outbound::executor::ExecutorError;
use crate::policy::LoadErrors;
use crate::server::access;

/// Why the daemon failed to start or to continue.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
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
    /// The record does not match a witness, or a witness cannot be used.
    #[error(transparent)]
    Witness(#[from] WitnessError),
    /// The executor cannot be used.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// The notary cannot start.
    #[error(transparent)]
    Notary(#[from] NotaryError),
    /// A listener cannot be bound.
    #[error("cannot listen on {address}: {error}")]
    Bind {
        /// The address.
        address: String,
        /// What the operating system said.
        error: io::Error,
    },
    /// The system lets this process open too few files.
    #[error(
        "this process may open {limit} files, and the daemon needs at least {least}: raise the hard limit \
         (`ulimit -Hn`)"
    )]
    Descriptors {
        /// How many it may open.
        limit: usize,
        /// How many it needs.
        least: usize,
    },
    /// A thread cannot be started.
    #[error("no thread for heavy calls can be started: {0}")]
    Threads(io::Error),
    /// A plaintext listener would be reachable from elsewhere.
    #[error(
        "other machines can reach {0}, and this listener has no TLS: listen on 127.0.0.1 or a unix socket, configure \
         TLS, or set --allow-plaintext"
    )]
    Plaintext(SocketAddr),
    /// Other machines could reach a daemon with `--dev`.
    #[error("--dev gives every caller every role, so it listens on loopback only, not on {0}")]
    DevNotLoopback(SocketAddr),
    /// The daemon has no listener.
    #[error("there is no main listener: give --port, --listen or --uds")]
    NoListener,
    /// A method of the API has no row in the access table.
    #[error(transparent)]
    Access(#[from] access::UnknownMethod),
    /// The compiled-in descriptors are not valid.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}
