//! Every limit at limit - 1, limit and limit + 1, and with its reference missing.

use super::*;
use crate::order::OrderTable;
use crate::order::{Order, Report};
use tickpath_shared::types::{ClientOrderId, Grid, OrderState, Symbol, TimeInForce};

struct Bench {
    now: Nanos,
    book_venue_age_ns: Nanos,
    limits: config::Risk,
    intent: IntentRecord,
    definition: InstrumentDefinition,
    mark: Mark,
    positions: Positions,
    orders: OrderTable,
    rate: RateWindow,
    standing: Standing,
}

const SECOND: Nanos = 1_000_000_000;

impl Bench {
    /// Everything allowed: buy 1.000 at 100.00, mark 100.00.
    fn new() -> Self {
        let definition = InstrumentDefinition {
            price_max: 1_000_000,
            qty_max: 1_000_000,
            notional_min_e8: 5 * 100_000_000,
            ..InstrumentDefinition::on_grids(
                Symbol::new("AAA").unwrap(),
                0,
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
            reserved: [0; 2],
        };
        let standing = Standing {
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
            definition,
            mark: Mark { price_e8: 100 * 100_000_000, seen_ns: now },
            positions: Positions::new(1),
            orders: OrderTable::default(),
            rate: RateWindow::new(3),
            standing,
        }
    }

    fn check(&self) -> Option<Reason> {
        let context = Context {
            now: self.now,
            book_venue_age_ns: self.book_venue_age_ns,
            limits: &self.limits,
            intent: &self.intent,
            side: Side::from_repr(self.intent.side).unwrap(),
            definition: &self.definition,
            mark: self.mark,
            positions: &self.positions,
            open_orders: self.orders.open(),
            in_flight: self
                .orders
                .in_flight(self.intent.instrument, Side::from_repr(self.intent.side).unwrap()),
            rate: &self.rate,
            standing: self.standing,
        };
        check(&context).err().map(|breach| breach.reason)
    }

    fn hold(&mut self, qty: i64) {
        let side = if qty > 0 { Side::Buy } else { Side::Sell };
        self.positions.fill(&self.definition, side, 10_000, qty.abs(), 0);
    }

    fn in_flight(&mut self, side: Side, qty: i64) {
        let id = ClientOrderId::from_venue(format!("o{}", self.orders.open()).as_bytes());
        self.orders.insert(Order::sent(id, 0, side, 10_000, qty, 1, 0));
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
    expect(Some(Reason::NotReconciled), |b| b.standing.is_reconciled = false);
    expect(Some(Reason::NoSession), |b| b.standing.is_connected = false);
    expect(None, |b| b.standing.pressure = Pressure::DropTelemetry);
    expect(Some(Reason::JournalPressure), |b| b.standing.pressure = Pressure::NoNewRisk);
    expect(Some(Reason::ClockUnknown), |b| b.standing.clock_error_ns = None);
    expect(None, |b| b.standing.clock_error_ns = Some(500_000_000));
    expect(Some(Reason::ClockUnknown), |b| b.standing.clock_error_ns = Some(500_000_001));
    expect(Some(Reason::NoDefinition), |b| b.definition.is_trading = 0);
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
    expect(None, |b| b.definition.price_up_e4 = 10_000);
    expect(Some(Reason::VenueBand), |b| (b.intent.price, b.definition.price_up_e4) = (10_010, 10_000));
    expect(None, |b| (b.intent.price, b.definition.price_down_e4) = (9_990, 10_000));
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
    let sent = |n: u64, ago: Nanos| {
        move |b: &mut Bench| {
            (0..n).for_each(|i| b.rate.record(b.now - ago + i));
        }
    };
    let window = config::Risk::default().order_rate_window_ms * 1_000_000;
    expect(None, sent(2, 0));
    expect(Some(Reason::OrderRate), sent(3, SECOND));
    expect(Some(Reason::OrderRate), sent(3, window - 1));
    expect(None, sent(3, window));
}
