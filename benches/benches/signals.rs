//! What an update of an operator takes: `cargo bench -p benches --bench signals`. For orientation; instruction counts
//! are gated by the bench `instructions`.

#![expect(clippy::print_stdout, reason = "the table is the result")]

use benches::{
    Contender, Mode, Target,
    signals::{self, Indicators, RUN_MAX, Ticks},
    title,
};
use std::hint::black_box;
use tickpath_hotpath::{
    signal::{
        Bar,
        vector::{Kernel, dispatch, ln},
    },
    wire::simd::Isa,
};

/// Updates of a batch.
const UPDATES: usize = 10_000;

/// Logarithms of an array, as the detector computes its own.
struct Logarithms<'a>(&'a mut [f64]);

impl Kernel for Logarithms<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.0.iter_mut().for_each(|x| *x = ln(*x));
    }
}

fn indicators(mode: Mode, bars: &[Bar]) {
    let mut all = Indicators::default();
    let Indicators { sma, ema, rsi, macd, bollinger, atr } = &mut all;
    let row = |name: &'static str, update: &mut dyn FnMut(&Bar)| {
        let batch = || {
            bars.iter().for_each(&mut *update);
            bars.len() as u64
        };
        mode.alone(name, Contender::new(name, batch), 15.0);
    };
    row("sma 20", &mut |bar| _ = black_box(sma.push(bar.close)));
    row("ema 20", &mut |bar| _ = black_box(ema.push(bar.close)));
    row("rsi 14", &mut |bar| _ = black_box(rsi.push(bar.close)));
    row("macd 12 26 9", &mut |bar| _ = black_box(macd.push(bar.close)));
    row("bollinger 20", &mut |bar| _ = black_box(bollinger.push(bar.close)));
    row("atr 14", &mut |bar| _ = black_box(atr.push(bar)));
}

fn models(mode: Mode) {
    let (xs, ys) = (signals::draws(UPDATES), signals::draws(2 * UPDATES));
    let mut filter = signals::hedge_ratio();
    let batch = || {
        xs.iter().zip(&ys).for_each(|(x, noise)| _ = black_box(filter.observe(11.0 + x, 8.0 + x + noise)));
        xs.len() as u64
    };
    mode.alone("hedge ratio", Contender::new("hedge ratio", batch), 25.0);
    let mut garch = signals::garch();
    let batch = || {
        xs.iter().for_each(|x| _ = black_box(garch.push(*x)));
        xs.len() as u64
    };
    mode.alone("garch", Contender::new("garch", batch), 10.0);
}

fn changepoint(mode: Mode, isa: Isa) {
    let draws = signals::draws(1_000);
    let mut detector = signals::changepoint(isa);
    let ours = || {
        draws.iter().for_each(|draw| _ = black_box(detector.push(*draw)));
        draws.len() as u64
    };
    let values: Vec<f64> = (1..=RUN_MAX).map(|i| i as f64).collect();
    let mut place = values.clone();
    let logarithms = || {
        for _ in 0..1_000 {
            place.copy_from_slice(&values);
            dispatch(isa, Logarithms(black_box(&mut place)));
        }
        1_000
    };
    let peer = Contender::new("logarithms of 500", logarithms);
    let row = format!("changepoint 500, {}", isa.name());
    mode.compare(&row, Contender::new("ours", ours), vec![(peer, Target::Within(3.0))]);
}

fn main() {
    let mode = Mode::from_arguments();
    println!("{}", title());
    indicators(mode, &signals::bars(UPDATES));
    models(mode);
    Isa::available().into_iter().for_each(|isa| changepoint(mode, isa));
    let (mut with, mut without) = (Ticks::new(true), Ticks::new(false));
    let bare = Contender::new("the tick without a strategy", || without.run(UPDATES));
    mode.compare(
        "tick with pairs, no sample",
        Contender::new("ours", || with.run(UPDATES)),
        vec![(bare, Target::Adds(40.0))],
    );
}
