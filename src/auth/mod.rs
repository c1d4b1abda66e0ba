//! From a connection and the headers of one call to an [`Identity`]: the only place where one is made.
//!
//! A [`Chain`] asks one authenticator after the other, and each says *not mine*, *this is who it is* or *refused*. A
//! credential that nobody knows is refused; it is never taken for no credential at all. Only a call that shows nothing gets
//! what its listener grants to anybody.
//!
//! `operator` is the daemon's own user; `tokens`, `peers` (users at the other end of a socket), `certificates` and `jwt` are
//! whom the identities file names, which `identities` reads and `reload` watches (with `remote_keys`, for what is fetched);
//! `known` is what is in force; `failures` bounds guessing.

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
pub use connection::{Connection, Listener, Peer, PeerKey};
pub use failures::Failures;
pub use identities::{Identities, IdentitySource};
pub(crate) use input::check_name;
pub use known::{Known, Staleness};
pub use operator::{LocalOperator, OPERATOR};
pub use reload::Reloader;
pub(crate) use reload::watch;
pub use tokens::MadeTokens;
