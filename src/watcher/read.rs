//! Reads a configured file. It must be a regular file; the length and the time are bounded.
//!
//! A file system that hangs (a mount whose server is gone) blocks every thread that reads from it, and the program
//! cannot interrupt that. So a separate thread reads, and the caller waits for a bounded time. While that thread
//! hangs, the same file is refused at once, and no second thread starts.

use std::collections::BTreeSet;
use std::fs::{File, FileType, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::OFlags;

/// The longest time to read a file.
const PATIENCE: Duration = Duration::from_secs(5);

/// Files with a reader that has not finished in time.
static HANGING: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Reads a regular file, up to one byte more than `max_bytes`, which shows that it is too long. Blocks for a few
/// seconds at most.
pub(crate) fn read_bounded(path: &Path, max_bytes: usize) -> io::Result<Vec<u8>> {
    if hanging().contains(path) {
        return Err(hangs());
    }
    let (tell, told) = mpsc::sync_channel(0);
    let file = path.to_owned();
    std::thread::Builder::new().name("read".to_owned()).spawn(move || {
        let read = read(&file, max_bytes);
        // The caller has gone. The file system answers again, so the file can be tried again.
        if tell.send(read).is_err() {
            hanging().remove(&file);
        }
    })?;
    match told.recv_timeout(PATIENCE) {
        Ok(read) => read,
        Err(RecvTimeoutError::Timeout) => {
            // Insert before `told` is dropped: the reader removes the entry once it sees that the caller has gone.
            hanging().insert(path.to_owned());
            drop(told);
            Err(hangs())
        }
        Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("could not be read")),
    }
}

fn hanging() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    HANGING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hangs() -> io::Error {
    let why = format!("could not be read within {PATIENCE:?}: its file system does not answer");
    io::Error::new(io::ErrorKind::TimedOut, why)
}

fn read(path: &Path, max_bytes: usize) -> io::Result<Vec<u8>> {
    // Without blocking, because opening a FIFO would wait for its writer.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let kind = file.metadata()?.file_type();
    if !kind.is_file() {
        let why = format!("is {}, and must be a regular file", name(kind));
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    contents(file, max_bytes)
}

fn contents(file: File, max_bytes: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(max_bytes as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn name(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a pipe (FIFO)"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_is_read_and_no_other_blocks_the_reader() {
        let tmp = tempfile::tempdir().unwrap();
        let fifo = tmp.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        for (path, what) in
            [(fifo.as_path(), "FIFO"), (Path::new("/dev/zero"), "a device"), (tmp.path(), "a directory")]
        {
            let error = read_bounded(path, 10).unwrap_err().to_string();
            assert!(error.contains(what) && error.contains("must be a regular file"), "{error}");
        }
        let file = tmp.path().join("file");
        std::fs::write(&file, "0123456789abcdef").unwrap();
        assert_eq!(read_bounded(&file, 10).unwrap(), b"0123456789a");
    }
}
