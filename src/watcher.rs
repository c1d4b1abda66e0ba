//! Sees that files have changed, whatever way that was done: the policy, the identities, certificates and keys.
//!
//! The parent directories are watched, not the files: a watch on a file dies with the file at the first rename over it,
//! and a Kubernetes ConfigMap or Secret swaps the `..data` link beside it. Events only say *when* to look; what counts
//! is what the files hold, so events that come in bursts, twice or for something else are harmless. A slow poll covers
//! file systems that send no events, and a directory that was itself replaced. SIGHUP has every file read again at
//! once.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::domain::Digest;

/// How long the files must have been left alone before they are read: a writer that truncates and writes is not caught
/// between the two.
const SETTLE: Duration = Duration::from_millis(30);
/// How long to wait for that where something else in the directory changes all the time.
const BUSY: Duration = Duration::from_millis(500);
/// How long a writer may take that has begun to write and not closed the file.
const WRITING: Duration = Duration::from_secs(10);
/// How often the files are looked at although no event came.
const POLL: Duration = Duration::from_secs(5);

/// Some files, and what they held when somebody last acted on it.
pub struct FileWatcher {
    files: Vec<PathBuf>,
    max_bytes: usize,
    /// Nothing at first: the first look finds what changed between the first reading and the first watch.
    seen: Option<Digest>,
    look_now: bool,
    /// Whether something has happened that was not waited out yet.
    unsettled: bool,
    changed: Arc<Notify>,
    events: Events,
    /// `None` where the system lets nobody catch SIGHUP.
    hang_up: Option<Signal>,
}

/// What the files hold now: given back to [`FileWatcher::accept`] by whoever has acted on it.
#[derive(Clone, Copy, Debug)]
pub struct Change(Digest);

impl FileWatcher {
    /// Watches these files, none of them further than so many bytes. Whatever they hold is a change at first. Needs a
    /// tokio runtime.
    pub fn new(files: Vec<PathBuf>, max_bytes: usize) -> Self {
        let changed = Arc::new(Notify::new());
        let events = Events::new(&files, &changed);
        let hang_up = signal(SignalKind::hangup()).ok();
        Self { files, max_bytes, seen: None, look_now: true, unsettled: false, changed, events, hang_up }
    }

    /// Watches other files from now on. What they hold at this moment counts as not acted on.
    pub fn replace(&mut self, files: Vec<PathBuf>) {
        if self.files != files {
            self.events = Events::new(&files, &self.changed);
            self.files = files;
            self.look_now = true;
        }
    }

    /// Resolves when the files hold something else than what was last accepted; `None` when told to stop. Until it is
    /// accepted, the same change is reported again at the next look. May be dropped at any moment: nothing is missed.
    pub async fn changed(&mut self, stop: &CancellationToken) -> Option<Change> {
        loop {
            if !std::mem::take(&mut self.look_now) {
                if !self.unsettled {
                    tokio::select! {
                        () = stop.cancelled() => return None,
                        () = self.changed.notified() => {}
                        () = tokio::time::sleep(POLL) => self.events.renew(),
                        // Somebody wants them to be read, whether they look changed or not.
                        () = next(&mut self.hang_up) => self.seen = None,
                    }
                    self.unsettled = true;
                }
                tokio::select! {
                    () = stop.cancelled() => return None,
                    () = settle(&self.changed, &self.events.writing) => {}
                }
                self.unsettled = false;
            }
            let now = fingerprint(&self.files, self.max_bytes);
            if self.seen != Some(now) {
                return Some(Change(now));
            }
        }
    }

    /// Says that this change was acted on.
    pub fn accept(&mut self, change: Change) {
        self.seen = Some(change.0);
    }
}

