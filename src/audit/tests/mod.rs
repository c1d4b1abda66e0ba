//! The store as a whole, through its public handle.

mod disk;
mod durability;
mod faults;
mod queries;
mod rows;
