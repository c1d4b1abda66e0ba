//! What the tests of the whole system are built from: a daemon of their own, those who call it, and what they check.

mod authority;
mod calls;
mod daemon;
mod key_server;
mod ledger;
mod people;
mod programs;
mod rest;
mod shim;
mod signer;
mod small_disk;
mod terminal;
mod wire;
mod witness;

pub(crate) use self::authority::{Authority, connect, replace, text};
pub(crate) use self::calls::{Shown, Verdict, bare, call, get, knock, knock_rest, with_token};
pub(crate) use self::daemon::{AEGIS, DEADLINE, Daemon, Setup, eventually, unix, without};
pub(crate) use self::key_server::KeyServer;
pub(crate) use self::ledger::{Ledger, whole_log};
pub(crate) use self::people::{
    Admin, Agent, Reviewer, approval, ask, awaited, ended_by, ending, health, healthy, long, masked, narrow, no,
    pending, report, result_of, yes,
};
pub(crate) use self::programs::{as_nobody, grpcurl, interop, me, read_all, stderr, stdout};
pub(crate) use self::rest::{Answered, Rest};
pub(crate) use self::shim::Shim;
pub(crate) use self::signer::{ISSUER, Signer, claims};
pub(crate) use self::small_disk::SmallDisk;
pub(crate) use self::terminal::Terminal;
pub(crate) use self::wire::{details, fields, findings, params, propose, reason, refusal, seconds, sha256, update};
pub(crate) use self::witness::Witness;
