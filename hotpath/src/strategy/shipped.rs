//! The strategies that come with the program, as one type: what runs is a closed set, and every call is static.

use super::{Desk, MarketMaker, Orb, Pairs, Probe, SignalFollow, SmartMoney, Strategy, TaCombo};
use crate::{
    message::Outcome,
    port::EnginePort,
    signal::{Bar, BarRule, Print},
};
use serde::{Deserialize, Serialize};
use tickpath_shared::{command::CommandOutcome, config::Config, types::InstrumentDefinition};

/// One of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "a handful of them, made once")]
pub enum Shipped {
    /// [`Pairs`].
    Pairs(Pairs),
    /// [`MarketMaker`].
    MarketMaker(MarketMaker),
    /// [`TaCombo`].
    TaCombo(TaCombo),
    /// [`Orb`].
    Orb(Orb),
    /// [`SmartMoney`].
    SmartMoney(SmartMoney),
    /// [`SignalFollow`].
    SignalFollow(SignalFollow),
    /// [`Probe`].
    Probe(Probe),
}

/// The same call of whichever it is.
macro_rules! each {
    ($self:expr, $strategy:ident => $call:expr) => {
        match $self {
            Shipped::Pairs($strategy) => $call,
            Shipped::MarketMaker($strategy) => $call,
            Shipped::TaCombo($strategy) => $call,
            Shipped::Orb($strategy) => $call,
            Shipped::SmartMoney($strategy) => $call,
            Shipped::SignalFollow($strategy) => $call,
            Shipped::Probe($strategy) => $call,
        }
    };
}

/// Those of one kind that are configured.
fn of<S: Strategy>(
    config: &Config,
    definitions: &[InstrumentDefinition],
    wrap: fn(S) -> Shipped,
) -> Result<Vec<Shipped>, String> {
    Ok(S::configured(config, definitions)?.into_iter().map(wrap).collect())
}

impl Strategy for Shipped {
    fn configured(config: &Config, definitions: &[InstrumentDefinition]) -> Result<Vec<Self>, String> {
        let kinds = [
            of(config, definitions, Self::Pairs)?,
            of(config, definitions, Self::MarketMaker)?,
            of(config, definitions, Self::TaCombo)?,
            of(config, definitions, Self::Orb)?,
            of(config, definitions, Self::SmartMoney)?,
            of(config, definitions, Self::SignalFollow)?,
            of(config, definitions, Self::Probe)?,
        ];
        Ok(kinds.into_iter().flatten().collect())
    }

    fn number(&self) -> u16 {
        each!(self, strategy => strategy.number())
    }

    fn instruments(&self) -> Vec<u32> {
        each!(self, strategy => strategy.instruments())
    }

    fn bars(&self) -> Vec<(u32, BarRule)> {
        each!(self, strategy => strategy.bars())
    }

    #[inline(always)]
    fn on_book(&mut self, desk: &mut Desk<'_, impl EnginePort>, instrument: u32) {
        each!(self, strategy => strategy.on_book(desk, instrument));
    }

    fn on_trade(&mut self, desk: &mut Desk<'_, impl EnginePort>, instrument: u32, print: &Print) {
        each!(self, strategy => strategy.on_trade(desk, instrument, print));
    }

    fn on_bar(&mut self, desk: &mut Desk<'_, impl EnginePort>, which: usize, bar: &Bar) {
        each!(self, strategy => strategy.on_bar(desk, which, bar));
    }

    fn on_outcome(&mut self, desk: &mut Desk<'_, impl EnginePort>, outcome: &Outcome) {
        each!(self, strategy => strategy.on_outcome(desk, outcome));
    }

    fn on_command(&mut self, parameter: u16, value: f64) -> Result<(), CommandOutcome> {
        each!(self, strategy => strategy.on_command(parameter, value))
    }

    fn on_timer(&mut self, desk: &mut Desk<'_, impl EnginePort>) {
        each!(self, strategy => strategy.on_timer(desk));
    }

    fn digest(&self, seed: u64) -> u64 {
        each!(self, strategy => strategy.digest(seed))
    }
}
