use super::*;

fn level(price: i64, qty: i64) -> Level {
    Level { price, qty }
}

fn market() -> Matcher {
    let mut matcher = Matcher::new(1, 100);
    matcher.on_snapshot(&[level(100, 5), level(99, 7)], &[level(101, 4), level(102, 6)], &mut Vec::new());
    matcher
}

fn order(id: u64, side: Side, time_in_force: TimeInForce, price: i64, qty: i64) -> Submit {
    Submit {
        id,
        side,
        position: PositionSide::Both,
        time_in_force,
        price: Some(price),
        qty,
        is_reduce_only: false,
        self_trade: SelfTrade::ExpireMaker,
    }
}

fn executed(out: &[SimOutcome]) -> Vec<(i64, i64)> {
    out.iter()
        .filter_map(|o| match o {
            SimOutcome::Executed(_, e) => Some((e.price, e.qty)),
            _ => None,
        })
        .collect()
}

fn ended(out: &[SimOutcome]) -> Vec<(u64, End)> {
    out.iter()
        .filter_map(|o| match o {
            SimOutcome::Ended(order, why) => Some((order.submit.id, *why)),
            _ => None,
        })
        .collect()
}

#[test]
fn an_ioc_takes_what_is_displayed_once_and_expires() {
    let (mut matcher, mut out) = (market(), Vec::new());
    matcher.submit(order(1, Side::Buy, TimeInForce::Ioc, 102, 8), &mut out);
    assert_eq!(executed(&out), [(101, 4), (102, 4)]);
    out.clear();
    matcher.submit(order(2, Side::Buy, TimeInForce::Ioc, 102, 8), &mut out);
    assert_eq!((executed(&out), ended(&out)), (vec![(102, 2)], vec![(2, End::Remainder)]));
    out.clear();
    matcher.on_depth(&[], &[level(101, 3)], &mut out);
    matcher.submit(order(3, Side::Buy, TimeInForce::Ioc, 101, 8), &mut out);
    assert_eq!(executed(&out), [(101, 3)]);
}

#[test]
fn what_is_taken_is_dearer_by_the_slippage_but_within_the_limit() {
    let book = |slippage_e8| {
        let mut matcher = Matcher::new(10, 100).with_slippage(slippage_e8);
        matcher.on_snapshot(&[level(10_000, 5)], &[level(10_010, 4), level(10_100, 6)], &mut Vec::new());
        matcher
    };
    let taken = |slippage_e8, side, price| {
        let mut out = Vec::new();
        let submit = Submit { price, ..order(1, side, TimeInForce::Ioc, 0, 4) };
        book(slippage_e8).submit(submit, &mut out);
        executed(&out)
    };
    // 0.3 % of 10,010 are 30.03: three ticks; 0.0999 % are just short of one.
    assert_eq!(taken(300_000, Side::Buy, None), [(10_040, 4)]);
    assert_eq!(taken(99_900, Side::Buy, None), [(10_010, 4)]);
    assert_eq!(taken(300_000, Side::Buy, Some(10_020)), [(10_020, 4)]);
    assert_eq!(taken(300_000, Side::Sell, None), [(9_970, 4)]);
    assert_eq!(taken(300_000, Side::Sell, Some(9_990)), [(9_990, 4)]);
    assert_eq!(taken(0, Side::Sell, None), [(10_000, 4)]);
    let (mut matcher, mut out) = (book(300_000), Vec::new());
    matcher.submit(order(2, Side::Buy, TimeInForce::Gtc, 10_000, 3), &mut out);
    matcher.on_trade(Side::Sell, level(9_990, 3), &mut out);
    assert_eq!(executed(&out), [(10_000, 3)], "who rests gets the price");
}

#[test]
fn a_resting_order_waits_behind_the_queue() {
    let (mut matcher, mut out) = (market(), Vec::new());
    matcher.submit(order(1, Side::Buy, TimeInForce::Gtc, 100, 3), &mut out);
    out.clear();
    matcher.on_trade(Side::Sell, level(100, 4), &mut out);
    assert_eq!(executed(&out), []);
    matcher.on_trade(Side::Sell, level(100, 2), &mut out);
    assert_eq!(executed(&out), [(100, 1)]);
    matcher.on_depth(&[level(100, 0)], &[level(100, 9)], &mut out);
    assert_eq!(executed(&out), [(100, 1), (100, 2)]);
    assert!(matcher.resting().is_empty());
}

#[test]
fn post_only_and_fill_or_kill_are_refused_when_impossible() {
    let (mut matcher, mut out) = (market(), Vec::new());
    matcher.submit(order(1, Side::Buy, TimeInForce::Gtx, 101, 1), &mut out);
    matcher.submit(order(2, Side::Buy, TimeInForce::Fok, 101, 5), &mut out);
    assert!(out.iter().all(|o| matches!(o, SimOutcome::Refused(..))) && out.len() == 2);
    matcher.submit(order(3, Side::Buy, TimeInForce::Fok, 102, 5), &mut out);
    assert_eq!(executed(&out), [(101, 4), (102, 1)]);
}

