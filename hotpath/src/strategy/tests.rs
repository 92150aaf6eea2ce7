//! Strategies in an engine: what they do when the market moves, and when their orders fail.

mod prefixes;
mod stand;

use super::*;
use crate::{market::Level, message::OutcomeBody};
use stand::Stand;
use tickpath_shared::{
    config::{self, Config},
    types::{Reason, Side, StrategyName},
};

fn pairs_config() -> Config {
    let pairs = config::Pairs {
        is_enabled: true,
        base: "AAA".into(),
        hedge: "BBB".into(),
        window: 20,
        sample_ms: 100,
        base_qty: "0.010".into(),
        hedge_qty: "0.200".into(),
        aggression_ticks: 1,
        urgent_ticks: 5,
        // The relation does not move, so that a jump is a jump.
        drift: 1e-9,
        stop_z: 90.0,
        entry_z_max: 80.0,
        volatility_power: 0.0,
        change_probability: 1.0,
        ..config::Pairs::default()
    };
    Config { pairs, ..Config::default() }
}

/// Warm, with a quiet market; the base is about 1,000.00, the hedge 500.00.
fn warm() -> Stand<Pairs> {
    let mut stand = Stand::new(pairs_config());
    for i in 0..60 {
        stand.wait(100);
        stand.book(0, 100_000 + i % 3 * 10);
        stand.book(1, 50_000);
    }
    assert!(stand.intents().is_empty() && stand.passes().contains(&Reason::WarmingUp));
    stand
}

/// A pause while the noise is learned: what it brings is not taken for noise.
#[test]
fn noise_is_not_learned_over_a_pause() {
    let mut stand = Stand::new(pairs_config());
    for i in 0..110 {
        let is_before = i < 10;
        (0..if i == 10 { 100 } else { 1 }).for_each(|_| stand.wait(100));
        stand.book(0, if is_before { 90_000 } else { 100_000 } + i % 3 * 10);
        stand.book(1, 50_000);
    }
    assert!(stand.intents().is_empty());
    jump(&mut stand, 6);
    assert_eq!(stand.intents().len(), 2, "{:?}", stand.passes());
}

/// The base jumps by so many ticks.
fn jump(stand: &mut Stand<Pairs>, ticks: i64) {
    stand.wait(100);
    stand.book(0, 100_000 + ticks * 10);
    stand.book(1, 50_000);
}

#[test]
fn a_dear_base_is_sold_and_the_hedge_bought_and_both_come_back() {
    let mut stand = warm();
    jump(&mut stand, 6);
    let intents = stand.intents();
    let [base, hedge] = &intents[..] else { panic!("{intents:?}") };
    assert_eq!((base.instrument, base.side, base.qty, base.price), (0, Side::Sell as u8, 10, 100_050));
    assert_eq!((hedge.instrument, hedge.side, hedge.qty, hedge.price), (1, Side::Buy as u8, 200, 50_020));
    stand.fill(base, -10);
    stand.fill(hedge, 200);
    jump(&mut stand, 6);
    assert!(stand.intents().is_empty(), "both are where they should be");
    jump(&mut stand, 1);
    let back = stand.intents();
    assert_eq!(back.len(), 2);
    assert!(back.iter().all(|intent| intent.is_reduce_only == 1), "{back:?}");
    assert_eq!([back[0].side, back[1].side], [Side::Buy as u8, Side::Sell as u8]);
}

#[test]
fn a_leg_completes_what_is_missing_and_pays_more_when_it_is_late() {
    let mut stand = warm();
    jump(&mut stand, 6);
    let intents = stand.intents();
    stand.fill(&intents[0], -4);
    stand.fill(&intents[1], 200);
    jump(&mut stand, 6);
    let rest = stand.intents();
    assert_eq!((rest.len(), rest[0].qty, rest[0].price), (1, 6, 100_050));
    let mut last = rest[0];
    for _ in 0..12 {
        stand.fill(&last, -4);
        stand.wait(100);
        last = stand.intents()[0];
        assert_eq!((last.instrument, last.qty), (0, 6));
    }
    assert_eq!(last.price, 100_010, "urgent");
}

