//! A gateway, a simulated venue and an unreliable network between them under one virtual clock.

use super::{
    io::{IdText, Io, Seen},
    legs::Legs,
    local::{Local, lock},
    network::Odds,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};
use tickpath_hotpath::{
    message::{AccountMessage, Ask, EngineBody, EngineMessage, Notice},
    session::{
        Finding, Wallet,
        account::{AccountReader, ResumeFrom},
    },
    stage::gateway::{Gateway, GatewayEvent, OrderIds, connection},
    venue::{Credentials, Rest, Secret},
};
use tickpath_shared::{
    Nanos,
    command::Verb,
    config::{self, Config, KeyKind},
    record::{
        Cause, ChangeRecord, CommandRecord, IntentRecord, Kind, OrderReportRecord, StopReportRecord,
        TimeRecord,
    },
    types::{InstanceId, InstrumentDefinition, Side, TimeInForce, decimal},
};
use tickpath_tests::random::Random;
use tickpath_tests::wide_limits;
use tickpath_tools::{
    capture::{MarketLine, MarketSource, SyntheticMarket},
    venue::{
        self, AccountKey, AccountStart, Limits,
        binance::{ClientRole, Exchange, Reply},
    },
};
use zerocopy::IntoBytes;

pub const MS: Nanos = 1_000_000;
pub const SECOND: Nanos = 1_000 * MS;
/// Venue's clock at virtual time zero, unix milliseconds.
pub const EPOCH_MS: u64 = 1_700_000_000_000;
const API_KEY: &str = "key";
// The venue's published example pair.
const SEED: &str = "8244616b4606b8400a66fd0efcbea9af1611fd2540e975b3808b20007d9bcf6e";
const PUBLIC: &str = "19420abfd752a565c15625e9da6eaf0086fc40c14960183214442c14996a800d";

/// The market runs so many times slower than its own clock: what is tested is orders.
const MARKET_STRETCH: u64 = 8;

/// What happens at a moment.
pub enum Happening {
    /// The next line of the market.
    Market,
    /// A decision to trade.
    Intent,
    Timer,
    /// A request reaches the venue.
    Arrive {
        session: u64,
        text: String,
    },
    /// A frame reaches the gateway.
    Frame {
        which: u16,
        session: u64,
        text: String,
    },
    /// A connection breaks; the gateway learns it later.
    Cut {
        which: u16,
    },
    Down {
        which: u16,
        session: u64,
    },
    Up {
        which: u16,
    },
    /// A REST job runs at the venue.
    Ask(Ask),
    /// Its records reach the gateway.
    Records {
        asked: Nanos,
        records: Vec<(Kind, Vec<u8>)>,
    },
    CancelAll,
    /// Somebody else trades on the account.
    Foreign,
    /// The kill word is set, or cleared.
    Kill {
        is_set: bool,
    },
}

fn bytes(hex: &str) -> [u8; 32] {
    std::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
}

/// One end of a private connection.
pub struct Link {
    pub session: u64,
    pub is_up: bool,
    pub role: Option<ClientRole>,
}

pub struct World {
    pub(super) now: Nanos,
    number: u64,
    happenings: BTreeMap<(Nanos, u64), Happening>,
    pub(super) random: Random,
    pub(super) odds: Odds,
    pub(super) venue: Arc<Mutex<Exchange>>,
    pub(super) credentials: Arc<Credentials>,
    pub(super) rest: Rest,
    pub(super) gateway: Gateway,
    pub(super) io: Io,
    pub(super) definitions: Vec<InstrumentDefinition>,
    market: SyntheticMarket,
    line: Option<MarketLine>,
    market_start_ns: u64,
    pub(super) links: [Link; connection::COUNT],
    pub(super) last_arrival: [Nanos; connection::COUNT],
    pub(super) legs: Option<Legs>,
    intents: u64,
    intents_wanted: u64,
    resume: ResumeFrom,
    wallet: Wallet,
    /// Since when an order's outcome is unknown.
    unknown_since: BTreeMap<IdText, Nanos>,
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
        risk: wide_limits(200),
        ..Config::default()
    }
}

