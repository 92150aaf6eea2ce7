//! GARCH(1,1) variance recursion: h <- omega + alpha r^2 + beta h. Parameters are fitted elsewhere.
//!
//! The same as `arch_model(mean="Zero", vol="GARCH", p=1, q=1)` of the package `arch`, its back-cast included.

use serde::{Deserialize, Serialize};

/// Parameters, for returns in the unit that the recursion is fed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GarchParameters {
    /// Constant, positive.
    pub omega: f64,
    /// Weight of the last squared return, at least 0.
    pub alpha: f64,
    /// Weight of the last variance, at least 0; `alpha + beta < 1`.
    pub beta: f64,
}

impl GarchParameters {
    /// Persistence from which a fit is at its boundary and not to be used.
    pub const PERSISTENCE_MAX: f64 = 0.999;

    /// Whether a process with these parameters has a variance.
    pub fn is_stationary(&self) -> bool {
        let Self { omega, alpha, beta } = *self;
        omega.is_finite()
            && omega > 0.0
            && alpha >= 0.0
            && beta >= 0.0
            && alpha + beta <= Self::PERSISTENCE_MAX
    }

    /// Variance in the long run.
    pub fn long_run(&self) -> f64 {
        self.omega / (1.0 - self.alpha - self.beta)
    }
}

/// The recursion.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Garch {
    parameters: GarchParameters,
    /// Variance expected of the next return.
    next: f64,
}

impl Garch {
    /// Variances stay above this share of the long run's.
    const FLOOR: f64 = 1e-6;

    /// A recursion that starts in the long run.
    pub fn new(parameters: GarchParameters) -> Self {
        Self { parameters, next: parameters.long_run() }
    }

    /// Uses other parameters from the next return on; the variance expected of it stays what it is.
    pub fn set(&mut self, parameters: GarchParameters) {
        self.parameters = parameters;
    }

    /// A recursion that starts with `backcast` for the return and the variance before the first.
    pub fn from_backcast(parameters: GarchParameters, backcast: f64) -> Self {
        let GarchParameters { omega, alpha, beta } = parameters;
        Self { parameters, next: omega + (alpha + beta) * backcast }
    }

    /// Variance expected of the next return.
    pub fn variance(&self) -> f64 {
        self.next
    }

    /// The parameters in force.
    pub fn parameters(&self) -> GarchParameters {
        self.parameters
    }

    /// Takes a return; the variance expected of the next one. What is not finite is left out.
    pub fn push(&mut self, r: f64) -> f64 {
        let GarchParameters { omega, alpha, beta } = self.parameters;
        let next = omega + alpha * (r * r) + beta * self.next;
        if next.is_finite() {
            self.next = next.max(Self::FLOOR * self.parameters.long_run());
        }
        self.next
    }

    /// Uses other parameters from the next return on; the variance stays. False, with nothing changed, when they have
    /// none in the long run.
    pub fn refit(&mut self, parameters: GarchParameters) -> bool {
        let is_taken = parameters.is_stationary();
        if is_taken {
            self.parameters = parameters;
        }
        is_taken
    }

    /// The state as words, for digests.
    pub fn words(&self) -> impl Iterator<Item = u64> + use<> {
        let GarchParameters { omega, alpha, beta } = self.parameters;
        [omega, alpha, beta, self.next].map(f64::to_bits).into_iter()
    }
}
