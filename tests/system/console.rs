//! Signing in to the console: the codes of `aegis console`. A browser tests the pages: src/server/console/web/test.

use serde_json::{Value, json};

use aegis::proto::v1::Role;

use crate::harness::{Rest, Setup, stderr, stdout};

const EXCHANGE: &str = "/api/v1/sign-in-codes/exchange";

#[tokio::test]
async fn an_address_signs_its_owner_in_once_with_their_own_roles() {
    let daemon = Setup::new().start();
    let (ada, _) = daemon.token("ada", &[Role::Reviewer]).await;
    for (token, subject, roles) in
        [(None, "local:", json!(["reviewer", "auditor", "admin"])), (Some(&ada), "token:ada", json!(["reviewer"]))]
    {
        let mut command = daemon.cli_command(&["console", "--format", "json"]);
        command.envs(token.map(|token| ("AEGIS_TOKEN", token)));
        let printed = command.output().unwrap();
        assert!(printed.status.success(), "{}", stderr(&printed));
        let printed: Value = serde_json::from_str(&stdout(&printed)).unwrap();
        let url = printed["url"].as_str().unwrap();
        let code = url.strip_prefix(&format!("{}/console/#code=", daemon.endpoint)).expect(url);
        let api = Rest::of(&daemon);
        let exchanged = api.post(EXCHANGE, json!({"code": code})).await.ok();
        let caller = api.clone().bearer(exchanged["token"].as_str().unwrap()).get("/api/v1/identity").await.ok();
        assert!(caller["subject"].as_str().unwrap().starts_with(subject), "{caller}");
        assert_eq!(caller["roles"], roles);
        let again = api.post(EXCHANGE, json!({"code": code})).await;
        assert_eq!(again.problem(), (401, "CREDENTIAL_INVALID"));
        assert!(!daemon.log().contains(code), "{}", daemon.log());
    }
}

#[tokio::test]
async fn a_code_stands_for_a_token_and_not_for_a_connection() {
    let daemon = Setup::new().args(&["--dev"]).start();
    let created = Rest::of(&daemon).post("/api/v1/sign-in-codes", Value::Null).await;
    assert_eq!((created.problem(), created.fields()), ((400, "INVALID_REQUEST"), vec!["authorization"]));
    for (body, code) in [(json!({}), "INVALID_REQUEST"), (json!({"code": 1}), "INVALID_REQUEST")] {
        assert_eq!(Rest::of(&daemon).post(EXCHANGE, body).await.problem(), (400, code));
    }
}

#[test]
fn an_address_is_one_that_a_browser_reaches() {
    let setup = Setup::new();
    let socket = format!("unix:{}", setup.home().join("data/aegis.sock").display());
    let daemon = setup.start();
    let (credential, other) =
        (std::fs::read_to_string(daemon.data_dir().join("credential")).unwrap(), "https://a.example:9");
    let mut by_socket = daemon.cli_command(&["console", "--endpoint", &socket]);
    by_socket.env("AEGIS_TOKEN", credential.trim()).env_remove("AEGIS_DATA_DIR");
    let refused = by_socket.output().unwrap();
    assert!(!refused.status.success() && stderr(&refused).contains("--url"), "{}", stderr(&refused));
    let named = daemon.cli(&["console", "--url", other]);
    assert!(stdout(&named).starts_with("https://a.example:9/console/#code="), "{}", stderr(&named));
    let mut without = daemon.cli_command(&["console", "--endpoint", &daemon.endpoint]);
    let without = without.output().unwrap();
    assert!(!without.status.success() && stderr(&without).contains("AEGIS_TOKEN"), "{}", stderr(&without));
}
