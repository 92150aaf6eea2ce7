//! Comparisons in one run: contenders take turns, round by round, so that a slow moment of the machine meets
//! all of them; medians and ratios of medians are printed.

#![expect(clippy::print_stdout, reason = "the table is the result")]

pub mod capture;
pub mod peers;
pub mod signals;

use std::{hint::black_box, time::Instant};

/// Rounds when measuring; an odd number.
const ROUNDS: usize = 15;

/// One contender: a name, and a closure that does one batch and returns how many items that was.
pub struct Contender<'a> {
    name: &'static str,
    batch: Box<dyn FnMut() -> u64 + 'a>,
    before: Box<dyn FnMut() + 'a>,
}

impl<'a> Contender<'a> {
    /// A contender.
    pub fn new(name: &'static str, batch: impl FnMut() -> u64 + 'a) -> Self {
        Self { name, batch: Box::new(batch), before: Box::new(|| {}) }
    }

    /// Nanoseconds an item of one batch.
    fn time(&mut self) -> f64 {
        (self.before)();
        let start = Instant::now();
        let items = black_box((self.batch)());
        start.elapsed().as_nanos() as f64 / items.max(1) as f64
    }

    /// Something to be done before every batch, outside of the time.
    pub fn before(mut self, before: impl FnMut() + 'a) -> Self {
        self.before = Box::new(before);
        self
    }
}

/// What a row should reach.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// The peer takes at least so many times ours.
    Faster(f64),
    /// Ours takes at most so many times the peer's: a physical or library floor.
    Within(f64),
    /// Ours takes at most so many nanoseconds more.
    Adds(f64),
    /// For orientation.
    None,
}

/// How the benches run.
#[derive(Clone, Copy, Debug)]
pub struct Mode {
    /// Measure, or only run everything once.
    pub is_measuring: bool,
}

impl Mode {
    /// cargo passes `--bench` when it measures; as a test every row runs once so that it cannot rot.
    pub fn from_arguments() -> Self {
        Self { is_measuring: std::env::args().any(|a| a == "--bench") }
    }

    /// Rows named on the command line; all when none is.
    pub fn wants(self, row: &str) -> bool {
        let mut named = std::env::args().skip(1).filter(|a| !a.starts_with("--")).peekable();
        named.peek().is_none() || named.any(|name| row.contains(&name))
    }

    /// Runs ours alone and prints it beside the time that it should take at most, nanoseconds.
    pub fn alone(self, row: &str, mut ours: Contender<'_>, most_ns: f64) {
        if !self.wants(row) {
            return;
        }
        let rounds = if self.is_measuring { ROUNDS } else { 1 };
        let mut times: Vec<f64> = (0..=rounds).map(|_| ours.time()).skip(1).collect();
        let ns = median(&mut times);
        println!("{row:<34} {ns:>10.1}  {:<34} {most_ns:>10.1}{}", "at most", mark(ns <= most_ns));
    }

    /// Runs the contenders in turns and prints ours beside every peer, with the peer's target.
    pub fn compare(self, row: &str, ours: Contender<'_>, peers: Vec<(Contender<'_>, Target)>) {
        let (mut contenders, targets): (Vec<_>, Vec<_>) = peers.into_iter().unzip();
        contenders.insert(0, ours);
        let rounds = if self.is_measuring { ROUNDS } else { 1 };
        let mut times = vec![Vec::with_capacity(rounds); contenders.len()];
        for round in 0..=rounds {
            for (contender, times) in contenders.iter_mut().zip(&mut times) {
                let time = contender.time();
                // The first round warms caches and branch predictors.
                if round > 0 {
                    times.push(time);
                }
            }
        }
        let medians: Vec<f64> = times.iter_mut().map(|t| median(t)).collect();
        for ((peer, theirs), target) in contenders.iter().zip(&medians).skip(1).zip(targets) {
            println!("{}", line(row, medians[0], peer.name, *theirs, target));
        }
    }
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Title of the table that [`Mode::compare`] prints.
pub fn title() -> String {
    format!("{:<34} {:>10}  {:<34} {:>10}  ratio and target", "row", "ours ns", "peer", "peer ns")
}

fn line(row: &str, ours: f64, peer: &str, theirs: f64, target: Target) -> String {
    let verdict = match target {
        Target::Faster(least) => {
            let ratio = theirs / ours;
            format!("{ratio:>6.2}x faster, target >= {least}x{}", mark(ratio >= least))
        }
        Target::Within(most) => {
            let ratio = ours / theirs;
            format!("{ratio:>6.2}x of it, target <= {most}x{}", mark(ratio <= most))
        }
        Target::Adds(most) => {
            let more = ours - theirs;
            format!("{more:>6.1} ns more, target <= {most} ns{}", mark(more <= most))
        }
        Target::None => format!("{:>6.2}x faster", theirs / ours),
    };
    format!("{row:<34} {ours:>10.1}  {peer:<34} {theirs:>10.1}  {verdict}")
}

fn mark(is_reached: bool) -> &'static str {
    if is_reached { "" } else { "  MISSED" }
}
