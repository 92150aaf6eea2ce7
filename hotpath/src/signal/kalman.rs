//! Dynamic hedge ratio: a Kalman filter over y = beta x + alpha + noise, both coefficients random walks.
//!
//! The same as `filterpy` with an identity transition; see its `KalmanFilter`.

use serde::{Deserialize, Serialize};

/// What an observation said before the filter learned from it, so that it can be traded on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Innovation {
    /// Observed less predicted, in units of y.
    pub error: f64,
    /// Variance that the filter expected of it.
    pub variance: f64,
    /// Error in expected deviations. Positive: y is rich against beta x + alpha.
    pub z: f64,
    /// The observation was too far off to be learned from.
    pub is_outlier: bool,
}

/// The filter. Scale both series (logarithms): one drift serves both coefficients.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HedgeRatio {
    beta: f64,
    alpha: f64,
    /// Covariance of beta and alpha: variance, covariance, variance.
    p: [f64; 3],
    /// Growth of both variances an observation.
    q: f64,
    /// Variance of the observation noise.
    r: f64,
    /// Observations learned from.
    seen: u64,
    outliers: u64,
}

impl HedgeRatio {
    /// Innovations beyond so many deviations are not learned from.
    pub const OUTLIER_Z: f64 = 8.0;

    /// A filter that knows nothing: coefficients 0 with variance `p0`; `q` is what each of the two variances grows by
    /// an observation, `r` the variance of the noise.
    pub fn new(p0: f64, q: f64, r: f64) -> Self {
        Self { beta: 0.0, alpha: 0.0, p: [p0, 0.0, p0], q, r, seen: 0, outliers: 0 }
    }

    /// A filter that starts from coefficients (slope, intercept) known to a variance of `p0` each.
    pub fn started([beta, alpha]: [f64; 2], p0: f64, q: f64, r: f64) -> Self {
        Self { beta, alpha, ..Self::new(p0, q, r) }
    }

    /// Slope.
    pub fn beta(&self) -> f64 {
        self.beta
    }

    /// Intercept.
    pub fn alpha(&self) -> f64 {
        self.alpha
    }

    /// Observations learned from.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Observations that were too far off.
    pub fn outliers(&self) -> u64 {
        self.outliers
    }

    /// Time passes without `samples` observations of both: what is known grows older.
    pub fn skip(&mut self, samples: u64) {
        let grown = self.q * samples as f64;
        self.p[0] += grown;
        self.p[2] += grown;
    }

    /// Compares an observation with what was expected, then learns from it; `None`, with nothing learned, when the
    /// numbers are no more finite.
    pub fn observe(&mut self, x: f64, y: f64) -> Option<Innovation> {
        self.skip(1);
        let error = y - (self.beta * x + self.alpha);
        // P times the transposed observation row [x, 1].
        let (to_beta, to_alpha) = (self.p[0] * x + self.p[1], self.p[1] * x + self.p[2]);
        let variance = to_beta * x + to_alpha + self.r;
        let z = error / variance.sqrt();
        if !(variance > 0.0 && z.is_finite()) {
            return None;
        }
        let is_outlier = z.abs() > Self::OUTLIER_Z;
        if is_outlier {
            self.outliers += 1;
            return Some(Innovation { error, variance, z, is_outlier });
        }
        let (gain_beta, gain_alpha) = (to_beta / variance, to_alpha / variance);
        self.beta += gain_beta * error;
        self.alpha += gain_alpha * error;
        // Symmetric by construction: P - (P H')(P H')' / S.
        self.p[0] -= gain_beta * to_beta;
        self.p[1] -= gain_beta * to_alpha;
        self.p[2] -= gain_alpha * to_alpha;
        self.seen += 1;
        Some(Innovation { error, variance, z, is_outlier })
    }

    /// The state as words, for digests.
    pub fn words(&self) -> impl Iterator<Item = u64> + use<> {
        let [a, b, c] = self.p.map(f64::to_bits);
        [self.beta.to_bits(), self.alpha.to_bits(), a, b, c, self.seen, self.outliers].into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After samples that are missing a surprise surprises less.
    #[test]
    fn missing_samples_are_predicted_over() {
        let warm = || {
            let mut filter = HedgeRatio::new(0.5, 1e-5, 1e-3);
            (0..200).for_each(|i| assert!(filter.observe(16.0 + f64::from(i % 7) * 0.01, 8.0).is_some()));
            filter
        };
        let (mut known, mut one_by_one, mut at_once) = (warm(), warm(), warm());
        (0..600).for_each(|_| one_by_one.skip(1));
        at_once.skip(600);
        let [known, one_by_one, at_once] =
            [&mut known, &mut one_by_one, &mut at_once].map(|filter| filter.observe(16.0, 8.3).unwrap());
        assert!(at_once.variance > 2.0 * known.variance, "{} {}", at_once.variance, known.variance);
        assert!((at_once.variance / one_by_one.variance - 1.0).abs() < 1e-9);
        assert_eq!(at_once.error, known.error);
    }

    #[test]
    fn the_published_vector() {
        let x = [100.0, 100.5, 101.2, 100.8, 101.5, 102.0, 101.7, 102.4, 103.1, 102.9];
        let y = [50.1, 50.3, 50.75, 50.45, 50.9, 51.1, 50.95, 51.35, 51.6, 51.55];
        let expected = [
            [0.50094985, 0.00500950, 0.50097242],
            [0.50042822, 0.00745320, -0.15722218],
            [0.50146488, 0.00080450, 0.30693447],
            [0.50053418, -0.00289477, -0.30589339],
            [0.50156085, -0.00936481, 0.30439788],
            [0.50105389, -0.00702707, -0.15303243],
            [0.50105244, -0.00703130, -0.00047336],
            [0.50155976, -0.01017997, 0.15065507],
            [0.50053078, -0.00379420, -0.30570461],
            [0.50099592, -0.00293647, 0.14972231],
        ];
        let mut filter = HedgeRatio::new(1.0, 1e-5, 1e-3);
        for ((x, y), [beta, alpha, z]) in x.into_iter().zip(y).zip(expected) {
            let found = filter.observe(x, y).unwrap();
            let errors = [filter.beta() - beta, filter.alpha() - alpha, found.z - z];
            assert!(errors.iter().all(|e| e.abs() < 1.1e-8), "{errors:?}");
        }
    }

    #[test]
    fn outliers_and_nonsense_teach_nothing() {
        let mut filter = HedgeRatio::new(1.0, 1e-6, 1e-4);
        for i in 0..100 {
            filter.observe(f64::from(i % 7), 2.0 * f64::from(i % 7) + 1.0).unwrap();
        }
        let (beta, seen) = (filter.beta(), filter.seen());
        assert!(filter.observe(3.0, 1_000.0).unwrap().is_outlier);
        assert_eq!(filter.observe(f64::NAN, 1.0), None);
        assert_eq!((filter.beta(), filter.seen(), filter.outliers()), (beta, seen, 1));
    }
}
