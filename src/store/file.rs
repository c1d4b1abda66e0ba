//! The file of the record, and the reserve of disk space next to it. The file is created whole or not at all. While it
//! is open, the store checks that it is still at its path, and restores a removed one.
//!
//! A process can keep writing to a file whose name was removed. It would acknowledge records that nobody finds after
//! the process ends. So before the store answers a batch, it checks that the path still leads to the file that it wrote
//! to. If the path leads nowhere, the store writes the file there again from the handle that it still holds open:
//! nothing is lost. If the path leads to another file, the store touches neither and writes nothing until an operator
//! decides which one to keep.
//!
//! The reserve is a file of random bytes: a file system may compress other content to nothing. When the disk is full,
//! the store deletes the reserve and uses the space for a record of that. It creates the reserve again once twice its
//! size is free.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError};

/// The size of the reserve: enough for one small batch and the pages that it changes.
pub(super) const RESERVE_BYTES: u64 = 1 << 20;

/// Opens the database at the start and again after each fault.
pub type Opener = Box<dyn FnMut(&Builder) -> Result<Database, DatabaseError> + Send>;

/// Where a database is stored.
pub(super) trait Medium: Send {
    /// Opens the database. The first call creates a missing one.
    fn open(&mut self, builder: &Builder) -> Result<Database, DatabaseError>;

    /// Fails if the path no longer leads to the file that is open.
    fn check(&self) -> io::Result<()> {
        Ok(())
    }

    /// Creates the reserve if it is missing. Fails unless the disk has space for it twice.
    fn hold_reserve(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Deletes the reserve.
    fn release_reserve(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Medium for Opener {
    fn open(&mut self, builder: &Builder) -> Result<Database, DatabaseError> {
        self(builder)
    }
}

/// The file of a record, with mode 0600.
pub(super) struct RecordFile {
    path: PathBuf,
    held: Option<Held>,
}

/// A read handle of the open file. While it lives, the content lives, even if the name is removed.
struct Held {
    file: File,
    identity: Identity,
}

/// What identifies a file: its device and its inode number.
type Identity = (u64, u64);

impl RecordFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, held: None }
    }

    /// Opens or creates the file at the start.
    fn take(&self, builder: &Builder) -> Result<File, DatabaseError> {
        match open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => return Ok(other?),
        }
        // The new file has a temporary name until it is whole: a power failure must not leave half a file under the
        // real name.
        let (new, file) = self.new_file()?;
        drop(builder.create_with_backend(FileBackend::new(file)?)?);
        match self.put_in_place(&new) {
            // Another daemon was faster. The lock on that file decides which of the two may continue.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            placed => placed?,
        }
        Ok(open(&self.path)?)
    }

    /// Opens the file again after a fault.
    fn take_again(&self, held: &Held) -> io::Result<File> {
        match fs::metadata(&self.path) {
            Ok(found) if identity(&found) == held.identity => open(&self.path),
            Ok(_) => Err(self.replaced()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.put_back(&held.file),
            Err(error) => Err(error),
        }
    }

    /// Writes the content of the open handle to the path where the file was removed, and returns the new file.
    fn put_back(&self, mut held: &File) -> io::Result<File> {
        let (new, mut file) = self.new_file()?;
        let written = (|| {
            held.rewind()?;
            io::copy(&mut held, &mut file)?;
            file.sync_all()
        })();
        if let Err(error) = written {
            // The unfinished copy takes disk space, which may be what is missing.
            let _ = fs::remove_file(&new);
            return Err(error);
        }
        self.put_in_place(&new)?;
        tracing::warn!(path = %self.path.display(), "the record had been removed: it is written out again");
        Ok(file)
    }

    fn new_file(&self) -> io::Result<(PathBuf, File)> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let new = self.path.with_extension(format!("{}.new", hex::encode(random)));
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&new)?;
        Ok((new, file))
    }

    /// Gives a new file its name. Fails, and changes nothing, if a file of that name exists by now.
    fn put_in_place(&self, new: &Path) -> io::Result<()> {
        let linked = match fs::hard_link(new, &self.path) {
            // Some file systems have no hard links.
            Err(error) if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied) => {
                return fs::rename(new, &self.path).and_then(|()| self.sync_directory());
            }
            linked => linked,
        };
        // The temporary name is not needed any more.
        let _ = fs::remove_file(new);
        linked.and_then(|()| self.sync_directory())
    }

    /// A record is durable only if the name of its file is durable too.
    fn sync_directory(&self) -> io::Result<()> {
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    }

    fn replaced(&self) -> io::Error {
        io::Error::other(format!(
            "another file has taken the place of {path}: move it away, and the record comes back by itself; \
             or stop this daemon to use that file",
            path = self.path.display()
        ))
    }

    fn reserve(&self) -> PathBuf {
        self.path.with_extension("reserve")
    }
}

impl Medium for RecordFile {
    fn open(&mut self, builder: &Builder) -> Result<Database, DatabaseError> {
        let file = match &self.held {
            None => self.take(builder)?,
            Some(held) => self.take_again(held)?,
        };
        let held = File::open(&self.path)?;
        let identity = identity(&file.metadata()?);
        if self::identity(&held.metadata()?) != identity {
            return Err(self.replaced().into());
        }
        let database = builder.create_with_backend(FileBackend::new(file)?)?;
        self.held = Some(Held { file: held, identity });
        Ok(database)
    }

    fn check(&self) -> io::Result<()> {
        let Some(held) = &self.held else { return Ok(()) };
        match fs::metadata(&self.path) {
            Ok(found) if identity(&found) == held.identity => Ok(()),
            Ok(_) => Err(self.replaced()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(io::Error::other(format!("{} was removed while it was open", self.path.display())))
            }
            Err(error) => Err(error),
        }
    }

    fn hold_reserve(&mut self) -> io::Result<()> {
        let path = self.reserve();
        if fs::metadata(&path).is_ok_and(|reserve| reserve.len() == RESERVE_BYTES) {
            return Ok(());
        }
        // The free space is checked first: an attempt that fails would take space from other programs meanwhile.
        let free = rustix::fs::statvfs(self.path.as_path()).map_err(io::Error::from)?;
        if free.f_blocks > 0 && free.f_bavail.saturating_mul(free.f_frsize) < 2 * RESERVE_BYTES {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let made = (|| {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
            let mut random = vec![0; 64 << 10];
            getrandom::fill(&mut random).map_err(io::Error::other)?;
            for _ in 0..2 * RESERVE_BYTES / random.len() as u64 {
                file.write_all(&random)?;
            }
            // Some file systems allocate space only when the bytes go to the disk: the sync shows whether there is
            // space.
            file.sync_data()?;
            file.set_len(RESERVE_BYTES)
        })();
        if made.is_err() {
            self.release_reserve()?;
        }
        made
    }

    fn release_reserve(&mut self) -> io::Result<()> {
        match fs::remove_file(self.reserve()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

fn identity(file: &Metadata) -> Identity {
    (file.dev(), file.ino())
}
