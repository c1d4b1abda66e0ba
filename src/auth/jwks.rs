//! The public keys of an issuer (RFC 7517), which verify signatures.
//!
//! A set may contain only public keys; a symmetric key is an error. Keys of unknown kinds or for other uses are
//! ignored, as the standard requires. A set without a usable key is refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;

use crate::domain::json::parse_strict;

/// The most keys in a set.
const MAX_KEYS: usize = 100;

/// An accepted signature algorithm. All of them are asymmetric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Algorithm {
    /// RSA PKCS#1 v1.5 with SHA-256; keys of 2048 bits or more.
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl Algorithm {
    pub(super) const ALL: [Self; 3] = [Self::Rs256, Self::Es256, Self::EdDsa];

    /// The name of the algorithm in a header.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// A key with its id and its algorithm.
#[derive(Debug)]
struct Key {
    id: Option<String>,
    public: Public,
}

#[derive(Debug)]
enum Public {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl Public {
    const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa { .. } => Algorithm::Rs256,
            Self::P256(_) => Algorithm::Es256,
            Self::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Rsa { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
            }
            Self::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
            }
            Self::Ed25519(point) => UnparsedPublicKey::new(&ED25519, point).verify(message, signature).is_ok(),
        }
    }
}

/// The keys of one issuer.
#[derive(Debug)]
pub(super) struct Keys(Vec<Key>);

#[derive(Deserialize)]
struct Set {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Keys {
    /// Parses a set.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let Set { keys } = parse_strict(text).map_err(|error| format!("is no set of keys (JWKS): {error}"))?;
        if keys.len() > MAX_KEYS {
            return Err(format!("has {} keys; at most {MAX_KEYS}", keys.len()));
        }
        let mut usable: Vec<Key> = Vec::new();
        for (i, jwk) in keys.into_iter().enumerate() {
            let Some(key) = jwk.read().map_err(|why| format!("keys[{i}]: {why}"))? else { continue };
            if key.id.is_some() && usable.iter().any(|other| other.id == key.id) {
                return Err(format!("keys[{i}]: another key has the same `kid`: each key needs its own"));
            }
            usable.push(key);
        }
        if usable.is_empty() {
            return Err("has no key that can be used: RSA, EC on P-256, or Ed25519, for signatures".to_owned());
        }
        Ok(Self(usable))
    }

    /// Whether one of the keys has this id.
    pub(super) fn has(&self, id: &str) -> bool {
        self.0.iter().any(|key| key.id.as_deref() == Some(id))
    }

    /// Verifies a signature with the key of this id. Without an id, exactly one key must fit the algorithm.
    pub(super) fn verify(
        &self,
        algorithm: Algorithm,
        id: Option<&str>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), &'static str> {
        let mut fitting = self.0.iter().filter(|key| match id {
            Some(id) => key.id.as_deref() == Some(id),
            None => key.public.algorithm() == algorithm,
        });
        let (Some(key), None) = (fitting.next(), fitting.next()) else {
            return Err(if id.is_some() { "unknown kid" } else { "no kid, and not exactly one key that fits" });
        };
        if key.public.algorithm() != algorithm {
            return Err("the key is for another algorithm");
        }
        if key.public.verifies(message, signature) { Ok(()) } else { Err("the signature is wrong") }
    }
}

impl Jwk {
    /// The key, if it is for signatures and of an accepted kind.
    fn read(self) -> Result<Option<Key>, String> {
        let Self { kty, kid, purpose, alg, crv, n, e, x, y } = self;
        if kty == "oct" {
            return Err("is a symmetric key, with which anyone who verifies tokens can also sign them".to_owned());
        }
        if purpose.is_some_and(|purpose| purpose != "sig") {
            return Ok(None);
        }
        let bytes = |name: &str, text: Option<String>| {
            let text = text.ok_or_else(|| format!("has no `{name}`"))?;
            URL_SAFE_NO_PAD.decode(text).map_err(|_| format!("`{name}` is not base64url"))
        };
        let public = match (kty.as_str(), crv.as_deref()) {
            ("RSA", _) => Public::Rsa { n: bytes("n", n)?, e: bytes("e", e)? },
            ("EC", Some("P-256")) => Public::P256([vec![4], bytes("x", x)?, bytes("y", y)?].concat()),
            ("OKP", Some("Ed25519")) => Public::Ed25519(bytes("x", x)?),
            _ => return Ok(None),
        };
        let is_meant = alg.is_none_or(|alg| alg == public.algorithm().as_str());
        Ok(is_meant.then_some(Key { id: kid, public }))
    }
}
