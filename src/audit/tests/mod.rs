//! The store as a whole, through its public handle.

pub(crate) mod durability;
mod faults;
mod format;
mod journal;
mod redaction;
mod registry;
mod room;
