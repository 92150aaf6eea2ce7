//! Average true range and Bollinger bands as TA-Lib computes them.

use super::{Bar, Sma};
use serde::{Deserialize, Serialize};

/// Wilder's average true range over `n` bars. The first bar has no true range.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Atr {
    n: u64,
    seen: u64,
    close: f64,
    /// The average; the sum before the `n`-th true range.
    mean: f64,
}

impl Atr {
    /// An average over `n` bars, at least one.
    pub fn new(n: usize) -> Self {
        Self { n: n.max(1) as u64, seen: 0, close: 0.0, mean: 0.0 }
    }

    /// Takes a bar; the average from the `n + 1`-th on.
    pub fn push(&mut self, bar: &Bar) -> Option<f64> {
        let before = std::mem::replace(&mut self.close, bar.close);
        self.seen += 1;
        if self.seen == 1 {
            return None;
        }
        let range = (bar.high - bar.low).max((bar.high - before).abs()).max((bar.low - before).abs());
        let (ranges, n) = (self.seen - 1, self.n as f64);
        if ranges > self.n {
            self.mean = (self.mean * (n - 1.0) + range) / n;
        } else {
            self.mean += range;
            if ranges == self.n {
                self.mean /= n;
            }
        }
        self.value()
    }

    /// The average, once there is one.
    pub fn value(&self) -> Option<f64> {
        (self.seen > self.n).then_some(self.mean)
    }

    /// The state as words, for digests.
    pub fn words(&self) -> impl Iterator<Item = u64> + use<> {
        [self.seen, self.close.to_bits(), self.mean.to_bits()].into_iter()
    }
}

/// Bollinger's bands of a bar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bands {
    /// Middle plus deviations.
    pub upper: f64,
    /// Arithmetic mean.
    pub middle: f64,
    /// Middle less deviations.
    pub lower: f64,
}

/// Sum of squared distances, in four lanes: each waits for itself alone.
fn squares(values: &[f64], middle: f64) -> f64 {
    let mut lanes = [0.0; 4];
    let (chunks, rest) = values.as_chunks::<4>();
    for chunk in chunks {
        for lane in 0..4 {
            let distance = chunk[lane] - middle;
            lanes[lane] += distance * distance;
        }
    }
    lanes.iter().sum::<f64>() + rest.iter().map(|v| (v - middle) * (v - middle)).sum::<f64>()
}

/// Mean of `n` closes and bands of population deviations around it. O(n) an update: the squares are taken from the
/// mean itself, since the difference of large sums has lost its digits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bollinger {
    mean: Sma,
    up: f64,
    down: f64,
}

impl Bollinger {
    /// Bands over `n` closes, `up` deviations above and `down` below.
    pub fn new(n: usize, up: f64, down: f64) -> Self {
        Self { mean: Sma::new(n), up, down }
    }

    /// Takes a close; the bands from the `n`-th on.
    pub fn push(&mut self, close: f64) -> Option<Bands> {
        let middle = self.mean.push(close)?;
        let values = self.mean.values();
        let deviation = (squares(values, middle) / values.len() as f64).sqrt();
        Some(Bands { upper: middle + self.up * deviation, middle, lower: middle - self.down * deviation })
    }

    /// The state as words, for digests.
    pub fn words(&self) -> impl Iterator<Item = u64> + '_ {
        self.mean.words()
    }
}
