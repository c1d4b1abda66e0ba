//! A daemon of a test's own, and clients to talk to it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aegis::proto::v1;
use aegis::proto::v1::admin_service_client::AdminServiceClient;
use aegis::proto::v1::approval_service_client::ApprovalServiceClient;
use aegis::proto::v1::audit_service_client::AuditServiceClient;
use aegis::proto::v1::governance_service_client::GovernanceServiceClient;
use aegis::proto::v1::policy_service_client::PolicyServiceClient;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};

use super::calls::get;
use super::programs::{stderr, stdout};

/// Longer than anything here takes, however busy the machine: reaching it is a failure, not a measurement.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// The binary under test.
pub(crate) const AEGIS: &str = env!("CARGO_BIN_EXE_aegis");

/// The defences that `tests/adversary/without` switches off, in the build that has the switches.
pub(crate) fn without() -> Option<(&'static str, std::ffi::OsString)> {
    std::env::var_os("AEGIS_WITHOUT").map(|names| ("AEGIS_WITHOUT", names))
}

/// A running daemon. It is killed when this is dropped.
pub(crate) struct Daemon {
    child: Child,
    /// Where the main listener is: `http://127.0.0.1:PORT`.
    pub(crate) endpoint: String,
    /// Holds the data directory and the policy.
    pub(crate) home: Arc<TempDir>,
    log: Arc<Mutex<String>>,
    /// What it said on stdout after where it listens.
    out: Arc<Mutex<String>>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

/// How to start one.
pub(crate) struct Setup {
    home: Arc<TempDir>,
    policy: bool,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    /// What a shell does before it becomes the daemon.
    first: Vec<String>,
}

impl Setup {
    /// With the built-in policy, in a directory of its own.
    pub(crate) fn new() -> Self {
        let home = tempfile::Builder::new().prefix("aegis-test-").tempdir().expect("a temporary directory");
        let (arguments, environment) = (Vec::new(), Vec::new());
        Self { home: Arc::new(home), policy: false, arguments, environment, first: Vec::new() }
    }

    /// As that daemon was started, on its data.
    pub(crate) fn over(daemon: &Daemon) -> Self {
        let (home, policy) = (Arc::clone(&daemon.home), daemon.policy_file().exists());
        let (arguments, environment) = (daemon.arguments.clone(), daemon.environment.clone());
        Self { home, policy, arguments, environment, first: Vec::new() }
    }

    /// With this policy in `policy.yaml`.
    pub(crate) fn policy(mut self, yaml: &str) -> Self {
        std::fs::write(self.home.path().join("policy.yaml"), yaml).expect("the policy is written");
        self.policy = true;
        self
    }

    /// With these arguments for `aegis serve`.
    pub(crate) fn args(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(ToString::to_string));
        self
    }

    /// With this variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With these limits on open files: the one in force at first, and the hard one.
    pub(crate) fn descriptors(self, soft: u32, hard: u32) -> Self {
        self.first(&format!("ulimit -Sn {soft} && ulimit -Hn {hard}"))
    }

    /// With this done by a shell, which then becomes the daemon.
    pub(crate) fn first(mut self, script: &str) -> Self {
        self.first.push(script.to_owned());
        self
    }

    /// The directory that will hold policy and data.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Keeps that directory for as long as the answer lives.
    pub(crate) fn keep(&self) -> Arc<TempDir> {
        Arc::clone(&self.home)
    }

    /// The command that would start it.
    pub(crate) fn command(&self) -> Command {
        let mut command = if self.first.is_empty() {
            Command::new(AEGIS)
        } else {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("{} && exec \"$0\" \"$@\"", self.first.join(" && ")), AEGIS]);
            shell
        };
        command.arg("serve");
        if self.policy {
            command.arg(self.home.path().join("policy.yaml"));
        }
        if !self.arguments.iter().any(|argument| argument == "--listen") {
            command.args(["--port", "0"]);
        }
        command.arg("--data-dir").arg(self.home.path().join("data"));
        command.args(&self.arguments).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(self.environment.iter().cloned()).envs(without());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts it and waits until it listens.
    pub(crate) fn start(self) -> Daemon {
        let mut child = self.command().spawn().expect("the daemon starts");
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = child.stderr.take().expect("stderr is piped");
        keep(BufReader::new(stderr), &log);
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("stdout can be read");
        let Some(endpoint) = line.trim().strip_prefix("listening on ") else {
            let _ = child.wait();
            panic!("the daemon did not start: {line}{}", log.lock().expect("the log is whole"));
        };
        // Read on, so that the daemon never writes into a full pipe.
        let out = Arc::default();
        keep(stdout, &out);
        let Self { home, arguments, environment, .. } = self;
        Daemon { endpoint: endpoint.to_owned(), child, home, log, out, arguments, environment }
    }

    /// Starts it although it must not start, and says how it ended and what it said.
    pub(crate) fn refuse(&self) -> (ExitStatus, String) {
        let Output { status, stderr, .. } = self.command().output().expect("the daemon runs");
        (status, String::from_utf8_lossy(&stderr).into_owned())
    }
}

