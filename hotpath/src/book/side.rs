//! One side of a book: pages of adjacent prices near the touch, a hash table for the rest.
//!
//! Prices are counted in ticks; for asks the count is mirrored, so that the best level always has the highest
//! key. Pages that share a place in the pool are 65,536 ticks apart: whichever was near the best level last has it,
//! and the levels of the others are in the table. A page that is displaced moves its levels there, unless the table
//! has too many: bounded work, no allocation.

use super::{
    bits::BitSet,
    divisor::Divisor,
    far::{FAR_MAX, FarLevels, SLACK},
    pool::{NEAR, PAGE, PAGE_BITS, Pool},
};
use crate::{market::Level, pages};
use std::ops::Range;

/// Ticks a price may have; levels beyond are dropped and counted.
const KEYS: u64 = (BitSet::BOUND * PAGE) as u64;
/// Levels kept that lie between two ticks.
const OFF_TICK_MAX: usize = 1024;

/// Levels of one side.
#[derive(Clone, Debug)]
pub(super) struct Side {
    tick: Divisor,
    tick_units: i64,
    /// Prices with this many ticks or more, or between two ticks, are not on a page.
    ticks_bound: u64,
    /// Mirrors the ticks of asks.
    flip: u32,
    pool: Pool,
    far: FarLevels,
    far_max: usize,
    /// Levels in the table by page number.
    far_counts: Vec<u16>,
    far_pages: BitSet,
    /// Levels between ticks, the best last.
    off_tick: Vec<Level>,
    /// Highest key plus one; 0 for no level on a tick.
    best: u32,
    /// The best level, on a tick or between two.
    top: Level,
    overflows: u64,
    /// Sum of [`change_of`] of all levels on a tick, and of what those between ticks add to the digest.
    sums: [u64; 2],
    /// Key below which levels may be missing.
    trusted: u32,
}

impl Side {
    pub(super) fn new(is_bid: bool, tick_units: i64, far_max: usize) -> Self {
        let tick = Divisor::new(tick_units);
        Self {
            tick,
            tick_units: tick_units.max(1),
            ticks_bound: tick.rotations_bound(KEYS),
            flip: if is_bid { 0 } else { (KEYS - 1) as u32 },
            pool: Pool::new(),
            far: FarLevels::new(),
            far_max: far_max.clamp(1, FAR_MAX),
            far_counts: pages::zeros(BitSet::BOUND),
            far_pages: BitSet::new(),
            off_tick: pages::room(OFF_TICK_MAX),
            best: 0,
            top: Level::default(),
            overflows: 0,
            sums: [0; 2],
            trusted: 0,
        }
    }

    fn is_bid(&self) -> bool {
        self.flip == 0
    }

    /// Sets quantities at prices; 0 removes. What changes in the digest is summed up apart: it lies in a register
    /// while the levels go by.
    #[inline(always)]
    pub(super) fn apply(&mut self, levels: &[Level]) {
        let mut change = 0_u64;
        for level in levels {
            let ticks = self.tick.rotated(level.price);
            if ticks >= self.ticks_bound {
                self.set_elsewhere(*level);
                continue;
            }
            let key = ticks as u32 ^ self.flip;
            if !self.pool.has(key >> PAGE_BITS) {
                self.set_outside(key, level.qty);
                continue;
            }
            change = change.wrapping_add(self.set_in(key, level.qty));
        }
        self.sums[0] = self.sums[0].wrapping_add(change);
    }

    /// A price that no page has room for.
    #[cold]
    #[inline(never)]
    fn set_elsewhere(&mut self, level: Level) {
        match self.tick.quotient(level.price) {
            Some(_) => self.overflows += u64::from(level.qty != 0),
            None => self.set_off_tick(level),
        }
    }

    /// Sets a quantity on a page of the pool; returns what that changes in the digest.
    #[inline(always)]
    fn set_in(&mut self, key: u32, qty: i64) -> u64 {
        let before = self.pool.replace(key, qty);
        if key + 1 >= self.best {
            self.touch_best(key, qty);
        }
        change_of(key, before, qty)
    }

    /// The best level changed, or a better one came.
    #[cold]
    #[inline(never)]
    fn touch_best(&mut self, key: u32, qty: i64) {
        if qty != 0 {
            self.best = key + 1;
        } else if key + 1 == self.best {
            self.find_best();
        }
        self.find_top();
    }

    /// Compares the best levels on and between ticks.
    fn find_top(&mut self) {
        let on_tick = match self.best {
            0 => Level::default(),
            above => Level { price: self.price(above - 1), qty: self.qty_of(above - 1) },
        };
        self.top = match self.off_tick.last() {
            Some(&level) if self.best == 0 || self.is_better(level.price, on_tick.price) => level,
            _ => on_tick,
        };
    }

