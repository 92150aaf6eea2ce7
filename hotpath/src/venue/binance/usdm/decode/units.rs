//! How an instrument's prices and quantities stand in a text, as tables for the kernels and for the way without them.

use super::{lanes::Pair, shapes::Shapes};
use crate::{book::Divisor, wire::simd::LevelRows};
use tickpath_shared::types::{InstrumentDefinition, decimal::pow10};

/// Tables of one instrument.
pub(super) struct Units {
    /// Of levels, for the kernels.
    pub(super) rows: LevelRows,
    pub(super) tick: Divisor,
    /// Of levels, for processors without the kernels' vectors.
    pub(super) shapes: Shapes,
    scales: [usize; 2],
    /// Decimal places of price and quantity that the tables are for.
    places: [usize; 2],
    factors: Pair,
}

impl Units {
    /// Tables for the decimals in which the venue is expected to write.
    pub(super) fn new(definition: &InstrumentDefinition) -> Self {
        let scales = [definition.price_scale, definition.qty_scale].map(usize::from);
        let mut units = Self {
            rows: LevelRows::new(scales, scales),
            tick: Divisor::new(definition.tick),
            shapes: Shapes::new(),
            scales,
            places: scales,
            factors: Pair([1; 2]),
        };
        units.set(scales);
        units
    }

    /// True while nine digits before the point cannot exceed 64 bits.
    pub(super) fn is_narrow(&self) -> bool {
        self.scales.iter().all(|&scale| scale <= 9)
    }

    /// Decimal places of the texts of price and quantity.
    pub(super) fn places(&self) -> [usize; 2] {
        self.places
    }

    /// What price and quantity read without their points are multiplied by: less than 32 bits of narrow units.
    pub(super) fn factors(&self) -> &Pair {
        &self.factors
    }

    /// Changes the tables in place; places beyond the scale leave them as they are.
    fn set(&mut self, places: [usize; 2]) {
        if places[0] > self.scales[0] || places[1] > self.scales[1] {
            return;
        }
        self.rows.set(places, self.scales);
        self.places = places;
        self.shapes.set(places);
        self.factors = Pair([0, 1].map(|i| pow10((self.scales[i] - places[i]) as u8) as u64));
    }

    /// Takes the decimals from the first level of a diff that the walk decoded. Dear where they are others than before: a
    /// venue writes those of an instrument alike.
    pub(super) fn learn(&mut self, frame: &[u8]) {
        let mut amounts = frame.split(|&byte| byte == b'"').filter_map(places_of);
        if let (Some(price), Some(qty)) = (amounts.next(), amounts.next())
            && [price, qty] != self.places
        {
            self.set([price, qty]);
        }
    }
}

/// Decimal places of a text that is a plain decimal.
fn places_of(text: &[u8]) -> Option<usize> {
    let point = text.iter().position(|&byte| byte == b'.');
    let is_plain = !text.is_empty()
        && text.iter().enumerate().all(|(i, byte)| byte.is_ascii_digit() || Some(i) == point);
    is_plain.then(|| point.map_or(0, |point| text.len() - point - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_counted() {
        assert_eq!(places_of(b"61800.20"), Some(2));
        assert_eq!(places_of(b"813"), Some(0));
        assert_eq!(places_of(b"BTCUSDT"), None);
        assert_eq!(places_of(b":5123107839020,"), None);
    }
}
