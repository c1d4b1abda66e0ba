//! wip
#![allow(dead_code)]
mod diagnostic;
mod glob;
mod value;
mod window;
mod yaml;
pub use diagnostic::{Diagnostic, LoadErrors};
pub use glob::Glob;
