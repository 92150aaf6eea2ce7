//! RSI and MACD as TA-Lib computes them.

use super::Ema;
use serde::{Deserialize, Serialize};

/// Wilder's relative strength index over `n` changes, 0 to 100; 0 for a series that does not move.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rsi {
    n: u64,
    seen: u64,
    before: f64,
    /// Smoothed rises and falls; their sums before the `n`-th change.
    up: f64,
    down: f64,
}

impl Rsi {
    /// An index over `n` changes, at least two.
    pub fn new(n: usize) -> Self {
        Self { n: n.max(2) as u64, seen: 0, before: 0.0, up: 0.0, down: 0.0 }
    }

    /// Takes a close; the index from the `n + 1`-th on.
    pub fn push(&mut self, close: f64) -> Option<f64> {
        let change = close - std::mem::replace(&mut self.before, close);
        self.seen += 1;
        if self.seen == 1 {
            return None;
        }
        let (rise, fall) = (change.max(0.0), (-change).max(0.0));
        let (changes, n) = (self.seen - 1, self.n as f64);
        if changes <= self.n {
            (self.up, self.down) = (self.up + rise, self.down + fall);
            if changes < self.n {
                return None;
            }
            (self.up, self.down) = (self.up / n, self.down / n);
        } else {
            self.up = (self.up * (n - 1.0) + rise) / n;
            self.down = (self.down * (n - 1.0) + fall) / n;
        }
        let sum = self.up + self.down;
        Some(if sum > 0.0 { 100.0 * (self.up / sum) } else { 0.0 })
    }

    /// The state as words, for digests.
    pub fn words(&self) -> impl Iterator<Item = u64> + use<> {
        [self.seen, self.before.to_bits(), self.up.to_bits(), self.down.to_bits()].into_iter()
    }
}

/// What a MACD says of a bar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MacdValue {
    /// Fast mean less slow mean.
    pub line: f64,
    /// Exponential mean of the line.
    pub signal: f64,
}

impl MacdValue {
    /// Line less signal.
    pub fn histogram(&self) -> f64 {
        self.line - self.signal
    }
}

/// Moving average convergence and divergence. Both means start at the slow one's first value, each with the mean of
/// its own last values: not the difference of two [`Ema`]s until the seeds have decayed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Macd {
    fast_n: u64,
    slow_n: u64,
    seen: u64,
    fast_sum: f64,
    slow_sum: f64,
    fast: Ema,
    slow: Ema,
    signal: Ema,
}

impl Macd {
    /// Means over `fast` and `slow` values (the shorter is the fast one) and over `signal` values of the line.
    pub fn new(fast: usize, slow: usize, signal: usize) -> Self {
        let (fast, slow) = (fast.min(slow).max(1), fast.max(slow).max(1));
        let [fast_ema, slow_ema, signal] = [fast, slow, signal].map(Ema::new);
        let (fast_n, slow_n) = (fast as u64, slow as u64);
        Self { fast_n, slow_n, seen: 0, fast_sum: 0.0, slow_sum: 0.0, fast: fast_ema, slow: slow_ema, signal }
    }

    /// Takes a close; the value from the `slow + signal - 1`-th on.
    pub fn push(&mut self, close: f64) -> Option<MacdValue> {
        self.seen += 1;
        if self.seen > self.slow_n {
            self.fast.push(close);
            self.slow.push(close);
        } else {
            self.slow_sum += close;
            if self.seen > self.slow_n - self.fast_n {
                self.fast_sum += close;
            }
            if self.seen == self.slow_n {
                self.fast.seed(self.fast_sum / self.fast_n as f64);
                self.slow.seed(self.slow_sum / self.slow_n as f64);
            }
        }
        let line = self.fast.value()? - self.slow.value()?;
        Some(MacdValue { line, signal: self.signal.push(line)? })
    }

    /// The state as words, for digests.
    pub fn words(&self) -> impl Iterator<Item = u64> + use<> {
        let head = [self.seen, self.fast_sum.to_bits(), self.slow_sum.to_bits()];
        head.into_iter().chain(self.fast.words()).chain(self.slow.words()).chain(self.signal.words())
    }
}
