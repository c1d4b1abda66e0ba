//! An issuer of signed tokens.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

pub(crate) const ISSUER: &str = "https://kubernetes.default.svc";

/// An issuer of tokens with one key.
pub(crate) struct Signer {
    id: &'static str,
    pair: EcdsaKeyPair,
}

impl Signer {
    pub(crate) fn new(id: &'static str) -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        Self { id, pair }
    }

    /// The set of its one key.
    pub(crate) fn keys(&self) -> String {
        let point = self.pair.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
        json!({"keys": [{"kty": "EC", "crv": "P-256", "use": "sig", "kid": self.id, "x": x, "y": y}]}).to_string()
    }

    pub(crate) fn publish(&self, path: &Path) {
        let beside = path.with_extension("new");
        std::fs::write(&beside, self.keys()).unwrap();
        std::fs::rename(&beside, path).unwrap();
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    pub(crate) fn good(&self, subject: &str, seconds: i64) -> String {
        self.sign(&self.header(), &claims(subject, seconds))
    }

    pub(crate) fn header(&self) -> Value {
        json!({"alg": "ES256", "kid": self.id})
    }
}

pub(crate) fn claims(subject: &str, seconds: i64) -> Value {
    let now = aegis::domain::Timestamp::now().as_second();
    json!({"iss": ISSUER, "aud": ["aegis"], "sub": subject, "iat": now, "nbf": now, "exp": now + seconds})
}
