//! Whole-system tests: real processes, real sockets, real SQLite, real SIGKILL.
//!
//! Volumes here are those of a test run; the environment variable `TICKPATH_KILLS` raises the number of
//! kills, as `docs/testing.md` says.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failed unwrap is a failed test; figures are shown"
)]

mod account;
mod alerts;
mod api;
mod autobahn;
mod by_hand;
mod calls;
mod catch_up;
mod clients;
mod config;
mod control;
mod crash;
mod demo;
mod disk;
mod faults;
mod foreign;
mod foreign_orders;
mod guards;
mod kill;
mod latency;
mod lines;
mod page;
mod quotes;
mod replay;
mod requests;
mod resting;
mod secrets;
mod silence;
mod store;
mod strategies;
mod upstream;
mod venue_faults;
mod wallet;
mod webhook;

/// The command line under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_tickpath-under-test");
