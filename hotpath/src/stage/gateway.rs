//! The gateway: last hop before the venue and owner of the truth about orders and positions. Deterministic
//! core; the limits are in `risk/`, the order's life in `order/`, the positions in `account/`.

mod account;
mod change;
mod command;
mod flatten;
mod held;
mod orders;
mod resting;
mod send;
mod shown;
mod watch;

use super::{DIGEST_NS, POLL_GAP_NS};
use crate::{
    account::{Positions, SeenTrades},
    breaker::{Breakers, Day, Health},
    digest,
    message::{AccountMessage, Ask, EngineBody, EngineMessage, Outcome, OutcomeBody},
    order::{Order, OrderTable},
    port::Port,
    risk::{Mark, RateWindow, Rates},
    venue::{OrderEncoder, PrivateDecoder},
};
use serde::{Deserialize, Serialize};
use tickpath_shared::{
    Nanos,
    command::Verb,
    config::{self, Config},
    counters::Counter,
    journal::Pressure,
    record::{
        Cause, Class, DayRecord, DigestRecord, FillRecord, Kind, StateReason, TradingStateRecord, body_of,
    },
    types::{
        BreakerMetric, ClientOrderId, InstanceId, InstrumentDefinition, StrategyName, TradingState, decimal,
    },
};
use zerocopy::{FromBytes, IntoBytes};

/// Clocks drift apart by less than one part in so many.
const CLOCK_DRIFT_PART: u64 = 10_000;

/// Fills kept that arrive before the start position.
const EARLY_FILLS_MAX: usize = 256;

/// Connections of a gateway.
pub mod connection {
    /// Order entry.
    pub const ORDERS: u16 = 0;
    /// Account events.
    pub const EVENTS: u16 = 1;
    /// How many there are.
    pub const COUNT: usize = 2;
}

/// What a gateway consumes.
#[derive(Clone, Copy, Debug)]
pub enum GatewayEvent<'a> {
    /// A message of an engine.
    Engine(&'a EngineMessage),
    /// A record of the session thread.
    Account(&'a AccountMessage),
    /// A frame of a private socket.
    Private {
        /// Which socket.
        connection: u16,
        /// The text.
        frame: &'a [u8],
    },
    /// A private socket came up or went down.
    Link {
        /// Which socket.
        connection: u16,
        /// Up or down.
        is_up: bool,
    },
    /// The kill word was set or cleared.
    Kill {
        /// Set or cleared.
        is_set: bool,
    },
    /// The lane's pressure changed.
    Pressure(Pressure),
    /// The gateway's own timer.
    Timer,
}

/// What a gateway does.
pub trait GatewayPort: Port {
    /// Hands a journalled request to the order socket. A failing socket shows as a link event later.
    fn send(&mut self, now: Nanos, request: &Outgoing<'_>);
    /// Tells the engine. Returns false when its ring is full, which halts trading.
    fn tell(&mut self, outcome: Outcome);
    /// Asks the session thread.
    fn ask(&mut self, ask: Ask);
    /// Everything that a reading of the account contained is journalled; `reading` is the record that ended it.
    fn on_booked(&mut self, _reading: Cause) {}
    /// All limits passed: a latency stamp, nothing more.
    fn on_risk_passed(&mut self) {}
    /// The request has its text, which will be journalled and sent: a latency stamp, nothing more.
    fn on_encoded(&mut self) {}
    /// A position or the trading state changed: gauges, nothing more.
    fn on_gauges(&mut self, _gateway: &Gateway) {}
    /// An order more is open: a gauge, nothing more.
    fn on_open_orders(&mut self, _instrument: u32, _open: usize) {}
    /// An order was answered or filled: a latency stamp, nothing more.
    fn on_order_event(&mut self, _placed_ns: Nanos, _is_fill: bool, _now: Nanos) {}
}

/// A request on its way to the socket.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Canonical text.
    pub text: &'a [u8],
    /// The order it is about.
    pub client_order_id: ClientOrderId,
    /// Session time when the read of the tick returned, 0 without a tick.
    pub read_ns: Nanos,
    /// Session time of the decision, 0 without one.
    pub decided_ns: Nanos,
    /// A new order, as opposed to a cancel.
    pub is_order: bool,
}

/// Identity from which client order ids are made.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct OrderIds {
    /// The instance.
    pub instance: InstanceId,
    /// The session.
    pub epoch: u64,
}