impl World {
    /// A world in which so many orders are wanted.
    pub fn new(seed: u64, odds: Odds, orders: u64) -> Self {
        let (mut config, definitions) = (config(), venue::definitions());
        config.risk.resting_stop_bps = odds.resting_stop_bps;
        let secret = Secret::ed25519_seed(bytes(SEED));
        let public = bytes(PUBLIC);
        let keys = [AccountKey::Ed25519 { api_key: API_KEY.into(), public }];
        let credentials = Arc::new(Credentials { api_key: API_KEY.into(), secret, kind: KeyKind::Ed25519 });
        let account = AccountStart { balance_e8: 10_000_000_000_000_000, ..AccountStart::default() };
        let exchange = Exchange::new(&keys, Limits::NONE, account, EPOCH_MS);
        let venue = Arc::new(Mutex::new(exchange));
        let failing = Mutex::new((Random::new(seed ^ 77), odds.rest_failure));
        let transport = Arc::new(Local { venue: Arc::clone(&venue), failing });
        let rest = Rest::new(transport, Arc::clone(&credentials), config.venue.recv_window_ms);
        rest.budget().set_limit(u64::MAX / 4);
        let ids = OrderIds { instance: InstanceId::new("001").unwrap(), epoch: 1 };
        let link = || Link { session: 0, is_up: false, role: None };
        let mut world = Self {
            now: 1,
            number: 0,
            happenings: BTreeMap::new(),
            random: Random::new(seed),
            odds,
            venue,
            credentials,
            rest,
            gateway: Gateway::new(&config, &definitions, ids, false, false),
            io: Io::default(),
            definitions,
            market: SyntheticMarket::new(seed, EPOCH_MS),
            line: None,
            market_start_ns: EPOCH_MS * MS,
            links: [link(), link()],
            last_arrival: [0; connection::COUNT],
            legs: None,
            intents: 0,
            intents_wanted: orders,
            resume: ResumeFrom { trades: vec![0; 2], orders: vec![0; 2], funding_from_ms: 0 },
            wallet: Wallet::default(),
            unknown_since: BTreeMap::new(),
        };
        world.start();
        world
    }

    fn start(&mut self) {
        self.tell_time();
        for which in [connection::ORDERS, connection::EVENTS] {
            self.at(MS, Happening::Up { which });
        }
        self.at(0, Happening::Market);
        self.at(2 * MS, Happening::Ask(Ask::CatchUp));
        self.at(10 * MS, Happening::Timer);
        self.at(2 * SECOND, Happening::Intent);
        self.at(7 * SECOND, Happening::CancelAll);
        for which in [connection::ORDERS, connection::EVENTS] {
            self.plan_cut(which);
        }
        self.plan_kill();
        if self.odds.foreign_every_ms > 0 {
            self.at(3 * SECOND, Happening::Foreign);
        }
    }

    fn tell_time(&mut self) {
        let time = TimeRecord { venue_epoch_ns: EPOCH_MS * MS, error_bound_ns: 5 * MS, drift_ns: 0 };
        self.account(Kind::Time, time.as_bytes());
    }

    pub(super) fn at(&mut self, delay: Nanos, what: Happening) {
        self.number += 1;
        self.happenings.insert((self.now + delay, self.number), what);
    }

    pub(super) fn plan_cut(&mut self, which: u16) {
        if self.odds.cut_every_s > 0 {
            let after = self.random.below(2 * self.odds.cut_every_s * 1000).max(1) * MS;
            self.at(after, Happening::Cut { which });
        }
    }

    /// A world whose orders are those of an engine with a strategy of two legs.
    pub fn with_legs(seed: u64, odds: Odds, openings: u64) -> Self {
        let mut world = Self::new(seed, odds, 0);
        let parameters = [("openings".to_owned(), openings as f64)].into();
        let mut config = Config { parameters, ..config() };
        config.risk.order_notional_max = i64::MAX / 2;
        world.legs = Some(Legs::new(&config, &world.definitions));
        let ids = OrderIds { instance: InstanceId::new("001").unwrap(), epoch: 1 };
        world.gateway = Gateway::new(&config, &world.definitions, ids, false, false);
        world.tell_time();
        world.io.has_engine = true;
        world
    }

    /// Runs until every order was wanted and the dust has settled.
    pub fn run(&mut self) {
        let mut quiet_from = None;
        self.run_while(|world| {
            if world.intents >= world.intents_wanted {
                let since = *quiet_from.get_or_insert(world.now);
                return world.now <= since + 120 * SECOND;
            }
            true
        });
    }

    pub(super) fn run_while(&mut self, mut goes_on: impl FnMut(&Self) -> bool) {
        while goes_on(self)
            && let Some(((time, _), what)) = self.happenings.pop_first()
        {
            self.now = time;
            lock(&self.venue).advance(EPOCH_MS + time / MS);
            self.handle(what);
            self.settle_legs();
            self.take_output();
        }
    }

