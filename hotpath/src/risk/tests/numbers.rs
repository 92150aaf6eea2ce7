//! The numbers of refusals, and what rates and bands say at their edges.

use super::*;
use tickpath_shared::types::{OrderType, PriceMatch};

#[test]
fn a_refusal_says_what_was_compared_with_what() {
    type Case = (fn(&mut Bench), Reason, i64, i64);
    let cases: [Case; 11] = [
        // An order of 1.000 at 100.00.
        (
            |b| b.limits.position_notional_max = 9_999_999_999,
            Reason::PositionMax,
            10_000_000_000,
            9_999_999_999,
        ),
        // At the mark, which is dearer than the limit price: 100.1 x 1.0000010001, rounded up.
        (
            |b| {
                (b.mark.price_e8, b.intent.qty) = (10_000_010_001, 1_001);
                b.limits.position_notional_max = 10_010_010_011;
            },
            Reason::PositionMax,
            10_010_010_012,
            10_010_010_011,
        ),
        (|b| b.limits.gross_notional_max = 9_999_999_999, Reason::GrossMax, 10_000_000_000, 9_999_999_999),
        (|b| b.limits.order_notional_max = 9_999_999_999, Reason::NotionalMax, 10_000_000_000, 9_999_999_999),
        (|b| b.intent.price = 10_110, Reason::PriceCollar, 110, 100),
        // 1.07 of 100.03 are 106.97 basis points.
        (|b| (b.intent.price, b.mark.price_e8) = (10_110, 10_003_000_000), Reason::PriceCollar, 107, 100),
        (
            |b| (b.intent.price, b.definitions[0].price_up_e4) = (10_010, 10_000),
            Reason::VenueBand,
            10_010,
            10_000,
        ),
        // Lots of ten thousandths.
        (|b| (b.definitions[0].lot, b.limits.order_lots_max) = (10, 99), Reason::QtyMax, 100, 99),
        (|b| b.limits.order_lots_max = 999, Reason::QtyMax, 1_000, 999),
        (|b| b.book_venue_age_ns = 3_001_000_000, Reason::BookStale, 3_001, 3_000),
        (|b| b.limits.open_orders_max = 0, Reason::OrdersMax, 0, 0),
    ];
    for (change, reason, value, bound) in cases {
        let mut bench = Bench::new();
        change(&mut bench);
        assert_eq!(bench.breach(), Some(Breach { reason, value, bound }));
    }
    assert_eq!([narrow(i128::MAX), narrow(i128::MIN), narrow(-7)], [i64::MAX, i64::MIN, -7]);
}

#[test]
fn a_band_holds_on_both_sides() {
    // Both edges at the mark: nothing dearer is bought, nothing cheaper sold.
    let banded = |side: Side, price: i64| {
        move |b: &mut Bench| {
            (b.definitions[0].price_up_e4, b.definitions[0].price_down_e4) = (10_000, 10_000);
            (b.intent.side, b.intent.price) = (side as u8, price);
        }
    };
    expect(None, banded(Side::Buy, 10_000));
    expect(Some(Reason::VenueBand), banded(Side::Buy, 10_010));
    expect(None, banded(Side::Sell, 10_000));
    expect(Some(Reason::VenueBand), banded(Side::Sell, 9_990));
    expect(None, |b| (b.definitions[0].lot, b.limits.order_lots_max) = (10, 100));
}

#[test]
fn refusals_for_a_rate_say_how_many_may_leave() {
    let limits = config::Risk {
        order_rate_max: 10,
        reduce_share_percent: 20,
        message_rate_max: 12,
        ..config::Risk::default()
    };
    let mut rates = Rates::new(&limits);
    let breach = |rates: &Rates, is_reducing| rates.check(SECOND, 0, &limits, is_reducing).err();
    let refused = |reason, bound| Some(Breach { reason, value: bound + 1, bound });
    (0..8).for_each(|_| rates.on_order(SECOND, 0));
    assert_eq!([breach(&rates, false), breach(&rates, true)], [refused(Reason::OrderRate, 8), None]);
    (0..2).for_each(|_| rates.on_order(SECOND, 0));
    assert_eq!(breach(&rates, true), refused(Reason::OrderRate, 10));
    let mut rates = Rates::new(&limits);
    (0..12).for_each(|_| rates.on_cancel(SECOND));
    assert_eq!([breach(&rates, false), breach(&rates, true)], [refused(Reason::MessageRate, 12), None]);
}

#[test]
fn a_window_is_full_when_as_many_were_counted_within_it() {
    for events_max in [1, 2, 3, 7] {
        let (mut window, mut times) = (RateWindow::new(events_max), Vec::new());
        let (mut now, mut seed) = (1_000, 9_u64);
        for _ in 0..2_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            now += seed >> 59;
            for spare in 0..events_max {
                let recent = times.iter().filter(|time| now - **time < 50).count();
                assert_eq!(window.is_full(now, 50, spare), recent + spare >= events_max, "{now}");
            }
            if seed & 1 == 0 {
                window.record(now);
                times.push(now);
            }
        }
        window.clear();
        assert!(!window.is_full(now, 50, 0), "forgotten");
    }
}

