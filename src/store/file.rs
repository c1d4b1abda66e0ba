//! The file of the record: made whole or not at all, watched while it is open, put back where somebody took it away;
//! and the space beside it that is held in reserve.
//!
//! A process can go on writing to a file that has no name any more: it would acknowledge what nobody finds after it. So
//! each batch, before it is answered, is checked to have gone to the file that the path leads to. Where the path leads
//! nowhere, the file is written out there again, from what this process still holds open: nothing is lost. Where it
//! leads to another file, nothing is touched and nothing is written until somebody has decided which of the two it is
//! to be.
//!
//! The reserve is a file of random bytes (what compresses holds no space). When the disk is full it is given up, and
//! the space goes into a record that says so; it is made again once there is as much again besides.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError};

/// How much is held in reserve: enough for a batch that says little, and for the pages that go with it.
pub(super) const RESERVE_BYTES: u64 = 1 << 20;

/// Opens the database, each time that it is needed: at the start, and after a fault.
pub type Opener = Box<dyn FnMut(&Builder) -> Result<Database, DatabaseError> + Send>;

/// What a database is kept on.
pub(super) trait Medium: Send {
    /// Opens the database; the first time, creates it where there is none.
    fn open(&mut self, builder: &Builder) -> Result<Database, DatabaseError>;

    /// Fails where what was opened is not what the next one to open finds.
    fn check(&self) -> io::Result<()> {
        Ok(())
    }

    /// Makes the reserve, where there is none. Fails for lack of space unless as much is free besides.
    fn hold_reserve(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Gives the reserve up.
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

/// What was opened, for reading: as long as this lives, so does what is in it, whatever becomes of its name.
struct Held {
    file: File,
    identity: Identity,
}

/// What tells a file from every other one: its device and its number there.
type Identity = (u64, u64);

impl RecordFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, held: None }
    }

    /// The file, for the first time.
    fn take(&self, builder: &Builder) -> Result<File, DatabaseError> {
        match open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => return Ok(other?),
        }
        // Under another name until it is whole: a power failure in between must not leave half a file under this one.
        let (new, file) = self.new_file()?;
        drop(builder.create_with_backend(FileBackend::new(file)?)?);
        match self.put_in_place(&new) {
            // Another daemon was faster: which of the two may go on is for the lock on that file to say.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            placed => placed?,
        }
        Ok(open(&self.path)?)
    }

    /// The file, after a fault.
    fn take_again(&self, held: &Held) -> io::Result<File> {
        match fs::metadata(&self.path) {
            Ok(found) if identity(&found) == held.identity => open(&self.path),
            Ok(_) => Err(self.replaced()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.put_back(&held.file),
            Err(error) => Err(error),
        }
    }

    /// Writes out what is held, where there is nothing any more, and answers with that.
    fn put_back(&self, mut held: &File) -> io::Result<File> {
        let (new, mut file) = self.new_file()?;
        let written = (|| {
            held.rewind()?;
            io::copy(&mut held, &mut file)?;
            file.sync_all()
        })();
        if let Err(error) = written {
            // It holds space that may be what is missing.
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

    /// Gives a new file its name. Where there is one of that name by now it stays, and that is an error.
    fn put_in_place(&self, new: &Path) -> io::Result<()> {
        let linked = match fs::hard_link(new, &self.path) {
            // Not every file system has links.
            Err(error) if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied) => {
                return fs::rename(new, &self.path).and_then(|()| self.sync_directory());
            }
            linked => linked,
        };
        // Its other name is not needed any more; nor is the file, if that is its only one.
        let _ = fs::remove_file(new);
        linked.and_then(|()| self.sync_directory())
    }

    /// A record is durable only if the name of its file is.
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
        // Asked first: whoever else is short of space should not have to share it with a try that fails.
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
            // Where space is only found when the bytes go to the disk, that is now.
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
