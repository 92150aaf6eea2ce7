//! When a z-score opens and closes a spread: thresholds with hysteresis that widen with the volatility.

use serde::{Deserialize, Serialize};

/// What is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stance {
    /// Nothing.
    #[default]
    Flat,
    /// The spread is bought.
    Long,
    /// The spread is sold.
    Short,
}

/// Bounds in units of z.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThresholdRules {
    /// Entry at the usual volatility, positive.
    pub entry: f64,
    /// Least and largest entry whatever the volatility.
    pub entry_min: f64,
    /// Largest entry.
    pub entry_max: f64,
    /// Exit as a share of the entry, 0 to 1 (exclusive).
    pub exit_share: f64,
    /// Distance at which a position is given up, and none is opened; infinite for never.
    pub stop: f64,
    /// Power of the volatility ratio, 0 for fixed thresholds.
    pub power: f64,
}

/// The state.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Thresholds {
    rules: ThresholdRules,
    stance: Stance,
    /// Stopped out: nothing is opened before the spread has come home.
    is_burnt: bool,
    /// It was above the mean then.
    was_above: bool,
    entry: f64,
}

impl Thresholds {
    /// Flat, at the usual volatility.
    pub fn new(rules: ThresholdRules) -> Self {
        let entry = rules.entry.clamp(rules.entry_min, rules.entry_max);
        Self { rules, stance: Stance::Flat, is_burnt: false, was_above: false, entry }
    }

    /// What should be held.
    pub fn stance(&self) -> Stance {
        self.stance
    }

    /// Entry now.
    pub fn entry(&self) -> f64 {
        self.entry
    }

    /// Exit now.
    pub fn exit(&self) -> f64 {
        self.rules.exit_share * self.entry
    }

    /// Whether a stop keeps it flat.
    pub fn is_burnt(&self) -> bool {
        self.is_burnt
    }

    /// Uses other bounds from the next value on.
    pub fn set(&mut self, rules: ThresholdRules) {
        self.rules = rules;
        self.scale(1.0);
    }

    /// The bounds in force.
    pub fn rules(&self) -> ThresholdRules {
        self.rules
    }

    /// The volatility is `ratio` times the usual one; nothing changes for a ratio that is not positive.
    pub fn scale(&mut self, ratio: f64) {
        let ThresholdRules { entry, entry_min, entry_max, power, .. } = self.rules;
        if ratio > 0.0 && ratio.is_finite() {
            self.entry = (entry * libm::pow(ratio, power)).clamp(entry_min, entry_max);
        }
    }

    /// Takes a value.
    pub fn push(&mut self, z: f64) -> Stance {
        let (stop, exit) = (self.rules.stop, self.exit());
        let size = z.abs();
        // Through the mean it has been home, however near home is said to be.
        if size < exit || (z > 0.0) != self.was_above {
            self.is_burnt = false;
        }
        self.stance = match self.stance {
            Stance::Flat if self.is_burnt || size < self.entry || size >= stop => Stance::Flat,
            Stance::Flat if z > 0.0 => Stance::Short,
            Stance::Flat => Stance::Long,
            stance => {
                // Towards the loss: the side on which the position was opened.
                let away = if stance == Stance::Short { z } else { -z };
                (self.is_burnt, self.was_above) = (away >= stop, z > 0.0);
                if away <= exit || self.is_burnt { Stance::Flat } else { stance }
            }
        };
        self.stance
    }

    /// Gives up what is held.
    pub fn flatten(&mut self) {
        self.stance = Stance::Flat;
    }

    /// The state as words, for digests.
    pub fn words(&self) -> impl Iterator<Item = u64> + use<> {
        let ThresholdRules { entry, exit_share, stop, .. } = self.rules;
        let bounds = [self.entry, entry, exit_share, stop].map(f64::to_bits);
        let burnt = u64::from(self.is_burnt) | u64::from(self.was_above) << 1;
        [self.stance as u64, burnt].into_iter().chain(bounds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: ThresholdRules = ThresholdRules {
        entry: 2.0,
        entry_min: 1.0,
        entry_max: 3.0,
        exit_share: 0.25,
        stop: 4.0,
        power: 0.5,
    };

    #[test]
    fn in_far_out_near_and_not_again_after_a_stop() {
        let mut thresholds = Thresholds::new(RULES);
        let path = [
            (1.9, Stance::Flat),
            (2.0, Stance::Short),
            (0.6, Stance::Short),
            (0.5, Stance::Flat),
            (-2.5, Stance::Long),
            (-4.0, Stance::Flat),
            (-2.5, Stance::Flat),
            (-0.5, Stance::Flat),
            (-2.5, Stance::Flat),
            (-0.4, Stance::Flat),
            (-2.5, Stance::Long),
            (5.0, Stance::Flat),
            (4.0, Stance::Flat),
            (3.0, Stance::Short),
        ];
        for (i, (z, stance)) in path.into_iter().enumerate() {
            assert_eq!(thresholds.push(z), stance, "{i}");
        }
    }

    #[test]
    fn an_exit_at_the_mean_comes_home_by_crossing_it() {
        let mut thresholds = Thresholds::new(ThresholdRules { exit_share: 0.0, ..RULES });
        let path = [
            (2.5, Stance::Short),
            (0.1, Stance::Short),
            (4.5, Stance::Flat),
            (2.5, Stance::Flat),
            (0.1, Stance::Flat),
            (2.5, Stance::Flat),
            (-0.1, Stance::Flat),
            (2.5, Stance::Short),
            (-0.1, Stance::Flat),
            (-2.5, Stance::Long),
            (-4.5, Stance::Flat),
            (-2.5, Stance::Flat),
            (2.5, Stance::Short),
        ];
        for (i, (z, stance)) in path.into_iter().enumerate() {
            assert_eq!(thresholds.push(z), stance, "{i}");
        }
    }

    #[test]
    fn entries_widen_with_the_volatility_within_bounds() {
        let mut thresholds = Thresholds::new(RULES);
        for (ratio, entry) in [(2.25, 3.0), (1.21, 2.2), (0.01, 1.0), (f64::NAN, 1.0)] {
            thresholds.scale(ratio);
            assert!((thresholds.entry() - entry).abs() < 1e-12, "{ratio}: {}", thresholds.entry());
        }
        assert_eq!(thresholds.exit(), 0.25);
    }
}
