//! Engine and gateway cores under a virtual clock, fed with a damaged copy of recorded data while an
//! undamaged book stands beside them.

use std::path::PathBuf;
use tickpath_hotpath::{
    book::SyncedBook,
    market::{Level, MarketEvent, MarketHeader, MarketKind},
    message::{AccountMessage, Ask, EngineMessage, Outcome},
    port::{EnginePort, Port},
    stage::{
        engine::{Engine, EngineEvent},
        gateway::{Gateway, GatewayEvent, GatewayPort, OrderIds, Outgoing, connection},
    },
    venue::{Decoded, MarketDecoder},
};
use tickpath_shared::{
    Nanos,
    command::Verb,
    config::{self, Config},
    counters::Counter,
    record::{
        BookChange, BookStateRecord, Cause, Class, CommandRecord, Kind, PassRecord, PositionRecord,
        ReconciledRecord, RefusalRecord, TimeRecord,
    },
    types::{InstanceId, InstrumentDefinition, Reason},
};
use tickpath_tests::wide_limits;
use tickpath_tools::{
    capture::{CaptureReader, MarketLine, MarketSource},
    venue::{self, Faults},
};
use zerocopy::{FromBytes, IntoBytes};

/// Virtual time of a line.
const LINE_NS: Nanos = 2_000_000;
/// Lines between the request for a snapshot and its answer.
const SNAPSHOT_DELAY: u64 = 40;

#[derive(Clone, Copy, Debug)]
pub struct Damage {
    pub probability: f64,
    pub seed: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    pub dropped_diffs: u64,
    pub swapped_diffs: u64,
    pub gaps: u64,
    pub duplicates: u64,
    pub resyncs: u64,
    /// Diffs that did not follow the one before them and left the book valid.
    pub unflagged: u64,
    pub orders: u64,
    pub orders_while_invalid: u64,
    /// Orders decided on a book older than allowed by the venue's clock.
    pub stale_orders: u64,
    pub refused_as_stale: u64,
    /// Times a strategy would not open without a young book.
    pub left_without_book: u64,
    pub last_order_ns: Nanos,
    /// Lines that arrived over a slow network.
    pub arrived: u64,
    /// Diffs after which a book that calls itself valid differed from the undamaged one.
    pub books_differ: u64,
}

pub struct Bench {
    engine: Engine,
    gateway: Gateway,
    io: Io,
    decoder: MarketDecoder,
    definitions: Vec<InstrumentDefinition>,
    /// Undamaged books.
    truth: Vec<SyncedBook>,
    /// Last update id that reached the engine, by instrument.
    delivered: Vec<u64>,
    faults: Faults,
    random: u64,
    held: Option<MarketLine>,
    due: Vec<(u64, u32)>,
    epoch_ms: u64,
    now: Nanos,
    lines: u64,
    pub found: Found,
}

/// What the cores do, kept.
#[derive(Default)]
struct Io {
    messages: Vec<EngineMessage>,
    outcomes: Vec<Outcome>,
    asks: Vec<u32>,
    is_valid: [bool; 2],
    orders: u64,
    orders_while_invalid: u64,
    gaps: u64,
    duplicates: u64,
    resyncs: u64,
    /// Venue's time now, and of the last diff that arrived, by instrument: unix milliseconds.
    venue_ms: u64,
    book_ms: [u64; 2],
    stale_orders: u64,
    refused_as_stale: u64,
    left_without_book: u64,
    last_order_ns: Nanos,
}

/// Oldest book, by the venue's clock, that an order may be decided on, milliseconds.
const BOOK_AGE_MS_MAX: u64 = 3_000;

impl Port for Io {
    fn record(&mut self, kind: Kind, _class: Class, _now: Nanos, _cause: Cause, parts: &[&[u8]]) {
        if kind == Kind::Refusal {
            let (refusal, _) = RefusalRecord::read_from_prefix(parts[0]).unwrap();
            self.refused_as_stale += u64::from(refusal.reason == Reason::BookStale as u16);
        }
        if kind == Kind::Pass {
            let (pass, _) = PassRecord::read_from_prefix(parts[0]).unwrap();
            self.left_without_book += u64::from(pass.reason == Reason::NoBook as u16);
        }
        if kind == Kind::BookState {
            let (state, _) = BookStateRecord::read_from_prefix(parts[0]).unwrap();
            self.is_valid[state.instrument as usize] = state.change == BookChange::Valid as u16;
            self.resyncs += u64::from(state.change == BookChange::Valid as u16);
        }
    }

    fn count(&mut self, counter: Counter, by: u64) {
        match counter {
            Counter::BookGaps => self.gaps += by,
            Counter::DepthDuplicates => self.duplicates += by,
            _ => {}
        }
    }
}