#[test]
fn rates_are_in_the_digest() {
    let limits = config::Risk { order_rate_max: 2, message_rate_max: 2, ..config::Risk::default() };
    let mut rates = Rates::new(&limits);
    let never = Nanos::MAX;
    assert_eq!(Vec::from_iter(rates.words()), [never, never, 0, never, never, 0]);
    rates.on_order(7, 0);
    rates.on_cancel(8);
    assert_eq!(Vec::from_iter(rates.words()), [7, never, 1, 7, 8, 0]);
    rates.on_venue_counts(12_345, &[OrderCount { interval_ms: 10_000, limit: 300, count: 5 }], 1);
    assert_eq!(Vec::from_iter(rates.words())[6..], [6, 20_000]);
}

/// What the venue counts includes orders of others; what is under way is counted on top, until its interval is over.
#[test]
fn the_venues_own_count_bounds_orders() {
    let limits = config::Risk { reduce_share_percent: 10, ..config::Risk::default() };
    let mut rates = Rates::new(&limits);
    let ten_seconds = |count| [OrderCount { interval_ms: 10_000, limit: 20, count }, OrderCount::default()];
    let breach = |rates: &Rates, ms, is_reducing| rates.check(SECOND, ms, &limits, is_reducing).err();
    let refused = |value, bound| Some(Breach { reason: Reason::VenueRate, value, bound });
    rates.on_order(SECOND, 1_101);
    assert_eq!(breach(&rates, 1_101, false), None, "nothing is known yet");
    rates.on_venue_counts(1_102, &ten_seconds(17), 0);
    assert_eq!(breach(&rates, 1_103, false), None);
    rates.on_order(SECOND, 1_103);
    assert_eq!([breach(&rates, 1_104, false), breach(&rates, 1_104, true)], [refused(19, 18), None]);
    rates.on_order(SECOND, 1_105);
    rates.on_order(SECOND, 1_105);
    assert_eq!(breach(&rates, 1_106, true), refused(21, 20));
    // Two of three are answered, and others have ordered as well.
    rates.on_venue_counts(1_107, &ten_seconds(16), 1);
    assert_eq!(
        [breach(&rates, 1_108, false), breach(&rates, 9_999, false)],
        [None, None],
        "17 with what is under way"
    );
    rates.on_venue_counts(1_109, &ten_seconds(20), 1);
    assert_eq!(breach(&rates, 9_999, true), refused(22, 20));
    assert_eq!(breach(&rates, 10_000, true), None, "another interval");
    // An answer of the interval before arrives in the next one.
    rates.on_venue_counts(10_002, &ten_seconds(20), 0);
    assert_eq!(breach(&rates, 10_003, false), None);
    rates.on_venue_counts(11_000, &ten_seconds(20), 0);
    assert_eq!(breach(&rates, 11_000, true), refused(21, 20));
}

#[test]
fn terms_that_do_not_go_together_are_refused() {
    let second = 1_000;
    let market = |b: &mut Bench| {
        b.limits.market_orders = true;
        (b.intent.order_type, b.intent.time_in_force) = (OrderType::Market as u8, TimeInForce::Ioc as u8);
    };
    expect(None, market);
    expect(Some(Reason::MarketOrder), |b| {
        market(b);
        b.limits.market_orders = false;
    });
    expect(Some(Reason::Terms), |b| {
        market(b);
        b.intent.time_in_force = TimeInForce::Gtc as u8;
    });
    expect(Some(Reason::Terms), |b| {
        market(b);
        b.intent.price_match = PriceMatch::Queue as u8;
    });
    expect(Some(Reason::Terms), |b| b.intent.order_type = 9);
    expect(Some(Reason::Terms), |b| b.intent.price_match = 99);
    let lots = |min, max, step| {
        move |b: &mut Bench| {
            market(b);
            let definition = &mut b.definitions[0];
            (definition.market_qty_min, definition.market_qty_max, definition.market_lot) = (min, max, step);
        }
    };
    expect(None, lots(1_000, 1_000, 500));
    expect(Some(Reason::MarketLot), lots(1_001, 0, 0));
    expect(Some(Reason::MarketLot), lots(0, 999, 0));
    expect(Some(Reason::MarketLot), lots(0, 0, 300));
    expect(None, |b| {
        lots(0, 999, 0)(b);
        b.intent.order_type = OrderType::Limit as u8;
    });
    expect(Some(Reason::MarketOrder), |b| b.intent.price_match = PriceMatch::Opponent as u8);
    expect(None, |b| {
        b.limits.market_orders = true;
        b.intent.price_match = PriceMatch::Opponent as u8;
    });
    let good_for = |ms: u64, time_in_force: TimeInForce| {
        move |b: &mut Bench| {
            b.intent.good_till_ms = VENUE_MS + ms;
            b.intent.time_in_force = time_in_force as u8;
        }
    };
    expect(None, good_for(601 * second, TimeInForce::Gtd));
    expect(Some(Reason::GoodTill), good_for(600 * second, TimeInForce::Gtd));
    expect(Some(Reason::GoodTill), good_for(601 * second, TimeInForce::Gtc));
    expect(Some(Reason::GoodTill), good_for(253_402_300_799_000 - VENUE_MS, TimeInForce::Gtd));
    expect(Some(Reason::GoodTill), |b| b.intent.time_in_force = TimeInForce::Gtd as u8);
}

#[test]
fn a_stop_on_the_wrong_side_matters_to_whoever_asked() {
    let stopped = |ratio: i64| {
        move |b: &mut Bench| {
            (b.intent.stop, b.intent.target) = (10_010, 10_100);
            b.limits.reward_ratio_min = ratio;
        }
    };
    expect(None, stopped(0));
    expect(Some(Reason::TradeRisk), stopped(100_000_000));
}
