//! A disk with a database and its journal, which records every operation on a tape; and the data that it may hold after
//! a power failure.
//!
//! Everything of a file that was written before its last sync is there. A sync says nothing about the other file. Of
//! later writes, any part may be there: all, none, or some of them, in any order, torn between sectors. A sector is
//! always whole: disks promise that much.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use redb::StorageBackend;

use super::dice::Dice;

/// The files of a disk: the database, and its journal.
pub(crate) const FILES: usize = 2;

/// What the files hold.
pub(crate) type Image = [Vec<u8>; FILES];

/// An operation on a file.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    file: usize,
    operation: Operation,
}

impl Step {
    /// Whether the step makes earlier writes durable.
    pub(crate) fn is_sync(&self) -> bool {
        matches!(self.operation, Operation::Sync)
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Write { at: usize, bytes: Arc<[u8]> },
    Length(usize),
    Sync,
}

/// A disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub(crate) struct Disk(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    /// The content that the operating system sees.
    seen: Image,
    tape: Vec<Step>,
}

/// A file of a disk.
#[derive(Clone, Debug)]
pub(crate) struct DiskFile {
    disk: Disk,
    file: usize,
}

impl Disk {
    /// A disk with this content, all of it durable.
    pub(crate) fn holding(image: Image) -> Self {
        Self(Arc::new(Mutex::new(Inner { seen: image, tape: Vec::new() })))
    }

    /// A disk with an empty database, all of it durable, and no journal.
    pub(crate) fn empty_database() -> Self {
        let made = Self::holding(Image::default());
        drop(redb::Builder::new().create_with_backend(made.database()).expect("a new database"));
        Self::holding(made.image())
    }

    /// The database.
    pub(crate) fn database(&self) -> DiskFile {
        DiskFile { disk: self.clone(), file: 0 }
    }

    /// The journal.
    pub(crate) fn journal(&self) -> DiskFile {
        DiskFile { disk: self.clone(), file: 1 }
    }

    /// The number of operations so far.
    pub(crate) fn steps(&self) -> usize {
        self.inner().tape.len()
    }

    /// The operations so far.
    pub(crate) fn tape(&self) -> Vec<Step> {
        self.inner().tape.clone()
    }

    /// The content that the operating system sees.
    pub(crate) fn image(&self) -> Image {
        self.inner().seen.clone()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no thread panics while it holds the lock")
    }
}

impl Inner {
    fn note(&mut self, file: usize, operation: Operation) {
        self.tape.push(Step { file, operation });
    }
}

impl StorageBackend for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.inner().seen[self.file].len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start.checked_add(out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(self.disk.inner().seen[self.file].get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        // A damaged header must not use up the memory of the machine.
        if len > 1 << 30 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut inner = self.disk.inner();
        inner.seen[self.file].resize(len, 0);
        inner.note(self.file, Operation::Length(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.inner().note(self.file, Operation::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        let mut inner = self.disk.inner();
        let place = inner.seen[self.file].get_mut(at..at + data.len());
        place.ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(data);
        inner.note(self.file, Operation::Write { at, bytes: data.into() });
        Ok(())
    }
}

/// A tape that is played step by step: what is durable, and what is not yet.
#[derive(Debug)]
pub(crate) struct Player<'t> {
    durable: Image,
    pending: Vec<&'t Step>,
}

impl<'t> Player<'t> {
    pub(crate) fn new(before: Image) -> Self {
        Self { durable: before, pending: Vec::new() }
    }

    /// Plays one step.
    pub(crate) fn play(&mut self, step: &'t Step) {
        if !step.is_sync() {
            self.pending.push(step);
            return;
        }
        for durable in self.pending.extract_if(.., |pending| pending.file == step.file) {
            apply(&mut self.durable, durable);
        }
    }

    /// What the disk may hold if the power fails now.
    pub(crate) fn crash(&self, dice: &mut Dice) -> Image {
        let mut image = self.durable.clone();
        let pending = &self.pending;
        match dice.below(8) {
            // None of the writes, or all of them.
            0 => {}
            1 => pending.iter().for_each(|step| apply(&mut image, step)),
            // The first writes in order; the last of them is torn.
            2 => {
                let last = dice.below(pending.len());
                pending[..last].iter().for_each(|step| apply(&mut image, step));
                if let Some(step) = pending.get(last) {
                    tear(&mut image, step, sector(dice), dice);
                }
            }
            // All writes except one, or only one.
            3 => {
                let lost = dice.below(pending.len());
                let there = pending.iter().enumerate().filter(|(i, _)| *i != lost);
                there.for_each(|(_, step)| apply(&mut image, step));
            }
            4 => {
                if let Some(step) = pending.get(dice.below(pending.len())) {
                    apply(&mut image, step);
                }
            }
            // Some of the writes, in any order.
            5 => {
                let mut some: Vec<_> = pending.iter().filter(|_| dice.once_in(2)).collect();
                for i in (1..some.len()).rev() {
                    some.swap(i, dice.below(i + 1));
                }
                for step in some {
                    apply(&mut image, step);
                }
            }
            // Some of the sectors of each write.
            _ => {
                let sector = sector(dice);
                for step in pending {
                    tear(&mut image, step, sector, dice);
                }
            }
        }
        image
    }
}

/// The size of a sector, which is written whole.
fn sector(dice: &mut Dice) -> usize {
    if dice.once_in(2) { 512 } else { 4096 }
}

fn apply(image: &mut Image, step: &Step) {
    let file = &mut image[step.file];
    match &step.operation {
        Operation::Write { at, bytes } => put(file, *at, bytes),
        Operation::Length(len) => file.resize(*len, 0),
        Operation::Sync => {}
    }
}

/// Applies part of a step: some of the sectors of a write.
fn tear(image: &mut Image, step: &Step, sector: usize, dice: &mut Dice) {
    let Operation::Write { at, bytes } = &step.operation else {
        if dice.once_in(2) {
            apply(image, step);
        }
        return;
    };
    let mut start = 0;
    while start < bytes.len() {
        let end = bytes.len().min((*at + start) / sector * sector + sector - *at);
        if dice.once_in(2) {
            put(&mut image[step.file], *at + start, &bytes[start..end]);
        }
        start = end;
    }
}

/// Writes up to the end of the file. If the file was not made longer, what lies behind its end is lost.
fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    if at < image.len() {
        let end = image.len().min(at + bytes.len());
        image[at..end].copy_from_slice(&bytes[..end - at]);
    }
}
