//! The engine: books, signals and strategies of its instruments. Deterministic core.

mod quotes;

use super::{DIGEST_NS, POLL_GAP_NS, Port};
use crate::{
    book::{DiffResult, SnapshotResult, SyncedBook, Top},
    digest,
    market::{Level, MarketEvent, MarketKind},
    message::{EngineBody, EngineMessage, Outcome},
    strategy::{self, LegOrder, MarketMaker, Pairs, Probe},
};
use serde::{Deserialize, Serialize};
use tickpath_shared::{
    Nanos,
    config::Config,
    counters::Counter,
    record::{
        BookChange, BookStateRecord, Cause, Class, DigestRecord, IntentRecord, Kind, SignalRecord,
        TopOfBookRecord,
    },
    types::{InstrumentDefinition, TimeInForce},
};
use zerocopy::IntoBytes;

/// Session time between two top-of-book telemetry records of an instrument.
const TELEMETRY_NS: Nanos = 100_000_000;
/// Session time after which an unanswered request for a snapshot is repeated.
const SNAPSHOT_PATIENCE_NS: Nanos = 2_000_000_000;

/// What an engine consumes.
#[derive(Clone, Copy, Debug)]
pub enum EngineEvent<'a> {
    /// Market data, or a snapshot from the session thread.
    Market(MarketEvent<'a>),
    /// What became of an intent.
    Outcome(Outcome),
    /// The engine's own timer.
    Timer,
}

/// What an engine does.
pub trait EnginePort: Port {
    /// Sends a message to the gateway. A full ring drops it and counts; the leg's timeout recovers.
    fn send(&mut self, message: EngineMessage);
    /// Asks the session thread for a snapshot.
    fn ask_snapshot(&mut self, instrument: u32);
    /// The event was of the book and has been applied to it: a latency stamp, nothing more.
    fn on_book_updated(&mut self) {}
    /// The strategies have decided on a tick, a change of a book or of best prices: a latency stamp, nothing more.
    fn on_decided(&mut self) {}
    /// The best prices of an instrument changed: a gauge, nothing more.
    fn on_top(&mut self, _instrument: u32, _top: Top, _is_valid: bool, _now: Nanos) {}
}

/// What a strategy's orders have in common.
#[derive(Clone, Copy, Debug)]
struct Terms {
    time_in_force: TimeInForce,
    /// Strategy index.
    strategy: u16,
}

#[derive(Serialize, Deserialize)]
struct Instrument {
    definition: InstrumentDefinition,
    book: SyncedBook,
    /// Best prices by whichever of book and ticker is ahead.
    top: Top,
    /// Update id of `top`.
    top_id: u64,
    ticker_id: u64,
    mark_e8: i64,
    /// Session time of the last change of the book.
    book_ns: Nanos,
    /// Venue's time of that change, unix milliseconds.
    #[serde(default)]
    book_venue_ms: u64,
    /// Session time of the last request for a snapshot; 0 when none is out.
    asked_ns: Nanos,
    /// `top_id` of the last telemetry record.
    told_id: u64,
    overflows: u64,
}

/// The engine's state. What was deserialised is for replay: its books may allocate as they grow.
#[derive(Serialize, Deserialize)]
pub struct Engine {
    instruments: Vec<Instrument>,
    pairs: Option<Pairs>,
    #[serde(default)]
    maker: Option<MarketMaker>,
    #[serde(default)]
    probe: Option<Probe>,
    sent: u64,
    events: u64,
    last_now: Nanos,
    next_digest_ns: Nanos,
    next_telemetry_ns: Nanos,
    venue_ms: u64,
    /// Oldest book that a quote may stand on.
    #[serde(default)]
    book_age_ns_max: Nanos,
}

