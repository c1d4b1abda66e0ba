//! [`FileWatcher`]: notices every change of a set of files, such as the policy, the identities, certificates and keys.
//!
//! It watches the parent directories. A watch on a file would end when another file is renamed over it. Kubernetes
//! replaces the `..data` link in the directory of a ConfigMap or Secret.
//!
//! Events only say *when* to read the files; their content decides whether they changed. So repeated and unrelated
//! events are harmless. A slow poll covers file systems without events, and a directory that was itself replaced.
//! SIGHUP reads every file again at once.

mod patience;
mod read;
mod replace;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) use self::read::read_bounded;
pub(crate) use self::replace::{check_replaceable, replace_bounded};
use crate::domain::Digest;

/// How long the files must be unchanged before they are read, so that a writer can truncate and then write.
const SETTLE: Duration = Duration::from_millis(30);
/// The longest wait for that, in case other files in the directory change all the time.
const BUSY: Duration = Duration::from_millis(500);
/// How long to wait for a writer that has the file open.
const WRITING: Duration = Duration::from_secs(10);
/// How often the files are read without an event.
const POLL: Duration = Duration::from_secs(5);

/// A set of files, and the content that was last accepted.
pub(crate) struct FileWatcher {
    files: Vec<PathBuf>,
    max_bytes: usize,
    /// `None` at first, so that the first check finds a change between the first reading and the first watch.
    seen: Option<Digest>,
    look_now: bool,
    /// Whether an event came and its waiting time is not over yet.
    unsettled: bool,
    changed: Arc<Notify>,
    events: Events,
    /// `None` if the system does not let a program catch SIGHUP.
    hang_up: Option<Signal>,
}

/// The current content of the files. Pass it to [`FileWatcher::accept`] after acting on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change(Digest);

impl FileWatcher {
    /// Watches these files, and reads at most this many bytes of each. Their first content counts as a change. Needs a
    /// tokio runtime.
    pub(crate) fn new(files: Vec<PathBuf>, max_bytes: usize) -> Self {
        let changed = Arc::new(Notify::new());
        let events = Events::new(&files, &changed);
        let hang_up = signal(SignalKind::hangup()).ok();
        Self { files, max_bytes, seen: None, look_now: true, unsettled: false, changed, events, hang_up }
    }

    /// Watches other files from now on. Their current content counts as a change.
    pub(crate) fn replace(&mut self, files: Vec<PathBuf>) {
        if self.files != files {
            self.events = Events::new(&files, &self.changed);
            self.files = files;
            self.look_now = true;
        }
    }

    /// Waits until the content differs from the last accepted one. Returns `None` when told to stop. Reports the same
    /// change again until it is accepted. Dropping the future loses nothing.
    pub(crate) async fn changed(&mut self, stop: &CancellationToken) -> Option<Change> {
        loop {
            if !self.look_now {
                if !self.unsettled {
                    tokio::select! {
                        () = stop.cancelled() => return None,
                        () = self.changed.notified() => {}
                        () = tokio::time::sleep(POLL) => self.events.renew(),
                        // SIGHUP asks to read the files even if they look unchanged.
                        () = next(&mut self.hang_up) => self.seen = None,
                    }
                    self.unsettled = true;
                }
                tokio::select! {
                    () = stop.cancelled() => return None,
                    () = settle(&self.changed, &self.events.writing) => {}
                }
            }
            let (files, max_bytes) = (self.files.clone(), self.max_bytes);
            // On another thread, so that a file system that hangs blocks nobody else.
            let looked = tokio::task::spawn_blocking(move || fingerprint(&files, max_bytes)).await;
            // Only after the read: if the future is dropped before this line, the next call reads again.
            (self.look_now, self.unsettled) = (false, looked.is_err());
            let Ok(now) = looked else { continue };
            if self.seen != Some(now) {
                return Some(Change(now));
            }
        }
    }

    /// Accepts this content: it no longer counts as a change.
    pub(crate) fn accept(&mut self, change: Change) {
        self.seen = Some(change.0);
    }
}

async fn next(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Waits, within bounds, until no event came for a while and no writer has a file open.
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

/// The content of the files, for comparison. An unreadable file counts as a content of its own.
pub(crate) fn fingerprint(files: &[PathBuf], max_bytes: usize) -> Digest {
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

/// The files that a writer has changed and not closed. Half of a file can be a valid file, so these are not read yet.
#[derive(Clone, Debug)]
struct Writing {
    /// The file names without their directories, which events and arguments have in common.
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
    watcher: Arc<Mutex<Option<RecommendedWatcher>>>,
    directories: Vec<PathBuf>,
    writing: Writing,
}

impl Events {
    fn new(files: &[PathBuf], changed: &Arc<Notify>) -> Self {
        let mut directories: Vec<PathBuf> = files.iter().map(|file| parent(file)).collect();
        directories.sort();
        directories.dedup();
        let begun = Arc::clone(changed);
        let changed = Arc::clone(changed);
        let writing = Writing::new(files);
        let seen = writing.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if let Ok(event) = &event {
                seen.see(event);
            }
            // Reading the files causes Access events too.
            if !matches!(event, Ok(Event { kind: EventKind::Access(_), .. })) {
                changed.notify_one();
            }
        });
        let watcher = watcher
            .map_err(|error| tracing::warn!(%error, "the system sends no file events: polling the files instead"))
            .ok();
        let events = Self { watcher: Arc::new(Mutex::new(watcher)), directories, writing };
        // A second event once the watches are set: it finds a change between the first reading and the first watch.
        events.watch(move || begun.notify_one());
        events
    }

    /// Watches the directories again, because one of them may have been replaced.
    fn renew(&self) {
        self.watch(|| {});
    }

    /// Sets the watches on a thread of its own, because a file system can hang here too. While that thread hangs, no
    /// second one starts.
    fn watch(&self, then: impl FnOnce() + Send + 'static) {
        let (watcher, directories) = (Arc::clone(&self.watcher), self.directories.clone());
        let watching = std::thread::Builder::new().name("watch".to_owned()).spawn(move || {
            let mut watcher = match watcher.try_lock() {
                Ok(watcher) => watcher,
                Err(TryLockError::Poisoned(watcher)) => watcher.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            let Some(watcher) = watcher.as_mut() else { return };
            for directory in &directories {
                if let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) {
                    tracing::debug!(%error, directory = %directory.display(), "cannot watch it: polling instead");
                }
            }
            then();
        });
        if let Err(error) = watching {
            tracing::debug!(%error, "no thread to watch directories with; they are polled");
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
    async fn a_swapped_secret_is_reported_and_accepted_content_is_reported_again_only_after_sighup() {
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
        // An event without a change of content is no change.
        fs::write(at("other"), "x").unwrap();
        let nothing = tokio::time::timeout(Duration::from_millis(200), files.changed(&stop)).await;
        assert!(nothing.is_err());
        // This is part of the same test because the signal reaches every test of this process.
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP).unwrap();
        let change = tokio::time::timeout(Duration::from_mins(1), files.changed(&stop)).await.unwrap().unwrap();
        files.accept(change);
        stop.cancel();
        assert!(files.changed(&stop).await.is_none());
    }
}
