//! The record.

pub mod record;
pub mod row;
