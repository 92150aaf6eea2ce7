//! Pairs trading on the z-score of a log spread, with hysteresis and IOC orders on both legs.
//!
//! At every sample of the venue's clock the spread `ln(base) - ratio x ln(hedge)` of the two mids is
//! compared with its own window. High means base dear: sell base, buy hedge. The legs then chase their
//! target position with IOC orders until they hold it.

use crate::{
    book::Top,
    message::{Outcome, OutcomeBody},
    signal::RollingZ,
};
use serde::{Deserialize, Serialize};
use tickpath_shared::{
    Nanos, config,
    types::{InstrumentDefinition, Side, decimal},
};

/// What one leg wants to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegOrder {
    /// Instrument index.
    pub instrument: u32,
    /// Side.
    pub side: Side,
    /// Limit price.
    pub price: i64,
    /// Quantity.
    pub qty: i64,
    /// The order only brings the leg back towards zero.
    pub is_reduce_only: bool,
}

/// What a sample computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairsSample {
    /// The spread.
    pub spread: f64,
    /// Its z-score; `None` while warming up.
    pub z: Option<f64>,
    /// 0 flat, 1 long the spread, 2 short the spread; after the sample.
    pub state: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Target {
    Flat,
    LongSpread,
    ShortSpread,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Leg {
    instrument: u32,
    tick: i64,
    /// Signed position that is held while long the spread.
    long_qty: i64,
    position: i64,
    /// Intent not yet at its end.
    in_flight: Option<u64>,
    /// Session time before which no further order of the leg is wanted.
    quiet_until: Nanos,
}

/// The strategy's state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pairs {
    base: Leg,
    hedge: Leg,
    ratio: f64,
    window: RollingZ,
    sample_ms: u64,
    next_sample_ms: u64,
    entry_z: f64,
    exit_z: f64,
    aggression_ticks: i64,
    leg_timeout_ns: Nanos,
    target: Target,
}

impl Pairs {
    /// The strategy as configured, or the reason why it cannot run on these definitions.
    ///
    /// # Errors
    ///
    /// A text naming the key, the value and the bound.
    pub fn new(config: &config::Pairs, definitions: &[InstrumentDefinition]) -> Result<Self, String> {
        let base = Leg::new("base", &config.base, &config.base_qty, 1, definitions)?;
        let hedge = Leg::new("hedge", &config.hedge, &config.hedge_qty, -1, definitions)?;
        Ok(Self {
            base,
            hedge,
            ratio: config.ratio,
            window: RollingZ::new(config.window),
            sample_ms: config.sample_ms,
            next_sample_ms: 0,
            entry_z: config.entry_z,
            exit_z: config.exit_z,
            aggression_ticks: config.aggression_ticks,
            leg_timeout_ns: config.leg_timeout_ms * 1_000_000,
            target: Target::Flat,
        })
    }

    /// The instruments, base first.
    pub fn instruments(&self) -> [u32; 2] {
        [self.base.instrument, self.hedge.instrument]
    }

    /// Takes a sample when the venue's clock `venue_ms` has reached the next one. Tops are of the base and
    /// the hedge, both of valid books.
    pub fn sample(&mut self, venue_ms: u64, base: Top, hedge: Top) -> Option<PairsSample> {
        if venue_ms < self.next_sample_ms {
            return None;
        }
        self.next_sample_ms = (venue_ms / self.sample_ms + 1) * self.sample_ms;
        let log_mid = |top: Top| libm::log(top.mid_halves() as f64);
        // Units of the mids only shift the spread by a constant, which the z-score removes.
        let spread = log_mid(base) - self.ratio * log_mid(hedge);
        let z = self.window.z(spread);
        self.window.push(spread);
        if let Some(z) = z {
            self.retarget(z);
        }
        Some(PairsSample { spread, z, state: self.target as u16 })
    }

    fn retarget(&mut self, z: f64) {
        self.target = match self.target {
            Target::Flat if z >= self.entry_z => Target::ShortSpread,
            Target::Flat if z <= -self.entry_z => Target::LongSpread,
            Target::ShortSpread if z <= self.exit_z => Target::Flat,
            Target::LongSpread if z >= -self.exit_z => Target::Flat,
            unchanged => unchanged,
        };
    }

