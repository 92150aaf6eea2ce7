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
        in_range("pairs.refit_minutes", pairs.refit_minutes, 0, 1_440)?;
        in_range("pairs.refit_samples", pairs.refit_samples as u64, 100, 100_000)?;
        within(&pairs.bounds())?;
        for (key, qty) in [("pairs.base_qty", &pairs.base_qty), ("pairs.hedge_qty", &pairs.hedge_qty)] {
            let is_positive = decimal::parse(qty.as_bytes(), 8).is_ok_and(|q| q > 0);
            ensure(is_positive, || format!("{key}: {qty:?} is not a positive decimal"))?;
        }
        Ok(())
    }

    pub(super) fn check_market_maker(&self) -> Result<(), ConfigError> {
        let maker = &self.market_maker;
        if !maker.is_enabled {
            return Ok(());
        }
        let is_known = self.instrument.iter().any(|i| i.symbol == maker.symbol);
        ensure(is_known, || format!("market_maker.symbol: {:?} is not among the instruments", maker.symbol))?;
        within(&maker.bounds())?;
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

    pub(super) fn check_signal_follow(&self) -> Result<(), ConfigError> {
        let follow = &self.signal_follow;
        if !follow.is_enabled {
            return Ok(());
        }
        let is_known = self.instrument.iter().any(|i| i.symbol == follow.symbol);
        ensure(is_known, || {
            format!("signal_follow.symbol: {:?} is not among the instruments", follow.symbol)
        })?;
        within(&follow.bounds())?;
        in_range("signal_follow.hold_ms", follow.hold_ms, 100, 86_400_000)?;
        in_range("signal_follow.order_ms", follow.order_ms, 10, 60_000)?;
        in_range("signal_follow.aggression_ticks", follow.aggression_ticks as u64, 0, 10_000)?;
        let is_positive = decimal::parse(follow.qty.as_bytes(), 8).is_ok_and(|q| q > 0);
        ensure(is_positive, || format!("signal_follow.qty: {:?} is not a positive decimal", follow.qty))
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
            within(&ta.bounds())?;
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
            within(&orb.bounds())?;
            let starts = orb.session_starts().map_err(ConfigError::invalid)?;
            ensure(starts.iter().all(|start| start.is_multiple_of(orb.bar_ms)), || {
                format!("orb.bar_ms: {} does not divide the start of sessions, {:?}", orb.bar_ms, orb.start)
            })?;
        }
        if smc.is_enabled {
            self.check_bar_strategy("smc", &smc.symbol, smc.bar_ms, &smc.trade)?;
            in_range("smc.swing_length", smc.swing_length as u64, 2, 500)?;
            in_range("smc.atr", smc.atr as u64, 1, 5_000)?;
            within(&smc.bounds())?;
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
            ("signal_follow.symbol", &self.signal_follow.symbol, self.signal_follow.is_enabled),
            ("probe.symbol", &self.probe.symbol, self.probe.is_enabled),
        ];
        let enabled: Vec<_> = all.into_iter().filter(|(.., is_enabled)| *is_enabled).collect();
        for (i, (key, symbol, _)) in enabled.iter().enumerate() {
            if let Some((other, ..)) = enabled[..i].iter().find(|(_, taken, _)| taken == symbol) {
                let text =
                    format!("{key}: {symbol:?} is traded by {other} too, whose position would be shared");
                return Err(ConfigError::invalid(text));
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