/// A limit on the size of an order may be narrower than what is held: the way out is never refused for good.
#[test]
fn a_way_out_that_is_too_large_goes_in_parts() {
    let mut stand = warm();
    jump(&mut stand, 6);
    let intents = stand.intents();
    stand.fill(&intents[0], -10);
    stand.fill(&intents[1], 200);
    jump(&mut stand, 1);
    let mut out = stand.intents()[0];
    assert_eq!((out.instrument, out.qty, out.is_reduce_only), (0, 10, 1));
    for (reason, next) in [(Reason::PriceCollar, 10), (Reason::NotionalMax, 5), (Reason::QtyMax, 2)] {
        stand.tell(0, OutcomeBody::Refused { intent: out.number, reason });
        stand.wait(300);
        out = stand.intents()[0];
        assert_eq!((out.instrument, out.qty), (0, next), "{reason:?}");
    }
    for (position, next) in [(-8, 2), (-6, 2), (-4, 2), (-2, 2), (-1, 1)] {
        stand.fill(&out, position);
        stand.wait(100);
        out = stand.intents()[0];
        assert_eq!((out.instrument, out.side, out.qty), (0, Side::Buy as u8, next), "{position}");
    }
    stand.fill(&out, 0);
    stand.wait(100);
    assert!(stand.intents().is_empty());
}

#[test]
fn one_wrong_time_of_the_venue_does_not_hold_the_clock() {
    const HOUR_MS: u64 = 3_600_000;
    for (late_ms, times, goes_on) in
        [(HOUR_MS, 1, true), (1_700_000_000_000_000, 3, true), (HOUR_MS, 2, false), (1_000, 1, true)]
    {
        let mut stand = warm();
        (0..times).for_each(|_| stand.mark_at(stand.ms + late_ms));
        stand.wait(2_000);
        // The last sample there will be, where the clock is an hour ahead.
        jump(&mut stand, 1);
        stand.wait(200);
        jump(&mut stand, 6);
        assert_eq!(!stand.intents().is_empty(), goes_on, "{late_ms} ms, {times} times");
    }
}

#[test]
fn trades_count_once_and_in_their_time() {
    let mut stand = warm();
    let now = stand.ms;
    for (id, venue_ms, skipped) in [
        (41, now, 0),
        (42, now, 0),
        (42, now, 1),
        (40, now, 2),
        (43, now + 3_600_000, 3),
        (43, now, 3),
        (44, now + 10, 3),
    ] {
        stand.trade_at(id, venue_ms, 100_000);
        assert_eq!(stand.out.skipped, skipped, "{id}");
    }
    // Numbers may begin anew with a connection, and sources without numbers have them all.
    stand.lose_books();
    stand.trade_at(1, now + 20, 100_000);
    stand.trade_at(0, now + 20, 100_000);
    stand.trade_at(0, now + 20, 100_000);
    assert_eq!(stand.out.skipped, 3);
}

#[test]
fn best_prices_that_are_crossed_or_lack_a_side_are_left_out() {
    let mut stand = warm();
    let level = |price, qty| Level { price, qty };
    stand.ticker(1, level(99_990, 1), level(100_000, 1));
    let known = *stand.out.tops.last().unwrap();
    assert_eq!(known, [99_990, 100_000]);
    let unsound = [
        (level(100_000, 1), level(100_000, 1)),
        (level(100_010, 1), level(100_000, 1)),
        (level(0, 1), level(100_000, 1)),
        (level(0, 0), level(0, 0)),
        (level(99_990, 0), level(100_000, 1)),
        (level(99_990, 1), level(100_000, 0)),
    ];
    for (ahead, (bid, ask)) in (2..).zip(unsound) {
        stand.ticker(ahead, bid, ask);
        assert_eq!((*stand.out.tops.last().unwrap(), stand.out.skipped), (known, ahead - 1));
    }
    stand.ticker(9, level(99_980, 1), level(99_990, 1));
    assert_eq!(*stand.out.tops.last().unwrap(), [99_980, 99_990]);
}