    /// The next order of each leg that is not where it should be.
    pub fn orders(&self, now: Nanos, base: Top, hedge: Top) -> [Option<LegOrder>; 2] {
        let sign = match self.target {
            Target::Flat => 0,
            Target::LongSpread => 1,
            Target::ShortSpread => -1,
        };
        [(&self.base, base), (&self.hedge, hedge)]
            .map(|(leg, top)| leg.order(now, sign * leg.long_qty, top, self.aggression_ticks))
    }

    /// Remembers that the order of a leg was sent as intent `number`.
    pub fn on_sent(&mut self, now: Nanos, instrument: u32, number: u64) {
        let quiet_until = now + self.leg_timeout_ns;
        if let Some(leg) = self.leg_mut(instrument) {
            leg.in_flight = Some(number);
            leg.quiet_until = quiet_until;
        }
    }

    /// Takes a position, an end or a refusal.
    pub fn on_outcome(&mut self, now: Nanos, outcome: &Outcome) {
        let refusal_pause = self.leg_timeout_ns;
        let Some(leg) = self.leg_mut(outcome.instrument) else { return };
        match outcome.body {
            OutcomeBody::Position { qty } => leg.position = qty,
            OutcomeBody::Done { intent, .. } if leg.in_flight == Some(intent) => {
                leg.in_flight = None;
                leg.quiet_until = now;
            }
            OutcomeBody::Refused { intent, .. } if leg.in_flight == Some(intent) => {
                leg.in_flight = None;
                leg.quiet_until = now + refusal_pause;
            }
            OutcomeBody::Done { .. } | OutcomeBody::Amended { .. } | OutcomeBody::Refused { .. } => {}
        }
    }

    fn leg_mut(&mut self, instrument: u32) -> Option<&mut Leg> {
        [&mut self.base, &mut self.hedge].into_iter().find(|leg| leg.instrument == instrument)
    }

    /// The state as words, for digests.
    pub fn words(&self) -> impl Iterator<Item = u64> + '_ {
        let legs = [&self.base, &self.hedge]
            .map(|leg| [leg.position as u64, leg.in_flight.unwrap_or(0), leg.quiet_until]);
        [self.next_sample_ms, self.target as u64]
            .into_iter()
            .chain(legs.into_iter().flatten())
            .chain(self.window.words())
    }
}

impl Leg {
    fn new(
        role: &str,
        symbol: &str,
        qty: &str,
        sign: i64,
        definitions: &[InstrumentDefinition],
    ) -> Result<Self, String> {
        let definition = definitions
            .iter()
            .find(|d| d.symbol.as_str() == symbol)
            .ok_or_else(|| format!("pairs.{role}: {symbol:?} is not among the instruments"))?;
        let units = decimal::parse(qty.as_bytes(), definition.qty_scale)
            .map_err(|e| format!("pairs.{role}_qty: {qty:?}: {e}"))?;
        if units <= 0 || units % definition.lot != 0 {
            let lot = decimal::to_text(definition.lot, definition.qty_scale);
            return Err(format!("pairs.{role}_qty: {qty:?} is no positive multiple of the lot {lot}"));
        }
        Ok(Self {
            instrument: definition.instrument,
            tick: definition.tick,
            long_qty: sign * units,
            position: 0,
            in_flight: None,
            quiet_until: 0,
        })
    }

    fn order(&self, now: Nanos, target: i64, top: Top, aggression_ticks: i64) -> Option<LegOrder> {
        let missing = target - self.position;
        // An order that never came to its end is given up after the timeout; the gateway still counts it.
        let is_waiting = now < self.quiet_until;
        if missing == 0 || is_waiting {
            return None;
        }
        let reach = aggression_ticks * self.tick;
        let (side, price) = if missing > 0 {
            (Side::Buy, (top.ask.price + reach).next_multiple_of_tick(self.tick))
        } else {
            (Side::Sell, (top.bid.price - reach) / self.tick * self.tick)
        };
        // Through zero in two steps: a reduce-only order first, the new position after it.
        let is_reduce_only = self.position != 0 && missing.signum() != self.position.signum();
        let qty = if is_reduce_only { missing.abs().min(self.position.abs()) } else { missing.abs() };
        Some(LegOrder { instrument: self.instrument, side, price, qty, is_reduce_only })
    }
}

