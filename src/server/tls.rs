//! TLS on the TCP listeners: what the files of certificates and keys say, as rustls wants it.
//!
//! A configuration is one generation: a connection keeps the one that it was opened with, so that a new certificate, key or
//! bundle of authorities breaks none. rustls verifies chains; nothing here looks into a certificate that it has not.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::policy::Diagnostic;
use crate::watcher::read_bounded;

/// The largest file of certificates or keys.
const MAX_BYTES: usize = 1 << 20;

/// The files that TLS is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate of the daemon and those between it and its authority, in PEM.
    pub certificate: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
    /// Which authorities sign the certificates of clients, in PEM. Without it clients show none.
    pub client_ca: Option<PathBuf>,
    /// Whether a client may come without a certificate, where there are authorities for them.
    pub clients: ClientCertificates,
}

/// Whether clients must show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// No connection without one.
    #[default]
    Required,
    /// Who shows none is known by a token, or is anonymous.
    Optional,
}

impl TlsFiles {
    /// Every file.
    pub(super) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.certificate, &self.key].into_iter().chain(&self.client_ca)
    }

    /// Reads the files. What is wrong is said of the file that it is wrong in.
    pub(super) fn load(&self) -> Result<Arc<ServerConfig>, Diagnostic> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?)
            .map_err(|error| wrong(&self.key, format!("holds no private key in PEM: {error}")))?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(&self.certificate, error.to_string()))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
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
                builder.with_client_cert_verifier(verifier.build().map_err(|error| wrong(path, error.to_string()))?)
            }
        };
        // Refuses a key that is not the certificate's.
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|error| wrong(&self.key, format!("does not go with {}: {error}", self.certificate.display())))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
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
