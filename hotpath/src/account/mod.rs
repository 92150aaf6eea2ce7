//! Positions and profit of the account, derived from fills, each counted once.

mod dedup;

pub use dedup::SeenTrades;

use serde::{Deserialize, Serialize};
use tickpath_shared::types::{InstrumentDefinition, Side};

/// Positions of all instruments.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Positions {
    each: Vec<Position>,
}

/// One position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Signed quantity.
    pub qty: i64,
    /// Cost of the open quantity at its average price, quote x 10^8, not negative.
    pub cost_e8: i128,
    /// Realised profit before fees, quote x 10^8.
    pub realized_e8: i128,
    /// Fees paid in the quote currency x 10^8.
    pub fees_e8: i128,
}

impl Positions {
    /// No position in any of `instruments`.
    pub fn new(instruments: usize) -> Self {
        Self { each: vec![Position::default(); instruments] }
    }

    /// Signed quantity of an instrument.
    pub fn qty(&self, instrument: u32) -> i64 {
        self.get(instrument).qty
    }

    /// The position of an instrument.
    pub fn get(&self, instrument: u32) -> &Position {
        &self.each[instrument as usize]
    }

    /// Starts from what the venue shows.
    pub fn start(&mut self, definition: &InstrumentDefinition, qty: i64, entry_price_e8: i64) {
        let position = &mut self.each[definition.instrument as usize];
        let units = i128::from(tickpath_shared::types::decimal::pow10(definition.qty_scale));
        position.qty = qty;
        position.cost_e8 = i128::from(entry_price_e8) * i128::from(qty.abs()) / units;
    }

    /// Applies one execution: average cost, realising on what is closed.
    pub fn fill(&mut self, definition: &InstrumentDefinition, side: Side, price: i64, qty: i64, fee_e8: i64) {
        let position = &mut self.each[definition.instrument as usize];
        position.fees_e8 += i128::from(fee_e8);
        let signed = side.sign() * qty;
        let closed = if position.qty.signum() == -signed.signum() { qty.min(position.qty.abs()) } else { 0 };
        if closed > 0 {
            // The share of the cost that leaves, rounded towards the position that stays.
            let cost_out = position.cost_e8 * i128::from(closed) / i128::from(position.qty.abs());
            let proceeds = definition.notional_e8(price, closed);
            position.realized_e8 += i128::from(position.qty.signum()) * (proceeds - cost_out);
            position.cost_e8 -= cost_out;
        }
        position.cost_e8 += definition.notional_e8(price, qty - closed);
        position.qty += signed;
    }

    /// The state as words, for digests.
    pub fn words(&self) -> impl Iterator<Item = u64> + '_ {
        self.each.iter().flat_map(|p| {
            [
                p.qty as u64,
                p.cost_e8 as u64,
                p.realized_e8 as u64,
                (p.realized_e8 >> 64) as u64,
                p.fees_e8 as u64,
            ]
        })
    }
}

impl Position {
    /// Average entry price x 10^8, 0 when flat.
    pub fn entry_price_e8(&self, definition: &InstrumentDefinition) -> i64 {
        if self.qty == 0 {
            return 0;
        }
        let units = i128::from(tickpath_shared::types::decimal::pow10(definition.qty_scale));
        (self.cost_e8 * units / i128::from(self.qty.abs())) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickpath_shared::types::{Grid, Symbol};

    fn definition() -> InstrumentDefinition {
        let price = Grid { scale: 2, places: 2, step: 1 };
        let qty = Grid { scale: 3, places: 3, step: 1 };
        InstrumentDefinition::on_grids(Symbol::new("AAA").unwrap(), 0, price, qty)
    }

    #[test]
    fn closing_realises_against_the_average_cost() {
        let d = definition();
        let mut positions = Positions::new(1);
        positions.fill(&d, Side::Buy, 10_000, 2_000, 5);
        positions.fill(&d, Side::Buy, 11_000, 2_000, 5);
        assert_eq!(positions.get(0).entry_price_e8(&d), 105 * 100_000_000);
        positions.fill(&d, Side::Sell, 12_000, 1_000, 5);
        assert_eq!((positions.qty(0), positions.get(0).realized_e8), (3_000, 15 * 100_000_000));
        assert_eq!(positions.get(0).fees_e8, 15);
    }

    #[test]
    fn crossing_zero_closes_and_opens() {
        let d = definition();
        let mut positions = Positions::new(1);
        positions.fill(&d, Side::Sell, 10_000, 1_000, 0);
        positions.fill(&d, Side::Buy, 9_000, 3_000, 0);
        assert_eq!((positions.qty(0), positions.get(0).realized_e8), (2_000, 10 * 100_000_000));
        assert_eq!(positions.get(0).entry_price_e8(&d), 90 * 100_000_000);
    }
    #[test]
    fn what_the_venue_shows_is_where_it_starts() {
        let d = definition();
        let mut positions = Positions::new(1);
        positions.start(&d, -1_500, 101 * 100_000_000);
        let shown = Position { qty: -1_500, cost_e8: 15_150_000_000, ..Position::default() };
        assert_eq!(*positions.get(0), shown);
        assert_eq!(shown.entry_price_e8(&d), 101 * 100_000_000);
        positions.fill(&d, Side::Buy, 10_000, 1_500, 0);
        assert_eq!((positions.qty(0), positions.get(0).realized_e8), (0, 150_000_000));
        assert_eq!((positions.get(0).cost_e8, positions.get(0).entry_price_e8(&d)), (0, 0));
    }

    #[test]
    fn every_part_of_a_position_is_in_the_digest() {
        let base = Position { qty: 1, cost_e8: 2, realized_e8: 3, fees_e8: 4 };
        let words = |position: Position| Vec::from_iter(Positions { each: vec![position] }.words());
        assert_eq!(words(base), [1, 2, 3, 0, 4]);
        assert_eq!(words(Position { realized_e8: 5 << 64, ..base }), [1, 2, 0, 5, 4]);
        assert_eq!(words(Position { qty: -1, ..base })[0], u64::MAX);
    }
}
