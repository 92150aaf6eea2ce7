//! Opening range breakout: with the first close beyond the range of a session's first minutes, back at its other side,
//! and flat when the session ends.

use super::{
    Desk, Reading, Strategy, find,
    trade::{Idea, Trade},
};
use crate::{
    digest,
    message::Outcome,
    port::EnginePort,
    signal::{Atr, Bar, BarRule, OpeningRange, RangeRules, Session},
};
use serde::{Deserialize, Serialize};
use tickpath_shared::{
    config::{self, Config},
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
        let instrument = self.trade.instrument();
        let session = self.session_at(bar.start_ms);
        if let Some(session) = session.filter(|session| self.range.session() != Some(*session)) {
            // What is left of the session before goes first.
            self.trade.close();
            self.range.begin(session);
        }
        let atr = self.atr.push(bar);
        let found = self.range.push(bar, atr);
        // What closed in a burst after a hole is no news any more.
        let now_ms = desk.venue_ms();
        let is_young = now_ms < bar.end_ms + self.rules.bar_ms
            && session.is_some_and(|session| now_ms < session.entry_end_ms);
        match (found, session) {
            (Some(breakout), _) if is_young => {
                let side = if breakout.is_up { Side::Buy } else { Side::Sell };
                self.trade.open(desk, &Idea { side, stop: breakout.stop, target: None });
            }
            (None, Some(session)) if bar.end_ms <= session.entry_end_ms => match self.range.range() {
                Some([low, high]) if bar.start_ms >= session.range_end_ms => {
                    let bound = if bar.close > f64::midpoint(low, high) { high } else { low };
                    desk.pass(instrument, Reason::BelowEntry, bar.close, bound);
                }
                _ => desk.pass(instrument, Reason::NoRange, bar.close, 0.0),
            },
            _ => desk.pass(instrument, Reason::OutsideSession, bar.close, 0.0),
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

    fn on_timer(&mut self, desk: &mut Desk<'_, impl EnginePort>) {
        self.leave_at_end(desk.venue_ms());
        self.trade.poll(desk);
    }

    fn digest(&self, seed: u64) -> u64 {
        digest::fold(seed, self.trade.words().chain(self.range.words()).chain(self.atr.words()))
    }
}
