//! What a strategy may look at and do while it has the word.

use crate::{
    book::{Listing, Top},
    message::{EngineBody, EngineMessage},
    port::EnginePort,
};
use serde::{Deserialize, Serialize};
use tickpath_shared::{
    Nanos,
    counters::Counter,
    record::{Cause, ChangeRecord, Class, IntentRecord, Kind, PassRecord, SignalRecord},
    types::{InstrumentDefinition, OrderTerms, Reason, Side, TimeInForce},
};
use zerocopy::IntoBytes;

/// Session time after which a reason that still holds is told again.
const PASS_NS: Nanos = 1_000_000_000;

/// An order that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Instrument index.
    pub instrument: u32,
    /// Side.
    pub side: Side,
    /// Limit price.
    pub price: i64,
    /// Quantity.
    pub qty: i64,
    /// How long it stays.
    pub time_in_force: TimeInForce,
    /// The order only brings the position back towards zero.
    pub is_reduce_only: bool,
    /// Price at which the position will be given up, 0 for none: limits on the risk of a trade look at it.
    pub stop: i64,
    /// Price at which it will be left with a profit, 0 for none.
    pub target: i64,
    /// What it says besides; [`OrderTerms::LIMIT`] for a limit order with a price of its own.
    pub terms: OrderTerms,
}

/// What a signal was, for those who look on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// The series that is traded on.
    pub value: f64,
    /// How far it is from what was expected, in deviations; `None` while that is unknown.
    pub z: Option<f64>,
    /// 0 flat, 1 long, 2 short: what is wanted after it.
    pub stance: u16,
    /// Slope against the other instrument; 0 without one.
    pub beta: f64,
    /// What `z` is compared with.
    pub bound: f64,
    /// Volatility over the usual one; 0 where it is not modelled.
    pub volatility: f64,
    /// Probability that the series changed just now.
    pub change: f64,
}

/// Reasons that were given last, so that one that goes on is not told with every tick.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Passes {
    /// By instrument.
    last: Vec<Pass>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Pass {
    reason: u16,
    /// Times since it was told last.
    count: u64,
    value: f64,
    bound: f64,
    next_ns: Nanos,
}

impl Passes {
    pub(crate) fn new(instruments: usize) -> Self {
        Self { last: vec![Pass::default(); instruments] }
    }

    /// The state as words, for digests.
    pub(crate) fn words(&self) -> impl Iterator<Item = u64> + '_ {
        self.last.iter().flat_map(|pass| [pass.reason.into(), pass.count, pass.next_ns])
    }
}

/// Limits of the gateway that a strategy does well to know beforehand.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct DeskLimits {
    /// Oldest book that an order may rest on.
    pub(crate) book_age_ns_max: Nanos,
    /// Largest distance of a price from the mark price, basis points.
    pub(crate) collar_bps: i64,
}

/// The instruments, the time and the way out. Times are of the session, in nanoseconds, unless they say venue.
pub struct Desk<'a, P> {
    pub(crate) now: Nanos,
    pub(crate) cause: Cause,
    pub(crate) read_ns: Nanos,
    pub(crate) venue_ms: u64,
    pub(crate) limits: DeskLimits,
    pub(crate) strategy: u16,
    pub(crate) listings: &'a [Listing],
    pub(crate) sent: &'a mut u64,
    pub(crate) passes: &'a mut Passes,
    pub(crate) port: &'a mut P,
}

