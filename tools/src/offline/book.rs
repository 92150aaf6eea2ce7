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
    checks: Vec<TickerCheck>,
    /// What was found so far.
    pub summary: BookSummary,
}

impl BookRun {
    /// Empty books of the simulator's instruments.
    pub fn new() -> Self {
        let definitions = crate::venue::definitions();
        Self {
            decoder: MarketDecoder::new(&definitions, 1 << 20),
            books: definitions.iter().map(|d| SyncedBook::new(d.tick, BOOK_LEVELS)).collect(),
            checks: vec![TickerCheck::default(); definitions.len()],
            definitions,
            summary: BookSummary::default(),
        }
    }

    /// Takes a line; hands the book's top to `out` after every diff that the line made it apply.
    pub fn take(&mut self, line: &MarketLine, out: &mut impl FnMut(&BookLine)) {
        let Some(index) = self.definitions.iter().position(|d| d.symbol.as_str() == line.symbol) else {
            return;
        };
        if line.is_snapshot() {
            return self.take_snapshot(index, line, out);
        }
        self.summary.frames += 1;
        let decoded = self.decoder.decode_bytes(line.text.as_bytes());
        self.summary.fallbacks = self.decoder.fallbacks();
        match decoded {
            Ok(Decoded::Event) => {}
            Ok(_) => return,
            Err(_) => {
                self.summary.decode_errors += 1;
                return;
            }
        }
        let event = self.decoder.event();
        let header = event.header;
        match header.market_kind() {
            MarketKind::Ticker => {
                let top = Top { bid: event.levels[0], ask: event.levels[1] };
                self.checks[index].on_ticker(header.last_update_id, top, &mut self.summary);
            }
            MarketKind::Depth => {
                let result = self.books[index].on_diff(&event);
                self.after_diff(index, result, out);
            }
            _ => {}
        }
    }

    fn take_snapshot(&mut self, index: usize, line: &MarketLine, out: &mut impl FnMut(&BookLine)) {
        self.summary.snapshots += 1;
        let Ok(header) = self.decoder.decode_snapshot(line.text.as_bytes(), index) else {
            self.summary.decode_errors += 1;
            return;
        };
        let event = MarketEvent { header: &header, levels: self.decoder.levels() };
        let Self { books, definitions, checks, summary, .. } = self;
        let result = books[index].on_snapshot_with(&event, |book| {
            summary.applied += 1;
            checks[index].on_diff(book);
            out(&book_line(&definitions[index], book));
        });
        if let SnapshotResult::Joined { skipped, .. } | SnapshotResult::Waiting { skipped } = result {
            summary.before_snapshot += skipped;
        }
    }

    fn after_diff(&mut self, index: usize, result: DiffResult, out: &mut impl FnMut(&BookLine)) {
        match result {
            DiffResult::Applied | DiffResult::Joined => {
                self.summary.applied += 1;
                self.checks[index].on_diff(&self.books[index]);
                out(&book_line(&self.definitions[index], &self.books[index]));
            }
            DiffResult::BeforeSnapshot => self.summary.before_snapshot += 1,
            DiffResult::Duplicate => self.summary.duplicates += 1,
            DiffResult::Gap { .. } | DiffResult::Crossed | DiffResult::BufferFull => self.summary.gaps += 1,
            DiffResult::Buffered => {}
        }
    }

    /// Ends the run: compares what no later ticker has settled.
    pub fn finish(mut self) -> BookSummary {
        for check in &mut self.checks {
            check.settle(u64::MAX, &mut self.summary);
        }
        self.summary
    }

    /// The book of an instrument.
    pub fn book(&self, index: usize) -> &SyncedBook {
        &self.books[index]
    }
}

/// Compares books with the ticker stream, which shares their id space but not their timing: a book at update
/// `u` must equal the last ticker with an id at or below `u`, whichever of the two arrives first.
#[derive(Clone, Debug, Default)]
struct TickerCheck {
    /// Tickers that may still count, by id.
    tickers: Vec<(u64, Top)>,
    waiting: Vec<(u64, Top)>,
}

impl TickerCheck {
    fn on_diff(&mut self, book: &SyncedBook) {
        self.waiting.push((book.last_update_id(), book.top()));
    }

    fn on_ticker(&mut self, id: u64, top: Top, summary: &mut BookSummary) {
        self.tickers.push((id, top));
        self.settle(id, summary);
    }

    /// Judges every book before update `id`: no later ticker can count for it.
    fn settle(&mut self, id: u64, summary: &mut BookSummary) {
        let settled = self.waiting.iter().take_while(|(u, _)| *u < id).count();
        for (u, top) in self.waiting.drain(..settled) {
            if let Some(at) = self.tickers.iter().rposition(|(ticker_id, _)| *ticker_id <= u) {
                summary.ticker_compared += 1;
                summary.ticker_agrees += u64::from(self.tickers[at].1 == top);
                self.tickers.drain(..at);
            }
        }
    }
}

fn book_line(d: &InstrumentDefinition, book: &SyncedBook) -> BookLine {
    let top = book.top();
    let price = |value| decimal::to_text(value, d.price_scale);
    let qty = |value: i64| decimal::to_text(value / decimal::pow10(d.qty_scale - d.qty_places), d.qty_places);
    BookLine {
        symbol: d.symbol.as_str().to_owned(),
        u: book.last_update_id(),
        bid: price(top.bid.price),
        bid_qty: qty(top.bid.qty),
        ask: price(top.ask.price),
        ask_qty: qty(top.ask.qty),
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
            run.take(&line, &mut out);
        }
    }
    Ok(run.finish())
}
