//! Signed tokens of an issuer, from the side of whoever sends them.

use std::path::PathBuf;

use aegis::proto::v1;
use aegis::proto::v1::governance_service_client::GovernanceServiceClient;
use aegis::proto::v1::policy_service_client::PolicyServiceClient;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tonic::Code;

use crate::harness::{
    Authority, Daemon, ISSUER, KeyServer, Setup, Signer, call, claims, eventually, propose, reason, text, with_token,
};

const GET: &str = "/aegis.v1.PolicyService/GetPolicy";
const PROPOSE: &str = "/aegis.v1.GovernanceService/Propose";

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

    assert_eq!(identity.groups, Vec::<String>::new());
    let grouped = signer.sign(&signer.header(), &with(claims(agent, 60), "groups", json!(["agents", "eu"])));
    let mut client = GovernanceServiceClient::new(with_token(daemon.tcp().await, &grouped));
    let decision = client.propose(propose("read", "x")).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(daemon.row(&decision.decision_id).await.identity.unwrap().groups, ["agents", "eu"]);

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
    call(with_token(daemon.tcp().await, &old.good(admin, 60)), GET).await.expect("the last good keys count");
    new.publish(&keys);
    eventually("the new key counts", || async {
        call(with_token(daemon.tcp().await, &new.good(admin, 60)), GET).await.ok()
    })
    .await;
    let refused = call(with_token(daemon.tcp().await, &old.good(admin, 60)), GET).await.unwrap_err();
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

/// A daemon that trusts the issuer whose keys are at this address.
fn by_url(setup: &Setup, url: &str, more: &str) -> String {
    let file = setup.home().join("auth.yaml");
    let yaml = format!(
        "jwt: [{{name: idp, issuer: '{ISSUER}', audience: aegis, jwks_url: '{url}'{more}, leeway_seconds: 0, \
         grants: [{{subject: 'ops:*', roles: [admin]}}]}}]"
    );
    std::fs::write(&file, yaml).unwrap();
    text(&file).to_owned()
}

async fn lets_in(daemon: &Daemon, token: &str) -> bool {
    call(with_token(daemon.tcp().await, token), GET).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_fetched_over_https_and_refreshed_and_the_last_good_ones_are_kept() {
    let setup = Setup::new();
    let authority = Authority::new(setup.home());
    authority.write_ca("idp-ca.crt");
    let (old, new) = (Signer::new("one"), Signer::new("one"));
    let server = KeyServer::start(old.keys(), Some(&authority.server())).await;
    let url = format!("https://localhost:{}/keys", server.address.port());
    let file = by_url(&setup, &url, ", jwks_ca: idp-ca.crt, refresh_seconds: 1");
    let limits = ["--max-wrong-credentials", "0", "--admin-listen", "127.0.0.1:0"];
    let daemon = setup.args(&["--auth", &file]).args(&limits).start();
    assert!(lets_in(&daemon, &old.good("ops:ada", 60)).await);
    assert_eq!(daemon.metric("aegis_identities_keys_failing").await, "0");

    for (status, body, says) in [
        ("500 Internal Server Error", old.keys(), "answers 500 Internal Server Error"),
        ("200 OK", "{}".to_owned(), "is no set of keys (JWKS)"),
        ("200 OK", " ".repeat(2 << 20), "answers with more than 1048576 bytes"),
        ("302 Found", String::new(), "redirects are not followed"),
    ] {
        server.answers(status, body);
        daemon.logs(says).await;
        daemon.logs("the last good ones stay in force").await;
        assert!(lets_in(&daemon, &old.good("ops:ada", 60)).await, "{says}");
        eventually("health and metrics say so", || async {
            let failing = daemon.metric("aegis_identities_keys_failing").await == "1";
            let health = daemon.health("aegis.auth").await? == tonic_health::ServingStatus::NotServing;
            (failing && health).then_some(())
        })
        .await;
        server.answers("200 OK", old.keys());
        eventually("it recovers", || async {
            (daemon.health("aegis.auth").await? == tonic_health::ServingStatus::Serving).then_some(())
        })
        .await;
    }
    assert_eq!(daemon.events("identities_rejected").len(), 4);
    assert_eq!(daemon.events("identities_loaded").len(), 1, "the same keys are no change");

    // A new key under the same id: nothing asks for it, and the interval brings it.
    server.answers("200 OK", new.keys());
    eventually("the new key counts", || async { lets_in(&daemon, &new.good("ops:ada", 60)).await.then_some(()) }).await;
    assert!(!lets_in(&daemon, &old.good("ops:ada", 60)).await, "the whole set was replaced");
    assert_eq!(daemon.events("identities_loaded").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_with_an_unknown_key_has_the_keys_fetched_but_not_again_and_again() {
    let setup = Setup::new();
    let (old, new) = (Signer::new("one"), Signer::new("two"));
    let server = KeyServer::start(old.keys(), None).await;
    let file = by_url(&setup, &format!("http://{}/keys", server.address), "");
    let daemon = setup.args(&["--auth", &file, "--max-wrong-credentials", "0"]).start();
    assert!(lets_in(&daemon, &old.good("ops:ada", 60)).await);
    assert_eq!(server.asked(), 1);

    server.answers("200 OK", new.keys());
    assert!(!lets_in(&daemon, &new.good("ops:ada", 60)).await, "it is not waited for");
    eventually("the new key counts", || async { lets_in(&daemon, &new.good("ops:ada", 60)).await.then_some(()) }).await;
    assert_eq!(server.asked(), 2);

    let begun = std::time::Instant::now();
    for i in 0..100 {
        assert!(!lets_in(&daemon, &Signer::new(["three", "four"][i % 2]).good("ops:ada", 60)).await);
    }
    let asked = u64::try_from(server.asked()).unwrap();
    assert!(asked <= 3 + begun.elapsed().as_secs() / 10, "asked {asked} times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_cannot_be_fetched_do_not_start_and_the_reason_is_said() {
    let setup = Setup::new();
    let authority = Authority::new(setup.home());
    let other = Authority::new(setup.home());
    other.write_ca("other-ca.crt");
    let secure = KeyServer::start(Signer::new("one").keys(), Some(&authority.server())).await;
    let plain = KeyServer::start("nonsense".to_owned(), None).await;
    let secure = format!("https://localhost:{}/keys", secure.address.port());
    for (url, more, says) in [
        (secure.as_str(), ", jwks_ca: other-ca.crt", "invalid peer certificate"),
        (&secure, ", jwks_ca: none.crt", "none.crt: No such file"),
        (&format!("http://{}/keys", plain.address), "", "is no set of keys (JWKS)"),
        ("http://127.0.0.1:1/keys", "", "Connection refused"),
        ("http://idp.example/keys", "", "is plain http to another machine"),
    ] {
        let setup = Setup::new();
        other.write_ca("other-ca.crt");
        std::fs::copy(authority.path("other-ca.crt"), setup.home().join("other-ca.crt")).unwrap();
        let file = by_url(&setup, url, more);
        let setup = setup.args(&["--auth", &file]);
        let (status, said) = tokio::task::spawn_blocking(move || setup.refuse()).await.unwrap();
        assert!(!status.success() && said.contains(says), "{says}: {said}");
        assert!(said.contains("auth.yaml:1:") && said.contains("jwt[0].jwks_url"), "{said}");
    }
}
