//! A stand for tests: strategies in a real engine, with made-up markets and answers.

use crate::{
    book::Top,
    market::{Level, MarketEvent, MarketHeader, MarketKind},
    message::{EngineBody, EngineMessage, Outcome, OutcomeBody},
    port::{EnginePort, Port},
    stage::engine::{Engine, EngineEvent},
    strategy::Strategy,
};
use tickpath_shared::{
    Nanos,
    config::{self, Config},
    counters::Counter,
    record::{Cause, ChangeRecord, Class, IntentRecord, Kind, PassRecord},
    types::{Grid, InstrumentDefinition, OrderState, Reason, Symbol},
};
use zerocopy::FromBytes;

/// What the engine did.
#[derive(Default)]
pub(super) struct Out {
    pub(super) intents: Vec<IntentRecord>,
    pub(super) changes: Vec<ChangeRecord>,
    pub(super) passes: Vec<Reason>,
    /// Best prices of the first instrument, as they became.
    pub(super) tops: Vec<[i64; 2]>,
    /// Trades and best prices that were skipped.
    pub(super) skipped: u64,
}

impl Port for Out {
    fn record(&mut self, kind: Kind, _class: Class, _now: Nanos, _cause: Cause, parts: &[&[u8]]) {
        if kind == Kind::Pass {
            let pass = PassRecord::read_from_bytes(parts[0]).unwrap();
            self.passes.push(Reason::from_repr(pass.reason).unwrap());
        }
    }

    fn count(&mut self, counter: Counter, by: u64) {
        let is_skipped = matches!(counter, Counter::TradesRepeated | Counter::TickersUnsound);
        self.skipped += if is_skipped { by } else { 0 };
    }
}

impl EnginePort for Out {
    fn send(&mut self, message: &EngineMessage) {
        match message.body {
            EngineBody::Intent(intent) => self.intents.push(intent),
            EngineBody::Change(change) => self.changes.push(change),
            _ => {}
        }
    }

    fn ask_snapshot(&mut self, _instrument: u32) {}

    fn on_top(&mut self, instrument: u32, top: Top, _is_valid: bool, _now: Nanos) {
        if instrument == 0 {
            self.tops.push([top.bid.price, top.ask.price]);
        }
    }
}

pub(super) fn instrument(symbol: &str) -> config::Instrument {
    let (symbol, depth_stream) = (symbol.into(), "depth".into());
    config::Instrument { symbol, depth_stream, book_levels_max: 1_000, leverage: None }
}

pub(super) fn definitions() -> [InstrumentDefinition; 2] {
    let definition = |symbol: &str, index: u32| {
        let price = Grid { scale: 2, places: 2, step: 10 };
        let qty = Grid { scale: 3, places: 3, step: 1 };
        InstrumentDefinition::on_grids(Symbol::new(symbol).unwrap(), index, price, qty)
    };
    [definition("AAA", 0), definition("BBB", 1)]
}

/// Two instruments, AAA and BBB, with ticks of 10 units in cents and lots of a thousandth.
pub(super) struct Stand<S> {
    pub(super) engine: Engine<S>,
    pub(super) out: Out,
    /// Session time and the venue's, a millisecond of one for each of the other.
    pub(super) ms: u64,
    /// Last update id and the best bid of each.
    books: [(u64, i64); 2],
    told: u64,
}

impl<S: Strategy> Stand<S> {
    pub(super) fn new(config: Config) -> Self {
        let config = Config { instrument: ["AAA", "BBB"].map(instrument).to_vec(), ..config };
        Self::of(Engine::new(&config, &definitions()).unwrap())
    }

    pub(super) fn of(engine: Engine<S>) -> Self {
        Self { engine, out: Out::default(), ms: 1_000, books: [(0, 0); 2], told: 0 }
    }

    /// Time passes, in steps that are no gap.
    pub(super) fn wait(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(100) {
            self.ms += 100.min(ms);
            self.feed(EngineEvent::Timer);
        }
    }

    /// Time passes at once, up to a second.
    pub(super) fn pass(&mut self, ms: u64) {
        self.ms += ms;
        self.feed(EngineEvent::Timer);
    }

    fn feed(&mut self, event: EngineEvent<'_>) {
        self.engine.on_event(self.ms * 1_000_000, Cause::NONE, event, &mut self.out);
    }

