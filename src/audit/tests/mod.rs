//! The store as a whole, through its public handle.

mod durability;
