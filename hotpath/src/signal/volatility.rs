//! Average true range and Bollinger bands as TA-Lib computes them.

use super::{Bar, Sma, average::Slide};
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

/// Mean of `n` closes and bands of population deviations around it. The sum of squared distances from the mean is
/// carried along, and taken anew whenever the window has turned once; the difference of large sums would lose its
/// digits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bollinger {
    mean: Sma,
    squares: f64,
    part: f64,
    up: f64,
    down: f64,
}

impl Bollinger {
    /// Bands over `n` closes, `up` deviations above and `down` below.
    pub fn new(n: usize, up: f64, down: f64) -> Self {
        Self { mean: Sma::new(n), squares: 0.0, part: 1.0 / n.max(1) as f64, up, down }
    }

    /// Takes a close; the bands from the `n`-th on.
    #[inline]
    pub fn push(&mut self, close: f64) -> Option<Bands> {
        let Slide { old, before, mean: middle, is_fresh } = self.mean.slide(close)?;
        self.squares = if is_fresh {
            squares(self.mean.values(), middle)
        } else {
            (self.squares + (close - old) * ((close - middle) + (old - before))).max(0.0)
        };
        let deviation = (self.squares * self.part).sqrt();
        Some(Bands { upper: middle + self.up * deviation, middle, lower: middle - self.down * deviation })
    }

    /// The state as words, for digests.
    pub fn words(&self) -> impl Iterator<Item = u64> + '_ {
        self.mean.words().chain([self.squares.to_bits()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bands that the window itself gives.
    fn afresh(window: &[f64]) -> Bands {
        let middle = window.iter().sum::<f64>() / window.len() as f64;
        let deviation = (squares(window, middle) / window.len() as f64).sqrt();
        Bands { upper: middle + 2.0 * deviation, middle, lower: middle - 2.0 * deviation }
    }

    #[test]
    fn what_is_carried_along_is_what_the_window_gives() {
        let mut bands = Bollinger::new(20, 2.0, 2.0);
        let (mut closes, mut seed) = (Vec::new(), 1_u64);
        for i in 0..10_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Calm stretches follow wild ones.
            let reach = if i / 50 % 2 == 0 { 5_000.0 } else { 0.5 };
            closes.push(60_000.0 + reach * ((seed >> 40) as f64 / (1_u64 << 24) as f64 - 0.5));
            let found = bands.push(closes[i]);
            if i < 19 {
                assert_eq!(found, None);
                continue;
            }
            let (found, expected) = (found.unwrap(), afresh(&closes[i - 19..]));
            for (a, b) in [(found.upper, expected.upper), (found.lower, expected.lower)] {
                assert!((a - b).abs() <= 1e-9 * b, "{i}: {a} {b}");
            }
        }
    }

    #[test]
    fn a_flat_market_after_a_wild_one_has_no_width() {
        let mut bands = Bollinger::new(20, 2.0, 2.0);
        (0..37).for_each(|i| _ = bands.push(f64::from(i * i * 1_000)));
        let found: Vec<Bands> = (0..40).map(|_| bands.push(100.0).unwrap()).collect();
        assert!(found.iter().all(|b| b.upper >= b.middle && b.lower <= b.middle), "{found:?}");
        assert_eq!(found[39], Bands { upper: 100.0, middle: 100.0, lower: 100.0 });
    }
}