    fn handle(&mut self, what: Happening) {
        match what {
            Happening::Market => self.on_market(),
            Happening::Intent => self.on_intent(),
            Happening::Timer => self.on_timer(),
            Happening::Arrive { session, text } => self.on_arrival(session, &text),
            Happening::Frame { which, session, text } => {
                if self.links[usize::from(which)].session == session {
                    self.tell(GatewayEvent::Private { connection: which, frame: text.as_bytes() });
                }
            }
            Happening::Cut { which } => self.on_cut(which),
            Happening::Down { which, session } => self.on_down(which, session),
            Happening::Up { which } => self.on_up(which),
            Happening::Ask(ask) => self.on_ask(ask),
            Happening::Records { asked, records } => self.on_records(asked, records),
            Happening::Foreign => self.on_foreign(),
            Happening::Kill { is_set } => self.on_kill(is_set),
            Happening::CancelAll => {
                self.command(Verb::CancelAll);
                self.at(5 * SECOND, Happening::CancelAll);
            }
        }
    }

    pub(super) fn tell(&mut self, event: GatewayEvent<'_>) {
        self.gateway.on_event(self.now, Cause::NONE, event, &mut self.io);
    }

    fn account(&mut self, kind: Kind, payload: &[u8]) {
        let message = AccountMessage::new(Cause::NONE, kind as u16, payload).unwrap();
        self.tell(GatewayEvent::Account(&message));
    }

    fn command(&mut self, verb: Verb) {
        let command = CommandRecord::of(1, verb);
        self.account(Kind::Command, command.as_bytes());
    }

    /// Whatever is open is canceled in the very turn that sees the word, over either road.
    fn on_kill(&mut self, is_set: bool) {
        self.io.is_killed = is_set;
        self.tell(GatewayEvent::Kill { is_set });
        if !is_set {
            self.command(Verb::Arm);
            return self.plan_kill();
        }
        self.io.seen.kills += 1;
        let left = self.gateway.orders().iter().filter(|order| !order.is_canceling).count();
        self.io.seen.left_by_kill += left as u64;
        self.at(200 * MS, Happening::Kill { is_set: false });
    }

    fn plan_kill(&mut self) {
        if self.odds.kill_every_ms > 0 {
            let after = (1 + self.random.below(2 * self.odds.kill_every_ms)) * MS;
            self.at(after, Happening::Kill { is_set: true });
        }
    }

    fn on_market(&mut self) {
        if let Some(line) = self.line.take() {
            lock(&self.venue).on_line(&line);
            self.legs_on_line(&line);
        }
        let line = self.market.next_line().unwrap().unwrap();
        let due = (line.time_ns - self.market_start_ns) * MARKET_STRETCH;
        self.line = Some(line);
        self.at(due.saturating_sub(self.now), Happening::Market);
    }

    /// What the session thread and the engine would tell all the time.
    fn on_timer(&mut self) {
        let ticks = self.now / (10 * MS);
        if ticks.is_multiple_of(1_000) {
            self.tell_time();
        }
        if ticks.is_multiple_of(100) {
            let marks: Vec<i64> = (0..2).map(|i| lock(&self.venue).mark_price_e8(i)).collect();
            for (instrument, price_e8) in (0..).zip(marks) {
                let body = EngineBody::Mark { instrument, price_e8 };
                self.tell(GatewayEvent::Engine(&EngineMessage {
                    number: 0,
                    decided_ns: self.now,
                    book_venue_ms: 0,
                    body,
                }));
            }
            if !self.gateway.is_reconciled() {
                return self.at(10 * MS, Happening::Timer);
            }
            self.command(Verb::Arm);
        }
        self.tell(GatewayEvent::Timer);
        self.legs_on_timer();
        self.note_unknown();
        self.at(10 * MS, Happening::Timer);
    }

    fn note_unknown(&mut self) {
        let unknown: BTreeSet<IdText> = self
            .gateway
            .orders()
            .iter()
            .filter(|order| order.is_unknown())
            .map(|order| *order.client_order_id.as_padded())
            .collect();
        self.unknown_since.retain(|id, _| unknown.contains(id));
        for id in unknown {
            let since = *self.unknown_since.entry(id).or_insert(self.now);
            let longest = &mut self.io.seen.longest_unknown_ns;
            *longest = (*longest).max(self.now - since);
        }
    }

