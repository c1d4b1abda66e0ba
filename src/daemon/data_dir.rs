//! The data directory: the record, the owner's sockets, and the bootstrap credential. Only its owner can read it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::domain::Digest;

/// The prefix of a credential, so that scanners for leaked secrets recognize it.
const CREDENTIAL_PREFIX: &str = "aegis_";
/// The prefix of the store's secret.
const TOKEN_KEY_PREFIX: &str = "aegis-token-key_";

/// The data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataDirError {
    /// The operating system refused.
    #[error("{}: {error}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },
    /// Other users can read or write the path.
    #[error("{}: other users can access it (mode {mode:03o}): run `chmod {wanted:03o}` on it", path.display())]
    TooOpen {
        /// The path.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// What they should be.
        wanted: u32,
    },
    /// The directory belongs to another user.
    #[error("{}: it belongs to the user {owner}, and this process runs as {me}", path.display())]
    NotMine {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The user of this process.
        me: u32,
    },
    /// The secret of the record is missing.
    #[error(
        "{0}: this file is missing, and the record needs it: restore it from a backup. To continue without it, create \
         an empty file in its place (`install -m 600 /dev/null {0}`). Then earlier idempotency keys and confirmation \
         tokens no longer work, and digests of masked values from before and after differ",
        path.display()
    )]
    LostSecret {
        /// The file.
        path: PathBuf,
    },
    /// The file does not contain a secret.
    #[error("{}: it must hold one line that begins with `{prefix}`; delete it to get a new one", path.display())]
    NoSecret {
        /// The file.
        path: PathBuf,
        /// The prefix of the secret.
        prefix: &'static str,
    },
}

/// A data directory that only this user can access.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    /// The owner, which is the user of this process.
    pub uid: u32,
}

impl DataDir {
    /// Opens the directory. Creates a missing one.
    pub(crate) fn open(path: &Path) -> Result<Self, DataDirError> {
        let at = |error| DataDirError::Io { path: path.to_owned(), error };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(at)?;
        let meta = fs::metadata(path).map_err(at)?;
        let uid = rustix::process::geteuid().as_raw();
        if meta.uid() != uid {
            return Err(DataDirError::NotMine { path: path.to_owned(), owner: meta.uid(), me: uid });
        }
        let mode = meta.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(DataDirError::TooOpen { path: path.to_owned(), mode, wanted: 0o700 });
        }
        Ok(Self { path: path.to_owned(), uid })
    }

    /// The path of the record.
    pub(crate) fn record(&self) -> PathBuf {
        self.path.join("record.redb")
    }

    /// Sets a record aside whose log has ended, with what is left of its key. It was closed in good order. The record
    /// comes last, so that an interrupted attempt is repeated.
    pub(crate) fn set_record_aside(&self) -> Result<PathBuf, DataDirError> {
        let aside = self.path.join("record.ended.redb");
        if aside.exists() {
            let error = io::Error::other("an earlier record that has ended is there: move it away, and keep it");
            return Err(DataDirError::Io { path: aside, error });
        }
        for (name, ended) in [
            ("log-key", "log-key.ended"),
            ("log-key.pub", "log-key.ended.pub"),
            ("record.journal", "record.ended.journal"),
            ("record.redb", "record.ended.redb"),
        ] {
            match fs::rename(self.path.join(name), self.path.join(ended)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(DataDirError::Io { path: self.path.join(name), error });
                }
                _ => {}
            }
        }
        Ok(aside)
    }

    /// The path of the private socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path.join("aegis.sock")
    }

    /// The socket for agents of the daemon's own user.
    pub(crate) fn agent_socket(&self) -> PathBuf {
        self.path.join("agent.sock")
    }

    /// The bootstrap credential. Creates it at the first start, and reads it afterwards.
    pub(crate) fn credential(&self) -> Result<String, DataDirError> {
        self.secret("credential", CREDENTIAL_PREFIX)
    }

    /// The store's secret. Action keys, confirmation tokens and digests of masked values are derived from it. It is
    /// created before the record.
    ///
    /// A record without its secret is refused, because with a new secret the daemon would not recognize retries. An
    /// operator who accepts that empties the file to get a new secret.
    pub(crate) fn store_key(&self) -> Result<[u8; 32], DataDirError> {
        let path = self.path.join("token-key");
        let secret = match read_secret(&path)? {
            Some(text) if !text.is_empty() => valid_secret(text, &path, TOKEN_KEY_PREFIX)?,
            Some(_) => {
                tracing::warn!(path = %path.display(), "the secret was emptied: creating a new one for this record");
                make_secret(&path, TOKEN_KEY_PREFIX)?
            }
            None if self.record().exists() => return Err(DataDirError::LostSecret { path }),
            None => make_secret(&path, TOKEN_KEY_PREFIX)?,
        };
        Ok(Digest::of(secret.as_bytes()).0)
    }

    /// Reads a secret of one line, or creates it.
    fn secret(&self, name: &str, prefix: &'static str) -> Result<String, DataDirError> {
        let path = self.path.join(name);
        match read_secret(&path)? {
            Some(text) => valid_secret(text, &path, prefix),
            None => make_secret(&path, prefix),
        }
    }

    /// Writes the address of the main listener, for the command line on this machine.
    pub(crate) fn announce(&self, endpoint: &str) -> Result<(), DataDirError> {
        let path = self.path.join("endpoint");
        fs::write(&path, format!("{endpoint}\n")).map_err(|error| DataDirError::Io { path, error })
    }
}

