//! Follows signals from outside: a person or a program says by command how much is to be held, and for how long that is
//! worth something is configured.

use super::{
    Desk, Reading, Strategy, find, known, quantity,
    taker::{News, Taker},
};
use crate::{digest, message::Outcome, port::EnginePort};
use serde::{Deserialize, Serialize};
use tickpath_shared::{
    Nanos,
    command::CommandOutcome,
    config::{self, Config, LiveParameters},
    types::{InstrumentDefinition, Reason, StrategyName},
};

/// The strategy's state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SignalFollow {
    rules: config::SignalFollow,
    taker: Taker,
    qty: i64,
    lot: i64,
    /// A signal has come whose time is not known yet.
    is_new: bool,
    /// Position that is wanted; `None` before the first signal: what is held from before is left alone.
    wanted: Option<i64>,
    /// Session time until which it is.
    until: Nanos,
}

impl SignalFollow {
    /// The strategy as configured, or the reason why it cannot run on these definitions.
    ///
    /// # Errors
    ///
    /// A text naming the key, the value and the bound.
    pub fn new(config: &config::SignalFollow, definitions: &[InstrumentDefinition]) -> Result<Self, String> {
        let definition = find("signal_follow.symbol", &config.symbol, definitions)?;
        Ok(Self {
            taker: Taker::new(definition, config.order_ms * 1_000_000),
            qty: quantity("signal_follow.qty", &config.qty, definition)?,
            lot: definition.lot,
            rules: config.clone(),
            is_new: false,
            wanted: None,
            until: 0,
        })
    }

    /// Takes up what was said, and gives up what is too old.
    fn judge(&mut self, desk: &mut Desk<'_, impl EnginePort>) {
        let now = desk.now();
        if self.is_new {
            self.is_new = false;
            // Towards zero: never more than was said.
            let lots = self.rules.signal * (self.qty / self.lot) as f64;
            self.wanted = Some(lots as i64 * self.lot);
            self.until = now + self.rules.hold_ms * 1_000_000;
            self.tell(desk);
        }
        if now >= self.until && self.wanted.is_some_and(|wanted| wanted != 0) {
            desk.pass(self.taker.instrument(), Reason::SignalOld, self.rules.hold_ms as f64, 0.0);
            self.wanted = Some(0);
            self.tell(desk);
        }
    }

    fn tell(&self, desk: &mut Desk<'_, impl EnginePort>) {
        let stance = match self.wanted.unwrap_or(0).signum() {
            0 => 0,
            1 => 1,
            _ => 2,
        };
        desk.tell(&Reading { value: self.rules.signal, stance, ..Reading::default() });
    }

    fn poll(&mut self, desk: &mut Desk<'_, impl EnginePort>) {
        self.judge(desk);
        let Some(wanted) = self.wanted else { return };
        let missing = self.taker.missing(desk, wanted);
        self.taker.review(desk, missing);
        if missing != 0 && desk.fresh_top_or_pass(self.taker.instrument()).is_some() {
            self.taker.take(desk, missing, self.rules.aggression_ticks, [0; 2]);
        }
    }
}

impl Strategy for SignalFollow {
    fn configured(config: &Config, definitions: &[InstrumentDefinition]) -> Result<Vec<Self>, String> {
        let rules = &config.signal_follow;
        Ok(rules.is_enabled.then(|| Self::new(rules, definitions)).transpose()?.into_iter().collect())
    }

    fn number(&self) -> u16 {
        StrategyName::SignalFollow as u16
    }

    fn instruments(&self) -> Vec<u32> {
        vec![self.taker.instrument()]
    }

    #[inline]
    fn on_book(&mut self, desk: &mut Desk<'_, impl EnginePort>, _instrument: u32) {
        self.poll(desk);
    }

    fn on_outcome(&mut self, desk: &mut Desk<'_, impl EnginePort>, outcome: &Outcome) {
        let news = self.taker.on_outcome(desk.now(), outcome);
        // A signal that a limit or the venue refused to open is over; what closes is tried again.
        if news == News::Refused && self.taker.position() == 0 {
            self.wanted = Some(0);
        }
    }

    fn on_command(&mut self, parameter: u16, value: f64) -> Result<(), CommandOutcome> {
        self.rules.set(known(parameter)?, value)?;
        self.is_new = true;
        Ok(())
    }

    fn on_timer(&mut self, desk: &mut Desk<'_, impl EnginePort>) {
        self.poll(desk);
    }

    fn digest(&self, seed: u64) -> u64 {
        let wanted = self.wanted.map_or(u64::MAX, |wanted| wanted as u64);
        let own = [u64::from(self.is_new), wanted, self.until, self.rules.signal.to_bits()];
        digest::fold(seed, self.taker.words().into_iter().chain(own))
    }
}
