//! What stops the daemon: SIGTERM, SIGINT, and with `--ends-with-parent` the end of standard input.
//!
//! Other signals would end a process that does not catch them, without a record. So they are caught: SIGHUP wakes the
//! file watchers (see [`crate::watcher`]), SIGUSR1 and SIGUSR2 do nothing.

use std::io::{self, Read as _};

use rustix::fs::{FileType, fstat};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::cli::failure::Failure;

/// The caught signals and the other events that stop the daemon.
pub(super) struct Stop {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    /// Caught while this value lives, and ignored.
    _ignored: [Signal; 2],
    parent: Option<oneshot::Receiver<()>>,
}

impl Stop {
    /// Catches the signals and, if asked, starts to wait for the parent's end.
    pub(super) fn catch(ends_with_parent: bool) -> Result<Self, Failure> {
        let caught = |kind| signal(kind).map_err(|error| Failure::new(format!("cannot catch signals: {error}")));
        Ok(Self {
            terminate: caught(SignalKind::terminate())?,
            interrupt: caught(SignalKind::interrupt())?,
            hang_up: caught(SignalKind::hangup())?,
            _ignored: [caught(SignalKind::user_defined1())?, caught(SignalKind::user_defined2())?],
            parent: if ends_with_parent { Some(end_of_stdin()?) } else { None },
        })
    }

    /// Resolves when the daemon has to stop.
    pub(super) async fn requested(mut self) {
        let parent_ended = async {
            match self.parent {
                Some(parent) => drop(parent.await),
                None => std::future::pending().await,
            }
        };
        tokio::pin!(parent_ended);
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                () = &mut parent_ended => {
                    tracing::info!("standard input has ended, and so has the parent: the daemon stops");
                    return;
                }
                _ = self.hang_up.recv() => tracing::info!("SIGHUP: the configured files are read again"),
            }
        }
    }
}

/// Resolves when standard input ends: nobody holds the other end of the pipe any more. Input is discarded. A thread
/// waits for it, because a shared pipe must not be made non-blocking.
fn end_of_stdin() -> Result<oneshot::Receiver<()>, Failure> {
    let stdin = io::stdin();
    let stat = fstat(&stdin).map_err(|error| Failure::usage(format!("--ends-with-parent: standard input: {error}")))?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if !matches!(kind, FileType::Fifo | FileType::Socket) {
        return Err(Failure::usage(format!("--ends-with-parent: standard input is {}, and not a pipe", name(kind)))
            .hint("start the daemon with a pipe as its standard input, and keep the other end open in the parent"));
    }
    let (ended, end) = oneshot::channel();
    std::thread::spawn(move || {
        let mut thrown_away = [0; 4096];
        let mut stdin = stdin.lock();
        loop {
            match stdin.read(&mut thrown_away) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // If a pipe fails (a socket that was reset), nobody is at its other end either.
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        let _ = ended.send(());
    });
    Ok(end)
}

fn name(kind: FileType) -> &'static str {
    match kind {
        // A terminal or /dev/null. A closed standard input becomes /dev/null.
        FileType::CharacterDevice => "a terminal or /dev/null",
        FileType::RegularFile => "a file",
        _ => "something else",
    }
}
