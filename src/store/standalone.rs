//! A store for programs without callers: a benchmark, a test harness, a tool for one file.
//!
//! This is the only way to read on the calling thread. A [`Store`] cannot be turned into a [`Standalone`]. So the
//! daemon cannot read the disk on a thread that answers calls: it must use [`Store::look`] or [`Store::scan`].

use std::ops::Deref;
use std::path::Path;

use super::error::{OpenError, StoreError};
use super::file::Opener;
use super::handle::Store;
use super::host::Host;
use super::options::Options;
use super::reader::Reader;

/// A store whose owner may block on the disk.
#[derive(Debug)]
pub struct Standalone<H: Host>(Store<H>);

impl<H: Host> Clone for Standalone<H> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<H: Host> Standalone<H> {
    /// Opens the store as [`Store::open`] does.
    pub fn open(path: &Path, options: Options) -> Result<Self, OpenError> {
        Store::open(path, options).map(Self)
    }

    /// Opens the store as [`Store::open_with`] does.
    pub fn open_with(opener: Opener, path: &Path, options: Options) -> Result<Self, OpenError> {
        Store::open_with(opener, path, options).map(Self)
    }

    /// A snapshot of the last commit. Blocks on the disk.
    pub fn read(&self) -> Result<Reader, StoreError> {
        self.0.snapshot()
    }
}

impl<H: Host> Deref for Standalone<H> {
    type Target = Store<H>;

    fn deref(&self) -> &Store<H> {
        &self.0
    }
}
