//! Quantities of the keys near the touch, in an array that is walked round: a key's place is the key modulo the
//! array's size, and each page of places says which of the pages that share it is there.
//!
//! Four bytes a quantity: what most instruments need, and half as much of the nearest caches as eight. What is
//! more lies in an array of its own, which is looked at from the first quantity on that needs it.

use super::boxed;
use std::ops::Range;

/// Keys of a page.
pub(super) const PAGE: usize = 256;
pub(super) const PAGE_BITS: u32 = PAGE.trailing_zeros();
/// Pages in the pool.
const PAGES: usize = 256;
/// Pages from the best level's on that have a right to their place: half of the pool, so that a touch that goes
/// back and forth between two pages does not move a third one in and out.
pub(super) const NEAR: u32 = PAGES as u32 / 2;
/// Levels that the pool has room for.
const ROOM: usize = PAGES * PAGE;
/// Keys whose quantities share a cache line.
const LINE: usize = 16;
/// Cache lines of a page.
const LINES: usize = PAGE / LINE;
/// Quantities above this need more than four bytes.
const NARROW: u64 = u32::MAX as u64;

/// Quantities up to [`NARROW`], 0 where there is no level. Of a larger one it is 1 plus what [`NARROW`] leaves of
/// one less: never 0 either, so that a level is seen here alone.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Line([u32; LINE]);

impl Line {
    fn is_empty(&self) -> bool {
        self.0.iter().fold(0, |all, low| all | low) == 0
    }
}

/// Pages of adjacent keys, each the only one of those that share its place.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    /// Number of the page that is in each place.
    numbers: [u32; PAGES],
    /// Whether it may have a level: something was set on it since it was last found empty.
    touched: [bool; PAGES],
    low: Box<[Line; ROOM / LINE]>,
    /// How often [`NARROW`] goes into one less than the quantity; 0 while no quantity was that large, and where there is no
    /// level: what is set there next may be written to `low` alone.
    high: Box<[u32; ROOM]>,
    /// Not 0: the pool had a quantity above [`NARROW`] since it was cleared.
    wide: u32,
}

impl Pool {
    pub(super) fn new() -> Self {
        Self { numbers: first_numbers(), touched: [false; PAGES], low: boxed(), high: boxed(), wide: 0 }
    }

    /// True when this page is the one in its place.
    #[inline(always)]
    pub(super) fn has(&self, number: u32) -> bool {
        self.rival(number) == number
    }

    /// The page in the place of this one.
    #[inline(always)]
    pub(super) fn rival(&self, number: u32) -> u32 {
        self.numbers[number as usize % PAGES]
    }

    /// The highest page below another one that may have a level.
    pub(super) fn below(&self, number: u32) -> Option<u32> {
        let touched = self.numbers.iter().zip(&self.touched).filter(|(_, touched)| **touched);
        touched.map(|(other, _)| *other).filter(|&other| other < number).max()
    }

    /// Puts a page in its place. The one that was there has no level any more.
    pub(super) fn admit(&mut self, number: u32) {
        self.numbers[number as usize % PAGES] = number;
    }

    #[inline(always)]
    fn low(&mut self, key: u32) -> &mut u32 {
        &mut self.low[key as usize / LINE % (ROOM / LINE)].0[key as usize % LINE]
    }

    /// Quantity at a key whose page is in the pool.
    pub(super) fn get(&self, key: u32) -> i64 {
        let key = key as usize % ROOM;
        joined(self.low[key / LINE].0[key % LINE], self.high[key])
    }

    /// Sets the quantity, which is not negative, at a key whose page is in the pool; returns the one before.
    #[inline(always)]
    pub(super) fn replace(&mut self, key: u32, qty: i64) -> i64 {
        self.touched[(key >> PAGE_BITS) as usize % PAGES] = true;
        if (qty as u64 >> 32) as u32 | self.wide != 0 {
            return self.replace_wide(key, qty);
        }
        i64::from(std::mem::replace(self.low(key), qty as u32))
    }

    #[cold]
    #[inline(never)]
    fn replace_wide(&mut self, key: u32, qty: i64) -> i64 {
        let before = self.get(key);
        self.put(key, qty);
        before
    }

