//! The probe: one order for every tick, so that the way of every tick can be measured. Simulation only.

use super::{Desk, Order, Strategy, find, quantity};
use crate::port::EnginePort;
use serde::{Deserialize, Serialize};
use tickpath_shared::{
    config::{self, Config},
    types::{InstrumentDefinition, OrderTerms, Side, StrategyName, TimeInForce},
};

/// Answers every tick with an order to buy at the best ask.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Probe {
    instrument: u32,
    qty: i64,
}

impl Probe {
    /// The probe as configured.
    ///
    /// # Errors
    ///
    /// A text naming the key, the value and the bound.
    pub fn new(config: &config::Probe, definitions: &[InstrumentDefinition]) -> Result<Self, String> {
        let definition = find("probe.symbol", &config.symbol, definitions)?;
        let qty = quantity("probe.qty", &config.qty, definition)?;
        Ok(Self { instrument: definition.instrument, qty })
    }
}

impl Strategy for Probe {
    fn configured(config: &Config, definitions: &[InstrumentDefinition]) -> Result<Vec<Self>, String> {
        let probe = config.probe.is_enabled.then(|| Self::new(&config.probe, definitions)).transpose()?;
        Ok(probe.into_iter().collect())
    }

    fn number(&self) -> u16 {
        StrategyName::Probe as u16
    }

    fn instruments(&self) -> Vec<u32> {
        vec![self.instrument]
    }

    #[inline(always)]
    fn on_book(&mut self, desk: &mut Desk<'_, impl EnginePort>, instrument: u32) {
        let Some(top) = desk.top(instrument).filter(|top| top.ask.price > 0) else { return };
        desk.place(&Order {
            instrument,
            side: Side::Buy,
            price: top.ask.price,
            qty: self.qty,
            time_in_force: TimeInForce::Ioc,
            is_reduce_only: false,
            stop: 0,
            target: 0,
            terms: OrderTerms::LIMIT,
        });
    }

    fn digest(&self, seed: u64) -> u64 {
        seed
    }
}
