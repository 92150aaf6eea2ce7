//! The matching model of the simulated venue: knows orders and levels, but no bytes, sockets or clocks.
//!
//! Orders of ours meet a book that is replayed, so the book does not react to them. Marketable orders take
//! displayed quantity, each displayed unit once; resting orders queue behind what was displayed when they
//! came and fill by trades and by the market moving through them.

mod ledger;
mod matching;

pub use ledger::{Account, FeeRates, LedgerTrade, SimPosition};
pub use matching::{AmendRefusal, End, Execution, Matcher, SimOrder, SimOutcome, Submit};
