//! The cost of authentication: `Evaluate` over one connection each, with and without a credential, in one run.
//!
//! The variants take turns with the same client. Each is compared with a caller without a credential over the same
//! transport: by the time of a call, and by the daemon's processor time. Ratios count; absolute figures hold for this
//! machine and this day. `cargo bench --bench auth` takes about half a minute.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aegis::domain::{Digest, Timestamp};
use aegis::proto::v1;
use aegis::proto::v1::governance_service_client::GovernanceServiceClient;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::{StreamExt as _, stream};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::json;
use tokio::net::UnixStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Uri};

/// Each variant is measured in this many rounds, each of this many calls, with this many calls at once.
const ROUNDS: usize = 15;
const CALLS: usize = 2000;
const AT_ONCE: usize = 32;

/// A daemon. It is killed on drop.
struct Daemon {
    child: Child,
    endpoint: String,
}

impl Daemon {
    fn start(home: &Path, name: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aegis"));
        command.args(["serve", "--port", "0", "--admin-listen", "off", "--data-dir"]).arg(home.join(name));
        command.args(arguments).env_clear().current_dir(home).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the daemon starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("stdout can be read");
        let endpoint = line.trim().strip_prefix("listening on ").expect("it listens").to_owned();
        // Keep reading, so that the daemon never writes to a full pipe.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        Self { child, endpoint }
    }

    /// The processor time used so far.
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        // The name of the program may contain anything, so read what follows it.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
        // The kernel reports hundredths of a second to programs, whatever its own unit is.
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The daemon may have ended already; that is no failure here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn unix(path: &Path) -> Channel {
    let path = path.to_owned();
    let connect = tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(path).await?)) }
    });
    Endpoint::from_static("http://localhost").connect_with_connector(connect).await.expect("it answers")
}

async fn tcp(daemon: &Daemon, tls: Option<ClientTlsConfig>) -> Channel {
    let endpoint = Endpoint::from_shared(daemon.endpoint.clone()).expect("a URL");
    let endpoint = match tls {
        Some(tls) => endpoint.tls_config(tls).expect("certificates"),
        None => endpoint,
    };
    endpoint.connect().await.expect("it answers")
}

/// A token of an issuer. Writes the issuer's keys to a file.
fn jwt(keys: &Path) -> String {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).expect("a key");
    let point = pair.public_key().as_ref();
    let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
    let set = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "one", "x": x, "y": y}]});
    std::fs::write(keys, set.to_string()).expect("it is written");
    let encode = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let now = Timestamp::now().as_second();
    let claims = json!({
        "iss": "https://kubernetes.default.svc.cluster.local", "aud": ["aegis"],
        "iat": now, "nbf": now, "exp": now + 3600,
        "sub": "system:serviceaccount:agents:one", "jti": "7a2b4c0e-8f5d-4c61-9f7e-1f0f2a3b4c5d",
        "kubernetes.io": {"namespace": "agents", "pod": {"name": "one-5d4f8", "uid": "0b1c2d3e"}},
    });
    let message = format!("{}.{}", encode(json!({"alg": "ES256", "kid": "one"})), encode(claims));
    let signature = pair.sign(&random, message.as_bytes()).expect("it signs");
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Writes the files for TLS, and returns the authority and a client's certificate with its key.
fn certificates(home: &Path) -> (String, (String, String)) {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let issue = |name: &str| {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        params.subject_alt_names.push(SanType::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()));
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        (params.signed_by(&key, &authority).expect("a certificate").pem(), key.serialize_pem())
    };
    let (certificate, key) = issue("aegis");
    for (name, text) in [("tls.crt", certificate), ("tls.key", key), ("ca.crt", authority.pem())] {
        std::fs::write(home.join(name), text).expect("it is written");
    }
    (authority.pem(), issue("agent"))
}

/// One variant: a daemon, a connection, and the credential to send.
struct Way<'d> {
    name: &'static str,
    /// The variant to compare with: the same transport without a credential.
    against: usize,
    daemon: &'d Daemon,
    channel: Channel,
    header: Option<MetadataValue<Ascii>>,
    /// For each round, the microseconds of a call, and of the daemon's processor for a call.
    measured: Vec<(f64, f64)>,
}

