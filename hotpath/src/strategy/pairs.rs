//! Pairs trading: the spread of two log prices under a Kalman hedge ratio, thresholds that widen with its volatility,
//! and a breaker for when the relation itself has changed.
//!
//! Models step on a sample clock, the venue's; a tick in between only asks the legs. A spread that is dear is sold: the
//! base sold, the hedge bought.

use super::{Desk, LegPair, LegRules, Reading, Strategy, known};
use crate::{
    digest,
    message::Outcome,
    port::EnginePort,
    signal::{
        Changepoint, ChangepointPrior, EwZ, Garch, GarchParameters, HedgeRatio, Innovation, Stance,
        ThresholdRules, Thresholds,
    },
    wire::simd::Isa,
};
use serde::{Deserialize, Serialize};
use tickpath_shared::{
    Nanos,
    command::CommandOutcome,
    config::{self, Config, LiveParameters},
    types::{InstrumentDefinition, Reason, StrategyName},
};

/// Innovations whose weighted variance is the usual one.
const USUAL_SAMPLES: usize = 1_000;

/// Samples that may be missing in a row while the filter's noise is learned: what a pause brings is not noise, and the
/// filter would trust too little for good.
const MISSED_MAX: u64 = 10;
/// Outliers in a row after which it is the noise that has changed: it is learned anew.
const OUTLIERS_MAX: u32 = 8;

/// Residuals of the spread at the configured ratio, from which the filter starts.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct WarmUp {
    seen: usize,
    mean: f64,
    squares: f64,
}

impl WarmUp {
    fn push(&mut self, residual: f64) {
        self.seen += 1;
        let distance = residual - self.mean;
        self.mean += distance / self.seen as f64;
        self.squares += distance * (residual - self.mean);
    }

    fn variance(&self) -> f64 {
        self.squares / (self.seen.max(2) - 1) as f64
    }
}

/// The strategy's state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pairs {
    rules: config::Pairs,
    legs: LegPair,
    warm_up: WarmUp,
    filter: Option<HedgeRatio>,
    /// Deviation of the residuals that the filter started from.
    deviation: f64,
    garch: Garch,
    usual: EwZ,
    changepoint: Changepoint,
    thresholds: Thresholds,
    next_sample_ms: u64,
    outliers_in_a_row: u32,
}

fn threshold_rules(config: &config::Pairs) -> ThresholdRules {
    ThresholdRules {
        entry: config.entry_z,
        entry_min: config.entry_z_min.min(config.entry_z),
        entry_max: config.entry_z_max.max(config.entry_z),
        exit_share: config.exit_z / config.entry_z,
        stop: config.stop_z,
        power: config.volatility_power,
    }
}

/// Innovations are fed in deviations, so that the long run of a fresh model is 1.
fn garch_parameters(config: &config::Pairs) -> GarchParameters {
    let (alpha, beta) = (config.garch_alpha, config.garch_beta);
    GarchParameters { omega: 1.0 - alpha - beta, alpha, beta }
}

impl Pairs {
    /// The strategy as configured, or the reason why it cannot run on these definitions.
    ///
    /// # Errors
    ///
    /// A text naming the key, the value and the bound.
    pub fn new(config: &config::Pairs, definitions: &[InstrumentDefinition]) -> Result<Self, String> {
        let ms = |ms: u64| ms * 1_000_000;
        let rules = LegRules {
            aggression_ticks: config.aggression_ticks,
            urgent_ticks: config.urgent_ticks,
            order_ns: ms(config.leg_timeout_ms),
            open_ns: ms(config.open_ms),
            complete_ns: ms(config.complete_ms),
            rest_ns: ms(config.rest_ms),
        };
        let legs =
            [("base", &*config.base, &*config.base_qty), ("hedge", &*config.hedge, &*config.hedge_qty)];
        let legs = LegPair::new("pairs", rules, legs, definitions)?;
        let garch = Garch::new(garch_parameters(config));
        let prior =
            ChangepointPrior { lambda: config.change_lambda, mu: 0.0, kappa: 1.0, alpha: 1.0, beta: 1.0 };
        let changepoint = Changepoint::new(prior, config.change_run_max, Isa::choose()?);
        let thresholds = Thresholds::new(threshold_rules(config));
        Ok(Self {
            rules: config.clone(),
            legs,
            warm_up: WarmUp::default(),
            filter: None,
            deviation: 0.0,
            garch,
            usual: EwZ::new(USUAL_SAMPLES),
            changepoint,
            thresholds,
            next_sample_ms: 0,
            outliers_in_a_row: 0,
        })
    }

