//! Frames whose every number has the length it had before. Such a frame differs from an earlier one only in
//! digits, so one masked comparison checks all of its structure, and every number is where it was.
//!
//! A layout is made, off the common path, from a frame that the walk decoded, and kept only if it gives the
//! same event. A frame that fits no layout is simply left to the walk.

#![expect(unsafe_code, reason = "the kernels need the processor's features, which their callers enable")]

use super::{Event, MARK_SCALE, walk};
use crate::{
    market::{MarketHeader, MarketKind},
    wire::{
        json::Irregular,
        simd::{Kernel, MOST, Pattern, Proof, Row},
        text::Text,
    },
};
use tickpath_shared::types::InstrumentDefinition;

/// Layouts kept. An instrument's stream has a few: lengths of prices and quantities.
const SLOTS: usize = 256;
/// Slots that may hold a key.
const WAYS: usize = 4;
/// Layouts made without a free slot are only made for one miss in so many, or two that share their slots
/// would drive each other out for ever.
const PATIENCE: u32 = 64;
/// Numbers of a layout, in fours.
const QUADS: usize = 3;
const LANES: usize = 4 * QUADS;
/// Lanes of the update or trade id and of the venue's time. Those before are the levels.
const ID: usize = 4;
const TIME: usize = 5;

struct Layout {
    pattern: Pattern,
    rows: [Row; QUADS],
    proofs: [Proof; QUADS],
    starts: [u16; LANES],
    /// Least values: an integer of several digits does not begin with a zero.
    least: [[i64; 4]; QUADS],
    len: usize,
    has_third: bool,
    has_id: bool,
    has_qty: bool,
    levels: usize,
    header: MarketHeader,
}

/// Layouts by key.
pub(super) struct Layouts {
    keys: Vec<u64>,
    /// Parallel to `keys`; a key of zero has none.
    layouts: Vec<Layout>,
    spare: Layout,
    misses: u32,
}

impl Layouts {
    /// Lengths of frames that may have a layout.
    const LENGTHS: std::ops::RangeInclusive<usize> = 64..=Pattern::MAX;

    pub(super) fn new() -> Self {
        Self {
            keys: vec![0; SLOTS],
            // Making one must not allocate: the memory is there from the start.
            layouts: (0..SLOTS).map(|_| Layout::empty()).collect(),
            spare: Layout::empty(),
            misses: 0,
        }
    }

    /// Decodes a frame that fits a layout.
    ///
    /// # Safety
    ///
    /// The caller enables the kernel's features.
    #[inline(always)]
    pub(super) unsafe fn decode<K: Kernel>(&self, text: Text<'_>, event: &mut Event) -> Option<()> {
        if !Self::LENGTHS.contains(&text.len()) || event.levels.capacity() < 2 {
            return None;
        }
        // SAFETY: the features are enabled and the text has a length that the key can be taken of.
        let key = unsafe { key::<K>(text) };
        let slot = key as usize % SLOTS;
        for way in 0..WAYS {
            let at = slot ^ way;
            // SAFETY: as above.
            if self.keys[at] == key && unsafe { self.layouts[at].decode::<K>(text, event) } {
                return Some(());
            }
        }
        None
    }

    /// Makes a layout of a frame that the walk decoded into `event`. Cold.
    ///
    /// # Safety
    ///
    /// The caller enables the kernel's features.
    #[inline(always)]
    pub(super) unsafe fn learn<K: Kernel>(
        &mut self,
        text: Text<'_>,
        instruments: &[InstrumentDefinition],
        event: &Event,
        scratch: &mut Event,
    ) {
        if !Self::LENGTHS.contains(&text.len()) {
            return;
        }
        // SAFETY: as in `decode`.
        let key = unsafe { key::<K>(text) };
        let Some(slot) = self.free_slot(key as usize % SLOTS) else { return };
        let layout = &mut self.spare;
        let is_made = layout.fill(text, instruments, &event.header).is_ok();
        scratch.levels.clear();
        // SAFETY: as in `decode`.
        let is_same = is_made
            && unsafe { layout.decode::<K>(text, scratch) }
            && scratch.header == event.header
            && scratch.levels == event.levels;
        if is_same {
            self.keys[slot] = key;
            std::mem::swap(&mut self.layouts[slot], &mut self.spare);
        }
    }

    /// A slot for a new layout: a free one, or after enough misses the next in turn.
    fn free_slot(&mut self, first: usize) -> Option<usize> {
        if let Some(free) = (0..WAYS).map(|way| first ^ way).find(|&slot| self.keys[slot] == 0) {
            return Some(free);
        }
        self.misses = self.misses.wrapping_add(1);
        let turn = (self.misses / PATIENCE) as usize % WAYS;
        self.misses.is_multiple_of(PATIENCE).then_some(first ^ turn)
    }
}

