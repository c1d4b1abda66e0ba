//! The open journal: what it has, where the next frame goes, and how far it is synced.

use std::io;

use redb::StorageBackend;

use super::changes::Changes;
use super::fault::JournalFault;
use super::layout::{FRAMES, Frame, Frames, HEADER_LEN, Header, Headers, MOST_CHANGES};
use crate::store::error::is_disk_full;
use crate::store::meta::Position;
use crate::store::options::Entropy;

/// The journal of a store.
#[derive(Debug)]
pub(in crate::store) struct Journal {
    file: Box<dyn StorageBackend>,
    store: [u8; 16],
    /// The generation of the database when this was opened.
    opened_in: u64,
    /// The current generation; `None` before the first checkpoint of an empty journal.
    current: Option<Header>,
    /// The generation that a checkpoint has prepared.
    next: Option<Header>,
    /// The number of the last frame.
    last: u64,
    /// The number of the last frame that a sync has covered.
    synced: u64,
    /// The offset of the next frame that is written.
    at: u64,
    /// Frames that are not written yet.
    pending: Vec<u8>,
    len: u64,
    bound: u64,
}

/// What a journal holds for its database.
#[derive(Debug, Default)]
pub(in crate::store) struct Contents {
    content: Vec<u8>,
    /// Where the frames to replay are, and the number of each.
    frames: Vec<(u64, std::ops::Range<usize>)>,
    /// Why the journal does not fit. The frames before a damaged one are there all the same.
    pub(in crate::store) fault: Option<JournalFault>,
}

impl Contents {
    /// The frames that the database lacks: the number of each, and its changes.
    pub(in crate::store) fn frames(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.frames.iter().map(|(number, place)| (*number, &self.content[place.clone()]))
    }

    fn unfit(fault: JournalFault) -> Self {
        Self { fault: Some(fault), ..Self::default() }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Nothing is left to write: what was acknowledged is synced.
        let _ = self.file.close();
    }
}

impl Journal {
    /// Opens the journal of the store with this id, whose database is at this position.
    pub(in crate::store) fn open(
        file: Box<dyn StorageBackend>,
        store: [u8; 16],
        position: Position,
        bound: u64,
    ) -> io::Result<(Self, Contents)> {
        let len = file.len()?;
        let mut journal = Self {
            file,
            store,
            opened_in: position.generation,
            current: None,
            next: None,
            last: position.frame,
            synced: position.frame,
            at: FRAMES,
            pending: Vec::new(),
            len,
            bound,
        };
        if len > FRAMES + bound + 2 * MOST_CHANGES as u64 {
            let what = format!("{len} bytes are more than a journal ever has");
            return Ok((journal, Contents::unfit(JournalFault::Damaged { at: 0, what })));
        }
        let mut content = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        journal.file.read(0, &mut content)?;
        let contents = journal.find(content, position);
        Ok((journal, contents))
    }

