//! One side of a book: pages of adjacent prices near the touch, a hash table for the rest.
//!
//! Prices are counted in ticks; for asks the count is mirrored, so that the best level always has the highest
//! key. A page holds 512 keys and a bit for each; a fixed pool of them covers whatever is near the touch, and
//! the best level's page is always one of them. A page that is needed takes the place of the one farthest from
//! the touch, whose levels move to the table: bounded work, no allocation.

use super::{
    bits::BitSet,
    divisor::Divisor,
    far::{FAR_MAX, FarLevels},
};
use crate::{market::Level, pages};

/// Keys of a page.
const PAGE: usize = 512;
const PAGE_BITS: u32 = PAGE.trailing_zeros();
const WORDS: usize = PAGE / 64;
/// Pages in the pool. Slot 0 is none.
const POOL: usize = 128;
/// Ticks a price may have; levels beyond are dropped and counted.
const KEYS: u64 = (BitSet::BOUND * PAGE) as u64;
/// Levels kept that lie between two ticks.
const OFF_TICK_MAX: usize = 1024;

/// Quantities of adjacent keys, 0 where there is no level.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Cells([i64; PAGE]);

impl Default for Cells {
    fn default() -> Self {
        Self([0; PAGE])
    }
}

/// A bit for each key of a page that is a level.
type Bits = [u64; WORDS];

fn count(bits: &Bits) -> u16 {
    bits.iter().map(|word| word.count_ones() as u16).sum()
}

/// Levels of one side.
#[derive(Clone, Debug)]
pub(super) struct Side {
    tick: Divisor,
    tick_units: i64,
    /// Prices with this many ticks or more, or between two ticks, are not on a page.
    ticks_bound: u64,
    /// Mirrors the ticks of asks.
    flip: u32,
    /// Slot of every page number; 0 for those outside the pool.
    slots: Box<[u8; BitSet::BOUND]>,
    /// Page number of every slot.
    numbers: [u32; POOL],
    used: usize,
    /// The pool, by slot.
    cells: Box<[Cells; POOL]>,
    bits: Box<[Bits; POOL]>,
    /// Lowest page number of the pool while it is full.
    farthest: u32,
    /// Page numbers that may have a level: out of the pool those that do, in the pool all up to the best level's.
    /// Whether a page of the pool still has one is looked at when the best level is looked for.
    pages: BitSet,
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
            slots: boxed(),
            numbers: [0; POOL],
            used: 1,
            cells: boxed(),
            bits: boxed(),
            farthest: 0,
            pages: BitSet::new(),
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
            let slot = usize::from(self.slots[(key >> PAGE_BITS) as usize % BitSet::BOUND]);
            if slot == 0 {
                self.set_outside(key, level.qty);
                continue;
            }
            change = change.wrapping_add(self.set_in(slot, key, level.qty));
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
    fn set_in(&mut self, slot: usize, key: u32, qty: i64) -> u64 {
        let within = key as usize % PAGE;
        let before = std::mem::replace(&mut self.cells[slot % POOL].0[within], qty);
        let word = &mut self.bits[slot % POOL][within / 64];
        *word = *word & !(1 << (within % 64)) | u64::from(qty != 0) << (within % 64);
        if key + 1 >= self.best {
            self.touch_best(key, qty);
        }
        change_of(key, before, qty)
    }

    /// Sets a quantity on a page that has just come into the pool.
    fn set_near(&mut self, key: u32, qty: i64) {
        let slot = usize::from(self.slots[(key >> PAGE_BITS) as usize]);
        let change = self.set_in(slot, key, qty);
        self.sums[0] = self.sums[0].wrapping_add(change);
    }

    /// The best level changed, or a better one came.
    #[cold]
    #[inline(never)]
    fn touch_best(&mut self, key: u32, qty: i64) {
        if qty != 0 {
            self.raise_best(key);
        } else if key + 1 == self.best {
            self.find_best();
        }
        self.find_top();
    }

    /// A better level than all others, and with it pages that were found empty on the way down.
    fn raise_best(&mut self, key: u32) {
        let number = key >> PAGE_BITS;
        let above = self.best.checked_sub(1).map_or(0, |best| (best >> PAGE_BITS) + 1);
        if above <= number {
            for at in &self.numbers[1..self.used] {
                if (above..=number).contains(at) {
                    self.pages.insert(*at as usize);
                }
            }
        }
        self.best = key + 1;
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
        if qty != 0 && (self.used < POOL || key + 1 > self.best || number > self.farthest) {
            self.bring_in(number);
            return self.set_near(key, qty);
        }
        let before = if qty == 0 { self.far.remove(key) } else { self.far.set(key, qty) };
        self.note(key, before, qty);
        self.count_far(number, i32::from(qty != 0) - i32::from(before != 0));
        self.trim();
    }

    fn count_far(&mut self, number: u32, change: i32) {
        let at = number as usize;
        let count = (i32::from(self.far_counts[at]) + change) as u16;
        self.far_counts[at] = count;
        if count == 0 && change < 0 {
            self.pages.remove(at);
            self.far_pages.remove(at);
        } else if i32::from(count) == change {
            self.pages.insert(at);
            self.far_pages.insert(at);
        }
    }

