//! Bayesian online changepoint detection (Adams and MacKay 2007, arXiv 0710.3742): a posterior over how many
//! observations ago the series changed.
//!
//! Normal data of unknown mean and variance under a normal-inverse-gamma prior and a constant hazard, as in
//! `bayesian_changepoint_detection.online_changepoint_detection` with its `StudentT`.

use super::vector::{self, Kernel, LANES};
use crate::wire::simd::Isa;
use serde::{Deserialize, Serialize};

/// Prior of the mean and the variance of a stretch, and how often stretches end.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangepointPrior {
    /// Mean number of observations between changes, above 1.
    pub lambda: f64,
    /// Expected mean.
    pub mu: f64,
    /// Observations that the expectation is worth.
    pub kappa: f64,
    /// Shape of the variance.
    pub alpha: f64,
    /// Scale of the variance.
    pub beta: f64,
}

/// Weights below this are 0.
const WEIGHT_MIN: f64 = 1e-280;

/// What every run length has of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Runs {
    /// Posterior of the run length.
    weight: Vec<f64>,
    mu: Vec<f64>,
    /// Logarithm of the scale of the variance.
    ln_beta: Vec<f64>,
    beta: Vec<f64>,
}

impl Runs {
    fn new(len: usize) -> Self {
        let zeros = || vec![0.0; len];
        Self { weight: zeros(), mu: zeros(), ln_beta: zeros(), beta: zeros() }
    }
}

/// What a run length has by its length alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Tables {
    kappa: Vec<f64>,
    /// Half of the degrees of freedom plus one half.
    power: Vec<f64>,
    /// Logarithm of the density at its middle, less half the logarithm of beta.
    ln_peak: Vec<f64>,
}

/// The detector. It keeps run lengths up to a maximum, and counts what is longer as that; cost and memory are of that
/// order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Changepoint {
    prior: ChangepointPrior,
    /// Instruction set of the kernels. The bits are the same with any.
    #[serde(skip, default = "plain")]
    isa: Isa,
    ln_beta0: f64,
    tables: Tables,
    runs: Runs,
    next: Runs,
    ln_density: Vec<f64>,
    /// Run lengths in use: 0 to `len - 1`.
    len: usize,
}

fn plain() -> Isa {
    Isa::Plain
}

impl Changepoint {
    /// A detector for run lengths up to `run_max` (rounded up to whole vectors), before any observation.
    pub fn new(prior: ChangepointPrior, run_max: usize, isa: Isa) -> Self {
        // Whole lanes, so that the kernels have no rest to deal with.
        let len = (run_max.max(1) + 1).next_multiple_of(LANES);
        let run = |r: usize| r as f64;
        let kappa = (0..len).map(|r| prior.kappa + run(r)).collect::<Vec<_>>();
        let alpha = |r: usize| prior.alpha + run(r) / 2.0;
        // Student's density has 2 alpha degrees of freedom and the scale beta (kappa + 1) / (alpha kappa).
        let peak = |r: usize| {
            let spread = 2.0 * std::f64::consts::PI * (kappa[r] + 1.0) / kappa[r];
            libm::lgamma(alpha(r) + 0.5) - libm::lgamma(alpha(r)) - 0.5 * libm::log(spread)
        };
        let ln_peak = (0..len).map(peak).collect();
        let power = (0..len).map(|r| alpha(r) + 0.5).collect();
        let mut detector = Self {
            prior,
            isa,
            ln_beta0: libm::log(prior.beta),
            tables: Tables { kappa, power, ln_peak },
            runs: Runs::new(len),
            next: Runs::new(len),
            ln_density: vec![0.0; len],
            len: 1,
        };
        let runs = &mut detector.runs;
        // What is not yet in use has no weight, and numbers that do no harm.
        runs.beta.fill(1.0);
        (runs.mu[0], runs.beta[0], runs.ln_beta[0]) = (prior.mu, prior.beta, detector.ln_beta0);
        runs.weight[0] = 1.0;
        detector
    }

