//! The way of one instrument to a position: orders that take what is there now, one at a time. Never a second one while
//! nobody knows what became of the first.

use super::{Desk, Order};
use crate::{
    message::{Outcome, OutcomeBody},
    port::EnginePort,
};
use serde::{Deserialize, Serialize};
use tickpath_shared::{
    Nanos,
    config::CONFIRM_WITHIN_MS_MAX,
    types::{InstrumentDefinition, OrderState, OrderTerms, Reason, Side, TimeInForce},
};

/// Longest pause before an order that was refused is tried again while something is held: what closes must get through
/// in the end.
const HELD_PAUSE_NS: Nanos = 250_000_000;
/// Pause after an order that found nothing at its price: the rate of orders is what closes are made of too.
const MISS_PAUSE_NS: Nanos = 100_000_000;
/// Time after which an order of which nothing was heard is forgotten; the gateway answers long before.
const FORGET_NS: Nanos = 60_000_000_000;
// Also when it waits for a person and is looked after at the venue then.
const _: () = assert!(CONFIRM_WITHIN_MS_MAX * 1_000_000 + 10_000_000_000 < FORGET_NS);

/// What an outcome was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Another position.
    Position,
    /// The order was refused here or by the venue.
    Refused,
    /// Nothing that needs a decision.
    Other,
}

/// One instrument.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Taker {
    instrument: u32,
    tick: i64,
    lot: i64,
    /// Largest order that brings the position towards zero: less than what a limit has refused.
    most: i64,
    /// Longest wait for an order's outcome before the next one.
    order_ns: Nanos,
    position: i64,
    /// Intent not yet at its end.
    in_flight: Option<u64>,
    /// Signed quantity of the last order.
    sent: i64,
    /// It waits for a person.
    is_held: bool,
    /// Session time before which no further order is wanted.
    quiet_until: Nanos,
}

impl Taker {
    pub(super) fn new(definition: &InstrumentDefinition, order_ns: Nanos) -> Self {
        let InstrumentDefinition { instrument, tick, lot, .. } = *definition;
        Self {
            instrument,
            tick,
            lot,
            most: i64::MAX,
            order_ns,
            position: 0,
            in_flight: None,
            sent: 0,
            is_held: false,
            quiet_until: 0,
        }
    }

    pub(super) fn instrument(&self) -> u32 {
        self.instrument
    }

    pub(super) fn position(&self) -> i64 {
        self.position
    }

    /// What is left of the pause at `now`.
    pub(super) fn pause_ns(&self, now: Nanos) -> Nanos {
        self.quiet_until.saturating_sub(now)
    }

    /// No further order before `until`.
    pub(super) fn rest(&mut self, until: Nanos) {
        self.quiet_until = until;
    }

    /// An order is under way.
    pub(super) fn is_waiting(&self, now: Nanos) -> bool {
        self.in_flight.is_some() && now < self.quiet_until + FORGET_NS
    }

    /// What is missing to `wanted`, as far as an order can bring it: a rest that is worth less than the venue takes
    /// counts as nothing.
    pub(super) fn missing(&self, desk: &Desk<'_, impl EnginePort>, wanted: i64) -> i64 {
        let missing = wanted - self.position;
        if missing == 0 || self.is_towards_zero(missing) {
            return missing;
        }
        let (definition, top) = (desk.definition(self.instrument), desk.top(self.instrument));
        let is_sendable = top.is_none_or(|top| {
            let price = if missing > 0 { top.ask.price } else { top.bid.price };
            definition.notional_e8(price, missing.abs()) >= i128::from(definition.notional_min_e8)
        });
        // A whole position that cannot be sent is the business of a limit, which says so.
        if is_sendable || self.position == 0 { missing } else { 0 }
    }

    fn is_towards_zero(&self, missing: i64) -> bool {
        self.position != 0 && missing.signum() != self.position.signum()
    }

    /// Takes back an order that waits for a person when it is no part of what is `missing` any more: nobody may approve
    /// what nobody wants, and a way out waits for no entry.
    pub(super) fn review(&mut self, desk: &mut Desk<'_, impl EnginePort>, missing: i64) {
        let Some(intent) = self.in_flight.filter(|_| self.is_held) else { return };
        if missing.signum() != self.sent.signum() || missing.abs() < self.sent.abs() {
            desk.cancel(self.instrument, intent);
            self.is_held = false;
        }
    }

