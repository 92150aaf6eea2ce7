//! Opening range breakout: with the first close beyond the range of a session's first minutes, back at its other side,
//! and flat when the session ends.

use super::{
    Desk, Reading, Strategy, find, known,
    trade::{Idea, Trade},
};
use crate::{
    digest,
    message::Outcome,
    port::EnginePort,
    signal::{Atr, Bar, BarRule, NoBreakout, OpeningRange, RangeRules, Session},
};
use serde::{Deserialize, Serialize};
use tickpath_shared::{
    command::CommandOutcome,
    config::{self, Config, LiveParameters},
    types::{InstrumentDefinition, Reason, Side, StrategyName},
};

/// The strategy's state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Orb {
    rules: config::Orb,
    trade: Trade,
    /// Starts of sessions, unix milliseconds, ascending.
    starts: Vec<u64>,
    range: OpeningRange,
    atr: Atr,
}

impl Orb {
    /// The strategy as configured, or the reason why it cannot run on these definitions.
    ///
    /// # Errors
    ///
    /// A text naming the key, the value and the bound.
    pub fn new(config: &config::Orb, definitions: &[InstrumentDefinition]) -> Result<Self, String> {
        let definition = find("orb.symbol", &config.symbol, definitions)?;
        let range = OpeningRange::new(RangeRules {
            bar_ms: config.bar_ms,
            buffer_min: (config.buffer_ticks * definition.tick) as f64,
            buffer_atr: config.buffer_atr,
            width_min_atr: config.width_min_atr,
            width_max_atr: config.width_max_atr,
            volume_ratio_min: config.volume_ratio_min,
        });
        Ok(Self {
            trade: Trade::new("orb", &config.trade, definition)?,
            starts: config.session_starts()?,
            range,
            atr: Atr::new(config.atr),
            rules: config.clone(),
        })
    }

    /// The session that a time belongs to.
    fn session_at(&self, venue_ms: u64) -> Option<Session> {
        let start_ms = *self.starts[..self.starts.partition_point(|start| *start <= venue_ms)].last()?;
        let minutes = |minutes: u64| start_ms + minutes * 60_000;
        let session = Session {
            start_ms,
            range_end_ms: minutes(self.rules.range_minutes),
            entry_end_ms: minutes(self.rules.entry_minutes),
            end_ms: minutes(self.rules.session_minutes),
        };
        (venue_ms < session.end_ms).then_some(session)
    }

    fn explain(&self, desk: &mut Desk<'_, impl EnginePort>, bar: &Bar, why: NoBreakout) {
        let (reason, value, bound) = match why {
            NoBreakout::OutsideSession => (Reason::OutsideSession, bar.close, 0.0),
            NoBreakout::NoRange => (Reason::NoRange, 0.0, 0.0),
            NoBreakout::NoAtr => (Reason::WarmingUp, 0.0, self.rules.atr as f64),
            NoBreakout::Unfit { width, bound } => (Reason::NoRange, width, bound),
            NoBreakout::LowVolume { ratio, bound } => (Reason::VolumeTooSmall, ratio, bound),
            NoBreakout::Inside { bound } => (Reason::BelowEntry, bar.close, bound),
            NoBreakout::Taken => (Reason::SideTaken, bar.close, 1.0),
        };
        desk.pass(self.trade.instrument(), reason, value, bound);
    }

    /// Nothing is held beyond the end of the session in which it was entered.
    fn leave_at_end(&mut self, venue_ms: u64) {
        if self.range.session().is_some_and(|session| venue_ms >= session.end_ms) {
            self.trade.close();
        }
    }
}

impl Strategy for Orb {
    fn configured(config: &Config, definitions: &[InstrumentDefinition]) -> Result<Vec<Self>, String> {
        let rules = &config.orb;
        Ok(rules.is_enabled.then(|| Self::new(rules, definitions)).transpose()?.into_iter().collect())
    }

    fn number(&self) -> u16 {
        StrategyName::Orb as u16
    }

    fn instruments(&self) -> Vec<u32> {
        vec![self.trade.instrument()]
    }

    fn bars(&self) -> Vec<(u32, BarRule)> {
        vec![(self.trade.instrument(), BarRule::Time(self.rules.bar_ms))]
    }

    fn on_bar(&mut self, desk: &mut Desk<'_, impl EnginePort>, _which: usize, bar: &Bar) {
        let session = self.session_at(bar.start_ms);
        if let Some(session) = session.filter(|session| self.range.session() != Some(*session)) {
            // What is left of the session before goes first.
            self.trade.close();
            self.range.begin(session);
        }
        let atr = self.atr.push(bar);
        match self.range.push(bar, atr) {
            Ok(breakout) => {
                // What closed in a burst after a hole is no news any more.
                let age_ms = desk.venue_ms().saturating_sub(bar.end_ms);
                if age_ms < self.rules.bar_ms {
                    let side = if breakout.is_up { Side::Buy } else { Side::Sell };
                    self.trade.open(desk, &Idea { side, stop: breakout.stop, target: None });
                } else {
                    let (age_ms, bound) = (age_ms as f64, self.rules.bar_ms as f64);
                    desk.pass(self.trade.instrument(), Reason::SignalOld, age_ms, bound);
                }
            }
            Err(why) => self.explain(desk, bar, why),
        }
        let bound = self.range.range().map_or(0.0, |[_, high]| high);
        let (value, stance) = (bar.close, self.trade.stance());
        desk.tell(&Reading { value, z: None, stance, bound, ..Reading::default() });
    }

    #[inline]
    fn on_book(&mut self, desk: &mut Desk<'_, impl EnginePort>, _instrument: u32) {
        self.leave_at_end(desk.venue_ms());
        self.trade.poll(desk);
    }

    fn on_outcome(&mut self, desk: &mut Desk<'_, impl EnginePort>, outcome: &Outcome) {
        self.trade.on_outcome(desk.now(), outcome);
    }

    fn on_command(&mut self, parameter: u16, value: f64) -> Result<(), CommandOutcome> {
        self.rules.set(known(parameter)?, value)?;
        self.range.set_buffer_atr(self.rules.buffer_atr);
        Ok(())
    }

    fn on_timer(&mut self, desk: &mut Desk<'_, impl EnginePort>) {
        self.leave_at_end(desk.venue_ms());
        self.trade.poll(desk);
    }

    fn digest(&self, seed: u64) -> u64 {
        digest::fold(
            seed,
            self.trade
                .words()
                .chain([self.rules.buffer_atr.to_bits()])
                .chain(self.range.words())
                .chain(self.atr.words()),
        )
    }
}
