//! Moving averages with the seeding of TA-Lib: nothing before the look-back is full, then the mean of its values.

use serde::{Deserialize, Serialize};

/// Arithmetic mean of the last `n` values. O(1) an update; the sum is taken afresh once a window so that rounding
/// cannot accumulate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sma {
    values: Vec<f64>,
    /// Place of the next value.
    at: usize,
    seen: u64,
    sum: f64,
}

/// What a value did to a full window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slide {
    /// The value that went.
    pub(super) old: f64,
    /// The mean before, once there was one.
    pub(super) before: f64,
    /// The mean now.
    pub(super) mean: f64,
    /// Rounding errors of the sum are gone: it was taken anew.
    pub(super) is_fresh: bool,
}

impl Sma {
    /// A mean of `n` values, at least one.
    pub fn new(n: usize) -> Self {
        Self { values: vec![0.0; n.max(1)], at: 0, seen: 0, sum: 0.0 }
    }

    /// Takes a value; the mean from the `n`-th value on.
    #[inline]
    pub fn push(&mut self, x: f64) -> Option<f64> {
        self.slide(x).map(|slide| slide.mean)
    }

    #[inline]
    pub(super) fn slide(&mut self, x: f64) -> Option<Slide> {
        let n = self.values.len();
        let before = self.sum / n as f64;
        let old = std::mem::replace(&mut self.values[self.at], x);
        self.sum += x - old;
        self.seen += 1;
        self.at += 1;
        let is_fresh = self.at == n;
        if is_fresh {
            self.at = 0;
            self.sum = self.values.iter().sum();
        }
        (self.seen >= n as u64).then(|| Slide { old, before, mean: self.sum / n as f64, is_fresh })
    }

    /// The last `n` values, in no order.
    pub(super) fn values(&self) -> &[f64] {
        &self.values
    }

    /// The state as words, for digests.
    pub fn words(&self) -> impl Iterator<Item = u64> + '_ {
        [self.seen, self.sum.to_bits()].into_iter().chain(self.values.iter().map(|v| v.to_bits()))
    }
}

/// Exponential mean: E <- E + k (x - E), k = 2 / (n + 1), started with the mean of the first `n` values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ema {
    n: u64,
    k: f64,
    seen: u64,
    /// The mean; the sum of what was seen before the `n`-th value.
    mean: f64,
}

impl Ema {
    /// A mean over `n` values, at least one.
    pub fn new(n: usize) -> Self {
        let n = n.max(1) as u64;
        Self { n, k: 2.0 / (n + 1) as f64, seen: 0, mean: 0.0 }
    }

    /// Takes a value; the mean from the `n`-th value on.
    pub fn push(&mut self, x: f64) -> Option<f64> {
        self.seen += 1;
        if self.seen > self.n {
            self.mean += self.k * (x - self.mean);
        } else {
            self.mean += x;
            if self.seen == self.n {
                self.mean /= self.n as f64;
            }
        }
        self.value()
    }

    /// The mean, once there is one.
    pub fn value(&self) -> Option<f64> {
        (self.seen >= self.n).then_some(self.mean)
    }

    /// Starts with a mean that was formed elsewhere.
    pub(super) fn seed(&mut self, mean: f64) {
        (self.seen, self.mean) = (self.n, mean);
    }

    /// The state as words, for digests.
    pub fn words(&self) -> impl Iterator<Item = u64> + use<> {
        [self.seen, self.mean.to_bits()].into_iter()
    }
}
