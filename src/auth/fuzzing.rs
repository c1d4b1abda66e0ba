//! Functions for the fuzz targets in `tests/fuzz`, with the properties that must hold for any input. The tests below
//! run the seeds of the targets through the same functions.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::Value;

use super::connection::{Connection, Listener, Peer};
use super::grant::Grant;
use super::jwks::{Algorithm, Keys};
use super::jwt::{Issuer, IssuerKeys, Jwt, JwtEntry};
use super::{
    Authentication, Authenticator as _, Bearer, Chain, Failures, Identities, Known, LocalOperator, MadeTokens, Shown,
    identities,
};
use crate::domain::{Clock, Digest, Role, Roles, Timestamp};
use crate::governance::Tokens;

/// The current time in these functions: 2027-01-15.
const NOW: i64 = 1_800_000_000;
const CREDENTIAL: &str = "aegis_secret";
const AUDIENCE: &str = "aegis";
const ISSUER: &str = "https://idp.example";

struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(NOW).unwrap_or_default()
    }

    fn uptime(&self) -> Duration {
        Duration::from_secs(100)
    }
}

fn key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("any 32 bytes are a seed")
}

fn issuer() -> Issuer {
    let x = URL_SAFE_NO_PAD.encode(key().public_key());
    let set = format!(r#"{{"keys": [{{"kty": "OKP", "crv": "Ed25519", "kid": "one", "x": "{x}"}}]}}"#);
    let any = JwtEntry { subject: None, group: None, grant: Grant::of(Roles::of(&[Role::Agent])) };
    Issuer {
        name: "idp".to_owned(),
        iss: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        algorithms: Algorithm::ALL.to_vec(),
        leeway: Duration::from_secs(30),
        groups_claim: "groups".to_owned(),
        keys: IssuerKeys::of_file(Keys::read(&set).expect("the set is one")),
        grants: vec![any],
    }
}

fn connection() -> Connection {
    let peer = Peer::Tcp(std::net::Ipv4Addr::LOCALHOST.into());
    Connection::new(Listener::Main { anonymous: Roles::of(&Role::ALL) }, peer, None)
}

/// Any bytes as the authorization header of a call. The result is the holder of the credential or an error, never
/// anonymous.
pub fn authorization(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    let identities = Identities { authenticators: vec![Box::new(Jwt(vec![issuer()]))], ..Identities::default() };
    let chain = Chain {
        operator: LocalOperator::new("ada", 1000, CREDENTIAL),
        tokens: MadeTokens(Arc::new(Tokens::new(Vec::new()))),
        known: Arc::new(Known::new(identities)),
        failures: Failures::new(0),
        clock: Arc::new(FixedClock),
    };
    if let Ok(identity) = chain.identify(&connection(), Some(&value)) {
        assert!(identity.is_authenticated(), "a header made somebody anonymous");
        let text = value.to_str().expect("a header that counts is text");
        let is_signed = text.split('.').count() == 3;
        assert!(is_signed || text.contains(CREDENTIAL), "a token that nobody made opens something");
    }
}

/// Any text as a token. Also any header and claims (one line each) with a valid signature, to reach the checks after
/// the signature.
pub fn jwt(text: &str) {
    let (header, claims) = text.split_once('\n').unwrap_or((text, ""));
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(key().sign(message.as_bytes()));
    let jwt = Jwt(vec![issuer()]);
    for token in [text.to_owned(), format!("{message}.{signature}")] {
        let bearer = Some(Bearer { text: &token, digest: Digest::of(token.as_bytes()) });
        let (connection, now) = (connection(), FixedClock.now());
        let Authentication::Is(identity) = jwt.authenticate(&Shown { connection: &connection, bearer, now }) else {
            continue;
        };
        // An accepted token has all required claims, as a second parser reads them.
        let part = token.split('.').nth(1).expect("a token has claims");
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("claims");
        assert_eq!(claims["iss"], ISSUER);
        let audience = &claims["aud"];
        let is_for_us = audience == AUDIENCE || audience.as_array().is_some_and(|all| all.contains(&AUDIENCE.into()));
        assert!(is_for_us, "for somebody else: {audience}");
        let expires = claims["exp"].as_f64().expect("it expires");
        #[expect(clippy::cast_precision_loss, reason = "that moment is exact in a double")]
        let now = NOW as f64;
        assert!(expires > now - 31.0, "it was over");
        assert!(identity.expires_at.is_some_and(|end| end > FixedClock.now()));
        assert_eq!(*identity.subject, *format!("jwt:idp:{}", claims["sub"].as_str().expect("a subject")));
    }
}

/// Any text as a set of keys. It is refused, or it rejects any signature without a panic.
pub fn jwks(text: &str) {
    let Ok(keys) = Keys::read(text) else { return };
    for algorithm in Algorithm::ALL {
        for id in [None, Some("one")] {
            for signature in [&[][..], &[0; 64], &[1; 256]] {
                assert!(keys.verify(algorithm, id, b"a.b", signature).is_err(), "a made-up signature is good");
            }
        }
    }
}

/// Any text as an identities file. It is refused with reasons, or it authenticates callers without a panic.
pub fn identities_file(text: &str) {
    match identities::parse_alone(text) {
        Err(errors) => assert!(!errors.to_string().is_empty()),
        Ok(identities) => {
            let (connection, now) = (connection(), FixedClock.now());
            for bearer in [None, Some("aegis_x"), Some("a.b.c")] {
                let bearer = bearer.map(|text| Bearer { text, digest: Digest::of(text.as_bytes()) });
                let shown = Shown { connection: &connection, bearer, now };
                for authenticator in &identities.authenticators {
                    let answer = authenticator.authenticate(&shown);
                    assert!(
                        !matches!(answer, Authentication::Is(_)),
                        "nobody was named, and somebody is known: {answer:?}"
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every seed of a target, by its name.
    fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
        let files = std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        let read = |path: std::path::PathBuf| (path.display().to_string(), std::fs::read(&path).unwrap());
        let seeds: Vec<_> = files.map(|file| read(file.unwrap().path())).collect();
        assert!(!seeds.is_empty());
        seeds
    }

    #[test]
    fn the_seeds_of_the_fuzz_targets_hold() {
        for (_, bytes) in seeds("authorization") {
            authorization(&bytes);
        }
        for (target, run) in [("jwt", jwt as fn(&str)), ("jwks", jwks), ("identities", identities_file)] {
            for (name, bytes) in seeds(target) {
                run(std::str::from_utf8(&bytes).unwrap_or_else(|error| panic!("{name}: {error}")));
            }
        }
    }

    #[test]
    fn the_seeds_reach_what_they_are_for() {
        let good = seeds("jwt").into_iter().filter(|(_, bytes)| {
            let text = String::from_utf8_lossy(bytes);
            let (header, claims) = text.split_once('\n').unwrap_or_default();
            let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
            let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(key().sign(message.as_bytes())));
            let bearer = Some(Bearer { text: &token, digest: Digest::of(token.as_bytes()) });
            let shown = Shown { connection: &connection(), bearer, now: FixedClock.now() };
            matches!(Jwt(vec![issuer()]).authenticate(&shown), Authentication::Is(_))
        });
        assert!(good.count() >= 2, "a token that is let in");
        let keys = seeds("jwks").into_iter().filter(|(_, text)| Keys::read(&String::from_utf8_lossy(text)).is_ok());
        assert!(keys.count() >= 1, "a set that is taken");
        let files = seeds("identities");
        let files = files.iter().filter(|(_, text)| identities::parse_alone(&String::from_utf8_lossy(text)).is_ok());
        assert!(files.count() >= 1, "a file that is taken");
    }
}
