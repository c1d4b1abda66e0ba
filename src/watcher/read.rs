//! Reading a configured file: a regular one, no further than so far, in bounded time.
//!
//! A file system that hangs (a mount whose server is gone) hangs whoever reads from it, and nothing can end that from
//! within. So a thread reads, and whoever asked waits for it for so long. While that thread hangs there is no second
//! one for the same file: it is refused at once.

use std::collections::BTreeSet;
use std::fs::{File, FileType, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::OFlags;

use crate::domain::Defence;

/// How long a file may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Files whose reader has not come back in time.
static HANGING: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Reads a regular file, but no more than one byte past this many: enough to say that it is too long. Blocks for some
/// seconds at most.
pub(crate) fn read_bounded(path: &Path, max_bytes: usize) -> io::Result<Vec<u8>> {
    if hanging().contains(path) {
        return Err(hangs());
    }
    let (tell, told) = mpsc::sync_channel(0);
    let file = path.to_owned();
    std::thread::Builder::new().name("read".to_owned()).spawn(move || {
        let read = read(&file, max_bytes);
        // Nobody waits for what came too late; from now on the file can be tried again.
        if tell.send(read).is_err() {
            hanging().remove(&file);
        }
    })?;
    match told.recv_timeout(PATIENCE) {
        Ok(read) => read,
        Err(RecvTimeoutError::Timeout) => {
            // Before `told` goes: the reader sees that nobody waits only after the file is noted here.
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
    // Without blocking: to open a FIFO would wait for its writer.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let kind = file.metadata()?.file_type();
    if !kind.is_file() && Defence::RegularFiles.on() {
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
    fn only_a_regular_file_is_read_and_no_other_keeps_the_reader() {
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
