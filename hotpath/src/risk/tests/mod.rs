//! Every limit at limit - 1, limit and limit + 1, and with its reference missing.

mod gross;
mod numbers;

use super::*;
use crate::order::{Order, OrderTable, Report, Wanted};
use tickpath_shared::types::{ClientOrderId, Grid, OrderState, Symbol, TimeInForce};

struct Bench {
    now: Nanos,
    book_venue_age_ns: Nanos,
    limits: config::Risk,
    intent: IntentRecord,
    /// Two instruments, the intent's first.
    definitions: [InstrumentDefinition; 2],
    mark: Mark,
    positions: Positions,
    marked_e8: [i64; 2],
    owners: [u16; 2],
    budgets: Vec<(u16, i64)>,
    allowed: u32,
    orders: OrderTable,
    rates: Rates,
    standing: Standing,
}

/// Noon of some day.
const VENUE_MS: u64 = 1_736_000_000_000;
const SECOND: Nanos = 1_000_000_000;

impl Bench {
    /// Everything allowed: buy 1.000 at 100.00, mark 100.00.
    fn new() -> Self {
        let definition = |index| InstrumentDefinition {
            price_max: 1_000_000,
            qty_max: 1_000_000,
            notional_min_e8: 5 * 100_000_000,
            ..InstrumentDefinition::on_grids(
                Symbol::new("AAA").unwrap(),
                index,
                Grid { scale: 2, places: 2, step: 10 },
                Grid { scale: 3, places: 3, step: 1 },
            )
        };
        let now = 100 * SECOND;
        let intent = IntentRecord {
            number: 1,
            price: 10_000,
            qty: 1_000,
            book_ns: now,
            read_ns: now,
            instrument: 0,
            book_epoch: 1,
            strategy: 0,
            side: Side::Buy as u8,
            time_in_force: TimeInForce::Ioc as u8,
            is_reduce_only: 0,
            is_book_valid: 1,
            order_type: 0,
            price_match: 0,
            stop: 0,
            target: 0,
            good_till_ms: 0,
        };
        let standing = Standing {
            is_stopped: false,
            barrier: None,
            is_killed: false,
            state: TradingState::Armed,
            is_reconciled: true,
            is_connected: true,
            pressure: Pressure::Low,
            clock_error_ns: Some(1_000_000),
        };
        Self {
            now,
            book_venue_age_ns: 0,
            limits: config::Risk::default(),
            intent,
            definitions: [0, 1].map(definition),
            mark: Mark { price_e8: 100 * 100_000_000, seen_ns: now },
            positions: Positions::new(2),
            marked_e8: [0; 2],
            owners: [Order::NOBODY; 2],
            budgets: Vec::new(),
            allowed: 0b11,
            orders: OrderTable::default(),
            rates: Rates::new(&config::Risk { order_rate_max: 3, ..config::Risk::default() }),
            standing,
        }
    }

    fn check(&self) -> Option<Reason> {
        self.breach().map(|breach| breach.reason)
    }

    fn breach(&self) -> Option<Breach> {
        let side = Side::from_repr(self.intent.side).unwrap();
        let IntentRecord { instrument, price, qty, .. } = self.intent;
        let context = Context {
            now: self.now,
            venue_ms: VENUE_MS,
            book_venue_age_ns: self.book_venue_age_ns,
            limits: &self.limits,
            intent: &self.intent,
            side,
            definition: &self.definitions[0],
            mark: self.mark,
            positions: &self.positions,
            survey: self.orders.survey(&Wanted {
                instrument,
                side,
                price,
                qty,
                is_reduce_only: self.intent.is_reduce_only == 1,
                replaces: None,
            }),
            replaces: None,
            account: Account {
                definitions: &self.definitions,
                marked_e8: &self.marked_e8,
                owners: &self.owners,
                orders: &self.orders,
                budgets: &self.budgets,
                allowed: self.allowed,
            },
            rates: &self.rates,
            standing: self.standing,
        };
        check(&context).err()
    }

    fn hold(&mut self, qty: i64) {
        let side = if qty > 0 { Side::Buy } else { Side::Sell };
        self.positions.fill(&self.definitions[0], side, 10_000, qty.abs(), 0);
    }

    fn in_flight(&mut self, side: Side, qty: i64) {
        // Away from the intent's price, so that nothing trades with it.
        self.in_flight_at(0, side, 10_000 + if side == Side::Sell { 10 } else { 0 }, qty);
    }

