//! What surrounds the process, as a value: tests own it, commands take the real one.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// The variables and the user that a command sees.
#[derive(Clone, Debug)]
pub(super) struct Environment {
    variables: BTreeMap<String, OsString>,
    /// The effective user id.
    pub(super) uid: u32,
}

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

    /// What surrounds this process.
    pub(super) fn of_process() -> Self {
        let variables =
            Self::NAMES.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var_os(name)?))).collect();
        Self { variables, uid: rustix::process::geteuid().as_raw() }
    }

    /// A variable. One that is set to nothing is not set: that is how shells and manifests switch things off.
    pub(super) fn variable(&self, name: &str) -> Option<&OsString> {
        debug_assert!(Self::NAMES.contains(&name), "{name} is read from the environment but not listed");
        self.variables.get(name).filter(|value| !value.is_empty())
    }

    /// Surroundings without any variable.
    #[cfg(test)]
    pub(super) fn of_user(uid: u32) -> Self {
        Self { variables: BTreeMap::new(), uid }
    }

    /// The surroundings with one more variable.
    #[cfg(test)]
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }
}