    /// Takes an observation; false, with nothing learned, for one that is not finite.
    pub fn push(&mut self, x: f64) -> bool {
        if !x.is_finite() {
            return false;
        }
        let capacity = self.runs.weight.len();
        let hazard = 1.0 / self.prior.lambda;
        let used = self.len.next_multiple_of(LANES).min(capacity);
        let fresh = (self.prior.mu, self.prior.beta, self.ln_beta0);
        let Self { tables, runs, next, ln_density, .. } = self;
        vector::dispatch(self.isa, Step { x, hazard, fresh, used, tables, runs, next, ln_density });
        std::mem::swap(&mut self.runs, &mut self.next);
        self.len = (self.len + 1).min(capacity);
        true
    }

    /// Posterior of the run length: entry r is the probability that r observations came since the last change.
    pub fn posterior(&self) -> &[f64] {
        &self.runs.weight[..self.len]
    }

    /// Probability that the series changed within the last `run` observations. With a constant hazard the probability
    /// of run length 0 is the hazard whatever happens, so `run` should be 3 or more.
    pub fn recent(&self, run: usize) -> f64 {
        self.posterior().iter().take(run + 1).sum()
    }

    /// The likeliest run length, the shortest of several.
    pub fn likeliest(&self) -> usize {
        let best = |best: (usize, f64), (r, &weight): (usize, &f64)| {
            if weight > best.1 { (r, weight) } else { best }
        };
        self.posterior().iter().enumerate().fold((0, 0.0), best).0
    }

    /// Expected run length.
    pub fn expected(&self) -> f64 {
        self.posterior().iter().enumerate().map(|(r, weight)| r as f64 * weight).sum()
    }

    /// The state as words, for digests.
    pub fn words(&self) -> impl Iterator<Item = u64> + '_ {
        let runs = &self.runs;
        let arrays = [&runs.weight, &runs.mu, &runs.beta];
        arrays.into_iter().flat_map(|a| &a[..self.len]).map(|v| v.to_bits())
    }
}

/// One observation over all run lengths.
struct Step<'a> {
    x: f64,
    hazard: f64,
    /// Mean, scale and its logarithm of a stretch that has just begun.
    fresh: (f64, f64, f64),
    /// Run lengths to go through, whole lanes.
    used: usize,
    tables: &'a Tables,
    runs: &'a mut Runs,
    next: &'a mut Runs,
    ln_density: &'a mut [f64],
}

impl Kernel for Step<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { x, hazard, fresh, used, tables, runs, next, ln_density } = self;
        let best = learn(x, used, tables, runs, ln_density);
        reweigh(used, best, &mut runs.weight, ln_density);
        let all = vector::sum(&runs.weight[..used]);
        // One longer, unless it is the longest that is kept.
        let kept = used.min(next.weight.len() - 1);
        next.mu[1..=kept].copy_from_slice(&runs.mu[..kept]);
        next.beta[1..=kept].copy_from_slice(&runs.beta[..kept]);
        next.ln_beta[1..=kept].copy_from_slice(&runs.ln_beta[..kept]);
        (next.mu[0], next.beta[0], next.ln_beta[0]) = fresh;
        let over = if kept < used { runs.weight[used - 1] } else { 0.0 };
        next.weight[0] = hazard;
        let scale = (1.0 - hazard) / all;
        for (next, weight) in next.weight[1..=kept].iter_mut().zip(&runs.weight[..kept]) {
            *next = weight * scale;
        }
        // A long run stays a long run: nothing may look like a change because it was cut.
        next.weight[kept] += over * scale;
    }
}

/// Finds how likely each run length finds the observation, as a logarithm, and lets it learn from it. Returns the
/// largest of those that have weight.
#[inline(always)]
fn learn(x: f64, used: usize, tables: &Tables, runs: &mut Runs, ln_density: &mut [f64]) -> f64 {
    let (kappa, power, peak) = (&tables.kappa[..used], &tables.power[..used], &tables.ln_peak[..used]);
    let weight = &runs.weight[..used];
    let (mu, ln_beta, beta) = (&mut runs.mu[..used], &mut runs.ln_beta[..used], &mut runs.beta[..used]);
    let ln_density = &mut ln_density[..used];
    let mut best = [f64::NEG_INFINITY; LANES];
    for start in (0..used).step_by(LANES) {
        for (lane, best) in best.iter_mut().enumerate() {
            let r = start + lane;
            let distance = x - mu[r];
            let more = kappa[r] + 1.0;
            let share = kappa[r] * distance * distance / (2.0 * more);
            // The density falls by a power of the same ratio that beta grows by: one logarithm serves both.
            let ln_growth = vector::ln_1p(share / beta[r]);
            let found = peak[r] - 0.5 * ln_beta[r] - power[r] * ln_growth;
            ln_density[r] = found;
            let counted = if weight[r] > 0.0 { found } else { f64::NEG_INFINITY };
            *best = if counted > *best { counted } else { *best };
            mu[r] = (kappa[r] * mu[r] + x) / more;
            beta[r] += share;
            ln_beta[r] += ln_growth;
        }
    }
    best.into_iter().fold(f64::NEG_INFINITY, f64::max)
}

