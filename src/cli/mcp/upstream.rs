//! The MCP server behind the proxy: a process of its own, in a process group of its own.

use std::ffi::OsString;
use std::io::{self, PipeReader, PipeWriter};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, because};

/// How long the server has to end after each request to end.
const GRACE: Duration = Duration::from_secs(3);
/// What is the agent's or the proxy's own, and must not reach the server.
const OWN: [&str; 7] =
    ["AEGIS_TOKEN", "AEGIS_ENDPOINT", "AEGIS_DATA_DIR", "AEGIS_TLS_CA", "AEGIS_TLS_CERT", "AEGIS_TLS_KEY", "AEGIS_LOG"];

/// A running server. It is killed when this is dropped.
pub(super) struct Upstream {
    child: Child,
    group: Option<Pid>,
}

impl Upstream {
    /// Starts the server, and returns the pipes from and to it. Its stderr is that of the proxy.
    pub(super) fn start(command: &[OsString]) -> Result<(Self, PipeReader, PipeWriter), Failure> {
        let [program, arguments @ ..] = command else {
            return Err(Failure::usage("the command of the server is missing"));
        };
        let failed = |error: &io::Error| {
            Failure::new(format!("the server {} cannot be started: {}", program.display(), because(error)))
        };
        let (stdin, to) = io::pipe().map_err(|error| failed(&error))?;
        let (from, stdout) = io::pipe().map_err(|error| failed(&error))?;
        let mut start = Command::new(program);
        start.args(arguments).stdin(stdin).stdout(stdout).process_group(0).kill_on_drop(true);
        for name in OWN {
            start.env_remove(name);
        }
        let child = start.spawn().map_err(|error| failed(&error))?;
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Ok((Self { child, group }, from, to))
    }

    /// Waits until the server has ended. Asks it to, after its stdin was closed: with SIGTERM, then with SIGKILL.
    pub(super) async fn end(mut self) {
        for signal in [Signal::TERM, Signal::KILL] {
            if tokio::time::timeout(GRACE, self.child.wait()).await.is_ok() {
                break;
            }
            self.signal(signal);
        }
        // What the server has started may still run. Dropping the value kills that.
    }

    /// How the server ended, once it has closed its output.
    pub(super) async fn ended(&mut self) -> Option<ExitStatus> {
        tokio::time::timeout(GRACE, self.child.wait()).await.ok()?.ok()
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // The group may have ended.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// The exit code of the proxy after the server has ended by itself.
pub(super) fn exit(status: Option<ExitStatus>) -> Exit {
    let code = status.and_then(|status| status.code().or_else(|| Some(128 + status.signal()?)));
    match code.and_then(|code| u8::try_from(code).ok()) {
        None | Some(0) => Exit::Failed,
        Some(code) => Exit::Command(code),
    }
}
