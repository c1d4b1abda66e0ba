//! The speed of the disk now: a raw append with fdatasync, and a single commit of redb with the store's flags.
//!
//! The speed of a disk changes. So a durable run counts only with probes before and after it.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use redb::{Database, TableDefinition};
use tempfile::TempDir;

const RECORDS: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("records");
const RECORD: [u8; 400] = [7; 400];
const SAMPLES: u32 = 200;

/// Files for measuring the disk.
pub(crate) struct Probe {
    raw: File,
    database: Database,
    next: u64,
    _home: TempDir,
}

/// Means, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) raw: f64,
    pub(crate) commit: f64,
}

impl Probe {
    /// Creates the files in a new directory below this one.
    pub(crate) fn new(parent: &Path) -> Self {
        let home = tempfile::tempdir_in(parent).expect("a temporary directory");
        let raw = File::create(home.path().join("raw")).expect("a file");
        let database = Database::create(home.path().join("redb")).expect("a database");
        Self { raw, database, next: 0, _home: home }
    }

    /// Measures both now.
    pub(crate) fn take(&mut self) -> Pace {
        let raw = sample(|| {
            self.raw.write_all(&[7; 4096]).expect("the disk has space");
            self.raw.sync_data().expect("the disk works");
        });
        let commit = sample(|| {
            let mut transaction = self.database.begin_write().expect("a transaction");
            transaction.set_two_phase_commit(true);
            transaction.set_quick_repair(true);
            let mut table = transaction.open_table(RECORDS).expect("a table");
            table.insert(self.next, RECORD.as_slice()).expect("the disk has space");
            drop(table);
            transaction.commit().expect("the disk works");
            self.next += 1;
        });
        Pace { raw, commit }
    }
}

fn sample(mut once: impl FnMut()) -> f64 {
    let started = Instant::now();
    for _ in 0..SAMPLES {
        once();
    }
    started.elapsed().as_secs_f64() * 1e6 / f64::from(SAMPLES)
}
