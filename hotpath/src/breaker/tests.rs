//! Breakers trip after their samples and hold until their release; a day's result is carried over restarts.

use super::*;

fn breaker(action: BreakerAction, release: BreakerRelease, samples: u32) -> Breakers {
    let metric = BreakerMetric::DayLoss;
    Breakers::new(&[config::Breaker { metric, threshold: 100.0, samples, action, release }])
}

/// What a series of samples does.
fn take(breakers: &mut Breakers, values: &[f64]) -> Vec<(BreakerChange, f64)> {
    let mut changes = Vec::new();
    for value in values {
        breakers.sample(|_| Some(*value), |_, change, value| changes.push((change, value)));
    }
    changes
}

#[test]
fn a_breaker_trips_beyond_its_threshold_after_its_samples() {
    let mut breakers = breaker(BreakerAction::Stop, BreakerRelease::Manual, 3);
    assert!(take(&mut breakers, &[99.0, 100.0, 100.0, 100.0]).is_empty(), "at the threshold");
    assert!(take(&mut breakers, &[101.0, 101.0, 100.0, 101.0, 101.0]).is_empty(), "not in a row");
    assert_eq!(breakers.barrier(), None);
    assert_eq!(take(&mut breakers, &[101.5]), [(BreakerChange::Tripped, 101.5)]);
    assert_eq!(breakers.barrier(), Some(BreakerMetric::DayLoss));
    assert!(take(&mut breakers, &[0.0; 100]).is_empty(), "until a person releases it");
    breakers.on_day(|_, change, _| panic!("{change}"));
    let mut released = 0;
    breakers.release(|_, change, _| released += usize::from(change == BreakerChange::Released));
    assert_eq!((released, breakers.barrier()), (1, None));
    assert!(take(&mut breakers, &[101.0, 101.0]).is_empty());
    assert_eq!(take(&mut breakers, &[f64::NAN]).len(), 1, "no number is beyond everything");
}

#[test]
fn releases_by_day_and_by_recovery() {
    let mut daily = breaker(BreakerAction::Flatten, BreakerRelease::Day, 1);
    assert_eq!(take(&mut daily, &[200.0, 0.0]).len(), 1);
    daily.on_day(|_, _, _| {});
    assert_eq!(daily.barrier(), None);
    let mut healing = breaker(BreakerAction::Stop, BreakerRelease::Recovery, 2);
    take(&mut healing, &[101.0, 101.0]);
    assert!(take(&mut healing, &[99.0, 101.0, 99.0]).is_empty() && healing.barrier().is_some());
    assert_eq!(take(&mut healing, &[99.0]), [(BreakerChange::Released, 99.0)]);
}

#[test]
fn an_alert_bars_nothing_and_a_missing_value_decides_nothing() {
    let mut alert = breaker(BreakerAction::Alert, BreakerRelease::Manual, 1);
    alert.sample(|_| None, |_, change, _| panic!("{change}"));
    assert_eq!(take(&mut alert, &[101.0]).len(), 1);
    assert_eq!(alert.barrier(), None);
}

#[test]
fn what_holds_holds_after_a_restart_whatever_else_is_configured() {
    let mut before = breaker(BreakerAction::Cancel, BreakerRelease::Day, 1);
    take(&mut before, &[101.0]);
    let config = |metric, action| {
        let release = BreakerRelease::Day;
        config::Breaker { metric, threshold: 1.0, samples: 1, action, release }
    };
    let mut after = Breakers::new(&[
        config(BreakerMetric::Rejects, BreakerAction::Cancel),
        config(BreakerMetric::DayLoss, BreakerAction::Cancel),
        config(BreakerMetric::DayLoss, BreakerAction::Alert),
    ]);
    let mut restored = Vec::new();
    after.restore(before.latched(), |b, change, _| restored.push((b.metric, b.action, change)));
    assert_eq!(restored, [(BreakerMetric::DayLoss, BreakerAction::Cancel, BreakerChange::Restored)]);
    assert_eq!(after.latched(), before.latched());
}

const DAY: u64 = 86_400_000;
const ONE: i128 = 100_000_000;