#[test]
fn a_resting_order_ends_once() {
    let (mut matcher, mut out) = (market(), Vec::new());
    matcher.submit(order(1, Side::Sell, TimeInForce::Gtc, 105, 3), &mut out);
    assert!(matcher.end(1, End::Canceled, &mut out));
    assert!(!matcher.end(1, End::Canceled, &mut out));
}

#[test]
fn an_amended_order_goes_to_the_end_of_the_queue_and_may_execute() {
    let (mut matcher, mut out) = (market(), Vec::new());
    matcher.submit(order(1, Side::Buy, TimeInForce::Gtc, 100, 3), &mut out);
    matcher.on_trade(Side::Sell, level(100, 4), &mut out);
    assert_eq!(matcher.amend(1, 100, 3, &mut out), Err(AmendRefusal::Unchanged));
    assert_eq!(matcher.amend(1, 100, 2, &mut out), Ok(()));
    matcher.on_trade(Side::Sell, level(100, 5), &mut out);
    assert_eq!(executed(&out), [], "behind the whole level again");
    assert_eq!(matcher.amend(1, 101, 2, &mut out), Ok(()));
    assert_eq!(executed(&out), [(101, 2)]);
    assert_eq!(matcher.amend(1, 99, 2, &mut out), Err(AmendRefusal::NotResting));
}

#[test]
fn amending_cancels_what_has_filled_that_much_and_post_only_orders_that_would_take() {
    let (mut matcher, mut out) = (market(), Vec::new());
    matcher.submit(order(1, Side::Buy, TimeInForce::Gtc, 100, 5), &mut out);
    matcher.on_trade(Side::Sell, level(100, 7), &mut out);
    assert_eq!(executed(&out), [(100, 2)]);
    assert_eq!(matcher.amend(1, 100, 2, &mut out), Ok(()));
    matcher.submit(order(2, Side::Buy, TimeInForce::Gtx, 99, 5), &mut out);
    assert_eq!(matcher.amend(2, 101, 5, &mut out), Ok(()));
    assert_eq!(ended(&out), [(1, End::Canceled), (2, End::Canceled)]);
}

#[test]
fn orders_of_one_account_meet_as_the_taker_says() {
    for (mode, own, ends) in [
        (SelfTrade::Allow, vec![(102, 2), (102, 2)], vec![]),
        (SelfTrade::ExpireMaker, vec![], vec![(1, End::SelfTrade), (2, End::Remainder)]),
        (SelfTrade::ExpireTaker, vec![], vec![(2, End::SelfTrade)]),
        (SelfTrade::ExpireBoth, vec![], vec![(1, End::SelfTrade), (2, End::SelfTrade)]),
    ] {
        let (mut matcher, mut out) = (market(), Vec::new());
        matcher.submit(order(1, Side::Sell, TimeInForce::Gtc, 102, 3), &mut out);
        matcher
            .submit(Submit { self_trade: mode, ..order(2, Side::Buy, TimeInForce::Ioc, 102, 12) }, &mut out);
        // The market was there first.
        assert_eq!(executed(&out), [vec![(101, 4), (102, 6)], own].concat(), "{mode:?}");
        assert_eq!(ended(&out), ends, "{mode:?}");
    }
}

/// What one of our orders got of a trade the next one does not get.
#[test]
fn a_trade_is_shared_by_those_it_meets() {
    let rest = |orders: &[(u64, i64, i64)]| {
        let mut matcher = market();
        for (id, price, qty) in orders {
            matcher.submit(order(*id, Side::Buy, TimeInForce::Gtc, *price, *qty), &mut Vec::new());
        }
        matcher
    };
    let filled = |matcher: &mut Matcher, price, qty| {
        let mut out = Vec::new();
        matcher.on_trade(Side::Sell, level(price, qty), &mut out);
        let of = |o: &SimOutcome| match o {
            SimOutcome::Executed(order, e) => Some((order.submit.id, e.price, e.qty)),
            _ => None,
        };
        out.iter().filter_map(of).collect::<Vec<_>>()
    };
    // Five are displayed in front of both.
    let mut matcher = rest(&[(1, 100, 3), (2, 100, 3)]);
    assert_eq!(filled(&mut matcher, 100, 8), [(1, 100, 3)]);
    assert_eq!(filled(&mut matcher, 100, 2), [(2, 100, 2)]);
    let mut matcher = rest(&[(1, 100, 1), (2, 100, 3)]);
    assert_eq!(filled(&mut matcher, 100, 8), [(1, 100, 1), (2, 100, 2)]);
    // The better price first, whichever came first.
    let mut matcher = rest(&[(1, 99, 4), (2, 100, 4)]);
    assert_eq!(filled(&mut matcher, 99, 9), [(2, 100, 4)]);
    assert_eq!(filled(&mut matcher, 98, 3), [(1, 99, 3)]);
}
