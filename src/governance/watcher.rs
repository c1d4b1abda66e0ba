//! Sees that the policy files have changed, whatever way that was done, and has them read again.
//!
//! The parent directories are watched, not the files: a watch on a file dies with the file at the first rename over it, and
//! a Kubernetes ConfigMap swaps the `..data` link beside it. Events only say *when* to look; what counts is what the files
//! hold, so events that come in bursts, twice or for something else are harmless. A slow poll covers file systems that send
//! no events, and a directory that was itself replaced.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Governor, PolicySource};
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

/// Reloads the policy whenever its files change, until told to stop.
pub async fn watch(governor: Arc<Governor>, stop: CancellationToken) {
    let PolicySource::Files(files) = governor.generations().source().clone() else { return };
    let changed = Arc::new(Notify::new());
    let mut events = Events::new(&files, &changed);
    // Nothing yet: the first look finds what changed between the first load and the first watch.
    let mut seen = None;
    loop {
        let now = fingerprint(&files);
        if seen != Some(now) {
            match governor.reload().await {
                Ok(_) => seen = Some(now),
                Err(error) => {
                    tracing::error!(%error, "the changed policy cannot be put on the record, so it is not in force yet");
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = changed.notified() => {}
            () = tokio::time::sleep(POLL) => events.renew(),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = settle(&changed, &events.writing) => {}
        }
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

/// What the files hold, as far as it matters for whether to look closer. A file that cannot be read is a state, too.
fn fingerprint(files: &[PathBuf]) -> Digest {
    let mut bytes = Vec::new();
    for file in files {
        match super::generations::read_bounded(file) {
            Ok(text) => bytes.extend_from_slice(&Digest::of(text.as_bytes()).0),
            Err(error) => bytes.extend_from_slice(error.to_string().as_bytes()),
        }
    }
    Digest::of(&bytes)
}

/// Which policy files somebody has begun to write and not closed: half of a policy can be a valid one.
#[derive(Clone, Debug)]
struct Writing {
    /// The policy files by their last name, which is what events and arguments agree on.
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
        let watcher = watcher
            .map_err(|error| tracing::warn!(%error, "no file events here: the policy files are polled instead"))
            .ok();
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
