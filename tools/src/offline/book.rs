//! Books from a capture: one line a diff applied, and a summary.

use crate::capture::{CaptureError, CaptureReader, MarketLine, MarketSource};
use serde::Serialize;
use std::path::PathBuf;
use tickpath_hotpath::{
    book::{DiffResult, SnapshotResult, SyncedBook, Top},
    market::{MarketEvent, MarketKind},
    venue::{Decoded, MarketDecoder},
};
use tickpath_shared::types::{InstrumentDefinition, decimal};

/// Levels a side that a book keeps.
const BOOK_LEVELS: usize = 65_536;

/// A diff that a book has applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BookLine {
    /// Symbol.
    pub symbol: String,
    /// Last update id.
    pub u: u64,
    /// Best bid.
    pub bid: String,
    /// Quantity there.
    pub bid_qty: String,
    /// Best ask.
    pub ask: String,
    /// Quantity there.
    pub ask_qty: String,
}

/// What a run over captures found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BookSummary {
    /// Frames read.
    pub frames: u64,
    /// Snapshots read.
    pub snapshots: u64,
    /// Diffs applied.
    pub applied: u64,
    /// Diffs older than their snapshot.
    pub before_snapshot: u64,
    /// Diffs seen before.
    pub duplicates: u64,
    /// Gaps flagged.
    pub gaps: u64,
    /// Frames of the irregular shape.
    pub fallbacks: u64,
    /// Frames that could not be decoded.
    pub decode_errors: u64,
    /// Diffs after which the last best bid and offer of the ticker stream agreed with the book.
    pub ticker_agrees: u64,
    /// Diffs with a ticker to compare.
    pub ticker_compared: u64,
}

/// Books of several instruments, fed with lines.
pub struct BookRun {
    definitions: Vec<InstrumentDefinition>,
    decoder: MarketDecoder,
    books: Vec<SyncedBook>,
    tickers: Vec<Vec<(u64, Top)>>,
    /// What was found so far.
    pub summary: BookSummary,
}

impl BookRun {
    /// Empty books of the simulator's instruments.
    pub fn new() -> Self {
        let definitions = crate::venue::definitions();
        Self {
            decoder: MarketDecoder::new(&definitions, 1 << 20),
            books: definitions.iter().map(|_| SyncedBook::new(BOOK_LEVELS)).collect(),
            tickers: vec![Vec::new(); definitions.len()],
            definitions,
            summary: BookSummary::default(),
        }
    }

    /// Takes a line; tells of the diffs that it made the book apply.
    pub fn take(&mut self, line: &MarketLine) -> Option<BookLine> {
        let index = self.definitions.iter().position(|d| d.symbol.as_str() == line.symbol)?;
        if line.is_snapshot() {
            return self.take_snapshot(index, line);
        }
        self.summary.frames += 1;
        let decoded = self.decoder.decode(line.text.as_bytes());
        self.summary.fallbacks = self.decoder.fallbacks();
        let header = match decoded {
            Ok(Decoded::Event(header)) => header,
            Ok(_) => return None,
            Err(_) => {
                self.summary.decode_errors += 1;
                return None;
            }
        };
        let event = MarketEvent { header, levels: self.decoder.levels() };
        match header.market_kind() {
            MarketKind::Ticker => {
                let top = Top { bid: event.levels[0], ask: event.levels[1] };
                self.tickers[index].push((header.last_update_id, top));
                None
            }
            MarketKind::Depth => {
                let result = self.books[index].on_diff(&event);
                self.after_diff(index, result)
            }
            _ => None,
        }
    }

    fn take_snapshot(&mut self, index: usize, line: &MarketLine) -> Option<BookLine> {
        self.summary.snapshots += 1;
        let Ok(header) = self.decoder.decode_snapshot(line.text.as_bytes(), index) else {
            self.summary.decode_errors += 1;
            return None;
        };
        let event = MarketEvent { header, levels: self.decoder.levels() };
        match self.books[index].on_snapshot(&event) {
            SnapshotResult::Joined { skipped, applied } => {
                self.summary.before_snapshot += skipped;
                // The diffs before the last one of the buffer were applied too, unseen.
                self.summary.applied += applied.saturating_sub(1);
                self.after_diff(index, DiffResult::Applied)
            }
            SnapshotResult::Waiting { skipped } => {
                self.summary.before_snapshot += skipped;
                None
            }
            _ => None,
        }
    }

    fn after_diff(&mut self, index: usize, result: DiffResult) -> Option<BookLine> {
        match result {
            DiffResult::Applied | DiffResult::Joined => {
                self.summary.applied += 1;
                self.compare(index);
                Some(self.line(index))
            }
            DiffResult::BeforeSnapshot => {
                self.summary.before_snapshot += 1;
                None
            }
            DiffResult::Duplicate => {
                self.summary.duplicates += 1;
                None
            }
            DiffResult::Gap { .. } | DiffResult::Crossed | DiffResult::BufferFull => {
                self.summary.gaps += 1;
                None
            }
            DiffResult::Buffered => None,
        }
    }

    /// The ticker shares the id space of the diffs: its last update at or below the book's says the same.
    fn compare(&mut self, index: usize) {
        let book = &self.books[index];
        let tickers = &mut self.tickers[index];
        let known = tickers.iter().rposition(|(id, _)| *id <= book.last_update_id());
        if let Some(at) = known {
            self.summary.ticker_compared += 1;
            self.summary.ticker_agrees += u64::from(tickers[at].1 == book.top());
            tickers.drain(..at);
        }
    }

    fn line(&self, index: usize) -> BookLine {
        let (d, book) = (&self.definitions[index], &self.books[index]);
        let top = book.top();
        let price = |value| decimal::to_text(value, d.price_scale);
        let qty =
            |value: i64| decimal::to_text(value / decimal::pow10(d.qty_scale - d.qty_places), d.qty_places);
        BookLine {
            symbol: d.symbol.as_str().to_owned(),
            u: book.last_update_id(),
            bid: price(top.bid.price),
            bid_qty: qty(top.bid.qty),
            ask: price(top.ask.price),
            ask_qty: qty(top.ask.qty),
        }
    }

    /// The book of an instrument.
    pub fn book(&self, index: usize) -> &SyncedBook {
        &self.books[index]
    }
}

impl Default for BookRun {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs over captures of one recording, given in their order, and hands every line to `out`.
///
/// # Errors
///
/// [`CaptureError`] names the file and line that cannot be read.
pub fn run(captures: &[PathBuf], mut out: impl FnMut(&BookLine)) -> Result<BookSummary, CaptureError> {
    let mut run = BookRun::new();
    for capture in captures {
        let mut reader = CaptureReader::open(std::slice::from_ref(capture))?;
        while let Some(line) = reader.next_line()? {
            if let Some(line) = run.take(&line) {
                out(&line);
            }
        }
    }
    Ok(run.summary)
}
