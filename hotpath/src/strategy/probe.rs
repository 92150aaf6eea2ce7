//! The probe: one order for every tick, so that the way of every tick can be measured. Simulation only.

use super::LegOrder;
use crate::book::Top;
use serde::{Deserialize, Serialize};
use tickpath_shared::{
    config,
    types::{InstrumentDefinition, Side, decimal},
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
        let symbol = &config.symbol;
        let definition = definitions
            .iter()
            .find(|d| d.symbol.as_str() == symbol)
            .ok_or_else(|| format!("probe.symbol: {symbol:?} is not among the instruments"))?;
        let qty = decimal::parse(config.qty.as_bytes(), definition.qty_scale)
            .map_err(|e| format!("probe.qty: {:?}: {e}", config.qty))?;
        if qty <= 0 || qty % definition.lot != 0 {
            let lot = decimal::to_text(definition.lot, definition.qty_scale);
            return Err(format!("probe.qty: {:?} is no positive multiple of the lot {lot}", config.qty));
        }
        Ok(Self { instrument: definition.instrument, qty })
    }

    /// The order for a tick of an instrument.
    pub fn order(&self, instrument: u32, top: Top) -> Option<LegOrder> {
        (instrument == self.instrument && top.ask.price > 0).then_some(LegOrder {
            instrument,
            side: Side::Buy,
            price: top.ask.price,
            qty: self.qty,
            is_reduce_only: false,
        })
    }
}
