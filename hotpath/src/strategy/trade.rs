//! One position with a stop and a target: sized by what it may lose, entered while the signal is young, left at either
//! price.
//!
//! Stops are watched here and sent as orders when they are reached; they do not rest at the venue.

use super::{Desk, Order};
use crate::{
    book::Top,
    message::{Outcome, OutcomeBody},
    port::EnginePort,
};
use serde::{Deserialize, Serialize};
use tickpath_shared::{
    Nanos,
    config::TradeRules,
    types::{InstrumentDefinition, OrderState, Reason, Side, TimeInForce},
};

/// Pause after an order that found nothing at its price.
const MISS_PAUSE_NS: Nanos = 100_000_000;
/// Time after which an order of which nothing was heard is forgotten; the gateway answers long before.
const FORGET_NS: Nanos = 60_000_000_000;

/// Where a position is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Plan {
    side: Side,
    qty: i64,
    stop: i64,
    target: i64,
    /// Session time until which the entry may go on.
    enter_until: Nanos,
    is_leaving: bool,
}

/// The position of a strategy on one instrument.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trade {
    instrument: u32,
    tick: i64,
    lot: i64,
    rules: TradeRules,
    qty_max: i64,
    position: i64,
    in_flight: Option<u64>,
    quiet_until: Nanos,
    plan: Option<Plan>,
}

/// A direction that is wanted, with the price where it has failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Idea {
    /// Side.
    pub side: Side,
    /// Price in units at which it is given up.
    pub stop: f64,
    /// Price in units at which it has come true; `None` for the configured multiple of the risk.
    pub target: Option<f64>,
}

impl Trade {
    /// No position. `key` is the section of the configuration.
    ///
    /// # Errors
    ///
    /// A text naming the key, the value and the bound.
    pub fn new(key: &str, rules: &TradeRules, definition: &InstrumentDefinition) -> Result<Self, String> {
        let qty_max = super::quantity(&format!("{key}.qty_max"), &rules.qty_max, definition)?;
        Ok(Self {
            instrument: definition.instrument,
            tick: definition.tick,
            lot: definition.lot,
            rules: rules.clone(),
            qty_max,
            position: 0,
            in_flight: None,
            quiet_until: 0,
            plan: None,
        })
    }

    /// The instrument.
    pub fn instrument(&self) -> u32 {
        self.instrument
    }

    /// 0 flat, 1 long, 2 short: what is held or being entered.
    pub fn stance(&self) -> u16 {
        match self.plan {
            Some(Plan { side: Side::Buy, is_leaving: false, .. }) => 1,
            Some(Plan { side: Side::Sell, is_leaving: false, .. }) => 2,
            _ => 0,
        }
    }

    /// Takes up an idea, or says why not.
    pub fn open(&mut self, desk: &mut Desk<'_, impl EnginePort>, idea: &Idea) {
        let (instrument, now) = (self.instrument, desk.now());
        if self.plan.is_some() || self.position != 0 {
            return desk.pass(instrument, Reason::AlreadyHeld, self.position as f64, 0.0);
        }
        if now < self.quiet_until {
            return desk.pass(instrument, Reason::Resting, (self.quiet_until - now) as f64 / 1e6, 0.0);
        }
        let Some(top) = desk.fresh_top(instrument) else {
            let age_ms = desk.listing(instrument).age_ns(now) as f64 / 1e6;
            return desk.pass(instrument, Reason::NoBook, age_ms, 0.0);
        };
        let spread = (top.ask.price - top.bid.price) / self.tick;
        if spread > self.rules.spread_ticks_max {
            return desk.pass(
                instrument,
                Reason::SpreadTooWide,
                spread as f64,
                self.rules.spread_ticks_max as f64,
            );
        }
        let sign = idea.side.sign();
        let entry = if sign > 0 { top.ask.price } else { top.bid.price };
        // The stop away from the entry, the target towards it: never better than asked for.
        let stop = self.on_tick(idea.stop, -sign);
        let risk = sign * (entry - stop);
        if risk <= 0 {
            return desk.pass(instrument, Reason::BeyondStop, entry as f64, stop as f64);
        }
        let reward = self.rules.reward_ratio * risk as f64;
        let target = idea.target.unwrap_or(entry as f64 + sign as f64 * reward);
        let ratio = sign as f64 * (target - entry as f64) / risk as f64;
        if idea.target.is_some() && ratio < self.rules.reward_ratio_min {
            return desk.pass(instrument, Reason::RewardTooSmall, ratio, self.rules.reward_ratio_min);
        }
        let qty = self.size(desk.definition(instrument), risk);
        if qty < self.lot {
            let least = desk.definition(instrument).notional_e8(risk, self.lot) as f64 / 1e8;
            return desk.pass(instrument, Reason::RiskTooLarge, least, self.rules.risk_max as f64 / 1e8);
        }
        let enter_until = now + self.rules.entry_ms * 1_000_000;
        let target = self.on_tick(target, -sign);
        self.plan = Some(Plan { side: idea.side, qty, stop, target, enter_until, is_leaving: false });
        self.poll(desk);
    }

    /// Largest quantity that loses no more than it may over a distance of `risk` price units.
    fn size(&self, definition: &InstrumentDefinition, risk: i64) -> i64 {
        let per_lot = definition.notional_e8(risk, self.lot).max(1);
        let lots = (i128::from(self.rules.risk_max) / per_lot).min(i128::from(self.qty_max / self.lot));
        lots as i64 * self.lot
    }

