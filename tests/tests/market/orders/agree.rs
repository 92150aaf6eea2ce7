//! What both ends must agree on.

use super::{
    local::lock,
    world::{EPOCH_MS, MS, SECOND, World},
};
use tickpath_hotpath::message::Notice;
use tickpath_shared::types::{InstrumentDefinition, Side};

impl World {
    /// Checks that both ends agree to the last unit; returns what differs.
    pub fn differences(&self) -> Vec<String> {
        let venue = lock(&self.venue);
        let mut found = Vec::new();
        let mut compare = |what: String, ours: i128, theirs: i128| {
            if ours != theirs {
                found.push(format!("{what}: ours {ours}, the venue's {theirs}"));
            }
        };
        for definition in &self.definitions {
            let index = definition.instrument as usize;
            let position = self.gateway.positions().get(definition.instrument);
            let symbol = definition.symbol.as_str();
            compare(format!("{symbol} position"), position.qty.into(), venue.net_position(index).into());
            let sign = i128::from(position.qty.signum());
            let cash = position.realized_e8 - sign * position.cost_e8 - position.fees_e8;
            let spent = venue.trades().iter().filter(|t| t.instrument == index).map(|t| {
                let e = &t.execution;
                let side = i128::from(t.order.submit.side.sign());
                -side * definition.notional_e8(e.price, e.qty) - i128::from(t.fee_e8)
            });
            compare(format!("{symbol} cash"), cash, spent.sum());
        }
        compare("trades".into(), self.io.seen.fills.into(), venue.trades().len() as i128);
        compare(
            "open orders".into(),
            self.gateway.orders().open() as i128,
            venue.open_orders_count() as i128,
        );
        compare("repeated ids".into(), self.io.repeated_ids.into(), 0);
        let is_alone = self.odds.foreign_every_ms == 0;
        let strange = self.io.notices.iter().filter(|n| is_alone || !matches!(n, Notice::Foreign { .. }));
        compare("notices".into(), strange.count() as i128, 0);
        found
    }

    /// Runs until every position has one stop at the venue that would close it, and nothing else has one; what is wrong
    /// if that never happens.
    pub fn settle_stops(&mut self) -> Option<String> {
        let until = self.now + 60 * SECOND;
        self.run_while(|world| world.now < until && world.stops_astray().is_some());
        self.stops_astray()
    }

    fn stops_astray(&self) -> Option<String> {
        let venue_ms = EPOCH_MS + self.now / MS;
        let stops = self.rest.open_stops(&self.definitions, venue_ms).ok()?;
        let is_astray = |definition: &&InstrumentDefinition| {
            let qty = self.gateway.positions().qty(definition.instrument);
            let sides = stops.iter().filter(|s| s.instrument == definition.instrument).map(|s| s.side);
            let wanted = [Side::Sell, Side::Buy].map(|side| side as u8);
            let wanted = [qty > 0, qty < 0].into_iter().zip(wanted).find_map(|(is, side)| is.then_some(side));
            !sides.eq(wanted)
        };
        let astray = self.definitions.iter().find(is_astray)?;
        let qty = self.gateway.positions().qty(astray.instrument);
        Some(format!("{} holds {qty}, the venue's stops are {stops:?}", astray.symbol.as_str()))
    }
}