impl Way<'_> {
    async fn measure(&mut self) {
        let action = v1::Action { r#type: "read".into(), target: "crm".into(), ..v1::Action::default() };
        let actor = v1::Actor { id: "agent-7".into(), r#type: "ai-agent".into() };
        let items = vec![v1::EvaluateItem { actor: Some(actor), action: Some(action) }];
        let ask = v1::EvaluateRequest { items, ..v1::EvaluateRequest::default() };
        let (begun, cpu) = (Instant::now(), self.daemon.cpu());
        let calls = (0..CALLS).map(|_| {
            let (mut client, mut request) =
                (GovernanceServiceClient::new(self.channel.clone()), tonic::Request::new(ask.clone()));
            if let Some(header) = &self.header {
                request.metadata_mut().insert("authorization", header.clone());
            }
            async move { client.evaluate(request).await.expect("it answers") }
        });
        stream::iter(calls).buffer_unordered(AT_ONCE).for_each(|_| std::future::ready(())).await;
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        let each = |time: Duration| time.as_secs_f64() * 1e6 / CALLS as f64;
        self.measured.push((each(begun.elapsed()), each(self.daemon.cpu().saturating_sub(cpu))));
    }

    /// The median of the time, and the mean of the processor time, because that is counted in coarse steps.
    fn result(&self) -> (f64, f64) {
        let mut times: Vec<f64> = self.measured.iter().map(|(time, _)| *time).collect();
        times.sort_by(f64::total_cmp);
        #[expect(clippy::cast_precision_loss, reason = "a few rounds")]
        let rounds = self.measured.len() as f64;
        (times[times.len() / 2], self.measured.iter().map(|(_, cpu)| cpu).sum::<f64>() / rounds)
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run());
}

async fn run() {
    let home = tempfile::Builder::new().prefix("aegis-bench-").tempdir().expect("a temporary directory");
    let home = home.path();
    let token = jwt(&home.join("jwks.json"));
    let (ca, (certificate, key)) = certificates(home);
    let yaml = format!(
        "unix: [{{uid: {}, roles: [agent]}}]
tokens: [{{name: file, sha256: {}, roles: [agent]}}]
certificates: [{{common_name: agent, roles: [agent]}}]
jwt: [{{name: idp, issuer: 'https://kubernetes.default.svc.cluster.local', audience: aegis, jwks: jwks.json,
       grants: [{{subject: 'system:serviceaccount:agents:*', roles: [agent]}}]}}]
",
        rustix::process::geteuid().as_raw(),
        Digest::of(b"aegis_file"),
    );
    let secure = "tls: {certificate: tls.crt, key: tls.key, client_ca: ca.crt, clients: optional}\n";
    std::fs::write(home.join("auth.yaml"), &yaml).expect("it is written");
    std::fs::write(home.join("tls.yaml"), format!("{secure}{yaml}")).expect("it is written");
    let plain = Daemon::start(home, "plain", &["--auth", "auth.yaml", "--uds", "known.sock"]);
    let open = Daemon::start(home, "open", &["--uds", "open.sock"]);
    let secure = Daemon::start(home, "secure", &["--auth", "tls.yaml"]);

    let trusting = || ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&ca));
    let known = trusting().identity(Identity::from_pem(certificate, key));
    let bearer = |token: &str| Some(format!("Bearer {token}").parse().expect("a header"));
    let way =
        |name, against, daemon, channel, header| Way { name, against, daemon, channel, header, measured: Vec::new() };
    let mut ways = [
        way("tcp, anonymous", 0, &plain, tcp(&plain, None).await, None),
        way("tcp, token", 0, &plain, tcp(&plain, None).await, bearer("aegis_file")),
        way("tcp, JWT (ES256)", 0, &plain, tcp(&plain, None).await, bearer(&token)),
        way("unix, anonymous", 3, &open, unix(&home.join("open.sock")).await, None),
        way("unix, peer", 3, &plain, unix(&home.join("known.sock")).await, None),
        way("tls, anonymous", 5, &secure, tcp(&secure, Some(trusting())).await, None),
        way("tls, certificate", 5, &secure, tcp(&secure, Some(known)).await, None),
    ];
    for way in &mut ways {
        way.measure().await;
        way.measured.clear();
    }
    for _ in 0..ROUNDS {
        for way in &mut ways {
            way.measure().await;
        }
    }
    println!("{:<18} {:>9} {:>7} {:>13} {:>7}", "Evaluate", "us/call", "ratio", "CPU us/call", "ratio");
    for way in &ways {
        let ((time, cpu), (base_time, base_cpu)) = (way.result(), ways[way.against].result());
        println!("{:<18} {time:>9.1} {:>7.2} {cpu:>13.1} {:>7.2}", way.name, time / base_time, cpu / base_cpu);
    }
}
