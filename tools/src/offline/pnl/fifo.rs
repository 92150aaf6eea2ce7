//! Profit by lots: what was bought first is sold first.

use std::collections::VecDeque;
use tickpath_shared::types::{InstrumentDefinition, Side};

/// Open lots of one instrument, all on one side, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lots {
    /// Signed quantity and price of each.
    open: VecDeque<(i64, i64)>,
    realized_e8: i128,
}

impl Lots {
    /// Starts with one lot, as the venue shows the position; prices finer than a unit are rounded.
    pub fn start(&mut self, definition: &InstrumentDefinition, qty: i64, entry_price_e8: i64) {
        self.open.clear();
        if qty != 0 {
            let unit = definition.price_to_e8(1).max(1);
            let price = ((i128::from(entry_price_e8) + unit / 2) / unit) as i64;
            self.open.push_back((qty, price));
        }
    }

    /// Books an execution; returns what it realises x 10^8, before fees.
    pub fn fill(&mut self, definition: &InstrumentDefinition, side: Side, price: i64, qty: i64) -> i128 {
        let (mut left, mut realized) = (side.sign() * qty, 0);
        while left != 0
            && let Some((lot, cost)) = self.open.front_mut()
            && lot.signum() != left.signum()
        {
            let closed = left.abs().min(lot.abs());
            let gain = definition.notional_e8(price, closed) - definition.notional_e8(*cost, closed);
            realized += i128::from(lot.signum()) * gain;
            left -= left.signum() * closed;
            *lot -= lot.signum() * closed;
            if *lot == 0 {
                self.open.pop_front();
            }
        }
        if left != 0 {
            self.open.push_back((left, price));
        }
        self.realized_e8 += realized;
        realized
    }

    /// Profit realised so far x 10^8, before fees.
    pub fn realized_e8(&self) -> i128 {
        self.realized_e8
    }

    /// Signed quantity that is open.
    pub fn qty(&self) -> i64 {
        self.open.iter().map(|(qty, _)| qty).sum()
    }

    /// What the open lots cost x 10^8, short ones negative.
    pub fn cost_e8(&self, definition: &InstrumentDefinition) -> i128 {
        self.open.iter().map(|(qty, price)| definition.notional_e8(*price, *qty)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickpath_shared::types::{Grid, Symbol};

    #[test]
    fn what_came_first_goes_first_also_through_zero() {
        let price = Grid { scale: 2, places: 2, step: 1 };
        let qty = Grid { scale: 3, places: 3, step: 1 };
        let d = InstrumentDefinition::on_grids(Symbol::new("AAA").unwrap(), 0, price, qty);
        let one = 100_000_000;
        let mut lots = Lots::default();
        assert_eq!(lots.fill(&d, Side::Buy, 10_000, 1_000), 0);
        assert_eq!(lots.fill(&d, Side::Buy, 11_000, 1_000), 0);
        assert_eq!(lots.fill(&d, Side::Sell, 12_000, 1_500), 20 * one + 5 * one);
        assert_eq!((lots.qty(), lots.cost_e8(&d)), (500, 55 * one));
        assert_eq!(lots.fill(&d, Side::Sell, 10_000, 1_500), -5 * one);
        assert_eq!((lots.qty(), lots.cost_e8(&d)), (-1_000, -100 * one));
        assert_eq!(lots.fill(&d, Side::Buy, 9_000, 1_000), 10 * one);
        assert_eq!((lots.realized_e8(), lots.qty()), (30 * one, 0));
        lots.start(&d, -2_000, 101 * 100_000_000);
        assert_eq!((lots.qty(), lots.cost_e8(&d)), (-2_000, -202 * one));
    }
}
