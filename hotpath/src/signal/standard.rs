//! Standardised values: how many deviations a value is from what came before it.

use serde::{Deserialize, Serialize};

/// Rolling z-score, (x - mean of the n values before) / their sample deviation (ddof 1): a window of the last `n`
/// values with running mean and sum of squared deviations.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RollingZ {
    values: Vec<f64>,
    len: usize,
    next: usize,
    mean: f64,
    /// Sum of squared deviations from the mean.
    squares: f64,
}

impl RollingZ {
    /// A window of `n` values, at least two.
    pub fn new(n: usize) -> Self {
        Self { values: vec![0.0; n.max(2)], len: 0, next: 0, mean: 0.0, squares: 0.0 }
    }

    /// Z-score of `x` against the window, which does not contain it; `None` until the window is full or
    /// while its deviation is zero.
    pub fn z(&self, x: f64) -> Option<f64> {
        if self.len < self.values.len() {
            return None;
        }
        let variance = self.squares / (self.len - 1) as f64;
        // Sums of squares this small are rounding noise of a constant series.
        let floor = f64::EPSILON * self.mean.abs().max(f64::MIN_POSITIVE);
        let deviation = variance.max(0.0).sqrt();
        (deviation > floor).then(|| (x - self.mean) / deviation)
    }

    /// Adds `x`; the oldest value leaves a full window. O(1), except that the sums are taken afresh once a
    /// window so that rounding cannot accumulate.
    pub fn push(&mut self, x: f64) {
        let old = std::mem::replace(&mut self.values[self.next], x);
        self.next = (self.next + 1) % self.values.len();
        if self.len < self.values.len() {
            self.len += 1;
            let delta = x - self.mean;
            self.mean += delta / self.len as f64;
            self.squares += delta * (x - self.mean);
        } else {
            let before = self.mean;
            self.mean += (x - old) / self.len as f64;
            self.squares += (x - old) * (x - self.mean + old - before);
        }
        if self.next == 0 {
            self.refresh();
        }
    }

    fn refresh(&mut self) {
        let n = self.len as f64;
        self.mean = self.values.iter().sum::<f64>() / n;
        self.squares = self.values.iter().map(|v| (v - self.mean) * (v - self.mean)).sum();
    }

    /// The state as words, for digests.
    pub fn words(&self) -> impl Iterator<Item = u64> + '_ {
        let head = [self.len as u64, self.next as u64, self.mean.to_bits(), self.squares.to_bits()];
        head.into_iter().chain(self.values.iter().map(|v| v.to_bits()))
    }
}

/// Exponentially weighted z-score: the value against mean and deviation of those before it. Mean and variance are those
/// of pandas' `ewm(alpha, adjust=False)`, the variance with `bias=True`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EwZ {
    lambda: f64,
    is_started: bool,
    mean: f64,
    variance: f64,
}

impl EwZ {
    /// Weights of a mean over `n` values: lambda = 2 / (n + 1).
    pub fn new(n: usize) -> Self {
        Self { lambda: 2.0 / (n as f64 + 1.0), is_started: false, mean: 0.0, variance: 0.0 }
    }

    /// Takes a value; its z-score, `None` as long as nothing before it has moved.
    pub fn push(&mut self, x: f64) -> Option<f64> {
        if !self.is_started {
            (self.is_started, self.mean) = (true, x);
            return None;
        }
        let distance = x - self.mean;
        let z = (self.variance > 0.0).then(|| distance / self.variance.sqrt());
        self.mean += self.lambda * distance;
        self.variance = (1.0 - self.lambda) * (self.variance + self.lambda * distance * distance);
        z
    }

    /// Weighted mean of all values so far; 0 before the first.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Weighted population variance of all values so far.
    pub fn variance(&self) -> f64 {
        self.variance
    }

    /// The state as words, for digests.
    pub fn words(&self) -> impl Iterator<Item = u64> + use<> {
        [u64::from(self.is_started), self.mean.to_bits(), self.variance.to_bits()].into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, computed from scratch.
    fn naive(window: &[f64], x: f64) -> f64 {
        let n = window.len() as f64;
        let mean = window.iter().sum::<f64>() / n;
        let variance = window.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
        (x - mean) / variance.sqrt()
    }

    #[test]
    fn nothing_before_the_window_is_full_or_without_variance() {
        let mut z = RollingZ::new(3);
        z.push(1.0);
        z.push(1.0);
        assert_eq!(z.z(2.0), None);
        z.push(1.0);
        assert_eq!(z.z(2.0), None);
    }

    #[test]
    fn exponential_weights_of_the_published_vector() {
        let mut z = EwZ::new(7);
        let expected = [
            (1.0, 0.0),
            (1.25, 0.1875),
            (1.9375, 1.55859375),
            (2.203125, 1.38061523),
            (2.90234375, 2.50218201),
            (3.30175781, 2.35523129),
        ];
        for (x, (mean, variance)) in [1.0, 2.0, 4.0, 3.0, 5.0, 4.5].into_iter().zip(expected) {
            z.push(x);
            assert!((z.mean() - mean).abs() < 1e-8 && (z.variance() - variance).abs() < 1e-8, "{z:?}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(values in prop::collection::vec(-100.0_f64..100.0, 12..200)) {
            let mut z = RollingZ::new(10);
            for (i, &x) in values.iter().enumerate() {
                if i >= 10 {
                    let expected = naive(&values[i - 10..i], x);
                    let found = z.z(x).unwrap();
                    prop_assert!((found - expected).abs() < 1e-6 * expected.abs().max(1.0), "{} {}", found, expected);
                }
                z.push(x);
            }
        }
    }
}
