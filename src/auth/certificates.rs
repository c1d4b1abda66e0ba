//! Authenticates clients by the certificate of their TLS connection: by its SPIFFE ID, or else by the common name of
//! its subject.
//!
//! The TLS handshake verifies the chain. A connection can live longer than its certificate. So every call checks the
//! expiry again, and verifies the chain again after the authorities changed.

use super::authenticator::{Authentication, AuthenticationError, Authenticator, Shown};
use super::client_certificate::CertificateName;
use super::grant::Grant;
use super::tls::Authorities;
use crate::domain::{How, Identity, Roles};
use crate::policy::Glob;

/// An entry of the identities file.
#[derive(Debug)]
pub(super) struct CertificateEntry {
    pub(super) names: NamePattern,
    pub(super) grant: Grant,
}

/// Which certificates match an entry.
#[derive(Debug)]
pub(super) enum NamePattern {
    Spiffe(Glob),
    Common(Glob),
}

impl NamePattern {
    fn fits(&self, name: &CertificateName) -> bool {
        match (self, name) {
            (Self::Spiffe(glob), CertificateName::Spiffe(name))
            | (Self::Common(glob), CertificateName::Common(name)) => glob.matches(name),
            _ => false,
        }
    }
}

/// The certificate entries of the identities file.
#[derive(Debug)]
pub(super) struct Certificates {
    pub(super) entries: Vec<CertificateEntry>,
    /// The authorities that sign client certificates. Without them, no certificate authenticates anyone.
    pub(super) authorities: Option<Authorities>,
}

impl Authenticator for Certificates {
    fn authenticate(&self, shown: &Shown<'_>) -> Authentication {
        let (None, Some(certificate)) = (&shown.bearer, &shown.connection.certificate) else {
            return Authentication::NotMine;
        };
        let refused =
            |why: &str| Authentication::Refused { error: AuthenticationError::BadCertificate, why: why.to_owned() };
        let name = match &certificate.name {
            Ok(name) => name,
            Err(why) => return refused(why),
        };
        if certificate.not_after.is_none_or(|end| end <= shown.now) {
            return refused("the certificate of the connection has expired");
        }
        if !self.authorities.as_ref().is_some_and(|authorities| certificate.is_vouched_for(authorities, shown.now)) {
            return refused("no trusted authority signs the certificate of the connection any more");
        }
        let subject = match name {
            CertificateName::Spiffe(id) => id.clone(),
            CertificateName::Common(name) => format!("cn:{name}"),
        };
        let nobody_yet =
            Identity { expires_at: certificate.not_after, ..Identity::new(subject, Roles::NONE, How::Certificate) };
        let grants = self.entries.iter().filter(|entry| entry.names.fits(name)).map(|entry| &entry.grant);
        Authentication::Is(Grant::apply(nobody_yet, grants))
    }
}