/// What is known of the venue's clock.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct VenueClock {
    /// Its time at the session's beginning, in nanoseconds since 1970.
    epoch_ns: u64,
    /// Bound of the error when it was measured.
    error_ns: Option<u64>,
    /// Session time of that.
    measured_ns: Nanos,
    /// Bound of the error at the last timer.
    bound_ns: Option<u64>,
}

/// The gateway's state. What was deserialised is for replay: its tables may allocate as they grow.
#[derive(Serialize, Deserialize)]
pub struct Gateway {
    definitions: Vec<InstrumentDefinition>,
    limits: config::Risk,
    configured: config::Risk,
    ids: OrderIds,
    next_order: u64,
    /// The id of that order.
    next_id: ClientOrderId,
    recv_window_ns: Nanos,
    answer_timeout_ns: Nanos,
    state: TradingState,
    is_killed: bool,
    /// Halted by itself for what only a new process can mend.
    #[serde(default)]
    is_halted_for_good: bool,
    is_reconciled: bool,
    has_start_position: Vec<bool>,
    links: [bool; connection::COUNT],
    pressure: Pressure,
    clock: VenueClock,
    marks: Vec<Mark>,
    positions: Positions,
    orders: OrderTable,
    /// Signed notional of the positions at their marks, quote x 10^8.
    marked_e8: Vec<i64>,
    /// Strategy that traded an instrument last.
    owners: Vec<u16>,
    budgets: Vec<(u16, i64)>,
    /// Bit set of the instruments that may be traded.
    allowed: u32,
    rates: Rates,
    /// Orders that were refused for what a strategy gone wild would do.
    throttled: RateWindow,
    stops: command::Stops,
    breakers: Breakers,
    /// The breaker because of which nothing may be opened.
    barrier: Option<BreakerMetric>,
    day: Day,
    /// What was stored of it last.
    kept: Option<DayRecord>,
    health: Health,
    /// Session time of the last private message.
    private_ns: Nanos,
    next_watch_ns: Nanos,
    /// Bit set of the instruments whose positions are being closed.
    flattening: u32,
    next_flatten_ns: Nanos,
    held: held::HeldOrders,
    /// The command behind an intent, and the number that this has.
    #[serde(default)]
    by_hand: Option<(u64, u64)>,
    seen: SeenTrades,
    shown: shown::Shown,
    foreign: shown::Foreign,
    early_fills: Vec<FillRecord>,
    resting: resting::RestingStops,
    /// Somebody was told that commission is paid in another asset.
    has_told_fee: bool,
    encoder: OrderEncoder,
    #[serde(skip)]
    decoder: PrivateDecoder,
    told: u64,
    events: u64,
    last_now: Nanos,
    next_digest_ns: Nanos,
}

impl Gateway {
    /// A gateway for these instruments. `is_unclean`: the process before did not stop in order, so this one
    /// comes up cancel-only. `is_killed`: the kill latch is set.
    pub fn new(
        config: &Config,
        definitions: &[InstrumentDefinition],
        ids: OrderIds,
        is_unclean: bool,
        is_killed: bool,
    ) -> Self {
        Self {
            definitions: definitions.to_vec(),
            limits: config.risk.clone(),
            configured: config.risk.clone(),
            ids,
            next_order: 1,
            next_id: ClientOrderId::new(ids.instance, ids.epoch, 1),
            recv_window_ns: config.venue.recv_window_ms * 1_000_000,
            answer_timeout_ns: config.venue.answer_timeout_ms * 1_000_000,
            state: state_at_start(is_unclean, is_killed),
            is_killed,
            is_halted_for_good: false,
            is_reconciled: false,
            has_start_position: vec![false; definitions.len()],
            links: [false; connection::COUNT],
            pressure: Pressure::Low,
            clock: VenueClock::default(),
            marks: vec![Mark::default(); definitions.len()],
            positions: Positions::new(definitions.len()),
            orders: OrderTable::default(),
            marked_e8: vec![0; definitions.len()],
            owners: vec![Order::NOBODY; definitions.len()],
            budgets: budgets(&config.risk),
            allowed: allowed(&config.risk, definitions),
            rates: Rates::new(&config.risk),
            throttled: RateWindow::new(config.risk.throttled_max),
            stops: command::Stops::new(),
            breakers: Breakers::new(&config.breaker),
            barrier: None,
            day: Day::new(definitions.len(), config.risk.day_start_minutes),
            kept: None,
            health: Health::default(),
            private_ns: 0,
            next_watch_ns: 0,
            flattening: 0,
            next_flatten_ns: 0,
            held: held::HeldOrders::new(),
            by_hand: None,
            seen: SeenTrades::new(definitions.len()),
            shown: shown::Shown::new(definitions.len()),
            foreign: shown::Foreign::new(config.venue.foreign_orders),
            early_fills: Vec::with_capacity(EARLY_FILLS_MAX),
            resting: resting::RestingStops::new(definitions.len()),
            has_told_fee: false,
            encoder: OrderEncoder::new(config.venue.recv_window_ms, definitions),
            decoder: PrivateDecoder::new(config.venue.frame_bytes_max),
            told: 0,
            events: 0,
            last_now: 0,
            next_digest_ns: DIGEST_NS,
        }
    }

