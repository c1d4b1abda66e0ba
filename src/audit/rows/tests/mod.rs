//! Rows, through the store.

mod queries;
mod rows;