    fn on_intent(&mut self) {
        if self.intents >= self.intents_wanted {
            return;
        }
        if self.random.chance(self.odds.change) {
            self.change_one();
        }
        let pause_ms = if self.odds.pause_ms == 0 { 40 } else { self.odds.pause_ms };
        let pause = (1 + self.random.below(pause_ms)) * MS;
        self.at(pause, Happening::Intent);
        let instrument = self.random.below(2) as u32;
        let definition = self.definitions[instrument as usize];
        let top = lock(&self.venue).top(instrument as usize);
        if top.bid.qty == 0 || top.ask.qty == 0 {
            return;
        }
        // Against the position as it grows, so that it stays within what the wallet carries.
        let position = self.gateway.positions().qty(instrument);
        let lean = position.signum() * i64::from(self.random.chance(0.5));
        let is_buy = if lean == 0 { self.random.chance(0.5) } else { lean < 0 };
        let side = if is_buy { Side::Buy } else { Side::Sell };
        let is_taking = self.random.chance(0.6);
        let (own, other) = if is_buy { (top.bid, top.ask) } else { (top.ask, top.bid) };
        let price = if is_taking { other.price } else { own.price - side.sign() * definition.tick };
        let time_in_force = match self.random.below(4) {
            _ if !is_taking && self.random.chance(0.3) => TimeInForce::Gtx,
            0 => TimeInForce::Gtc,
            1 => TimeInForce::Fok,
            _ if is_taking => TimeInForce::Ioc,
            _ => TimeInForce::Gtc,
        };
        let unit = if instrument == 0 { 10 } else { 40 };
        let before = self.io.seen.orders;
        let intent = IntentRecord {
            number: self.intents + 1,
            price,
            qty: definition.lot * unit * (1 + self.random.below(3) as i64),
            book_ns: self.now,
            read_ns: self.now,
            instrument,
            book_epoch: 1,
            strategy: 0,
            side: side as u8,
            time_in_force: time_in_force as u8,
            is_reduce_only: u8::from(position != 0 && lean != 0 && self.random.chance(0.3)),
            is_book_valid: 1,
            order_type: 0,
            price_match: 0,
            stop: 0,
            target: 0,
            good_till_ms: 0,
        };
        let body = EngineBody::Intent(intent);
        let book_venue_ms = EPOCH_MS + self.now / MS;
        let message = EngineMessage { number: intent.number, decided_ns: self.now, book_venue_ms, body };
        self.tell(GatewayEvent::Engine(&message));
        self.intents += self.io.seen.orders - before;
    }

    /// The engine wants one of its open orders a tick or two elsewhere, larger or smaller, or gone.
    fn change_one(&mut self) {
        let open: Vec<_> = self.gateway.orders().iter().filter(|o| o.intent != 0).copied().collect();
        if open.is_empty() {
            return;
        }
        let order = open[self.random.below(open.len() as u64) as usize];
        let definition = self.definitions[order.instrument as usize];
        let is_cancel = self.random.chance(0.3);
        let ticks = self.random.below(5) as i64 - 2;
        let lots = self.random.below(21) as i64 - 10;
        let change = ChangeRecord {
            number: u64::MAX / 2,
            intent: order.intent,
            price: order.price + ticks * definition.tick,
            qty: if is_cancel { 0 } else { (order.qty + lots * definition.lot).max(definition.lot) },
            book_ns: self.now,
            read_ns: self.now,
            instrument: order.instrument,
            strategy: 0,
            is_book_valid: 1,
            reserved: 0,
        };
        let book_venue_ms = EPOCH_MS + self.now / MS;
        let body = EngineBody::Change(change);
        let message = EngineMessage { number: change.number, decided_ns: self.now, book_venue_ms, body };
        self.tell(GatewayEvent::Engine(&message));
    }