impl EnginePort for Io {
    fn send(&mut self, message: &EngineMessage) {
        self.messages.push(*message);
    }

    fn ask_snapshot(&mut self, instrument: u32) {
        self.asks.push(instrument);
    }
}

impl GatewayPort for Io {
    fn send(&mut self, now: Nanos, request: &Outgoing<'_>) {
        if request.is_order {
            self.last_order_ns = now;
        }
        self.orders += u64::from(request.is_order);
        let is_any_invalid = self.is_valid.contains(&false);
        self.orders_while_invalid += u64::from(request.is_order && is_any_invalid);
        let is_of_btc = request.text.windows(7).any(|w| w == b"BTCUSDT");
        let age_ms = self.venue_ms.saturating_sub(self.book_ms[usize::from(!is_of_btc)]);
        self.stale_orders += u64::from(request.is_order && self.venue_ms != 0 && age_ms > BOOK_AGE_MS_MAX);
    }

    fn tell(&mut self, outcome: Outcome) {
        self.outcomes.push(outcome);
    }

    fn ask(&mut self, _ask: Ask) {}
}

fn config() -> Config {
    let instrument = |symbol: &str| config::Instrument {
        symbol: symbol.into(),
        depth_stream: "depth@0ms".into(),
        book_levels_max: 65_536,
        leverage: None,
    };
    Config {
        instrument: vec![instrument("BTCUSDT"), instrument("ETHUSDT")],
        pairs: config::Pairs {
            is_enabled: true,
            base: "ETHUSDT".into(),
            hedge: "BTCUSDT".into(),
            window: 100,
            sample_ms: 50,
            entry_z: 1.0,
            exit_z: 0.5,
            leg_timeout_ms: 20,
            // Nothing ever fills here: it is tried again and again.
            open_ms: 600_000,
            rest_ms: 0,
            change_probability: 1.0,
            volatility_power: 0.0,
            ..config::Pairs::default()
        },
        risk: wide_limits(256),
        ..Config::default()
    }
}

impl Bench {
    pub fn new(damage: Damage) -> Self {
        Self::with(&config(), damage)
    }

    /// With the probe, which looks at no book's age, in the place of a strategy.
    pub fn probing(damage: Damage) -> Self {
        let mut config = config();
        config.pairs.is_enabled = false;
        config.probe = config::Probe { is_enabled: true, symbol: "BTCUSDT".into(), qty: "0.001".into() };
        Self::with(&config, damage)
    }

    fn with(config: &Config, damage: Damage) -> Self {
        let definitions = venue::definitions();
        let ids = OrderIds { instance: InstanceId::new("001").unwrap(), epoch: 1 };
        let p = damage.probability;
        let mut bench = Self {
            engine: Engine::new(config, &definitions).unwrap(),
            gateway: Gateway::new(config, &definitions, ids, false, false),
            io: Io::default(),
            decoder: MarketDecoder::new(&definitions, 1 << 20),
            truth: definitions.iter().map(|d| SyncedBook::new(d.tick, 65_536)).collect(),
            delivered: vec![0; definitions.len()],
            definitions,
            faults: Faults { drop: p, repeat: p, swap: p, irregular: 0.0, seed: damage.seed },
            random: damage.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            held: None,
            due: Vec::new(),
            epoch_ms: 0,
            now: 1,
            lines: 0,
            found: Found::default(),
        };
        bench.arm();
        bench
    }

    /// Everything the gateway needs before it lets an order pass.
    fn arm(&mut self) {
        for connection in [connection::ORDERS, connection::EVENTS] {
            self.tell_gateway(GatewayEvent::Link { connection, is_up: true });
        }
        let time = TimeRecord { venue_epoch_ns: 0, error_bound_ns: 1_000_000, drift_ns: 0 };
        self.account(Kind::Time, time.as_bytes());
        for instrument in 0..2 {
            let flat =
                PositionRecord { instrument, reserved: 0, qty: 0, entry_price_e8: 0, through_trade_id: 0 };
            self.account(Kind::StartPosition, flat.as_bytes());
        }
        self.account(Kind::Reconciled, ReconciledRecord { open_orders: 0, trades: 0 }.as_bytes());
        let command = CommandRecord::of(1, Verb::Arm);
        self.account(Kind::Command, command.as_bytes());
    }

    fn account(&mut self, kind: Kind, payload: &[u8]) {
        let message = AccountMessage::new(Cause::NONE, kind as u16, payload).unwrap();
        self.tell_gateway(GatewayEvent::Account(&message));
    }

