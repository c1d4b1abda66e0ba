//! The environment of the process as a value: tests make their own, commands use the real one.
//!
//! All variables that this program reads:
//!
//! | variable | meaning |
//! | --- | --- |
//! | `AEGIS_ENDPOINT` | the daemon that commands connect to; `--endpoint` and `--data-dir` win over it |
//! | `AEGIS_TOKEN` | the token that commands send: over https, unix sockets and loopback only |
//! | `AEGIS_DATA_DIR` | the data directory, of `serve` and of commands; `--data-dir` wins over it |
//! | `AEGIS_TLS_CA`, `AEGIS_TLS_CERT`, `AEGIS_TLS_KEY` | the same as the flags of these names, which win |
//! | `AEGIS_LOG` | what `serve` logs, a filter of `tracing-subscriber`: `debug`, `aegis=debug`; default `info` |
//! | `XDG_STATE_HOME`, `HOME` | where the data directory is if nothing names it, and the files of hooks and proxies |
//! | `NO_COLOR`, `CLICOLOR`, `CLICOLOR_FORCE` | colours, as in other programs |
//! | `AEGIS_WITHOUT` | the defences that are off, in builds with the feature `adversary` only: tests |
//! | `OTEL_*` | where `serve` sends traces: see [`crate::telemetry`] |
//!
//! An empty variable counts as not set. A command that `propose … -- COMMAND` starts finds `AEGIS_DECISION_ID` and
//! `AEGIS_CONSTRAINTS` (JSON) in its environment.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// The variables and the user that a command sees.
#[derive(Clone, Debug)]
pub(super) struct Environment {
    variables: BTreeMap<String, OsString>,
    /// The effective user id.
    pub(super) uid: u32,
}

/// The part of `aegis --help` about variables.
pub(super) const HELP: &str = "\
Environment variables:
  AEGIS_ENDPOINT   the daemon to connect to
  AEGIS_TOKEN      the token to send: over https, unix sockets and loopback only
  AEGIS_DATA_DIR   the data directory
  AEGIS_TLS_CA, AEGIS_TLS_CERT, AEGIS_TLS_KEY   as the flags of that name
  AEGIS_LOG        what `serve` logs, for example debug [default: info]
  NO_COLOR         no colours
  OTEL_*           where `serve` sends traces, as OpenTelemetry specifies
Flags win over variables.";

impl Environment {
    const NAMES: [&str; 8] = [
        "AEGIS_ENDPOINT",
        "AEGIS_TOKEN",
        "AEGIS_DATA_DIR",
        "AEGIS_TLS_CA",
        "AEGIS_TLS_CERT",
        "AEGIS_TLS_KEY",
        "XDG_STATE_HOME",
        "HOME",
    ];

    /// The environment of this process.
    pub(super) fn of_process() -> Self {
        let variables =
            Self::NAMES.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var_os(name)?))).collect();
        Self { variables, uid: rustix::process::geteuid().as_raw() }
    }

    /// A variable. An empty one counts as not set, so that shells and manifests can switch one off.
    pub(super) fn variable(&self, name: &str) -> Option<&OsString> {
        debug_assert!(Self::NAMES.contains(&name), "{name} is read from the environment but not listed");
        self.variables.get(name).filter(|value| !value.is_empty())
    }

    /// An environment without any variable.
    #[cfg(test)]
    pub(super) fn of_user(uid: u32) -> Self {
        Self { variables: BTreeMap::new(), uid }
    }

    /// The environment with one more variable.
    #[cfg(test)]
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// Every `"AEGIS_…"` in the sources below.
    fn names_in(directory: &Path, names: &mut std::collections::BTreeSet<String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                names_in(&path, names);
                continue;
            }
            if path.extension().is_none_or(|kind| kind != "rs") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for found in text.split("\"AEGIS_").skip(1) {
                let name: String = found.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect();
                if !name.is_empty() {
                    names.insert(format!("AEGIS_{name}"));
                }
            }
        }
    }

    #[test]
    fn the_table_has_every_variable_that_is_read_or_set() {
        let mut names = std::collections::BTreeSet::new();
        names_in(Path::new("src"), &mut names);
        assert!(names.len() >= 6, "{names:?}");
        let table: String = include_str!("environment.rs").lines().take_while(|line| line.starts_with("//!")).collect();
        for name in names {
            assert!(table.contains(&format!("`{name}`")), "{name} is not in the table of environment.rs");
        }
    }
}