    /// An order by hand, or of another program, with an id of any length.
    fn on_foreign(&mut self) {
        if self.intents >= self.intents_wanted {
            return;
        }
        self.io.seen.foreign += 1;
        let (number, instrument) = (self.io.seen.foreign, self.random.below(2) as usize);
        let id = match number % 3 {
            0 => format!("by-hand-{number}"),
            1 => format!("a-name-of-somebody-else-{number:012}"),
            _ => format!("tp002-0000001-{number:08}"),
        };
        let (definition, top) = (self.definitions[instrument], lock(&self.venue).top(instrument));
        let is_buy = self.random.chance(0.5);
        let (own, other) = if is_buy { (top.bid, top.ask) } else { (top.ask, top.bid) };
        let is_taking = self.random.chance(0.5);
        let price = if is_taking { other.price } else { own.price };
        let venue_ms = EPOCH_MS + self.now / MS;
        let text = format!(
            r#"{{"id":"f{number}","method":"order.place","params":{{"symbol":"{}","side":"{}","type":"LIMIT","timeInForce":"GTC","quantity":"{}","price":"{}","newClientOrderId":"{id}","timestamp":{venue_ms}}}}}"#,
            definition.symbol.as_str(),
            if is_buy { "BUY" } else { "SELL" },
            decimal::to_text(definition.lot * 20, definition.qty_scale).trim_end_matches('0'),
            decimal::to_text(price, definition.price_scale),
        );
        let mut role = self.log_on();
        let Reply::Text(answer) = lock(&self.venue).on_text(&mut role, &text) else { panic!("closed") };
        assert!(answer.contains("\"status\":200") || answer.contains("error"), "{answer}");
        let pause = (1 + self.random.below(2 * self.odds.foreign_every_ms)) * MS;
        self.at(pause, Happening::Foreign);
    }

    fn on_ask(&mut self, ask: Ask) {
        let venue_ms = EPOCH_MS + self.now / MS;
        let clock = move || venue_ms;
        let reader = AccountReader { rest: &self.rest, definitions: &self.definitions, venue_ms: &clock };
        let records = match ask {
            Ask::Order { instrument, name } => reader.order(instrument, &name).map(|read| read.records(0)),
            Ask::CatchUp | Ask::Adopt => reader.read(&self.resume, false).map(|read| {
                for trade in &read.trades {
                    let from = &mut self.resume.trades[trade.instrument as usize];
                    *from = (*from).max(trade.trade_id);
                }
                let found = self.wallet.take(&self.definitions, &read);
                assert_eq!(found, Finding::default());
                self.resume.funding_from_ms = self.wallet.funding_from_ms();
                self.io.seen.wallets += u64::from(read.funding.is_some());
                read.records(0)
            }),
            Ask::Stop { instrument, client_order_id } => reader
                .stop(instrument, &client_order_id)
                .map(|report| vec![(Kind::StopReport, report.as_bytes().to_vec())]),
            Ask::Cancel { instrument, name } => {
                let definition = &self.definitions[instrument as usize];
                self.rest.cancel(definition, &name, venue_ms).map(|()| Vec::new())
            }
            Ask::Renew { connection: which, .. } => {
                let session = self.links[usize::from(which)].session;
                return self.at(0, Happening::Down { which, session });
            }
            Ask::Tell(notice) => {
                if matches!(notice, Notice::StopReached { .. }) {
                    self.io.seen.stops_reached += 1;
                } else {
                    self.io.notices.push(notice);
                }
                return;
            }
            Ask::Day(_)
            | Ask::Time
            | Ask::Snapshot { .. }
            | Ask::KillLatch
            | Ask::Answer { .. }
            | Ask::Booked { .. } => {
                return;
            }
        };
        let delay = self.way();
        match records {
            Ok(records) => self.at(delay, Happening::Records { asked: self.now, records }),
            Err(_) => {
                self.io.seen.failed_asks += 1;
                // The gateway asks about orders again by itself; the session thread reads the account again.
                if matches!(ask, Ask::CatchUp | Ask::Adopt) {
                    self.at(500 * MS, Happening::Ask(ask));
                }
            }
        }
    }

    fn on_records(&mut self, asked: Nanos, records: Vec<(Kind, Vec<u8>)>) {
        for (kind, mut payload) in records {
            let age_at = match kind {
                Kind::OrderReport => Some(std::mem::offset_of!(OrderReportRecord, age_ms)),
                Kind::StopReport => Some(std::mem::offset_of!(StopReportRecord, age_ms)),
                _ => None,
            };
            if let Some(at) = age_at {
                let age_ms = ((self.now - asked).div_ceil(MS)) as u32;
                payload[at..at + size_of::<u32>()].copy_from_slice(&age_ms.to_le_bytes());
            }
            self.account(kind, &payload);
        }
    }

    /// What was seen so far.
    pub fn seen(&self) -> Seen {
        self.io.seen
    }

    /// Orders that the venue accepted.
    pub fn accepted(&self) -> u64 {
        lock(&self.venue).orders_count() as u64
    }

    /// Virtual time.
    pub fn now(&self) -> Nanos {
        self.now
    }
}
