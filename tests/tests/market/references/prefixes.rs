//! No look-ahead: what an operator said of the beginning of a series is the same whatever comes after it.

use tickpath_hotpath::{
    signal::{
        Atr, Bar, BarBuilder, BarRule, Bollinger, Breakout, Changepoint, ChangepointPrior, Ema, EwZ, Garch,
        GarchParameters, HedgeRatio, Macd, NoBreakout, OpeningRange, Print, RangeRules, RollingZ, Rsi,
        Session, Sma, Stance, ThresholdRules, Thresholds,
        smc::{PoolRange, Smc, SmcRules},
    },
    wire::simd::Isa,
};

/// Beginnings an operator is tried with.
const PREFIXES: u64 = 10_000;
const BARS_MAX: u64 = 160;

struct Draws(u64);

impl Draws {
    /// Uniform in 0 to 1 (exclusive).
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A bar that follows one that closed at `price`, on a coarse grid so that ties happen.
fn bar(draws: &mut Draws, index: u64, price: f64) -> Bar {
    let grid = |x: f64| (x * 4.0).round() / 4.0;
    let close = grid(price + (draws.next() - 0.5) * 4.0);
    let high = grid(price.max(close) + draws.next());
    let low = grid(price.min(close) - draws.next());
    let (start_ms, end_ms) = (index * 60_000, (index + 1) * 60_000);
    Bar { open: price, high, low, close, volume: 1.0 + (draws.next() * 9.0).floor(), start_ms, end_ms }
}

/// What an operator says of every bar, as text so that any kind of answer can be compared.
fn said<O>(operator: &mut O, bars: &[Bar], step: &impl Fn(&mut O, &Bar) -> String) -> Vec<String> {
    bars.iter().map(|bar| step(operator, bar)).collect()
}

/// Runs an operator over series that share a beginning, and over the beginning alone.
fn check<O>(name: &str, make: impl Fn() -> O, step: impl Fn(&mut O, &Bar) -> String) {
    let mut answers = 0;
    for seed in 0..PREFIXES {
        let mut draws = Draws(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1);
        let prefix = 1 + (draws.next() * BARS_MAX as f64) as u64;
        let mut bars = Vec::new();
        for index in 0..BARS_MAX {
            if index == prefix {
                draws = Draws(draws.0 ^ 0xdead_beef);
            }
            let price = bars.last().map_or(100.0, |bar: &Bar| bar.close);
            bars.push(bar(&mut draws, index, price));
        }
        let prefix = prefix as usize;
        let alone = said(&mut make(), &bars[..prefix], &step);
        let whole = said(&mut make(), &bars, &step);
        assert_eq!(alone, whole[..prefix], "{name}, seed {seed}");
        answers += alone.iter().filter(|said| *said != "None" && !said.is_empty()).count();
    }
    println!("{name}: {PREFIXES} prefixes, {answers} answers, 0 differences");
    assert!(answers as u64 > PREFIXES / 100, "{name} has hardly said anything");
}

fn text(value: impl std::fmt::Debug) -> String {
    format!("{value:?}")
}

#[test]
fn indicators() {
    check("sma", || Sma::new(10), |o, bar| text(o.push(bar.close)));
    check("ema", || Ema::new(10), |o, bar| text(o.push(bar.close)));
    check("rsi", || Rsi::new(14), |o, bar| text(o.push(bar.close)));
    check("macd", || Macd::new(5, 12, 4), |o, bar| text(o.push(bar.close)));
    check("atr", || Atr::new(14), |o, bar| text(o.push(bar)));
    check("bollinger", || Bollinger::new(20, 2.0, 2.0), |o, bar| text(o.push(bar.close)));
}

#[test]
fn models() {
    let z = |o: &mut RollingZ, bar: &Bar| {
        let z = o.z(bar.close);
        o.push(bar.close);
        text(z)
    };
    check("rolling z", || RollingZ::new(20), z);
    check("weighted z", || EwZ::new(20), |o, bar| text(o.push(bar.close)));
    check("hedge ratio", || HedgeRatio::new(1.0, 1e-5, 1e-2), |o, bar| text(o.observe(bar.open, bar.close)));
    let parameters = GarchParameters { omega: 0.05, alpha: 0.1, beta: 0.85 };
    check("garch", || Garch::new(parameters), |o, bar| text(o.push(bar.close - bar.open)));
    let prior = ChangepointPrior { lambda: 50.0, mu: 0.0, kappa: 1.0, alpha: 1.0, beta: 1.0 };
    let detector = || Changepoint::new(prior, 60, Isa::choose().unwrap());
    check("changepoint", detector, |o, bar| {
        assert!(o.push(bar.close - bar.open));
        text((o.likeliest(), o.recent(5)))
    });
    let rules =
        ThresholdRules { entry: 1.0, entry_min: 0.5, entry_max: 2.0, exit_share: 0.2, stop: 3.0, power: 0.5 };
    check(
        "thresholds",
        || Thresholds::new(rules),
        |o, bar| {
            let stance = o.push(bar.close - bar.open);
            o.scale(bar.volume / 5.0);
            if stance == Stance::Flat { String::new() } else { text(stance) }
        },
    );
}

#[test]
fn concepts_over_bars() {
    for (name, pool_range) in
        [("fixed", PoolRange::Fixed(0.5)), ("atr", PoolRange::Atr { bars: 10, factor: 0.5 })]
    {
        let rules = SmcRules { swing_length: 3, pool_range };
        check(
            &format!("smart money, {name}"),
            || Smc::new(rules),
            |o, bar| {
                let mut events = Vec::new();
                o.push(bar, |event| events.push(event));
                if events.is_empty() { String::new() } else { text(events) }
            },
        );
    }
    let rules = RangeRules {
        bar_ms: 60_000,
        buffer_min: 0.25,
        buffer_atr: 0.0,
        width_min_atr: 0.0,
        width_max_atr: 100.0,
        volume_ratio_min: 0.0,
    };
    let session =
        Session { start_ms: 300_000, range_end_ms: 900_000, entry_end_ms: 6_000_000, end_ms: 9_000_000 };
    let range = || {
        let mut range = OpeningRange::new(rules);
        range.begin(session);
        range
    };
    check("opening range", range, |o, bar| {
        let found: Result<Breakout, NoBreakout> = o.push(bar, Some(1.0));
        format!("{found:?}")
    });
    for (name, rule) in [
        ("time", BarRule::Time(180_000)),
        ("volume", BarRule::Volume(20.0)),
        ("turnover", BarRule::Turnover(2_000.0)),
    ] {
        check(
            &format!("bars by {name}"),
            || BarBuilder::new(rule),
            |o, bar| {
                let print = Print { venue_ms: bar.start_ms, price: bar.close, qty: bar.volume };
                let before = o.close_before(bar.start_ms);
                text(before.or(o.push(print)))
            },
        );
    }
}
