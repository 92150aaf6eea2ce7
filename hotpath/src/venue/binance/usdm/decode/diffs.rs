//! Diffs by vectors: one pass finds every string's end, then each literal between them is compared and each number
//! converted, none waiting for another, two levels a step.
//!
//! A frame that differs in any byte of its structure is left to the walk; nothing is guessed.

#![expect(unsafe_code, reason = "the kernels need the processor's features, which their callers enable")]

use super::{Event, units::Units};
use crate::{
    market::{LEVELS_MAX, Level, MarketHeader, MarketKind},
    pages,
    wire::{
        simd::{Kernel, LEVELS_MOST, LevelRow, Literal, MOST, Proof, Rows},
        text::Text,
    },
};
use tickpath_shared::types::InstrumentDefinition;

/// Strings of the largest frame that is decoded here, and some more.
const STRINGS_MAX: usize = LEVELS_MAX * 2 + 128;
/// Strings read beyond the last.
const STRINGS_AHEAD: usize = 8;
/// Levels written beyond the last one.
pub(super) const LEVELS_AHEAD: usize = 128;

// Levels are counted in the end: all strings may be of levels, and two more may be written.
const _: () = assert!(STRINGS_MAX / 2 + 2 <= LEVELS_MAX + LEVELS_AHEAD);

/// A stream of diffs of an instrument, up to the frame's first number.
pub(super) struct Stream {
    instrument: u16,
    prefix: Literal,
    /// What follows the first numbers up to the next one, in the form of 2024 and of 2026.
    middle: [Literal; 2],
}

impl Stream {
    pub(super) fn instrument(&self) -> u16 {
        self.instrument
    }

    pub(super) fn prefix(&self) -> &[u8] {
        self.prefix.as_bytes()
    }

    /// Before the first update id, in the older and in the newer form.
    pub(super) fn middles(&self) -> [&[u8]; 2] {
        [self.middle[0].as_bytes(), self.middle[1].as_bytes()]
    }
}

/// Streams by the sixteen bytes after the frame's opening.
struct Table {
    slots: Vec<u16>,
    shift: u32,
}

/// Decoder of diffs.
pub(super) struct Diffs {
    streams: Vec<Stream>,
    table: Table,
    units: Vec<Units>,
    integers: Rows,
    integer_proof: Proof,
    tail: Literal,
    /// Index of a frame's strings, [`Kernel::ENTRIES`] each.
    strings: Vec<u32>,
}

/// Length of `{"stream":"`.
const OPENING: usize = 11;

impl Diffs {
    /// Streams of these instruments; symbols too long for the literals are left to the walk.
    pub(super) fn new(instruments: &[InstrumentDefinition]) -> Self {
        let streams: Vec<Stream> = instruments.iter().flat_map(streams_of).collect();
        let Some(tail) = Literal::new(&[b",\"st\":1}}"]) else { unreachable!("a short constant") };
        let integers = Rows::integer(b',');
        Self {
            table: Table::new(&streams),
            streams,
            units: instruments.iter().map(Units::new).collect(),
            integer_proof: Proof::new([integers.proof(); 4]),
            integers,
            tail,
            strings: pages::zeros(2 * STRINGS_MAX + 64),
        }
    }