/// Keeps every line.
fn keep(lines: impl std::io::BufRead + Send + 'static, kept: &Arc<Mutex<String>>) {
    let kept = Arc::clone(kept);
    std::thread::spawn(move || {
        for line in lines.lines().map_while(Result::ok) {
            let mut kept = kept.lock().expect("what is kept is whole");
            kept.push_str(&line);
            kept.push('\n');
        }
    });
}

impl Daemon {
    /// Where `/live`, `/ready` and `/metrics` are, of a daemon that says it.
    pub(crate) async fn probes(&self) -> String {
        eventually("the daemon says where its metrics are", || {
            let out = self.out.lock().expect("what is kept is whole");
            let line = out.lines().find_map(|line| line.strip_prefix("metrics")?.trim().strip_suffix("/metrics"));
            let found = line.map(str::to_owned);
            async move { found }
        })
        .await
    }

    /// The data directory.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// Everything that the daemon has stored: the record and its journal.
    pub(crate) fn stored(&self) -> Vec<u8> {
        let read = |name: &str| std::fs::read(self.data_dir().join(name)).expect("a file of the data directory");
        [read("record.redb"), read("record.journal")].concat()
    }

    /// The policy file.
    pub(crate) fn policy_file(&self) -> PathBuf {
        self.home.path().join("policy.yaml")
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("the log is whole").clone()
    }

