//! The venue's rules change while we trade: bounds and trading status take effect at once; another grid means other
//! units and other books, and with them another session.

use super::{Session, SessionEnd};
use tickpath_shared::{
    record::{EventCode, Kind, Severity},
    types::{InstrumentDefinition, decimal},
};
use zerocopy::IntoBytes;

impl Session {
    /// Compares what the venue says now with what is in force.
    pub(super) fn on_definitions(&mut self, read: &[InstrumentDefinition]) {
        if self.is_stopping {
            // Whoever stopped it wants no other session.
            return;
        }
        for now in read {
            let index = now.instrument as usize;
            let Some(before) = self.rules.get(index).copied() else { continue };
            let next = InstrumentDefinition { version: before.version + 1, ..*now };
            if (InstrumentDefinition { version: before.version, ..*now }) == before {
                continue;
            }
            if !next.has_grid_of(&before) {
                self.end_for(&before, &next);
                return;
            }
            self.rules[index] = next;
            let status = if next.is_trading == 1 { "is trading" } else { "is not trading" };
            let text = format!("{}: the venue changed its rules; it {status}", next.symbol.as_str());
            self.event(EventCode::Rules, Severity::Warning, &text);
            self.parts.status.set_definition(&next);
            self.tell_gateway(Kind::Definition, next.as_bytes());
        }
    }

    /// Ends the session in order; the next one starts on the new grid.
    fn end_for(&mut self, before: &InstrumentDefinition, next: &InstrumentDefinition) {
        let show = |d: &InstrumentDefinition| {
            let (tick, lot) = (decimal::to_text(d.tick, d.price_scale), decimal::to_text(d.lot, d.qty_scale));
            format!("tick {tick}, lot {lot}")
        };
        let why = format!(
            "{}: the venue changed {} to {}: this session ends, the next one starts with the new grid",
            before.symbol.as_str(),
            show(before),
            show(next)
        );
        self.event(EventCode::Rules, Severity::Error, &why);
        self.is_stopping = true;
        self.ending = Some(SessionEnd::NewRules(why));
    }
}
