//! Breaks a hook on purpose, as `aegis hook install` sets it up, and says whether its host would run the tool.

use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::check::{Check, State};
use crate::cli::failure::Failure;
use crate::cli::hook::Host;

/// The faults, and the part of the command line that brings each about.
const FAULTS: [(&str, &str); 5] = [
    ("the daemon is gone", r#""$0" hook "$1" --deadline 2s --endpoint "unix:$2/nobody.sock" || exit 2"#),
    ("the daemon hangs", r#""$0" hook "$1" --deadline 2s --endpoint "unix:$2/silent.sock" || exit 2"#),
    ("the input is garbage", r#""$0" hook "$1" --deadline 2s --endpoint "unix:$2/nobody.sock" || exit 2"#),
    ("the hook crashes", r#"ulimit -v 8000; "$0" hook "$1" --deadline 2s --endpoint "unix:$2/silent.sock" || exit 2"#),
    ("the program is missing", r#""$0-missing" hook "$1" --deadline 2s || exit 2"#),
];

/// A directory that is removed at the end.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // Left behind, it does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Every fault for every host.
pub(super) fn break_all(hosts: &[&'static Host]) -> Result<Vec<Check>, Failure> {
    let name = uuid::Uuid::from_bytes(random()?).simple().to_string();
    let scratch = Scratch(std::env::temp_dir().join(format!("aegis-{}", &name[..12])));
    let cannot = |error: &std::io::Error| Failure::file("write", &scratch.0, error);
    std::fs::DirBuilder::new().mode(0o700).create(&scratch.0).map_err(|error| cannot(&error))?;
    // It takes connections and never says a word.
    let _silent = UnixListener::bind(scratch.0.join("silent.sock")).map_err(|error| cannot(&error))?;
    let program = std::env::current_exe()
        .map_err(|error| Failure::new(format!("the path of this program is not known: {error}")))?;
    let of_host = |host: &'static Host| {
        let (program, scratch) = (&program, &scratch.0);
        FAULTS.map(|(fault, script)| broken(host, fault, script, program, scratch))
    };
    Ok(std::thread::scope(|scope| {
        let threads: Vec<_> = hosts.iter().map(|host| scope.spawn(|| of_host(host))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).flatten().collect()
    }))
}

fn random() -> Result<[u8; 16], Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Failure::new(format!("the system gave no random bytes: {error}")))?;
    Ok(bytes)
}

fn broken(host: &Host, fault: &str, script: &str, program: &Path, scratch: &Path) -> Check {
    let input = match fault {
        "the input is garbage" => "{\"tool_name\": [".to_owned(),
        _ => (host.sample)("true", "/").to_string(),
    };
    let (state, says) = match run(host, script, &input, program, scratch) {
        Ok((code, stdout)) => {
            let state = if (host.runs)(code, &stdout) { State::Open } else { State::Closed };
            let form = if host.is_from_types { " (its rule is from published types)" } else { "" };
            let code = code.map_or_else(|| "a signal".to_owned(), |code| format!("code {code}"));
            (state, format!("{code}{form}"))
        }
        Err(error) => (State::Unknown, format!("it cannot be tried: {error}")),
    };
    Check { area: "hook", what: format!("{}: {fault}", host.name), state, says }
}

fn run(
    host: &Host,
    script: &str,
    input: &str,
    program: &Path,
    scratch: &Path,
) -> std::io::Result<(Option<i32>, String)> {
    let mut child = Command::new("sh")
        .args(["-c", script])
        .arg(program)
        .arg(host.name)
        .arg(scratch)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A hook that has crashed reads nothing.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output()?;
    Ok((output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned()))
}