/// The content of a secret's file, if the file exists.
fn read_secret(path: &Path) -> Result<Option<String>, DataDirError> {
    let at = |error| DataDirError::Io { path: path.to_owned(), error };
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(error)),
    };
    let mode = file.metadata().map_err(at)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(DataDirError::TooOpen { path: path.to_owned(), mode, wanted: 0o600 });
    }
    let mut text = String::new();
    file.take(4096).read_to_string(&mut text).map_err(at)?;
    Ok(Some(text.trim().to_owned()))
}

fn valid_secret(text: String, path: &Path, prefix: &'static str) -> Result<String, DataDirError> {
    if text.len() < 40 || !text.starts_with(prefix) || text.contains('\n') {
        return Err(DataDirError::NoSecret { path: path.to_owned(), prefix });
    }
    Ok(text)
}

/// Creates a secret atomically, because half of a secret would look like another secret.
fn make_secret(path: &Path, prefix: &'static str) -> Result<String, DataDirError> {
    let at = |error| DataDirError::Io { path: path.to_owned(), error };
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| at(io::Error::other(error)))?;
    let secret = format!("{prefix}{}", URL_SAFE_NO_PAD.encode(random));
    let temporary = path.with_extension("new");
    // A file of an interrupted start.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(error)),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).map_err(at)?;
    writeln!(file, "{secret}").and_then(|()| file.sync_all()).map_err(at)?;
    fs::rename(&temporary, path).map_err(at)?;
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(at)?;
    Ok(secret)
}

/// What the system knows about a user: its name, and whether it can log in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// Its name, or its number if it has no name.
    pub name: String,
    /// Whether the user can log in. An agent may then run as the same user.
    pub logs_in: bool,
}

/// Looks up a user.
pub(crate) fn account(uid: u32) -> Account {
    // Without a list of users (as in an empty container) no user can log in.
    account_in(&fs::read_to_string("/etc/passwd").unwrap_or_default(), uid)
}

fn account_in(passwd: &str, uid: u32) -> Account {
    for line in passwd.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        if let [name, _, id, _, _, _, shell] = fields[..]
            && id.parse() == Ok(uid)
        {
            let logs_in = !shell.ends_with("/nologin") && !shell.ends_with("/false");
            return Account { name: name.to_owned(), logs_in };
        }
    }
    Account { name: uid.to_string(), logs_in: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_created_once_and_kept() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = DataDir::open(&tmp.path().join("data")).unwrap();
        let credential = dir.credential().unwrap();
        assert!(credential.starts_with("aegis_"));
        assert_eq!(dir.credential().unwrap(), credential);
        let mode = fs::metadata(tmp.path().join("data/credential")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_path_that_other_users_can_access_is_refused() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("data");
        let dir = DataDir::open(&path).unwrap();
        dir.credential().unwrap();
        fs::set_permissions(path.join("credential"), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(dir.credential(), Err(DataDirError::TooOpen { mode: 0o644, .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(DataDir::open(&path), Err(DataDirError::TooOpen { mode: 0o755, .. })));
    }

    #[test]
    fn an_empty_credential_is_refused() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = DataDir::open(&tmp.path().join("data")).unwrap();
        dir.credential().unwrap();
        fs::write(tmp.path().join("data/credential"), "\n").unwrap();
        assert!(matches!(dir.credential(), Err(DataDirError::NoSecret { .. })));
    }

    #[test]
    fn a_record_without_its_secret_is_refused_until_the_operator_asks_for_a_new_one() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("data");
        let dir = DataDir::open(&path).unwrap();
        let first = dir.store_key().unwrap();
        fs::write(dir.record(), "a record").unwrap();
        assert_eq!(dir.store_key().unwrap(), first);

        fs::remove_file(path.join("token-key")).unwrap();
        let lost = dir.store_key().unwrap_err();
        assert!(
            matches!(&lost, DataDirError::LostSecret { .. }) && lost.to_string().contains("install -m 600"),
            "{lost}"
        );

        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path.join("token-key")).unwrap();
        let second = dir.store_key().unwrap();
        assert_ne!(second, first);
        assert_eq!(dir.store_key().unwrap(), second);
    }

    #[test]
    fn a_user_without_a_login_shell_cannot_log_in() {
        let passwd = "ada:x:1000:1000:Ada:/home/ada:/bin/bash\naegis:x:900:900::/var/lib/aegis:/usr/sbin/nologin\n";
        assert_eq!(account_in(passwd, 1000), Account { name: "ada".into(), logs_in: true });
        assert_eq!(account_in(passwd, 900), Account { name: "aegis".into(), logs_in: false });
        assert_eq!(account_in(passwd, 7), Account { name: "7".into(), logs_in: false });
    }
}