#[test]
fn an_opening_that_is_not_whole_in_its_time_is_undone() {
    let mut stand = warm();
    jump(&mut stand, 6);
    let intents = stand.intents();
    stand.fill(&intents[0], -10);
    stand.fill(&intents[1], 0);
    for _ in 0..40 {
        stand.wait(100);
        for intent in stand.intents() {
            match intent.is_reduce_only {
                0 => stand.fill(&intent, 0),
                _ => {
                    assert_eq!((intent.instrument, intent.side, intent.qty), (0, Side::Buy as u8, 10));
                    stand.fill(&intent, 0);
                }
            }
        }
    }
    jump(&mut stand, 6);
    assert!(stand.intents().is_empty());
    assert!(stand.passes().contains(&Reason::Resting), "a pause after the failure");
}

#[test]
fn an_opening_of_which_a_leg_is_refused_is_undone_at_once() {
    let mut stand = warm();
    jump(&mut stand, 6);
    let intents = stand.intents();
    stand.fill(&intents[0], -10);
    stand.tell(1, OutcomeBody::Refused { intent: intents[1].number, reason: Reason::PositionMax });
    stand.wait(100);
    let undone = stand.intents();
    assert_eq!(undone.len(), 1, "{undone:?}");
    assert_eq!((undone[0].instrument, undone[0].is_reduce_only, undone[0].qty), (0, 1, 10));
}

#[test]
fn nothing_is_opened_while_a_leg_could_not_be_closed() {
    let mut stand = warm();
    stand.lose_books();
    stand.wait(100);
    stand.book(0, 100_060);
    assert!(stand.intents().is_empty(), "one book of two");
    stand.tell(1, OutcomeBody::Position { qty: 7 });
    stand.book(1, 50_000);
    stand.wait(100);
    let intents = stand.intents();
    assert!(intents.iter().all(|intent| intent.is_reduce_only == 1), "{intents:?}");
    jump(&mut stand, 6);
    assert!(stand.passes().contains(&Reason::LegBusy));
}

#[test]
fn a_relation_that_has_changed_closes_and_opens_nothing() {
    let mut config = pairs_config();
    config.pairs.change_probability = 0.3;
    config.pairs.entry_z = 3.0;
    let mut stand = Stand::<Pairs>::new(config);
    for i in 0..300 {
        stand.wait(100);
        stand.book(0, 100_000 + i % 3 * 10);
        stand.book(1, 50_000);
    }
    stand.passes();
    for _ in 0..5 {
        jump(&mut stand, 6);
    }
    assert!(stand.intents().len() <= 4);
    assert!(stand.passes().contains(&Reason::ChangeLikely));
}

fn trade_rules() -> config::TradeRules {
    config::TradeRules { rest_ms: 100, reward_ratio: 1.0, ..config::TradeRules::default() }
}

/// A bar of a second with these prices, and the book at its end.
fn second<S: Strategy>(stand: &mut Stand<S>, prices: &[i64]) {
    for &price in prices {
        stand.trade(0, price, 5);
    }
    stand.wait(1_000);
    stand.book(0, prices[prices.len() - 1]);
}

#[test]
fn votes_for_a_rise_buy_and_a_stop_sells() {
    let ta_combo = config::TaCombo {
        is_enabled: true,
        symbol: "AAA".into(),
        bar_ms: 1_000,
        fast: 3,
        slow: 6,
        signal: 3,
        rsi: 5,
        rsi_high: 100.0,
        rsi_low: 0.0,
        bands: 5,
        deviations: 3.0,
        atr: 5,
        votes: 3,
        stop_atr: 1.0,
        trade: trade_rules(),
    };
    let mut stand = Stand::<TaCombo>::new(Config { ta_combo, ..Config::default() });
    let mut price = 100_000;
    for i in 0..20 {
        second(&mut stand, &[price + i % 2 * 20, price]);
    }
    assert!(stand.passes().contains(&Reason::WarmingUp));
    let mut bought = Vec::new();
    for i in 0..12 {
        price += 20 + 10 * i;
        second(&mut stand, &[price]);
        bought = stand.intents();
        if !bought.is_empty() {
            break;
        }
    }
    let entry = bought[0];
    assert_eq!((entry.side, entry.is_reduce_only), (Side::Buy as u8, 0), "{entry:?}");
    stand.fill(&entry, entry.qty);
    stand.book(0, price - 2_000);
    let exit = stand.intents();
    assert_eq!((exit.len(), exit[0].side, exit[0].qty), (1, Side::Sell as u8, entry.qty));
    assert_eq!(exit[0].is_reduce_only, 1);
}

