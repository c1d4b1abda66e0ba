//! Sees that the policy files have changed, whatever way that was done, and has them read again.
//!
//! The parent directories are watched, not the files: a watch on a file dies with the file at the first rename over it, and
//! a Kubernetes ConfigMap swaps the `..data` link beside it. Events only say *when* to look; what counts is what the files
//! hold, so events that come in bursts, twice or for something else are harmless. A slow poll covers file systems that send
//! no events, and a directory that was itself replaced.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Governor, PolicySource};
use crate::domain::Digest;

/// How long the files must have been left alone before they are read: a writer that truncates and writes is not caught
/// between the two.
const SETTLE: Duration = Duration::from_millis(30);
/// How often the files are looked at although no event came.
const POLL: Duration = Duration::from_secs(5);

/// Reloads the policy whenever its files change, until told to stop.
pub async fn watch(governor: Arc<Governor>, stop: CancellationToken) {
    let PolicySource::Files(files) = governor.generations().source().clone() else { return };
    let changed = Arc::new(Notify::new());
    let mut events = Events::new(&files, &changed);
    let mut seen = fingerprint(&files);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = changed.notified() => settle(&changed).await,
            () = tokio::time::sleep(POLL) => events.renew(),
        }
        let now = fingerprint(&files);
        if now == seen {
            continue;
        }
        match governor.reload().await {
            Ok(_) => seen = now,
            Err(error) => {
                tracing::error!(%error, "the changed policy cannot be put on the record, so it is not in force yet");
            }
        }
    }
}

/// Waits until no event has come for a while.
async fn settle(changed: &Notify) {
    while tokio::time::timeout(SETTLE, changed.notified()).await.is_ok() {}
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

/// The watches on the parent directories.
struct Events {
    watcher: Option<RecommendedWatcher>,
    directories: Vec<PathBuf>,
}

impl Events {
    fn new(files: &[PathBuf], changed: &Arc<Notify>) -> Self {
        let mut directories: Vec<PathBuf> = files.iter().map(|file| parent(file)).collect();
        directories.sort();
        directories.dedup();
        let changed = Arc::clone(changed);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // Our own reading of the files makes Access events.
            if !matches!(event, Ok(Event { kind: EventKind::Access(_), .. })) {
                changed.notify_one();
            }
        });
        let watcher = watcher
            .map_err(|error| tracing::warn!(%error, "no file events here: the policy files are polled instead"))
            .ok();
        let mut events = Self { watcher, directories };
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
