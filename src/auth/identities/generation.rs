//! [`Identities`]: everything of one load that authenticates callers.

use crate::auth::authenticator::Authenticator;
use crate::auth::tls::Tls;
use crate::policy::{Diagnostic, LoadErrors};

/// One generation of identities.
#[derive(Default)]
pub struct Identities {
    /// The authenticators, in the order in which they are tried.
    pub(in crate::auth) authenticators: Vec<Box<dyn Authenticator>>,
    /// Whether the file names users of this machine. Then sockets need not be open to every user.
    pub names_users: bool,
    /// The TLS configuration of TCP listeners, if they use TLS.
    pub tls: Option<Tls>,
}

impl Identities {
    /// Whether this generation can replace that one. Settings of open listeners need a restart.
    pub(in crate::auth) fn may_follow(&self, earlier: &Self) -> Result<(), LoadErrors> {
        if self.tls.is_some() != earlier.tls.is_some() {
            let message = "TLS cannot be switched on or off while listeners are open: restart the daemon";
            return Err(LoadErrors::new(vec![Diagnostic::for_file("tls", message)]));
        }
        if self.names_users && !earlier.names_users {
            let message = "names users now, but the sockets are open to every user: restart the daemon";
            return Err(LoadErrors::new(vec![Diagnostic::for_file("unix", message)]));
        }
        Ok(())
    }
}
