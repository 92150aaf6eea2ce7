//! Checks of what strategies are told.

use super::{
    Config, ConfigError, Mode, TradeRules,
    check::{ensure, in_range},
};
use crate::types::decimal;

fn within(bounds: &[(&str, f64, f64, f64)]) -> Result<(), ConfigError> {
    bounds.iter().try_for_each(|(key, value, min, max)| {
        ensure((min..=max).contains(&value), || format!("{key}: {value} is outside {min}..={max}"))
    })
}

impl Config {
    pub(super) fn check_pairs(&self) -> Result<(), ConfigError> {
        let pairs = &self.pairs;
        if !pairs.is_enabled {
            return Ok(());
        }
        for (key, symbol) in [("pairs.base", &pairs.base), ("pairs.hedge", &pairs.hedge)] {
            let is_known = self.instrument.iter().any(|i| &i.symbol == symbol);
            ensure(is_known, || format!("{key}: {symbol:?} is not among the instruments"))?;
        }
        ensure(pairs.base != pairs.hedge, || format!("pairs.hedge: {:?} is the base too", pairs.hedge))?;
        in_range("pairs.window", pairs.window as u64, 10, 100_000)?;
        in_range("pairs.sample_ms", pairs.sample_ms, 1, 3_600_000)?;
        in_range("pairs.leg_timeout_ms", pairs.leg_timeout_ms, 10, 60_000)?;
        in_range("pairs.aggression_ticks", pairs.aggression_ticks as u64, 0, 10_000)?;
        in_range("pairs.urgent_ticks", pairs.urgent_ticks as u64, pairs.aggression_ticks as u64, 100_000)?;
        in_range("pairs.open_ms", pairs.open_ms, 1, 600_000)?;
        in_range("pairs.complete_ms", pairs.complete_ms, 0, 600_000)?;
        in_range("pairs.rest_ms", pairs.rest_ms, 0, 86_400_000)?;
        in_range("pairs.change_run_max", pairs.change_run_max as u64, 10, 5_000)?;
        in_range("pairs.change_run", pairs.change_run as u64, 1, pairs.change_run_max as u64 / 2)?;
        self.check_pairs_models()?;
        for (key, qty) in [("pairs.base_qty", &pairs.base_qty), ("pairs.hedge_qty", &pairs.hedge_qty)] {
            let is_positive = decimal::parse(qty.as_bytes(), 8).is_ok_and(|q| q > 0);
            ensure(is_positive, || format!("{key}: {qty:?} is not a positive decimal"))?;
        }
        Ok(())
    }

    fn check_pairs_models(&self) -> Result<(), ConfigError> {
        let pairs = &self.pairs;
        let bounds = [
            ("pairs.ratio", pairs.ratio, -100.0, 100.0),
            ("pairs.drift", pairs.drift, 0.0, 0.1),
            ("pairs.entry_z", pairs.entry_z, 0.01, 8.0),
            ("pairs.entry_z_min", pairs.entry_z_min, 0.01, pairs.entry_z_max),
            ("pairs.entry_z_max", pairs.entry_z_max, 0.01, 8.0),
            ("pairs.stop_z", pairs.stop_z, 0.01, 1e6),
            ("pairs.edge_bps", pairs.edge_bps, 0.0, 10_000.0),
            ("pairs.volatility_power", pairs.volatility_power, 0.0, 2.0),
            ("pairs.garch_alpha", pairs.garch_alpha, 0.0, 0.999),
            ("pairs.garch_beta", pairs.garch_beta, 0.0, 0.999 - pairs.garch_alpha),
            ("pairs.change_lambda", pairs.change_lambda, 1.01, 1e9),
            ("pairs.change_probability", pairs.change_probability, 0.0, 1.0),
        ];
        within(&bounds)?;
        ensure(pairs.exit_z >= 0.0 && pairs.exit_z < pairs.entry_z, || {
            format!("pairs.exit_z: {} must be at least 0 and below entry_z {}", pairs.exit_z, pairs.entry_z)
        })?;
        ensure(pairs.stop_z > pairs.entry_z_max.max(pairs.entry_z), || {
            format!("pairs.stop_z: {} must be above every entry, {}", pairs.stop_z, pairs.entry_z_max)
        })
    }

