//! An instrument as an engine follows it: its definition, its book, and what is derived from them.

use super::{SyncedBook, Top};
use serde::{Deserialize, Serialize};
use tickpath_shared::{Nanos, types::InstrumentDefinition};

/// One instrument.
#[derive(Serialize, Deserialize)]
pub struct Listing {
    pub(crate) definition: InstrumentDefinition,
    pub(crate) book: SyncedBook,
    /// Best prices by whichever of book and ticker is ahead.
    pub(crate) top: Top,
    /// Update id of `top`.
    pub(crate) top_id: u64,
    pub(crate) ticker_id: u64,
    /// Id of the last trade.
    #[serde(default)]
    pub(crate) trade_id: u64,
    pub(crate) mark_e8: i64,
    /// Session time of the last change of the book.
    pub(crate) book_ns: Nanos,
    /// Venue's time of that change, unix milliseconds.
    #[serde(default)]
    pub(crate) book_venue_ms: u64,
    /// Session time of the last request for a snapshot; 0 when none is out.
    pub(crate) asked_ns: Nanos,
    /// `top_id` of the last telemetry record.
    pub(crate) told_id: u64,
    pub(crate) overflows: u64,
}

impl Listing {
    /// Before the first snapshot; the book keeps at most `levels_max` levels a side.
    pub fn new(definition: &InstrumentDefinition, levels_max: usize) -> Self {
        Self {
            definition: *definition,
            book: SyncedBook::new(definition.tick, levels_max),
            top: Top::default(),
            top_id: 0,
            ticker_id: 0,
            trade_id: 0,
            mark_e8: 0,
            book_ns: 0,
            book_venue_ms: 0,
            asked_ns: 0,
            told_id: 0,
            overflows: 0,
        }
    }

    /// Definition in force.
    pub fn definition(&self) -> &InstrumentDefinition {
        &self.definition
    }

    /// The book.
    pub fn book(&self) -> &SyncedBook {
        &self.book
    }

    /// Best prices, while the book is complete.
    pub fn top(&self) -> Option<Top> {
        self.book.is_valid().then_some(self.top)
    }

    /// Age of the last change of the book.
    pub fn age_ns(&self, now: Nanos) -> Nanos {
        now.saturating_sub(self.book_ns)
    }
}