#[test]
fn a_close_beyond_the_opening_range_is_followed_until_the_session_ends() {
    let orb = config::Orb {
        is_enabled: true,
        symbol: "AAA".into(),
        bar_ms: 1_000,
        range_minutes: 1,
        entry_minutes: 3,
        session_minutes: 5,
        atr: 3,
        buffer_atr: 0.0,
        width_min_atr: 0.0,
        trade: config::TradeRules { reward_ratio: 100.0, risk_max: 1_000 * 100_000_000, ..trade_rules() },
        ..config::Orb::default()
    };
    let mut stand = Stand::<Orb>::new(Config { orb, ..Config::default() });
    // Midnight of a day of the calendar.
    stand.ms = 1_772_755_200_000 - 2_000;
    second(&mut stand, &[100_000]);
    second(&mut stand, &[100_000]);
    for i in 0..60 {
        second(&mut stand, &[100_000 + i % 5 * 20]);
        assert!(stand.intents().is_empty());
    }
    second(&mut stand, &[100_080]);
    second(&mut stand, &[100_140]);
    stand.trade(0, 100_140, 1);
    let intents = stand.intents();
    let [entry] = &intents[..] else { panic!("{intents:?}") };
    assert_eq!((entry.side, entry.is_reduce_only), (Side::Buy as u8, 0));
    stand.fill(entry, entry.qty);
    let mut exits = Vec::new();
    for _ in 0..260 {
        second(&mut stand, &[100_140]);
        exits.extend(stand.intents());
        if !exits.is_empty() {
            break;
        }
    }
    assert_eq!((exits[0].side, exits[0].is_reduce_only), (Side::Sell as u8, 1));
    assert_eq!((stand.ms / 1_000) % 86_400 / 60, 5, "with the end of the session");
    assert!(stand.passes().contains(&Reason::NoRange));
}

#[test]
fn a_signal_from_outside_is_held_for_its_time() {
    let signal_follow = config::SignalFollow {
        is_enabled: true,
        symbol: "AAA".into(),
        qty: "0.100".into(),
        hold_ms: 1_000,
        aggression_ticks: 1,
        ..config::SignalFollow::default()
    };
    let mut stand = Stand::<SignalFollow>::new(Config { signal_follow, ..Config::default() });
    stand.book(0, 100_000);
    stand.tell(0, OutcomeBody::Position { qty: 7 });
    stand.wait(500);
    assert!(stand.intents().is_empty(), "what is held from before is nobody's business");
    stand.tell(0, OutcomeBody::Position { qty: 0 });
    let set = |stand: &mut Stand<SignalFollow>, value: f64| {
        let (parameter, strategy) = (Parameter::SignalFollowSignal as u16, StrategyName::SignalFollow as u16);
        stand.tell(0, OutcomeBody::Set { id: 1, value_bits: value.to_bits(), strategy, parameter });
        stand.book(0, 100_000);
    };
    set(&mut stand, 1.5);
    assert!(stand.intents().is_empty(), "out of bounds");
    set(&mut stand, -0.555);
    let sold = stand.intents()[0];
    assert_eq!((sold.side, sold.qty, sold.price), (Side::Sell as u8, 55, 99_990));
    stand.fill(&sold, -55);
    stand.book(0, 100_000);
    assert!(stand.intents().is_empty());
    set(&mut stand, 1.0);
    let closed = stand.intents()[0];
    assert_eq!((closed.side, closed.qty, closed.is_reduce_only), (Side::Buy as u8, 55, 1));
    stand.fill(&closed, 0);
    stand.book(0, 100_000);
    let bought = stand.intents()[0];
    assert_eq!((bought.qty, bought.is_reduce_only), (100, 0), "through zero in two steps");
    stand.fill(&bought, 100);
    stand.wait(500);
    stand.book(0, 100_000);
    assert!(stand.intents().is_empty());
    stand.wait(600);
    stand.book(0, 100_000);
    let out = stand.intents()[0];
    assert_eq!((out.side, out.qty, out.is_reduce_only), (Side::Sell as u8, 100, 1), "its time is over");
    assert!(stand.passes().contains(&Reason::SignalOld));
}