    /// Puts a page into the pool with what the table has of it.
    #[inline(never)]
    fn bring_in(&mut self, number: u32) {
        let slot = if self.used < POOL {
            self.used += 1;
            self.used - 1
        } else {
            let slot = self.least_needed();
            self.evict(slot);
            slot
        };
        self.numbers[slot] = number;
        self.slots[number as usize] = slot as u8;
        self.pages.insert(number as usize);
        let mut left = std::mem::take(&mut self.far_counts[number as usize]);
        self.far_pages.remove(number as usize);
        for within in 0..PAGE {
            if left == 0 {
                break;
            }
            let qty = self.far.remove((number << PAGE_BITS) + within as u32);
            if qty != 0 {
                left -= 1;
                self.cells[slot].0[within] = qty;
                self.bits[slot][within / 64] |= 1 << (within % 64);
            }
        }
        self.farthest = self.numbers[1..self.used].iter().copied().min().unwrap_or(0);
    }

    /// The slot to give up: an empty page costs nothing, otherwise the one farthest from the touch.
    fn least_needed(&self) -> usize {
        let cost = |&slot: &usize| (count(&self.bits[slot]) > 0, self.numbers[slot]);
        (1..POOL).min_by_key(cost).unwrap_or(1)
    }

    /// Moves the levels of a slot's page to the table.
    fn evict(&mut self, slot: usize) {
        let number = self.numbers[slot];
        self.slots[number as usize] = 0;
        let (cells, bits) = (&mut self.cells[slot].0, &mut self.bits[slot]);
        let count = count(bits);
        for (word, bits) in bits.iter_mut().enumerate() {
            while let Some(within) = lowest(*bits).map(|bit| word * 64 + bit) {
                *bits &= *bits - 1;
                self.far.set((number << PAGE_BITS) + within as u32, std::mem::take(&mut cells[within]));
            }
        }
        if count > 0 {
            self.far_counts[number as usize] = count;
            self.far_pages.insert(number as usize);
        } else {
            self.pages.remove(number as usize);
        }
        self.trim();
    }

    /// Gives up one level of what the table holds beyond its limit. One an update is enough: a page that came in
    /// at once took as many updates to fill as it has levels, so the table is never far above its limit.
    fn trim(&mut self) {
        if self.far.len() > self.far_max {
            self.drop_farthest();
        }
    }

    /// Gives up the level farthest from the touch.
    #[cold]
    #[inline(never)]
    fn drop_farthest(&mut self) {
        let Some(number) = self.far_pages.lowest() else { return };
        let first = (number << PAGE_BITS) as u32;
        let found = (first..first + PAGE as u32).find(|&key| self.far.get(key) != 0);
        let Some(key) = found else { unreachable!("a counted page has a level") };
        let qty = self.far.remove(key);
        self.note(key, qty, 0);
        self.count_far(number as u32, -1);
        self.overflows += 1;
        self.trusted = self.trusted.max(key + 1);
    }

    /// Looks for the best level on a tick and brings its page in.
    #[cold]
    fn find_best(&mut self) {
        self.best = 0;
        while let Some(number) = self.pages.highest() {
            if self.slots[number] == 0 {
                self.bring_in(number as u32);
            }
            let words = &self.bits[usize::from(self.slots[number])];
            if let Some(word) = (0..WORDS).rev().find(|&word| words[word] != 0) {
                let within = word * 64 + 63 - words[word].leading_zeros() as usize;
                self.best = (number * PAGE + within) as u32 + 1;
                return;
            }
            // A page of the pool whose last level went: a better level marks it again.
            self.pages.remove(number);
        }
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
        match usize::from(self.slots[(key >> PAGE_BITS) as usize]) {
            0 => self.far.get(key),
            slot => self.cells[slot].0[key as usize % PAGE],
        }
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
        for slot in 1..self.used {
            self.slots[self.numbers[slot] as usize] = 0;
            self.cells[slot] = Cells::default();
            self.bits[slot] = Bits::default();
        }
        while let Some(number) = self.pages.highest() {
            self.pages.remove(number);
            self.far_pages.remove(number);
            self.far_counts[number] = 0;
        }
        self.far.clear();
        self.off_tick.clear();
        (self.used, self.best, self.sums, self.trusted) = (1, 0, [0; 2], 0);
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
        let mut on_tick =
            Keys { side: self, above: self.pages.highest().map(|page| ((page + 1) * PAGE) as u32) }
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
            let page = ((above - 1) >> PAGE_BITS) as usize;
            let first = (page * PAGE) as u32;
            if let Some(key) = (first..above).rev().find(|&key| self.side.qty_of(key) != 0) {
                self.above = if key == first { self.page_below(page) } else { Some(key) };
                return Some(key);
            }
            self.above = self.page_below(page);
        }
    }
}

impl Keys<'_> {
    fn page_below(&self, page: usize) -> Option<u32> {
        self.side.pages.below(page).map(|page| ((page + 1) * PAGE) as u32)
    }
}

/// What a quantity's change adds to the sum behind the digest: linear in the quantity, so that one level's change
/// needs nothing of the others.
#[inline(always)]
fn change_of(key: u32, before: i64, qty: i64) -> u64 {
    (u64::from(key) << 1 | 1).wrapping_mul(qty.wrapping_sub(before) as u64)
}

/// So many default values whose pages are there.
fn boxed<T: Copy + Default, const N: usize>() -> Box<[T; N]> {
    match pages::zeros(N).into_boxed_slice().try_into() {
        Ok(values) => values,
        Err(_) => unreachable!("made with the length of the array"),
    }
}

fn lowest(word: u64) -> Option<usize> {
    (word != 0).then(|| word.trailing_zeros() as usize)
}