    /// The tick at a price, or the next one towards `sign`.
    fn on_tick(&self, price: f64, sign: i64) -> i64 {
        let ticks = price / self.tick as f64;
        let ticks = if sign > 0 { libm::ceil(ticks) } else { libm::floor(ticks) };
        ticks as i64 * self.tick
    }

    /// Leaves what is held, and enters nothing more.
    pub fn close(&mut self) {
        match &mut self.plan {
            Some(plan) => plan.is_leaving = true,
            None if self.position != 0 => self.plan = Some(self.way_out()),
            None => {}
        }
    }

    /// A position that no plan knows of: from before the start, or by hand.
    fn way_out(&self) -> Plan {
        let side = if self.position > 0 { Side::Buy } else { Side::Sell };
        Plan { side, qty: self.position.abs(), stop: 0, target: 0, enter_until: 0, is_leaving: true }
    }

    /// Enters further, or leaves at the stop or the target.
    #[inline]
    pub fn poll(&mut self, desk: &mut Desk<'_, impl EnginePort>) {
        if self.plan.is_some() || self.position != 0 {
            self.follow(desk);
        }
    }

    fn follow(&mut self, desk: &mut Desk<'_, impl EnginePort>) {
        let (now, way_out) = (desk.now(), self.way_out());
        let Some(top) = desk.top(self.instrument) else { return };
        let plan = self.plan.get_or_insert(way_out);
        let sign = plan.side.sign();
        let out = if sign > 0 { top.bid.price } else { top.ask.price };
        // Also before anything is held: what has failed already is not entered any more.
        if !plan.is_leaving {
            plan.is_leaving = sign * (out - plan.stop) <= 0 || sign * (out - plan.target) >= 0;
        }
        let is_entering = !plan.is_leaving && now < plan.enter_until;
        let missing = match *plan {
            Plan { is_leaving: true, .. } => -self.position,
            Plan { qty, .. } if is_entering => sign * qty - self.position,
            _ => 0,
        };
        let is_leaving = plan.is_leaving;
        let is_waiting = self.in_flight.is_some() && now < self.quiet_until + FORGET_NS;
        if !is_waiting && self.position == 0 && !is_entering {
            // Over, or never begun.
            (self.plan, self.in_flight) = (None, None);
            self.quiet_until = self.quiet_until.max(now + self.rules.rest_ms * 1_000_000);
        } else if missing != 0 && now >= self.quiet_until && !is_waiting {
            let order = self.order(top, missing, is_leaving);
            self.in_flight = Some(desk.place(&order));
            self.quiet_until = now + self.rules.order_ms * 1_000_000;
        }
    }

    fn order(&self, top: Top, missing: i64, is_reduce_only: bool) -> Order {
        let ticks = if is_reduce_only { self.rules.urgent_ticks } else { self.rules.aggression_ticks };
        let reach = ticks * self.tick;
        let (side, price) = if missing > 0 {
            (Side::Buy, (top.ask.price + reach + self.tick - 1) / self.tick * self.tick)
        } else {
            (Side::Sell, ((top.bid.price - reach) / self.tick * self.tick).max(self.tick))
        };
        let (instrument, qty) = (self.instrument, missing.abs());
        Order { instrument, side, price, qty, time_in_force: TimeInForce::Ioc, is_reduce_only }
    }

    /// Takes a position, an end or a refusal.
    pub fn on_outcome(&mut self, now: Nanos, outcome: &Outcome) {
        match outcome.body {
            OutcomeBody::Position { qty } => self.position = qty,
            OutcomeBody::Refused { intent, .. }
            | OutcomeBody::Done { intent, state: OrderState::Rejected }
                if self.in_flight == Some(intent) =>
            {
                // What was refused is not tried again with an older signal; a way out is, soon.
                let entry = self.plan.as_mut().filter(|plan| !plan.is_leaving);
                let is_bare = entry.is_some() && self.position == 0;
                let pause_ms = if is_bare { self.rules.order_ms } else { self.rules.order_ms.min(250) };
                (self.in_flight, self.quiet_until) = (None, now + pause_ms * 1_000_000);
                entry.into_iter().for_each(|plan| plan.enter_until = 0);
            }
            OutcomeBody::Done { intent, state } if self.in_flight == Some(intent) => {
                let pause = if state == OrderState::Filled { 0 } else { MISS_PAUSE_NS };
                (self.in_flight, self.quiet_until) = (None, now + pause);
            }
            OutcomeBody::Done { .. } | OutcomeBody::Amended { .. } | OutcomeBody::Refused { .. } => {}
        }
    }

    /// The state as words, for digests.
    pub fn words(&self) -> impl Iterator<Item = u64> + use<> {
        let plan = self.plan.map_or([0; 6], |plan| {
            let terms = [plan.stop, plan.target, plan.qty, plan.side.sign()].map(|v| v as u64);
            [terms[0], terms[1], terms[2], terms[3], plan.enter_until, u64::from(plan.is_leaving)]
        });
        let own = [self.position as u64, self.in_flight.unwrap_or(0), self.quiet_until];
        own.into_iter().chain(plan)
    }
}
