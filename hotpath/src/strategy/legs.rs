//! The two-leg manager: two positions that belong together are opened together, and closed together.
//!
//! Positions come from fills alone. A leg is brought to its target by IOC orders, one at a time. An opening that is not
//! whole in its time is completed at a worse price or, when that fails too, undone; nothing is opened while either leg
//! could not be closed.

use super::{
    Desk, find, quantity,
    taker::{News, Taker},
};
use crate::{message::Outcome, port::EnginePort};
use serde::{Deserialize, Serialize};
use tickpath_shared::{
    Nanos,
    types::{InstrumentDefinition, Reason},
};

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
    taker: Taker,
    /// Signed position that is held while long.
    long_qty: i64,
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
                taker: Taker::new(definition, rules.order_ns),
                long_qty: sign * quantity(&format!("{key}.{role}_qty"), qty, definition)?,
            })
        };
        let legs = [leg(legs[0], 1)?, leg(legs[1], -1)?];
        Ok(Self { rules, legs, target: 0, phase: Phase::Settled, rest_until: 0, undone: 0 })
    }

    /// The instruments.
    pub fn instruments(&self) -> [u32; 2] {
        self.legs.map(|leg| leg.taker.instrument())
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

    /// Nothing keeps the pair from being opened now; says what does otherwise.
    pub fn may_open(&self, desk: &mut Desk<'_, impl EnginePort>) -> bool {
        let now = desk.now();
        if now < self.rest_until {
            let rest_ms = (self.rest_until - now) as f64 / 1e6;
            desk.pass(self.legs[0].taker.instrument(), Reason::Resting, rest_ms, 0.0);
            return false;
        }
        self.legs.iter().all(|Leg { taker, .. }| {
            let Some(top) = desk.fresh_top_or_pass(taker.instrument()) else { return false };
            let is_closable = top.bid.qty > 0 && top.ask.qty > 0;
            let is_free = taker.position() == 0 && !taker.is_waiting(now) && taker.pause_ns(now) == 0;
            if !is_closable {
                desk.pass(taker.instrument(), Reason::NoBook, 0.0, 0.0);
            } else if !is_free {
                desk.pass(taker.instrument(), Reason::LegBusy, taker.position() as f64, 0.0);
            }
            is_closable && is_free
        })
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
        let missing = self.legs.map(|leg| leg.taker.missing(desk, self.target * leg.long_qty));
        if missing == [0; 2] && self.legs.iter().all(|leg| !leg.taker.is_waiting(now)) {
            if self.phase == Phase::Undoing {
                self.rest_until = now + self.rules.rest_ns;
            }
            self.phase = Phase::Settled;
            return;
        }
        let is_urgent = self.judge(now);
        let ticks = if is_urgent { self.rules.urgent_ticks } else { self.rules.aggression_ticks };
        for leg in &mut self.legs {
            // Judging may have changed where to.
            let missing = leg.taker.missing(desk, self.target * leg.long_qty);
            leg.taker.take(desk, missing, ticks, [0; 2]);
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
        let is_opening = self.target != 0 && matches!(self.phase, Phase::Moving(_));
        let leg = self.legs.iter_mut().find(|leg| leg.taker.instrument() == outcome.instrument);
        match leg.map(|leg| leg.taker.on_outcome(now, outcome)) {
            // A position that nobody here aimed at is brought back.
            Some(News::Position) if self.phase == Phase::Settled => self.phase = Phase::Moving(now),
            // Whatever refused it will refuse it again: the other leg must not wait for it.
            Some(News::Refused) if is_opening => self.undo(),
            _ => {}
        }
    }

    /// The state as words, for digests.
    pub fn words(&self) -> impl Iterator<Item = u64> + '_ {
        let phase = match self.phase {
            Phase::Settled => 0,
            Phase::Moving(since) => since,
            Phase::Undoing => 1,
        };
        let legs = self.legs.iter().flat_map(|leg| leg.taker.words());
        [self.target as u64, phase, self.rest_until, self.undone].into_iter().chain(legs)
    }
}
