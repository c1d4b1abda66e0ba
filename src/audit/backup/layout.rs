//! The frames of a backup: written, and read again with every checksum. The module above draws them.

use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};

use super::{About, BACKUP_VERSION, BackupError};
use crate::domain::Digest;

const MAGIC: &[u8; 8] = b"aegisbak";
/// Kind, length and checksum.
const HEAD: usize = 9;
const ABOUT: u8 = 1;
const FILE: u8 = 2;
const ENTRIES: u8 = 3;
const END: u8 = 4;
/// The length of the last frame's content.
const END_LEN: usize = 8 + 32;
/// The longest content of a frame: a piece and the largest entry that the journal takes.
const LONGEST: usize = 257 << 20;
/// The longest content of the first frame, and of a file.
const LONGEST_TEXT: usize = 64 << 10;

/// Writes a backup.
#[derive(Debug)]
pub struct BackupWriter<W> {
    out: W,
    hash: Sha256,
    frames: u64,
}

impl<W: Write> BackupWriter<W> {
    /// Begins a backup of this.
    pub fn begin(out: W, about: &About) -> io::Result<Self> {
        let mut writer = Self { out, hash: Sha256::new(), frames: 0 };
        writer.put(&[MAGIC.as_slice(), &[BACKUP_VERSION]].concat())?;
        let about = serde_json::to_vec(about).map_err(io::Error::other)?;
        writer.frame(ABOUT, &about)?;
        Ok(writer)
    }

    /// Adds a file of the data directory.
    pub fn file(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let len = u8::try_from(name.len()).map_err(io::Error::other)?;
        self.frame(FILE, &[&[len], name.as_bytes(), content].concat())
    }

    /// Adds entries.
    pub fn entries(&mut self, entries: &[u8]) -> io::Result<()> {
        self.frame(ENTRIES, entries)
    }

    /// Ends the backup. Returns the writer, flushed, and the SHA-256 of the file before its last frame.
    pub fn finish(mut self) -> io::Result<(W, Digest)> {
        let digest = Digest(self.hash.clone().finalize().into());
        let end = [self.frames.to_be_bytes().as_slice(), &digest.0].concat();
        self.frame(END, &end)?;
        self.out.flush()?;
        Ok((self.out, digest))
    }

    fn frame(&mut self, kind: u8, content: &[u8]) -> io::Result<()> {
        let too_long = || io::Error::other("an entry is too large for a backup");
        let len = u32::try_from(content.len()).ok().filter(|_| content.len() <= LONGEST).ok_or_else(too_long)?;
        let mut head = [0; HEAD];
        head[0] = kind;
        head[1..5].copy_from_slice(&len.to_be_bytes());
        let sum = checksum(&head, content);
        head[5..].copy_from_slice(&sum);
        self.put(&head)?;
        self.put(content)?;
        self.frames += 1;
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.out.write_all(bytes)
    }
}

/// A frame after the first one.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// A file of the data directory.
    File {
        /// Its name, which a stranger may have chosen.
        name: String,
        /// Its content.
        content: Vec<u8>,
    },
    /// Entries of tables.
    Entries(Vec<u8>),
}

/// Reads a backup, and checks that it is whole.
#[derive(Debug)]
pub struct BackupReader<R> {
    from: R,
    hash: Sha256,
    frames: u64,
    at: u64,
    is_over: bool,
}

impl<R: Read> BackupReader<R> {
    /// Reads what the backup is of.
    pub fn open(from: R) -> Result<(About, Self), BackupError> {
        let mut reader = Self { from, hash: Sha256::new(), frames: 0, at: 0, is_over: false };
        let mut first = [0; 9];
        reader.fill(&mut first).map_err(|error| match error {
            BackupError::Cut { .. } => BackupError::NotABackup,
            error => error,
        })?;
        let (magic, [version]) = first.split_first_chunk::<8>().ok_or(BackupError::NotABackup)? else {
            return Err(BackupError::NotABackup);
        };
        if magic != MAGIC {
            return Err(BackupError::NotABackup);
        }
        if *version > BACKUP_VERSION {
            return Err(BackupError::Newer { found: *version });
        }
        reader.hash.update(first);
        let at = reader.at;
        let (kind, content) = reader.frame()?;
        let damaged = |what: String| BackupError::Damaged { at, what };
        if kind != ABOUT {
            return Err(damaged("it does not say what it is of".into()));
        }
        let about = serde_json::from_slice(&content).map_err(|error| damaged(error.to_string()))?;
        Ok((about, reader))
    }

    /// The next frame; `None` after the last one, when the whole file was read and is whole.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, BackupError> {
        if self.is_over {
            return Ok(None);
        }
        let at = self.at;
        let before = (self.frames, self.hash.clone());
        let (kind, mut content) = self.frame()?;
        let damaged = |what: &str| BackupError::Damaged { at, what: what.into() };
        match kind {
            FILE => {
                let name_len = content.first().map_or(0, |len| usize::from(*len));
                if content.len() <= name_len {
                    return Err(damaged("the name of a file is cut off"));
                }
                let rest = content.split_off(1 + name_len);
                let name =
                    String::from_utf8(content.split_off(1)).map_err(|_| damaged("the name of a file is no text"))?;
                Ok(Some(Frame::File { name, content: rest }))
            }
            ENTRIES => Ok(Some(Frame::Entries(content))),
            END => {
                let (frames, hash) = before;
                let expected = [frames.to_be_bytes().as_slice(), &hash.finalize()].concat();
                if content != expected {
                    return Err(damaged("frames before it are missing or were changed"));
                }
                if self.from.read(&mut [0])? != 0 {
                    return Err(BackupError::Damaged { at: self.at, what: "something follows its end".into() });
                }
                self.is_over = true;
                Ok(None)
            }
            _ => Err(damaged("there is no such kind of frame")),
        }
    }

    fn frame(&mut self) -> Result<(u8, Vec<u8>), BackupError> {
        let at = self.at;
        let damaged = |what: &str| BackupError::Damaged { at, what: what.into() };
        let mut head = [0; HEAD];
        self.fill(&mut head)?;
        let [kind, length @ .., _, _, _, _] = head;
        let len = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        let longest = match kind {
            ABOUT | FILE => LONGEST_TEXT,
            END => END_LEN,
            _ => LONGEST,
        };
        if len > longest {
            return Err(damaged("a frame is longer than there can be"));
        }
        // As much memory as there are bytes: a wrong length does not take more.
        let mut content = Vec::with_capacity(len.min(1 << 20));
        self.from.by_ref().take(len as u64).read_to_end(&mut content)?;
        self.at += content.len() as u64;
        if content.len() < len {
            return Err(BackupError::Cut { at: self.at });
        }
        if checksum(&head, &content) != head[5..] {
            return Err(damaged("its checksum is wrong"));
        }
        self.hash.update(head);
        self.hash.update(&content);
        self.frames += 1;
        Ok((kind, content))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), BackupError> {
        let mut filled = 0;
        while filled < bytes.len() {
            match self.from.read(&mut bytes[filled..]) {
                Ok(0) => return Err(BackupError::Cut { at: self.at }),
                Ok(read) => {
                    filled += read;
                    self.at += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// The checksum of a frame: of everything but itself.
fn checksum(head: &[u8; HEAD], content: &[u8]) -> [u8; 4] {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&head[..5]);
    sum.update(content);
    sum.finalize().to_be_bytes()
}
