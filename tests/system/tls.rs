//! TLS and client certificates, with real clients; and what is replaced while they call.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use aegis::proto::v1;
use aegis::proto::v1::governance_service_client::GovernanceServiceClient;
use rcgen::{CertificateParams, KeyPair, SanType};
use tonic::Code;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::harness::{
    Authority, Daemon, Setup, bare, call, connect, eventually, grpcurl, propose, reason, replace, stderr, text,
    with_token,
};

const STATS: &str = "/aegis.v1.AuditService/GetStats";
const SPIFFE: &str = "spiffe://example.org/ns/agents/sa/one";

/// A daemon that asks for certificates, with this identities file.
fn daemon(authority: &Authority, setup: Setup, identities: &str) -> Daemon {
    let (certificate, key) = authority.write("server", &authority.server());
    let ca = authority.write_ca("ca.crt");
    let file = authority.path("auth.yaml");
    replace(&file, identities);
    let tls = ["--tls-cert", text(&certificate), "--tls-key", text(&key), "--tls-client-ca", text(&ca)];
    setup.args(&tls).args(&["--auth", text(&file)]).start()
}

const ROLES: &str = "
certificates:
  - {spiffe_id: 'spiffe://example.org/ns/agents/*', roles: [agent]}
  - {common_name: 'ops-*', roles: [auditor]}
";

#[tokio::test]
async fn a_client_certificate_is_an_identity_with_the_roles_of_the_file() {
    let setup = Setup::new();
    let authority = Authority::new(setup.home());
    let daemon = daemon(&authority, setup, ROLES);
    assert!(daemon.endpoint.starts_with("https://"), "{}", daemon.endpoint);
    let ca = authority.pem();

    let agent = authority.client("whoever", Some(SPIFFE));
    let channel = connect(&daemon, &ca, Some(&agent)).await.unwrap();
    let mut agent = GovernanceServiceClient::new(channel.clone());
    let decision = agent.propose(propose("read", "x")).await.unwrap().into_inner().decision.unwrap();
    let identity = daemon.row(&decision.decision_id).await.identity.unwrap();
    assert_eq!((identity.subject.as_str(), identity.how.as_str()), (SPIFFE, "certificate"));
    let refused = call(bare(channel.clone()), STATS).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "ROLE_REQUIRED"));
    // A token says more than the connection it comes over; a wrong one is not made good by it.
    let (token, _) = daemon.token("ada", &[v1::Role::Auditor]).await;
    call(with_token(channel.clone(), &token), STATS).await.unwrap();
    assert_eq!(call(with_token(channel, "aegis_x"), STATS).await.unwrap_err().code(), Code::Unauthenticated);

    let ops = authority.client("ops-1", None);
    call(bare(connect(&daemon, &ca, Some(&ops)).await.unwrap()), STATS).await.unwrap();
    // Known, and without a role: not an anonymous agent.
    let nobody = authority.client("somebody", None);
    let refused =
        call(bare(connect(&daemon, &ca, Some(&nobody)).await.unwrap()), "/aegis.v1.GovernanceService/Propose");
    assert_eq!(refused.await.unwrap_err().code(), Code::PermissionDenied);

    // Without a certificate, or with one of somebody else's, no call comes through.
    let other = Authority::new(&authority.path(""));
    for client in [None, Some(other.client("ops-1", Some(SPIFFE)))] {
        let Ok(channel) = connect(&daemon, &ca, client.as_ref()).await else { continue };
        let refused = call(bare(channel), "/grpc.health.v1.Health/Check").await.unwrap_err();
        assert!(!matches!(refused.code(), Code::Ok | Code::PermissionDenied), "{refused:?}");
    }
}

