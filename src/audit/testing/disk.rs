//! A simulated disk with the files of a store. It fails on command, and a power failure loses everything that was not
//! synced.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redb::StorageBackend;

use crate::audit::state::Store;
use crate::store::Opener;
use crate::store::Options;
use crate::store::error::OpenError;

/// A simulated disk. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Platter>);

/// A file on a disk.
#[derive(Clone, Debug)]
struct DiskFile {
    disk: Disk,
    file: fn(&Platter) -> &Content,
    is_database: bool,
}

/// The content of a file.
#[derive(Debug, Default)]
struct Content {
    /// What the operating system shows.
    seen: Mutex<Vec<u8>>,
    /// What is there after a power failure.
    durable: Mutex<Vec<u8>>,
}

impl Content {
    fn after_power_loss(&self) -> Self {
        let durable = self.durable.lock().unwrap().clone();
        Self { seen: Mutex::new(durable.clone()), durable: Mutex::new(durable) }
    }
}

#[derive(Debug, Default)]
struct Platter {
    database: Content,
    journal: Content,
    full: AtomicBool,
    broken_sync: AtomicBool,
    hanging: AtomicBool,
    /// How many syncs still succeed, once armed.
    syncs_left: AtomicUsize,
    armed: AtomicBool,
    is_open: AtomicBool,
}

impl Disk {
    pub(crate) fn set_full(&self, full: bool) {
        self.0.full.store(full, Ordering::SeqCst);
    }

    pub(crate) fn break_syncs(&self, broken: bool) {
        self.0.broken_sync.store(broken, Ordering::SeqCst);
    }

    /// Lets this many syncs succeed and fails all later ones.
    pub(crate) fn fail_after_syncs(&self, good: usize) {
        self.0.syncs_left.store(good, Ordering::SeqCst);
        self.0.armed.store(true, Ordering::SeqCst);
    }

    /// Makes syncs hang, or lets them continue.
    pub(crate) fn hang(&self, hanging: bool) {
        self.0.hanging.store(hanging, Ordering::SeqCst);
    }

    pub(crate) fn repair(&self) {
        self.0.armed.store(false, Ordering::SeqCst);
        self.set_full(false);
        self.break_syncs(false);
    }

    /// The disk after a power failure.
    pub(crate) fn after_power_loss(&self) -> Self {
        let (database, journal) = (self.0.database.after_power_loss(), self.0.journal.after_power_loss());
        Self(Arc::new(Platter { database, journal, ..Platter::default() }))
    }

    pub(crate) fn open(&self, options: Options) -> Result<Store, OpenError> {
        let database = DiskFile { disk: self.clone(), file: |platter| &platter.database, is_database: true };
        let journal = DiskFile { disk: self.clone(), file: |platter| &platter.journal, is_database: false };
        let opener = Opener {
            database: Box::new(move |builder| {
                if database.disk.0.is_open.swap(true, Ordering::SeqCst) {
                    return Err(redb::DatabaseError::DatabaseAlreadyOpen);
                }
                builder.create_with_backend(database.clone())
            }),
            journal: Box::new(move || Ok(Box::new(journal.clone()))),
        };
        Store::open_with(opener, Path::new("a disk of the tests"), options)
    }

    fn may_write(&self) -> io::Result<()> {
        if self.0.full.load(Ordering::SeqCst) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }
}

impl DiskFile {
    fn content(&self) -> &Content {
        (self.file)(&self.disk.0)
    }
}

impl StorageBackend for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.content().seen.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let seen = self.content().seen.lock().unwrap();
        let start = usize::try_from(offset).unwrap();
        out.copy_from_slice(seen.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.may_write()?;
        self.content().seen.lock().unwrap().resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let platter = &*self.disk.0;
        while platter.hanging.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let spent = platter.armed.load(Ordering::SeqCst)
            && platter.syncs_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err();
        if spent || platter.broken_sync.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk went away"));
        }
        let seen = self.content().seen.lock().unwrap().clone();
        *self.content().durable.lock().unwrap() = seen;
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.may_write()?;
        let start = usize::try_from(offset).unwrap();
        let mut seen = self.content().seen.lock().unwrap();
        seen.get_mut(start..start + data.len()).ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(data);
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        if self.is_database {
            self.disk.0.is_open.store(false, Ordering::SeqCst);
        }
        Ok(())
    }
}