impl<P: EnginePort> Desk<'_, P> {
    /// Session time.
    #[inline]
    pub fn now(&self) -> Nanos {
        self.now
    }

    /// The venue's clock as its messages show it, unix milliseconds.
    #[inline]
    pub fn venue_ms(&self) -> u64 {
        self.venue_ms
    }

    /// An instrument.
    pub fn listing(&self, instrument: u32) -> &Listing {
        &self.listings[instrument as usize]
    }

    /// Definition of an instrument.
    pub fn definition(&self, instrument: u32) -> &InstrumentDefinition {
        self.listing(instrument).definition()
    }

    /// Best prices of an instrument whose book is complete, whatever its age: enough to learn from, not to rest on.
    #[inline]
    pub fn top(&self, instrument: u32) -> Option<Top> {
        self.listing(instrument).top()
    }

    /// Best prices of an instrument whose book is complete and as young as the limits want it.
    #[inline]
    pub fn fresh_top(&self, instrument: u32) -> Option<Top> {
        let listing = self.listing(instrument);
        listing.top().filter(|_| listing.age_ns(self.now) <= self.limits.book_age_ns_max)
    }

    /// As [`Self::fresh_top`]; says that there is no such book when there is none.
    pub fn fresh_top_or_pass(&mut self, instrument: u32) -> Option<Top> {
        let top = self.fresh_top(instrument);
        if top.is_none() {
            let age_ms = self.listing(instrument).age_ns(self.now) as f64 / 1e6;
            self.pass(instrument, Reason::NoBook, age_ms, self.limits.book_age_ns_max as f64 / 1e6);
        }
        top
    }

    /// Lowest and highest price that limits and venue let through, on the grid: see
    /// [`InstrumentDefinition::price_bounds`].
    pub fn price_bounds(&self, instrument: u32) -> [i64; 2] {
        let listing = self.listing(instrument);
        listing.definition.price_bounds(listing.mark_e8, self.limits.collar_bps)
    }

    /// Journals an intent and sends it to the gateway; returns its number, by which outcomes name it.
    #[inline(always)]
    pub fn place(&mut self, order: &Order) -> u64 {
        let listing = &self.listings[order.instrument as usize];
        let (order_type, price_match) = order.terms.codes();
        let body = EngineBody::Intent(IntentRecord {
            number: *self.sent + 1,
            price: order.price,
            qty: order.qty,
            book_ns: listing.book_ns,
            read_ns: self.read_ns,
            instrument: order.instrument,
            book_epoch: listing.book.epoch(),
            strategy: self.strategy,
            side: order.side as u8,
            time_in_force: order.time_in_force as u8,
            is_reduce_only: order.is_reduce_only.into(),
            is_book_valid: listing.book.is_valid().into(),
            order_type,
            price_match,
            stop: order.stop,
            target: order.target,
            good_till_ms: order.terms.good_till_ms,
        });
        let message = self.message(body, listing.book_venue_ms);
        // Journalled from where a fused gateway will read it: what was written a moment ago is not copied on the way of its
        // order. A ring takes a copy.
        let EngineBody::Intent(intent) = &message.body else { unreachable!("made above") };
        self.port.record(Kind::Intent, Class::Audit, self.now, self.cause, &[intent.as_bytes()]);
        self.port.send(&message);
        self.port.count(Counter::Intents, 1);
        message.number
    }

    /// Wants another price and quantity (what has filled included) for the order of an intent; returns the number of
    /// the change.
    pub fn amend(&mut self, instrument: u32, intent: u64, price: i64, qty: i64) -> u64 {
        let listing = self.listing(instrument);
        let change = ChangeRecord {
            number: *self.sent + 1,
            intent,
            price,
            qty,
            book_ns: listing.book_ns,
            read_ns: self.read_ns,
            instrument,
            strategy: self.strategy,
            is_book_valid: listing.book.is_valid().into(),
            reserved: 0,
        };
        let message = self.message(EngineBody::Change(change), listing.book_venue_ms);
        self.port.record(Kind::Change, Class::Audit, self.now, self.cause, &[change.as_bytes()]);
        self.port.send(&message);
        message.number
    }

    /// Wants the order of an intent canceled; returns the number of the change.
    pub fn cancel(&mut self, instrument: u32, intent: u64) -> u64 {
        self.amend(instrument, intent, 0, 0)
    }

    #[inline(always)]
    fn message(&mut self, body: EngineBody, book_venue_ms: u64) -> EngineMessage {
        *self.sent += 1;
        EngineMessage { number: *self.sent, decided_ns: self.port.decide(), book_venue_ms, body }
    }

    #[inline(always)]
    fn send(&mut self, body: EngineBody, book_venue_ms: u64) -> u64 {
        let message = self.message(body, book_venue_ms);
        self.port.send(&message);
        message.number
    }

    /// Tells what a signal was.
    pub fn tell(&mut self, reading: &Reading) {
        let record = SignalRecord {
            spread_bits: reading.value.to_bits(),
            z_bits: reading.z.map_or(0, f64::to_bits),
            venue_ms: self.venue_ms,
            strategy: self.strategy,
            state: reading.stance,
            reserved: 0,
            beta_bits: reading.beta.to_bits(),
            bound_bits: reading.bound.to_bits(),
            volatility_bits: reading.volatility.to_bits(),
            change_bits: reading.change.to_bits(),
        };
        self.port.record(Kind::Signal, Class::Telemetry, self.now, self.cause, &[record.as_bytes()]);
        if reading.volatility > 0.0 {
            let SignalRecord { volatility_bits, change_bits, .. } = record;
            self.send(EngineBody::Regime { volatility_bits, change_bits }, 0);
        }
    }

    /// Says why an opportunity is left: the value that was compared, and with what. A reason that holds is told when
    /// it comes up, and once a second with how often.
    pub fn pass(&mut self, instrument: u32, reason: Reason, value: f64, bound: f64) {
        let last = self.passes.last[instrument as usize];
        let is_same = last.reason == reason as u16;
        let next = Pass { reason: reason as u16, value, bound, count: 1, next_ns: self.now + PASS_NS };
        if is_same && self.now < last.next_ns {
            let count = last.count + 1;
            self.passes.last[instrument as usize] = Pass { count, next_ns: last.next_ns, ..next };
            return;
        }
        if is_same {
            self.tell_pass(instrument, &Pass { count: last.count + 1, ..next });
        } else {
            if last.count > 0 {
                self.tell_pass(instrument, &last);
            }
            self.tell_pass(instrument, &next);
        }
        self.passes.last[instrument as usize] = Pass { count: 0, ..next };
    }

    fn tell_pass(&mut self, instrument: u32, pass: &Pass) {
        let record = PassRecord {
            value_bits: pass.value.to_bits(),
            bound_bits: pass.bound.to_bits(),
            count: pass.count,
            venue_ms: self.venue_ms,
            instrument,
            strategy: self.strategy,
            reason: pass.reason,
        };
        self.port.record(Kind::Pass, Class::Audit, self.now, self.cause, &[record.as_bytes()]);
    }
}
