//! What the deterministic cores do to the world: everything goes out through a port, so that the same cores run under
//! sockets and under replay.

use crate::{book::Top, message::EngineMessage};
use tickpath_shared::{
    Nanos,
    counters::Counter,
    record::{Cause, Class, Kind},
};

/// What every core may do besides its own outputs.
pub trait Port {
    /// Appends a record to the stage's lane.
    fn record(&mut self, kind: Kind, class: Class, now: Nanos, cause: Cause, parts: &[&[u8]]);
    /// Counts something.
    fn count(&mut self, counter: Counter, by: u64);
}

/// What an engine does.
pub trait EnginePort: Port {
    /// A decision was made that will be sent: the time of it, 0 where time is not known. Before its record is written,
    /// since reading the clock waits for whatever is under way.
    fn decide(&mut self) -> Nanos {
        0
    }
    /// Sends a message to the gateway. A full ring drops it and counts; the leg's timeout recovers.
    fn send(&mut self, message: &EngineMessage);
    /// Asks the session thread for a snapshot.
    fn ask_snapshot(&mut self, instrument: u32);
    /// The event was of the book and has been applied to it: a latency stamp, nothing more.
    fn on_book_updated(&mut self) {}
    /// The strategies have decided on a tick, a change of a book or of best prices: a latency stamp, nothing more.
    fn on_decided(&mut self) {}
    /// The best prices of an instrument changed: a gauge, nothing more.
    fn on_top(&mut self, _instrument: u32, _top: Top, _is_valid: bool, _now: Nanos) {}
}
