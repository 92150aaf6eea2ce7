//! Both ladders of a book. Deep levels are kept up to a capacity fixed at the start; beyond it the
//! farthest level is dropped and counted.
//!
//! A side is an array sorted so that the best level is last: a change near the touch moves few bytes.

use crate::market::Level;
use serde::{Deserialize, Serialize};

/// Best bid and ask; a side without levels has price and quantity 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Top {
    /// Highest bid.
    pub bid: Level,
    /// Lowest ask.
    pub ask: Level,
}

impl Top {
    /// Bid plus ask, in half price units.
    pub const fn mid_halves(&self) -> i64 {
        self.bid.price + self.ask.price
    }
}

/// The levels of one instrument.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Book {
    bids: Side,
    asks: Side,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Side {
    levels: Vec<Level>,
    capacity: usize,
    is_bid: bool,
    overflows: u64,
    /// Sum of the hashes of all levels: independent of order, kept up to date with every change.
    digest: u64,
}

impl Book {
    /// An empty book that keeps `levels_max` levels a side.
    pub fn new(levels_max: usize) -> Self {
        Self { bids: Side::new(levels_max, true), asks: Side::new(levels_max, false) }
    }

    /// Removes every level.
    pub fn clear(&mut self) {
        self.bids.clear();
        self.asks.clear();
    }

    /// Applies absolute quantities; zero removes, removing an unknown level is normal.
    pub fn apply(&mut self, bids: &[Level], asks: &[Level]) {
        bids.iter().for_each(|&level| self.bids.set(level));
        asks.iter().for_each(|&level| self.asks.set(level));
    }

    /// Best bid and ask.
    #[inline]
    pub fn top(&self) -> Top {
        Top { bid: self.bids.best(), ask: self.asks.best() }
    }

    /// Bid levels, best first.
    pub fn bids(&self) -> impl Iterator<Item = Level> + '_ {
        self.bids.levels.iter().rev().copied()
    }

    /// Ask levels, best first.
    pub fn asks(&self) -> impl Iterator<Item = Level> + '_ {
        self.asks.levels.iter().rev().copied()
    }

    /// Quantity at a price on the bid or ask side, 0 when there is none.
    pub fn qty_at(&self, is_bid: bool, price: i64) -> i64 {
        let side = if is_bid { &self.bids } else { &self.asks };
        side.position(price).map_or(0, |at| side.levels[at].qty)
    }

    /// Levels dropped because a side was full.
    pub fn overflows(&self) -> u64 {
        self.bids.overflows + self.asks.overflows
    }

    /// Hash of all levels.
    pub fn digest(&self) -> u64 {
        self.bids.digest ^ self.asks.digest.rotate_left(32)
    }
}

impl Side {
    fn new(capacity: usize, is_bid: bool) -> Self {
        // One more: a level is inserted before the farthest is dropped.
        Self { levels: Vec::with_capacity(capacity + 1), capacity, is_bid, overflows: 0, digest: 0 }
    }

    fn clear(&mut self) {
        self.levels.clear();
        self.digest = 0;
    }

    #[inline]
    fn best(&self) -> Level {
        self.levels.last().copied().unwrap_or_default()
    }

    /// Sort key: ascending towards the best.
    #[inline]
    fn key(&self, price: i64) -> i64 {
        if self.is_bid { price } else { -price }
    }

    fn position(&self, price: i64) -> Result<usize, usize> {
        let key = self.key(price);
        self.levels.binary_search_by(|level| self.key(level.price).cmp(&key))
    }

    fn set(&mut self, level: Level) {
        match (self.position(level.price), level.qty) {
            (Ok(at), 0) => {
                let old = self.levels.remove(at);
                self.digest = self.digest.wrapping_sub(hash(old));
            }
            (Ok(at), _) => {
                let old = std::mem::replace(&mut self.levels[at], level);
                self.digest = self.digest.wrapping_sub(hash(old)).wrapping_add(hash(level));
            }
            (Err(_), 0) => {}
            (Err(at), _) => self.insert(at, level),
        }
    }

    fn insert(&mut self, at: usize, level: Level) {
        self.levels.insert(at, level);
        self.digest = self.digest.wrapping_add(hash(level));
        if self.levels.len() > self.capacity {
            let farthest = self.levels.remove(0);
            self.digest = self.digest.wrapping_sub(hash(farthest));
            self.overflows += 1;
        }
    }
}

/// A level as one well-mixed word (the finaliser of splitmix64).
#[inline]
fn hash(level: Level) -> u64 {
    let mut z = (level.price as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (level.qty as u64).rotate_left(29);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_farthest_level_is_dropped_and_counted() {
        let mut book = Book::new(3);
        for price in [100, 99, 98, 97, 101] {
            book.apply(&[Level { price, qty: 1 }], &[]);
        }
        assert_eq!(book.bids().map(|l| l.price).collect::<Vec<_>>(), [101, 100, 99]);
        assert_eq!(book.overflows(), 2);
    }

    proptest! {
        #[test]
        fn agrees_with_a_map(changes in prop::collection::vec((any::<bool>(), 1_i64..60, 0_i64..4), 0..400)) {
            let mut book = Book::new(100);
            let mut naive: [BTreeMap<i64, i64>; 2] = Default::default();
            for (is_bid, price, qty) in changes {
                let level = [Level { price, qty }];
                if is_bid { book.apply(&level, &[]) } else { book.apply(&[], &level) }
                let side = &mut naive[usize::from(is_bid)];
                if qty == 0 { side.remove(&price); } else { side.insert(price, qty); }
                let best = |entry: Option<(&i64, &i64)>| entry.map_or(Level::default(), |(&price, &qty)| Level { price, qty });
                let expected = Top { bid: best(naive[1].last_key_value()), ask: best(naive[0].first_key_value()) };
                prop_assert_eq!(book.top(), expected);
            }
            let bids: Vec<_> = book.bids().map(|l| (l.price, l.qty)).collect();
            prop_assert_eq!(bids, naive[1].iter().rev().map(|(&p, &q)| (p, q)).collect::<Vec<_>>());
            let mut again = Book::new(100);
            let levels: Vec<_> = book.asks().collect();
            again.apply(&book.bids().collect::<Vec<_>>(), &levels);
            prop_assert_eq!(again.digest(), book.digest());
        }
    }
}