    /// The one entry: takes an event at `now`; `cause` is where it came from.
    pub fn on_event(
        &mut self,
        now: Nanos,
        cause: Cause,
        event: GatewayEvent<'_>,
        port: &mut impl GatewayPort,
    ) {
        self.events += 1;
        self.check_poll_gap(now, port);
        match event {
            GatewayEvent::Engine(message) => self.on_engine(now, cause, message, port),
            GatewayEvent::Account(message) => self.on_account(now, cause, message, port),
            GatewayEvent::Private { connection, frame } => {
                self.on_private(now, cause, connection, frame, port);
            }
            GatewayEvent::Link { connection, is_up } => self.on_link(now, cause, connection, is_up, port),
            GatewayEvent::Kill { is_set } => self.on_kill(now, cause, is_set, port),
            GatewayEvent::Pressure(level) => self.on_pressure(now, cause, level, port),
            GatewayEvent::Timer => self.on_timer(now, port),
        }
    }

    /// After a long pause every mark price is stale; the engine's books are reset by the same rule.
    fn check_poll_gap(&mut self, now: Nanos, port: &mut impl GatewayPort) {
        let gap = now.saturating_sub(self.last_now);
        if self.last_now != 0 && gap > POLL_GAP_NS {
            port.count(Counter::PollGaps, 1);
            self.marks.fill(Mark::default());
            (0..self.marks.len()).for_each(|index| self.mark_position(index as u32));
        }
        self.last_now = now;
    }

    fn on_engine(&mut self, now: Nanos, cause: Cause, message: &EngineMessage, port: &mut impl GatewayPort) {
        match &message.body {
            &EngineBody::Mark { instrument, price_e8 } => {
                self.marks[instrument as usize] = Mark { price_e8, seen_ns: now };
                self.mark_position(instrument);
            }
            EngineBody::Change(change) => self.on_change(now, cause, change, message, port),
            EngineBody::Intent(intent) => {
                let verdict = self.on_intent(now, cause, intent, message, port);
                if let Some((id, number)) = self.by_hand.take()
                    && number == message.number
                {
                    port.ask(Ask::Answer { id, verb: Verb::Place as u16, outcome: verdict.code() });
                }
            }
            &EngineBody::ByHand { id } => self.by_hand = Some((id, message.number + 1)),
            &EngineBody::Regime { volatility_bits, change_bits } => {
                self.health.on_regime(f64::from_bits(volatility_bits), f64::from_bits(change_bits));
            }
            // Nothing that was decided on it may leave any more.
            &EngineBody::BookLost { instrument } => self.withdraw_held(now, cause, 1 << instrument, port),
            &EngineBody::Owner { instrument, strategy } => self.on_owner(instrument, strategy),
            &EngineBody::Answer { id, outcome } => {
                port.ask(Ask::Answer { id, verb: Verb::Set as u16, outcome });
            }
        }
    }

    /// Bound of the error of the venue's clock: clocks drift apart while nobody compares them.
    pub(super) fn clock_error_at(&self, now: Nanos) -> Option<u64> {
        let since = now.saturating_sub(self.clock.measured_ns);
        self.clock.error_ns.map(|error| error.saturating_add(since / CLOCK_DRIFT_PART))
    }

