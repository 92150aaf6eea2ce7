//! Strategies: they see books, trades, bars and outcomes and say what they want; they know no venue, ring or clock.
//!
//! `docs/strategies.md` shows the way to one of your own.

mod desk;
mod legs;
mod market_maker;
mod orb;
mod pairs;
mod probe;
mod shipped;
mod signal_follow;
mod smc;
mod ta_combo;
mod taker;
mod trade;

#[cfg(test)]
mod tests;

pub use desk::{Desk, Order, Reading};
pub(crate) use desk::{DeskLimits, Passes};
pub use legs::{LegPair, LegRules};
pub use market_maker::MarketMaker;
pub use orb::Orb;
pub use pairs::Pairs;
pub use probe::Probe;
pub use shipped::Shipped;
pub use signal_follow::SignalFollow;
pub use smc::SmartMoney;
pub use ta_combo::TaCombo;
pub use trade::{Idea, Trade};

use crate::{
    message::Outcome,
    port::EnginePort,
    signal::{Bar, BarRule, Print},
};
use serde::{Serialize, de::DeserializeOwned};
use tickpath_shared::{
    command::CommandOutcome,
    config::Config,
    types::{InstrumentDefinition, Parameter, decimal},
};

/// Changes whenever engine or gateway with the shipped strategies decide otherwise on the same inputs, or another state is
/// theirs: decisions of another version can be read, not made again.
pub const VERSION: u32 = 8;

/// A strategy. The same code runs in replay, in simulation and live: it must draw on nothing but what it is given here,
/// and allocate nothing once it is made. What it looks at and does goes through the [`Desk`].
pub trait Strategy: Serialize + DeserializeOwned + Send + 'static {
    /// The strategies that a configuration asks for, in the order in which they get the word.
    ///
    /// # Errors
    ///
    /// A text naming the key, the value and the bound.
    fn configured(config: &Config, definitions: &[InstrumentDefinition]) -> Result<Vec<Self>, String>;

    /// Its number in records, unique among those that run together; from 100 on for those of your own.
    fn number(&self) -> u16;

    /// Instruments that it wants to hear of. No two strategies trade the same one.
    fn instruments(&self) -> Vec<u32>;

    /// Bars that it wants to hear of.
    fn bars(&self) -> Vec<(u32, BarRule)> {
        Vec::new()
    }

    /// Best prices or the book of an instrument have changed, or the book was lost.
    fn on_book(&mut self, _desk: &mut Desk<'_, impl EnginePort>, _instrument: u32) {}

    /// Somebody traded on an instrument, in its price and quantity units.
    fn on_trade(&mut self, _desk: &mut Desk<'_, impl EnginePort>, _instrument: u32, _print: &Print) {}

    /// A bar of [`Self::bars`] is finished; `which` is its place there. Prices and volume in units.
    fn on_bar(&mut self, _desk: &mut Desk<'_, impl EnginePort>, _which: usize, _bar: &Bar) {}

    /// A position changed, an order came to its end, was changed or refused.
    fn on_outcome(&mut self, _desk: &mut Desk<'_, impl EnginePort>, _outcome: &Outcome) {}

    /// A person, or a program that fits parameters, wants a parameter to have another value. Numbers from 1000 on are
    /// free for strategies of your own.
    ///
    /// # Errors
    ///
    /// [`CommandOutcome::UnknownParameter`] or [`CommandOutcome::RefusedValue`]; nothing has changed then.
    fn on_command(&mut self, _parameter: u16, _value: f64) -> Result<(), CommandOutcome> {
        Err(CommandOutcome::UnknownParameter)
    }

    /// A hundredth of a second has passed: nothing else may come while the market is silent.
    fn on_timer(&mut self, _desk: &mut Desk<'_, impl EnginePort>) {}

    /// Hash of the whole state, `seed` included; see [`crate::digest::fold`].
    fn digest(&self, seed: u64) -> u64;
}

/// A parameter of the shipped strategies.
fn known(parameter: u16) -> Result<Parameter, CommandOutcome> {
    Parameter::from_repr(parameter).ok_or(CommandOutcome::UnknownParameter)
}

/// The instrument of a symbol.
///
/// # Errors
///
/// A text naming the key and the symbol.
pub fn find<'a>(
    key: &str,
    symbol: &str,
    definitions: &'a [InstrumentDefinition],
) -> Result<&'a InstrumentDefinition, String> {
    let found = definitions.iter().find(|d| d.symbol.as_str() == symbol);
    found.ok_or_else(|| format!("{key}: {symbol:?} is not among the instruments"))
}

/// A configured quantity in units.
///
/// # Errors
///
/// A text naming the key, the value and the lot, for what is no positive multiple of it.
pub fn quantity(key: &str, text: &str, definition: &InstrumentDefinition) -> Result<i64, String> {
    let units =
        decimal::parse(text.as_bytes(), definition.qty_scale).map_err(|e| format!("{key}: {text:?}: {e}"))?;
    if units <= 0 || units % definition.lot != 0 {
        let lot = decimal::to_text(definition.lot, definition.qty_scale);
        return Err(format!("{key}: {text:?} is no positive multiple of the lot {lot}"));
    }
    Ok(units)
}
