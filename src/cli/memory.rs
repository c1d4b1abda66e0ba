//! What a hook or a proxy must know of an earlier one, in small files of the agent's user: the questions that were
//! still open when it stopped waiting, and the decisions to report after a call.
//!
//! It is a convenience and no control. A lost or forged file cannot allow anything: an idempotency key leads only to
//! the decision of this same action and caller, and the daemon checks both.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::environment::Environment;

/// How long something is kept: as long as the daemon knows an idempotency key.
const KEPT: Duration = Duration::from_hours(24);
/// The largest file that is read.
const MAX_BYTES: u64 = 1 << 20;

/// The directory for the state of this user's programs.
pub(super) fn state_dir(environment: &Environment) -> Option<PathBuf> {
    let absolute = |name| environment.variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
}

/// Writes a file that only its owner may read, or leaves the old one.
pub(super) fn replace(file: &Path, text: &[u8]) -> std::io::Result<()> {
    let part = file.with_extension(format!("{}.part", std::process::id()));
    let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
    let written = out.write_all(text).and_then(|()| fs::rename(&part, file));
    if written.is_err() {
        // The error that counts is the first one.
        let _ = fs::remove_file(&part);
    }
    written
}

fn read<T: for<'de> Deserialize<'de>>(file: &Path) -> Option<T> {
    let is_small = fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.len() <= MAX_BYTES);
    let text = if is_small { fs::read(file).ok() } else { None };
    serde_json::from_slice(&text?).ok()
}

/// The directory with the files.
pub(super) struct Memory(PathBuf);

impl Memory {
    /// The directory of this name among the user's state: below `$XDG_STATE_HOME`, else below `$HOME/.local/state`.
    pub(super) fn of(environment: &Environment, name: &str) -> Option<Self> {
        Some(Self(state_dir(environment)?.join(name)))
    }

    /// This directory.
    pub(super) fn at(dir: PathBuf) -> Self {
        Self(dir)
    }

    /// Keeps something under a name, and forgets what is too old.
    pub(super) fn keep(&self, kind: &str, name: &str, value: &impl Serialize) -> std::io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        self.forget_old();
        replace(&self.file(kind, name), &serde_json::to_vec(value)?)
    }

    /// Reads what is kept under a name, and leaves it there.
    pub(super) fn peek<T: for<'de> Deserialize<'de>>(&self, kind: &str, name: &str) -> Option<T> {
        read(&self.file(kind, name))
    }

    /// Takes what is kept under a name. Only one of several hooks gets it.
    pub(super) fn take<T: for<'de> Deserialize<'de>>(&self, kind: &str, name: &str) -> Option<T> {
        let file = self.file(kind, name);
        let own = file.with_extension(format!("{}.taken", std::process::id()));
        fs::rename(&file, &own).ok()?;
        let kept = read(&own);
        // It is taken, whether it can be removed or not.
        let _ = fs::remove_file(&own);
        kept
    }

    fn file(&self, kind: &str, name: &str) -> PathBuf {
        self.0.join(format!("{kind}-{}", hex::encode(Sha256::digest(name.as_bytes()))))
    }

    fn forget_old(&self) {
        let is_old = |path: &Path| {
            let modified = fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
            let age = modified.map(|modified| SystemTime::now().duration_since(modified).unwrap_or_default());
            age.is_ok_and(|age| age > KEPT)
        };
        let files = fs::read_dir(&self.0).into_iter().flatten().flatten().take(1_000).map(|entry| entry.path());
        for file in files.filter(|file| is_old(file)) {
            // Another hook may have removed it.
            let _ = fs::remove_file(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_taken_once() {
        let dir = tempfile::tempdir().unwrap();
        let memory = Memory(dir.path().join("hooks"));
        memory.keep("open", "a\nb", &"key").unwrap();
        memory.keep("open", "a\nb", &"newer").unwrap();
        assert_eq!(memory.take::<String>("call", "a\nb"), None);
        assert_eq!(memory.peek::<String>("open", "a\nb").as_deref(), Some("newer"));
        assert_eq!(memory.take::<String>("open", "a\nb").as_deref(), Some("newer"));
        assert_eq!(memory.take::<String>("open", "a\nb"), None);
        assert_eq!(fs::read_dir(dir.path().join("hooks")).unwrap().count(), 0);
    }
}
