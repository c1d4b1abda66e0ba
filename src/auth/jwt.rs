//! Authenticates callers by signed tokens (JWT) of trusted issuers: identity providers, and Kubernetes with its
//! projected ServiceAccount tokens.
//!
//! A token cannot choose how it is verified: its algorithm must be on the issuer's list and fit the key. Issuer,
//! audience, expiry and subject are required. The log says why a token is refused; the caller learns only that it is
//! not valid.
//!
//! This file parses the format itself, and ring verifies the signatures. JWT crates would add a second cryptography
//! library.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::authenticator::{Authentication, Authenticator, Shown};
use super::grant::Grant;
use super::input::check_name;
use super::jwks::{Algorithm, Keys};
use super::remote_keys::{Asking, RemoteKeys};
use crate::domain::json::parse_strict;
use crate::domain::{Digest, How, Identity, Roles, Timestamp};
use crate::policy::Glob;

/// The longest accepted token, in bytes.
const MAX_BYTES: usize = 16 << 10;
/// How many verified tokens are cached for one issuer.
const MAX_GOOD: usize = 4096;
/// The most groups of a token that are used.
const MAX_GROUPS: usize = 256;

/// A trusted issuer.
#[derive(Debug)]
pub(super) struct Issuer {
    /// Its name on the record.
    pub(super) name: String,
    /// The `iss` claim of its tokens.
    pub(super) iss: String,
    pub(super) audience: String,
    pub(super) algorithms: Vec<Algorithm>,
    /// The allowed difference between clocks.
    pub(super) leeway: Duration,
    pub(super) groups_claim: String,
    pub(super) keys: IssuerKeys,
    pub(super) grants: Vec<JwtEntry>,
}

/// The keys of an issuer, and how to fetch new ones.
#[derive(Debug)]
pub(super) struct IssuerKeys {
    keys: Arc<Keys>,
    newer: Option<Asking>,
    /// A cache: the SHA-256 of tokens whose signature is valid with exactly these keys. A caller sends the same token
    /// with every call, and verifying the signature is the largest cost. All other checks run on every call.
    good: Mutex<HashSet<Digest>>,
}

impl IssuerKeys {
    /// The keys of a file, which is watched.
    pub(super) fn of_file(keys: Keys) -> Self {
        Self { keys: Arc::new(keys), newer: None, good: Mutex::default() }
    }

    /// The keys of an address.
    pub(super) fn of_address(fetched: &RemoteKeys) -> Self {
        Self { keys: Arc::clone(&fetched.keys), newer: Some(fetched.asking.clone()), good: Mutex::default() }
    }

    fn verify(&self, algorithm: Algorithm, token: &Token<'_>) -> Result<(), &'static str> {
        if self.good().contains(&token.digest) {
            return Ok(());
        }
        let id = token.header.kid.as_deref();
        if let (Some(id), Some(newer)) = (id, &self.newer)
            && !self.keys.has(id)
        {
            // The issuer may have a new key. This token is refused, and the keys are fetched again for the next one.
            newer.ask();
        }
        self.keys.verify(algorithm, id, token.message, &token.signature)?;
        let mut good = self.good();
        if good.len() >= MAX_GOOD {
            good.clear();
        }
        good.insert(token.digest);
        Ok(())
    }

    fn good(&self) -> MutexGuard<'_, HashSet<Digest>> {
        self.good.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which tokens of an issuer match an entry. If both fields are set, both must match.
#[derive(Debug)]
pub(super) struct JwtEntry {
    pub(super) subject: Option<Glob>,
    pub(super) group: Option<Glob>,
    pub(super) grant: Grant,
}

/// The trusted issuers of the identities file.
#[derive(Debug)]
pub(super) struct Jwt(pub(super) Vec<Issuer>);

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

/// A parsed token, not verified yet.
struct Token<'t> {
    header: Header,
    claims: Map<String, Value>,
    message: &'t [u8],
    signature: Vec<u8>,
    /// The SHA-256 of the whole token.
    digest: Digest,
}

impl<'t> Token<'t> {
    /// Parses a token. `None` if the text does not look like a JWT.
    fn read(text: &'t str, digest: Digest) -> Option<Result<Self, &'static str>> {
        let (message, signature) = text.rsplit_once('.')?;
        let (header, claims) = message.split_once('.').filter(|(_, claims)| !claims.contains('.'))?;
        Some(Self::decode(message, header, claims, signature, digest))
    }

    fn decode(
        message: &'t str,
        header: &str,
        claims: &str,
        signature: &str,
        digest: Digest,
    ) -> Result<Self, &'static str> {
        if message.len() + signature.len() > MAX_BYTES {
            return Err("it is too long");
        }
        let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| "it is not base64url");
        let header: Header = read(&bytes(header)?).ok_or("its header is not one of a JWT, or has a key twice")?;
        let claims = read(&bytes(claims)?).ok_or("its claims are not a JSON object, or have a key twice")?;
        Ok(Self { header, claims, message: message.as_bytes(), signature: bytes(signature)?, digest })
    }

    fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim)?.as_str()
    }

    /// A claim with a time, if the token has it.
    fn moment(&self, claim: &str) -> Result<Option<Timestamp>, &'static str> {
        let Some(value) = self.claims.get(claim) else { return Ok(None) };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a cast of a double saturates, and what is out of range is refused"
        )]
        let seconds = value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64));
        let moment = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
        moment.map(Some).ok_or("exp, nbf or iat is not a valid time")
    }

    fn is_for(&self, audience: &str) -> bool {
        match self.claims.get("aud") {
            Some(Value::String(one)) => one == audience,
            Some(Value::Array(many)) => many.iter().any(|one| one.as_str() == Some(audience)),
            _ => false,
        }
    }
}

/// A part of a token. Of two equal keys, another program could use the other one.
fn read<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    parse_strict(str::from_utf8(json).ok()?).ok()
}

impl Authenticator for Jwt {
    fn authenticate(&self, shown: &Shown<'_>) -> Authentication {
        let Some(bearer) = &shown.bearer else { return Authentication::NotMine };
        match Token::read(bearer.text, bearer.digest) {
            None => Authentication::NotMine,
            Some(_) if self.0.is_empty() => Authentication::NotMine,
            Some(token) => match token.and_then(|token| self.check(&token, shown.now)) {
                Ok(identity) => Authentication::Is(identity),
                Err(why) => Authentication::bad_token(format!("a JWT: {why}")),
            },
        }
    }
}

impl Jwt {
    fn check(&self, token: &Token<'_>, now: Timestamp) -> Result<Identity, &'static str> {
        let named = token.text("iss").ok_or("no iss")?;
        let issuer = self.0.iter().find(|issuer| issuer.iss == named).ok_or("an issuer that is not trusted")?;
        issuer.check(token, now)
    }
}

impl Issuer {
    fn check(&self, token: &Token<'_>, now: Timestamp) -> Result<Identity, &'static str> {
        let Header { alg, crit, .. } = &token.header;
        let algorithm = self.algorithms.iter().find(|algorithm| algorithm.as_str() == alg);
        let algorithm = *algorithm.ok_or("an algorithm that is not on the issuer's list")?;
        if crit.is_some() {
            return Err("it has critical extensions, which are not supported");
        }
        self.keys.verify(algorithm, token)?;
        // The signature is valid, so the claims below come from the issuer.
        if !token.is_for(&self.audience) {
            return Err("another audience");
        }
        let later = |moment: Timestamp| moment.saturating_add(self.leeway).unwrap_or(Timestamp::MAX);
        let expires_at = later(token.moment("exp")?.ok_or("no exp")?);
        if expires_at <= now {
            return Err("it has expired");
        }
        for claim in ["nbf", "iat"] {
            if token.moment(claim)?.is_some_and(|from| later(now) < from) {
                return Err("it is not valid yet");
            }
        }
        let subject =
            token.text("sub").filter(|subject| check_name(subject).is_ok()).ok_or("no sub that can be a name")?;
        let groups = match token.claims.get(&self.groups_claim) {
            Some(Value::Array(groups)) => {
                groups.iter().filter_map(Value::as_str).take(MAX_GROUPS).map(Into::into).collect()
            }
            _ => Vec::<String>::new(),
        };
        let fits = |entry: &&JwtEntry| {
            entry.subject.as_ref().is_none_or(|glob| glob.matches(subject))
                && entry.group.as_ref().is_none_or(|glob| groups.iter().any(|group| glob.matches(group)))
        };
        let grants: Vec<&Grant> = self.grants.iter().filter(fits).map(|entry| &entry.grant).collect();
        let nobody_yet = Identity {
            groups: groups.into(),
            expires_at: Some(expires_at),
            ..Identity::new(format!("jwt:{}:{subject}", self.name), Roles::NONE, How::Jwt)
        };
        Ok(Grant::apply(nobody_yet, grants))
    }
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{Ed25519KeyPair, KeyPair as _};
    use serde_json::json;

    use super::*;
    use crate::domain::{Role, SystemClock};

    const NOW: i64 = 1_800_000_000;

    struct Signer {
        pair: Ed25519KeyPair,
        jwt: Jwt,
    }

    fn encode(value: &Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    impl Signer {
        fn new() -> Self {
            let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
            let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
            let x = URL_SAFE_NO_PAD.encode(pair.public_key());
            let keys = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "one", "x": x}]});
            let grant = |roles: &[Role]| Grant::of(Roles::of(roles));
            let issuer = Issuer {
                name: "idp".into(),
                iss: "https://idp.example".into(),
                audience: "aegis".into(),
                algorithms: Algorithm::ALL.to_vec(),
                leeway: Duration::from_secs(30),
                groups_claim: "groups".into(),
                keys: IssuerKeys::of_file(Keys::read(&keys.to_string()).unwrap()),
                grants: vec![
                    JwtEntry { subject: Some(Glob::new("bot-*")), group: None, grant: grant(&[Role::Agent]) },
                    JwtEntry { subject: None, group: Some(Glob::new("sre")), grant: grant(&[Role::Reviewer]) },
                ],
            };
            Self { pair, jwt: Jwt(vec![issuer]) }
        }