async fn next(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Waits until no event has come for a while and nobody is writing, within bounds.
async fn settle(changed: &Notify, writing: &Writing) {
    let begun = Instant::now();
    loop {
        let quiet = tokio::time::timeout(SETTLE, changed.notified()).await.is_err();
        let (busy, patience) = if writing.any() { (true, WRITING) } else { (!quiet, BUSY) };
        if !busy || begun.elapsed() >= patience {
            return;
        }
    }
}

/// Reads a file, but no more than one byte past this many: enough to say that it is too long.
pub fn read_bounded(path: &Path, max_bytes: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(max_bytes as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What the files hold, as far as it matters for whether to look closer. A file that cannot be read is a state, too.
pub fn fingerprint(files: &[PathBuf], max_bytes: usize) -> Digest {
    let mut digests = Vec::new();
    for file in files {
        let digest = match read_bounded(file, max_bytes) {
            Ok(bytes) => Digest::of(&bytes),
            Err(error) => Digest::of(error.to_string().as_bytes()),
        };
        digests.extend_from_slice(&digest.0);
    }
    Digest::of(&digests)
}

/// Which files somebody has begun to write and not closed: half of a file can be a valid one.
#[derive(Clone, Debug)]
struct Writing {
    /// The files by their last name, which is what events and arguments agree on.
    names: Arc<BTreeSet<OsString>>,
    open: Arc<Mutex<BTreeSet<OsString>>>,
}

impl Writing {
    fn new(files: &[PathBuf]) -> Self {
        let names = files.iter().filter_map(|file| file.file_name()).map(ToOwned::to_owned).collect();
        Self { names: Arc::new(names), open: Arc::default() }
    }

    fn any(&self) -> bool {
        !self.open.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn see(&self, event: &Event) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for name in event.paths.iter().filter_map(|path| path.file_name()) {
            match event.kind {
                EventKind::Modify(ModifyKind::Data(_)) if self.names.contains(name) => {
                    open.insert(name.to_owned());
                }
                EventKind::Access(AccessKind::Close(AccessMode::Write))
                | EventKind::Modify(ModifyKind::Name(_))
                | EventKind::Remove(_) => {
                    open.remove(name);
                }
                _ => {}
            }
        }
    }
}

/// The watches on the parent directories.
struct Events {
    watcher: Option<RecommendedWatcher>,
    directories: Vec<PathBuf>,
    writing: Writing,
}

impl Events {
    fn new(files: &[PathBuf], changed: &Arc<Notify>) -> Self {
        let mut directories: Vec<PathBuf> = files.iter().map(|file| parent(file)).collect();
        directories.sort();
        directories.dedup();
        let changed = Arc::clone(changed);
        let writing = Writing::new(files);
        let seen = writing.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if let Ok(event) = &event {
                seen.see(event);
            }
            // Our own reading of the files makes Access events.
            if !matches!(event, Ok(Event { kind: EventKind::Access(_), .. })) {
                changed.notify_one();
            }
        });
        let watcher =
            watcher.map_err(|error| tracing::warn!(%error, "no file events here: files are polled instead")).ok();
        let mut events = Self { watcher, directories, writing };
        events.renew();
        events
    }

    /// Watches the directories (again): one that was replaced is another directory.
    fn renew(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        for directory in &self.directories {
            if let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) {
                tracing::debug!(%error, directory = %directory.display(), "cannot be watched; it is polled");
            }
        }
    }
}

fn parent(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[tokio::test]
    async fn a_swapped_secret_is_seen_and_what_was_accepted_comes_again_only_at_a_sighup() {
        let tmp = tempfile::tempdir().unwrap();
        let at = |name: &str| tmp.path().join(name);
        fs::create_dir(at("v1")).unwrap();
        fs::create_dir(at("v2")).unwrap();
        fs::write(at("v1/tls.key"), "one").unwrap();
        fs::write(at("v2/tls.key"), "two").unwrap();
        symlink("v1", at("..data")).unwrap();
        symlink("..data/tls.key", at("tls.key")).unwrap();
        let stop = CancellationToken::new();
        let mut files = FileWatcher::new(vec![at("tls.key")], 100);

        let first = files.changed(&stop).await.unwrap();
        files.accept(first);
        symlink("v2", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        let change = files.changed(&stop).await.unwrap();
        files.accept(change);
        // What does not change what the files hold is no change.
        fs::write(at("other"), "x").unwrap();
        let nothing = tokio::time::timeout(Duration::from_millis(200), files.changed(&stop)).await;
        assert!(nothing.is_err());
        // Here and not in a test of its own: all tests of this process would hear it.
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP).unwrap();
        let change = tokio::time::timeout(Duration::from_mins(1), files.changed(&stop)).await.unwrap().unwrap();
        files.accept(change);
        stop.cancel();
        assert!(files.changed(&stop).await.is_none());
    }
}