    /// Sets the quantity at a key whose page is in the pool, whatever was there.
    pub(super) fn put(&mut self, key: u32, qty: i64) {
        self.touched[(key >> PAGE_BITS) as usize % PAGES] = true;
        let (low, high) = parted(qty);
        *self.low(key) = low;
        self.wide |= high;
        if self.wide != 0 {
            self.high[key as usize % ROOM] = high;
        }
    }

    /// The highest level of a page of the pool, looked for from a key of it downwards.
    pub(super) fn highest(&self, from: u32) -> Option<u32> {
        let (lines, within) = (self.lines(from >> PAGE_BITS), from as usize % PAGE);
        let of_line = |line: usize, last: usize| {
            let at = lines[line].0[..=last].iter().rposition(|&low| low != 0)?;
            Some((from & !(PAGE as u32 - 1)) + (line * LINE + at) as u32)
        };
        of_line(within / LINE, within % LINE).or_else(|| {
            let line = lines[..within / LINE].iter().rposition(|line| !line.is_empty())?;
            of_line(line, LINE - 1)
        })
    }

    /// The highest level of those pages of the pool whose numbers are in a range.
    pub(super) fn highest_of(&mut self, numbers: Range<u32>) -> Option<u32> {
        let window = numbers.start.max(numbers.end.saturating_sub(PAGES as u32))..numbers.end;
        let near = window.clone().rev().find(|&number| self.has(number) && self.has_level(number));
        let number = near.or_else(|| self.highest_old(numbers.start..window.start))?;
        self.highest((number << PAGE_BITS) + PAGE as u32 - 1)
    }

    /// The highest page with a level of those that the touch went away from.
    fn highest_old(&mut self, numbers: Range<u32>) -> Option<u32> {
        let old = self.numbers.into_iter().filter(|number| numbers.contains(number));
        old.filter(|&number| self.has_level(number)).max()
    }

    fn lines(&self, number: u32) -> &[Line; LINES] {
        &self.low.as_chunks().0[number as usize % PAGES]
    }

    /// Whether a page of the pool has a level.
    fn has_level(&mut self, number: u32) -> bool {
        let place = number as usize % PAGES;
        self.touched[place] = self.touched[place] && !self.is_empty(number);
        self.touched[place]
    }

    fn is_empty(&self, number: u32) -> bool {
        let mut all = Line::default();
        for line in self.lines(number) {
            for (all, low) in all.0.iter_mut().zip(line.0) {
                *all |= low;
            }
        }
        all.is_empty()
    }

    /// Takes the levels of a page of the pool out.
    pub(super) fn take(&mut self, number: u32, mut taken: impl FnMut(u32, i64)) {
        let first = number << PAGE_BITS;
        for line in 0..LINES {
            if self.lines(number)[line].is_empty() {
                continue;
            }
            for key in (first + (line * LINE) as u32..).take(LINE) {
                let low = std::mem::take(self.low(key));
                if low != 0 {
                    let high =
                        if self.wide == 0 { 0 } else { std::mem::take(&mut self.high[key as usize % ROOM]) };
                    taken(key, joined(low, high));
                }
            }
        }
    }

    /// Takes every level out, if it has any.
    pub(super) fn clear(&mut self, has_levels: bool) {
        if has_levels {
            self.low.fill(Line::default());
        }
        if has_levels && self.wide != 0 {
            self.high.fill(0);
        }
        (self.numbers, self.touched, self.wide) = (first_numbers(), [false; PAGES], 0);
    }
}

/// An empty pool has the lowest page of each place.
fn first_numbers() -> [u32; PAGES] {
    std::array::from_fn(|place| place as u32)
}

/// Quantity in its two parts.
fn parted(qty: i64) -> (u32, u32) {
    if qty == 0 {
        return (0, 0);
    }
    let less = qty as u64 - 1;
    ((less % NARROW) as u32 + 1, (less / NARROW) as u32)
}

fn joined(low: u32, high: u32) -> i64 {
    if low == 0 { 0 } else { (u64::from(high) * NARROW + u64::from(low)) as i64 }
}
