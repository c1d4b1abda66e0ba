//! Authentication: creates the [`Identity`] of a caller from its connection and the headers of its call. No other code
//! creates one.
//!
//! A [`Chain`] tries the authenticators in order. Each returns *no such credential*, *authenticated* or *refused*. An
//! unknown credential is refused, and never treated as no credential. Only a call without any credential gets the roles
//! of anonymous callers of its listener.
//!
//! - `operator`: the daemon's own user.
//! - `tokens`, `peers` (users of a unix socket), `certificates`, `jwt`: the callers in the identities file.
//! - `identities` reads that file, `reload` watches it, `remote_keys` fetches keys, `known` has the generation in
//!   force.
//! - `failures` limits guessing.

mod authenticator;
mod certificates;
mod chain;
mod client_certificate;
pub(crate) mod connection;
mod failures;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod grant;
pub(crate) mod identities;
mod input;
mod jwks;
mod jwt;
mod known;
mod operator;
mod peers;
mod reload;
mod remote_keys;
#[cfg(test)]
mod tests;
pub mod tls;
mod tokens;

pub use authenticator::{Authentication, AuthenticationError, Authenticator, Bearer, Shown};
pub use chain::Chain;
pub use client_certificate::{CertificateName, ClientCertificate};
pub use connection::{Activity, Connection, Listener, Peer, PeerKey};
pub use failures::Failures;
pub use identities::{Identities, IdentitySource};
pub(crate) use input::check_name;
pub use known::{Known, Staleness};
pub use operator::{LocalOperator, OPERATOR};
pub use reload::Reloader;
pub(crate) use reload::watch;
pub use tokens::MadeTokens;