    pub(super) fn check_market_maker(&self) -> Result<(), ConfigError> {
        let maker = &self.market_maker;
        if !maker.is_enabled {
            return Ok(());
        }
        let is_known = self.instrument.iter().any(|i| i.symbol == maker.symbol);
        ensure(is_known, || format!("market_maker.symbol: {:?} is not among the instruments", maker.symbol))?;
        let parameters = [
            ("market_maker.gamma", maker.gamma),
            ("market_maker.sigma", maker.sigma),
            ("market_maker.k", maker.k),
            ("market_maker.a", maker.a),
        ];
        for (key, value) in parameters {
            let is_right = value.is_finite() && (1e-9..=1e9).contains(&value);
            ensure(is_right, || format!("{key}: {value} is outside 1e-9..=1e9"))?;
        }
        in_range("market_maker.inventory_max", maker.inventory_max as u64, 1, 1_000)?;
        in_range("market_maker.requote_ticks", maker.requote_ticks as u64, 0, 10_000)?;
        in_range("market_maker.pause_ms", maker.pause_ms, 1, 60_000)?;
        let is_positive = decimal::parse(maker.qty.as_bytes(), 8).is_ok_and(|q| q > 0);
        ensure(is_positive, || format!("market_maker.qty: {:?} is not a positive decimal", maker.qty))
    }

    pub(super) fn check_probe(&self) -> Result<(), ConfigError> {
        let probe = &self.probe;
        if !probe.is_enabled {
            return Ok(());
        }
        ensure(self.instance.mode == Mode::Simulation, || {
            "probe.is_enabled: true is for simulation only, mode is live".into()
        })?;
        let is_known = self.instrument.iter().any(|i| i.symbol == probe.symbol);
        ensure(is_known, || format!("probe.symbol: {:?} is not among the instruments", probe.symbol))?;
        let is_positive = decimal::parse(probe.qty.as_bytes(), 8).is_ok_and(|q| q > 0);
        ensure(is_positive, || format!("probe.qty: {:?} is not a positive decimal", probe.qty))
    }

    /// Strategies over bars.
    pub(super) fn check_bars(&self) -> Result<(), ConfigError> {
        let (ta, orb, smc) = (&self.ta_combo, &self.orb, &self.smc);
        if ta.is_enabled {
            self.check_bar_strategy("ta_combo", &ta.symbol, ta.bar_ms, &ta.trade)?;
            in_range("ta_combo.slow", ta.slow as u64, 2, 5_000)?;
            in_range("ta_combo.fast", ta.fast as u64, 1, ta.slow as u64 - 1)?;
            in_range("ta_combo.signal", ta.signal as u64, 1, 5_000)?;
            in_range("ta_combo.rsi", ta.rsi as u64, 2, 5_000)?;
            in_range("ta_combo.bands", ta.bands as u64, 2, 5_000)?;
            in_range("ta_combo.atr", ta.atr as u64, 1, 5_000)?;
            in_range("ta_combo.votes", ta.votes as u64, 1, 4)?;
            within(&[
                ("ta_combo.rsi_high", ta.rsi_high, 50.0, 100.0),
                ("ta_combo.rsi_low", ta.rsi_low, 0.0, 50.0),
                ("ta_combo.deviations", ta.deviations, 0.01, 100.0),
                ("ta_combo.stop_atr", ta.stop_atr, 0.01, 1_000.0),
            ])?;
        }
        if orb.is_enabled {
            self.check_bar_strategy("orb", &orb.symbol, orb.bar_ms, &orb.trade)?;
            in_range("orb.atr", orb.atr as u64, 1, 5_000)?;
            in_range("orb.session_minutes", orb.session_minutes, 2, 1_440)?;
            in_range("orb.entry_minutes", orb.entry_minutes, 1, orb.session_minutes - 1)?;
            in_range("orb.range_minutes", orb.range_minutes, 1, orb.entry_minutes)?;
            in_range("orb.buffer_ticks", orb.buffer_ticks as u64, 0, 1_000_000)?;
            ensure((orb.range_minutes * 60_000).is_multiple_of(orb.bar_ms), || {
                format!(
                    "orb.bar_ms: {} does not divide the range of {} minutes",
                    orb.bar_ms, orb.range_minutes
                )
            })?;
            within(&[
                ("orb.buffer_atr", orb.buffer_atr, 0.0, 1_000.0),
                ("orb.width_min_atr", orb.width_min_atr, 0.0, orb.width_max_atr),
                ("orb.width_max_atr", orb.width_max_atr, 0.0, 1e6),
                ("orb.volume_ratio_min", orb.volume_ratio_min, 0.0, 1e6),
            ])?;
            let starts = orb.session_starts().map_err(ConfigError::Invalid)?;
            ensure(starts.iter().all(|start| start.is_multiple_of(orb.bar_ms)), || {
                format!("orb.bar_ms: {} does not divide the start of sessions, {:?}", orb.bar_ms, orb.start)
            })?;
        }
        if smc.is_enabled {
            self.check_bar_strategy("smc", &smc.symbol, smc.bar_ms, &smc.trade)?;
            in_range("smc.swing_length", smc.swing_length as u64, 2, 500)?;
            in_range("smc.atr", smc.atr as u64, 1, 5_000)?;
            within(&[
                ("smc.pool_atr", smc.pool_atr, 0.0, 1_000.0),
                ("smc.stop_atr", smc.stop_atr, 0.0, 1_000.0),
            ])?;
        }
        Ok(())
    }

