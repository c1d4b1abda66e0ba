//! Whole-system tests: the real binary, real gRPC, port 0, a data directory of its own for each.
//!
//! Nothing here sleeps for luck: a test waits for the line, the message or the exit that it is about, and a deadline
//! only ends a test that has failed.
#![expect(clippy::panic, clippy::unwrap_used, reason = "all of this is a test, and a test says what it expects")]

mod access;
mod admin;
mod arrival;
mod backup;
mod bad_input;
mod bad_policy;
mod cli;
mod clocks;
mod console;
mod crash;
mod deployed;
mod disk;
mod documents;
mod errors;
mod evidence;
mod executor;
mod faults;
mod growth;
mod grpcurl;
#[expect(dead_code, unused_imports, reason = "tests/adversary uses the rest")]
mod harness;
mod hook;
mod identities;
mod interop;
mod jwt;
mod lifetime;
mod limits;
mod lookup;
mod mcp;
mod plan;
mod presence;
mod proposals;
mod reload;
mod repeated;
mod rest;
mod rest_admin;
mod rest_reviewers;
mod restart;
mod reviewers;
mod seeds;
mod streams;
mod tamper;
mod telemetry;
mod tls;
mod tour;
mod trust;
mod unrecorded;
mod witnesses;