    /// Decodes a diff in one of its two forms; `None` for every other frame. The event's levels are empty
    /// before.
    ///
    /// # Safety
    ///
    /// The caller enables the kernel's features.
    #[inline(always)]
    pub(super) unsafe fn decode<K: Kernel>(&mut self, text: Text<'_>, event: &mut Event) -> Option<()> {
        // SAFETY: the caller has enabled the features; positions are those of quotes or follow from them.
        unsafe {
            let stream = &self.streams[self.find(text, |prefix| K::matches(text.at(0), prefix))?];
            let entries = K::strings(text, stream.prefix.len(), &mut self.strings);
            let count = entries / K::ENTRIES;
            let has_room = event.levels.capacity() >= LEVELS_MAX + LEVELS_AHEAD;
            if count == 0 || count > STRINGS_MAX || !has_room {
                return None;
            }
            self.strings[entries..entries + STRINGS_AHEAD * K::ENTRIES].fill(text.len() as u32);
            let frame = Frame {
                text,
                stream,
                units: &self.units[usize::from(stream.instrument)],
                integers: &self.integers,
                integer_proof: &self.integer_proof,
                tail: &self.tail,
                strings: &self.strings,
                count,
            };
            // Without levels eight strings; the checks read up to there and a little further.
            match count {
                0..8 => None,
                _ if frame.has(frame.before::<K>(3, 3), b"\"ps\"") => frame.depth::<K, 2>(event),
                _ => frame.depth::<K, 0>(event),
            }
        }
    }

    /// Index of the stream whose prefix opens the text, by a comparison that may read it whole.
    #[inline(always)]
    pub(super) fn find(&self, text: Text<'_>, matches: impl Fn(&Literal) -> bool) -> Option<usize> {
        let key: [u8; 16] = text.as_bytes().get(OPENING..OPENING + 16)?.try_into().ok()?;
        let mut slot = self.table.slot(key);
        loop {
            let index = usize::from(self.table.slots[slot]);
            let stream = self.streams.get(index)?;
            if stream.prefix.len() < text.len() && matches(&stream.prefix) {
                return Some(index);
            }
            slot = (slot + 1) % self.table.slots.len();
        }
    }

    /// A stream and its instrument's units.
    pub(super) fn stream(&self, index: usize) -> (&Stream, &Units) {
        let stream = &self.streams[index];
        (stream, &self.units[usize::from(stream.instrument)])
    }

    /// What ends the newer form.
    pub(super) fn tail(&self) -> &[u8] {
        self.tail.as_bytes()
    }

    /// Learns how many decimal places the venue writes, from a frame that the walk decoded. Cold.
    pub(super) fn learn(&mut self, instrument: u16, frame: &[u8]) {
        if let Some(units) = self.units.get_mut(usize::from(instrument)) {
            units.learn(frame);
        }
    }
}

fn streams_of(definition: &InstrumentDefinition) -> Vec<Stream> {
    let upper = definition.symbol.as_bytes();
    let lower = upper.to_ascii_lowercase();
    let names: [&[u8]; 5] = [b"@depth", b"@depth@0ms", b"@depth@100ms", b"@depth@250ms", b"@depth@500ms"];
    let stream = |name: &[u8]| {
        let rest = b"\",\"data\":{\"e\":\"depthUpdate\",\"E\":";
        let prefix = Literal::new(&[b"{\"stream\":\"", lower.as_slice(), name, rest])?;
        let old = Literal::new(&[b",\"s\":\"", upper, b"\",\"U\":"])?;
        let new = Literal::new(&[b",\"s\":\"", upper, b"\",\"ps\":\"", upper, b"\",\"U\":"])?;
        // Within a text, literals are compared by one vector.
        let is_short = new.len() <= 64;
        is_short.then_some(Stream { instrument: definition.instrument as u16, prefix, middle: [old, new] })
    };
    names.into_iter().filter_map(stream).collect()
}

impl Table {
    fn new(streams: &[Stream]) -> Self {
        // At most a quarter full; a full table would make the search endless.
        let bits = (streams.len() * 4).next_power_of_two().max(4).trailing_zeros();
        let mut table = Self { slots: vec![u16::MAX; 1 << bits], shift: 64 - bits };
        for (index, stream) in streams.iter().enumerate() {
            let mut key = [0; 16];
            key.copy_from_slice(&stream.prefix.as_bytes()[OPENING..OPENING + 16]);
            let mut slot = table.slot(key);
            while table.slots[slot] != u16::MAX {
                slot = (slot + 1) % table.slots.len();
            }
            table.slots[slot] = index as u16;
        }
        table
    }

