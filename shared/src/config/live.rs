//! Parameters of strategies that may change while they run: a value is taken only when all of them are sound with it. Limits
//! that people may tighten.

use super::{MarketMaker, Orb, Pairs, Risk, SignalFollow, Smc, TaCombo};
use crate::{command::CommandOutcome, types::Parameter};

/// Key, value, least and largest.
pub(super) type Bound = (&'static str, f64, f64, f64);

fn are_kept(bounds: &[Bound]) -> bool {
    bounds.iter().all(|(_, value, min, max)| (min..=max).contains(&value))
}

/// What of a section may change.
pub trait LiveParameters {
    /// The place of a parameter.
    fn place(&mut self, parameter: Parameter) -> Option<&mut f64>;

    /// All values are within their bounds.
    fn is_sound(&self) -> bool;

    /// Gives a parameter a new value.
    ///
    /// # Errors
    ///
    /// A parameter that is not among those that change, or a value out of bounds; nothing has changed then.
    fn set(&mut self, parameter: Parameter, value: f64) -> Result<(), CommandOutcome> {
        let place = self.place(parameter).ok_or(CommandOutcome::UnknownParameter)?;
        let before = std::mem::replace(place, value);
        if self.is_sound() {
            return Ok(());
        }
        if let Some(place) = self.place(parameter) {
            *place = before;
        }
        Err(CommandOutcome::RefusedValue)
    }
}

impl Risk {
    /// Gives a limit another value, up to the configured one: what the configuration does not allow nobody allows while
    /// it is in force.
    ///
    /// # Errors
    ///
    /// A parameter that is no limit which may change, or a value out of bounds; nothing has changed then.
    pub fn set(&mut self, configured: &Self, parameter: Parameter, value: f64) -> Result<(), CommandOutcome> {
        let up_to = |most: i64, units: f64| {
            let value = (value * units).round();
            let is_within = (1.0..=most as f64).contains(&value);
            if is_within { Ok((value as i64).min(most)) } else { Err(CommandOutcome::RefusedValue) }
        };
        let count = |most: usize| up_to(most as i64, 1.0).map(|value| value as usize);
        match parameter {
            Parameter::RiskOrderNotionalMax => {
                self.order_notional_max = up_to(configured.order_notional_max, 1e8)?;
            }
            Parameter::RiskPositionNotionalMax => {
                self.position_notional_max = up_to(configured.position_notional_max, 1e8)?;
            }
            Parameter::RiskGrossNotionalMax => {
                self.gross_notional_max = up_to(configured.gross_notional_max, 1e8)?;
            }
            Parameter::RiskOrderLotsMax => self.order_lots_max = up_to(configured.order_lots_max, 1.0)?,
            Parameter::RiskPositionsMax => self.positions_max = count(configured.positions_max)?,
            Parameter::RiskOpenOrdersMax => self.open_orders_max = count(configured.open_orders_max)?,
            _ => return Err(CommandOutcome::UnknownParameter),
        }
        Ok(())
    }
}

impl Pairs {
    /// What the models are told, with bounds.
    pub(super) fn bounds(&self) -> [Bound; 13] {
        let widest = self.entry_z_max.max(self.entry_z);
        [
            ("pairs.ratio", self.ratio, -100.0, 100.0),
            ("pairs.drift", self.drift, 0.0, 0.1),
            ("pairs.entry_z", self.entry_z, 0.01, 8.0),
            ("pairs.entry_z_min", self.entry_z_min, 0.01, self.entry_z_max),
            ("pairs.entry_z_max", self.entry_z_max, 0.01, 8.0),
            // Below the entry, above every entry: hysteresis.
            ("pairs.exit_z", self.exit_z, 0.0, self.entry_z.next_down()),
            ("pairs.stop_z", self.stop_z, widest.next_up(), 1e6),
            ("pairs.edge_bps", self.edge_bps, 0.0, 10_000.0),
            ("pairs.volatility_power", self.volatility_power, 0.0, 2.0),
            ("pairs.garch_alpha", self.garch_alpha, 0.0, 0.999),
            ("pairs.garch_beta", self.garch_beta, 0.0, 0.999 - self.garch_alpha),
            ("pairs.change_lambda", self.change_lambda, 1.01, 1e9),
            ("pairs.change_probability", self.change_probability, 0.0, 1.0),
        ]
    }
}

impl LiveParameters for Pairs {
    fn place(&mut self, parameter: Parameter) -> Option<&mut f64> {
        Some(match parameter {
            Parameter::PairsEntryZ => &mut self.entry_z,
            Parameter::PairsExitZ => &mut self.exit_z,
            Parameter::PairsStopZ => &mut self.stop_z,
            Parameter::PairsEdgeBps => &mut self.edge_bps,
            Parameter::PairsChangeProbability => &mut self.change_probability,
            Parameter::PairsGarchAlpha => &mut self.garch_alpha,
            Parameter::PairsGarchBeta => &mut self.garch_beta,
            _ => return None,
        })
    }

    fn is_sound(&self) -> bool {
        are_kept(&self.bounds())
    }
}

impl MarketMaker {
    /// What the model is told, with bounds.
    pub(super) fn bounds(&self) -> [Bound; 4] {
        let (least, most) = (1e-9, 1e9);
        [
            ("market_maker.gamma", self.gamma, least, most),
            ("market_maker.sigma", self.sigma, least, most),
            ("market_maker.k", self.k, least, most),
            ("market_maker.a", self.a, least, most),
        ]
    }
}

impl LiveParameters for MarketMaker {
    fn place(&mut self, parameter: Parameter) -> Option<&mut f64> {
        Some(match parameter {
            Parameter::MarketMakerGamma => &mut self.gamma,
            Parameter::MarketMakerSigma => &mut self.sigma,
            Parameter::MarketMakerK => &mut self.k,
            Parameter::MarketMakerA => &mut self.a,
            _ => return None,
        })
    }

    fn is_sound(&self) -> bool {
        are_kept(&self.bounds())
    }
}

impl TaCombo {
    /// What decides, with bounds.
    pub(super) fn bounds(&self) -> [Bound; 4] {
        [
            ("ta_combo.rsi_high", self.rsi_high, 50.0, 100.0),
            ("ta_combo.rsi_low", self.rsi_low, 0.0, 50.0),
            ("ta_combo.deviations", self.deviations, 0.01, 100.0),
            ("ta_combo.stop_atr", self.stop_atr, 0.01, 1_000.0),
        ]
    }
}

impl LiveParameters for TaCombo {
    fn place(&mut self, parameter: Parameter) -> Option<&mut f64> {
        (parameter == Parameter::TaComboStopAtr).then_some(&mut self.stop_atr)
    }

    fn is_sound(&self) -> bool {
        are_kept(&self.bounds())
    }
}

impl Orb {
    /// What decides, with bounds.
    pub(super) fn bounds(&self) -> [Bound; 4] {
        [
            ("orb.buffer_atr", self.buffer_atr, 0.0, 1_000.0),
            ("orb.width_min_atr", self.width_min_atr, 0.0, self.width_max_atr),
            ("orb.width_max_atr", self.width_max_atr, 0.0, 1e6),
            ("orb.volume_ratio_min", self.volume_ratio_min, 0.0, 1e6),
        ]
    }
}

impl LiveParameters for Orb {
    fn place(&mut self, parameter: Parameter) -> Option<&mut f64> {
        (parameter == Parameter::OrbBufferAtr).then_some(&mut self.buffer_atr)
    }

    fn is_sound(&self) -> bool {
        are_kept(&self.bounds())
    }
}

impl Smc {
    /// What decides, with bounds.
    pub(super) fn bounds(&self) -> [Bound; 2] {
        [("smc.pool_atr", self.pool_atr, 0.0, 1_000.0), ("smc.stop_atr", self.stop_atr, 0.0, 1_000.0)]
    }
}

impl LiveParameters for Smc {
    fn place(&mut self, parameter: Parameter) -> Option<&mut f64> {
        (parameter == Parameter::SmcStopAtr).then_some(&mut self.stop_atr)
    }

    fn is_sound(&self) -> bool {
        are_kept(&self.bounds())
    }
}

impl SignalFollow {
    /// What is wanted, with its bounds.
    pub(super) fn bounds(&self) -> [Bound; 1] {
        [("signal_follow.signal", self.signal, -1.0, 1.0)]
    }
}

impl LiveParameters for SignalFollow {
    fn place(&mut self, parameter: Parameter) -> Option<&mut f64> {
        (parameter == Parameter::SignalFollowSignal).then_some(&mut self.signal)
    }

    fn is_sound(&self) -> bool {
        are_kept(&self.bounds())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_tightened_and_never_loosened_beyond_the_configuration() {
        let configured = Risk::default();
        let mut risk = configured.clone();
        let most = configured.order_notional_max as f64 / 1e8;
        assert_eq!(risk.set(&configured, Parameter::RiskOrderNotionalMax, 12.5), Ok(()));
        assert_eq!(risk.order_notional_max, 1_250_000_000);
        for value in [most + 0.01, 0.0, -1.0, f64::NAN, f64::INFINITY] {
            let taken = risk.set(&configured, Parameter::RiskOrderNotionalMax, value);
            assert_eq!(taken, Err(CommandOutcome::RefusedValue), "{value}");
        }
        assert_eq!(risk.order_notional_max, 1_250_000_000);
        assert_eq!(risk.set(&configured, Parameter::RiskOrderNotionalMax, most), Ok(()));
        assert_eq!(risk, configured);
        assert_eq!(risk.set(&configured, Parameter::RiskPositionsMax, 1.0), Ok(()));
        assert_eq!(risk.positions_max, 1);
        let other = risk.set(&configured, Parameter::PairsEntryZ, 1.0);
        assert_eq!(other, Err(CommandOutcome::UnknownParameter));
    }

    #[test]
    fn a_value_is_taken_only_with_the_others() {
        let mut pairs = Pairs::default();
        assert_eq!(pairs.set(Parameter::PairsEntryZ, 2.5), Ok(()));
        assert_eq!(pairs.entry_z, 2.5);
        for (parameter, value) in [
            (Parameter::PairsEntryZ, pairs.exit_z),
            (Parameter::PairsEntryZ, f64::NAN),
            (Parameter::PairsStopZ, pairs.entry_z),
            (Parameter::PairsGarchBeta, 0.9999 - pairs.garch_alpha),
            (Parameter::PairsEdgeBps, -1.0),
        ] {
            let before = pairs.clone();
            assert_eq!(pairs.set(parameter, value), Err(CommandOutcome::RefusedValue), "{parameter} {value}");
            assert_eq!(pairs, before);
        }
        let unknown = pairs.set(Parameter::MarketMakerK, 1.0);
        assert_eq!(unknown, Err(CommandOutcome::UnknownParameter));
    }
}