    /// Finds what the database lacks.
    fn find(&mut self, content: Vec<u8>, position: Position) -> Contents {
        let headers = Headers::find(&content);
        let Some(newest) = headers.newest else {
            return match headers.damaged {
                Some(at) => Contents::unfit(JournalFault::Damaged { at, what: "it has no header".into() }),
                None if position.generation == 0 || position.closed => Contents::default(),
                None => Contents::unfit(JournalFault::Missing),
            };
        };
        let record = position.generation;
        let generations = || (newest.generation, record);
        if [Some(newest), headers.before].into_iter().flatten().any(|header| header.store != self.store) {
            return Contents::unfit(JournalFault::Foreign);
        }
        let newer = |(journal, record)| Contents::unfit(JournalFault::Newer { journal, record });
        let current = match newest.generation.checked_sub(record) {
            None => {
                let (journal, record) = generations();
                return Contents::unfit(JournalFault::Older { journal, record });
            }
            Some(0) => newest,
            // A checkpoint has written its header, and the database does not know of it. Then the new generation has
            // no frame: the first one is written after the database knows.
            Some(1) => {
                let found = Frames::find(&content, newest.nonce);
                if !found.whole.is_empty() || found.damage.is_some() {
                    return newer(generations());
                }
                match headers.before.filter(|before| before.generation == record) {
                    Some(before) => before,
                    None if record == 0 || position.closed => return Contents::default(),
                    None => {
                        let at = Header::place(record);
                        let what = format!("the header of generation {record} is damaged");
                        return Contents::unfit(JournalFault::Damaged { at, what });
                    }
                }
            }
            Some(_) => return newer(generations()),
        };
        let found = Frames::find(&content, current.nonce);
        if position.closed && !found.whole.is_empty() {
            return newer(generations());
        }
        let place = |frame: &Frame<'_>| {
            let start = frame.changes.as_ptr() as usize - content.as_ptr() as usize;
            start..start + frame.changes.len()
        };
        let missing = found.whole.iter().filter(|frame| frame.number > position.frame);
        let frames: Vec<_> = missing.map(|frame| (frame.number, place(frame))).collect();
        self.current = Some(current);
        self.at = found.end as u64;
        let there = found.whole.len() as u64;
        // redb may have made frames durable that the journal has lost, because they were not synced. New ones get
        // later numbers; they cannot follow the frames in the file before a checkpoint.
        self.last = there.max(position.frame);
        self.synced = there;
        let fault = found.damage;
        Contents { content, frames, fault }
    }

    /// Whether no frame can follow in this generation without a checkpoint: there is none yet, or the database is ahead
    /// of the frames, or it may not be in this generation on the disk.
    pub(in crate::store) fn needs_checkpoint(&self) -> bool {
        self.current.is_none() || self.at == FRAMES || self.last > self.synced
    }

    /// The position of the database after the next frame.
    pub(in crate::store) fn next_position(&self) -> Position {
        let generation = self.current.map_or(self.opened_in, |current| current.generation);
        Position { generation, frame: self.last + 1, closed: false }
    }

    /// How many bytes of frames there are.
    pub(in crate::store) fn used(&self) -> u64 {
        self.at - FRAMES + self.pending.len() as u64
    }

    /// Whether it is time for a checkpoint.
    pub(in crate::store) fn is_full(&self) -> bool {
        self.used() >= self.bound
    }

    /// Whether these changes fit into one frame. No call makes as many.
    pub(in crate::store) fn takes(changes: &Changes) -> bool {
        changes.as_bytes().len() <= MOST_CHANGES
    }

    /// Adds a frame. [`Journal::write`] or [`Journal::sync`] writes it.
    pub(in crate::store) fn append(&mut self, changes: &Changes) -> io::Result<()> {
        let Some(current) = self.current else {
            return Err(io::Error::other("the journal has no generation yet"));
        };
        self.last += 1;
        Frame::append(&mut self.pending, current.nonce, self.last, self.synced, changes.as_bytes());
        Ok(())
    }

    /// Writes the frames that were added, and does not sync them.
    pub(in crate::store) fn write(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let end = self.at + self.pending.len() as u64;
        self.make_room(end)?;
        self.file.write(self.at, &self.pending)?;
        self.at = end;
        self.pending.clear();
        // A large batch is rare.
        self.pending.shrink_to(64 << 10);
        Ok(())
    }

    /// Makes all frames durable.
    pub(in crate::store) fn sync(&mut self) -> io::Result<()> {
        self.write()?;
        if self.synced < self.last {
            self.file.sync_data()?;
            self.synced = self.last;
        }
        Ok(())
    }

    /// Writes the frames again, and zeros behind them: what a failed sync has left in doubt is then certain.
    pub(in crate::store) fn settle(&mut self) -> io::Result<()> {
        let mut content = vec![0; usize::try_from(self.len - FRAMES).map_err(io::Error::other)?];
        let frames = usize::try_from(self.at - FRAMES).map_err(io::Error::other)?;
        self.file.read(FRAMES, &mut content[..frames])?;
        self.file.write(FRAMES, &content)?;
        self.file.sync_data()
    }

    /// The first step of a checkpoint: writes and syncs the header of the next generation. Returns the position of the
    /// database in it.
    pub(in crate::store) fn prepare(&mut self, entropy: &mut dyn Entropy, closed: bool) -> io::Result<Position> {
        let mut nonce = [0; 8];
        entropy.fill(&mut nonce)?;
        let generation = self.current.map_or(self.opened_in, |current| current.generation) + 1;
        let header = Header { store: self.store, generation, nonce };
        if self.len < FRAMES {
            self.file.set_len(FRAMES)?;
            self.len = FRAMES;
        }
        self.file.write(Header::place(generation), &header.to_bytes())?;
        self.file.sync_data()?;
        self.next = Some(header);
        Ok(Position { generation, frame: 0, closed })
    }

    /// The last step of a checkpoint: the next frame goes to the start.
    pub(in crate::store) fn begin_again(&mut self) -> io::Result<()> {
        let Some(next) = self.next.take() else { return Ok(()) };
        self.current = Some(next);
        (self.last, self.synced, self.at) = (0, 0, FRAMES);
        self.pending.clear();
        // A batch larger than the bound has made the file longer.
        let longest = FRAMES + self.bound + self.step();
        if self.len > longest {
            self.file.set_len(longest)?;
            self.len = longest;
        }
        Ok(())
    }

    fn step(&self) -> u64 {
        (self.bound / 4).max(HEADER_LEN as u64)
    }

    /// Makes the file long enough, with zeros written to it. Takes a whole step if there is space for one.
    fn make_room(&mut self, end: u64) -> io::Result<()> {
        if end <= self.len {
            return Ok(());
        }
        match self.grow(end.next_multiple_of(self.step())) {
            Err(error) if is_disk_full(&error) => self.grow(end),
            grown => grown,
        }
    }

    fn grow(&mut self, len: u64) -> io::Result<()> {
        let zeros = vec![0; usize::try_from(len - self.len).map_err(io::Error::other)?];
        self.file.set_len(len)?;
        self.file.write(self.len, &zeros)?;
        self.len = len;
        Ok(())
    }
}
