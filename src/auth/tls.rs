//! Loads the files of certificates and keys as a TLS configuration for the TCP listeners.
//!
//! A connection keeps the configuration that it was opened with. So a new certificate, key or bundle of authorities
//! breaks no connection. rustls verifies chains; this module itself reads only the dates of certificates.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::domain::Timestamp;
use crate::policy::Diagnostic;
use crate::watcher::read_bounded;

/// The largest file of certificates or keys, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// The files of a TLS configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate of the daemon, with its intermediate certificates, in PEM.
    pub certificate: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
    /// The authorities of client certificates, in PEM. Without it, clients send no certificate.
    pub client_ca: Option<PathBuf>,
    /// Whether clients need a certificate, if there are authorities for them.
    pub clients: ClientCertificates,
}

/// Whether clients need a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// Connections without a certificate are refused.
    #[default]
    Required,
    /// A client without a certificate can use a token or be anonymous.
    Optional,
}

/// A loaded TLS configuration.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The configuration of new connections.
    pub config: Arc<ServerConfig>,
    /// The verifier of client certificates, if there are authorities for them.
    pub clients: Option<Authorities>,
    /// The validity of the daemon's own certificate.
    pub validity: Validity,
}

/// One loaded bundle of authorities for client certificates.
#[derive(Clone, Debug)]
pub struct Authorities {
    /// The number of this bundle, unique in this run.
    pub number: u64,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Authorities {
    fn new(verifier: Arc<dyn ClientCertVerifier>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self { number: NEXT.fetch_add(1, Ordering::Relaxed), verifier }
    }

    /// Whether the chain of this certificate is valid now and ends at one of these authorities.
    pub fn vouch_for(&self, certificate: &CertificateDer<'_>, with: &[CertificateDer<'_>], now: Timestamp) -> bool {
        let now = u64::try_from(now.as_second()).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        self.verifier.verify_client_cert(certificate, with, now).is_ok()
    }
}

/// The validity of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment at which it is valid.
    pub from: Timestamp,
    /// The moment at which it expires.
    pub until: Timestamp,
}

impl Validity {
    fn read(der: &[u8]) -> Result<Self, &'static str> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| "holds a certificate that cannot be read")?;
        let moment = |time: x509_parser::time::ASN1Time| {
            Timestamp::from_second(time.timestamp()).map_err(|_| "holds a certificate with invalid dates")
        };
        let dates = certificate.validity();
        Ok(Self { from: moment(dates.not_before)?, until: moment(dates.not_after)? })
    }

    /// When to warn: when a tenth of its lifetime is left.
    pub fn ends_soon_from(self) -> Timestamp {
        let life = self.until.duration_since(self.from).unsigned_abs();
        self.until.checked_sub(life / 10).unwrap_or(self.from)
    }
}

impl TlsFiles {
    /// Every file.
    pub(super) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.certificate, &self.key].into_iter().chain(&self.client_ca)
    }

    /// Loads the files at this time. An error names the file that it is in.
    pub(super) fn load(&self, now: Timestamp) -> Result<Tls, Diagnostic> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = certificates(&self.certificate)?;
        let validity = Validity::read(&chain[0]).map_err(|why| wrong(&self.certificate, why.to_owned()))?;
        let Validity { from, until } = validity;
        if now < from || until <= now {
            let which = if now < from { "is not valid yet" } else { "has expired" };
            let message = format!("{which}: it is valid from {from} until {until}, and it is {now:.0}");
            return Err(wrong(&self.certificate, message));
        }
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?)
            .map_err(|error| wrong(&self.key, format!("holds no private key in PEM: {error}")))?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(&self.certificate, error.to_string()))?;
        let clients = match &self.client_ca {
            None => None,
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for authority in certificates(path)? {
                    roots.add(authority).map_err(|error| wrong(path, format!("holds no authority: {error}")))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = match self.clients {
                    ClientCertificates::Required => verifier,
                    ClientCertificates::Optional => verifier.allow_unauthenticated(),
                };
                Some(Authorities::new(verifier.build().map_err(|error| wrong(path, error.to_string()))?))
            }
        };
        let builder = match &clients {
            None => builder.with_no_client_auth(),
            Some(Authorities { verifier, .. }) => builder.with_client_cert_verifier(Arc::clone(verifier)),
        };
        // This refuses a key that does not belong to the certificate.
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|error| wrong(&self.key, format!("does not belong to {}: {error}", self.certificate.display())))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Tls { config: Arc::new(config), clients, validity })
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Diagnostic> {
    let pem = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(wrong(path, "holds no certificate in PEM".to_owned())),
        Ok(found) => Ok(found),
        Err(error) => Err(wrong(path, format!("is not PEM: {error}"))),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Diagnostic> {
    let bytes = read_bounded(path, MAX_BYTES).map_err(|error| wrong(path, error.to_string()))?;
    if bytes.len() > MAX_BYTES {
        return Err(wrong(path, format!("is longer than {MAX_BYTES} bytes")));
    }
    Ok(bytes)
}

fn wrong(path: &Path, message: String) -> Diagnostic {
    Diagnostic::for_file(path.display().to_string(), message)
}
