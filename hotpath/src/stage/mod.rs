//! The stages: feed, engine, gateway. Their cores are deterministic: everything they know comes in through
//! one entry with the time as an argument, everything they do goes out through a port. The same cores run
//! under sockets and under replay.

pub mod engine;
pub mod feed;
pub mod gateway;

use tickpath_shared::{
    Nanos,
    counters::Counter,
    record::{Cause, Class, Kind},
};

/// Session time between two timer events of a stage.
pub const TIMER_NS: Nanos = 10_000_000;
/// Session time between two digests of a stage.
pub const DIGEST_NS: Nanos = 1_000_000_000;
/// A stage not polled for longer takes all it knows as stale.
pub const POLL_GAP_NS: Nanos = 1_000_000_000;

/// What every core may do besides its own outputs.
pub trait Port {
    /// Appends a record to the stage's lane.
    fn record(&mut self, kind: Kind, class: Class, now: Nanos, cause: Cause, parts: &[&[u8]]);
    /// Counts something.
    fn count(&mut self, counter: Counter, by: u64);
}
