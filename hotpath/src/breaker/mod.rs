//! Breakers: limits over time. Each compares a metric with its threshold once a second, confirms over some samples, and
//! holds until its release.

mod day;
mod health;

pub use day::{Day, DayResult, Funding};
pub use health::Health;

use serde::{Deserialize, Serialize};
use tickpath_shared::{
    config,
    types::{BreakerAction, BreakerChange, BreakerMetric, BreakerRelease},
};

/// One breaker.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Breaker {
    /// What it watches.
    pub metric: BreakerMetric,
    /// The largest value that is no reason.
    pub threshold: f64,
    /// What it does.
    pub action: BreakerAction,
    samples: u32,
    release: BreakerRelease,
    /// Samples in a row beyond the threshold, or within it while it holds.
    run: u32,
    holds: bool,
}

/// All of them, in the order of the configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Breakers {
    each: Vec<Breaker>,
}

impl Breakers {
    /// None of them holds.
    pub fn new(config: &[config::Breaker]) -> Self {
        let breaker = |c: &config::Breaker| Breaker {
            metric: c.metric,
            threshold: c.threshold,
            action: c.action,
            samples: c.samples,
            release: c.release,
            run: 0,
            holds: false,
        };
        Self { each: config.iter().map(breaker).collect() }
    }

    /// Takes a sample of every metric that has one, and tells what changed, with the value.
    pub fn sample(
        &mut self,
        value: impl Fn(BreakerMetric) -> Option<f64>,
        mut tell: impl FnMut(&Breaker, BreakerChange, f64),
    ) {
        for breaker in &mut self.each {
            // Without a value nothing is better or worse than it was.
            let Some(value) = value(breaker.metric) else { continue };
            if let Some(change) = breaker.take(value) {
                tell(breaker, change, value);
            }
        }
    }

    /// The first metric because of which nothing may be opened.
    pub fn barrier(&self) -> Option<BreakerMetric> {
        let bars = |b: &&Breaker| b.holds && b.action >= BreakerAction::Stop;
        self.each.iter().find(bars).map(|breaker| breaker.metric)
    }

    /// A day begins: what was latched for the day lets go.
    pub fn on_day(&mut self, tell: impl FnMut(&Breaker, BreakerChange, f64)) {
        self.let_go(|breaker| breaker.release == BreakerRelease::Day, tell);
    }

    /// A person releases all of them. One whose threshold is still passed trips again.
    pub fn release(&mut self, tell: impl FnMut(&Breaker, BreakerChange, f64)) {
        self.let_go(|_| true, tell);
    }

    fn let_go(
        &mut self,
        is_meant: impl Fn(&Breaker) -> bool,
        mut tell: impl FnMut(&Breaker, BreakerChange, f64),
    ) {
        for breaker in self.each.iter_mut().filter(|breaker| breaker.holds && is_meant(breaker)) {
            (breaker.holds, breaker.run) = (false, 0);
            tell(breaker, BreakerChange::Released, 0.0);
        }
    }

    /// Those that hold, a bit for every metric and action: what a restart must not forget. Configurations may differ
    /// before and after it.
    pub fn latched(&self) -> u64 {
        self.each.iter().filter(|b| b.holds).fold(0, |bits, breaker| bits | breaker.bit())
    }

    /// Those that held before a restart hold again.
    pub fn restore(&mut self, latched: u64, mut tell: impl FnMut(&Breaker, BreakerChange, f64)) {
        for breaker in self.each.iter_mut().filter(|breaker| !breaker.holds && latched & breaker.bit() != 0) {
            breaker.holds = true;
            tell(breaker, BreakerChange::Restored, 0.0);
        }
    }

    /// The state as words, for digests.
    pub fn words(&self) -> impl Iterator<Item = u64> + '_ {
        self.each.iter().map(|breaker| u64::from(breaker.run) << 1 | u64::from(breaker.holds))
    }
}

impl Breaker {
    fn bit(&self) -> u64 {
        1 << ((self.metric as u64 - 1) * 4 + self.action as u64)
    }

    fn take(&mut self, value: f64) -> Option<BreakerChange> {
        // What is no number is beyond every threshold.
        let is_beyond = value.is_nan() || value > self.threshold;
        let counts =
            if self.holds { self.release == BreakerRelease::Recovery && !is_beyond } else { is_beyond };
        self.run = if counts { self.run + 1 } else { 0 };
        if self.run < self.samples {
            return None;
        }
        (self.holds, self.run) = (!self.holds, 0);
        Some(if self.holds { BreakerChange::Tripped } else { BreakerChange::Released })
    }
}

const _: () = assert!(BreakerMetric::ALL.len() <= 16, "latched() has four bits for each");

#[cfg(test)]
mod tests;