    /// A position belongs to one strategy: what two of them hold could not be told apart.
    pub(super) fn check_shared(&self) -> Result<(), ConfigError> {
        let all = [
            ("pairs.base", &self.pairs.base, self.pairs.is_enabled),
            ("pairs.hedge", &self.pairs.hedge, self.pairs.is_enabled),
            ("market_maker.symbol", &self.market_maker.symbol, self.market_maker.is_enabled),
            ("ta_combo.symbol", &self.ta_combo.symbol, self.ta_combo.is_enabled),
            ("orb.symbol", &self.orb.symbol, self.orb.is_enabled),
            ("smc.symbol", &self.smc.symbol, self.smc.is_enabled),
            ("probe.symbol", &self.probe.symbol, self.probe.is_enabled),
        ];
        let enabled: Vec<_> = all.into_iter().filter(|(.., is_enabled)| *is_enabled).collect();
        for (i, (key, symbol, _)) in enabled.iter().enumerate() {
            if let Some((other, ..)) = enabled[..i].iter().find(|(_, taken, _)| taken == symbol) {
                let text =
                    format!("{key}: {symbol:?} is traded by {other} too, whose position would be shared");
                return Err(ConfigError::Invalid(text));
            }
        }
        Ok(())
    }

    fn check_bar_strategy(
        &self,
        key: &str,
        symbol: &str,
        bar_ms: u64,
        trade: &TradeRules,
    ) -> Result<(), ConfigError> {
        let is_known = self.instrument.iter().any(|i| i.symbol == symbol);
        ensure(is_known, || format!("{key}.symbol: {symbol:?} is not among the instruments"))?;
        in_range(&format!("{key}.bar_ms"), bar_ms, 100, 86_400_000)?;
        let key = |name: &str| format!("{key}.trade.{name}");
        in_range(&key("risk_max"), trade.risk_max as u64, 1, i64::MAX as u64)?;
        in_range(&key("spread_ticks_max"), trade.spread_ticks_max as u64, 1, 1_000_000)?;
        in_range(&key("aggression_ticks"), trade.aggression_ticks as u64, 0, 10_000)?;
        in_range(&key("urgent_ticks"), trade.urgent_ticks as u64, 0, 100_000)?;
        in_range(&key("order_ms"), trade.order_ms, 10, 60_000)?;
        in_range(&key("entry_ms"), trade.entry_ms, 1, 600_000)?;
        in_range(&key("rest_ms"), trade.rest_ms, 0, 86_400_000)?;
        within(&[
            (&key("reward_ratio"), trade.reward_ratio, 0.01, 1_000.0),
            (&key("reward_ratio_min"), trade.reward_ratio_min, 0.0, trade.reward_ratio),
        ])?;
        let is_positive = decimal::parse(trade.qty_max.as_bytes(), 8).is_ok_and(|q| q > 0);
        ensure(is_positive, || format!("{}: {:?} is not a positive decimal", key("qty_max"), trade.qty_max))
    }
}
