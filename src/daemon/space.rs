//! Measures the space of the disk that the record is on.
//!
//! A file system can hang. So a thread of its own measures, and callers go by the last measurement.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::governance::Governor;
use crate::limits::{Level, Space};

/// The time between two measurements.
const EVERY: Duration = Duration::from_secs(1);

/// Measures until told to stop, and says when the space becomes low, and when it is not any more.
pub(super) async fn watch(governor: Arc<Governor>, record: PathBuf, stop: CancellationToken) {
    loop {
        let path = record.clone();
        let measuring = tokio::task::spawn_blocking(move || measure(&path));
        let space = tokio::select! {
            () = stop.cancelled() => return,
            measured = measuring => measured.ok().flatten(),
        };
        let (before, now) = governor.growth().measured(space);
        if let Some(Space { free, total }) = space.filter(|_| before != now) {
            match now {
                Level::Ample => tracing::info!(free, total, "the disk of the record has enough space again"),
                Level::Low => tracing::warn!(
                    free,
                    total,
                    "the disk of the record runs low: each caller may write a share (--low-disk-share)"
                ),
                Level::Last => tracing::error!(
                    free,
                    total,
                    "the disk of the record is almost full: callers without a credential are refused"
                ),
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// `None` where the file system does not say.
fn measure(record: &Path) -> Option<Space> {
    let disk = rustix::fs::statvfs(record).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
    (disk.f_blocks > 0).then(|| Space { free: bytes(disk.f_bavail), total: bytes(disk.f_blocks) })
}
