//! One position with a stop and a target: sized by what it may lose, entered while the signal is young, left at either
//! price.
//!
//! Stops are watched here and sent as orders when they are reached; they do not rest at the venue.

use super::{
    Desk,
    taker::{News, Taker},
};
use crate::{message::Outcome, port::EnginePort};
use serde::{Deserialize, Serialize};
use tickpath_shared::{
    Nanos,
    config::TradeRules,
    types::{InstrumentDefinition, Reason, Side},
};

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
    taker: Taker,
    tick: i64,
    lot: i64,
    rules: TradeRules,
    qty_max: i64,
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
            taker: Taker::new(definition, rules.order_ms * 1_000_000),
            tick: definition.tick,
            lot: definition.lot,
            rules: rules.clone(),
            qty_max,
            plan: None,
        })
    }

    /// The instrument.
    pub fn instrument(&self) -> u32 {
        self.taker.instrument()
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
        let (instrument, now) = (self.instrument(), desk.now());
        let (held, pause_ns) = (self.taker.position(), self.taker.pause_ns(now));
        if self.plan.is_some() || held != 0 {
            return desk.pass(instrument, Reason::AlreadyHeld, held as f64, 0.0);
        }
        if pause_ns > 0 {
            return desk.pass(instrument, Reason::Resting, pause_ns as f64 / 1e6, 0.0);
        }
        let Some(top) = desk.fresh_top_or_pass(instrument) else { return };
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
            None if self.taker.position() != 0 => self.plan = Some(self.way_out()),
            None => {}
        }
    }

    /// A position that no plan knows of: from before the start, or by hand.
    fn way_out(&self) -> Plan {
        let held = self.taker.position();
        let side = if held > 0 { Side::Buy } else { Side::Sell };
        Plan { side, qty: held.abs(), stop: 0, target: 0, enter_until: 0, is_leaving: true }
    }

    /// Enters further, or leaves at the stop or the target.
    #[inline]
    pub fn poll(&mut self, desk: &mut Desk<'_, impl EnginePort>) {
        if self.plan.is_some() || self.taker.position() != 0 {
            self.follow(desk);
        }
    }

    fn follow(&mut self, desk: &mut Desk<'_, impl EnginePort>) {
        let (now, way_out, held) = (desk.now(), self.way_out(), self.taker.position());
        let Some(top) = desk.top(self.instrument()) else { return };
        let plan = self.plan.get_or_insert(way_out);
        let sign = plan.side.sign();
        let out = if sign > 0 { top.bid.price } else { top.ask.price };
        // Also before anything is held: what has failed already is not entered any more.
        if !plan.is_leaving {
            plan.is_leaving = sign * (out - plan.stop) <= 0 || sign * (out - plan.target) >= 0;
        }
        let is_entering = !plan.is_leaving && now < plan.enter_until;
        let (wanted, ticks) = match *plan {
            Plan { is_leaving: true, .. } => (0, self.rules.urgent_ticks),
            Plan { qty, .. } if is_entering => (sign * qty, self.rules.aggression_ticks),
            _ => (held, 0),
        };
        if held == 0 && !is_entering && !self.taker.is_waiting(now) {
            // Over, or never begun.
            self.plan = None;
            self.taker.forget();
            self.taker.rest(now + self.taker.pause_ns(now).max(self.rules.rest_ms * 1_000_000));
        } else {
            let exits = [plan.stop, plan.target];
            let missing = self.taker.missing(desk, wanted);
            self.taker.take(desk, missing, ticks, exits);
        }
    }

    /// Takes a position, an end or a refusal.
    pub fn on_outcome(&mut self, now: Nanos, outcome: &Outcome) {
        let news = self.taker.on_outcome(now, outcome);
        // What was refused is not tried again with an older signal; a way out is, soon.
        if let Some(plan) = self.plan.as_mut().filter(|plan| news == News::Refused && !plan.is_leaving) {
            plan.enter_until = 0;
        }
    }

    /// The state as words, for digests.
    pub fn words(&self) -> impl Iterator<Item = u64> + use<> {
        let plan = self.plan.map_or([0; 6], |plan| {
            let terms = [plan.stop, plan.target, plan.qty, plan.side.sign()].map(|v| v as u64);
            [terms[0], terms[1], terms[2], terms[3], plan.enter_until, u64::from(plan.is_leaving)]
        });
        self.taker.words().into_iter().chain(plan)
    }
}