    /// The value of a metric, for a daemon that was started with `--admin-listen 127.0.0.1:0`.
    pub(crate) async fn metric(&self, name: &str) -> String {
        let metrics = self.probes().await + "/metrics";
        eventually(&format!("there is a metric {name}"), || {
            let page = get(&metrics).1;
            let value = page.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(' ')?.to_owned()));
            async move { value }
        })
        .await
    }

    /// Waits until the log says this.
    pub(crate) async fn logs(&self, text: &str) {
        eventually(&format!("the log says `{text}`"), || {
            let found = self.log().contains(text);
            async move { found.then_some(()) }
        })
        .await;
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it as a crash would: SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the daemon can be killed");
        self.child.wait().expect("the daemon has ended");
    }

    /// Asks it to stop: SIGTERM.
    pub(crate) fn terminate(&self) {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits until it has ended, while everything else goes on.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        eventually("the daemon ends", || {
            let ended = self.child.try_wait().expect("the daemon can be waited for");
            async move { ended }
        })
        .await
    }

    /// Starts it again on the same data after it has ended.
    pub(crate) fn restart(mut self) -> Self {
        // It may have ended already.
        let _ = self.child.kill();
        self.child.wait().expect("the daemon has ended");
        Setup::over(&self).start()
    }

    /// Starts it again on the same data, with other arguments.
    pub(crate) fn restart_with(mut self, arguments: &[&str]) -> Self {
        self.arguments = arguments.iter().map(ToString::to_string).collect();
        self.restart()
    }

    /// A channel to the main listener: an anonymous agent.
    pub(crate) async fn tcp(&self) -> Channel {
        let endpoint = Endpoint::from_shared(self.endpoint.clone()).expect("the endpoint is a URL");
        endpoint.connect().await.expect("the daemon answers")
    }

    /// A channel to the socket in the data directory: the daemon's own user.
    pub(crate) async fn socket(&self) -> Channel {
        unix(&self.data_dir().join("aegis.sock")).await
    }

    /// The admin's side, but for the policy.
    pub(crate) async fn administration(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.socket().await)
    }

    /// Makes a token and says its secret and its id.
    pub(crate) async fn token(&self, name: &str, roles: &[v1::Role]) -> (String, String) {
        let roles = roles.iter().map(|role| (*role).into()).collect();
        self.make_token(v1::CreateTokenRequest { name: name.into(), roles, ..Default::default() }).await
    }

    /// Makes a token as asked, and says its secret and its id.
    pub(crate) async fn make_token(&self, request: v1::CreateTokenRequest) -> (String, String) {
        let made =
            self.administration().await.create_token(request).await.expect("an admin makes a token").into_inner();
        (made.secret, made.token.expect("a token").token_id)
    }

    /// What the raw record holds of one kind, oldest first.
    pub(crate) fn events(&self, kind: &str) -> Vec<serde_json::Value> {
        let output = self.cli(&["audit", "--records", "--format", "jsonl"]);
        assert!(output.status.success(), "{}", stderr(&output));
        let payload = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
            let payload = line["payload"].as_str().filter(|payload| !payload.is_empty());
            payload.map(|payload| serde_json::from_str(payload).expect("a record is JSON"))
        };
        stdout(&output)
            .lines()
            .filter_map(payload)
            .filter(|record: &serde_json::Value| record["kind"] == kind)
            .collect()
    }

    /// What health says of a service.
    pub(crate) async fn health(&self, service: &str) -> Option<tonic_health::ServingStatus> {
        let mut client = tonic_health::pb::health_client::HealthClient::new(self.tcp().await);
        let answer = client.check(tonic_health::pb::HealthCheckRequest { service: service.into() }).await.ok()?;
        match answer.into_inner().status {
            1 => Some(tonic_health::ServingStatus::Serving),
            _ => Some(tonic_health::ServingStatus::NotServing),
        }
    }

    /// The agent's side, anonymous.
    pub(crate) async fn agent(&self) -> GovernanceServiceClient<Channel> {
        GovernanceServiceClient::new(self.tcp().await)
    }

    /// The reviewer's side.
    pub(crate) async fn reviewer(&self) -> ApprovalServiceClient<Channel> {
        ApprovalServiceClient::new(self.socket().await)
    }

    /// The auditor's side.
    pub(crate) async fn auditor(&self) -> AuditServiceClient<Channel> {
        AuditServiceClient::new(self.socket().await).max_decoding_message_size(64 << 20)
    }

    /// The admin's side.
    pub(crate) async fn admin(&self) -> PolicyServiceClient<Channel> {
        PolicyServiceClient::new(self.socket().await)
    }

    /// Every row of the record, oldest first.
    pub(crate) async fn rows(&self) -> Vec<v1::AuditRow> {
        let stream = self.auditor().await.stream_audit(v1::StreamAuditRequest::default()).await;
        let mut stream = stream.expect("the record can be read").into_inner();
        let mut rows = Vec::new();
        while let Some(message) = stream.message().await.expect("the record can be read") {
            if let Some(v1::stream_audit_response::Event::Row(row)) = message.event {
                rows.push(*row);
            }
        }
        rows
    }

    /// The row of one decision.
    pub(crate) async fn row(&self, decision_id: &str) -> v1::AuditRow {
        let row = self.rows().await.into_iter().find(|row| row.decision_id == decision_id);
        row.unwrap_or_else(|| panic!("{decision_id} is not on the record"))
    }

    /// Runs a command of the same binary against this daemon.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Output {
        self.cli_command(arguments).output().expect("the command runs")
    }

    /// The command, not started yet.
    pub(crate) fn cli_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(AEGIS);
        command.args(arguments).env_clear().env("AEGIS_DATA_DIR", self.data_dir()).env("NO_COLOR", "1").envs(without());
        command.stdin(Stdio::null());
        command
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the daemon's log ---\n{}", self.log());
        }
    }
}

/// A channel to a unix socket.
pub(crate) async fn unix(path: &Path) -> Channel {
    unix_by(Endpoint::from_static("http://localhost"), path).await
}

/// A channel to a unix socket, with these settings.
pub(crate) async fn unix_by(settings: Endpoint, path: &Path) -> Channel {
    let path = path.to_owned();
    let connect = tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(path).await?)) }
    });
    settings.connect_with_connector(connect).await.expect("the daemon answers on its socket")
}

/// Looks again and again until something is so; fails when the deadline is past.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let patience = tokio::time::Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < patience, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
