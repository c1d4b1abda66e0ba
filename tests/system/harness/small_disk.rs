//! A data directory on a disk of its own, which a test can fill.
//!
//! The disk is a small tmpfs: these tests need root, in a container with `CAP_SYS_ADMIN`.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

use super::daemon::Setup;
use super::programs::stderr;

/// It is unmounted when this is dropped.
pub(crate) struct SmallDisk {
    path: PathBuf,
    _home: Arc<TempDir>,
}

impl SmallDisk {
    /// Puts the data directory of this setup on a disk of so many MiB.
    pub(crate) fn mount(setup: &Setup, mib: u32) -> Self {
        let path = setup.home().join("data");
        std::fs::create_dir(&path).expect("a new directory");
        let options = format!("size={mib}m,mode=0700");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "aegis-test"]).arg(&path).output();
        let mount = mount.expect("there is a `mount`");
        let why = stderr(&mount);
        assert!(mount.status.success(), "this test mounts a tmpfs and needs root for that (CAP_SYS_ADMIN): {why}");
        Self { path, _home: setup.keep() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }

    /// Takes all the space that is left.
    pub(crate) fn fill(&self) {
        let mut ballast = File::options().create(true).append(true).open(self.ballast()).expect("a file");
        for size in [64 << 10, 4 << 10, 1] {
            while ballast.write_all(&vec![0; size]).is_ok() {}
        }
    }

    /// Takes space until only so many bytes are left.
    pub(crate) fn fill_up_to(&self, left: u64) {
        let mut ballast = File::options().create(true).append(true).open(self.ballast()).expect("a file");
        while self.free_bytes() > left {
            ballast.write_all(&[0; 4 << 10]).expect("there is space");
        }
    }

    /// The space that is left, in bytes.
    pub(crate) fn free_bytes(&self) -> u64 {
        let disk = rustix::fs::statvfs(&self.path).expect("a file system");
        disk.f_bavail * disk.f_frsize
    }

    /// Gives it back.
    pub(crate) fn free(&self) {
        std::fs::remove_file(self.ballast()).expect("a file");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, so that whoever still has a file open there does not keep the mount.
        let _ = Command::new("umount").arg("--lazy").arg(&self.path).status();
    }
}