/// Files of earlier builds are read: the bit of a metric and an action is its place for good.
#[test]
fn every_metric_and_action_has_its_bit() {
    use BreakerAction::{Alert, Cancel, Flatten, Stop};
    for (m, metric) in BreakerMetric::ALL.iter().enumerate() {
        for (a, action) in [Alert, Stop, Cancel, Flatten].into_iter().enumerate() {
            let release = BreakerRelease::Manual;
            let config = config::Breaker { metric: *metric, threshold: 1.0, samples: 1, action, release };
            let mut twice = Breakers::new(&[config.clone(), config]);
            take(&mut twice, &[2.0]);
            assert_eq!(twice.latched(), 1 << (4 * m + a), "{metric} {action:?}, told twice");
        }
    }
}

#[test]
fn a_day_counts_what_is_realised_and_how_open_positions_move() {
    let mut day = Day::new(1, 0);
    assert!(!day.look(5 * DAY + 1_000, 7 * ONE));
    day.on_fill(0, -ONE, 0, 10);
    assert_eq!(day.result(10 * ONE), DayResult { realized_e8: -ONE, all_e8: 2 * ONE, drawdown_e8: -2 * ONE });
    day.look(5 * DAY + 2_000, 10 * ONE);
    day.on_fill(0, -4 * ONE, 10, 0);
    let result = day.result(0);
    assert_eq!(result, DayResult { realized_e8: -5 * ONE, all_e8: -12 * ONE, drawdown_e8: 14 * ONE });
    assert!(day.look(6 * DAY, 3 * ONE), "a new day begins at midnight");
    assert_eq!(day.result(3 * ONE), DayResult::default());
    assert!(!day.look(6 * DAY - 10, 3 * ONE), "and does not come again when the clock is set back");
    assert!(!day.look(6 * DAY + 10, 3 * ONE));
}

#[test]
fn a_day_begins_when_it_is_configured_to() {
    let mut day = Day::new(1, 90);
    day.look(5 * DAY + 89 * 60_000, 0);
    assert!(day.look(5 * DAY + 90 * 60_000, 0));
}

#[test]
fn a_day_goes_on_after_a_restart_and_ends_while_nobody_runs() {
    let mut before = Day::new(1, 0);
    before.look(5 * DAY, 2 * ONE);
    before.on_fill(0, -30 * ONE, 5, 0);
    before.look(5 * DAY + 1, 0);
    let record = before.record(9);
    let mut after = Day::new(1, 0);
    after.restore(&record);
    assert!(!after.look(5 * DAY + 2, -ONE));
    assert_eq!(after.result(-ONE).all_e8, -33 * ONE);
    assert_eq!((after.losses(), record.latched), (1, 9));
    let mut next = Day::new(1, 0);
    next.restore(&record);
    assert!(next.look(6 * DAY + 2, -ONE));
    assert_eq!(next.result(-ONE).all_e8, 0);
}

#[test]
fn losses_are_counted_by_closed_position() {
    let mut day = Day::new(2, 0);
    day.on_fill(0, -ONE, 0, 10);
    day.on_fill(0, 3 * ONE, 10, 5);
    assert_eq!(day.losses(), 0, "it is not closed yet");
    day.on_fill(0, -9 * ONE, 5, 3);
    assert_eq!(day.losses(), 0, "what is left of it may still bring it back");
    day.on_fill(0, 4 * ONE, 3, -5);
    assert_eq!(day.losses(), 1, "through zero");
    day.on_fill(1, -ONE, 3, 0);
    assert_eq!(day.losses(), 2);
    day.on_fill(0, 2 * ONE, -5, 0);
    assert_eq!(day.losses(), 0);
    day.on_fill(1, -ONE, 3, 0);
    day.on_fill(1, 0, 3, 0);
    assert_eq!(day.losses(), 0, "nothing was lost");
}

#[test]
fn health_is_of_the_last_while() {
    let mut health = Health::default();
    (0..5).for_each(|_| health.on_reject());
    health.on_unknown();
    (0..59).for_each(|_| health.step());
    assert_eq!((health.rejects(), health.unknowns()), (5, 1));
    health.step();
    assert_eq!((health.rejects(), health.unknowns()), (0, 0));
    assert_eq!((health.slippage_bps(), health.latency_p99_us()), (None, None));
    // A tenth of a percent too dear, bought and sold.
    (0..8).for_each(|i| {
        let sign = if i % 2 == 0 { 1 } else { -1 };
        health.on_fill(sign, 1_000 * ONE + i128::from(sign) * ONE, 1_000 * 100_000_000);
    });
    assert_eq!(health.slippage_bps(), Some(10.0));
    (1..=300).for_each(|us| health.on_order(us * 1_000));
    assert_eq!(health.latency_p99_us(), Some(298.0), "of the last 256");
    health.on_regime(1.5, 0.2);
    health.on_regime(1.2, 0.3);
    assert_eq!(health.regime(), [Some(1.5), Some(0.3)]);
    health.step();
    assert_eq!(health.regime(), [None, None]);
}

