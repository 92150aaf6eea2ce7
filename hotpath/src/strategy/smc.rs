//! Smart-money concepts: with the direction that the last break of structure shows, at the return to an order block.
//!
//! Revocations count like news: a block or a break that is taken back takes back what was to be done with it.

use super::{
    Desk, Reading, Strategy, find, known,
    trade::{Idea, Trade},
};
use crate::{
    digest,
    message::Outcome,
    port::EnginePort,
    signal::{
        Atr, Bar, BarRule,
        smc::{Block, Event, PoolRange, Smc, SmcRules},
    },
};
use serde::{Deserialize, Serialize};
use tickpath_shared::{
    command::CommandOutcome,
    config::{self, Config, LiveParameters},
    types::{InstrumentDefinition, Reason, Side, StrategyName},
};

/// Breaks of structure that may still be taken back.
const BREAKS_MAX: usize = 8;

/// Lets what was told count, and what was taken back count no more.
fn take(event: &Event, breaks: &mut Vec<(u64, bool)>, zone: &mut Option<Block>) {
    match *event {
        Event::Structure { at, is_up, .. } => {
            breaks.push((at, is_up));
            if breaks.len() > BREAKS_MAX {
                breaks.remove(0);
            }
        }
        Event::StructureRevoked { at } => breaks.retain(|(swing, _)| *swing != at),
        Event::Block(block) => *zone = Some(block),
        Event::BlockRevoked { at, is_up }
        | Event::BlockGone { at, is_up }
        | Event::BlockMitigated { at, is_up, .. } => {
            *zone = zone.filter(|zone| (zone.at, zone.is_up) != (at, is_up));
        }
        _ => {}
    }
}

/// The strategy's state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SmartMoney {
    rules: config::Smc,
    trade: Trade,
    concepts: Smc,
    atr: Atr,
    /// The last breaks of structure, newest last: swing and direction.
    breaks: Vec<(u64, bool)>,
    /// The newest block of the direction, to which price has not yet come back.
    zone: Option<Block>,
}

impl SmartMoney {
    /// The strategy as configured, or the reason why it cannot run on these definitions.
    ///
    /// # Errors
    ///
    /// A text naming the key, the value and the bound.
    pub fn new(config: &config::Smc, definitions: &[InstrumentDefinition]) -> Result<Self, String> {
        let definition = find("smc.symbol", &config.symbol, definitions)?;
        let pool_range = PoolRange::Atr { bars: config.atr, factor: config.pool_atr };
        Ok(Self {
            rules: config.clone(),
            trade: Trade::new("smc", &config.trade, definition)?,
            concepts: Smc::new(SmcRules { swing_length: config.swing_length, pool_range }),
            atr: Atr::new(config.atr),
            breaks: Vec::with_capacity(BREAKS_MAX + 1),
            zone: None,
        })
    }

    /// Where the last break of structure that stands shows.
    fn is_up(&self) -> Option<bool> {
        self.breaks.last().map(|(_, is_up)| *is_up)
    }

    /// Price is back at the block: the idea is that it holds.
    fn enter(&mut self, desk: &mut Desk<'_, impl EnginePort>) {
        let Some((zone, atr)) = self.zone.zip(self.atr.value()) else { return };
        let Some(top) = desk.top(self.trade.instrument()) else { return };
        let (ask, bid) = (top.ask.price as f64, top.bid.price as f64);
        let is_back = if zone.is_up { ask <= zone.top } else { bid >= zone.bottom };
        if !is_back || self.is_up() != Some(zone.is_up) {
            return;
        }
        let buffer = self.rules.stop_atr * atr;
        let (side, stop) =
            if zone.is_up { (Side::Buy, zone.bottom - buffer) } else { (Side::Sell, zone.top + buffer) };
        // One trade a block, whatever comes of it.
        self.zone = None;
        self.trade.open(desk, &Idea { side, stop, target: None });
    }
}

impl Strategy for SmartMoney {
    fn configured(config: &Config, definitions: &[InstrumentDefinition]) -> Result<Vec<Self>, String> {
        let rules = &config.smc;
        Ok(rules.is_enabled.then(|| Self::new(rules, definitions)).transpose()?.into_iter().collect())
    }

    fn number(&self) -> u16 {
        StrategyName::Smc as u16
    }

    fn instruments(&self) -> Vec<u32> {
        vec![self.trade.instrument()]
    }

    fn bars(&self) -> Vec<(u32, BarRule)> {
        vec![(self.trade.instrument(), BarRule::Time(self.rules.bar_ms))]
    }

    fn on_bar(&mut self, desk: &mut Desk<'_, impl EnginePort>, _which: usize, bar: &Bar) {
        self.atr.push(bar);
        let Self { concepts, breaks, zone, .. } = self;
        concepts.push(bar, |event| take(&event, breaks, zone));
        let instrument = self.trade.instrument();
        let is_up = self.is_up();
        let is_against = match self.trade.stance() {
            1 => is_up == Some(false),
            2 => is_up == Some(true),
            _ => false,
        };
        if is_against {
            self.trade.close();
            self.trade.poll(desk);
        } else if is_up.is_none() {
            desk.pass(instrument, Reason::WarmingUp, self.concepts.bars() as f64, 0.0);
        } else if self.zone.is_none_or(|zone| Some(zone.is_up) != is_up) {
            desk.pass(instrument, Reason::NoZone, bar.close, 0.0);
        }
        let direction = is_up.map_or(0.0, |is_up| if is_up { 1.0 } else { -1.0 });
        let bound = self.zone.map_or(0.0, |zone| if zone.is_up { zone.top } else { zone.bottom });
        let stance = self.trade.stance();
        desk.tell(&Reading { value: bar.close, z: Some(direction), stance, bound, ..Reading::default() });
    }

    #[inline]
    fn on_book(&mut self, desk: &mut Desk<'_, impl EnginePort>, _instrument: u32) {
        if self.zone.is_some() {
            self.enter(desk);
        }
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
        let zone = self.zone.map_or([0; 3], |zone| [zone.at + 1, zone.top.to_bits(), zone.bottom.to_bits()]);
        let breaks = self.breaks.iter().map(|(at, is_up)| at << 1 | u64::from(*is_up));
        let seed = digest::fold(
            seed,
            self.trade
                .words()
                .chain([self.rules.stop_atr.to_bits()])
                .chain(self.atr.words())
                .chain(zone)
                .chain(breaks),
        );
        digest::fold(seed, self.concepts.words())
    }
}
