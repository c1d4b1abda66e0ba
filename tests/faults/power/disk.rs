//! A disk that records every operation on a tape, and the data that it may hold after a power failure.
//!
//! Everything written before the last sync is there. Of later writes, any part may be there: all, none, or some of
//! them, in any order, torn between sectors. A sector is always whole: disks promise that much.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use redb::StorageBackend;

use super::dice::Dice;

/// An operation on the disk.
#[derive(Clone, Debug)]
pub(crate) enum Step {
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
    seen: Vec<u8>,
    tape: Vec<Step>,
}

impl Disk {
    /// A disk with this content, all of it durable.
    pub(crate) fn holding(image: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Inner { seen: image, tape: Vec::new() })))
    }

    /// A disk with an empty database, all of it durable.
    pub(crate) fn empty_database() -> Self {
        let made = Self::holding(Vec::new());
        drop(redb::Builder::new().create_with_backend(made.clone()).expect("a new database"));
        Self::holding(made.image())
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
    pub(crate) fn image(&self) -> Vec<u8> {
        self.inner().seen.clone()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no thread panics while it holds the lock")
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.inner().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start.checked_add(out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(self.inner().seen.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        // A damaged header must not use up the memory of the machine.
        if len > 1 << 30 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut inner = self.inner();
        inner.seen.resize(len, 0);
        inner.tape.push(Step::Length(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner().tape.push(Step::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        let mut inner = self.inner();
        inner.seen.get_mut(at..at + data.len()).ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(data);
        inner.tape.push(Step::Write { at, bytes: data.into() });
        Ok(())
    }
}

/// A tape that is played step by step: what is durable, and what is not yet.
#[derive(Debug)]
pub(crate) struct Player<'t> {
    durable: Vec<u8>,
    pending: Vec<&'t Step>,
}

impl<'t> Player<'t> {
    pub(crate) fn new(before: Vec<u8>) -> Self {
        Self { durable: before, pending: Vec::new() }
    }

    /// Plays one step.
    pub(crate) fn play(&mut self, step: &'t Step) {
        match step {
            Step::Sync => {
                for step in self.pending.drain(..) {
                    apply(&mut self.durable, step);
                }
            }
            step => self.pending.push(step),
        }
    }

    /// What the disk may hold if the power fails now.
    pub(crate) fn crash(&self, dice: &mut Dice) -> Vec<u8> {
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

fn apply(image: &mut Vec<u8>, step: &Step) {
    match step {
        Step::Write { at, bytes } => put(image, *at, bytes),
        Step::Length(len) => image.resize(*len, 0),
        Step::Sync => {}
    }
}

/// Applies part of a step: some of the sectors of a write.
fn tear(image: &mut Vec<u8>, step: &Step, sector: usize, dice: &mut Dice) {
    let Step::Write { at, bytes } = step else {
        if dice.once_in(2) {
            apply(image, step);
        }
        return;
    };
    let mut start = 0;
    while start < bytes.len() {
        let end = bytes.len().min((*at + start) / sector * sector + sector - *at);
        if dice.once_in(2) {
            put(image, *at + start, &bytes[start..end]);
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
