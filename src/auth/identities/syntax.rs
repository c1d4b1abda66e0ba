//! The syntax of the identities file: its keys and their types. What the values mean is checked after that.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, de};

use crate::auth::jwks::Algorithm;
use crate::auth::tls::ClientCertificates;
use crate::domain::{Role, Timestamp};

/// The syntax of the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) version: Version,
    pub(super) tls: Option<TlsSection>,
    pub(super) unix: Vec<UnixUser>,
    pub(super) certificates: Vec<NamedCertificate>,
    pub(super) jwt: Vec<TrustedIssuer>,
    pub(super) tokens: Vec<HashedToken>,
}

/// `"1"` or `1`.
#[derive(Debug, Default)]
pub(super) struct Version;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UnixUser {
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) subject: Option<String>,
    pub(super) roles: Vec<Role>,
    pub(super) actor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TlsSection {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) client_ca: Option<PathBuf>,
    #[serde(default)]
    pub(super) clients: ClientCertificates,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedCertificate {
    pub(super) spiffe_id: Option<String>,
    pub(super) common_name: Option<String>,
    pub(super) subject: Option<String>,
    pub(super) roles: Vec<Role>,
    pub(super) actor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrustedIssuer {
    pub(super) name: String,
    pub(super) issuer: String,
    pub(super) audience: String,
    pub(super) jwks: Option<PathBuf>,
    pub(super) jwks_url: Option<String>,
    pub(super) jwks_ca: Option<PathBuf>,
    pub(super) refresh_seconds: Option<u64>,
    #[serde(default = "every_algorithm")]
    pub(super) algorithms: Vec<Algorithm>,
    #[serde(default = "half_a_minute")]
    pub(super) leeway_seconds: u64,
    #[serde(default = "groups")]
    pub(super) groups_claim: String,
    pub(super) grants: Vec<JwtGrant>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JwtGrant {
    pub(super) subject: Option<String>,
    pub(super) group: Option<String>,
    pub(super) roles: Vec<Role>,
    pub(super) actor: Option<String>,
}

fn every_algorithm() -> Vec<Algorithm> {
    Algorithm::ALL.to_vec()
}

const fn half_a_minute() -> u64 {
    30
}

fn groups() -> String {
    "groups".to_owned()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HashedToken {
    pub(super) name: String,
    pub(super) sha256: String,
    pub(super) roles: Vec<Role>,
    pub(super) actor: Option<String>,
    pub(super) expires_at: Option<Timestamp>,
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) if text == "1" => Ok(Self),
            serde_json::Value::Number(number) if number.as_u64() == Some(1) => Ok(Self),
            _ => Err(de::Error::custom("unknown version: this daemon reads version \"1\" (the key may be left out)")),
        }
    }
}