    /// Signed notional of a position at its mark, rounded away from zero.
    pub(super) fn mark_position(&mut self, instrument: u32) {
        let index = instrument as usize;
        let (qty, mark) = (self.positions.qty(instrument), i128::from(self.marks[index].price_e8));
        let units = i128::from(decimal::pow10(self.definitions[index].qty_scale));
        let notional = (mark * i128::from(qty.abs()) + units - 1) / units;
        let is_known = qty == 0 || mark > 0;
        let size = if is_known { i64::try_from(notional).unwrap_or(i64::MAX) } else { i64::MAX };
        self.marked_e8[index] = if is_known { qty.signum() * size } else { i64::MAX };
    }

    fn on_link(&mut self, now: Nanos, cause: Cause, which: u16, is_up: bool, port: &mut impl GatewayPort) {
        self.links[usize::from(which)] = is_up;
        if which == connection::EVENTS && is_up {
            // Events may have been missed: nothing is proven until the account was read again.
            self.is_reconciled = false;
            port.ask(Ask::CatchUp);
        }
        if which == connection::EVENTS && !is_up {
            self.is_reconciled = false;
        }
        if !is_up {
            self.on_link_lost(now, cause, port);
        }
        port.on_gauges(self);
    }

    fn on_kill(&mut self, now: Nanos, cause: Cause, is_set: bool, port: &mut impl GatewayPort) {
        self.is_killed = is_set;
        // What is to be closed once the word is cleared a person says again.
        self.end_flattening();
        if is_set {
            self.set_state(now, cause, TradingState::Halted, StateReason::Kill, port);
            self.cancel_all(now, cause, port);
            port.ask(Ask::KillLatch);
        } else if !self.is_halted_for_good {
            self.set_state(now, cause, TradingState::Disarmed, StateReason::KillCleared, port);
        }
    }

    fn on_pressure(&mut self, now: Nanos, cause: Cause, level: Pressure, port: &mut impl GatewayPort) {
        let before = std::mem::replace(&mut self.pressure, level);
        if level >= Pressure::AuditOnly && before < Pressure::AuditOnly {
            // The engine gets no inputs any more: nothing of it may be left to itself.
            self.cancel_all(now, cause, port);
        }
        if level == Pressure::Exhausted {
            self.is_halted_for_good = true;
            self.set_state(now, cause, TradingState::Halted, StateReason::JournalExhausted, port);
            self.cancel_all(now, cause, port);
        }
    }

    /// Stops trading for a reason found outside of the core, until the process is started again.
    pub fn halt(&mut self, now: Nanos, reason: StateReason, port: &mut impl GatewayPort) {
        let is_first = !std::mem::replace(&mut self.is_halted_for_good, true);
        self.set_state(now, Cause::NONE, TradingState::Halted, reason, port);
        if is_first {
            self.cancel_all(now, Cause::NONE, port);
        } else {
            // The same again for every order that ends: no storm of requests.
            self.cancel_of(now, Cause::NONE, self.all_instruments(), port);
        }
    }

    fn set_state(
        &mut self,
        now: Nanos,
        cause: Cause,
        to: TradingState,
        reason: StateReason,
        port: &mut impl GatewayPort,
    ) {
        if to != TradingState::Armed {
            self.withdraw_held(now, cause, u32::MAX, port);
        }
        let from = std::mem::replace(&mut self.state, to);
        let record =
            TradingStateRecord { from: from as u8, to: to as u8, reason: reason as u16, reserved: 0 };
        port.record(Kind::TradingState, Class::Audit, now, cause, &[record.as_bytes()]);
        port.on_gauges(self);
    }

    fn on_timer(&mut self, now: Nanos, port: &mut impl GatewayPort) {
        self.clock.bound_ns = self.clock_error_at(now);
        self.chase_orders(now, port);
        self.expire_held(now, port);
        self.watch(now, port);
        self.go_flat(now, port);
        self.keep_stops(now, port);
        self.check_shown(now, port);
        self.adopt_strange(now, port);
        if now >= self.next_digest_ns {
            self.next_digest_ns = now + DIGEST_NS;
            let record = DigestRecord { events: self.events, digest: self.digest() };
            port.record(Kind::Digest, Class::Audit, now, Cause::NONE, &[record.as_bytes()]);
            // Mark prices move while nothing else does.
            port.on_gauges(self);
        }
    }