#[tokio::test]
async fn openssl_grpcurl_and_the_command_line_get_in_with_a_certificate_only() {
    let setup = Setup::new();
    let authority = Authority::new(setup.home());
    let daemon = daemon(&authority, setup, ROLES);
    let address = daemon.endpoint.strip_prefix("https://").unwrap();
    let ca = authority.path("ca.crt");
    let (certificate, key) = authority.write("ops", &authority.client("ops-1", None));

    let openssl = |with: &[&str]| {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", address, "-alpn", "h2", "-CAfile", text(&ca), "-verify_return_error"]);
        // Reads until the daemon ends the connection, or for long enough to see that it does not.
        let output = command.args(["-ign_eof"]).args(with).stdin(Stdio::null());
        let output =
            Command::new("timeout").arg("5").arg(output.get_program()).args(output.get_args()).output().unwrap();
        (output.status.code(), stderr(&output) + &String::from_utf8_lossy(&output.stdout))
    };
    let (code, said) = openssl(&[]);
    assert!(said.contains("certificate required") && code != Some(124), "{code:?} {said}");
    let (_, said) = openssl(&["-cert", text(&certificate), "-key", text(&key)]);
    assert!(said.contains("Verify return code: 0 (ok)") && !said.contains("alert"), "{said}");

    let method = "aegis.v1.AuditService/GetStats";
    let shown = ["-cacert", text(&ca), "-cert", text(&certificate), "-key", text(&key), address, method];
    let said = grpcurl().args(shown).output().unwrap();
    assert!(said.status.success(), "{}", stderr(&said));
    let said = grpcurl().args(["-connect-timeout", "3", "-cacert", text(&ca), address, method]).output().unwrap();
    assert!(!said.status.success());

    let shown = ["--tls-ca", text(&ca), "--tls-cert", text(&certificate), "--tls-key", text(&key)];
    let said = daemon.cli(&[&["stats", "--endpoint", &daemon.endpoint][..], &shown].concat());
    assert!(said.status.success(), "{}", stderr(&said));
    let said = daemon.cli(&["stats", "--endpoint", &daemon.endpoint]);
    assert!(stderr(&said).contains("does --tls-ca name who signed"), "{}", stderr(&said));
    let mut with_variables = daemon.cli_command(&["stats"]);
    with_variables.env("AEGIS_ENDPOINT", &daemon.endpoint).env("AEGIS_TLS_CA", &ca);
    let said = with_variables.env("AEGIS_TLS_CERT", &certificate).env("AEGIS_TLS_KEY", &key).output().unwrap();
    assert!(said.status.success(), "{}", stderr(&said));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_replaced_under_64_callers_and_no_call_fails() {
    let setup = Setup::new();
    let authority = Authority::new(setup.home());
    let daemon = daemon(&authority, setup, ROLES);
    let client = Arc::new(authority.client("whoever", Some(SPIFFE)));
    let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut callers = Vec::new();
    for i in 0..64 {
        let (stop, calls, client) = (Arc::clone(&stop), Arc::clone(&calls), Arc::clone(&client));
        let (ca, mut channel) = (authority.pem(), connect(&daemon, &authority.pem(), Some(&client)).await.unwrap());
        let endpoint = daemon.endpoint.clone();
        callers.push(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                // Half of them keep their connection, the others open one after the other.
                if i % 2 == 0 {
                    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&ca));
                    let tls = tls.identity(Identity::from_pem(&client.0, &client.1));
                    channel = Endpoint::from_shared(endpoint.clone())
                        .unwrap()
                        .tls_config(tls)
                        .unwrap()
                        .connect()
                        .await
                        .unwrap();
                }
                let answer = GovernanceServiceClient::new(channel.clone()).propose(propose("read", "x")).await;
                answer.expect("no call fails while certificates change");
                calls.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    for round in 2..6 {
        // The key comes first and does not go with the old certificate: what is there in between is not taken.
        authority.write("server", &authority.server());
        eventually("the change is in force", || async {
            (daemon.events("identities_loaded").len() >= round).then_some(())
        })
        .await;
    }
    let before = calls.load(Ordering::Relaxed);
    eventually("calls go on", || async { (calls.load(Ordering::Relaxed) > before + 64).then_some(()) }).await;
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
}

#[tokio::test]
async fn a_new_authority_counts_at_once_and_a_bad_one_changes_nothing() {
    let setup = Setup::new();
    let authority = Authority::new(setup.home());
    let daemon = daemon(&authority, setup, ROLES);
    let ca = authority.pem();
    let open = authority.client("ops-1", None);
    let kept = connect(&daemon, &ca, Some(&open)).await.unwrap();
    call(bare(kept.clone()), STATS).await.unwrap();

    replace(&authority.path("ca.crt"), "not a certificate");
    daemon.logs("ca.crt: holds no certificate in PEM").await;
    // The log says it before the record does.
    let rejected = eventually("the refusal is on the record", || async {
        Some(daemon.events("identities_rejected")).filter(|events| !events.is_empty())
    })
    .await;
    assert_eq!(rejected.len(), 1);
    call(bare(connect(&daemon, &ca, Some(&open)).await.unwrap()), STATS).await.unwrap();

    let next = Authority::new(&authority.path(""));
    next.write_ca("ca.crt");
    let new = next.client("ops-2", None);
    eventually("the new authority counts", || async {
        call(bare(connect(&daemon, &ca, Some(&new)).await.ok()?), STATS).await.ok()
    })
    .await;
    // The old one was taken out: an open connection goes on, and the certificate that it was opened with says nothing
    // more.
    let refused = call(bare(kept.clone()), STATS).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unauthenticated, "CREDENTIAL_INVALID"));
    assert!(refused.message().contains("client certificate"), "{}", refused.message());
    let (token, _) = daemon.token("ada", &[v1::Role::Auditor]).await;
    call(with_token(kept, &token), STATS).await.unwrap();
}

