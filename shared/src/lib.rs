//! What the hot process and the control process have in common: domain types, the journal, the
//! status and command files, the clock and the configuration.
//!
//! Nothing here knows a venue, a strategy or HTTP.

pub mod causes;
pub mod clock;
pub mod command;
pub mod config;
pub mod counters;
pub mod crc;
pub mod histogram;
pub mod journal;
mod labelled;
pub mod memory;
pub mod operator;
pub mod paths;
pub mod record;
pub mod status;
pub mod types;

/// Monotonic nanoseconds since the start of the session.
pub type Nanos = u64;
