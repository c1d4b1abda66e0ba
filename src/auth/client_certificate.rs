//! The name in a client certificate, and whether an authority still trusts the certificate.

use std::sync::atomic::{AtomicU64, Ordering};

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::input::check_name;
use super::tls::Authorities;
use crate::domain::Timestamp;

/// A client's certificate.
#[derive(Debug)]
pub struct ClientCertificate {
    /// The name, if it has one that can be used, or why not.
    pub name: Result<CertificateName, String>,
    /// When it is over.
    pub not_after: Option<Timestamp>,
    /// The certificate as it was sent, with its intermediate certificates.
    chain: Vec<CertificateDer<'static>>,
    /// The number of the last checked bundle of authorities. The lowest bit says whether it trusts the certificate.
    asked: AtomicU64,
}

/// The name in a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateName {
    /// The workload's SPIFFE ID: `spiffe://example.org/ns/prod/sa/agent`.
    Spiffe(String),
    /// The common name of its subject.
    Common(String),
}

impl ClientCertificate {
    /// Reads the names of a certificate that the bundle with this number has verified.
    pub fn read(chain: Vec<CertificateDer<'static>>, verified_by: u64) -> Self {
        let certificate = chain.first().and_then(|der| X509Certificate::from_der(der).ok());
        let (name, not_after) = match certificate {
            None => (Err("it cannot be read".to_owned()), None),
            Some((_, certificate)) => {
                let not_after = Timestamp::from_second(certificate.validity().not_after.timestamp()).ok();
                (name(&certificate).map_err(str::to_owned).and_then(checked), not_after)
            }
        };
        Self { name, not_after, chain, asked: AtomicU64::new(verified_by << 1 | 1) }
    }

    /// Whether these authorities trust the certificate. Each bundle is checked only once, because verifying a signature
    /// is slow.
    pub(super) fn is_vouched_for(&self, authorities: &Authorities, now: Timestamp) -> bool {
        let asked = self.asked.load(Ordering::Relaxed);
        if asked >> 1 == authorities.number {
            return asked & 1 == 1;
        }
        let Some((certificate, with)) = self.chain.split_first() else { return false };
        let vouched = authorities.vouch_for(certificate, with, now);
        self.asked.store(authorities.number << 1 | u64::from(vouched), Ordering::Relaxed);
        vouched
    }
}

/// The name, where it can be one: the record shows it and people compare it, like every other.
fn checked(name: CertificateName) -> Result<CertificateName, String> {
    let (what, text) = match &name {
        CertificateName::Spiffe(id) => ("SPIFFE ID", id),
        CertificateName::Common(name) => ("common name", name),
    };
    match check_name(text) {
        Ok(()) => Ok(name),
        Err(why) => Err(format!("its {what} {why}")),
    }
}

fn name(certificate: &X509Certificate<'_>) -> Result<CertificateName, &'static str> {
    let alternative = certificate.subject_alternative_name().map_err(|_| "its alternative names cannot be read")?;
    let uris = alternative.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let uris: Vec<&str> = uris.collect();
    match uris.as_slice() {
        // The SVID specification requires exactly one URI.
        [uri] if uri.starts_with("spiffe://") => return Ok(CertificateName::Spiffe((*uri).to_owned())),
        uris if uris.iter().any(|uri| uri.to_ascii_lowercase().starts_with("spiffe:")) => {
            return Err("it has a SPIFFE ID among several URIs, or one that is malformed");
        }
        _ => {}
    }
    let mut common = certificate.subject().iter_common_name();
    match (common.next().map(x509_parser::x509::AttributeTypeAndValue::as_str), common.next()) {
        (Some(Ok(name)), None) if !name.is_empty() => Ok(CertificateName::Common(name.to_owned())),
        (_, Some(_)) => Err("its subject has several common names"),
        _ => Err("it has neither a SPIFFE ID nor a common name"),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn read(common_names: &[&str], uris: &[&str]) -> ClientCertificate {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for name in common_names {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        ClientCertificate::read(vec![certificate.der().clone()], 0)
    }

    #[test]
    fn a_spiffe_id_counts_before_the_common_name_and_must_be_the_only_uri() {
        let spiffe = "spiffe://example.org/ns/prod/sa/agent";
        assert_eq!(read(&["ops"], &[spiffe]).name, Ok(CertificateName::Spiffe(spiffe.into())));
        assert_eq!(read(&["ops"], &[]).name, Ok(CertificateName::Common("ops".into())));
        assert_eq!(read(&["ops"], &["https://example.org"]).name, Ok(CertificateName::Common("ops".into())));
        for uris in [&[spiffe, "https://example.org"][..], &[spiffe, spiffe], &["SPIFFE://x"]] {
            assert!(read(&["ops"], uris).name.is_err(), "{uris:?}");
        }
        assert!(read(&[], &[]).name.is_err());
    }

    #[test]
    fn what_cannot_be_read_or_told_apart_is_no_name() {
        for name in [" ops", "ops ", "ops\u{202e}spo", "ops\u{200b}", "o\nps", &"x".repeat(257)] {
            let why = read(&[name], &[]).name.unwrap_err();
            assert!(why.starts_with("its common name "), "{name:?}: {why}");
        }
        let long = format!("spiffe://example.org/{}", "x".repeat(256));
        assert_eq!(read(&["ops"], &[&long]).name, Err("its SPIFFE ID is longer than 256 characters".to_owned()));
        assert_eq!(
            read(&["jos\u{e9} p\u{e9}rez"], &[]).name,
            Ok(CertificateName::Common("jos\u{e9} p\u{e9}rez".into()))
        );
    }

    #[test]
    fn what_is_no_certificate_names_nobody() {
        assert!(ClientCertificate::read(Vec::new(), 0).name.is_err());
        assert!(ClientCertificate::read(vec![vec![0x30; 100].into()], 0).name.is_err());
    }
}