/// A certificate for the daemon that is valid between these moments, in seconds from now.
fn dated(authority: &Authority, from: i64, until: i64) -> (String, String) {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.subject_alt_names.push(SanType::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()));
    let now = std::time::SystemTime::now();
    let moment = |seconds: i64| match u64::try_from(seconds) {
        Ok(ahead) => now + Duration::from_secs(ahead),
        Err(_) => now - Duration::from_secs(seconds.unsigned_abs()),
    };
    params.not_before = moment(from).into();
    params.not_after = moment(until).into();
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, &authority.issuer).unwrap().pem(), key.serialize_pem())
}

#[tokio::test]
async fn a_server_certificate_out_of_its_dates_is_refused_and_the_end_of_one_is_said_early() {
    let setup = Setup::new();
    let authority = Authority::new(setup.home());
    let hour = 3600;
    for (from, until, says) in
        [(-2 * hour, -hour, "has expired: it is valid from"), (hour, 2 * hour, "is not valid yet")]
    {
        let (certificate, key) = authority.write("server", &dated(&authority, from, until));
        let setup = Setup::new().args(&["--tls-cert", text(&certificate), "--tls-key", text(&key)]);
        let (status, said) = setup.refuse();
        assert!(!status.success() && said.contains("server.crt: ") && said.contains(says), "{said}");
    }

    let (certificate, key) = authority.write("server", &dated(&authority, -hour, 24 * hour));
    let tls = ["--tls-cert", text(&certificate), "--tls-key", text(&key), "--admin-listen", "127.0.0.1:0"];
    let daemon = setup.args(&tls).start();
    let until = async || {
        let end = daemon.metric("aegis_tls_certificate_expiry_timestamp_seconds").await.parse::<i64>().unwrap();
        end - aegis::domain::Timestamp::now().as_second()
    };
    assert!((23 * hour..=24 * hour).contains(&until().await));
    assert!(!daemon.log().contains("ends soon"));

    authority.write("server", &dated(&authority, -2 * hour, -hour));
    daemon.logs("server.crt: has expired").await;
    daemon.logs("the last good ones stay in force").await;
    let rejected = async |value: &str| {
        eventually("metrics say whether it was refused", || async {
            (daemon.metric("aegis_identities_rejected").await == value).then_some(())
        })
        .await;
    };
    rejected("1").await;
    assert!((23 * hour..=24 * hour).contains(&until().await));
    let propose_over = async || {
        let channel = connect(&daemon, &authority.pem(), None).await.unwrap();
        GovernanceServiceClient::new(channel).propose(propose("read", "x")).await.unwrap()
    };
    propose_over().await;

    // A tenth of its life is left.
    authority.write("server", &dated(&authority, -20 * hour, 2 * hour));
    daemon.logs("the certificate of this daemon ends soon").await;
    assert!((hour..=2 * hour).contains(&until().await));
    rejected("0").await;
    propose_over().await;
}

