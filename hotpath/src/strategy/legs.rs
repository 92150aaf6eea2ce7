//! The two-leg manager: two positions that belong together are opened together, and closed together.
//!
//! Positions come from fills alone. A leg is brought to its target by IOC orders, one at a time. An opening that is not
//! whole in its time is completed at a worse price or, when that fails too, undone; nothing is opened while either leg
//! could not be closed.

use super::{Desk, Order, find, quantity};
use crate::{
    book::Top,
    message::{Outcome, OutcomeBody},
    port::EnginePort,
};
use serde::{Deserialize, Serialize};
use tickpath_shared::{
    Nanos,
    types::{InstrumentDefinition, OrderState, Reason, Side, TimeInForce},
};

/// Longest pause before an order that closes is tried again.
const CLOSING_PAUSE_NS: Nanos = 250_000_000;
/// Pause after an order that found nothing at its price: the rate of orders is what closes are made of too.
const MISS_PAUSE_NS: Nanos = 100_000_000;
/// Time after which an order of which nothing was heard is forgotten; the gateway answers long before.
const FORGET_NS: Nanos = 60_000_000_000;

/// How legs are brought to their targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegRules {
    /// Ticks beyond the opposite best that an order may pay.
    pub aggression_ticks: i64,
    /// The same once an opening is late, and for closing what is left of one.
    pub urgent_ticks: i64,
    /// Longest wait for an order's outcome before the next order of the leg.
    pub order_ns: Nanos,
    /// Time in which an opening is whole; after it the missing rest may pay the urgent price.
    pub open_ns: Nanos,
    /// Time after that in which it is whole at last; after it what there is is closed. 0: closed at once.
    pub complete_ns: Nanos,
    /// Pause after a failed opening.
    pub rest_ns: Nanos,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    /// Both legs are where they should be.
    Settled,
    /// On the way since.
    Moving(Nanos),
    /// The opening has failed.
    Undoing,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Leg {
    instrument: u32,
    tick: i64,
    /// Signed position that is held while long.
    long_qty: i64,
    position: i64,
    /// Intent not yet at its end.
    in_flight: Option<u64>,
    /// Session time before which no further order of the leg is wanted.
    quiet_until: Nanos,
}

/// The legs, the first one bought when long and the second one sold.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct LegPair {
    rules: LegRules,
    legs: [Leg; 2],
    /// +1 long, -1 short, 0 flat.
    target: i64,
    phase: Phase,
    rest_until: Nanos,
    /// Openings that were undone.
    undone: u64,
}

impl LegPair {
    /// Flat legs of `symbols` and quantities, bought and sold while long; `key` is the section of the configuration.
    ///
    /// # Errors
    ///
    /// A text naming the key, the value and the bound.
    pub fn new(
        key: &str,
        rules: LegRules,
        legs: [(&str, &str, &str); 2],
        definitions: &[InstrumentDefinition],
    ) -> Result<Self, String> {
        let leg = |(role, symbol, qty): (&str, &str, &str), sign: i64| {
            let definition = find(&format!("{key}.{role}"), symbol, definitions)?;
            Ok::<_, String>(Leg {
                instrument: definition.instrument,
                tick: definition.tick,
                long_qty: sign * quantity(&format!("{key}.{role}_qty"), qty, definition)?,
                position: 0,
                in_flight: None,
                quiet_until: 0,
            })
        };
        let legs = [leg(legs[0], 1)?, leg(legs[1], -1)?];
        Ok(Self { rules, legs, target: 0, phase: Phase::Settled, rest_until: 0, undone: 0 })
    }

    /// The instruments.
    pub fn instruments(&self) -> [u32; 2] {
        self.legs.map(|leg| leg.instrument)
    }

    /// What is aimed at: +1 long, -1 short, 0 flat, also while a failed opening is undone.
    pub fn target(&self) -> i64 {
        self.target
    }

    /// Both legs are where they should be, and nothing is under way.
    pub fn is_settled(&self) -> bool {
        self.phase == Phase::Settled
    }

    /// Openings that were undone.
    pub fn undone(&self) -> u64 {
        self.undone
    }

    /// Share of its full size that one leg has more than the other, 0 to 1 for legs on their way.
    pub fn imbalance(&self) -> f64 {
        let [first, second] = self.legs.map(|leg| leg.position as f64 / leg.long_qty as f64);
        (first - second).abs()
    }

    /// Why nothing can be opened now, if so: the instrument, the reason, and the numbers.
    pub fn obstacle(&self, desk: &Desk<'_, impl EnginePort>) -> Option<(u32, Reason, f64, f64)> {
        if let Some(rest_ns) = self.rest_until.checked_sub(desk.now()).filter(|rest_ns| *rest_ns > 0) {
            return Some((self.legs[0].instrument, Reason::Resting, rest_ns as f64 / 1e6, 0.0));
        }
        let per_leg = |leg: &Leg| {
            if desk.fresh_top(leg.instrument).is_none_or(|top| top.bid.qty <= 0 || top.ask.qty <= 0) {
                let age_ms = desk.listing(leg.instrument).age_ns(desk.now()) as f64 / 1e6;
                return Some((leg.instrument, Reason::NoBook, age_ms, desk.book_age_ns_max as f64 / 1e6));
            }
            let is_busy = leg.in_flight.is_some() || leg.position != 0 || desk.now() < leg.quiet_until;
            is_busy.then_some((leg.instrument, Reason::LegBusy, leg.position as f64, 0.0))
        };
        self.legs.iter().find_map(per_leg)
    }

