//! Market making after Guéant, Lehalle and Fernandez-Tapia (2013): a quote a side around the middle, further away on
//! the side that would grow the inventory.
//!
//! Quotes are post-only. One that is too far from where it should be is changed in place; one that must not be there
//! is canceled: at the inventory's bound, and as soon as the book is not to be trusted.

use super::{Desk, Order, Strategy, find, known, quantity};
use crate::{
    book::Top,
    digest,
    message::{Outcome, OutcomeBody},
    port::EnginePort,
};
use serde::{Deserialize, Serialize};
use tickpath_shared::{
    Nanos,
    command::CommandOutcome,
    config::{self, Config, LiveParameters},
    types::{InstrumentDefinition, OrderTerms, Reason, Side, StrategyName, TimeInForce, decimal},
};

/// Largest distance of a quote from the middle, price units.
const DISTANCE_MAX: f64 = 1e15;
/// Shortest pause after a refusal: what was refused a moment ago will be refused again.
const REFUSAL_PAUSE_NS: Nanos = 1_000_000_000;
/// Time in which the gateway answers whatever reaches it.
const PATIENCE_NS: Nanos = 10_000_000_000;
/// The same for a cancel: what it is about may stand on a book that is not to be trusted.
const CANCEL_PATIENCE_NS: Nanos = 1_000_000_000;

/// What a quote needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum QuoteAction {
    /// A new one.
    Place {
        /// Side.
        side: Side,
        /// Limit price.
        price: i64,
        /// Quantity.
        qty: i64,
    },
    /// Another price.
    Move {
        /// Number of its intent.
        intent: u64,
        /// Side.
        side: Side,
        /// Limit price.
        price: i64,
        /// Quantity, what has filled included.
        qty: i64,
    },
    /// Away with it.
    Cancel {
        /// Number of its intent.
        intent: u64,
        /// Side.
        side: Side,
    },
}

/// One side's quote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Quote {
    /// Intent of the order that is or will be there; 0 for none.
    intent: u64,
    price: i64,
    /// Number of the change that is under way; 0 for none.
    change: u64,
    is_canceling: bool,
    /// A move was refused: where it stands is where it stays, so that it has to go when that is wrong.
    #[serde(default)]
    is_stuck: bool,
    /// Session time before which nothing further is wanted.
    quiet_until: Nanos,
}

/// The strategy's state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MarketMaker {
    rules: config::MarketMaker,
    instrument: u32,
    tick: i64,
    /// Price units of one.
    unit: f64,
    qty: i64,
    /// Largest inventory, in quotes.
    inventory_max: i64,
    /// c1 and c2 of the solution, in price units.
    offset: f64,
    skew: f64,
    tolerance: i64,
    pause_ns: Nanos,
    position: i64,
    /// Bid, then ask.
    quotes: [Quote; 2],
}

/// c1 and c2 of the stationary solution: distance of a quote without inventory, and its growth with it.
fn glft(config: &config::MarketMaker) -> (f64, f64) {
    let config::MarketMaker { gamma, sigma, k, a, .. } = *config;
    let ratio = gamma / k;
    let c1 = libm::log1p(ratio) / gamma;
    let c2 = (gamma * sigma * sigma / (2.0 * a * k) * libm::pow(1.0 + ratio, 1.0 + 1.0 / ratio)).sqrt();
    (c1, c2)
}

impl MarketMaker {
    /// The strategy as configured, or the reason why it cannot run on these definitions.
    ///
    /// # Errors
    ///
    /// A text naming the key, the value and the bound.
    pub fn new(config: &config::MarketMaker, definitions: &[InstrumentDefinition]) -> Result<Self, String> {
        let definition = find("market_maker.symbol", &config.symbol, definitions)?;
        let qty = quantity("market_maker.qty", &config.qty, definition)?;
        let (c1, c2) = glft(config);
        let unit = decimal::pow10(definition.price_scale) as f64;
        Ok(Self {
            rules: config.clone(),
            unit,
            instrument: definition.instrument,
            tick: definition.tick,
            qty,
            inventory_max: config.inventory_max,
            offset: c1 * unit,
            skew: c2 * unit,
            tolerance: config.requote_ticks * definition.tick,
            pause_ns: config.pause_ms * 1_000_000,
            position: 0,
            quotes: [Quote::default(); 2],
        })
    }