    /// Keeps the digest.
    #[inline(always)]
    fn note(&mut self, key: u32, before: i64, qty: i64) {
        self.sums[0] = self.sums[0].wrapping_add(change_of(key, before, qty));
    }

    /// A level of a page that is not in the pool.
    #[cold]
    #[inline(never)]
    fn set_outside(&mut self, key: u32, qty: i64) {
        let number = key >> PAGE_BITS;
        let is_near = number + NEAR > self.best >> PAGE_BITS;
        if qty != 0 && is_near && self.far.len() <= self.far_max + SLACK {
            self.bring_in(number);
            let change = self.set_in(key, qty);
            self.sums[0] = self.sums[0].wrapping_add(change);
            return;
        }
        let before = if qty == 0 { self.far.remove(key) } else { self.far.set(key, qty) };
        self.note(key, before, qty);
        self.count_far(number, i32::from(qty != 0) - i32::from(before != 0));
        if key + 1 >= self.best {
            self.touch_best(key, qty);
        }
        self.trim();
    }

    fn count_far(&mut self, number: u32, change: i32) {
        let at = number as usize;
        let count = (i32::from(self.far_counts[at]) + change) as u16;
        self.far_counts[at] = count;
        if count == 0 && change < 0 {
            self.far_pages.remove(at);
        } else if change > 0 && count == 1 {
            self.far_pages.insert(at);
        }
    }

    /// Puts a page into the pool with what the table has of it.
    #[inline(never)]
    fn bring_in(&mut self, number: u32) {
        self.displace(self.pool.rival(number));
        self.pool.admit(number);
        let mut left = std::mem::take(&mut self.far_counts[number as usize]);
        if left == 0 {
            return self.trim();
        }
        // Work enough for one update: what the table has too much of goes with a later one.
        self.far_pages.remove(number as usize);
        for key in keys_of(number) {
            if left == 0 {
                break;
            }
            let qty = self.far.remove(key);
            if qty != 0 {
                left -= 1;
                self.pool.put(key, qty);
            }
        }
    }

    /// Moves the levels of a page of the pool to the table.
    fn displace(&mut self, number: u32) {
        let (far, mut count) = (&mut self.far, 0);
        self.pool.take(number, |key, qty| {
            far.set(key, qty);
            count += 1;
        });
        if count > 0 {
            self.far_counts[number as usize] = count;
            self.far_pages.insert(number as usize);
        }
    }

    /// Gives up one level of what the table holds beyond its limit. One an update is enough: a table that is far
    /// above its limit gets no more than one.
    fn trim(&mut self) {
        if self.far.len() > self.far_max {
            self.drop_farthest();
        }
    }

    /// Gives up the level of the table that is farthest from the touch. Those of the pool stay, wherever the touch
    /// has gone to since they came.
    #[cold]
    #[inline(never)]
    fn drop_farthest(&mut self) {
        let Some(number) = self.far_pages.lowest() else { return };
        let number = number as u32;
        let Some(key) = keys_of(number).find(|&key| self.far.get(key) != 0) else {
            unreachable!("a counted page has a level")
        };
        let qty = self.far.remove(key);
        self.note(key, qty, 0);
        self.count_far(number, -1);
        self.overflows += 1;
        self.trusted = self.trusted.max(key + 1);
    }

    /// Looks for the best level on a tick after the one before went.
    #[cold]
    fn find_best(&mut self) {
        let before = self.best - 1;
        let number = before >> PAGE_BITS;
        let own = if self.pool.has(number) { self.pool.highest(before) } else { None };
        let far = self.far_pages.highest().map(|number| number as u32);
        let in_pool = || self.pool.highest_of(far.map_or(0, |far| far + 1)..number);
        let found = own.or_else(in_pool);
        let in_table = || keys_of(far?).rev().find(|&key| self.far.get(key) != 0);
        self.best = found.or_else(in_table).map_or(0, |key| key + 1);
    }

    /// Best level; price and quantity 0 without any.
    #[inline]
    pub(super) fn best(&self) -> Level {
        self.top
    }

    fn is_better(&self, price: i64, other: i64) -> bool {
        if self.is_bid() { price > other } else { price < other }
    }

    #[inline]
    fn price(&self, key: u32) -> i64 {
        i64::from(key ^ self.flip) * self.tick_units
    }

    /// Quantity at a price, 0 when there is none.
    pub(super) fn qty_at(&self, price: i64) -> i64 {
        match self.tick.quotient(price) {
            Some(ticks) if ticks < KEYS => self.qty_of(ticks as u32 ^ self.flip),
            _ => self.off_tick.iter().find(|l| l.price == price).map_or(0, |l| l.qty),
        }
    }

