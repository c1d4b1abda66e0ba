//! Rows, through the store.

mod find;
mod queries;
mod rows;