    /// What both quotes need at `now`; `top` is of a valid book, `None` without one.
    fn quote(&self, now: Nanos, top: Option<Top>) -> [Option<QuoteAction>; 2] {
        let wanted = match top.filter(|top| top.bid.qty > 0 && top.ask.qty > 0) {
            Some(top) => self.prices(top),
            None => [None; 2],
        };
        let side = [Side::Buy, Side::Sell];
        std::array::from_fn(|i| self.action(now, side[i], &self.quotes[i], wanted[i]))
    }

    /// Where the quotes should be, `None` at the inventory's bound.
    fn prices(&self, top: Top) -> [Option<i64>; 2] {
        let middle = top.mid_halves() as f64 / 2.0;
        // In quotes: the model's unit is what one fill brings.
        let inventory = self.position as f64 / self.qty as f64;
        let bid = middle - self.offset - (2.0 * inventory + 1.0) / 2.0 * self.skew;
        let ask = middle + self.offset - (2.0 * inventory - 1.0) / 2.0 * self.skew;
        let tick = self.tick as f64;
        let bid = (libm::floor(bid / tick) as i64 * self.tick).min(top.ask.price - self.tick);
        let ask = (libm::ceil(ask / tick) as i64 * self.tick).max(top.bid.price + self.tick);
        let bound = self.inventory_max * self.qty;
        [
            (self.position + self.qty <= bound && bid > 0).then_some(bid),
            (self.position - self.qty >= -bound).then_some(ask),
        ]
    }

    fn action(&self, now: Nanos, side: Side, quote: &Quote, wanted: Option<i64>) -> Option<QuoteAction> {
        // What was not answered for so long was lost on its way.
        let is_waiting = now < quote.quiet_until + PATIENCE_NS;
        let is_going = quote.is_canceling && now < quote.quiet_until + CANCEL_PATIENCE_NS;
        match (quote.intent, wanted) {
            // A cancel is wanted at once, and once.
            (intent, None) => (intent != 0 && !is_going).then_some(QuoteAction::Cancel { intent, side }),
            _ if now < quote.quiet_until || is_going => None,
            _ if is_waiting && quote.change != 0 => None,
            (0, Some(price)) => Some(QuoteAction::Place { side, price, qty: self.qty }),
            (_, Some(price)) if (price - quote.price).abs() <= self.tolerance => None,
            (intent, Some(_)) if quote.is_stuck || quote.is_canceling => {
                Some(QuoteAction::Cancel { intent, side })
            }
            (intent, Some(price)) => Some(QuoteAction::Move { intent, side, price, qty: self.qty }),
        }
    }

    /// An action was sent as message `number`.
    fn on_sent(&mut self, now: Nanos, action: &QuoteAction, number: u64) {
        let quiet_until = now + self.pause_ns;
        let (QuoteAction::Place { side, .. }
        | QuoteAction::Move { side, .. }
        | QuoteAction::Cancel { side, .. }) = *action;
        let quote = &mut self.quotes[usize::from(side == Side::Sell)];
        match *action {
            QuoteAction::Place { price, .. } => {
                *quote = Quote { intent: number, price, quiet_until, ..Quote::default() };
            }
            // Where it is from then on is told when it is there.
            QuoteAction::Move { .. } => {
                (quote.change, quote.quiet_until) = (number, quiet_until);
            }
            QuoteAction::Cancel { .. } => (quote.is_canceling, quote.quiet_until) = (true, quiet_until),
        }
    }

    /// Takes a position, an end, a change or a refusal.
    fn take(&mut self, now: Nanos, outcome: &Outcome) {
        if outcome.instrument != self.instrument {
            return;
        }
        let (pause_ns, refusal_pause_ns) = (self.pause_ns, self.pause_ns.max(REFUSAL_PAUSE_NS));
        let find = |quotes: &mut [Quote; 2], is_it: &dyn Fn(&Quote) -> bool| quotes.iter().position(is_it);
        match outcome.body {
            OutcomeBody::Position { qty } => self.position = qty,
            OutcomeBody::Done { intent, .. } => {
                if let Some(at) = find(&mut self.quotes, &|q| q.intent == intent) {
                    self.quotes[at] = Quote { quiet_until: now + pause_ns, ..Quote::default() };
                }
            }
            OutcomeBody::Amended { intent, price, .. } => {
                if let Some(at) = find(&mut self.quotes, &|q| q.intent == intent) {
                    // Told again as it was, the venue did not move it.
                    self.quotes[at].is_stuck = self.quotes[at].change != 0 && self.quotes[at].price == price;
                    (self.quotes[at].price, self.quotes[at].change) = (price, 0);
                }
            }
            // A quote that waits is moved and taken away like any other.
            OutcomeBody::Set { .. } | OutcomeBody::Place { .. } | OutcomeBody::Held { .. } => {}
            OutcomeBody::Refused { intent: number, .. } => {
                if let Some(at) = find(&mut self.quotes, &|q| q.intent == number) {
                    self.quotes[at] = Quote { quiet_until: now + refusal_pause_ns, ..Quote::default() };
                } else if let Some(at) = find(&mut self.quotes, &|q| q.change == number) {
                    // It is where it was, and no limit keeps it from being canceled.
                    (self.quotes[at].change, self.quotes[at].is_stuck) = (0, true);
                }
            }
        }
    }

