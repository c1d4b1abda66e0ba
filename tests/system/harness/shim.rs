//! A daemon with something between it and its machine: [`shim.c`](shim.c), which the linker loads before libc.
//!
//! It needs a C compiler, as building Aegis does.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::daemon::Setup;
use super::programs::stderr;

/// What the daemon's machine does. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Shim {
    control: std::sync::Arc<File>,
}

/// The numbers that the shim reads, by their place.
#[derive(Clone, Copy, Debug)]
enum Number {
    SyncFails,
    SyncHangs,
    ReadOnly,
    ClockAhead,
    ConfiguredHangs,
}

/// `EIO`.
const IO_ERROR: i64 = 5;
/// `EROFS`.
const READ_ONLY: i64 = 30;

impl Shim {
    /// Puts one below the daemon of this setup.
    pub(crate) fn below(setup: Setup) -> (Setup, Self) {
        let path = setup.home().join("shim");
        let control = File::options().read(true).write(true).create_new(true).open(&path).expect("a file");
        control.write_all_at(&[0; 4096], 0).expect("the file is written");
        let library = library().to_str().expect("a path of text");
        let setup = setup.env("LD_PRELOAD", library).env("AEGIS_TEST_FAULTS", path.to_str().expect("a path of text"));
        (setup, Self { control: control.into() })
    }

    /// Makes syncs fail, or not.
    pub(crate) fn break_syncs(&self, broken: bool) {
        self.set(Number::SyncFails, if broken { IO_ERROR } else { 0 });
    }

    /// Makes syncs hang, or not.
    pub(crate) fn hang_syncs(&self, hanging: bool) {
        self.set(Number::SyncHangs, hanging.into());
    }

    /// Makes the record's file system one that is mounted read-only, or not.
    pub(crate) fn read_only(&self, read_only: bool) {
        self.set(Number::ReadOnly, if read_only { READ_ONLY } else { 0 });
    }

    /// Makes the file system of the policy and the identities hang, or not.
    pub(crate) fn hang_configured(&self, hanging: bool) {
        self.set(Number::ConfiguredHangs, hanging.into());
    }

    /// Puts the wall clock so many seconds ahead of the machine's.
    pub(crate) fn clock_ahead(&self, seconds: i64) {
        self.set(Number::ClockAhead, seconds);
    }

    fn set(&self, number: Number, value: i64) {
        self.control.write_all_at(&value.to_ne_bytes(), number as u64 * 8).expect("the file is written");
    }
}

/// The library, built once a run.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/system/harness/shim.c");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libaegis-shim.so");
        // Under a name of its own until it is whole: another run may have the old one loaded.
        let new = library.with_extension(format!("{}.so", std::process::id()));
        let compiled = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()))
            .args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o"])
            .args([&new, &source])
            .output()
            .expect("there is a C compiler: building Aegis needs one, too");
        assert!(compiled.status.success(), "{}", stderr(&compiled));
        std::fs::rename(&new, &library).expect("the library is put in place");
        library
    })
}