    fn in_flight_at(&mut self, instrument: u32, side: Side, price: i64, qty: i64) -> &mut Order {
        let id = ClientOrderId::from_venue(format!("o{}", self.orders.open()).as_bytes());
        self.orders.insert(Order::sent(id, instrument, side, price, qty, 1, 0));
        let slot = self.orders.find(&id).unwrap();
        self.orders.get_mut(slot).unwrap()
    }
}

/// Asserts the refusal (or none) after `change` to a bench where everything is allowed.
fn expect(refusal: Option<Reason>, change: impl FnOnce(&mut Bench)) {
    let mut bench = Bench::new();
    change(&mut bench);
    assert_eq!(bench.check(), refusal);
}

#[test]
fn a_sound_intent_passes() {
    expect(None, |_| {});
}

#[test]
fn standing_of_the_session() {
    expect(Some(Reason::Killed), |b| b.standing.is_killed = true);
    for state in [TradingState::Disarmed, TradingState::CancelOnly, TradingState::Halted] {
        expect(Some(Reason::NotArmed), |b| b.standing.state = state);
    }
    expect(Some(Reason::Stopped), |b| b.standing.is_stopped = true);
    expect(Some(Reason::Breaker), |b| b.standing.barrier = Some(BreakerMetric::DayLoss));
    expect(None, |b| {
        reduce(b);
        (b.standing.is_stopped, b.standing.barrier) = (true, Some(BreakerMetric::DayLoss));
    });
    expect(Some(Reason::NotReconciled), |b| b.standing.is_reconciled = false);
    expect(Some(Reason::NoSession), |b| b.standing.is_connected = false);
    expect(None, |b| b.standing.pressure = Pressure::DropTelemetry);
    expect(Some(Reason::JournalPressure), |b| b.standing.pressure = Pressure::NoNewRisk);
    expect(Some(Reason::ClockUnknown), |b| b.standing.clock_error_ns = None);
    expect(None, |b| b.standing.clock_error_ns = Some(500_000_000));
    expect(Some(Reason::ClockUnknown), |b| b.standing.clock_error_ns = Some(500_000_001));
    expect(Some(Reason::NoDefinition), |b| b.definitions[0].is_trading = 0);
}

#[test]
fn the_book_must_be_complete_and_fresh() {
    expect(Some(Reason::BookInvalid), |b| b.intent.is_book_valid = 0);
    let bound = config::Risk::default().book_age_ms_max * 1_000_000;
    expect(None, |b| b.intent.book_ns = b.now - bound);
    expect(Some(Reason::BookStale), |b| b.intent.book_ns = b.now - bound - 1_000_000);
    let bound = config::Risk::default().book_venue_age_ms_max * 1_000_000;
    expect(None, |b| b.book_venue_age_ns = bound);
    expect(Some(Reason::BookStale), |b| b.book_venue_age_ns = bound + 1);
    expect(None, |b| (b.book_venue_age_ns, b.limits.book_venue_age_ms_max) = (bound + 1, 0));
    let bound = config::Risk::default().intent_age_ms_max * 1_000_000;
    expect(None, |b| b.intent.read_ns = b.now - bound);
    expect(Some(Reason::IntentStale), |b| b.intent.read_ns = b.now - bound - 1_000_000);
}

#[test]
fn the_price_must_be_on_the_grid_and_within_the_collar() {
    expect(Some(Reason::OffTick), |b| b.intent.price = 10_001);
    expect(Some(Reason::NoMark), |b| b.mark = Mark::default());
    let bound = config::Risk::default().mark_age_ms_max * 1_000_000;
    expect(None, |b| b.mark.seen_ns = b.now - bound);
    expect(Some(Reason::MarkStale), |b| b.mark.seen_ns = b.now - bound - 1_000_000);
    expect(None, |b| b.definitions[0].price_up_e4 = 10_000);
    expect(Some(Reason::VenueBand), |b| (b.intent.price, b.definitions[0].price_up_e4) = (10_010, 10_000));
    expect(None, |b| (b.intent.price, b.definitions[0].price_down_e4) = (9_990, 10_000));
    // 100 basis points of 100.00 are 1.00.
    expect(None, |b| b.intent.price = 10_090);
    expect(None, |b| b.intent.price = 10_100);
    expect(Some(Reason::PriceCollar), |b| b.intent.price = 10_110);
    expect(None, |b| b.intent.price = 9_900);
    expect(Some(Reason::PriceCollar), |b| b.intent.price = 9_890);
}