    fn act(&mut self, desk: &mut Desk<'_, impl EnginePort>, top: Option<Top>) {
        let (now, instrument) = (desk.now(), self.instrument);
        for action in self.quote(now, top).into_iter().flatten() {
            let number = match action {
                QuoteAction::Place { side, price, qty } => {
                    let (time_in_force, is_reduce_only) = (TimeInForce::Gtx, false);
                    let [stop, target] = [0; 2];
                    desk.place(&Order {
                        instrument,
                        side,
                        price,
                        qty,
                        time_in_force,
                        is_reduce_only,
                        stop,
                        target,
                        terms: OrderTerms::LIMIT,
                    })
                }
                QuoteAction::Move { intent, price, qty, .. } => desk.amend(instrument, intent, price, qty),
                QuoteAction::Cancel { intent, .. } => desk.cancel(instrument, intent),
            };
            self.on_sent(now, &action, number);
        }
    }

    /// Says why a side has no quote.
    fn explain(&self, desk: &mut Desk<'_, impl EnginePort>) {
        let bound = self.inventory_max * self.qty;
        if self.position.abs() + self.qty > bound {
            desk.pass(self.instrument, Reason::InventoryMax, self.position as f64, bound as f64);
        }
    }
}

impl Strategy for MarketMaker {
    fn configured(config: &Config, definitions: &[InstrumentDefinition]) -> Result<Vec<Self>, String> {
        let maker = &config.market_maker;
        let maker = maker.is_enabled.then(|| Self::new(maker, definitions)).transpose()?;
        Ok(maker.into_iter().collect())
    }

    fn number(&self) -> u16 {
        StrategyName::MarketMaker as u16
    }

    fn instruments(&self) -> Vec<u32> {
        vec![self.instrument]
    }

    #[inline]
    fn on_book(&mut self, desk: &mut Desk<'_, impl EnginePort>, _instrument: u32) {
        let top = desk.fresh_top_or_pass(self.instrument);
        self.act(desk, top);
        if top.is_some() {
            self.explain(desk);
        }
    }

    fn on_outcome(&mut self, desk: &mut Desk<'_, impl EnginePort>, outcome: &Outcome) {
        self.take(desk.now(), outcome);
    }

    fn on_command(&mut self, parameter: u16, value: f64) -> Result<(), CommandOutcome> {
        let parameter = known(parameter)?;
        let before = self.rules.place(parameter).map_or(value, |place| *place);
        self.rules.set(parameter, value)?;
        let (c1, c2) = glft(&self.rules);
        let (offset, skew) = (c1 * self.unit, c2 * self.unit);
        // A quote at the end of the inventory must still be a price.
        let furthest = offset + (2 * self.inventory_max + 1) as f64 * skew;
        if !(furthest.is_finite() && furthest < DISTANCE_MAX) {
            self.rules.set(parameter, before)?;
            return Err(CommandOutcome::RefusedValue);
        }
        (self.offset, self.skew) = (offset, skew);
        Ok(())
    }

    /// Without data no event would take the quotes away.
    fn on_timer(&mut self, desk: &mut Desk<'_, impl EnginePort>) {
        if desk.fresh_top(self.instrument).is_none() {
            self.act(desk, None);
        }
    }

