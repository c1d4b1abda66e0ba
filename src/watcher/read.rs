//! Reads a configured file. It must be a regular file; the length and the time are bounded.

use std::fs::{File, FileType, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

use super::patience::in_time;
use crate::domain::Defence;

/// Reads a regular file, up to one byte more than `max_bytes`, which shows that it is too long. Blocks for a few
/// seconds at most.
pub(crate) fn read_bounded(path: &Path, max_bytes: usize) -> io::Result<Vec<u8>> {
    in_time(path, "read", move |path| read(path, max_bytes))
}

fn read(path: &Path, max_bytes: usize) -> io::Result<Vec<u8>> {
    // Without blocking, because opening a FIFO would wait for its writer.
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