/// Multiplies the weights by their likelihoods, as shares of the best. What is too small to come back is dropped, so
/// that no slow subnormal is ever met.
#[inline(always)]
fn reweigh(used: usize, best: f64, weight: &mut [f64], ln_density: &[f64]) {
    for (weight, ln_density) in weight[..used].iter_mut().zip(&ln_density[..used]) {
        let next = *weight * vector::exp((ln_density - best).min(0.0));
        *weight = if next < WEIGHT_MIN { 0.0 } else { next };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PRIOR: ChangepointPrior =
        ChangepointPrior { lambda: 100.0, mu: 0.0, kappa: 1.0, alpha: 0.1, beta: 0.01 };

    #[test]
    fn a_run_longer_than_is_kept_is_no_change() {
        let mut detector = Changepoint::new(PRIOR, 20, Isa::Plain);
        for i in 0..200 {
            detector.push(f64::from(i * 7 % 5) * 0.1 - 0.2);
            assert!(i < 10 || detector.recent(5) < 0.3, "{i}: {}", detector.recent(5));
        }
        assert!(detector.likeliest() >= 20);
    }

    #[test]
    fn the_published_vector() {
        let mut detector = Changepoint::new(PRIOR, 500, Isa::Plain);
        let x = [0.1, -0.2, 0.05, 0.15, -0.1, 3.0, 3.2, 2.9, 3.1, 3.05];
        let likeliest = [1, 2, 3, 4, 5, 1, 2, 3, 4, 5];
        let weight = [
            0.99, 0.98541712, 0.98428959, 0.98235620, 0.98206978, 0.90927182, 0.92520035, 0.93475352,
            0.94622841, 0.95590371,
        ];
        let expected =
            [0.99, 1.975417, 2.961590, 3.944369, 4.930333, 1.161465, 2.078535, 3.043150, 4.010352, 4.984213];
        for t in 0..x.len() {
            assert!(detector.push(x[t]));
            assert_eq!(detector.likeliest(), likeliest[t], "{t}");
            assert!((detector.posterior()[likeliest[t]] - weight[t]).abs() < 1e-8, "{t}");
            assert!((detector.expected() - expected[t]).abs() < 1e-6, "{t}");
            assert!((detector.recent(0) - 0.01).abs() < 1e-12 && !detector.push(f64::NAN));
        }
    }

    proptest! {
        #[test]
        fn the_same_bits_with_any_vectors(
            values in prop::collection::vec(-5.0_f64..5.0, 1..300), run_max in 3_usize..200
        ) {
            let mut detectors: Vec<_> =
                Isa::available().into_iter().map(|isa| Changepoint::new(PRIOR, run_max, isa)).collect();
            for &x in &values {
                for detector in &mut detectors {
                    detector.push(x);
                }
                let bits = |d: &Changepoint| d.words().collect::<Vec<_>>();
                let first = bits(&detectors[0]);
                prop_assert!(detectors.iter().all(|d| bits(d) == first));
                prop_assert!((detectors[0].posterior().iter().sum::<f64>() - 1.0).abs() < 1e-9);
            }
        }

        #[test]
        fn wild_values_leave_a_posterior(values in prop::collection::vec(-1e150_f64..1e150, 1..100)) {
            let mut detector = Changepoint::new(PRIOR, 50, Isa::Plain);
            for &x in &values {
                detector.push(x);
                prop_assert!((detector.posterior().iter().sum::<f64>() - 1.0).abs() < 1e-9);
            }
        }
    }
}