    fn digest(&self, seed: u64) -> u64 {
        let quotes = self.quotes.iter().flat_map(|q| {
            let flags = u64::from(q.is_canceling) | u64::from(q.is_stuck) << 1;
            [q.intent, q.price as u64, q.change, flags, q.quiet_until]
        });
        let own = [self.position as u64, self.offset.to_bits(), self.skew.to_bits()];
        digest::fold(seed, own.into_iter().chain(quotes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::Level;
    use tickpath_shared::types::{Grid, OrderState, Reason, Symbol};

    /// Parameters of the published vector.
    fn vector() -> config::MarketMaker {
        config::MarketMaker {
            is_enabled: true,
            symbol: "AAA".into(),
            qty: "2".into(),
            gamma: 0.1,
            sigma: 2.0,
            k: 1.5,
            a: 140.0,
            inventory_max: 3,
            requote_ticks: 1,
            pause_ms: 100,
        }
    }

    fn maker() -> MarketMaker {
        let price = Grid { scale: 2, places: 2, step: 1 };
        let qty = Grid { scale: 0, places: 0, step: 1 };
        let definition = InstrumentDefinition::on_grids(Symbol::new("AAA").unwrap(), 0, price, qty);
        MarketMaker::new(&vector(), &[definition]).unwrap()
    }

    fn top(bid: i64, ask: i64) -> Option<Top> {
        Some(Top { bid: Level { price: bid, qty: 5 }, ask: Level { price: ask, qty: 5 } })
    }

    fn outcome(body: OutcomeBody) -> Outcome {
        Outcome { number: 1, instrument: 0, body }
    }

    #[test]
    fn distances_are_those_of_the_published_vector() {
        let (c1, c2) = glft(&vector());
        let distances = |q: f64| (c1 + (2.0 * q + 1.0) / 2.0 * c2, c1 - (2.0 * q - 1.0) / 2.0 * c2);
        for (q, bid, ask) in [
            (0.0, 0.671_243_82, 0.671_243_82),
            (1.0, 0.722_961_04, 0.619_526_60),
            (2.0, 0.774_678_25, 0.567_809_39),
            (-1.0, 0.619_526_60, 0.722_961_04),
        ] {
            let found = distances(q);
            assert!((found.0 - bid).abs() < 1e-8 && (found.1 - ask).abs() < 1e-8, "{q}: {found:?}");
        }
    }

    #[test]
    fn quotes_lean_against_the_inventory_and_stop_at_its_bound() {
        let mut maker = maker();
        let place = |price, side| Some(QuoteAction::Place { side, price, qty: 2 });
        let flat = maker.quote(1, top(9_995, 10_005));
        assert_eq!(flat, [place(9_932, Side::Buy), place(10_068, Side::Sell)]);
        maker.take(1, &outcome(OutcomeBody::Position { qty: 4 }));
        let long = maker.quote(1, top(9_995, 10_005));
        assert_eq!(long, [place(9_922, Side::Buy), place(10_057, Side::Sell)]);
        maker.take(1, &outcome(OutcomeBody::Position { qty: 6 }));
        assert_eq!(maker.quote(1, top(9_995, 10_005))[0], None);
    }

    #[test]
    fn a_quote_is_moved_once_it_is_too_far_off_and_canceled_without_a_book() {
        let mut maker = maker();
        let [bid, ask] = maker.quote(1, top(9_995, 10_005)).map(Option::unwrap);
        maker.on_sent(1, &bid, 1);
        maker.on_sent(1, &ask, 2);
        let later = 200_000_000;
        assert_eq!(maker.quote(later, top(9_996, 10_006)), [None, None], "a tick is not too far");
        let [Some(moved), _] = maker.quote(later, top(9_999, 10_009)) else { panic!() };
        assert_eq!(moved, QuoteAction::Move { intent: 1, side: Side::Buy, price: 9_936, qty: 2 });
        maker.on_sent(later, &moved, 3);
        assert_eq!(maker.quote(3 * later, top(9_950, 9_960))[0], None, "one change at a time");
        assert!(maker.quote(60 * later, top(9_950, 9_960))[0].is_some(), "but not for ever");
        let refused = OutcomeBody::Refused { intent: 3, reason: Reason::OrderRate };
        maker.take(later, &outcome(refused));
        let stuck = maker.quote(3 * later, top(9_950, 9_960))[0];
        assert_eq!(stuck, Some(QuoteAction::Cancel { intent: 1, side: Side::Buy }), "it stands too far off");
        let gone = maker.quote(3 * later, None);
        assert_eq!(gone[1], Some(QuoteAction::Cancel { intent: 2, side: Side::Sell }));
        maker.on_sent(3 * later, &gone[1].unwrap(), 4);
        assert_eq!(maker.quote(3 * later, None)[1], None, "once");
        assert!(maker.quote(9 * later, None)[1].is_some(), "and again when nothing comes of it");
        maker.take(4 * later, &outcome(OutcomeBody::Done { intent: 2, state: OrderState::Canceled }));
        assert_eq!(maker.quote(4 * later, top(9_950, 9_960))[1], None, "a pause first");
        assert!(matches!(maker.quote(5 * later, top(9_950, 9_960))[1], Some(QuoteAction::Place { .. })));
    }
}
