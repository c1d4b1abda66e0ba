//! Works on a configured file in bounded time.
//!
//! A file system that hangs (a mount whose server is gone) blocks every thread that uses it, and the program cannot
//! interrupt that. So a separate thread does the work, and the caller waits for a bounded time. While that thread
//! hangs, the same file is refused at once, and no second thread starts.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the work may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Files with a thread that has not finished in time.
static HANGING: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Does the work on a file. Blocks for some seconds at most. `done` is the work in a sentence: `read`.
pub(super) fn in_time<T: Send + 'static>(
    path: &Path,
    done: &'static str,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    within(PATIENCE, path, done, work)
}

fn within<T: Send + 'static>(
    patience: Duration,
    path: &Path,
    done: &'static str,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let hangs = || {
        let why = format!("could not be {done} within {patience:?}: its file system does not answer");
        Err(io::Error::new(io::ErrorKind::TimedOut, why))
    };
    if hanging().contains(path) {
        return hangs();
    }
    let (tell, told) = mpsc::sync_channel(0);
    let file = path.to_owned();
    std::thread::Builder::new().name("file".to_owned()).spawn(move || {
        let result = work(&file);
        // The caller has gone. The file system answers again, so the file can be tried again.
        if tell.send(result).is_err() {
            hanging().remove(&file);
        }
    })?;
    match told.recv_timeout(patience) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => {
            // Insert before `told` is dropped: the thread removes the entry once it sees that the caller has gone.
            hanging().insert(path.to_owned());
            drop(told);
            hangs()
        }
        Err(RecvTimeoutError::Disconnected) => Err(io::Error::other(format!("could not be {done}"))),
    }
}

fn hanging() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    HANGING.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_hangs_is_given_up_and_not_begun_again_until_it_ends() {
        let path = Path::new("/a file of this test only");
        let (go_on, wait) = mpsc::channel::<()>();
        let short = Duration::from_millis(20);
        let first = within(short, path, "read", move |_| {
            let _ = wait.recv();
            Ok(())
        });
        assert_eq!(first.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let second = within(Duration::from_hours(1), path, "read", |_| -> io::Result<()> { panic!("begun again") });
        assert_eq!(second.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(go_on);
        while hanging().contains(path) {
            std::thread::yield_now();
        }
        assert_eq!(within(Duration::from_hours(1), path, "read", |_| Ok(7)).unwrap(), 7);
    }
}
