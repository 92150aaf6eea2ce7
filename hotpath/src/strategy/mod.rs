//! Strategies: they see books and outcomes and say what they want; they know no venue, ring or clock.

/// Index of the pairs strategy, and of the probe, in records.
pub const PAIRS: u16 = 0;
/// Index of the market maker in records.
pub const MARKET_MAKER: u16 = 1;

mod market_maker;
mod pairs;
mod probe;

pub use market_maker::{MarketMaker, QuoteAction};
pub use pairs::{LegOrder, Pairs, PairsSample};
pub use probe::Probe;
