//! HTTP/1.1 and HTTP/2 on one port: what is no gRPC call is answered in HTTP's words, by one place, and lets nobody in.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use aegis::proto::v1;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tonic::Code;

use crate::harness::{Authority, Daemon, Setup, bare, call, connect, propose, reason, replace, text};

fn dial(daemon: &Daemon) -> TcpStream {
    let (_, address) = daemon.endpoint.split_once("://").unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    stream
}

/// The status line, the headers and the body of the answer to this request.
fn ask(mut stream: impl Read + Write, request: &str) -> (String, String, serde_json::Value) {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let (line, headers) = head.split_once("\r\n").unwrap();
    (line.to_owned(), headers.to_lowercase(), serde_json::from_str(body).unwrap())
}

fn http1(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n{headers}\r\n")
}

#[tokio::test]
async fn what_is_no_grpc_call_is_answered_in_the_words_of_http() {
    let daemon = Setup::new().start();
    for path in ["/nothing", "/healthz", "/api/v1", "/aegis.v1.NewService/New"] {
        let (line, headers, problem) = ask(dial(&daemon), &http1("GET", path, ""));
        assert_eq!(line, "HTTP/1.1 404 Not Found", "{path}");
        assert!(headers.contains("content-type: application/problem+json"), "{headers}");
        assert_eq!((&problem["status"], &problem["code"]), (&404.into(), &"UNKNOWN_METHOD".into()), "{problem}");
    }
    // A method that there is, and not as gRPC: the one kind of request that a web page can send without asking first.
    for kind in ["text/plain", "application/json", "application/grpc", "application/grpc-web"] {
        let request = http1("POST", "/aegis.v1.GovernanceService/Propose", &format!("Content-Type: {kind}\r\n"));
        let (line, _, problem) = ask(dial(&daemon), &request);
        assert_eq!(line, "HTTP/1.1 415 Unsupported Media Type", "{kind}");
        assert_eq!(problem["code"], "UNSUPPORTED_CONTENT_TYPE", "{problem}");
    }
    assert!(daemon.rows().await.is_empty());
    daemon.agent().await.propose(propose("read", "crm")).await.unwrap();
}

#[tokio::test]
async fn tls_offers_both_versions_of_http() {
    let setup = Setup::new();
    let directory = setup.home().to_owned();
    let authority = Authority::new(&directory);
    let (certificate, key) = authority.write("server", &authority.server());
    let daemon = setup.args(&["--tls-cert", text(&certificate), "--tls-key", text(&key)]).start();

    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    for (offered, chosen) in
        [(&["http/1.1"][..], Some("http/1.1")), (&["h2"], Some("h2")), (&["h2", "http/1.1"], Some("h2")), (&[], None)]
    {
        let mut config = config.clone();
        config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        let connection = rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, dial(&daemon));
        stream.conn.complete_io(&mut stream.sock).unwrap();
        assert_eq!(stream.conn.alpn_protocol(), chosen.map(str::as_bytes), "{offered:?}");
        if chosen != Some("h2") {
            let (line, _, _) = ask(stream, &http1("GET", "/nothing", ""));
            assert_eq!(line, "HTTP/1.1 404 Not Found", "{offered:?}");
        }
    }
}

#[tokio::test]
async fn a_web_page_is_answered_by_no_method() {
    let daemon = Setup::new().args(&["--dev"]).start();
    let mut request = tonic::Request::new(propose("read", "crm"));
    request.metadata_mut().insert("origin", "https://example.org".parse().unwrap());
    let status = daemon.agent().await.propose(request).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::PermissionDenied, "CROSS_ORIGIN"));
    let (line, headers, _) =
        ask(dial(&daemon), &http1("OPTIONS", "/aegis.v1.GovernanceService/Propose", "Origin: null\r\n"));
    assert_eq!(line, "HTTP/1.1 403 Forbidden");
    assert!(!headers.contains("access-control"), "{headers}");
    assert!(daemon.rows().await.is_empty());
}

#[tokio::test]
async fn a_client_that_sends_its_headers_slowly_is_cut_off() {
    let daemon = Setup::new().args(&["--handshake-timeout", "1s"]).start();
    let mut stream = dial(&daemon);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").unwrap();
    let mut said = Vec::new();
    // Nothing more is sent: the end of the connection is the event.
    let _ = stream.read_to_end(&mut said);
    assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&said));
}

#[tokio::test]
async fn an_unknown_method_has_a_reason_and_so_has_a_deadline_that_passed() {
    let daemon = Setup::new().policy("rules: [{match: {type: ask}}]").start();
    let mut client = tonic::client::Grpc::new(daemon.tcp().await);
    client.ready().await.unwrap();
    let path = "/aegis.v1.GovernanceService/NewMethod".parse().unwrap();
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let status = client.unary(tonic::Request::new(()), path, codec).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unimplemented, "UNKNOWN_METHOD"));

    // A wait that is longer than the caller's own deadline ends before that, with the question's id.
    let ask = v1::ProposeRequest { wait: crate::harness::seconds(60), ..propose("ask", "crm") };
    let mut request = tonic::Request::new(ask);
    request.set_timeout(std::time::Duration::from_secs(2));
    let decision = daemon.agent().await.propose(request).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(decision.outcome(), v1::Outcome::Escalate);
    assert!(!decision.approval_id.is_empty());
}

#[tokio::test]
async fn a_web_page_cannot_use_the_certificate_of_its_browser() {
    use aegis::proto::v1::policy_service_client::PolicyServiceClient;

    let setup = Setup::new().policy("rules: [{match: {type: ask}}]");
    let authority = Authority::new(setup.home());
    let (certificate, key) = authority.write("server", &authority.server());
    let (ca, file) = (authority.write_ca("ca.crt"), authority.path("auth.yaml"));
    replace(&file, "certificates: [{common_name: ops, roles: [admin]}]");
    let tls = ["--tls-cert", text(&certificate), "--tls-key", text(&key), "--tls-client-ca", text(&ca)];
    let daemon = setup.args(&tls).args(&["--auth", text(&file)]).start();
    let ops = authority.client("ops", None);
    let channel = connect(&daemon, &authority.pem(), Some(&ops)).await.unwrap();
    call(bare(channel.clone()), "/aegis.v1.AdminService/ListTokens").await.expect("an admin gets in");

    for origin in ["https://evil.example", "null", "https://localhost"] {
        let mut request = tonic::Request::new(v1::GetPolicyRequest::default());
        request.metadata_mut().insert("origin", origin.parse().unwrap());
        let refused = PolicyServiceClient::new(channel.clone()).get_policy(request).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "CROSS_ORIGIN"), "{origin}");
    }
    // What a form can send without asking first.
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let request = http::Request::post("http://localhost/aegis.v1.PolicyService/GetPolicy");
        let request = request.header("content-type", kind).body(tonic::body::Body::empty()).unwrap();
        let answer = tower::ServiceExt::oneshot(channel.clone(), request).await.unwrap();
        assert_eq!(answer.status(), http::StatusCode::UNSUPPORTED_MEDIA_TYPE, "{kind}");
    }
}