#[test]
fn funding_counts_once_in_its_own_day() {
    const DAY_MS: u64 = 86_400_000;
    let funding = |instrument, venue_ms| Funding { instrument, venue_ms, received_e8: -300 };
    let mut day = Day::new(2, 0);
    assert!(!day.look(10 * DAY_MS + 5, 0));
    for _ in 0..2 {
        day.on_funding(funding(None, 10 * DAY_MS + 7));
        day.on_funding(funding(Some(1), 10 * DAY_MS + 7));
        // An older one may be told later.
        day.on_funding(funding(None, 10 * DAY_MS + 6));
    }
    assert_eq!(day.result(0).realized_e8, -900);
    // Told before the first look at its day.
    day.on_funding(funding(None, 11 * DAY_MS));
    assert_eq!(day.result(0).realized_e8, -900);
    let before = Vec::from_iter(day.words());
    assert!(day.look(11 * DAY_MS + 1, 0));
    assert_eq!(day.result(0).realized_e8, -300);
    assert_ne!(before, Vec::from_iter(day.words()));
}

#[test]
fn figures_of_orders_need_enough_of_them_and_go_with_them() {
    let mut health = Health::default();
    (0..31).for_each(|us| health.on_order(us * 1_000));
    (0..7).for_each(|_| health.on_fill(1, 101 * ONE, 100 * 100_000_000));
    assert_eq!((health.latency_p99_us(), health.slippage_bps()), (None, None));
    health.on_order(31_000);
    health.on_fill(1, 101 * ONE, 100 * 100_000_000);
    // Without a mark there is no distance.
    health.on_fill(1, 500 * ONE, 0);
    assert_eq!((health.latency_p99_us(), health.slippage_bps()), (Some(31.0), Some(100.0)));
    (0..59).for_each(|_| health.step());
    assert_eq!((health.latency_p99_us(), health.slippage_bps()), (Some(31.0), Some(100.0)));
    health.step();
    assert_eq!(
        (health.latency_p99_us(), health.slippage_bps()),
        (Some(0.0), Some(0.0)),
        "a minute of nothing"
    );
    // The mean is of the last 32.
    (0..32).for_each(|_| health.on_fill(1, 101 * ONE, 100 * 100_000_000));
    (0..16).for_each(|_| health.on_fill(-1, 101 * ONE, 100 * 100_000_000));
    assert_eq!(health.slippage_bps(), Some(0.0), "as many better as worse");
    (0..3).for_each(|_| (health.on_reject(), health.on_unknown()).1);
    health.forget();
    assert_eq!((health.rejects(), health.unknowns(), health.slippage_bps()), (0, 0, Some(0.0)));
}

#[test]
fn what_breakers_and_health_remember_is_in_the_digest() {
    let mut breakers = breaker(BreakerAction::Stop, BreakerRelease::Manual, 3);
    let mut words = vec![Vec::from_iter(breakers.words())];
    for _ in 0..3 {
        take(&mut breakers, &[101.0]);
        words.push(Vec::from_iter(breakers.words()));
    }
    assert_eq!(words, [[0], [2], [4], [1]]);
    let changes: [fn(&mut Health); 7] = [
        Health::on_reject,
        Health::on_unknown,
        Health::step,
        |health| health.on_order(1),
        |health| health.on_fill(1, 101 * ONE, 100 * 100_000_000),
        |health| health.on_regime(1.0, f64::NAN),
        |health| health.on_regime(f64::NAN, 1.0),
    ];
    let words_after = |change: fn(&mut Health)| {
        let mut health = Health::default();
        change(&mut health);
        Vec::from_iter(health.words())
    };
    let mut seen = vec![words_after(|_| {})];
    for change in changes {
        let words = words_after(change);
        assert!(!seen.contains(&words));
        seen.push(words);
    }
    assert!(seen.iter().all(|words| words.len() == 2 * 61 + (4 + 32) + (4 + 256) + 2));
}