        fn sign(&self, header: &Value, claims: &Value) -> String {
            let message = format!("{}.{}", encode(header), encode(claims));
            let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(message.as_bytes()));
            format!("{message}.{signature}")
        }

        fn ask(&self, token: &str) -> Result<Identity, &'static str> {
            let digest = Digest::of(token.as_bytes());
            self.jwt.check(&Token::read(token, digest).ok_or("no token")??, Timestamp::from_second(NOW).unwrap())
        }
    }

    fn header() -> Value {
        json!({"alg": "EdDSA", "kid": "one", "typ": "JWT"})
    }

    fn claims() -> Value {
        json!({"iss": "https://idp.example", "aud": ["x", "aegis"], "sub": "bot-7", "exp": NOW + 60, "iat": NOW - 5})
    }

    fn with(mut value: Value, key: &str, new: Value) -> Value {
        value[key] = new;
        value
    }

    #[test]
    fn a_good_token_is_an_identity_with_what_the_file_grants_it() {
        let signer = Signer::new();
        let identity = signer.ask(&signer.sign(&header(), &claims())).unwrap();
        assert_eq!((&*identity.subject, identity.how), ("jwt:idp:bot-7", How::Jwt));
        assert_eq!(identity.roles, Roles::of(&[Role::Agent]));
        assert_eq!(identity.expires_at, Some(Timestamp::from_second(NOW + 90).unwrap()));

        let groups = with(with(claims(), "groups", json!(["sre", 7])), "sub", json!("ada"));
        let identity = signer.ask(&signer.sign(&header(), &groups)).unwrap();
        assert_eq!((identity.roles, &*identity.groups), (Roles::of(&[Role::Reviewer]), &["sre".to_owned()][..]));
        // Exactly one key fits, so its id may be left out.
        signer.ask(&signer.sign(&json!({"alg": "EdDSA"}), &claims())).unwrap();
        // Expired, but within the leeway.
        signer.ask(&signer.sign(&header(), &with(claims(), "exp", json!(NOW - 29)))).unwrap();
        signer.ask(&signer.sign(&header(), &with(claims(), "nbf", json!(NOW + 29)))).unwrap();
    }

    #[test]
    fn a_signature_that_was_good_once_makes_nothing_else_good() {
        let signer = Signer::new();
        let token = signer.sign(&header(), &claims());
        signer.ask(&token).unwrap();
        let read = Token::read(&token, Digest::of(token.as_bytes())).unwrap().unwrap();
        let later = Timestamp::from_second(NOW + 3600).unwrap();
        assert_eq!(signer.jwt.check(&read, later).unwrap_err(), "it has expired");
        for i in 0..MAX_GOOD + 10 {
            signer.ask(&signer.sign(&header(), &with(claims(), "jti", json!(i)))).unwrap();
        }
        assert!(signer.jwt.0[0].keys.good().len() <= MAX_GOOD);
    }

    #[test]
    fn every_token_that_is_not_good_is_refused() {
        let signer = Signer::new();
        let without = |claim: &str| {
            let mut claims = claims();
            claims.as_object_mut().unwrap().remove(claim);
            claims
        };
        for (header, claims, why) in [
            (header(), with(claims(), "exp", json!(NOW - 30)), "expired"),
            (header(), with(claims(), "exp", json!("soon")), "not a valid time"),
            (header(), without("exp"), "no exp"),
            (header(), with(claims(), "nbf", json!(NOW + 31)), "not valid yet"),
            (header(), with(claims(), "iat", json!(NOW + 31)), "not valid yet"),
            (header(), with(claims(), "aud", json!("other")), "audience"),
            (header(), with(claims(), "aud", json!([])), "audience"),
            (header(), without("aud"), "audience"),
            (header(), with(claims(), "iss", json!("https://idp.example/")), "not trusted"),
            (header(), without("iss"), "no iss"),
            (header(), without("sub"), "no sub"),
            (header(), with(claims(), "sub", json!("a\u{202e}b")), "no sub"),
            (with(header(), "alg", json!("none")), claims(), "algorithm"),
            (with(header(), "alg", json!("HS256")), claims(), "algorithm"),
            (with(header(), "alg", json!("RS256")), claims(), "another algorithm"),
            (with(header(), "kid", json!("two")), claims(), "unknown kid"),
            (with(header(), "crit", json!(["x"])), claims(), "critical"),
        ] {
            let refused = signer.ask(&signer.sign(&header, &claims)).unwrap_err();
            assert!(refused.contains(why), "{why}: {refused}");
        }
    }

    #[test]
    fn a_token_that_has_a_key_twice_is_refused_however_well_it_is_signed() {
        let signer = Signer::new();
        let signed = |header: &str, claims: &str| {
            let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
            let signature = URL_SAFE_NO_PAD.encode(signer.pair.sign(message.as_bytes()));
            format!("{message}.{signature}")
        };
        let (header, claims) = (header().to_string(), claims().to_string());
        signer.ask(&signed(&header, &claims)).unwrap();
        let also = |json: &str, more: &str| json.replacen('{', &format!("{{{more},"), 1);
        for (header, claims) in [
            (also(&header, r#""alg":"none""#), claims.clone()),
            (header.clone(), also(&claims, r#""sub":"root""#)),
            (header.clone(), also(&claims, r#""s\u0075b":"root""#)),
            (header.clone(), also(&claims, r#""x":{"a":1,"a":2}"#)),
        ] {
            let why = signer.ask(&signed(&header, &claims)).unwrap_err();
            assert!(why.contains("twice"), "{header} {claims}: {why}");
        }
    }

    #[test]
    fn a_token_that_was_changed_or_has_no_signature_is_refused() {
        let signer = Signer::new();
        let good = signer.sign(&header(), &claims());
        let (message, signature) = good.rsplit_once('.').unwrap();
        let other = format!("{}.{}", encode(&header()), encode(&with(claims(), "sub", json!("bot-8"))));
        signer.ask(&good).unwrap();
        for token in [format!("{message}."), format!("{other}.{signature}"), Signer::new().sign(&header(), &claims())] {
            assert_eq!(signer.ask(&token).unwrap_err(), "the signature is wrong");
        }
        for text in ["a.b", "a.b.c.d", "..", "a.b.c", "é.é.é"] {
            assert!(signer.ask(text).is_err(), "{text}");
        }
        assert!(signer.ask(&format!("a.{}.c", "b".repeat(20_000))).is_err());
    }

    #[test]
    fn a_caller_hears_only_that_it_is_not_valid() {
        use crate::auth::connection::{Connection, Listener, Peer};
        use crate::auth::{AuthenticationError, Bearer};
        let signer = Signer::new();
        let token = signer.sign(&with(header(), "kid", json!("two")), &claims());
        let peer = Peer::Tcp(std::net::Ipv4Addr::LOCALHOST.into());
        let connection = Connection::new(Listener::Main { anonymous: Roles::NONE }, peer, None);
        let digest = Digest::of(token.as_bytes());
        let now = crate::domain::Clock::now(&SystemClock::start());
        let shown = Shown { connection: &connection, bearer: Some(Bearer { text: &token, digest }), now };
        let Authentication::Refused { error, why } = signer.jwt.authenticate(&shown) else { panic!("it is not valid") };
        assert_eq!((error, why.as_str()), (AuthenticationError::BadToken, "a JWT: unknown kid"));
    }

    #[test]
    fn a_set_of_keys_is_taken_whole_or_not_at_all() {
        for (set, says) in [
            (json!({"keys": []}), "no key that can be used"),
            (json!({"keys": [{"kty": "oct", "k": "x"}]}), "keys[0]: is a symmetric key"),
            (json!({"keys": [{"kty": "RSA", "n": "!", "e": "AQAB"}]}), "`n` is not base64url"),
            (json!({"keys": [{"kty": "OKP", "crv": "Ed25519"}]}), "has no `x`"),
            (json!({"keys": [{"kty": "RSA", "n": "AA", "e": "AQAB", "use": "enc"}]}), "no key that can be used"),
            (json!([]), "is no set of keys"),
        ] {
            let why = Keys::read(&set.to_string()).unwrap_err();
            assert!(why.contains(says), "{set}: {why}");
        }
        let twice = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "a", "kid": "b"}]}"#;
        let why = Keys::read(twice).unwrap_err();
        assert!(why.contains("the key \"kid\" is given twice"), "{why}");
    }
}
