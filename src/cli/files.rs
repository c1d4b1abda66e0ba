//! Files that a command writes. It never writes through a symbolic link: whoever made the link would choose the file.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

use super::failure::Failure;
use crate::domain::Defence;

/// Opens a file for writing and empties it. Creates a missing file.
pub(super) fn create(path: &Path) -> Result<File, Failure> {
    open(OpenOptions::new().write(true).create(true).truncate(true), path).map_err(|error| cannot_write(path, &error))
}

/// Creates a file that does not exist yet.
pub(super) fn create_new(path: &Path) -> io::Result<File> {
    open(OpenOptions::new().write(true).create_new(true), path)
}

/// Creates a file that does not exist yet, which only this user may read.
pub(super) fn create_secret(path: &Path) -> io::Result<File> {
    open(OpenOptions::new().write(true).create_new(true).mode(0o600), path)
}

/// Makes the name of a file durable.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// Creates a file next to the one that it will replace.
///
/// It has another name until it is complete, because half a file must neither look like a whole one nor replace one. A
/// file that an earlier run left under that name is removed. A link with that name is removed, not followed.
pub(super) fn create_part(path: &Path) -> Result<(File, std::path::PathBuf), Failure> {
    part_of(path, create_new)
}

/// The same for a file that only this user may read.
pub(super) fn create_secret_part(path: &Path) -> Result<(File, std::path::PathBuf), Failure> {
    part_of(path, create_secret)
}

fn part_of(path: &Path, create: fn(&Path) -> io::Result<File>) -> Result<(File, std::path::PathBuf), Failure> {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    let part = std::path::PathBuf::from(name);
    match std::fs::remove_file(&part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cannot_write(&part, &error)),
        _ => {}
    }
    let file = create(&part).map_err(|error| cannot_write(&part, &error))?;
    Ok((file, part))
}

fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    options.custom_flags(if Defence::NoLinks.on() { no_follow } else { 0 }).open(path)
}

/// The failure for a file that cannot be written, and why.
pub(super) fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    let failure = Failure::file("write", path, error);
    if path.is_symlink() {
        return failure.hint("it is a symbolic link, and none is followed: name the file itself");
    }
    failure
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn nothing_is_written_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("precious"), "kept").unwrap();
        for name in ["link", "link.part"] {
            symlink(at("precious"), at(name)).unwrap();
        }
        let failure = create(&at("link")).unwrap_err().to_string();
        assert!(failure.contains("is a symbolic link"), "{failure}");
        assert_eq!(create_new(&at("link")).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        let (mut file, part) = create_part(&at("link")).unwrap();
        file.write_all(b"new").unwrap();
        assert_eq!((fs::read_to_string(part).unwrap().as_str(), part_is_link(&at("link.part"))), ("new", false));
        assert_eq!(fs::read_to_string(at("precious")).unwrap(), "kept");

        create(&at("new")).unwrap().write_all(b"1").unwrap();
        create(&at("new")).unwrap().write_all(b"2").unwrap();
        assert_eq!(fs::read_to_string(at("new")).unwrap(), "2");
    }

    fn part_is_link(path: &Path) -> bool {
        path.is_symlink()
    }
}