    fn tell_gateway(&mut self, event: GatewayEvent<'_>) {
        self.gateway.on_event(self.now, Cause::NONE, event, &mut self.io);
    }

    /// Uniform in 0..1.
    fn unit(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn run(&mut self, captures: &[PathBuf; 2]) {
        let mut reader = CaptureReader::open(captures).unwrap();
        while let Some(line) = reader.next_line().unwrap() {
            self.lines += 1;
            self.now += LINE_NS;
            self.answer_snapshots();
            self.pass(line);
            if self.lines.is_multiple_of(5) {
                self.engine.on_event(self.now, Cause::NONE, EngineEvent::Timer, &mut self.io);
                self.settle();
                self.tell_gateway(GatewayEvent::Timer);
            }
        }
        let io = &self.io;
        (self.found.orders, self.found.orders_while_invalid) = (io.orders, io.orders_while_invalid);
        (self.found.gaps, self.found.duplicates, self.found.resyncs) = (io.gaps, io.duplicates, io.resyncs);
    }

    /// The venue's clock shows so many unix milliseconds at the bench's time zero.
    pub fn set_epoch(&mut self, unix_ms: u64) {
        let time = TimeRecord { venue_epoch_ns: unix_ms * 1_000_000, error_bound_ns: 1_000_000, drift_ns: 0 };
        self.account(Kind::Time, time.as_bytes());
        self.epoch_ms = unix_ms;
    }

    /// The venue sends a line: its own book takes it.
    pub fn sent(&mut self, line: &MarketLine) {
        self.lines += 1;
        self.judge(line);
    }

    /// A turn of everything that has a timer.
    pub fn turn(&mut self, now: Nanos) {
        self.now = now;
        self.io.venue_ms = self.epoch_ms + now / 1_000_000;
        self.answer_snapshots();
        if (now / 5_000_000).is_multiple_of(200) {
            self.mark_all();
        }
        self.engine.on_event(now, Cause::NONE, EngineEvent::Timer, &mut self.io);
        self.settle();
        self.tell_gateway(GatewayEvent::Timer);
    }

    /// A line has arrived.
    pub fn arrived(&mut self, line: &MarketLine) {
        self.found.arrived += 1;
        self.deliver(line);
    }

    /// What was seen so far.
    pub fn figures(&self) -> Found {
        let io = &self.io;
        let (orders, orders_while_invalid) = (io.orders, io.orders_while_invalid);
        let (stale_orders, refused_as_stale) = (io.stale_orders, io.refused_as_stale);
        let left_without_book = io.left_without_book;
        let last_order_ns = io.last_order_ns;
        let resyncs = io.resyncs;
        Found {
            orders,
            orders_while_invalid,
            resyncs,
            stale_orders,
            refused_as_stale,
            left_without_book,
            last_order_ns,
            ..self.found
        }
    }

    /// The undamaged book takes the line; the engine takes what the damage leaves of it.
    fn pass(&mut self, line: MarketLine) {
        if self.lines.is_multiple_of(200) {
            self.mark_all();
        }
        let is_diff = self.judge(&line);
        if line.is_snapshot() {
            return;
        }
        let Faults { drop, repeat, swap, .. } = self.faults;
        let draw = self.unit();
        if draw < drop {
            self.found.dropped_diffs += u64::from(is_diff);
            return;
        }
        if draw < drop + swap && self.held.is_none() {
            self.found.swapped_diffs += u64::from(is_diff);
            self.held = Some(line);
            return;
        }
        self.deliver(&line);
        if draw < drop + swap + repeat && draw >= drop + swap {
            self.deliver(&line);
        }
        if let Some(held) = self.held.take() {
            self.deliver(&held);
        }
    }

    /// The undamaged book takes a line; true for a diff.
    fn judge(&mut self, line: &MarketLine) -> bool {
        if line.is_snapshot() {
            let index = self.definitions.iter().position(|d| d.symbol.as_str() == line.symbol).unwrap();
            let header = self.decoder.decode_snapshot(line.text.as_bytes(), index).unwrap();
            self.truth[index].on_snapshot(&MarketEvent { header: &header, levels: self.decoder.levels() });
            return false;
        }
        assert_eq!(self.decoder.decode_bytes(line.text.as_bytes()), Ok(Decoded::Event), "{}", line.text);
        let header = *self.decoder.header();
        let is_diff = header.kind == MarketKind::Depth as u16;
        if is_diff {
            let index = usize::from(header.instrument);
            self.truth[index].on_diff(&MarketEvent { header: &header, levels: self.decoder.levels() });
        }
        is_diff
    }

    /// A mark price for every instrument, often enough for the collar.
    fn mark_all(&mut self) {
        for (index, definition) in self.definitions.clone().iter().enumerate() {
            let mid_e8 = definition.price_to_e8(self.truth[index].top().mid_halves()) / 2;
            if mid_e8 == 0 {
                continue;
            }
            let header = MarketHeader {
                kind: MarketKind::Mark as u16,
                instrument: index as u16,
                bids: 1,
                read_ns: self.now,
                ..MarketHeader::default()
            };
            let levels = [Level { price: mid_e8 as i64, qty: 0 }];
            self.tell_engine(MarketEvent { header: &header, levels: &levels });
        }
    }

    fn tell_engine(&mut self, event: MarketEvent<'_>) {
        self.engine.on_event(self.now, Cause::NONE, EngineEvent::Market(event), &mut self.io);
        self.settle();
    }

    fn deliver(&mut self, line: &MarketLine) {
        let Ok(Decoded::Event) = self.decoder.decode_bytes(line.text.as_bytes()) else { return };
        let mut header = *self.decoder.header();
        header.read_ns = self.now;
        let levels = self.decoder.levels().to_vec();
        let index = usize::from(header.instrument);
        if header.kind == MarketKind::Depth as u16 {
            self.io.book_ms[index] = header.venue_ms;
        }
        let was_valid = self.engine.book(index).is_valid();
        self.tell_engine(MarketEvent { header: &header, levels: &levels });
        if header.kind != MarketKind::Depth as u16 {
            return;
        }
        let is_break = was_valid
            && header.previous_update_id != self.delivered[index]
            && header.last_update_id > self.delivered[index];
        self.found.unflagged += u64::from(is_break && self.engine.book(index).is_valid());
        self.delivered[index] = self.delivered[index].max(header.last_update_id);
        let (ours, truth) = (self.engine.book(index), &self.truth[index]);
        if ours.is_valid() && ours.last_update_id() == truth.last_update_id() {
            self.found.books_differ += u64::from(ours.book().digest() != truth.book().digest());
        }
    }

    /// Lets engine and gateway talk until both are silent.
    fn settle(&mut self) {
        let (now, due) = (self.now, self.lines + SNAPSHOT_DELAY);
        self.due.extend(self.io.asks.drain(..).map(|instrument| (due, instrument)));
        for message in std::mem::take(&mut self.io.messages) {
            self.gateway.on_event(now, Cause::NONE, GatewayEvent::Engine(&message), &mut self.io);
            // Nobody answers orders here: each is reported as expired, so that the strategy goes on.
            self.expire_orders();
        }
        for outcome in std::mem::take(&mut self.io.outcomes) {
            self.engine.on_event(now, Cause::NONE, EngineEvent::Outcome(outcome), &mut self.io);
        }
    }

    fn expire_orders(&mut self) {
        let open: Vec<_> = self.gateway.orders().iter().map(|o| (o.client_order_id, o.instrument)).collect();
        for (id, instrument) in open {
            let symbol = self.definitions[instrument as usize].symbol;
            let frame = format!(
                r#"{{"e":"ORDER_TRADE_UPDATE","E":1,"T":1,"o":{{"s":"{}","c":"{}","S":"BUY","x":"EXPIRED","X":"EXPIRED","i":1,"z":"0"}}}}"#,
                symbol.as_str(),
                id.as_str()
            );
            let event = GatewayEvent::Private { connection: connection::EVENTS, frame: frame.as_bytes() };
            self.tell_gateway(event);
        }
    }

    /// The venue's answer: its undamaged book, some time after the request.
    fn answer_snapshots(&mut self) {
        let lines = self.lines;
        let ready: Vec<u32> = self.due.iter().filter(|(at, _)| *at <= lines).map(|(_, i)| *i).collect();
        self.due.retain(|(at, _)| *at > lines);
        for instrument in ready {
            let truth = &self.truth[instrument as usize];
            if !truth.is_valid() {
                self.due.push((lines + SNAPSHOT_DELAY, instrument));
                continue;
            }
            let bids: Vec<Level> = truth.book().bids().collect();
            let asks: Vec<Level> = truth.book().asks().collect();
            let header = MarketHeader {
                kind: MarketKind::Snapshot as u16,
                instrument: instrument as u16,
                bids: bids.len() as u16,
                asks: asks.len() as u16,
                last_update_id: truth.last_update_id(),
                ..MarketHeader::default()
            };
            self.delivered[instrument as usize] =
                self.delivered[instrument as usize].max(truth.last_update_id());
            self.tell_engine(MarketEvent { header: &header, levels: &[bids, asks].concat() });
        }
    }
}