    fn qty_of(&self, key: u32) -> i64 {
        if self.pool.has(key >> PAGE_BITS) { self.pool.get(key) } else { self.far.get(key) }
    }

    #[cold]
    #[inline(never)]
    fn set_off_tick(&mut self, level: Level) {
        let is_bid = self.is_bid();
        let order = |other: &Level| if is_bid { other.price } else { -other.price };
        let wanted = if is_bid { level.price } else { -level.price };
        let found = self.off_tick.binary_search_by_key(&wanted, order);
        let weight = (level.price as u64).wrapping_mul(0xd6e8_feb8_6659_fd93) | 1;
        let before = found.map_or(0, |at| self.off_tick[at].qty);
        match (found, level.qty) {
            (Ok(at), 0) => {
                self.off_tick.remove(at);
            }
            (Ok(at), qty) => self.off_tick[at].qty = qty,
            (Err(_), 0) => {}
            (Err(_), _) if self.off_tick.len() == OFF_TICK_MAX => {
                self.overflows += 1;
                return;
            }
            (Err(at), _) => self.off_tick.insert(at, level),
        }
        let change = level.qty.wrapping_sub(before) as u64;
        self.sums[1] = self.sums[1].wrapping_add(weight.wrapping_mul(change));
        self.find_top();
    }

    pub(super) fn clear(&mut self) {
        self.pool.clear(self.best != 0);
        while let Some(number) = self.far_pages.highest() {
            self.far_pages.remove(number);
            self.far_counts[number] = 0;
        }
        self.far.clear();
        self.off_tick.clear();
        (self.best, self.sums, self.trusted) = (0, [0; 2], 0);
        self.top = Level::default();
    }

    pub(super) fn overflows(&self) -> u64 {
        self.overflows
    }

    pub(super) fn set_overflows(&mut self, overflows: u64) {
        self.overflows = overflows;
    }

    pub(super) fn digest(&self) -> u64 {
        self.sums[0].wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(self.sums[1])
    }

    /// Levels beyond this price were never seen.
    pub(super) fn trust_to(&mut self, price: i64) {
        let ticks = (price / self.tick_units) as u64;
        if ticks < KEYS {
            // What was dropped on the way stays unknown.
            self.trusted = self.trusted.max(ticks as u32 ^ self.flip);
        }
    }

    /// Worst price up to which no level is missing.
    pub(super) fn trusted_to(&self) -> i64 {
        self.price(self.trusted)
    }

    /// Levels, best first.
    pub(super) fn levels(&self) -> impl Iterator<Item = Level> + '_ {
        let mut on_tick = Keys { side: self, above: (self.best != 0).then_some(self.best) }
            .map(|key| Level { price: self.price(key), qty: self.qty_of(key) })
            .peekable();
        let mut off_tick = self.off_tick.iter().rev().copied().peekable();
        std::iter::from_fn(move || match (on_tick.peek(), off_tick.peek()) {
            (Some(on), Some(off)) if self.is_better(off.price, on.price) => off_tick.next(),
            (None, Some(_)) => off_tick.next(),
            _ => on_tick.next(),
        })
    }
}

/// Keys with a level, highest first.
struct Keys<'s> {
    side: &'s Side,
    /// Where to look next: below this key.
    above: Option<u32>,
}

impl Iterator for Keys<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        loop {
            let above = self.above?;
            let page = (above - 1) >> PAGE_BITS;
            let first = page << PAGE_BITS;
            let found = if self.side.pool.has(page) {
                self.side.pool.highest(above - 1)
            } else {
                (first..above).rev().find(|&key| self.side.far.get(key) != 0)
            };
            if let Some(key) = found {
                self.above = if key == first { self.page_below(page) } else { Some(key) };
                return Some(key);
            }
            self.above = self.page_below(page);
        }
    }
}

impl Keys<'_> {
    fn page_below(&self, page: u32) -> Option<u32> {
        let far = self.side.far_pages.below(page as usize).map(|page| page as u32);
        self.side.pool.below(page).max(far).map(|page| (page + 1) << PAGE_BITS)
    }
}

/// What a quantity's change adds to the sum behind the digest: linear in the quantity, so that one level's change
/// needs nothing of the others.
#[inline(always)]
fn change_of(key: u32, before: i64, qty: i64) -> u64 {
    (u64::from(key) << 1 | 1).wrapping_mul(qty.wrapping_sub(before) as u64)
}

/// Keys of a page, lowest first.
fn keys_of(number: u32) -> Range<u32> {
    number << PAGE_BITS..(number + 1) << PAGE_BITS
}
