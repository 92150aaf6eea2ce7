//! Diffs by vectors: one pass finds every quote, then each literal between them is compared and each number
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

/// Quotes of the largest frame that is decoded here, and a block more.
const QUOTES_MAX: usize = LEVELS_MAX * 4 + 256;
/// Entries read beyond the last quote.
const QUOTES_AHEAD: usize = 8;
/// Levels written beyond the last one.
pub(super) const LEVELS_AHEAD: usize = 128;

// Levels are counted in the end: all quotes may be of levels, and two more may be written.
const _: () = assert!(QUOTES_MAX / 4 + 2 <= LEVELS_MAX + LEVELS_AHEAD);

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
    quotes: Vec<u32>,
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
            quotes: pages::zeros(QUOTES_MAX + 64),
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
        // SAFETY: the caller has enabled the features; positions are those of quotes, all within the text.
        unsafe {
            let stream = &self.streams[self.find(text, |prefix| K::matches(text.at(0), prefix))?];
            let count = K::quotes(text, stream.prefix.len(), &mut self.quotes);
            let has_room = event.levels.capacity() >= LEVELS_MAX + LEVELS_AHEAD;
            if count == 0 || count > QUOTES_MAX || !has_room {
                return None;
            }
            self.quotes[count..count + QUOTES_AHEAD].fill(text.len() as u32);
            let frame = Frame {
                text,
                stream,
                units: &self.units[usize::from(stream.instrument)],
                integers: &self.integers,
                integer_proof: &self.integer_proof,
                tail: &self.tail,
                quotes: &self.quotes,
                count,
            };
            // Without levels sixteen quotes; the checks read up to there and a little further.
            match count {
                0..16 => None,
                _ if frame.has(frame.quote(6), b"\"ps\"") => frame.depth::<K, 4>(event),
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
    quotes: &'f [u32],
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
    /// Index of the next quote.
    next_quote: usize,
    /// Position after the last level's closing quote, or after the opening bracket of an empty side.
    position: usize,
}

/// What stands between two levels.
const NEXT: u32 = u32::from_ne_bytes(*b"],[\"");
/// Bytes between price and quantity.
const BETWEEN: usize = b"\",\"".len();

impl Frame<'_> {
    /// Position of a quote. All of them lie within the text; those ahead of the last are its end.
    #[inline(always)]
    fn quote(&self, index: usize) -> usize {
        debug_assert!(index < self.count + QUOTES_AHEAD);
        // SAFETY: indices follow from `count` or are checked against it, and entries ahead of it are filled.
        unsafe { *self.quotes.get_unchecked(index) as usize }
    }

    /// True when up to eight bytes stand at a position.
    #[inline(always)]
    fn has(&self, at: usize, wanted: &[u8]) -> bool {
        let mut bytes = [0; 8];
        bytes[..wanted.len()].copy_from_slice(wanted);
        // SAFETY: positions are those of quotes and at most a literal further.
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

    /// An integer behind a key: `":` stands between the quote and the number, `,` before the next quote.
    #[inline(always)]
    fn bare(&self, key_end: usize, next_quote: usize, long: &mut usize) -> Span {
        self.integer(self.quote(key_end) + 2, self.quote(next_quote).wrapping_sub(1), long)
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

    /// The level whose price's opening quote has that index. Where its quantity's one is the row proves.
    #[inline(always)]
    fn level(&self, first: usize) -> Place<'_> {
        let (opening, price_end, qty_end) = (self.quote(first), self.quote(first + 1), self.quote(first + 3));
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

    /// `E T s [ps] U u pu` up to the bracket of the bids; `M` is 4 with "ps" and its value, two pairs of quotes
    /// more. At least sixteen quotes are there.
    ///
    /// # Safety
    ///
    /// The caller enables the kernel's features.
    #[inline(always)]
    unsafe fn ids<K: Kernel, const M: usize>(&self, long: &mut usize) -> Option<Ids> {
        let first = self.quote(0).wrapping_sub(1);
        let event_time = self.integer(self.stream.prefix.len(), first, long);
        let venue_time = self.bare(1, 2, long);
        let first_id = self.bare(7 + M, 8 + M, long);
        let last_id = self.bare(9 + M, 10 + M, long);
        let previous_id = self.bare(11 + M, 12 + M, long);
        let middle = self.quote(2) - 1;
        let is_shaped = self.has(first, b",\"T\":")
            & self.has(self.quote(8 + M) - 1, b",\"u\":")
            & self.has(self.quote(10 + M) - 1, b",\"pu\":")
            & self.has(self.quote(12 + M) - 1, b",\"b\":[");
        // SAFETY: sixteen quotes are there, as the caller checked, and positions follow from them.
        unsafe {
            if !is_shaped || !K::matches(self.text.at(middle), &self.stream.middle[M / 4]) {
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
    /// The caller enables the kernel's features; as many quotes are there as for [`Self::ids`].
    #[inline(always)]
    unsafe fn depth<K: Kernel, const M: usize>(&self, event: &mut Event) -> Option<()> {
        let mut long = 0;
        // SAFETY: positions are those of quotes; levels are written within the capacity that `decode` checked.
        unsafe {
            let (ids, mut seen) = (self.ids::<K, M>(&mut long)?, K::nothing());
            let mut off_tick = 0;
            let out: *mut Level = event.levels.as_mut_ptr();
            let start = self.quote(13 + M) + 3;
            let bids = self.side::<K>(14 + M, start, out, &mut seen, &mut off_tick)?;
            if !(self.has(bids.position, b"],\"a\":[")) {
                return None;
            }
            let to = out.add(bids.levels);
            let (first, start) = (bids.next_quote + 2, bids.position + 7);
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

    /// `["price","qty"],..`, two levels a step; `first` is the index of the first quote, `start` the position
    /// after the opening bracket.
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
        if self.quote(first.min(self.count)) != start + 1 || !self.has(start, b"[\"") {
            return Some(SideEnd { levels: 0, next_quote: first, position: start });
        }
        let (rows, tick) = (&self.units.rows, self.units.tick);
        let (mut i, mut pair) = (first, out);
        // SAFETY: quotes ahead of the last are the text's end; there is room for a fourth as many levels as quotes and two.
        unsafe {
            loop {
                if i > self.count {
                    return None;
                }
                let (one, two) = (self.level(i), self.level(i + 4));
                let t = self.text;
                let at = [t.at(one.price), t.at(one.qty), t.at(two.price), t.at(two.qty)];
                let (step, [off_one, off_both]) =
                    K::levels(at, [one.row, two.row], rows.proof(), tick, pair.cast());
                // The padding behind the text holds the byte after a last quote.
                if self.word(one.qty_end + 1) != NEXT {
                    *seen = K::merge_low(*seen, step);
                    *off_tick += off_one;
                    return self.side_end(first, i + 4, one.qty_end);
                }
                *seen = K::merge(*seen, step);
                *off_tick += off_both;
                (i, pair) = (i + 8, pair.add(2));
                if self.word(two.qty_end + 1) != NEXT {
                    return self.side_end(first, i, two.qty_end);
                }
            }
        }
    }

    /// The end of a side whose last level's quantity ends there.
    #[inline(always)]
    fn side_end(&self, first: usize, next_quote: usize, qty_end: usize) -> Option<SideEnd> {
        let end = SideEnd { levels: (next_quote - first) / 4, next_quote, position: qty_end + 2 };
        self.has(qty_end + 1, b"]").then_some(end)
    }
}
