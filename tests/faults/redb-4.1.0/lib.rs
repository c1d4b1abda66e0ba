//! The sources of the record, built on redb 4.1.0.
#![allow(missing_docs, dead_code, unused_imports)]

#[path = "../../../src/audit/mod.rs"]
pub mod audit;
#[path = "../../../src/domain/mod.rs"]
pub mod domain;
#[path = "../../../src/policy/glob/mod.rs"]
pub(crate) mod glob;
/// What the record uses of the policy.
pub(crate) mod policy {
    pub(crate) use crate::glob::Glob;
}
#[path = "../../../src/store/mod.rs"]
pub(crate) mod store;
