//! A file that must stay at its path. While it is open, the store checks that, and restores a removed one.
//!
//! A process can keep writing to a file whose name was removed. It would acknowledge records that nobody finds after
//! the process ends. So before the store answers a batch, it checks that the path still leads to the file that it wrote
//! to. If the path leads nowhere, the store writes the file there again from the handle that it still holds open:
//! nothing is lost. If the path leads to another file, the store touches neither and writes nothing until an operator
//! decides which one to keep.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Seek as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// A file at its path.
pub(super) struct Placed {
    pub(super) path: PathBuf,
    held: Option<Held>,
}

/// A read handle of the open file. While it lives, the content lives, even if the name is removed.
struct Held {
    file: File,
    identity: Identity,
}

/// What identifies a file: its device and its inode number.
type Identity = (u64, u64);

impl Placed {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, held: None }
    }

    /// Opens the file, and again after a fault. `None` if there is none yet.
    pub(super) fn open(&mut self) -> io::Result<Option<File>> {
        let file = match &self.held {
            Some(held) => self.open_again(held)?,
            None => match open(&self.path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                opened => opened?,
            },
        };
        let held = File::open(&self.path)?;
        let identity = identity(&file.metadata()?);
        if self::identity(&held.metadata()?) != identity {
            return Err(self.replaced());
        }
        self.held = Some(Held { file: held, identity });
        Ok(Some(file))
    }

    /// Creates the file, empty, unless it exists by now.
    pub(super) fn create(&mut self) -> io::Result<()> {
        match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => self.sync_directory(),
        }
    }

    /// Gives the file another name and forgets it.
    pub(super) fn move_to(&mut self, path: &Path) -> io::Result<()> {
        self.held = None;
        match fs::rename(&self.path, path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => self.sync_directory(),
        }
    }

    /// Fails if the path no longer leads to the file that is open.
    pub(super) fn check(&self) -> io::Result<()> {
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

    /// A new file beside this one, under a name of its own.
    pub(super) fn new_file(&self) -> io::Result<(PathBuf, File)> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let mut name = self.path.file_stem().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", hex::encode(random)));
        let new = self.path.with_file_name(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&new)?;
        Ok((new, file))
    }

    /// Gives a new file its name. Fails, and changes nothing, if a file of that name exists by now.
    pub(super) fn put_in_place(&self, new: &Path) -> io::Result<()> {
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

    fn open_again(&self, held: &Held) -> io::Result<File> {
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

    /// What is written is durable only if the name of its file is durable too.
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
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

fn identity(file: &Metadata) -> Identity {
    (file.dev(), file.ino())
}