    /// A tick on which the sample clock has struck.
    fn sample(&mut self, desk: &mut Desk<'_, impl EnginePort>) {
        let instruments = self.legs.instruments();
        // An old price says nothing about the other one's young price.
        let [Some(base), Some(hedge)] = instruments.map(|i| desk.fresh_top_or_pass(i)) else { return };
        let (due_ms, every_ms) = (self.next_sample_ms, self.rules.sample_ms);
        self.next_sample_ms = (desk.venue_ms() / every_ms + 1) * every_ms;
        // Units only shift both logarithms by a constant, which the intercept takes up.
        let [y, x] = [base, hedge].map(|top| libm::log(top.mid_halves() as f64));
        let Some(filter) = &mut self.filter else {
            let (late_ms, bound_ms) = (desk.venue_ms().saturating_sub(due_ms), MISSED_MAX * every_ms);
            if self.warm_up.seen > 0 && late_ms > bound_ms {
                self.warm_up = WarmUp::default();
                desk.pass(instruments[0], Reason::SamplesMissing, late_ms as f64, bound_ms as f64);
            }
            return self.warm_up(desk, x, y);
        };
        // A leg was without a price, or the market without news: for these samples there is only a prediction.
        filter.skip(desk.venue_ms().saturating_sub(due_ms) / every_ms);
        let Some(innovation) = filter.observe(x, y) else { return };
        let beta = filter.beta();
        let volatility = self.learn(innovation.error, innovation.z, innovation.is_outlier);
        let change = self.changepoint.recent(self.rules.change_run);
        if innovation.is_outlier {
            desk.pass(instruments[0], Reason::Outlier, innovation.z, HedgeRatio::OUTLIER_Z);
            self.on_outlier(desk.now(), innovation.z);
        } else {
            self.outliers_in_a_row = 0;
            self.decide(desk, &innovation, change);
        }
        let stance = match self.legs.target() {
            0 => 0,
            1 => 1,
            _ => 2,
        };
        let (z, bound) = (Some(innovation.z), self.thresholds.entry());
        desk.tell(&Reading { value: innovation.error, z, stance, beta, bound, volatility, change });
    }

    fn on_outlier(&mut self, now: Nanos, z: f64) {
        self.outliers_in_a_row += 1;
        // Nothing is learned from it and nothing opened on it, but a stop is a stop.
        if self.thresholds.stance() != Stance::Flat && self.thresholds.push(z) == Stance::Flat {
            self.legs.aim(now, 0);
        }
        if self.outliers_in_a_row == OUTLIERS_MAX {
            (self.filter, self.warm_up, self.outliers_in_a_row) = (None, WarmUp::default(), 0);
            self.thresholds.flatten();
            self.legs.aim(now, 0);
        }
    }

    fn warm_up(&mut self, desk: &mut Desk<'_, impl EnginePort>, x: f64, y: f64) {
        let residual = y - self.rules.ratio * x;
        self.warm_up.push(residual);
        let (seen, window) = (self.warm_up.seen, self.rules.window);
        if seen >= window && self.warm_up.variance() > 0.0 {
            let r = self.warm_up.variance();
            self.deviation = r.sqrt();
            // What is not known of the level is shared by slope and intercept, about one deviation in all.
            let p0 = r / (x * x + 1.0);
            self.filter = Some(HedgeRatio::started(
                [self.rules.ratio, self.warm_up.mean],
                p0,
                self.rules.drift / (1.0 - self.rules.drift) * r,
                r,
            ));
        }
        desk.pass(self.legs.instruments()[0], Reason::WarmingUp, seen as f64, window as f64);
        desk.tell(&Reading { value: residual, beta: self.rules.ratio, ..Reading::default() });
    }

