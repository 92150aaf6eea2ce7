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

/// What every run length has of its own. The run that is r long stands r places before the newest: nothing moves when
/// all of them grow longer, but once in so many observations to the beginning of the arrays.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Runs {
    /// Posterior of the run length.
    weight: Vec<f64>,
    mu: Vec<f64>,
    /// Logarithm of the scale of the variance.
    ln_beta: Vec<f64>,
    beta: Vec<f64>,
    /// Place of the newest.
    newest: usize,
}

impl Runs {
    /// Room for twice as many as are kept. What is not in use has no weight, and numbers that do no harm.
    fn new(kept: usize) -> Self {
        let zeros = || vec![0.0; 2 * kept];
        Self { weight: zeros(), mu: zeros(), ln_beta: zeros(), beta: vec![1.0; 2 * kept], newest: kept - 1 }
    }

    /// Begins a run; all others grow longer.
    #[inline(always)]
    fn begin(&mut self, weight: f64, (mu, beta, ln_beta): (f64, f64, f64)) {
        let kept = self.weight.len() / 2;
        if self.newest + 1 == 2 * kept {
            for values in [&mut self.weight, &mut self.mu, &mut self.ln_beta, &mut self.beta] {
                values.copy_within(kept.., 0);
            }
            self.newest = kept - 1;
        }
        self.newest += 1;
        let at = self.newest;
        (self.weight[at], self.mu[at], self.beta[at], self.ln_beta[at]) = (weight, mu, beta, ln_beta);
    }
}

/// What a run length has by its length alone, the longest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Tables {
    /// What of a squared distance the scale grows by: kappa / (2 (kappa + 1)).
    share: Vec<f64>,
    /// What of a distance the mean moves by: 1 / (kappa + 1).
    step: Vec<f64>,
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
        let kept = (run_max.max(1) + 1).next_multiple_of(LANES);
        let run = |r: usize| r as f64;
        let kappa = |r: usize| prior.kappa + run(r);
        let alpha = |r: usize| prior.alpha + run(r) / 2.0;
        // Student's density has 2 alpha degrees of freedom and the scale beta (kappa + 1) / (alpha kappa).
        let ln_peak = |r: usize| {
            let spread = 2.0 * std::f64::consts::PI * (kappa(r) + 1.0) / kappa(r);
            libm::lgamma(alpha(r) + 0.5) - libm::lgamma(alpha(r)) - 0.5 * libm::log(spread)
        };
        let table = |of: &dyn Fn(usize) -> f64| (0..kept).rev().map(of).collect();
        let tables = Tables {
            share: table(&|r| kappa(r) / (2.0 * (kappa(r) + 1.0))),
            step: table(&|r| 1.0 / (kappa(r) + 1.0)),
            power: table(&|r| alpha(r) + 0.5),
            ln_peak: table(&ln_peak),
        };
        let ln_beta0 = libm::log(prior.beta);
        let mut runs = Runs::new(kept);
        runs.begin(1.0, (prior.mu, prior.beta, ln_beta0));
        Self { prior, isa, ln_beta0, tables, runs, ln_density: vec![0.0; kept], len: 1 }
    }

    /// Takes an observation; false, with nothing learned, for one that is not finite.
    pub fn push(&mut self, x: f64) -> bool {
        if !x.is_finite() {
            return false;
        }
        let kept = self.ln_density.len();
        let hazard = 1.0 / self.prior.lambda;
        let used = self.len.next_multiple_of(LANES);
        let Self { tables, runs, ln_density, .. } = self;
        let over = vector::dispatch(self.isa, Step { x, hazard, used, tables, runs, ln_density });
        self.runs.begin(hazard, (self.prior.mu, self.prior.beta, self.ln_beta0));
        if self.len == kept {
            // A long run stays a long run: nothing may look like a change because it was cut.
            let longest = self.runs.newest + 1 - kept;
            self.runs.weight[longest] += over;
        }
        self.len = (self.len + 1).min(kept);
        true
    }

    /// Posterior of the run length, from 0 on: entry r is the probability that r observations came since the last
    /// change.
    pub fn posterior(&self) -> impl ExactSizeIterator<Item = f64> + '_ {
        let newest = self.runs.newest;
        self.runs.weight[newest + 1 - self.len..=newest].iter().rev().copied()
    }

    /// Probability that the series changed within the last `run` observations. With a constant hazard the probability
    /// of run length 0 is the hazard whatever happens, so `run` should be 3 or more.
    pub fn recent(&self, run: usize) -> f64 {
        self.posterior().take(run + 1).sum()
    }

    /// The likeliest run length, the shortest of several.
    pub fn likeliest(&self) -> usize {
        let best = |best: (usize, f64), (r, weight): (usize, f64)| {
            if weight > best.1 { (r, weight) } else { best }
        };
        self.posterior().enumerate().fold((0, 0.0), best).0
    }

    /// Expected run length.
    pub fn expected(&self) -> f64 {
        self.posterior().enumerate().map(|(r, weight)| r as f64 * weight).sum()
    }

    /// The state as words, for digests.
    pub fn words(&self) -> impl Iterator<Item = u64> + '_ {
        let runs = &self.runs;
        let in_use = runs.newest + 1 - self.len..=runs.newest;
        let arrays = [&runs.weight, &runs.mu, &runs.beta];
        arrays.into_iter().flat_map(move |a| &a[in_use.clone()]).map(|v| v.to_bits())
    }
}

