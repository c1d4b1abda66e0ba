//! Replacing a configured file: a regular one, as a whole, in bounded time.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::path::Path;

use super::patience::in_time;

/// Whether a file can be replaced, as far as can be told without writing. Blocks for some seconds at most.
pub(crate) fn check_replaceable(path: &Path) -> io::Result<()> {
    in_time(path, "looked at", |path| replaceable(path).map(drop))
}

/// Replaces a file atomically: writes and syncs a new file, renames it over the old one, and syncs the directory.
/// Blocks for some seconds at most. If that is not enough, the file may still be replaced later.
pub(crate) fn replace_bounded(path: &Path, bytes: Vec<u8>) -> io::Result<()> {
    in_time(path, "written", move |path| replace(path, &bytes))
}

/// The permissions of a file that can be replaced.
fn replaceable(path: &Path) -> io::Result<Permissions> {
    let refuse = |kind, why: &str| Err(io::Error::new(kind, why));
    let meta = fs::symlink_metadata(path)?;
    if meta.is_symlink() {
        let why = "it is a symbolic link, as in a ConfigMap: change it at its source";
        return refuse(io::ErrorKind::InvalidInput, why);
    }
    if !meta.is_file() {
        return refuse(io::ErrorKind::InvalidInput, "it is no regular file");
    }
    if meta.permissions().readonly() {
        return refuse(io::ErrorKind::PermissionDenied, "it is read-only");
    }
    Ok(meta.permissions())
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let permissions = replaceable(path)?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it has no file name"))?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(".aegis-new");
    let temporary = directory.join(temporary);
    let written = (|| {
        // What stands under that name, left over or put there as a link to another file, is not written to.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = File::create_new(&temporary)?;
        file.set_permissions(permissions)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(directory)?.sync_all()
    })();
    if written.is_err() {
        // The new file is useless now. The error above is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_that_may_be_written_is_replaced() {
        let tmp = tempfile::tempdir().unwrap();
        let file = tmp.path().join("policy.yaml");
        fs::write(&file, "old").unwrap();
        check_replaceable(&file).unwrap();
        replace_bounded(&file, b"new".to_vec()).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");

        let link = tmp.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let fifo = tmp.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        for (path, why) in [(&link, "symbolic link"), (&fifo, "no regular file"), (&tmp.path().join("none"), "No such")]
        {
            for refused in [check_replaceable(path), replace_bounded(path, b"new".to_vec())] {
                let refused = refused.unwrap_err().to_string();
                assert!(refused.contains(why), "{refused}");
            }
        }
        assert_eq!(fs::read_dir(tmp.path()).unwrap().count(), 3, "nothing is left beside the file");
    }
}
