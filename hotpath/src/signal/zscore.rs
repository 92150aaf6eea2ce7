//! Rolling z-score: (x - mean of the n values before) / their sample deviation (ddof 1).

use serde::{Deserialize, Serialize};

/// Window of the last `n` values with running mean and sum of squared deviations.
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
        let deviation = libm::sqrt(variance.max(0.0));
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