    fn market(&mut self, header: &MarketHeader, levels: &[Level]) {
        // No socket of the feed has read a snapshot.
        let is_snapshot = header.market_kind() == MarketKind::Snapshot;
        let read_ns = if is_snapshot { 0 } else { self.ms * 1_000_000 };
        let venue_ms = if header.venue_ms == 0 { self.ms } else { header.venue_ms };
        let header = MarketHeader { venue_ms, read_ns, ..*header };
        self.feed(EngineEvent::Market(MarketEvent { header: &header, levels }));
    }

    /// The best bid is `bid`, the best ask a tick above; 1 each.
    pub(super) fn book(&mut self, instrument: u16, bid: i64) {
        let (id, before) = self.books[usize::from(instrument)];
        self.books[usize::from(instrument)] = (id + 1, bid);
        let level = |price, qty| Level { price, qty };
        let kind = MarketKind::Depth as u16;
        let header = MarketHeader {
            kind,
            instrument,
            first_update_id: id + 1,
            last_update_id: id + 1,
            previous_update_id: id,
            ..MarketHeader::default()
        };
        if id == 0 {
            let snapshot = MarketHeader { kind: MarketKind::Snapshot as u16, bids: 1, asks: 1, ..header };
            self.market(&header, &[]);
            self.market(&snapshot, &[level(bid, 1_000), level(bid + 10, 1_000)]);
        } else if before == bid {
            self.market(&MarketHeader { bids: 1, ..header }, &[level(bid, 1_000)]);
        } else {
            let levels = [level(before, 0), level(bid, 1_000), level(before + 10, 0), level(bid + 10, 1_000)];
            // What goes must not wipe what comes at the same price.
            let (mut bids, mut asks) = (levels[..2].to_vec(), levels[2..].to_vec());
            bids.dedup_by_key(|l| l.price);
            asks.dedup_by_key(|l| l.price);
            let header = MarketHeader { bids: bids.len() as u16, asks: asks.len() as u16, ..header };
            self.market(&header, &[bids, asks].concat());
        }
    }

    pub(super) fn trade(&mut self, instrument: u16, price: i64, qty: i64) {
        let kind = MarketKind::Trade as u16;
        self.market(
            &MarketHeader { kind, instrument, bids: 1, ..MarketHeader::default() },
            &[Level { price, qty }],
        );
    }

    /// A trade of a number, at a time of the venue's.
    pub(super) fn trade_at(&mut self, id: u64, venue_ms: u64, price: i64) {
        let kind = MarketKind::Trade as u16;
        let header = MarketHeader { kind, bids: 1, last_update_id: id, venue_ms, ..MarketHeader::default() };
        self.market(&header, &[Level { price, qty: 1 }]);
    }

    /// A mark price of the first instrument, at a time of the venue's.
    pub(super) fn mark_at(&mut self, venue_ms: u64) {
        let header = MarketHeader { kind: MarketKind::Mark as u16, venue_ms, ..MarketHeader::default() };
        self.market(&header, &[Level { price: 1, qty: 0 }]);
    }

    /// Best prices of the first instrument, ahead of its book.
    pub(super) fn ticker(&mut self, ahead: u64, bid: Level, ask: Level) {
        let last_update_id = self.books[0].0 + ahead;
        let kind = MarketKind::Ticker as u16;
        self.market(&MarketHeader { kind, last_update_id, ..MarketHeader::default() }, &[bid, ask]);
    }

    pub(super) fn lose_books(&mut self) {
        self.market(&MarketHeader { kind: MarketKind::LinkDown as u16, ..MarketHeader::default() }, &[]);
        self.books = [(0, 0); 2];
    }

    pub(super) fn tell(&mut self, instrument: u32, body: OutcomeBody) {
        self.told += 1;
        self.feed(EngineEvent::Outcome(Outcome { number: self.told, instrument, body }));
    }

    /// An intent fills up to `qty` of the position, and ends.
    pub(super) fn fill(&mut self, intent: &IntentRecord, position: i64) {
        self.tell(intent.instrument, OutcomeBody::Position { qty: position });
        let body = OutcomeBody::Done { intent: intent.number, state: OrderState::Filled };
        self.tell(intent.instrument, body);
    }

    /// Intents since the last look.
    pub(super) fn intents(&mut self) -> Vec<IntentRecord> {
        std::mem::take(&mut self.out.intents)
    }

    /// Reasons since the last look.
    pub(super) fn passes(&mut self) -> Vec<Reason> {
        std::mem::take(&mut self.out.passes)
    }
}