/// What tells layouts apart: the stream, the length, and where the quotes are.
///
/// # Safety
///
/// The caller enables the kernel's features; the text has at least 64 bytes.
#[inline(always)]
unsafe fn key<K: Kernel>(text: Text<'_>) -> u64 {
    // SAFETY: the text has at least 64 bytes and the padding as many again.
    unsafe {
        let len = text.len();
        let below = |end: usize| if len >= end + 64 { u64::MAX } else { !(u64::MAX << (len - end)) };
        let second = K::quote_mask(text.at(64)) & below(64);
        let third = if len > 128 { K::quote_mask(text.at(128)) & below(128) } else { 0 };
        let word = |at: usize| text.at(at).cast::<u64>().read_unaligned();
        // Raw frames have digits early; the quotes before them tell the event.
        let is_combined = word(0) == u64::from_ne_bytes(*b"{\"stream");
        let name = if is_combined {
            word(11).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ word(19)
        } else {
            K::quote_mask(text.at(0))
        };
        let quotes = second.wrapping_mul(0xd6e8_feb8_6659_fd93) ^ third.rotate_left(31);
        let mixed = (name ^ quotes ^ len as u64).wrapping_mul(0xff51_afd7_ed55_8ccd);
        (mixed ^ (mixed >> 32)) | 1 << 63
    }
}

/// Numbers as they were converted, four by one store: one that reaches over two cache lines would be slow to read
/// again.
#[repr(align(64))]
struct Lanes([i64; LANES]);

impl Layout {
    fn empty() -> Self {
        Self {
            pattern: Pattern::default(),
            rows: Default::default(),
            proofs: Default::default(),
            starts: [0; LANES],
            least: [[0; 4]; QUADS],
            len: 0,
            has_third: false,
            has_id: false,
            has_qty: false,
            levels: 0,
            header: MarketHeader::default(),
        }
    }

    /// False when the text differs in more than digits; `event` is then undefined.
    ///
    /// # Safety
    ///
    /// The caller enables the kernel's features.
    #[inline(always)]
    unsafe fn decode<K: Kernel>(&self, text: Text<'_>, event: &mut Event) -> bool {
        // SAFETY: the pattern has the text's length, and every number starts within it.
        unsafe {
            if text.len() != self.len || !K::fits(text.at(0), &self.pattern) {
                return false;
            }
            let mut lanes = Lanes([0; LANES]);
            let Lanes(values) = &mut lanes;
            let out: *mut [i64; 4] = values.as_mut_ptr().cast();
            let levels = self.quad::<K>(text, 0, out);
            let mut seen = K::merge(levels, self.quad::<K>(text, 1, out.add(1)));
            if self.has_third {
                seen = K::merge(seen, self.quad::<K>(text, 2, out.add(2)));
            }
            if !K::is_within(seen, &MOST) {
                return false;
            }
            event.room().write([values[0], if self.has_qty { values[1] } else { 0 }, values[2], values[3]]);
            event.levels.set_len(self.levels);
            event.header = self.header;
            event.header.last_update_id = if self.has_id { values[ID] as u64 } else { 0 };
            event.header.venue_ms = values[TIME] as u64;
            true
        }
    }

    /// Four numbers of the text into `out`.
    ///
    /// # Safety
    ///
    /// The caller enables the kernel's features; the text has the layout's length.
    #[inline(always)]
    unsafe fn quad<K: Kernel>(&self, text: Text<'_>, quad: usize, out: *mut [i64; 4]) -> K::Seen {
        // SAFETY: every number starts within the text.
        unsafe {
            let at = |lane: usize| text.at(usize::from(self.starts[4 * quad + lane]));
            let places = [at(0), at(1), at(2), at(3)];
            K::numbers_of(places, &self.rows[quad], &self.proofs[quad], &self.least[quad], out)
        }
    }