    fn tell(&mut self, instrument: u32, body: OutcomeBody, port: &mut impl GatewayPort) {
        self.told += 1;
        port.tell(Outcome { number: self.told, instrument, body });
    }

    /// The venue's time in unix milliseconds at `now`.
    fn venue_ms(&self, now: Nanos) -> u64 {
        (self.clock.epoch_ns + now) / 1_000_000
    }

    /// How long ago something happened by the venue's clock; nothing is younger than now.
    fn venue_age_ns(&self, now: Nanos, venue_ms: u64) -> Nanos {
        (self.clock.epoch_ns + now).saturating_sub(venue_ms.saturating_mul(1_000_000))
    }

    /// Trading state.
    pub fn state(&self) -> TradingState {
        self.state
    }

    /// Orders and positions of the account are proven.
    pub fn is_reconciled(&self) -> bool {
        self.is_reconciled
    }

    /// Which private sockets are up.
    pub fn links(&self) -> [bool; connection::COUNT] {
        self.links
    }

    /// Positions from fills.
    pub fn positions(&self) -> &Positions {
        &self.positions
    }

    /// Orders not yet at their end.
    pub fn orders(&self) -> &OrderTable {
        &self.orders
    }

    /// Mark prices.
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// Definitions in force.
    pub fn definitions(&self) -> &[InstrumentDefinition] {
        &self.definitions
    }

    /// Hash of the whole state.
    pub fn digest(&self) -> u64 {
        let flags = [
            self.next_order,
            self.state as u64,
            u64::from(self.is_killed)
                | u64::from(self.is_reconciled) << 1
                | u64::from(self.is_halted_for_good) << 2
                | (self.pressure as u64) << 8,
            self.clock.epoch_ns,
            self.told,
            self.by_hand.map_or(0, |(id, _)| id),
        ];
        let marks = self.marks.iter().flat_map(|m| [m.price_e8 as u64, m.seen_ns]);
        let words = flags
            .into_iter()
            .chain(marks)
            .chain(self.positions.words())
            .chain(self.orders.words())
            .chain(self.owners.iter().map(|owner| u64::from(*owner)))
            .chain(self.rates.words())
            .chain(self.throttled.words())
            .chain(self.stops.words())
            .chain(self.breakers.words())
            .chain(self.day.words())
            .chain(self.health.words())
            .chain([self.flattening.into(), self.next_flatten_ns, self.private_ns, self.next_watch_ns])
            .chain(self.held.words())
            .chain(self.seen.words())
            .chain(self.shown.words())
            .chain(self.resting.words())
            .chain(self.changed_limits());
        digest::fold(self.ids.epoch, words)
    }
}

/// What the session comes up in.
fn state_at_start(is_unclean: bool, is_killed: bool) -> TradingState {
    match (is_killed, is_unclean) {
        (true, _) => TradingState::Halted,
        (false, true) => TradingState::CancelOnly,
        (false, false) => TradingState::Disarmed,
    }
}

/// Budgets by the numbers of their strategies.
fn budgets(limits: &config::Risk) -> Vec<(u16, i64)> {
    // The configuration was checked: each has a number.
    let number = |budget: &config::Budget| StrategyName::number_of(&budget.strategy).ok();
    limits.budget.iter().filter_map(|budget| Some((number(budget)?, budget.notional_max))).collect()
}

/// Bit set of the instruments that may be traded.
fn allowed(limits: &config::Risk, definitions: &[InstrumentDefinition]) -> u32 {
    let is_allowed = |d: &&InstrumentDefinition| {
        limits.symbols.is_empty() || limits.symbols.iter().any(|symbol| symbol == d.symbol.as_str())
    };
    definitions.iter().filter(is_allowed).fold(0, |bits, d| bits | 1 << d.instrument)
}

/// The payload of an account message as `T`, or `None` when there is none.
fn body<T: FromBytes + IntoBytes>(message: &AccountMessage) -> Option<T> {
    body_of(message.payload())
}

#[cfg(test)]
mod tests;
