//! `--policy`: a daemon of the proxy's own, which ends with it.

use std::io::{BufRead as _, BufReader, PipeWriter};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::sync::oneshot;

use crate::cli::connect::Remote;
use crate::cli::failure::{Failure, because};

/// How long the daemon has to start: it may have a long record to read.
const START: Duration = Duration::from_mins(2);
/// How long it has to end. Its own grace for open calls is shorter.
const END: Duration = Duration::from_secs(20);

/// The daemon. It ends when its stdin does, however the proxy ends.
pub(super) struct OwnDaemon {
    child: Child,
    stdin: PipeWriter,
}

impl OwnDaemon {
    /// Starts a daemon with this policy and data directory, and waits until it listens.
    pub(super) async fn start(policy: &[PathBuf], data_dir: &Path) -> Result<(Self, Remote), Failure> {
        let failed = |why: String| Failure::new(format!("the daemon for --policy does not start: {why}"));
        let io = |error: std::io::Error| failed(because(&error));
        let program = std::env::current_exe().map_err(io)?;
        let (end, stdin) = std::io::pipe().map_err(io)?;
        let (lines, stdout) = std::io::pipe().map_err(io)?;
        let child = Command::new(program)
            .arg("serve")
            .args(policy)
            .args(["--ends-with-parent", "--port", "0", "--admin-listen", "off", "--data-dir"])
            .arg(data_dir)
            .env_remove("AEGIS_TOKEN")
            .stdin(end)
            .stdout(stdout)
            // Ctrl-C in a terminal is for the proxy, which then ends the daemon.
            .process_group(0)
            .spawn()
            .map_err(io)?;
        let (listens, listening) = oneshot::channel();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(lines).lines().map_while(Result::ok);
            if lines.next().is_some_and(|line| line.starts_with("listening on ")) {
                // The proxy may have given up.
                let _ = listens.send(());
                // Reads on, so that the daemon never writes into a full pipe.
                lines.for_each(drop);
            }
        });
        let daemon = Self { child, stdin };
        match tokio::time::timeout(START, listening).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(failed("it has ended, and says above why".to_owned())),
            Err(_) => return Err(failed(format!("it does not listen after {}s", START.as_secs()))),
        }
        let remote = Remote::open_agents_socket(data_dir).await?;
        Ok((daemon, remote))
    }

    /// Ends the daemon and waits for it.
    pub(super) async fn end(self) {
        let Self { mut child, stdin } = self;
        drop(stdin);
        // Whether it ended in time or not, nobody needs it any more.
        let _ = tokio::time::timeout(END, child.wait()).await;
    }
}
