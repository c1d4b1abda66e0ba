//! Makes the backup of a running store, without the files of its data directory.

use std::io::{self, Write};

use tokio::sync::mpsc;

use super::{About, BackupError, BackupWriter};
use crate::audit::state::Store;
use crate::audit::tables::TABLES;
use crate::domain::Timestamp;
use crate::store::error::{StoreError, guarded};
use crate::store::reader::Reader;

/// The length of a chunk.
const CHUNK: usize = 256 << 10;
/// How many chunks wait for whoever takes them.
const WAITING: usize = 4;

/// The chunks of a backup. Without an error in it, its end is that of the backup.
pub type Chunks = mpsc::Receiver<Result<Vec<u8>, StoreError>>;

impl Store {
    /// Backs up the store as it is now. The bytes come in chunks, as fast as they are taken. Writes go on meanwhile.
    ///
    /// One backup at a time: another one waits. It ends when the receiver is dropped.
    pub async fn back_up(&self, at: Timestamp) -> Result<Chunks, StoreError> {
        let (sender, chunks) = mpsc::channel(WAITING);
        self.read_aside(move |reader| {
            let mut out = Sending { sender: &sender, chunk: Vec::with_capacity(CHUNK) };
            let made = reader.map_err(BackupError::from).and_then(|reader| write(&reader, at, &mut out));
            match made {
                // Whoever took the chunks has gone.
                Ok(()) => {}
                Err(BackupError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => {}
                Err(BackupError::Store(error)) => drop(sender.blocking_send(Err(error))),
                Err(error) => drop(sender.blocking_send(Err(StoreError::Corrupt { what: error.to_string().into() }))),
            }
        })
        .await?;
        Ok(chunks)
    }
}

fn write(reader: &Reader, at: Timestamp, out: &mut impl Write) -> Result<(), BackupError> {
    let about = guarded(|| reader.about(at))?;
    let mut writer = BackupWriter::begin(out, &about)?;
    reader.pieces(TABLES, |piece| writer.entries(piece))??;
    writer.finish()?;
    Ok(())
}

impl Reader {
    /// What a backup of this snapshot says that it is of.
    fn about(&self, made_at: Timestamp) -> Result<About, StoreError> {
        let last_sequence = self.last_sequence()?;
        let log = self.log()?;
        let key = log.as_ref().and_then(|log| log.current()).map(ToString::to_string).unwrap_or_default();
        Ok(About {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            made_at,
            store_id: hex::encode(self.store_id()?),
            origin: log.map(|log| log.origin).unwrap_or_default(),
            key,
            last_sequence,
            root: self.tree_root(last_sequence)?,
            entries: self.count_entries(TABLES)?,
        })
    }
}

/// Sends what is written, in chunks.
struct Sending<'s> {
    sender: &'s mpsc::Sender<Result<Vec<u8>, StoreError>>,
    chunk: Vec<u8>,
}

impl Write for Sending<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let some = bytes.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..some]);
        if self.chunk.len() == CHUNK {
            self.flush()?;
        }
        Ok(some)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let whole = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK));
        self.sender.blocking_send(Ok(whole)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