    /// Aims at long (+1), short (-1) or flat (0) from `now` on. What is being undone stays flat.
    pub fn aim(&mut self, now: Nanos, target: i64) {
        if self.phase != Phase::Undoing && self.target != target {
            (self.target, self.phase) = (target, Phase::Moving(now));
        }
    }

    /// Sends what the legs need now.
    #[inline]
    pub fn poll(&mut self, desk: &mut Desk<'_, impl EnginePort>) {
        if self.phase != Phase::Settled {
            self.move_on(desk);
        }
    }

    fn move_on(&mut self, desk: &mut Desk<'_, impl EnginePort>) {
        let now = desk.now();
        let is_there = self.legs.iter().all(|leg| leg.position == self.target * leg.long_qty);
        if is_there && self.legs.iter().all(|leg| !leg.is_waiting(now)) {
            if self.phase == Phase::Undoing {
                self.rest_until = now + self.rules.rest_ns;
            }
            self.phase = Phase::Settled;
            return;
        }
        let is_urgent = self.judge(now);
        let ticks = if is_urgent { self.rules.urgent_ticks } else { self.rules.aggression_ticks };
        for leg in &mut self.legs {
            let Some(top) = desk.top(leg.instrument) else { continue };
            if let Some(order) = leg.order(now, self.target, top, ticks) {
                leg.in_flight = Some(desk.place(&order));
                leg.quiet_until = now + self.rules.order_ns;
            }
        }
    }

    /// Gives up an opening that has had its time. True when a worse price may be paid.
    fn judge(&mut self, now: Nanos) -> bool {
        let Phase::Moving(since) = self.phase else { return true };
        let LegRules { open_ns, complete_ns, .. } = self.rules;
        if self.target != 0 && now >= since + open_ns + complete_ns {
            self.undo();
            return true;
        }
        now >= since + open_ns
    }

    fn undo(&mut self) {
        (self.target, self.phase) = (0, Phase::Undoing);
        self.undone += 1;
    }

    /// Takes a position, an end or a refusal of either leg.
    pub fn on_outcome(&mut self, now: Nanos, outcome: &Outcome) {
        let order_ns = self.rules.order_ns;
        let is_opening = self.target != 0 && matches!(self.phase, Phase::Moving(_));
        let Some(leg) = self.legs.iter_mut().find(|leg| leg.instrument == outcome.instrument) else { return };
        match outcome.body {
            OutcomeBody::Position { qty } => {
                leg.position = qty;
                // A position that nobody here aimed at is brought back.
                if self.phase == Phase::Settled {
                    self.phase = Phase::Moving(now);
                }
            }
            OutcomeBody::Refused { intent, .. }
            | OutcomeBody::Done { intent, state: OrderState::Rejected }
                if leg.in_flight == Some(intent) =>
            {
                // What closes is tried again soon: it must get through in the end.
                let is_bare = is_opening && leg.position == 0;
                let pause = if is_bare { order_ns } else { order_ns.min(CLOSING_PAUSE_NS) };
                (leg.in_flight, leg.quiet_until) = (None, now + pause);
                // Whatever refused it will refuse it again: the other leg must not wait for it.
                if is_opening {
                    self.undo();
                }
            }
            OutcomeBody::Done { intent, state } if leg.in_flight == Some(intent) => {
                let pause = if state == OrderState::Filled { 0 } else { MISS_PAUSE_NS.min(order_ns) };
                (leg.in_flight, leg.quiet_until) = (None, now + pause);
            }
            OutcomeBody::Done { .. } | OutcomeBody::Amended { .. } | OutcomeBody::Refused { .. } => {}
        }
    }

    /// The state as words, for digests.
    pub fn words(&self) -> impl Iterator<Item = u64> + '_ {
        let phase = match self.phase {
            Phase::Settled => 0,
            Phase::Moving(since) => since,
            Phase::Undoing => 1,
        };
        let legs =
            self.legs.iter().flat_map(|l| [l.position as u64, l.in_flight.unwrap_or(0), l.quiet_until]);
        [self.target as u64, phase, self.rest_until, self.undone].into_iter().chain(legs)
    }
}

impl Leg {
    /// An order is under way.
    fn is_waiting(&self, now: Nanos) -> bool {
        self.in_flight.is_some() && now < self.quiet_until + FORGET_NS
    }

    fn order(&self, now: Nanos, target: i64, top: Top, ticks: i64) -> Option<Order> {
        let missing = target * self.long_qty - self.position;
        // Never a second order while nobody knows what became of the first.
        if missing == 0 || now < self.quiet_until || self.is_waiting(now) {
            return None;
        }
        let reach = ticks * self.tick;
        let (side, price) = if missing > 0 {
            (Side::Buy, (top.ask.price + reach + self.tick - 1) / self.tick * self.tick)
        } else {
            (Side::Sell, ((top.bid.price - reach) / self.tick * self.tick).max(self.tick))
        };
        // Through zero in two steps: a reduce-only order first, the new position after it.
        let is_reduce_only = self.position != 0 && missing.signum() != self.position.signum();
        let qty = if is_reduce_only { missing.abs().min(self.position.abs()) } else { missing.abs() };
        let (instrument, time_in_force) = (self.instrument, TimeInForce::Ioc);
        Some(Order { instrument, side, price, qty, time_in_force, is_reduce_only })
    }
}