#[test]
fn the_size_of_an_order_is_bounded_both_ways() {
    expect(Some(Reason::OffLot), |b| b.intent.qty = 0);
    expect(None, |b| b.limits.order_lots_max = 1_000);
    expect(Some(Reason::QtyMax), |b| b.limits.order_lots_max = 999);
    expect(None, |b| b.limits.order_notional_max = 100 * 100_000_000);
    expect(Some(Reason::NotionalMax), |b| b.limits.order_notional_max = 100 * 100_000_000 - 1);
    // A sell may fill at a better price than its own: it counts at the mark where that is dearer.
    let sell_low = |b: &mut Bench| (b.intent.side, b.intent.price) = (Side::Sell as u8, 9_950);
    expect(None, |b| {
        sell_low(b);
        b.limits.order_notional_max = 100 * 100_000_000;
    });
    expect(Some(Reason::NotionalMax), |b| {
        sell_low(b);
        b.limits.order_notional_max = 100 * 100_000_000 - 1;
    });
    expect(Some(Reason::GrossMax), |b| {
        sell_low(b);
        b.limits.gross_notional_max = 100 * 100_000_000 - 1;
    });
    expect(None, |b| b.intent.qty = 50);
    expect(Some(Reason::NotionalMin), |b| b.intent.qty = 49);
}

#[test]
fn exposure_counts_everything_in_flight() {
    let limit = 300 * 100_000_000;
    let bench = |change: fn(&mut Bench)| {
        move |b: &mut Bench| {
            b.limits.position_notional_max = limit;
            change(b);
        }
    };
    expect(None, bench(|b| b.hold(2_000)));
    expect(Some(Reason::PositionMax), bench(|b| b.hold(2_001)));
    expect(None, bench(|b| b.in_flight(Side::Buy, 2_000)));
    expect(Some(Reason::PositionMax), bench(|b| b.in_flight(Side::Buy, 2_001)));
    // Orders of the other side may never fill: they earn no room.
    expect(
        Some(Reason::PositionMax),
        bench(|b| {
            b.hold(2_001);
            b.in_flight(Side::Sell, 2_000);
        }),
    );
    // A dearer mark counts.
    expect(
        Some(Reason::PositionMax),
        bench(|b| {
            b.hold(2_000);
            b.mark.price_e8 += 1;
        }),
    );
}

#[test]
fn an_unknown_outcome_blocks_opening_but_not_closing() {
    let unknown = |b: &mut Bench| {
        b.in_flight(Side::Buy, 10);
        b.orders.get_mut(0).unwrap().on_lost();
    };
    expect(Some(Reason::OutcomeUnknown), unknown);
    let closing = |b: &mut Bench| {
        unknown(b);
        b.hold(1_000);
        b.intent.side = Side::Sell as u8;
        b.intent.is_reduce_only = 1;
    };
    expect(None, closing);
    expect(None, |b| {
        closing(b);
        b.standing.state = TradingState::CancelOnly;
    });
    // Reduce-only beyond what is held reduces nothing.
    expect(Some(Reason::OutcomeUnknown), |b| {
        closing(b);
        b.intent.qty = 1_001;
    });
    expect(Some(Reason::OutcomeUnknown), |b| {
        closing(b);
        b.in_flight(Side::Sell, 1);
    });
}

#[test]
fn resolved_orders_block_no_longer() {
    expect(None, |b| {
        b.in_flight(Side::Buy, 10);
        let order = b.orders.get_mut(0).unwrap();
        order.on_lost();
        order.on_report(Report { venue_order_id: 1, ..Report::of(OrderState::Working) });
    });
}

#[test]
fn open_orders_and_order_rate_are_bounded() {
    let open = |n: usize| {
        move |b: &mut Bench| {
            b.limits.open_orders_max = 3;
            (0..n).for_each(|_| b.in_flight(Side::Sell, 1));
        }
    };
    expect(None, open(2));
    expect(Some(Reason::OrdersMax), open(3));
    expect(None, |b| {
        open(3)(b);
        b.hold(1_003);
        (b.intent.side, b.intent.is_reduce_only) = (Side::Sell as u8, 1);
    });
    let window = config::Risk::default().order_rate_window_ms * 1_000_000;
    // A tenth of ten is kept for what reduces.
    let sent = move |n: u64, ago: Nanos, is_reducing: bool| {
        move |b: &mut Bench| {
            b.rates = Rates::new(&config::Risk { order_rate_max: 10, ..config::Risk::default() });
            (0..n).for_each(|i| b.rates.on_order(b.now - ago + i, 0));
            if is_reducing {
                reduce(b);
            }
        }
    };
    expect(None, sent(8, 0, false));
    expect(Some(Reason::OrderRate), sent(9, SECOND, false));
    expect(None, sent(9, SECOND, true));
    expect(Some(Reason::OrderRate), sent(10, SECOND, true));
    expect(Some(Reason::OrderRate), sent(10, window - 1, true));
    expect(Some(Reason::OrderRate), sent(10, window, false));
    expect(None, sent(10, window + 1, false));
}