impl Engine {
    /// An engine for these instruments, or the reason why the configuration does not fit them.
    ///
    /// # Errors
    ///
    /// A text naming the key, the value and the bound.
    pub fn new(config: &Config, definitions: &[InstrumentDefinition]) -> Result<Self, String> {
        let instrument =
            |(definition, config): (&InstrumentDefinition, &tickpath_shared::config::Instrument)| {
                Instrument {
                    definition: *definition,
                    book: SyncedBook::new(definition.tick, config.book_levels_max),
                    top: Top::default(),
                    top_id: 0,
                    ticker_id: 0,
                    mark_e8: 0,
                    book_ns: 0,
                    book_venue_ms: 0,
                    asked_ns: 0,
                    told_id: 0,
                    overflows: 0,
                }
            };
        let pairs = config.pairs.is_enabled.then(|| Pairs::new(&config.pairs, definitions)).transpose()?;
        let maker = config.market_maker.is_enabled;
        let maker = maker.then(|| MarketMaker::new(&config.market_maker, definitions)).transpose()?;
        let probe = config.probe.is_enabled.then(|| Probe::new(&config.probe, definitions)).transpose()?;
        Ok(Self {
            instruments: definitions.iter().zip(&config.instrument).map(instrument).collect(),
            pairs,
            maker,
            probe,
            sent: 0,
            events: 0,
            last_now: 0,
            next_digest_ns: DIGEST_NS,
            next_telemetry_ns: 0,
            venue_ms: 0,
            book_age_ns_max: config.risk.book_age_ms_max * 1_000_000,
        })
    }

    /// The one entry: takes an event at `now`; `cause` is where it came from.
    pub fn on_event(&mut self, now: Nanos, cause: Cause, event: EngineEvent<'_>, port: &mut impl EnginePort) {
        self.events += 1;
        self.check_poll_gap(now, port);
        match event {
            EngineEvent::Market(market) => self.on_market(now, cause, &market, port),
            EngineEvent::Outcome(outcome) => {
                if let Some(pairs) = &mut self.pairs {
                    pairs.on_outcome(now, &outcome);
                }
                if let Some(maker) = &mut self.maker {
                    maker.on_outcome(now, &outcome);
                }
            }
            EngineEvent::Timer => self.on_timer(now, port),
        }
    }

    /// Nothing that was known before a long pause may be traded on.
    fn check_poll_gap(&mut self, now: Nanos, port: &mut impl EnginePort) {
        let gap = now.saturating_sub(self.last_now);
        if self.last_now != 0 && gap > POLL_GAP_NS {
            port.count(Counter::PollGaps, 1);
            for index in 0..self.instruments.len() {
                self.reset_book(now, index, BookChange::PollGap, port);
            }
        }
        self.last_now = now;
    }

    fn on_market(&mut self, now: Nanos, cause: Cause, event: &MarketEvent<'_>, port: &mut impl EnginePort) {
        let index = usize::from(event.header.instrument);
        self.venue_ms = self.venue_ms.max(event.header.venue_ms);
        port.count(Counter::OffTickLevels, event.header.off_tick.into());
        let kind = event.header.market_kind();
        match kind {
            MarketKind::Depth => self.on_depth(now, index, event, port),
            MarketKind::Ticker => self.on_ticker(now, index, event, port),
            MarketKind::Snapshot => self.on_snapshot(now, index, event, port),
            MarketKind::Mark => self.on_mark(index, event, port),
            MarketKind::Trade => {}
            MarketKind::LinkDown => {
                for index in 0..self.instruments.len() {
                    self.reset_book(now, index, BookChange::Disconnected, port);
                }
            }
        }
        if matches!(kind, MarketKind::Depth | MarketKind::Snapshot) {
            port.on_book_updated();
        }
        self.decide(now, cause, index, event.header.read_ns, port);
        self.quote(now, cause, event.header.read_ns, port);
        if matches!(kind, MarketKind::Depth | MarketKind::Ticker) {
            self.answer_tick(now, cause, index, event.header.read_ns, port);
            port.on_decided();
        }
    }

    fn on_depth(&mut self, now: Nanos, index: usize, event: &MarketEvent<'_>, port: &mut impl EnginePort) {
        let instrument = &mut self.instruments[index];
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
        let instrument = &mut self.instruments[index];
        (instrument.book_ns, instrument.book_venue_ms) = (now, venue_ms);
        if instrument.book.last_update_id() >= instrument.top_id {
            instrument.top_id = instrument.book.last_update_id();
            instrument.top = instrument.book.top();
            port.on_top(index as u32, instrument.top, true, now);
        }
        let overflows = instrument.book.book().overflows();
        port.count(Counter::BookOverflow, overflows - instrument.overflows);
        instrument.overflows = overflows;
    }

