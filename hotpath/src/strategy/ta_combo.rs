//! Classic indicators that vote: trend, momentum, strength and bands over bars. An opinion is traded when enough of them
//! share it.

use super::{
    Desk, Reading, Strategy, find, known,
    trade::{Idea, Trade},
};
use crate::{
    digest,
    message::Outcome,
    port::EnginePort,
    signal::{Atr, Bar, BarRule, Bollinger, Ema, Macd, Rsi},
};
use serde::{Deserialize, Serialize};
use tickpath_shared::{
    command::CommandOutcome,
    config::{self, Config, LiveParameters},
    types::{InstrumentDefinition, Reason, Side, StrategyName},
};

/// The strategy's state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaCombo {
    rules: config::TaCombo,
    trade: Trade,
    seen: u64,
    fast: Ema,
    slow: Ema,
    macd: Macd,
    rsi: Rsi,
    bands: Bollinger,
    atr: Atr,
}

impl TaCombo {
    /// The strategy as configured, or the reason why it cannot run on these definitions.
    ///
    /// # Errors
    ///
    /// A text naming the key, the value and the bound.
    pub fn new(config: &config::TaCombo, definitions: &[InstrumentDefinition]) -> Result<Self, String> {
        let definition = find("ta_combo.symbol", &config.symbol, definitions)?;
        let config::TaCombo { fast, slow, signal, rsi, bands, atr, .. } = *config;
        Ok(Self {
            rules: config.clone(),
            trade: Trade::new("ta_combo", &config.trade, definition)?,
            seen: 0,
            fast: Ema::new(fast),
            slow: Ema::new(slow),
            macd: Macd::new(fast, slow, signal),
            rsi: Rsi::new(rsi),
            bands: Bollinger::new(bands, config.deviations, config.deviations),
            atr: Atr::new(atr),
        })
    }

    /// Sum of the votes, +1 or -1 each, and the average true range; `None` before all have an opinion.
    fn vote(&mut self, bar: &Bar) -> Option<(i64, f64)> {
        let close = bar.close;
        // Each of them learns from every bar, whatever the others say.
        let (fast, slow) = (self.fast.push(close), self.slow.push(close));
        let (macd, rsi) = (self.macd.push(close), self.rsi.push(close));
        let (bands, atr) = (self.bands.push(close), self.atr.push(bar));
        let (macd, rsi, bands) = (macd?, rsi?, bands?);
        let sign = |x: f64| i64::from(x > 0.0) - i64::from(x < 0.0);
        let trend = sign(fast? - slow?);
        let momentum = sign(macd.histogram());
        // Strong, but not at the end of its strength.
        let strength = match rsi {
            rsi if rsi >= self.rules.rsi_high || rsi <= self.rules.rsi_low => 0,
            rsi => sign(rsi - 50.0),
        };
        // Above the middle without having left the band.
        let place = if close > bands.upper || close < bands.lower { 0 } else { sign(close - bands.middle) };
        Some((trend + momentum + strength + place, atr?))
    }
}

impl Strategy for TaCombo {
    fn configured(config: &Config, definitions: &[InstrumentDefinition]) -> Result<Vec<Self>, String> {
        let rules = &config.ta_combo;
        Ok(rules.is_enabled.then(|| Self::new(rules, definitions)).transpose()?.into_iter().collect())
    }

    fn number(&self) -> u16 {
        StrategyName::TaCombo as u16
    }

    fn instruments(&self) -> Vec<u32> {
        vec![self.trade.instrument()]
    }

    fn bars(&self) -> Vec<(u32, BarRule)> {
        vec![(self.trade.instrument(), BarRule::Time(self.rules.bar_ms))]
    }

    fn on_bar(&mut self, desk: &mut Desk<'_, impl EnginePort>, _which: usize, bar: &Bar) {
        let instrument = self.trade.instrument();
        self.seen += 1;
        let Some((votes, atr)) = self.vote(bar) else {
            let wanted = (self.rules.slow + self.rules.signal).max(self.rules.rsi).max(self.rules.bands);
            return desk.pass(instrument, Reason::WarmingUp, self.seen as f64, wanted as f64);
        };
        let bound = self.rules.votes as f64;
        // What is held is left when most have changed their minds.
        let is_against = match self.trade.stance() {
            1 => votes < 0,
            2 => votes > 0,
            _ => false,
        };
        if is_against {
            self.trade.close();
            self.trade.poll(desk);
        } else if votes.abs() < self.rules.votes {
            desk.pass(instrument, Reason::VotesMissing, votes as f64, bound);
        } else {
            let side = if votes > 0 { Side::Buy } else { Side::Sell };
            let stop = bar.close - side.sign() as f64 * self.rules.stop_atr * atr;
            self.trade.open(desk, &Idea { side, stop, target: None });
        }
        let (value, stance) = (bar.close, self.trade.stance());
        desk.tell(&Reading { value, z: Some(votes as f64), stance, bound, ..Reading::default() });
    }

    #[inline]
    fn on_book(&mut self, desk: &mut Desk<'_, impl EnginePort>, _instrument: u32) {
        self.trade.poll(desk);
    }

    fn on_outcome(&mut self, desk: &mut Desk<'_, impl EnginePort>, outcome: &Outcome) {
        self.trade.on_outcome(desk.now(), outcome);
    }

    fn on_command(&mut self, parameter: u16, value: f64) -> Result<(), CommandOutcome> {
        self.rules.set(known(parameter)?, value)
    }

    fn on_timer(&mut self, desk: &mut Desk<'_, impl EnginePort>) {
        self.trade.poll(desk);
    }

    fn digest(&self, seed: u64) -> u64 {
        let means =
            self.fast.words().chain(self.slow.words()).chain(self.macd.words()).chain(self.rsi.words());
        let seed = digest::fold(
            seed,
            self.trade.words().chain([self.rules.stop_atr.to_bits()]).chain(means).chain(self.atr.words()),
        );
        digest::fold(seed, self.bands.words())
    }
}