/// The intent sells what is held.
fn reduce(b: &mut Bench) {
    b.hold(1_000);
    (b.intent.side, b.intent.is_reduce_only) = (Side::Sell as u8, 1);
}

#[test]
fn requests_are_bounded_but_for_what_reduces() {
    let window = config::Risk::default().order_rate_window_ms * 1_000_000;
    let canceled = |n: u64, ago: Nanos| {
        move |b: &mut Bench| {
            b.rates = Rates::new(&config::Risk { message_rate_max: 5, ..config::Risk::default() });
            (0..n).for_each(|i| b.rates.on_cancel(b.now - ago + i));
        }
    };
    expect(None, canceled(4, 0));
    expect(Some(Reason::MessageRate), canceled(5, 0));
    expect(Some(Reason::MessageRate), canceled(5, window - 1));
    expect(None, canceled(5, window));
    expect(None, |b| {
        canceled(5, 0)(b);
        reduce(b);
    });
}

#[test]
fn only_listed_instruments_are_entered() {
    expect(None, |b| b.allowed = 0b01);
    expect(Some(Reason::NotAllowed), |b| b.allowed = 0b10);
    expect(None, |b| {
        b.allowed = 0b10;
        reduce(b);
    });
}

const HUNDRED: i64 = 100 * 100_000_000;

#[test]
fn the_gross_of_the_account_counts_every_instrument_at_its_worst() {
    let limit = |gross: i64, change: fn(&mut Bench)| {
        move |b: &mut Bench| {
            b.limits.gross_notional_max = gross;
            change(b);
        }
    };
    // The order itself is 100.
    expect(None, limit(HUNDRED, |_| {}));
    expect(Some(Reason::GrossMax), limit(HUNDRED - 1, |_| {}));
    // A short position of another instrument counts as much as a long one.
    for held in [250, -250] {
        let with_other = move |gross| {
            move |b: &mut Bench| {
                b.limits.gross_notional_max = gross;
                b.marked_e8[1] = held * 100_000_000;
            }
        };
        expect(None, with_other(350 * 100_000_000));
        expect(Some(Reason::GrossMax), with_other(350 * 100_000_000 - 1));
    }
    // A position without a mark could be worth anything.
    expect(Some(Reason::GrossMax), limit(i64::MAX, |b| b.marked_e8[1] = i64::MAX));
    // Orders of both sides do not add up: at most one side fills against us.
    let both = |b: &mut Bench| {
        b.in_flight_at(1, Side::Buy, 10_000, 1_000);
        b.in_flight_at(1, Side::Sell, 20_000, 1_000);
    };
    expect(None, limit(3 * HUNDRED, both));
    expect(Some(Reason::GrossMax), limit(3 * HUNDRED - 1, both));
    // What reduces opens nothing; what is unknown counts in full.
    expect(None, limit(HUNDRED, |b| b.in_flight_at(1, Side::Buy, 10_000, 1_000).is_reduce_only = true));
    let unknown = |b: &mut Bench| b.in_flight_at(1, Side::Buy, 10_000, 1_000).on_lost();
    expect(None, limit(2 * HUNDRED, unknown));
    expect(Some(Reason::GrossMax), limit(2 * HUNDRED - 1, unknown));
    // Closing is never barred by it.
    expect(None, limit(1, reduce));
}

#[test]
fn a_strategy_has_a_budget_of_its_own() {
    let budget = |bound: i64, change: fn(&mut Bench)| {
        move |b: &mut Bench| {
            b.budgets = vec![(7, 1), (0, bound)];
            change(b);
        }
    };
    expect(None, budget(HUNDRED, |_| {}));
    expect(Some(Reason::BudgetMax), budget(HUNDRED - 1, |_| {}));
    // Its own other position counts, that of another strategy does not.
    let own = |b: &mut Bench| (b.marked_e8[1], b.owners[1]) = (HUNDRED, 0);
    expect(None, budget(2 * HUNDRED, own));
    expect(Some(Reason::BudgetMax), budget(2 * HUNDRED - 1, own));
    expect(None, budget(HUNDRED, |b| (b.marked_e8[1], b.owners[1]) = (HUNDRED, 3)));
    // And so does what it has in flight on the instrument.
    let sent = |b: &mut Bench| b.in_flight_at(0, Side::Buy, 9_990, 1_000).strategy = 0;
    expect(None, budget(2 * HUNDRED, sent));
    expect(Some(Reason::BudgetMax), budget(HUNDRED + 99 * 100_000_000, sent));
    expect(None, |b| {
        (b.budgets, b.intent.strategy) = (vec![(0, 1)], 5);
    });
}

