//! Both sides of a book. Near the touch a change is a few instructions; deep levels are kept up to a stated
//! capacity, beyond which the farthest one is dropped and counted.

use super::side::Side;
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
    /// Both sides are there, and the bid is below the ask.
    #[inline(always)]
    pub const fn is_sound(&self) -> bool {
        self.bid.qty > 0 && self.ask.qty > 0 && 0 < self.bid.price && self.bid.price < self.ask.price
    }

    /// Bid plus ask, in half price units.
    pub const fn mid_halves(&self) -> i64 {
        self.bid.price + self.ask.price
    }
}

/// The levels of one instrument.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Saved", into = "Saved")]
pub struct Book {
    bids: Side,
    asks: Side,
    tick: i64,
    far_max: usize,
}

impl Book {
    /// An empty book of prices in steps of `tick` units, which keeps `far_max` levels a side beyond those near
    /// the touch, at most 65,536. Prices between two ticks are kept too; those of 67,108,864 ticks or more are left out
    /// and counted as overflows.
    pub fn new(tick: i64, far_max: usize) -> Self {
        Self { bids: Side::new(true, tick, far_max), asks: Side::new(false, tick, far_max), tick, far_max }
    }

    /// Removes every level.
    pub fn clear(&mut self) {
        self.bids.clear();
        self.asks.clear();
    }

    /// Applies absolute quantities; zero removes, removing an unknown level is normal.
    #[inline]
    pub fn apply(&mut self, bids: &[Level], asks: &[Level]) {
        self.bids.apply(bids);
        self.asks.apply(asks);
    }

    /// Replaces everything by a snapshot, whose levels come best first: what lies beyond its last ones is not
    /// known.
    pub fn replace(&mut self, bids: &[Level], asks: &[Level]) {
        self.clear();
        self.apply(bids, asks);
        for (side, levels) in [(&mut self.bids, bids), (&mut self.asks, asks)] {
            if let Some(last) = levels.last() {
                side.trust_to(last.price);
            }
        }
    }

    /// Best bid and ask.
    #[inline]
    pub fn top(&self) -> Top {
        Top { bid: self.bids.best(), ask: self.asks.best() }
    }

    /// Bid levels, best first.
    pub fn bids(&self) -> impl Iterator<Item = Level> + '_ {
        self.bids.levels()
    }

    /// Ask levels, best first.
    pub fn asks(&self) -> impl Iterator<Item = Level> + '_ {
        self.asks.levels()
    }

    /// Quantity at a price on the bid or ask side, 0 when there is none.
    pub fn qty_at(&self, is_bid: bool, price: i64) -> i64 {
        if is_bid { self.bids.qty_at(price) } else { self.asks.qty_at(price) }
    }

    /// Worst prices, bid and ask, up to which no level is missing: the snapshot's last ones, or where levels
    /// were dropped for want of room.
    pub fn trusted_to(&self) -> [i64; 2] {
        [self.bids.trusted_to(), self.asks.trusted_to()]
    }

    /// Levels dropped because a side was full.
    pub fn overflows(&self) -> u64 {
        self.bids.overflows() + self.asks.overflows()
    }

    /// Hash of all levels.
    pub fn digest(&self) -> u64 {
        self.bids.digest() ^ self.asks.digest().rotate_left(32)
    }
}

/// A book as it is stored.
#[derive(Serialize, Deserialize)]
struct Saved {
    tick: i64,
    far_max: usize,
    bids: Vec<Level>,
    asks: Vec<Level>,
    trusted_to: [i64; 2],
    overflows: u64,
}

impl From<Book> for Saved {
    fn from(book: Book) -> Self {
        Self {
            tick: book.tick,
            far_max: book.far_max,
            bids: book.bids().collect(),
            asks: book.asks().collect(),
            trusted_to: book.trusted_to(),
            overflows: book.overflows(),
        }
    }
}

impl From<Saved> for Book {
    fn from(saved: Saved) -> Self {
        let mut book = Self::new(saved.tick, saved.far_max);
        // The worst first, so that each is near the best one when it comes: what the pool had of levels far from
        // the touch is there again.
        for bid in saved.bids.iter().rev() {
            book.bids.apply(std::slice::from_ref(bid));
        }
        for ask in saved.asks.iter().rev() {
            book.asks.apply(std::slice::from_ref(ask));
        }
        book.bids.trust_to(saved.trusted_to[0]);
        book.asks.trust_to(saved.trusted_to[1]);
        book.bids.set_overflows(saved.overflows);
        book.asks.set_overflows(0);
        book
    }
}

#[cfg(test)]
mod tests;
