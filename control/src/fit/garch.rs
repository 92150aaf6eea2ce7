//! Quasi-maximum likelihood of a GARCH(1,1) without mean, as `arch_model(mean="Zero")` of the package `arch`.

use super::simplex;
use std::f64::consts::PI;
use thiserror::Error;

/// Fewest returns that are fitted.
pub const RETURNS_MIN: usize = 100;
/// Persistence from which a fit is at its boundary.
const PERSISTENCE_MAX: f64 = 0.999;
/// Returns that the back-cast looks at, and how their weight falls.
const BACKCAST: usize = 75;
const BACKCAST_DECAY: f64 = 0.94;

/// A fit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// Constant, in squared units of the returns.
    pub omega: f64,
    /// Weight of the last squared return.
    pub alpha: f64,
    /// Weight of the last variance.
    pub beta: f64,
    /// Logarithm of the likelihood.
    pub ln_likelihood: f64,
    /// Variance taken for the return and the variance before the first.
    pub backcast: f64,
}

/// Why there is no fit.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
pub enum FitError {
    /// Too few returns.
    #[error("{0} returns, at least {RETURNS_MIN} are fitted")]
    TooFew(usize),
    /// A return is not a number, or none moves.
    #[error("the returns have no variance, or are no finite numbers")]
    Degenerate,
    /// The variance does not come back.
    #[error("persistence {0:.4} is at the bound of {PERSISTENCE_MAX}")]
    Boundary(f64),
}

/// Variance before the first return.
fn backcast(returns: &[f64]) -> f64 {
    let weighted = returns.iter().take(BACKCAST).scan(1.0, |weight, r| {
        let now = *weight;
        *weight *= BACKCAST_DECAY;
        Some((now, now * r * r))
    });
    let (weights, sum) = weighted.fold((0.0, 0.0), |(w, s), (weight, value)| (w + weight, s + value));
    sum / weights
}

fn ln_likelihood(returns: &[f64], [omega, alpha, beta]: [f64; 3], backcast: f64) -> f64 {
    let mut variance = omega + (alpha + beta) * backcast;
    let mut sum = 0.0;
    for r in returns {
        sum += (2.0 * PI).ln() + variance.ln() + r * r / variance;
        variance = omega + alpha * r * r + beta * variance;
    }
    -0.5 * sum
}

/// Fits parameters to returns of any unit.
///
/// # Errors
///
/// [`FitError`]; parameters at the boundary are not handed out.
pub fn fit(returns: &[f64]) -> Result<Fit, FitError> {
    if returns.len() < RETURNS_MIN {
        return Err(FitError::TooFew(returns.len()));
    }
    let variance = returns.iter().map(|r| r * r).sum::<f64>() / returns.len() as f64;
    if !(variance.is_finite() && variance > 0.0) {
        return Err(FitError::Degenerate);
    }
    // In deviations, so that no parameter is tiny.
    let deviation = variance.sqrt();
    let scaled: Vec<f64> = returns.iter().map(|r| r / deviation).collect();
    let start = backcast(&scaled);
    // Any numbers are parameters: the constant as a logarithm, persistence and alpha's share of it as logistics.
    let parameters = |x: &[f64; 3]| {
        let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
        let persistence = logistic(x[1]);
        let alpha = persistence * logistic(x[2]);
        [x[0].exp(), alpha, persistence - alpha]
    };
    let loss = |x: &[f64; 3]| -ln_likelihood(&scaled, parameters(x), start);
    let logit = |p: f64| (p / (1.0 - p)).ln();
    let grid = [0.01, 0.05, 0.1, 0.2].into_iter().flat_map(|alpha: f64| {
        [0.5, 0.7, 0.9, 0.98].map(|persistence: f64| {
            [(1.0 - persistence).ln(), logit(persistence), logit(alpha / persistence)]
        })
    });
    let Some(best) = grid.min_by(|a, b| loss(a).total_cmp(&loss(b))) else {
        return Err(FitError::Degenerate);
    };
    // Twice: a simplex that has collapsed on its way starts wide again.
    let (first, _) = simplex::minimum(best, 0.5, 1e-9, loss);
    let (found, value) = simplex::minimum(first, 0.1, 1e-11, loss);
    let [omega, alpha, beta] = parameters(&found);
    if alpha + beta > PERSISTENCE_MAX {
        return Err(FitError::Boundary(alpha + beta));
    }
    Ok(Fit {
        omega: omega * variance,
        alpha,
        beta,
        ln_likelihood: -value - returns.len() as f64 * deviation.ln(),
        backcast: start * variance,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns of the published vector.
    fn returns() -> Vec<f64> {
        let mut state = 2_463_534_242_u32;
        let mut draw = move || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            f64::from(state) / 4_294_967_296.0
        };
        let mut variance = 1.0_f64;
        (0..1_500)
            .map(|_| {
                let (u1, u2) = (draw(), draw());
                let z = (-2.0 * (u1 + 1e-18).ln()).sqrt() * (2.0 * PI * u2).cos();
                let e = variance.sqrt() * z;
                variance = 0.05 + 0.1 * e * e + 0.85 * variance;
                (e * 1e6).round() / 1e6
            })
            .collect()
    }

    #[test]
    fn the_published_vector() {
        let returns = returns();
        assert!((returns.iter().sum::<f64>() - 7.750_106).abs() < 1e-9);
        let fit = fit(&returns).unwrap();
        let errors = [fit.omega - 0.072_746_071_6, fit.alpha - 0.104_889_916_8, fit.beta - 0.841_858_829_6];
        assert!(errors.iter().all(|e| e.abs() < 1e-3), "{fit:?}");
        assert!((fit.ln_likelihood + 2_291.756_165).abs() < 1e-4, "{fit:?}");
        assert!((fit.backcast - 1.119_331_549_7).abs() < 1e-9, "{fit:?}");
    }

    #[test]
    fn what_cannot_be_fitted_is_refused() {
        assert_eq!(fit(&[1.0; 5]), Err(FitError::TooFew(5)));
        assert_eq!(fit(&[0.0; 500]), Err(FitError::Degenerate));
        let mut holed = vec![0.1; 500];
        holed[7] = f64::NAN;
        assert_eq!(fit(&holed), Err(FitError::Degenerate));
        // A variance that only grows has no long run.
        let growing: Vec<f64> =
            (0..2_000).map(|i| (f64::from(i) / 100.0).exp() * if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
        assert!(matches!(fit(&growing), Err(FitError::Boundary(_))), "{:?}", fit(&growing));
    }
}
