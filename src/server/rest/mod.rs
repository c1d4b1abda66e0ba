//! The REST API: reads requests, calls governance, writes answers. It decides nothing.
//!
//! The gate has authenticated every call before it gets here, and `server::access` has its row. Names and words are
//! those of the protos but where the API is older (`words`); what is wrong with a request is said all at once (`read`,
//! `fields`). The OpenAPI document is made from the handlers (`openapi`).

#![expect(clippy::struct_field_names, reason = "members have the names that JSON has")]

mod api;
mod approval_stream;
mod approvals;
mod audit;
mod call;
mod decisions;
mod docs;
mod evaluate;
mod execute;
mod fields;
mod filter;
mod halts;
mod health;
mod identity;
mod limits;
mod log;
mod masks;
mod openapi;
mod pages;
mod policy;
mod proposals;
mod query;
mod read;
mod redact;
mod rotate;
mod router;
mod tokens;
mod words;

pub(crate) use self::api::Services;
pub(crate) use self::router::router;
