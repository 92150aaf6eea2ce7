//! The stages: feed, engine, gateway. Their cores are deterministic: everything they know comes in through
//! one entry with the time as an argument, everything they do goes out through a port. The same cores run
//! under sockets and under replay.

pub mod engine;
pub mod feed;
pub mod gateway;

use tickpath_shared::Nanos;

/// Session time between two timer events of a stage.
pub const TIMER_NS: Nanos = 10_000_000;
/// Session time between two digests of a stage.
pub const DIGEST_NS: Nanos = 1_000_000_000;
/// A stage not polled for longer takes all it knows as stale.
pub const POLL_GAP_NS: Nanos = 1_000_000_000;
