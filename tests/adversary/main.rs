//! What holds when somebody tries: one test for each threat of SECURITY.md, from the agent's seat.
//!
//! The real binary runs with its real limits, unless a test says why not. `bounds` confines it as the Kubernetes
//! manifest does, attacks it, and measures honest callers beside the attack. `tests/adversary/without` shows for each
//! defence that its test fails when the defence is off.
#![expect(clippy::panic, clippy::unwrap_used, reason = "all of this is a test, and a test says what it expects")]

#[path = "../system/harness/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests of the whole system use the rest")]
mod harness;

mod attack;
mod bounds;
mod cage;
mod callers;
mod doors;
mod doubt;
mod files;
mod hold;
mod honest;
mod hostile;
mod limits;
mod masking;
mod questions;
mod review_screen;
mod unread;