    /// Becomes the layout of a frame of which the walk made an event with this header.
    fn fill(
        &mut self,
        text: Text<'_>,
        instruments: &[InstrumentDefinition],
        header: &MarketHeader,
    ) -> Result<(), Irregular> {
        *self = Self::empty();
        let definition = &instruments[usize::from(header.instrument)];
        self.len = text.len();
        self.levels = header.levels();
        self.header = MarketHeader { last_update_id: 0, venue_ms: 0, ..*header };
        self.has_qty = header.market_kind() != MarketKind::Mark;
        if !self.pattern.cover(text.as_bytes()) {
            return Err(Irregular);
        }
        let mut others = 0;
        walk::numbers(text.as_bytes(), |key, start, len, is_quoted| {
            let (lane, scale) = match place_of(header.market_kind(), key) {
                Some(Place::Price(i)) => (2 * i, Some(definition.price_scale)),
                Some(Place::Qty(i)) => (2 * i + 1, Some(definition.qty_scale)),
                Some(Place::Mark) => (0, Some(MARK_SCALE)),
                Some(Place::Id) => {
                    self.has_id = true;
                    (ID, None)
                }
                Some(Place::Time) => (TIME, None),
                None => {
                    let first = if self.levels == 2 { 6 } else { 2 };
                    // After the unused levels come the lanes behind the time.
                    let lane =
                        if first + others < ID || first == 6 { first + others } else { first + others + 2 };
                    others += 1;
                    (lane, None)
                }
            };
            self.put(text, lane, start, len, is_quoted, scale)
        })?;
        self.spread();
        Ok(())
    }

    /// Enters one number.
    fn put(
        &mut self,
        text: Text<'_>,
        lane: usize,
        start: usize,
        len: usize,
        is_quoted: bool,
        scale: Option<u8>,
    ) -> Result<(), Irregular> {
        if lane >= LANES || self.starts[lane] != 0 {
            return Err(Irregular);
        }
        let digits = &text.as_bytes()[start..start + len];
        let places = digits.iter().position(|&b| b == b'.').map_or(0, |point| len - point - 1);
        let terminator = text.as_bytes().get(start + len).copied().unwrap_or(0);
        let scale = scale.map_or(places, usize::from);
        let (row, proof) = Row::lane(len, places, scale, terminator).ok_or(Irregular)?;
        self.pattern.open(start, len);
        self.rows[lane / 4].set(lane % 4, row);
        self.proofs[lane / 4].set(lane % 4, proof);
        self.starts[lane] = start as u16;
        if !is_quoted && len > 1 {
            self.least[lane / 4][lane % 4] = 10_i64.pow(len as u32 - 1);
        }
        self.has_third |= lane >= 8;
        Ok(())
    }

    /// Unused lanes of a quad repeat a used one, so that they prove nothing of their own.
    fn spread(&mut self) {
        for quad in 0..QUADS {
            let is_used = |lane: usize| self.starts[4 * quad + lane] != 0;
            let Some(used) = (0..4).find(|&lane| is_used(lane)) else { continue };
            for lane in 0..4 {
                if self.starts[4 * quad + lane] == 0 {
                    self.starts[4 * quad + lane] = self.starts[4 * quad + used];
                    self.rows[quad].copy(used, lane);
                    self.proofs[quad].copy(used, lane);
                }
            }
        }
    }
}

/// Where a field goes.
enum Place {
    Price(usize),
    Qty(usize),
    Mark,
    Id,
    Time,
}

fn place_of(kind: MarketKind, key: &[u8]) -> Option<Place> {
    let place = match (kind, key) {
        (MarketKind::Ticker, b"b") | (MarketKind::Trade, b"p") => Place::Price(0),
        (MarketKind::Ticker, b"B") | (MarketKind::Trade, b"q") => Place::Qty(0),
        (MarketKind::Ticker, b"a") => Place::Price(1),
        (MarketKind::Ticker, b"A") => Place::Qty(1),
        (MarketKind::Mark, b"p") => Place::Mark,
        (MarketKind::Ticker, b"u") => Place::Id,
        // Of trades the walk knows which of the two is the id; the comparison with it settles the rest.
        (MarketKind::Trade, b"t" | b"a") => Place::Id,
        (MarketKind::Ticker | MarketKind::Trade, b"T") | (MarketKind::Mark, b"E") => Place::Time,
        _ => return None,
    };
    Some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn making_layouts_stops_when_all_slots_of_a_key_are_taken() {
        let mut layouts = Layouts::new();
        let taken: Vec<usize> = (0..WAYS)
            .map(|_| {
                let slot = layouts.free_slot(8).unwrap();
                layouts.keys[slot] = 8;
                slot
            })
            .collect();
        assert_eq!(taken, [8, 9, 10, 11]);
        let later = (0..PATIENCE * 2).filter_map(|_| layouts.free_slot(8)).count();
        assert_eq!(later, 2);
    }

    #[test]
    fn levels_are_two_words() {
        assert_eq!(size_of::<crate::market::Level>() * 2, size_of::<[i64; 4]>());
    }
}
