//! What all operations share.

use std::sync::Arc;

use crate::domain::JsonLimits;
use crate::governance::{Executions, Governor, Notary};
use crate::outbound::witnesses::Witnesses;
use crate::server::console::SignInCodes;
use crate::server::streams::Streams;

/// The shared parts of the operations.
pub(crate) struct Services {
    /// Decides and records.
    pub(crate) governor: Arc<Governor>,
    /// Signs checkpoints.
    pub(crate) notary: Arc<Notary>,
    /// The witnesses of checkpoints.
    pub(crate) witnesses: Arc<Witnesses>,
    /// Runs actions.
    pub(crate) executions: Arc<Executions>,
    /// The open streams.
    pub(crate) streams: Streams,
    /// The codes that sign in to the console.
    pub(crate) sign_in_codes: SignInCodes,
    /// The limits for JSON.
    pub(crate) limits: JsonLimits,
}

/// The shared parts, as the router passes them on.
pub(super) type Api = Arc<Services>;
