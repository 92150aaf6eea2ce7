//! Books of an engine: diffs, best prices, snapshots.

use super::Engine;
use crate::{
    book::{DiffResult, SnapshotResult, Top},
    market::MarketEvent,
    message::EngineBody,
    port::EnginePort,
    strategy::Strategy,
};
use tickpath_shared::{
    Nanos,
    counters::Counter,
    record::{BookChange, BookStateRecord, Cause, Class, Kind},
};
use zerocopy::IntoBytes;

/// Session time after which an unanswered request for a snapshot is repeated.
const SNAPSHOT_PATIENCE_NS: Nanos = 2_000_000_000;

impl<S: Strategy> Engine<S> {
    pub(super) fn on_depth(
        &mut self,
        now: Nanos,
        index: usize,
        event: &MarketEvent<'_>,
        port: &mut impl EnginePort,
    ) {
        let instrument = &mut self.listings[index];
        let was_valid = instrument.book.is_valid();
        match instrument.book.on_diff(event) {
            DiffResult::Applied => {
                port.count(Counter::DepthApplied, 1);
                self.after_depth(now, index, event.header.venue_ms, port);
            }
            DiffResult::Joined => {
                port.count(Counter::DepthApplied, 1);
                self.tell_book(now, index, BookChange::Valid, 0, port);
                self.after_depth(now, index, event.header.venue_ms, port);
            }
            DiffResult::Buffered => {
                port.count(Counter::DepthBuffered, 1);
                self.want_snapshot(now, index, port);
            }
            DiffResult::BeforeSnapshot => port.count(Counter::DepthBeforeSnapshot, 1),
            DiffResult::Duplicate => port.count(Counter::DepthDuplicates, 1),
            DiffResult::Gap { found, .. } => {
                port.count(Counter::BookGaps, 1);
                if was_valid {
                    self.tell_book(now, index, BookChange::Gap, found, port);
                }
                self.want_snapshot(now, index, port);
            }
            DiffResult::Crossed => {
                port.count(Counter::BookCrossed, 1);
                self.tell_book(now, index, BookChange::Crossed, 0, port);
                self.want_snapshot(now, index, port);
            }
            DiffResult::BufferFull => {
                self.tell_book(now, index, BookChange::BufferFull, 0, port);
                self.want_snapshot(now, index, port);
            }
        }
    }

    /// The book follows the stream: refresh what is derived from it.
    fn after_depth(&mut self, now: Nanos, index: usize, venue_ms: u64, port: &mut impl EnginePort) {
        let instrument = &mut self.listings[index];
        // A time that is doubted makes no book younger.
        (instrument.book_ns, instrument.book_venue_ms) = (now, venue_ms.min(self.venue_ms));
        if instrument.book.last_update_id() >= instrument.top_id {
            instrument.top_id = instrument.book.last_update_id();
            instrument.top = instrument.book.top();
            port.on_top(index as u32, instrument.top, true, now);
        }
        let overflows = instrument.book.book().overflows();
        port.count(Counter::BookOverflow, overflows - instrument.overflows);
        instrument.overflows = overflows;
    }

    pub(super) fn on_ticker(
        &mut self,
        now: Nanos,
        index: usize,
        event: &MarketEvent<'_>,
        port: &mut impl EnginePort,
    ) {
        let instrument = &mut self.listings[index];
        let id = event.header.last_update_id;
        if id <= instrument.ticker_id {
            port.count(Counter::SequenceAnomalies, 1);
            return;
        }
        instrument.ticker_id = id;
        let top = Top { bid: event.levels[0], ask: event.levels[1] };
        if !top.is_sound() {
            port.count(Counter::TickersUnsound, 1);
            return;
        }
        if id > instrument.top_id {
            (instrument.top_id, instrument.top) = (id, top);
            port.on_top(index as u32, instrument.top, instrument.book.is_valid(), now);
        }
    }

    pub(super) fn on_snapshot(
        &mut self,
        now: Nanos,
        index: usize,
        event: &MarketEvent<'_>,
        port: &mut impl EnginePort,
    ) {
        let instrument = &mut self.listings[index];
        instrument.asked_ns = 0;
        match instrument.book.on_snapshot(event) {
            SnapshotResult::Joined { skipped, applied } => {
                port.count(Counter::Snapshots, 1);
                port.count(Counter::DepthBeforeSnapshot, skipped);
                port.count(Counter::DepthApplied, applied);
                self.tell_book(now, index, BookChange::Valid, event.header.last_update_id, port);
                self.after_depth(now, index, event.header.venue_ms, port);
            }
            SnapshotResult::Waiting { skipped } => {
                port.count(Counter::Snapshots, 1);
                port.count(Counter::DepthBeforeSnapshot, skipped);
            }
            SnapshotResult::TooOld | SnapshotResult::Broken => {
                port.count(Counter::SnapshotsTooOld, 1);
                self.want_snapshot(now, index, port);
            }
            SnapshotResult::NotNeeded => {}
        }
    }

    pub(super) fn reset_book(
        &mut self,
        now: Nanos,
        index: usize,
        why: BookChange,
        port: &mut impl EnginePort,
    ) {
        let instrument = &mut self.listings[index];
        let was_valid = instrument.book.is_valid();
        instrument.book.reset();
        (instrument.top_id, instrument.ticker_id, instrument.trade_id) = (0, 0, 0);
        instrument.asked_ns = 0;
        if was_valid {
            self.tell_book(now, index, why, 0, port);
        }
    }

    pub(super) fn want_snapshot(&mut self, now: Nanos, index: usize, port: &mut impl EnginePort) {
        let instrument = &mut self.listings[index];
        let is_out =
            instrument.asked_ns != 0 && now.saturating_sub(instrument.asked_ns) < SNAPSHOT_PATIENCE_NS;
        if instrument.book.needs_snapshot() && !is_out {
            instrument.asked_ns = now;
            port.ask_snapshot(index as u32);
        }
    }

    fn tell_book(
        &mut self,
        now: Nanos,
        index: usize,
        change: BookChange,
        other_id: u64,
        port: &mut impl EnginePort,
    ) {
        let instrument = &self.listings[index];
        let record = BookStateRecord {
            update_id: instrument.book.last_update_id(),
            other_id,
            instrument: index as u32,
            change: change as u16,
            reserved: 0,
        };
        port.record(Kind::BookState, Class::Audit, now, Cause::NONE, &[record.as_bytes()]);
        port.on_top(index as u32, instrument.top, instrument.book.is_valid(), now);
        if change != BookChange::Valid {
            self.send(EngineBody::BookLost { instrument: index as u32 }, 0, port);
        }
    }
}