#[tokio::test]
async fn streams_end_with_the_authority_or_the_grant_that_their_certificate_rests_on() {
    for authority_goes in [true, false] {
        let setup = Setup::new();
        let authority = Authority::new(setup.home());
        let daemon = daemon(&authority, setup, ROLES);
        let ops = authority.client("ops-1", None);
        let channel = connect(&daemon, &authority.pem(), Some(&ops)).await.unwrap();
        let follow = v1::StreamAuditRequest { follow: true, ..Default::default() };
        let stream = v1::audit_service_client::AuditServiceClient::new(channel).stream_audit(follow).await;
        let mut stream = stream.unwrap().into_inner();
        if authority_goes {
            Authority::new(&authority.path("")).write_ca("ca.crt");
        } else {
            replace(&authority.path("auth.yaml"), "certificates: [{common_name: 'ops-*', roles: [reviewer]}]");
        }
        let over = loop {
            match stream.message().await {
                Ok(message) => assert!(message.is_some(), "it ended as if all were well"),
                Err(status) => break status,
            }
        };
        assert_eq!((over.code(), reason(&over).as_str()), (Code::Unauthenticated, "CREDENTIAL_EXPIRED"));
        let says = if authority_goes { "was revoked" } else { "lost the role" };
        assert!(over.message().contains(says), "{}", over.message());
    }
}

#[tokio::test]
async fn who_does_not_get_through_the_handshake_is_not_waited_for_and_its_place_is_free_again() {
    use std::io::Read as _;
    let setup = Setup::new();
    let authority = Authority::new(setup.home());
    let (certificate, key) = authority.write("server", &authority.server());
    let secure = setup.args(&["--tls-cert", text(&certificate), "--tls-key", text(&key)]);
    for setup in [secure, Setup::new()] {
        let daemon = setup.args(&["--handshake-timeout", "200ms", "--max-connections", "1"]).start();
        let address = daemon.endpoint.split_once("://").unwrap().1.to_owned();
        let mut silent = std::net::TcpStream::connect(&address).unwrap();
        silent.set_read_timeout(Some(crate::harness::DEADLINE)).unwrap();
        // What comes before is the daemon's own preface, if anything; then it ends the connection.
        if let Err(error) = silent.read_to_end(&mut Vec::new()) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
        eventually("its place is free again", || async {
            let endpoint = Endpoint::from_shared(daemon.endpoint.clone()).unwrap();
            let channel = if daemon.endpoint.starts_with("https") {
                connect(&daemon, &authority.pem(), None).await.ok()?
            } else {
                endpoint.connect().await.ok()?
            };
            GovernanceServiceClient::new(channel).propose(propose("read", "x")).await.ok()
        })
        .await;
    }
}

