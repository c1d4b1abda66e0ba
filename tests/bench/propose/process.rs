//! Servers in separate processes, the daemon and the echo, and what the system says about them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};

/// The release binary, or the one that `AEGIS_BENCH_BINARY` names, to compare two builds.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("AEGIS_BENCH_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_aegis").into(), PathBuf::from)
}

/// A server. It is killed on drop.
pub(crate) struct Process {
    child: Child,
    tcp: String,
    socket: PathBuf,
    /// Where the metrics of a daemon are.
    metrics: Option<SocketAddr>,
    /// The directory with the socket, the policy and the data of the daemon.
    _home: TempDir,
}

/// What a daemon has asked of its disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DiskUse {
    pub(crate) syncs: f64,
    pub(crate) bytes: f64,
    /// Commits of the database, and the microseconds that they took together.
    pub(crate) checkpoints: f64,
    pub(crate) checkpoint_us: f64,
}

/// How clients reach a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Unix,
    Tcp,
}

impl Process {
    /// Starts the daemon with this policy. Its data is in a new directory below `parent`.
    pub(crate) fn daemon(parent: &Path, policy: &str, arguments: &[&str]) -> Self {
        let home = home(parent);
        let file = home.path().join("policy.yaml");
        std::fs::write(&file, policy).expect("the policy is written");
        let mut command = Command::new(binary());
        command.arg("serve").arg(file).args(["--port", "0", "--admin-listen", "127.0.0.1:0"]).args(arguments);
        command.arg("--uds").arg(home.path().join("socket")).arg("--data-dir").arg(home.path().join("data"));
        Self::start(command, home, true)
    }

    /// Starts the echo server, whose answers have this many bytes.
    pub(crate) fn echo(answer_bytes: usize) -> Self {
        let home = home(&std::env::temp_dir());
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.arg("echo").arg(home.path().join("socket")).arg(answer_bytes.to_string());
        Self::start(command, home, false)
    }

    /// Reads the addresses that both servers print: first the port, then the socket. The daemon prints that of its
    /// metrics too.
    fn start(mut command: Command, home: TempDir, has_metrics: bool) -> Self {
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the server starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut line = || {
            let mut line = String::new();
            stdout.read_line(&mut line).expect("stdout can be read");
            line.trim().strip_prefix("listening on ").expect("the server listens").to_owned()
        };
        let (tcp, socket) = (line(), line().trim_start_matches("unix:").into());
        let metrics = has_metrics.then(|| {
            let lines = stdout.by_ref().lines().map_while(Result::ok);
            let url = lines.into_iter().find_map(|line| Some(line.strip_prefix("metrics")?.trim().to_owned()));
            let address = url.expect("the daemon has metrics").replace("http://", "").replace("/metrics", "");
            address.parse().expect("an address")
        });
        // Keep reading, so that the server never writes to a full pipe.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        Self { child, tcp, socket, metrics, _home: home }
    }

    /// A connection.
    pub(crate) async fn connect(&self, transport: Transport) -> Channel {
        match transport {
            Transport::Tcp => {
                let endpoint = Endpoint::from_shared(self.tcp.clone()).expect("the server printed a URL");
                endpoint.connect().await.expect("the server answers")
            }
            Transport::Unix => {
                let socket = self.socket.clone();
                let connect = tower::service_fn(move |_: Uri| {
                    let socket = socket.clone();
                    async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(socket).await?)) }
                });
                let endpoint = Endpoint::from_static("http://localhost");
                endpoint.connect_with_connector(connect).await.expect("the server answers")
            }
        }
    }

    /// The processor time used so far, of all threads together.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = self.proc("stat");
        // The name of the program may contain anything, so read what follows it.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
        // The kernel reports hundredths of a second to programs, whatever its own unit is.
        Duration::from_millis(ticks * 10)
    }

    /// What the daemon has asked of its disk so far.
    pub(crate) fn disk_use(&self) -> Option<DiskUse> {
        let mut stream = TcpStream::connect(self.metrics?).expect("the daemon answers");
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("the daemon reads");
        let mut page = String::new();
        stream.read_to_string(&mut page).expect("the daemon answers");
        let value = |name: &str| {
            let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.parse().ok()).unwrap_or(f64::NAN)
        };
        Some(DiskUse {
            syncs: value("aegis_record_syncs_total"),
            bytes: value("aegis_record_written_bytes_total"),
            checkpoints: value("aegis_record_checkpoints_total"),
            checkpoint_us: value("aegis_record_checkpoint_microseconds_total"),
        })
    }

    /// The resident memory, in MiB.
    pub(crate) fn resident(&self) -> f64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel says");
        line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).expect("the server runs")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The server may have ended already; that is no failure here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn home(parent: &Path) -> TempDir {
    tempfile::Builder::new().prefix("aegis-bench-").tempdir_in(parent).expect("a temporary directory")
}
