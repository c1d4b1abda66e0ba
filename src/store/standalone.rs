//! A store in a program that answers nobody: a benchmark, a harness, a tool for one file.
//!
//! There is no other way to read on the thread that asks. Whoever has a [`Store`] cannot come from it to one of these,
//! so that a daemon cannot read the disk where it answers calls: it asks with [`Store::look`] or [`Store::scan`].

use std::ops::Deref;
use std::path::Path;

use super::error::{OpenError, StoreError};
use super::file::Opener;
use super::handle::Store;
use super::host::Host;
use super::options::Options;
use super::reader::Reader;

/// A store whose owner may wait for the disk.
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

    /// A snapshot of what is committed. Takes as long as the disk does.
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