#[test]
fn few_instruments_are_held_at_once() {
    let most = |n: usize, change: fn(&mut Bench)| {
        move |b: &mut Bench| {
            b.limits.positions_max = n;
            change(b);
        }
    };
    expect(None, most(1, |_| {}));
    expect(None, most(1, |b| b.marked_e8[0] = HUNDRED));
    expect(Some(Reason::PositionsMax), most(1, |b| b.marked_e8[1] = -HUNDRED));
    expect(None, most(2, |b| b.marked_e8[1] = -HUNDRED));
    let sent = |b: &mut Bench| b.in_flight_at(1, Side::Buy, 9_990, 1_000).strategy = 0;
    expect(Some(Reason::PositionsMax), most(1, sent));
}

#[test]
fn a_stop_bounds_what_a_trade_risks_and_a_target_what_it_must_bring() {
    // Ten below the price, on one unit: ten.
    let stop =
        |risk_max: i64| move |b: &mut Bench| (b.intent.stop, b.limits.trade_risk_max) = (9_000, risk_max);
    expect(None, stop(10 * 100_000_000));
    expect(Some(Reason::TradeRisk), stop(10 * 100_000_000 - 1));
    expect(None, stop(0));
    // A stop on the wrong side measures nothing.
    expect(Some(Reason::TradeRisk), |b| (b.intent.stop, b.limits.trade_risk_max) = (10_000, i64::MAX));
    let target = |target: i64| {
        move |b: &mut Bench| {
            (b.intent.stop, b.intent.target) = (9_000, target);
            b.limits.reward_ratio_min = 150_000_000;
        }
    };
    expect(None, target(11_500));
    expect(Some(Reason::RewardRatio), target(11_490));
    expect(Some(Reason::RewardRatio), target(9_500));
    expect(None, target(0));
    let sale = |b: &mut Bench| {
        b.intent.side = Side::Sell as u8;
        (b.intent.stop, b.intent.target) = (11_000, 8_510);
        b.limits.reward_ratio_min = 150_000_000;
    };
    expect(Some(Reason::RewardRatio), sale);
    expect(None, |b| {
        sale(b);
        b.intent.target = 8_500;
    });
}

#[test]
fn the_same_again_is_bounded() {
    let same = |n: usize| {
        move |b: &mut Bench| {
            b.limits.identical_orders_max = 2;
            (0..n).for_each(|_| _ = b.in_flight_at(0, Side::Buy, 10_000, 1_000));
        }
    };
    expect(None, same(1));
    expect(Some(Reason::Identical), same(2));
    expect(None, |b| {
        same(2)(b);
        b.intent.qty = 999;
    });
    expect(None, |b| {
        same(2)(b);
        b.intent.price = 9_990;
    });
}

#[test]
fn no_order_trades_with_an_own_one() {
    expect(None, |b| _ = b.in_flight_at(0, Side::Sell, 10_010, 5));
    expect(Some(Reason::SelfCross), |b| _ = b.in_flight_at(0, Side::Sell, 10_000, 5));
    expect(Some(Reason::SelfCross), |b| _ = b.in_flight_at(0, Side::Sell, 9_990, 5));
    expect(None, |b| _ = b.in_flight_at(1, Side::Sell, 9_990, 5));
    // Also where an amendment under way would have it.
    expect(Some(Reason::SelfCross), |b| {
        let order = b.in_flight_at(0, Side::Sell, 10_010, 5);
        order.on_report(Report { venue_order_id: 1, ..Report::of(OrderState::Working) });
        order.on_amend_sent(10_000, 5, 1);
    });
    // A way out waits for nobody.
    expect(None, |b| {
        reduce(b);
        b.in_flight_at(0, Side::Buy, 10_000, 5);
    });
}

#[test]
fn limits_that_change_hold_for_the_next_order() {
    let mut bench = Bench::new();
    assert_eq!(bench.check(), None);
    bench.in_flight(Side::Buy, 1_000);
    assert_eq!(bench.check(), None);
    bench.limits.position_notional_max = 2 * HUNDRED - 1;
    assert_eq!(bench.check(), Some(Reason::PositionMax));
    bench.limits.position_notional_max = 2 * HUNDRED;
    assert_eq!(bench.check(), None);
}
