//! Strategies: they see books and outcomes and say what they want; they know no venue, ring or clock.

mod pairs;
mod probe;

pub use pairs::{LegOrder, Pairs, PairsSample};
pub use probe::Probe;