    /// Lets the models of volatility and change learn; returns the volatility over the usual one.
    fn learn(&mut self, error: f64, z: f64, is_outlier: bool) -> f64 {
        if is_outlier {
            return (self.garch.variance() / self.usual.mean().max(f64::MIN_POSITIVE)).sqrt();
        }
        let variance = self.garch.push(error / self.deviation);
        self.usual.push(variance);
        self.changepoint.push(z);
        let ratio = (variance / self.usual.mean()).sqrt();
        self.thresholds.scale(ratio);
        ratio
    }

    fn decide(&mut self, desk: &mut Desk<'_, impl EnginePort>, innovation: &Innovation, change: f64) {
        let (z, edge_bps) = (innovation.z, innovation.error.abs() * 1e4);
        let base = self.legs.instruments()[0];
        let bound = self.rules.change_probability;
        // An opening that was undone is over for the thresholds too.
        if self.legs.target() == 0 {
            self.thresholds.flatten();
        }
        let was_flat = self.thresholds.stance() == Stance::Flat;
        if change > bound {
            if was_flat {
                desk.pass(base, Reason::ChangeLikely, change, bound);
            }
            self.thresholds.flatten();
            return self.legs.aim(desk.now(), 0);
        }
        if was_flat && !self.legs.may_open(desk) {
            return;
        }
        let is_entry = was_flat && z.abs() >= self.thresholds.entry();
        if is_entry && edge_bps < self.rules.edge_bps {
            return desk.pass(base, Reason::EdgeTooSmall, edge_bps, self.rules.edge_bps);
        }
        let stance = self.thresholds.push(z);
        self.legs.aim(
            desk.now(),
            match stance {
                Stance::Flat => 0,
                Stance::Long => 1,
                Stance::Short => -1,
            },
        );
        if was_flat && stance == Stance::Flat {
            let (entry, stop) = (self.thresholds.entry(), self.thresholds.rules().stop);
            let (reason, bound) = match z.abs() {
                size if size >= stop => (Reason::BeyondStop, stop),
                size if size >= entry => (Reason::StoppedOut, self.thresholds.exit()),
                _ => (Reason::BelowEntry, entry),
            };
            desk.pass(base, reason, z, bound);
        }
    }
}

impl Strategy for Pairs {
    fn configured(config: &Config, definitions: &[InstrumentDefinition]) -> Result<Vec<Self>, String> {
        let pairs = config.pairs.is_enabled.then(|| Self::new(&config.pairs, definitions)).transpose()?;
        Ok(pairs.into_iter().collect())
    }

    fn number(&self) -> u16 {
        StrategyName::Pairs as u16
    }

    fn instruments(&self) -> Vec<u32> {
        self.legs.instruments().to_vec()
    }

    #[inline]
    fn on_book(&mut self, desk: &mut Desk<'_, impl EnginePort>, _instrument: u32) {
        if desk.venue_ms() >= self.next_sample_ms {
            self.sample(desk);
        }
        self.legs.poll(desk);
    }

    fn on_outcome(&mut self, desk: &mut Desk<'_, impl EnginePort>, outcome: &Outcome) {
        self.legs.on_outcome(desk.now(), outcome);
    }

    fn on_command(&mut self, parameter: u16, value: f64) -> Result<(), CommandOutcome> {
        self.rules.set(known(parameter)?, value)?;
        self.thresholds.set(threshold_rules(&self.rules));
        self.garch.set(garch_parameters(&self.rules));
        Ok(())
    }

    fn on_timer(&mut self, desk: &mut Desk<'_, impl EnginePort>) {
        self.legs.poll(desk);
    }

    fn digest(&self, seed: u64) -> u64 {
        let seed = digest::fold(
            seed,
            self.legs.words().chain([
                self.next_sample_ms,
                self.warm_up.seen as u64,
                self.outliers_in_a_row.into(),
                self.warm_up.mean.to_bits(),
                self.warm_up.squares.to_bits(),
                self.deviation.to_bits(),
                self.rules.edge_bps.to_bits(),
                self.rules.change_probability.to_bits(),
            ]),
        );
        let filter = self.filter.iter().flat_map(HedgeRatio::words);
        let models =
            filter.chain(self.garch.words()).chain(self.usual.words()).chain(self.thresholds.words());
        digest::fold(digest::fold(seed, models), self.changepoint.words())
    }
}