    #[inline(always)]
    fn slot(&self, key: [u8; 16]) -> usize {
        let key = u128::from_le_bytes(key);
        let mixed = (key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (key >> 64) as u64;
        (mixed.wrapping_mul(0xd6e8_feb8_6659_fd93) >> self.shift) as usize
    }
}

/// A number's place: first digit and length.
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    len: usize,
}

/// One frame and what is needed to read it.
struct Frame<'f> {
    text: Text<'f>,
    stream: &'f Stream,
    units: &'f Units,
    integers: &'f Rows,
    integer_proof: &'f Proof,
    tail: &'f Literal,
    strings: &'f [u32],
    count: usize,
}

/// Update ids and time of a diff.
struct Ids {
    venue_ms: u64,
    first: u64,
    last: u64,
    previous: u64,
}

/// Where a level stands: the first digits of price and quantity and the quote behind it, and what its bytes must be.
struct Place<'f> {
    price: usize,
    qty: usize,
    qty_end: usize,
    row: &'f LevelRow,
}

/// Levels of one side, and where it ended.
struct SideEnd {
    levels: usize,
    /// Index of the next string's end.
    next: usize,
    /// Position after the last level's closing quote, or after the opening bracket of an empty side.
    position: usize,
}

/// What follows a level's last quote where there is another level: its first quote is the last of it.
const NEXT: u32 = u32::from_ne_bytes(*b"],[\"");
/// Bytes between price and quantity.
const BETWEEN: usize = b"\",\"".len();

