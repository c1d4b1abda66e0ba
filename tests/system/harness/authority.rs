//! A certificate authority, and connections over TLS.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::daemon::Daemon;

/// An authority, and the directory that its files are written to.
pub(crate) struct Authority {
    directory: PathBuf,
    pub(crate) issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(directory: &Path) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority for tests");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { directory: directory.to_owned(), issuer }
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Writes the authority's certificate, replacing what was there at once.
    pub(crate) fn write_ca(&self, name: &str) -> PathBuf {
        replace(&self.path(name), &self.pem());
        self.path(name)
    }

    /// A certificate with these names, and its key.
    fn issue(&self, common_name: &str, names: Vec<SanType>, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.subject_alt_names = names;
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    pub(crate) fn server(&self) -> (String, String) {
        let names = vec![
            SanType::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()),
            SanType::DnsName("localhost".try_into().unwrap()),
        ];
        self.issue("aegis", names, ExtendedKeyUsagePurpose::ServerAuth)
    }

    pub(crate) fn client(&self, common_name: &str, spiffe: Option<&str>) -> (String, String) {
        let names = spiffe.into_iter().map(|id| SanType::URI(id.try_into().unwrap())).collect();
        self.issue(common_name, names, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// Writes a pair as `NAME.crt` and `NAME.key`.
    pub(crate) fn write(&self, name: &str, (certificate, key): &(String, String)) -> (PathBuf, PathBuf) {
        let paths = (self.path(&format!("{name}.crt")), self.path(&format!("{name}.key")));
        replace(&paths.1, key);
        replace(&paths.0, certificate);
        paths
    }
}

pub(crate) async fn connect(
    daemon: &Daemon,
    ca: &str,
    client: Option<&(String, String)>,
) -> Result<Channel, tonic::transport::Error> {
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
    if let Some((certificate, key)) = client {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    Endpoint::from_shared(daemon.endpoint.clone()).unwrap().tls_config(tls).unwrap().connect().await
}

pub(crate) fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(&beside, path).unwrap();
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
