//! The data directory: where the daemon keeps its files, and where the command line looks for them.
//!
//! The directory is `--data-dir`, else `AEGIS_DATA_DIR`, else `$XDG_STATE_HOME/aegis`, else
//! `$HOME/.local/state/aegis`, else, for root without a home, `/var/lib/aegis`. It is never the working directory.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::failure::Failure;

/// The socket on which peers of the daemon's own user are reviewer, auditor and admin.
pub(super) const SOCKET: &str = "aegis.sock";
/// The socket on which peers of the daemon's own user are agents.
pub(super) const AGENT_SOCKET: &str = "agent.sock";
/// The file with a credential for the same roles, for use from elsewhere: one line.
pub(super) const CREDENTIAL: &str = "credential";
/// The file with the URL of the main listener: one line, written by the daemon.
pub(super) const ENDPOINT: &str = "endpoint";

/// The data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DataDir(PathBuf);

impl DataDir {
    /// Finds the directory. Creates nothing and reads nothing.
    pub(super) fn find(flag: Option<&Path>, environment: &Environment) -> Result<Self, Failure> {
        let named = flag.map(Path::to_path_buf).or_else(|| environment.variable("AEGIS_DATA_DIR").map(PathBuf::from));
        // The XDG specification says that a relative path is ignored.
        let absolute = |name| environment.variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        named
            .or_else(|| absolute("XDG_STATE_HOME").map(|state| state.join("aegis")))
            .or_else(|| absolute("HOME").map(|home| home.join(".local/state/aegis")))
            .or_else(|| (environment.uid == 0).then(|| "/var/lib/aegis".into()))
            .map(Self)
            .ok_or_else(|| {
                Failure::usage("there is no home directory to find the data directory in")
                    .hint("name it with --data-dir DIR or AEGIS_DATA_DIR")
            })
    }

    /// The directory.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The private key of the log.
    pub(super) const LOG_KEY: &str = "log-key";
    /// The secret files that a record needs.
    pub(super) const KEYS: [&str; 2] = [Self::LOG_KEY, "token-key"];

    /// The record.
    pub(super) fn record(&self) -> PathBuf {
        self.0.join("record.redb")
    }

    /// The record, which must be there.
    pub(super) fn existing_record(&self) -> Result<PathBuf, Failure> {
        let record = self.record();
        match record.symlink_metadata() {
            Ok(_) => Ok(record),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Failure::new(format!("there is no record in {}", self.0.display()))
                    .hint("name the data directory with --data-dir"))
            }
            Err(error) => Err(Failure::file("read", &record, &error)),
        }
    }

    /// Fails unless the directory exists and belongs to this user: files of another user would keep the daemon out.
    pub(super) fn check_owner(&self, environment: &Environment) -> Result<(), Failure> {
        let found = self.0.metadata().map_err(|error| Failure::file("read", &self.0, &error))?;
        if found.uid() == environment.uid {
            return Ok(());
        }
        Err(Failure::new(format!(
            "{} belongs to the user {}, and you are {}",
            self.0.display(),
            found.uid(),
            environment.uid
        ))
        .hint("run this as the user of the daemon, for example with `sudo -u aegis`"))
    }

    /// The reviewers' socket.
    pub(super) fn socket(&self) -> PathBuf {
        self.0.join(SOCKET)
    }

    /// The agents' socket.
    pub(super) fn agent_socket(&self) -> PathBuf {
        self.0.join(AGENT_SOCKET)
    }

    /// The bootstrap credential.
    pub(super) fn credential(&self) -> PathBuf {
        self.0.join(CREDENTIAL)
    }

    /// The file that says where the main listener is.
    pub(super) fn endpoint(&self) -> PathBuf {
        self.0.join(ENDPOINT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(flag: Option<&str>, environment: &Environment) -> String {
        match DataDir::find(flag.map(Path::new), environment) {
            Ok(dir) => dir.path().display().to_string(),
            Err(failure) => failure.to_string(),
        }
    }

    #[test]
    fn the_first_setting_wins() {
        let nobody = Environment::of_user(1000);
        let home = nobody.clone().with("HOME", "/home/a");
        let state = home.clone().with("XDG_STATE_HOME", "/state");
        let named = state.clone().with("AEGIS_DATA_DIR", "/data");
        assert_eq!(find(Some("/flag"), &named), "/flag");
        assert_eq!(find(None, &named), "/data");
        assert_eq!(find(None, &state), "/state/aegis");
        assert_eq!(find(None, &home), "/home/a/.local/state/aegis");
        assert!(find(None, &nobody).contains("--data-dir"));
    }

    #[test]
    fn root_without_a_home_uses_the_directory_of_a_service() {
        let root = Environment::of_user(0);
        assert_eq!(find(None, &root), "/var/lib/aegis");
        assert_eq!(find(None, &root.with("HOME", "/root")), "/root/.local/state/aegis");
    }

    #[test]
    fn an_empty_or_relative_path_counts_as_not_set() {
        let root = Environment::of_user(0).with("AEGIS_DATA_DIR", "").with("XDG_STATE_HOME", "state").with("HOME", "");
        assert_eq!(find(None, &root), "/var/lib/aegis");
    }
}