impl Frame<'_> {
    /// Position of a string's last quote. All of them lie within the text; those ahead of the last are its end.
    #[inline(always)]
    fn end<K: Kernel>(&self, index: usize) -> usize {
        debug_assert!(index < self.count + STRINGS_AHEAD);
        // SAFETY: indices follow from `count` or are checked against it, and entries ahead of it are filled.
        unsafe { *self.strings.get_unchecked((index + 1) * K::ENTRIES - 1) as usize }
    }

    /// The position so many bytes before a string's last quote, of one that is there: the prefix alone is longer.
    #[inline(always)]
    fn before<K: Kernel>(&self, index: usize, bytes: usize) -> usize {
        self.end::<K>(index) - bytes
    }

    /// True when up to eight bytes stand at a position.
    #[inline(always)]
    fn has(&self, at: usize, wanted: &[u8]) -> bool {
        let mut bytes = [0; 8];
        bytes[..wanted.len()].copy_from_slice(wanted);
        // SAFETY: positions are those of quotes and at most a literal before or after.
        let found = unsafe { self.text.at(at).cast::<u64>().read_unaligned() };
        (found ^ u64::from_le_bytes(bytes)) << (64 - 8 * wanted.len()) == 0
    }

    /// Four bytes.
    ///
    /// # Safety
    ///
    /// The position is that of a quote or right behind it.
    #[inline(always)]
    unsafe fn word(&self, at: usize) -> u32 {
        // SAFETY: as the caller promises, the position is within the text, which is readable beyond its end.
        unsafe { self.text.at(at).cast::<u32>().read_unaligned() }
    }

    /// The integer between two positions; too long ones, and those that begin with a zero, are marked in `long`.
    #[inline(always)]
    fn integer(&self, start: usize, end: usize, long: &mut usize) -> Span {
        let len = end.wrapping_sub(start);
        // SAFETY: the position follows a quote.
        let is_zero = unsafe { self.text.at(start).read() } == b'0';
        *long |= len | usize::from(is_zero && len != 1) << 31;
        Span { start, len }
    }

    /// The integer between a key, whose end has that index, and the comma that follows it: `":` stands before it.
    #[inline(always)]
    fn bare<K: Kernel>(&self, key: usize, comma: usize, long: &mut usize) -> Span {
        self.integer(self.end::<K>(key) + 2, comma, long)
    }

    /// Four integers of the text into `out`.
    ///
    /// # Safety
    ///
    /// The caller enables the kernel's features; every span starts within the text.
    #[inline(always)]
    unsafe fn convert<K: Kernel>(&self, spans: [Span; 4], out: *mut [i64; 4]) -> K::Seen {
        // SAFETY: every span starts behind a quote.
        unsafe {
            let ([a, b, c, d], t, rows) = (spans, self.text, self.integers);
            let at = [t.at(a.start), t.at(b.start), t.at(c.start), t.at(d.start)];
            let rows = [rows.row(a.len), rows.row(b.len), rows.row(c.len), rows.row(d.len)];
            K::numbers(at, rows, self.integer_proof, out)
        }
    }

    /// The level whose price begins with the quote at `opening` and ends with the quote of that index. That is the next one,
    /// as the row asks for: what stands between the string before and `opening` was compared, or the level is dropped.
    /// Where its quantity's first quote is the row proves.
    #[inline(always)]
    fn level<K: Kernel>(&self, opening: usize, first: usize) -> Place<'_> {
        let (price_end, qty_end) = (self.end::<K>(first), self.end::<K>(first + 1));
        let (price, qty) = (opening + 1, price_end + BETWEEN);
        Place { price, qty, qty_end, row: self.units.rows.row(opening, price_end, qty_end) }
    }

    /// True when the newer form's tail stands at a position and ends the text.
    ///
    /// # Safety
    ///
    /// The caller enables the kernel's features.
    #[inline(always)]
    unsafe fn is_tail<K: Kernel>(&self, at: usize) -> bool {
        // SAFETY: the literal ends within the text.
        at + self.tail.len() == self.text.len() && unsafe { K::matches(self.text.at(at), self.tail) }
    }

    /// `E T s [ps] U u pu` up to the bracket of the bids; `M` is 2 with "ps" and its value, two strings more. At least eight
    /// strings are there. Keys begin where the literals that are compared say so.
    ///
    /// # Safety
    ///
    /// The caller enables the kernel's features.
    #[inline(always)]
    unsafe fn ids<K: Kernel, const M: usize>(&self, long: &mut usize) -> Option<Ids> {
        let [first, middle] = [self.before::<K>(0, 3), self.before::<K>(1, 3)];
        let [before_u, before_pu, before_b] =
            [self.before::<K>(4 + M, 3), self.before::<K>(5 + M, 4), self.before::<K>(6 + M, 3)];
        let event_time = self.integer(self.stream.prefix.len(), first, long);
        let venue_time = self.bare::<K>(0, middle, long);
        let first_id = self.bare::<K>(3 + M, before_u, long);
        let last_id = self.bare::<K>(4 + M, before_pu, long);
        let previous_id = self.bare::<K>(5 + M, before_b, long);
        let is_shaped = self.has(first, b",\"T\":")
            & self.has(before_u, b",\"u\":")
            & self.has(before_pu, b",\"pu\":")
            & self.has(before_b, b",\"b\":[");
        // SAFETY: eight strings are there, as the caller checked, and positions follow from their ends.
        unsafe {
            if !is_shaped || !K::matches(self.text.at(middle), &self.stream.middle[M / 2]) {
                return None;
            }
            let (mut ids, mut more) = ([0; 4], [0; 4]);
            let seen = self.convert::<K>([event_time, venue_time, first_id, last_id], &mut ids);
            let seen = K::merge(seen, self.convert::<K>([previous_id; 4], &mut more));
            let [_, venue_ms, first, last] = ids.map(|id| id as u64);
            let ids = Ids { venue_ms, first, last, previous: more[0] as u64 };
            K::is_within(seen, &MOST).then_some(ids)
        }
    }

    /// `E T s [ps] U u pu b a [st]`; `M` as for [`Self::ids`].
    ///
    /// # Safety
    ///
    /// The caller enables the kernel's features; as many strings are there as for [`Self::ids`].
    #[inline(always)]
    unsafe fn depth<K: Kernel, const M: usize>(&self, event: &mut Event) -> Option<()> {
        let mut long = 0;
        // SAFETY: positions are those of quotes; levels are written within the capacity that `decode` checked.
        unsafe {
            let (ids, mut seen) = (self.ids::<K, M>(&mut long)?, K::nothing());
            let mut off_tick = 0;
            let out: *mut Level = event.levels.as_mut_ptr();
            let start = self.end::<K>(6 + M) + 3;
            let bids = self.side::<K>(7 + M, start, out, &mut seen, &mut off_tick)?;
            if !(self.has(bids.position, b"],\"a\":[")) {
                return None;
            }
            let to = out.add(bids.levels);
            let (first, start) = (bids.next + 1, bids.position + 7);
            let asks = self.side::<K>(first, start, to, &mut seen, &mut off_tick)?;
            let end = asks.position + 1;
            let is_ended = self.has(asks.position, b"]")
                & if M == 0 {
                    self.has(end, b"}}") && end + 2 == self.text.len()
                } else {
                    self.is_tail::<K>(end)
                };
            let total = bids.levels + asks.levels;
            if !is_ended || long > 31 || total > LEVELS_MAX || !K::is_within(seen, &LEVELS_MOST) {
                return None;
            }
            event.levels.set_len(total);
            event.header = MarketHeader {
                kind: MarketKind::Depth as u16,
                instrument: self.stream.instrument,
                bids: bids.levels as u16,
                asks: asks.levels as u16,
                first_update_id: ids.first,
                last_update_id: ids.last,
                previous_update_id: ids.previous,
                venue_ms: ids.venue_ms,
                off_tick,
                ..MarketHeader::default()
            };
            Some(())
        }
    }

    /// `["price","qty"],..`, two levels a step; `first` is the index of the first price's end, `start` the position after
    /// the opening bracket.
    ///
    /// # Safety
    ///
    /// The caller enables the kernel's features; `out` lies in the room that [`Self::decode`] made for both sides.
    #[inline(always)]
    unsafe fn side<K: Kernel>(
        &self,
        first: usize,
        start: usize,
        out: *mut Level,
        seen: &mut K::Seen,
        off_tick: &mut u32,
    ) -> Option<SideEnd> {
        if !self.has(start, b"[\"") {
            return Some(SideEnd { levels: 0, next: first, position: start });
        }
        let (rows, tick) = (&self.units.rows, self.units.tick);
        let (mut i, mut opening, mut pair) = (first, start + 1, out);
        // SAFETY: ends ahead of the last are the text's; there is room for half as many levels as strings and two.
        unsafe {
            loop {
                if i > self.count {
                    return None;
                }
                let one = self.level::<K>(opening, i);
                // Where it is if there is another: that is looked at below.
                let two = self.level::<K>(one.qty_end + size_of_val(&NEXT), i + 2);
                let t = self.text;
                let at = [t.at(one.price), t.at(one.qty), t.at(two.price), t.at(two.qty)];
                let (step, [off_one, off_both]) =
                    K::levels(at, [one.row, two.row], rows.proof(), tick, pair.cast());
                // The padding behind the text holds the byte after a last quote.
                if self.word(one.qty_end + 1) != NEXT {
                    *seen = K::merge_low(*seen, step);
                    *off_tick += off_one;
                    return self.side_end(first, i + 2, one.qty_end);
                }
                *seen = K::merge(*seen, step);
                *off_tick += off_both;
                if self.word(two.qty_end + 1) != NEXT {
                    return self.side_end(first, i + 4, two.qty_end);
                }
                (i, opening, pair) = (i + 4, two.qty_end + size_of_val(&NEXT), pair.add(2));
            }
        }
    }

    /// The end of a side whose last level's quantity ends there.
    #[inline(always)]
    fn side_end(&self, first: usize, next: usize, qty_end: usize) -> Option<SideEnd> {
        let end = SideEnd { levels: (next - first) / 2, next, position: qty_end + 2 };
        self.has(qty_end + 1, b"]").then_some(end)
    }
}
