//! Signed tokens of an issuer, from the side of whoever sends them.

use std::path::{Path, PathBuf};

use aegis::proto::v1;
use aegis::proto::v1::governance_service_client::GovernanceServiceClient;
use aegis::proto::v1::policy_service_client::PolicyServiceClient;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use tonic::Code;

use crate::daemon::{Daemon, Setup, eventually, propose, reason};
use crate::identities::{call, with_token};

const ISSUER: &str = "https://kubernetes.default.svc";
const PROPOSE: &str = "/aegis.v1.GovernanceService/Propose";

/// An issuer of tokens with one key.
struct Signer {
    id: &'static str,
    pair: EcdsaKeyPair,
}

impl Signer {
    fn new(id: &'static str) -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        Self { id, pair }
    }

    fn publish(&self, path: &Path) {
        let point = self.pair.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
        let set = json!({"keys": [{"kty": "EC", "crv": "P-256", "use": "sig", "kid": self.id, "x": x, "y": y}]});
        let beside = path.with_extension("new");
        std::fs::write(&beside, set.to_string()).unwrap();
        std::fs::rename(&beside, path).unwrap();
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn good(&self, subject: &str, seconds: i64) -> String {
        self.sign(&self.header(), &claims(subject, seconds))
    }

    fn header(&self) -> Value {
        json!({"alg": "ES256", "kid": self.id})
    }
}

fn claims(subject: &str, seconds: i64) -> Value {
    let now = aegis::domain::Timestamp::now().as_second();
    json!({"iss": ISSUER, "aud": ["aegis"], "sub": subject, "iat": now, "nbf": now, "exp": now + seconds})
}

fn with(mut value: Value, key: &str, new: Value) -> Value {
    value[key] = new;
    value
}

/// A daemon that trusts the issuer, and where its keys are.
fn daemon(signer: &Signer) -> (Daemon, PathBuf) {
    let setup = Setup::new();
    let (file, keys) = (setup.home().join("auth.yaml"), setup.home().join("jwks.json"));
    signer.publish(&keys);
    let yaml = format!(
        "jwt:
  - name: kubernetes
    issuer: {ISSUER}
    audience: aegis
    jwks: jwks.json
    leeway_seconds: 0
    grants:
      - {{subject: 'system:serviceaccount:agents:*', roles: [agent]}}
      - {{subject: 'system:serviceaccount:ops:*', roles: [admin]}}
"
    );
    std::fs::write(&file, yaml).unwrap();
    (setup.args(&["--auth", file.to_str().unwrap(), "--max-wrong-credentials", "0"]).start(), keys)
}

#[tokio::test]
async fn a_service_account_proposes_under_its_own_name_and_every_bad_token_is_the_same_refusal() {
    let signer = Signer::new("one");
    let (daemon, _) = daemon(&signer);
    let agent = "system:serviceaccount:agents:one";
    let mut client = GovernanceServiceClient::new(with_token(daemon.tcp().await, &signer.good(agent, 60)));
    let decision = client.propose(propose("read", "x")).await.unwrap().into_inner().decision.unwrap();
    let identity = daemon.row(&decision.decision_id).await.identity.unwrap();
    assert_eq!((identity.subject, identity.how.as_str()), (format!("jwt:kubernetes:{agent}"), "jwt"));

    let (header, claims) = (signer.header(), claims(agent, 60));
    let now = claims["iat"].as_i64().unwrap();
    let mut unsigned = signer.sign(&with(header.clone(), "alg", json!("none")), &claims);
    unsigned.truncate(unsigned.rfind('.').unwrap() + 1);
    for (what, token) in [
        ("expired", signer.good(agent, -1)),
        ("another audience", signer.sign(&header, &with(claims.clone(), "aud", json!(["other"])))),
        ("another issuer", signer.sign(&header, &with(claims.clone(), "iss", json!("https://evil.example")))),
        ("alg none", unsigned),
        ("a symmetric algorithm", signer.sign(&with(header.clone(), "alg", json!("HS256")), &claims)),
        ("an unknown kid", signer.sign(&with(header.clone(), "kid", json!("two")), &claims)),
        ("a skewed clock", signer.sign(&header, &with(claims.clone(), "nbf", json!(now + 3600)))),
        ("somebody else's key", Signer::new("one").good(agent, 60)),
    ] {
        let refused = call(with_token(daemon.tcp().await, &token), PROPOSE).await.unwrap_err();
        assert_eq!(
            (refused.code(), refused.message()),
            (Code::Unauthenticated, "the bearer token is not valid"),
            "{what}"
        );
        assert_eq!(reason(&refused), "CREDENTIAL_INVALID");
    }
    // Known, and nobody here.
    let other = signer.good("system:serviceaccount:default:default", 60);
    let refused = call(with_token(daemon.tcp().await, &other), PROPOSE).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn keys_are_rotated_and_streams_end_with_their_token() {
    let old = Signer::new("one");
    let (daemon, keys) = daemon(&old);
    let admin = "system:serviceaccount:ops:ada";
    let mut client = PolicyServiceClient::new(with_token(daemon.tcp().await, &old.good(admin, 2)));
    let mut stream = client.watch_policy(v1::WatchPolicyRequest {}).await.unwrap().into_inner();
    let over = loop {
        if let Err(status) = stream.message().await.map(|message| message.expect("a word before the end")) {
            break status;
        }
    };
    assert_eq!((over.code(), reason(&over).as_str()), (Code::Unauthenticated, "CREDENTIAL_EXPIRED"));

    let new = Signer::new("two");
    std::fs::write(&keys, "{}").unwrap();
    daemon.logs("jwks.json: is no set of keys").await;
    let get = "/aegis.v1.PolicyService/GetPolicy";
    call(with_token(daemon.tcp().await, &old.good(admin, 60)), get).await.expect("the last good keys count");
    new.publish(&keys);
    eventually("the new key counts", || async {
        call(with_token(daemon.tcp().await, &new.good(admin, 60)), get).await.ok()
    })
    .await;
    let refused = call(with_token(daemon.tcp().await, &old.good(admin, 60)), get).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

#[test]
fn an_issuer_without_an_audience_does_not_start() {
    let setup = Setup::new();
    let file = setup.home().join("auth.yaml");
    Signer::new("one").publish(&setup.home().join("jwks.json"));
    std::fs::write(&file, format!("jwt:\n  - {{name: a, issuer: {ISSUER}, jwks: jwks.json, grants: []}}\n")).unwrap();
    let (status, said) = setup.args(&["--auth", file.to_str().unwrap()]).refuse();
    assert!(!status.success() && said.contains("auth.yaml:2:5: jwt[0]: missing field `audience`"), "{said}");
}

/// What openssl says, given this on its standard input.
fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    let mut command = Command::new("openssl");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("openssl is installed");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl {arguments:?}");
    output.stdout
}

#[tokio::test]
async fn a_service_account_is_known_by_an_rsa_signature_as_kubernetes_makes_them() {
    let signer = Signer::new("unused");
    let (daemon, keys) = daemon(&signer);
    let key = daemon.home.path().join("rsa.pem");
    let key = key.to_str().unwrap();
    openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key], b"");
    let modulus = String::from_utf8(openssl(&["rsa", "-in", key, "-noout", "-modulus"], b"")).unwrap();
    let modulus = hex::decode(modulus.trim().strip_prefix("Modulus=").unwrap()).unwrap();
    let n = URL_SAFE_NO_PAD.encode(modulus);
    let set = json!({"keys": [{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "k8s", "n": n, "e": "AQAB"}]});
    std::fs::write(keys.with_extension("new"), set.to_string()).unwrap();
    std::fs::rename(keys.with_extension("new"), &keys).unwrap();

    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = claims("system:serviceaccount:agents:one", 60);
    let message = format!("{}.{}", encode(&json!({"alg": "RS256", "kid": "k8s"})), encode(&claims));
    let signature = openssl(&["dgst", "-sha256", "-sign", key], message.as_bytes());
    let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(&signature));
    let channel = daemon.tcp().await;
    eventually("the new keys are in force", || {
        let mut client = GovernanceServiceClient::new(with_token(channel.clone(), &token));
        async move { client.propose(propose("read", "x")).await.ok() }
    })
    .await;

    let mut forged = signature;
    forged[17] ^= 1;
    let forged = format!("{message}.{}", URL_SAFE_NO_PAD.encode(forged));
    let mut client = GovernanceServiceClient::new(with_token(channel, &forged));
    assert_eq!(client.propose(propose("read", "x")).await.unwrap_err().code(), Code::Unauthenticated);
}