    /// Sends an order for what is `missing`, up to `ticks` beyond the opposite best, unless one is under way. `exits`
    /// are the stop and the target of what is entered, 0 for none.
    pub(super) fn take(
        &mut self,
        desk: &mut Desk<'_, impl EnginePort>,
        missing: i64,
        ticks: i64,
        exits: [i64; 2],
    ) {
        let now = desk.now();
        self.review(desk, missing);
        if missing == 0 || now < self.quiet_until || self.is_waiting(now) {
            return;
        }
        let Some(top) = desk.top(self.instrument) else { return };
        let reach = ticks * self.tick;
        // Through zero in two steps: a reduce-only order first, the new position after it.
        let is_reduce_only = self.is_towards_zero(missing);
        let within = |qty: i64| qty.min(self.position.abs()).min(self.most);
        let qty = if is_reduce_only { within(missing.abs()) } else { missing.abs() };
        let [lowest, highest] = desk.price_bounds(self.instrument);
        // An entry beyond the bounds is refused with a reason; a way out is sent as far as it may go.
        let (side, price) = if missing > 0 {
            let wanted = (top.ask.price + reach + self.tick - 1) / self.tick * self.tick;
            let is_bound = is_reduce_only || top.ask.price <= highest;
            (Side::Buy, if is_bound { wanted.min(highest) } else { wanted })
        } else {
            let wanted = (top.bid.price - reach) / self.tick * self.tick;
            let is_bound = is_reduce_only || top.bid.price >= lowest;
            (Side::Sell, if is_bound { wanted.max(lowest) } else { wanted })
        };
        let (instrument, time_in_force) = (self.instrument, TimeInForce::Ioc);
        let [stop, target] = if is_reduce_only { [0; 2] } else { exits };
        let terms = OrderTerms::LIMIT;
        let order =
            Order { instrument, side, price, qty, time_in_force, is_reduce_only, stop, target, terms };
        self.in_flight = Some(desk.place(&order));
        (self.sent, self.is_held) = (side.sign() * qty, false);
        self.quiet_until = now + self.order_ns;
    }

    /// Forgets an order of which nothing was heard.
    pub(super) fn forget(&mut self) {
        self.in_flight = None;
    }

    /// Takes what became of an order of the instrument.
    pub(super) fn on_outcome(&mut self, now: Nanos, outcome: &Outcome) -> News {
        match outcome.body {
            OutcomeBody::Position { qty } => {
                self.position = qty;
                if qty == 0 {
                    self.most = i64::MAX;
                }
                News::Position
            }
            // Orders of people on the instrument may wait, too.
            OutcomeBody::Held { intent } if self.in_flight == Some(intent) => {
                self.is_held = true;
                News::Other
            }
            OutcomeBody::Refused { intent, .. }
            | OutcomeBody::Done { intent, state: OrderState::Rejected }
                if self.in_flight == Some(intent) =>
            {
                if let OutcomeBody::Refused { reason, .. } = outcome.body {
                    self.note_size(reason);
                }
                let pause = if self.position == 0 { self.order_ns } else { self.order_ns.min(HELD_PAUSE_NS) };
                (self.in_flight, self.quiet_until) = (None, now + pause);
                News::Refused
            }
            OutcomeBody::Done { intent, state } if self.in_flight == Some(intent) => {
                let pause = if state == OrderState::Filled { 0 } else { MISS_PAUSE_NS.min(self.order_ns) };
                (self.in_flight, self.quiet_until) = (None, now + pause);
                News::Other
            }
            _ => News::Other,
        }
    }

    /// A way out that is larger than an order may be goes in parts: a position may have grown dearer since it was entered,
    /// and a limit narrower.
    fn note_size(&mut self, reason: Reason) {
        let is_too_large = matches!(reason, Reason::QtyMax | Reason::NotionalMax);
        if is_too_large && self.is_towards_zero(self.sent) {
            self.most = (self.sent.abs() / 2 / self.lot * self.lot).max(self.lot);
        }
    }

    /// The state as words, for digests.
    pub(super) fn words(&self) -> [u64; 6] {
        let [position, sent, most] = [self.position, self.sent, self.most].map(|qty| qty as u64);
        [position, self.in_flight.unwrap_or(0), self.quiet_until, sent, self.is_held.into(), most]
    }
}