    fn on_ticker(&mut self, now: Nanos, index: usize, event: &MarketEvent<'_>, port: &mut impl EnginePort) {
        let instrument = &mut self.instruments[index];
        let id = event.header.last_update_id;
        if id <= instrument.ticker_id {
            port.count(Counter::SequenceAnomalies, 1);
            return;
        }
        instrument.ticker_id = id;
        if id > instrument.top_id {
            instrument.top_id = id;
            instrument.top = Top { bid: event.levels[0], ask: event.levels[1] };
            port.on_top(index as u32, instrument.top, instrument.book.is_valid(), now);
        }
    }

    fn on_snapshot(&mut self, now: Nanos, index: usize, event: &MarketEvent<'_>, port: &mut impl EnginePort) {
        let instrument = &mut self.instruments[index];
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

    fn on_mark(&mut self, index: usize, event: &MarketEvent<'_>, port: &mut impl EnginePort) {
        let price_e8 = event.levels[0].price;
        self.instruments[index].mark_e8 = price_e8;
        self.send(EngineBody::Mark { instrument: index as u32, price_e8 }, 0, port);
    }

    fn reset_book(&mut self, now: Nanos, index: usize, why: BookChange, port: &mut impl EnginePort) {
        let instrument = &mut self.instruments[index];
        let was_valid = instrument.book.is_valid();
        instrument.book.reset();
        (instrument.top_id, instrument.ticker_id, instrument.asked_ns) = (0, 0, 0);
        if was_valid {
            self.tell_book(now, index, why, 0, port);
        }
    }

    fn want_snapshot(&mut self, now: Nanos, index: usize, port: &mut impl EnginePort) {
        let instrument = &mut self.instruments[index];
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
        let instrument = &self.instruments[index];
        let record = BookStateRecord {
            update_id: instrument.book.last_update_id(),
            other_id,
            instrument: index as u32,
            change: change as u16,
            reserved: 0,
        };
        port.record(Kind::BookState, Class::Audit, now, Cause::NONE, &[record.as_bytes()]);
        port.on_top(index as u32, instrument.top, instrument.book.is_valid(), now);
    }

    /// Lets the strategies look at the tick.
    fn decide(&mut self, now: Nanos, cause: Cause, index: usize, read_ns: Nanos, port: &mut impl EnginePort) {
        let Some(pairs) = &mut self.pairs else { return };
        let [base, hedge] = pairs.instruments().map(|i| i as usize);
        if index != base && index != hedge {
            return;
        }
        let is_tradable = [base, hedge].iter().all(|&i| self.instruments[i].book.is_valid());
        if !is_tradable {
            return;
        }
        let tops = [self.instruments[base].top, self.instruments[hedge].top];
        if let Some(sample) = pairs.sample(self.venue_ms, tops[0], tops[1]) {
            let record = SignalRecord {
                spread_bits: sample.spread.to_bits(),
                z_bits: sample.z.map_or(0, f64::to_bits),
                venue_ms: self.venue_ms,
                strategy: 0,
                state: sample.state,
                reserved: 0,
            };
            port.record(Kind::Signal, Class::Telemetry, now, cause, &[record.as_bytes()]);
        }
        for order in pairs.orders(now, tops[0], tops[1]).into_iter().flatten() {
            self.trade(now, cause, read_ns, &order, port);
        }
    }

    /// The probe's order, if one is configured.
    fn answer_tick(
        &mut self,
        now: Nanos,
        cause: Cause,
        index: usize,
        read_ns: Nanos,
        port: &mut impl EnginePort,
    ) {
        let Some(probe) = &self.probe else { return };
        let instrument = &self.instruments[index];
        if !instrument.book.is_valid() {
            return;
        }
        if let Some(order) = probe.order(index as u32, instrument.top) {
            self.trade(now, cause, read_ns, &order, port);
        }
    }

    /// An order that takes what is there.
    fn trade(
        &mut self,
        now: Nanos,
        cause: Cause,
        read_ns: Nanos,
        order: &LegOrder,
        port: &mut impl EnginePort,
    ) {
        let terms = Terms { time_in_force: TimeInForce::Ioc, strategy: strategy::PAIRS };
        let number = self.place(now, cause, read_ns, order, terms, port);
        if let Some(pairs) = &mut self.pairs {
            pairs.on_sent(now, order.instrument, number);
        }
    }

    /// Journals an intent and sends it; returns its number.
    #[inline(always)]
    fn place(
        &mut self,
        now: Nanos,
        cause: Cause,
        read_ns: Nanos,
        order: &LegOrder,
        terms: Terms,
        port: &mut impl EnginePort,
    ) -> u64 {
        let instrument = &self.instruments[order.instrument as usize];
        let intent = IntentRecord {
            number: self.sent + 1,
            price: order.price,
            qty: order.qty,
            book_ns: instrument.book_ns,
            read_ns,
            instrument: order.instrument,
            book_epoch: instrument.book.epoch(),
            strategy: terms.strategy,
            side: order.side as u8,
            time_in_force: terms.time_in_force as u8,
            is_reduce_only: order.is_reduce_only.into(),
            is_book_valid: instrument.book.is_valid().into(),
            reserved: [0; 2],
        };
        port.record(Kind::Intent, Class::Audit, now, cause, &[intent.as_bytes()]);
        port.count(Counter::Intents, 1);
        let book_venue_ms = instrument.book_venue_ms;
        self.send(EngineBody::Intent(intent), book_venue_ms, port);
        intent.number
    }

    fn send(&mut self, body: EngineBody, book_venue_ms: u64, port: &mut impl EnginePort) {
        self.sent += 1;
        port.send(EngineMessage { number: self.sent, decided_ns: 0, book_venue_ms, body });
    }

    fn on_timer(&mut self, now: Nanos, port: &mut impl EnginePort) {
        for index in 0..self.instruments.len() {
            self.want_snapshot(now, index, port);
        }
        self.withdraw_stale(now, port);
        if now >= self.next_telemetry_ns {
            self.next_telemetry_ns = now + TELEMETRY_NS;
            self.tell_tops(now, port);
        }
        if now >= self.next_digest_ns {
            self.next_digest_ns = now + DIGEST_NS;
            let record = DigestRecord { events: self.events, digest: self.digest() };
            port.record(Kind::Digest, Class::Audit, now, Cause::NONE, &[record.as_bytes()]);
        }
    }

    fn tell_tops(&mut self, now: Nanos, port: &mut impl EnginePort) {
        for (index, instrument) in self.instruments.iter_mut().enumerate() {
            if instrument.told_id == instrument.top_id {
                continue;
            }
            instrument.told_id = instrument.top_id;
            let Top {
                bid: Level { price: bid_price, qty: bid_qty },
                ask: Level { price: ask_price, qty: ask_qty },
            } = instrument.top;
            let record = TopOfBookRecord {
                update_id: instrument.top_id,
                bid_price,
                bid_qty,
                ask_price,
                ask_qty,
                mark_price: instrument.mark_e8,
                instrument: index as u32,
                is_valid: instrument.book.is_valid().into(),
                reserved: [0; 3],
            };
            port.record(Kind::TopOfBook, Class::Telemetry, now, Cause::NONE, &[record.as_bytes()]);
        }
    }

    /// The book of an instrument.
    pub fn book(&self, instrument: usize) -> &SyncedBook {
        &self.instruments[instrument].book
    }

    /// Definition of an instrument.
    pub fn definition(&self, instrument: usize) -> &InstrumentDefinition {
        &self.instruments[instrument].definition
    }

    /// Hash of the whole state.
    pub fn digest(&self) -> u64 {
        let instruments = self.instruments.iter().flat_map(|i| {
            [
                i.book.digest(),
                i.top_id,
                i.ticker_id,
                i.mark_e8 as u64,
                i.book_ns,
                i.top.bid.qty as u64,
                i.top.ask.qty as u64,
            ]
        });
        let seed = digest::fold(self.sent, instruments.chain([self.venue_ms]));
        let seed = self.pairs.as_ref().map_or(seed, |pairs| digest::fold(seed, pairs.words()));
        self.maker.as_ref().map_or(seed, |maker| digest::fold(seed, maker.words()))
    }
}
