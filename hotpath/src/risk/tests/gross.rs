//! Gross exposure against what the documents say of it.

use super::*;

/// Gross exposure of all, of the intent's strategy, and instruments held or being entered, as the documents say it.
fn gross_of(bench: &Bench) -> [i128; 3] {
    let intent = &bench.intent;
    let mut sums = [0; 3];
    for (at, definition) in bench.definitions.iter().enumerate() {
        let own = intent.instrument as usize == at;
        let side_of = |side: Side| -> i128 {
            let opening = bench.orders.iter().filter(|order| {
                order.instrument as usize == at && order.side == side && !order.is_reduce_only
            });
            let open: i128 = opening.map(|o| definition.notional_e8(o.price, o.remaining())).sum();
            let new = definition.notional_e8(intent.price, intent.qty);
            open + if own && intent.side == side as u8 { new } else { 0 }
        };
        let (held, [buys, sells]) = (i128::from(bench.marked_e8[at]), [Side::Buy, Side::Sell].map(side_of));
        let worst = (held + buys).abs().max((held - sells).abs());
        let counts = held != 0 || buys != 0 || sells != 0 || own;
        let is_of_strategy = own || bench.owners[at] == intent.strategy;
        sums[0] += worst;
        sums[1] += if is_of_strategy { worst } else { 0 };
        sums[2] += i128::from(counts);
    }
    sums
}

#[test]
fn gross_exposure_is_that_of_the_worst_case_to_the_last_unit() {
    let mut seed = 1_u64;
    let mut below = |bound: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % bound
    };
    let mut refused = [0; 3];
    for _ in 0..5_000 {
        let mut bench = Bench::new();
        bench.limits.position_notional_max = i64::MAX;
        bench.limits.order_notional_max = i64::MAX;
        (bench.intent.strategy, bench.intent.side) = (below(2) as u16, 1 + below(2) as u8);
        bench.intent.instrument = below(2) as u32;
        bench.intent.qty = 100 + below(2_000) as i64;
        for at in 0..2 {
            bench.marked_e8[at] = (below(3) as i64 - 1) * below(300_000_000_000) as i64;
            bench.owners[at] = below(3) as u16;
        }
        for _ in 0..below(4) {
            let side = if below(2) == 0 { Side::Buy } else { Side::Sell };
            // Nothing meets the intent's price.
            let price = 10_000 + if side == Side::Sell { 50 } else { -50 };
            let (instrument, qty) = (below(2) as u32, 100 + below(2_000) as i64);
            let is_reduce_only = below(4) == 0;
            bench.in_flight_at(instrument, side, price, qty).is_reduce_only = is_reduce_only;
        }
        let [all, strategy, instruments] = gross_of(&bench);
        let exact = |bench: &mut Bench, less: [i64; 3]| {
            bench.limits.gross_notional_max = all as i64 - less[0];
            bench.budgets = vec![(bench.intent.strategy, strategy as i64 - less[1])];
            bench.limits.positions_max = (instruments as i64 - less[2]) as usize;
        };
        exact(&mut bench, [0; 3]);
        assert_eq!(bench.breach(), None);
        for (which, reason) in
            [Reason::GrossMax, Reason::BudgetMax, Reason::PositionsMax].into_iter().enumerate()
        {
            let mut less = [0; 3];
            less[which] = 1;
            exact(&mut bench, less);
            let value = [all, strategy, instruments][which] as i64;
            assert_eq!(bench.breach(), Some(Breach { reason, value, bound: value - 1 }));
            refused[which] += 1;
        }
    }
    assert_eq!(refused, [5_000; 3]);
}

/// Until it is answered, an amendment may hold or not: the dearer price counts, with the larger quantity.
#[test]
fn an_amendment_under_way_counts_at_its_dearer_price() {
    for (amended, dearer) in [(9_990, 9_990), (9_910, 9_950)] {
        let mut bench = Bench::new();
        bench.limits.position_notional_max = i64::MAX;
        let now = bench.now;
        bench.in_flight_at(1, Side::Buy, 9_950, 1_000).on_amend_sent(amended, 1_000, now);
        let own = bench.definitions[0].notional_e8(bench.intent.price, bench.intent.qty);
        let all = (own + bench.definitions[1].notional_e8(dearer, 1_000)) as i64;
        bench.limits.gross_notional_max = all;
        assert_eq!(bench.breach(), None, "{amended}");
        bench.limits.gross_notional_max = all - 1;
        let breach = Breach { reason: Reason::GrossMax, value: all, bound: all - 1 };
        assert_eq!(bench.breach(), Some(breach), "{amended}");
    }
}
