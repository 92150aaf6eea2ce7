//! Against the published vector; whole series against the package are tests of the system.

use super::*;

/// Test set B of 64 bars.
fn bars() -> Vec<Bar> {
    let mut state = 777_u64;
    let mut draw = move || {
        state = (1_103_515_245 * state + 12_345) % (1 << 31);
        state as f64 / f64::from(1_u32 << 31)
    };
    let cents = |x: f64| format!("{x:.2}").parse::<f64>().unwrap();
    let drifts = [(0.5, 10), (-0.6, 12), (0.7, 14), (-0.5, 8), (0.6, 10), (-0.7, 10)];
    let mut price = 100.0;
    let mut bars = Vec::new();
    for (drift, count) in drifts {
        for _ in 0..count {
            let open: f64 = price;
            let close = cents(open + drift + (draw() - 0.5) * 2.4);
            let high = cents(open.max(close) + 0.5 * draw());
            let low = cents(open.min(close) - 0.5 * draw());
            let volume = (100.0 + 900.0 * draw()).floor();
            bars.push(Bar { open, high, low, close, volume, ..Bar::default() });
            price = close;
        }
    }
    bars
}

/// Events with the bar that told them.
fn events(rules: SmcRules, bars: &[Bar]) -> Vec<(u64, Event)> {
    let mut smc = Smc::new(rules);
    let mut events = Vec::new();
    for (i, bar) in bars.iter().enumerate() {
        smc.push(bar, |event| events.push((i as u64, event)));
    }
    events
}

const RULES: SmcRules = SmcRules { swing_length: 3, pool_range: PoolRange::Fixed(2.4975) };

#[test]
fn the_published_vector() {
    let bars = bars();
    let first = &bars[0];
    assert_eq!((first.high, first.low, first.close, first.volume), (100.08, 99.81, 99.95, 607.0));
    let events = events(RULES, &bars);
    let (mut swings, mut structure, mut blocks, mut gaps) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (now, event) in events {
        match event {
            Event::Swing(swing) => {
                assert_eq!(now, swing.at + 3);
                swings.push((swing.at, swing.is_high, swing.level));
            }
            Event::SwingRevoked(swing) => swings.retain(|s| s.0 != swing.at),
            Event::Structure { at, is_change, level, broken_at, .. } => {
                structure.push((at, is_change, level, broken_at));
            }
            Event::StructureRevoked { at } => structure.retain(|s| s.0 != at),
            Event::Block(b) => blocks.push((b.at, b.is_up, b.top, b.bottom, b.volume)),
            Event::BlockGone { at, .. } | Event::BlockRevoked { at, .. } => blocks.retain(|b| b.0 != at),
            Event::Gap { at, .. } => gaps.push((at, 0)),
            Event::GapMitigated { at } => gaps.iter_mut().filter(|g| g.0 == at).for_each(|g| g.1 = now),
            _ => {}
        }
    }
    let levels = [
        (5, 99.96),
        (9, 102.02),
        (12, 97.34),
        (15, 98.29),
        (21, 89.78),
        (37, 101.0),
        (43, 96.79),
        (53, 106.43),
    ];
    let expected: Vec<_> =
        levels.iter().enumerate().map(|(i, &(at, level))| (at, i % 2 == 1, level)).collect();
    assert_eq!(swings, expected);
    // The one at bar 5 needs the swing that the package forces onto bar 0.
    structure.sort_by_key(|s| s.0);
    assert_eq!(structure, [(12, false, 97.34, 16), (15, true, 98.29, 34), (37, false, 101.0, 48)]);
    assert_eq!(blocks, [(21, true, 91.32, 89.78, 1905.0), (43, true, 97.54, 96.79, 1502.0)]);
    let expected = [
        (12, 15),
        (17, 28),
        (18, 27),
        (19, 26),
        (20, 24),
        (21, 23),
        (24, 0),
        (25, 0),
        (27, 0),
        (28, 30),
        (30, 0),
        (31, 34),
        (35, 37),
        (40, 42),
        (44, 0),
        (46, 62),
        (47, 60),
        (48, 59),
        (49, 51),
        (51, 57),
        (52, 55),
        (55, 57),
        (57, 59),
        (59, 0),
        (60, 0),
    ];
    assert_eq!(gaps, expected);
}

#[test]
fn what_was_told_does_not_depend_on_what_came_later() {
    let bars = bars();
    let whole = events(RULES, &bars);
    for end in 0..bars.len() {
        let prefix = events(RULES, &bars[..end]);
        let known: Vec<_> = whole.iter().copied().filter(|(now, _)| *now < end as u64).collect();
        assert_eq!(prefix, known);
    }
}
