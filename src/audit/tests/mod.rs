//! The store as a whole, through its public handle.

mod check;
mod disk;
mod durability;
mod faults;
mod format;
mod queries;
mod redaction;
mod rows;
mod tree;