#[tokio::test]
async fn a_secret_that_kubelet_swaps_is_taken_whole() {
    let setup = Setup::new();
    let volume = setup.home().join("secret");
    std::fs::create_dir(&volume).unwrap();
    // Certificates, authorities and identities in one volume, every file a link by way of `..data`.
    let swap = |generation: usize, authority: &Authority, token: &str| {
        let fresh = volume.join(format!("..{generation}"));
        std::fs::create_dir(&fresh).unwrap();
        let (certificate, key) = authority.server();
        let hash = crate::harness::sha256(token);
        let yaml = format!(
            "tls: {{certificate: tls.crt, key: tls.key, client_ca: ca.crt, clients: optional}}
tokens: [{{name: ci, sha256: {hash}, roles: [auditor]}}]
"
        );
        for (name, text) in
            [("tls.crt", certificate), ("tls.key", key), ("ca.crt", authority.pem()), ("auth.yaml", yaml)]
        {
            std::fs::write(fresh.join(name), text).unwrap();
            if generation == 1 {
                std::os::unix::fs::symlink(format!("..data/{name}"), volume.join(name)).unwrap();
            }
        }
        std::os::unix::fs::symlink(format!("..{generation}"), volume.join("..data_tmp")).unwrap();
        std::fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
        if generation > 1 {
            std::fs::remove_dir_all(volume.join(format!("..{}", generation - 1))).unwrap();
        }
    };
    let (one, two) = (Authority::new(setup.home()), Authority::new(setup.home()));
    swap(1, &one, "aegis_one");
    let file = volume.join("auth.yaml");
    let daemon = setup.args(&["--auth", text(&file)]).start();
    let ask = async |authority: &Authority, token| {
        let channel = connect(&daemon, &authority.pem(), None).await.ok()?;
        call(with_token(channel, token), STATS).await.ok()
    };
    ask(&one, "aegis_one").await.unwrap();
    swap(2, &two, "aegis_two");
    eventually("the new secret counts", || ask(&two, "aegis_two")).await;
    assert!(ask(&two, "aegis_one").await.is_none() && ask(&one, "aegis_two").await.is_none());
    assert_eq!(daemon.events("identities_loaded").len(), 2, "all of it came into force at once");
    assert!(daemon.events("identities_rejected").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_connections_are_ended_and_no_answer_is_lost_and_streams_end_when_the_grace_is_over() {
    let daemon = Setup::new().args(&["--max-connection-age", "300ms", "--max-connection-age-grace", "2s"]).start();
    let mut follower = v1::audit_service_client::AuditServiceClient::new(daemon.socket().await);
    let follow = v1::StreamAuditRequest { follow: true, ..Default::default() };
    let mut stream = follower.stream_audit(follow).await.unwrap().into_inner();
    // One channel, which connects anew whenever its connection takes no more calls.
    let (calls, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut agent = daemon.agent().await;
    let calling = tokio::spawn({
        let (calls, stop) = (Arc::clone(&calls), Arc::clone(&stop));
        async move {
            while !stop.load(Ordering::Relaxed) {
                match agent.propose(propose("read", "x")).await {
                    Ok(_) => drop(calls.fetch_add(1, Ordering::Relaxed)),
                    // This client took the call and then found that its connection takes no more: it was never sent.
                    // Other clients would open another by themselves.
                    Err(status) => assert!(status.message().contains("operation was canceled"), "{status:?}"),
                }
            }
        }
    });
    let over = loop {
        match stream.message().await {
            Ok(message) => assert!(message.is_some(), "it ended as if all were well"),
            Err(status) => break status,
        }
    };
    assert_ne!(over.code(), Code::Ok);
    let before = calls.load(Ordering::Relaxed);
    assert!(before > 0);
    eventually("calls go on", || async { (calls.load(Ordering::Relaxed) > before).then_some(()) }).await;
    stop.store(true, Ordering::Relaxed);
    calling.await.unwrap();
    assert_eq!(daemon.rows().await.len(), calls.load(Ordering::Relaxed), "what was decided was answered");
}

#[test]
fn tls_that_is_asked_for_and_cannot_be_had_does_not_start() {
    let setup = Setup::new();
    let authority = Authority::new(setup.home());
    let (certificate, key) = authority.write("server", &authority.server());
    let (_, other_key) = authority.write("other", &authority.server());
    let empty = authority.path("empty.crt");
    replace(&empty, "");
    for (certificate, key, says) in [
        (&certificate, &other_key, "other.key: does not belong to"),
        (&certificate, &empty, "empty.crt: holds no private key"),
        (&empty, &key, "empty.crt: holds no certificate"),
        (&authority.path("none.crt"), &key, "none.crt: No such file"),
    ] {
        let setup = Setup::new().args(&["--tls-cert", text(certificate), "--tls-key", text(key)]);
        let (status, said) = setup.refuse();
        assert!(!status.success() && said.contains(says), "{says}: {said}");
    }
}