trait NextMultiple {
    fn next_multiple_of_tick(self, tick: i64) -> i64;
}

impl NextMultiple for i64 {
    fn next_multiple_of_tick(self, tick: i64) -> i64 {
        (self + tick - 1) / tick * tick
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::Level;
    use tickpath_shared::types::{Grid, OrderState, Symbol};

    fn definition(symbol: &str, instrument: u32) -> InstrumentDefinition {
        let price = Grid { scale: 2, places: 2, step: 10 };
        let qty = Grid { scale: 3, places: 3, step: 1 };
        InstrumentDefinition::on_grids(Symbol::new(symbol).unwrap(), instrument, price, qty)
    }

    fn pairs() -> Pairs {
        let config = config::Pairs {
            is_enabled: true,
            base: "AAA".into(),
            hedge: "BBB".into(),
            window: 10,
            sample_ms: 100,
            base_qty: "0.010".into(),
            hedge_qty: "0.200".into(),
            aggression_ticks: 1,
            ..config::Pairs::default()
        };
        Pairs::new(&config, &[definition("AAA", 0), definition("BBB", 1)]).unwrap()
    }

    fn top(bid: i64) -> Top {
        Top { bid: Level { price: bid, qty: 1 }, ask: Level { price: bid + 10, qty: 1 } }
    }

    /// Samples a quiet market, then one with the base dear.
    fn spike(pairs: &mut Pairs) -> u64 {
        for i in 0..20_u64 {
            pairs.sample(i * 100, top(100_000 + (i as i64 % 3) * 10), top(50_000));
        }
        pairs.sample(2000, top(101_000), top(50_000));
        2000
    }

    #[test]
    fn a_dear_base_is_sold_and_the_hedge_bought() {
        let mut pairs = pairs();
        assert_eq!(pairs.orders(0, top(100_000), top(50_000)), [None, None]);
        spike(&mut pairs);
        let [base, hedge] = pairs.orders(0, top(101_000), top(50_000)).map(Option::unwrap);
        assert_eq!((base.side, base.qty, base.price), (Side::Sell, 10, 100_990));
        assert_eq!((hedge.side, hedge.qty, hedge.price), (Side::Buy, 200, 50_020));
        assert!(!base.is_reduce_only);
    }

    #[test]
    fn a_leg_waits_for_its_order_and_completes_what_is_missing() {
        let mut pairs = pairs();
        spike(&mut pairs);
        pairs.on_sent(0, 0, 7);
        assert_eq!(pairs.orders(1, top(101_000), top(50_000))[0], None);
        let tell = |pairs: &mut Pairs, body| pairs.on_outcome(2, &Outcome { number: 1, instrument: 0, body });
        tell(&mut pairs, OutcomeBody::Position { qty: -4 });
        tell(&mut pairs, OutcomeBody::Done { intent: 7, state: OrderState::Expired });
        assert_eq!(pairs.orders(2, top(101_000), top(50_000))[0].unwrap().qty, 6);
    }

    #[test]
    fn the_way_back_is_reduce_only_with_hysteresis() {
        let mut pairs = pairs();
        let ms = spike(&mut pairs);
        pairs.on_outcome(0, &Outcome { number: 1, instrument: 0, body: OutcomeBody::Position { qty: -10 } });
        let z = pairs.sample(ms + 100, top(100_400), top(50_000)).unwrap().z.unwrap();
        assert!(z > 0.5 && z < 2.0, "{z}");
        assert_eq!(pairs.orders(0, top(100_400), top(50_000))[0], None);
        pairs.sample(ms + 200, top(99_900), top(50_000));
        let order = pairs.orders(0, top(99_900), top(50_000))[0].unwrap();
        assert_eq!((order.side, order.qty, order.is_reduce_only), (Side::Buy, 10, true));
    }

    #[test]
    fn samples_follow_the_venues_clock() {
        let mut pairs = pairs();
        assert!(pairs.sample(1050, top(100_000), top(50_000)).is_some());
        assert!(pairs.sample(1099, top(100_000), top(50_000)).is_none());
        assert!(pairs.sample(1100, top(100_000), top(50_000)).is_some());
    }
}
