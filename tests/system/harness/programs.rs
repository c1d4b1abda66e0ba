//! Other programs: what they print, and those that a test runs.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The standard output of a command, as text.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("the output is text")
}

/// The standard error of a command, as text.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("the output is text")
}

/// What is left of a pipe, as text.
pub(crate) fn read_all(mut pipe: impl std::io::Read) -> String {
    let mut text = String::new();
    pipe.read_to_string(&mut text).expect("the pipe is text");
    text
}

/// grpcurl, as `tests/run` installs it.
pub(crate) fn grpcurl() -> Command {
    let path = std::env::var_os("GRPCURL")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin/grpcurl"), PathBuf::from);
    assert!(path.exists(), "there is no {}: run `tests/tools/install grpcurl`", path.display());
    Command::new(path)
}

/// The program of tests/interop. A run without it is no run of these tests.
pub(crate) fn interop() -> Command {
    let path = match std::env::var_os("AEGIS_INTEROP") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin/interop"),
    };
    assert!(path.exists(), "there is no {}: run tests/run, or tests/tools/install interop", path.display());
    Command::new(path)
}

/// Runs the binary as the user `nobody`, with an environment of nothing but this.
///
/// Only root can. Anybody else's run says loudly that this was not tested; a run that must test everything (`CI` is
/// set) fails.
pub(crate) fn as_nobody(binary: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Option<Output> {
    if !rustix::process::geteuid().is_root() {
        let notice = "NOT TESTED: another user on the private socket; run the tests as root\n";
        // Past the test harness, which shows only what failed.
        std::io::stderr().write_all(notice.as_bytes()).expect("stderr is open");
        assert!(std::env::var_os("CI").is_none(), "{notice}");
        return None;
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(binary).args(arguments).env_clear();
    command.env("NO_COLOR", "1").env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.envs(environment.iter().copied()).envs(super::daemon::without());
    Some(command.output().expect("setpriv runs"))
}

pub(crate) fn me() -> u32 {
    rustix::process::geteuid().as_raw()
}