/// One observation over all run lengths.
struct Step<'a> {
    x: f64,
    hazard: f64,
    /// Run lengths to go through, whole lanes.
    used: usize,
    tables: &'a Tables,
    runs: &'a mut Runs,
    ln_density: &'a mut [f64],
}

impl Kernel for Step<'_> {
    /// Weight of the longest run.
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        let Self { x, hazard, used, tables, runs, ln_density } = self;
        let first = runs.newest + 1 - used;
        let best = learn(x, used, tables, runs, ln_density);
        let weight = &mut runs.weight[first..first + used];
        reweigh(best, weight, ln_density);
        let scale = (1.0 - hazard) / vector::sum(weight);
        weight.iter_mut().for_each(|weight| *weight *= scale);
        weight[0]
    }
}

/// Finds how likely each run length finds the observation, as a logarithm, and lets it learn from it. Returns the
/// largest of those that have weight.
#[inline(always)]
fn learn(x: f64, used: usize, tables: &Tables, runs: &mut Runs, ln_density: &mut [f64]) -> f64 {
    let (first, kept) = (runs.newest + 1 - used, ln_density.len());
    // Slices of one length and plain loops: what the compiler turns into vectors.
    let (share, step) = (&tables.share[kept - used..][..used], &tables.step[kept - used..][..used]);
    let (power, peak) = (&tables.power[kept - used..][..used], &tables.ln_peak[kept - used..][..used]);
    let (mu, beta) = (&mut runs.mu[first..][..used], &mut runs.beta[first..][..used]);
    let (ln_beta, weight) = (&mut runs.ln_beta[first..][..used], &runs.weight[first..][..used]);
    let ln_density = &mut ln_density[..used];
    for r in 0..used {
        let distance = x - mu[r];
        let more = share[r] * distance * distance;
        let grown = beta[r] + more;
        // The density falls by a power of the same ratio that beta grows by: one logarithm serves both.
        let ln_grown = vector::ln(grown);
        ln_density[r] = peak[r] - 0.5 * ln_beta[r] - power[r] * (ln_grown - ln_beta[r]);
        mu[r] += step[r] * distance;
        (beta[r], ln_beta[r]) = (grown, ln_grown);
    }
    let mut best = [f64::NEG_INFINITY; LANES];
    for (found, weight) in ln_density.as_chunks::<LANES>().0.iter().zip(weight.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            let counted = if weight[lane] > 0.0 { found[lane] } else { f64::NEG_INFINITY };
            best[lane] = if counted > best[lane] { counted } else { best[lane] };
        }
    }
    best.into_iter().fold(f64::NEG_INFINITY, f64::max)
}

/// Multiplies the weights by their likelihoods, as shares of the best. What is too small to come back is dropped, so
/// that no slow subnormal is ever met.
#[inline(always)]
fn reweigh(best: f64, weight: &mut [f64], ln_density: &[f64]) {
    for (weight, ln_density) in weight.iter_mut().zip(ln_density) {
        let next = *weight * vector::exp((ln_density - best).min(0.0));
        *weight = if next >= WEIGHT_MIN { next } else { 0.0 };
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
            assert!((detector.posterior().nth(likeliest[t]).unwrap() - weight[t]).abs() < 1e-8, "{t}");
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
                prop_assert!((detectors[0].posterior().sum::<f64>() - 1.0).abs() < 1e-9);
            }
        }

        #[test]
        fn wild_values_leave_a_posterior(values in prop::collection::vec(-1e150_f64..1e150, 1..100)) {
            let mut detector = Changepoint::new(PRIOR, 50, Isa::Plain);
            for &x in &values {
                detector.push(x);
                prop_assert!((detector.posterior().sum::<f64>() - 1.0).abs() < 1e-9);
            }
        }
    }
}