/// The limits refuse what is decided on something read long ago: a snapshot is not that.
#[test]
fn what_is_decided_on_a_snapshot_is_young() {
    let signal_follow = config::SignalFollow {
        is_enabled: true,
        symbol: "AAA".into(),
        qty: "0.100".into(),
        ..config::SignalFollow::default()
    };
    let mut stand = Stand::<SignalFollow>::new(Config { signal_follow, ..Config::default() });
    stand.wait(10_000);
    let (parameter, strategy) = (Parameter::SignalFollowSignal as u16, StrategyName::SignalFollow as u16);
    stand.tell(0, OutcomeBody::Set { id: 1, value_bits: 1.0_f64.to_bits(), strategy, parameter });
    assert!(stand.intents().is_empty(), "there is no book yet");
    stand.book(0, 100_000);
    let intents = stand.intents();
    assert_eq!(intents.len(), 1);
    assert_eq!(intents[0].read_ns, intents[0].book_ns);
}

/// An entry that waits for a person is taken back when it is not wanted any more, and stands in no exit's way.
#[test]
fn what_waits_and_is_not_wanted_is_taken_back() {
    let signal_follow = config::SignalFollow {
        is_enabled: true,
        symbol: "AAA".into(),
        qty: "0.100".into(),
        ..config::SignalFollow::default()
    };
    let mut stand = Stand::<SignalFollow>::new(Config { signal_follow, ..Config::default() });
    let set = |stand: &mut Stand<SignalFollow>, value: f64| {
        let (parameter, strategy) = (Parameter::SignalFollowSignal as u16, StrategyName::SignalFollow as u16);
        stand.tell(0, OutcomeBody::Set { id: 1, value_bits: value.to_bits(), strategy, parameter });
        stand.book(0, 100_000);
    };
    stand.book(0, 100_000);
    set(&mut stand, 0.5);
    let bought = stand.intents()[0];
    stand.fill(&bought, 50);
    set(&mut stand, 1.0);
    let more = stand.intents()[0];
    assert_eq!((more.qty, more.is_reduce_only), (50, 0));
    stand.tell(0, OutcomeBody::Held { intent: more.number });
    stand.wait(5_000);
    stand.book(0, 100_000);
    assert!(stand.intents().is_empty() && stand.out.changes.is_empty(), "it is still wanted");
    set(&mut stand, 0.0);
    stand.book(0, 100_000);
    let back = std::mem::take(&mut stand.out.changes);
    assert_eq!((back.len(), back[0].intent, back[0].qty), (1, more.number, 0), "once");
    let gone = tickpath_shared::types::OrderState::Absent;
    stand.tell(0, OutcomeBody::Done { intent: more.number, state: gone });
    stand.wait(200);
    stand.book(0, 100_000);
    let out = stand.intents()[0];
    assert_eq!((out.side, out.qty, out.is_reduce_only), (Side::Sell as u8, 50, 1));
}

#[test]
fn two_strategies_do_not_share_an_instrument() {
    let mut config = pairs_config();
    config.market_maker =
        config::MarketMaker { is_enabled: true, symbol: "AAA".into(), ..config.market_maker };
    config.instrument = ["AAA", "BBB"].map(stand::instrument).to_vec();
    let error = crate::stage::engine::Engine::<Shipped>::new(&config, &stand::definitions()).err().unwrap();
    assert_eq!(error, "AAA: two strategies trade it, whose positions could not be told apart");
}
