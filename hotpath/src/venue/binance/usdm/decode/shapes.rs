//! The shapes in which the venue sends its frequent frames, decoded by position: one pass finds every
//! quote, then each literal between them is compared and each number converted, none waiting for another.
//!
//! A frame that differs in any byte of its structure is left to the walk; nothing is guessed.

#![expect(
    unsafe_code,
    reason = "the kernels need the processor's feature, which is checked where they are chosen"
)]

use super::{Event, units::Units};
use crate::{
    market::{LEVELS_MAX, Level, MarketHeader, MarketKind},
    wire::{
        simd::{Isa, Kernel, Literal, Proof, Rows},
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Ticker,
    Depth,
    Trade,
    AggTrade,
}

/// A stream of an instrument, up to the frame's first number.
struct Stream {
    shape: Shape,
    instrument: u16,
    prefix: Literal,
    /// What follows the first numbers up to the next one, in the form of 2024 and of 2026.
    middle: [Literal; 2],
}

/// Streams by the sixteen bytes after the frame's opening.
struct Table {
    slots: Vec<u16>,
    shift: u32,
}

/// Decoder of the frequent shapes.
pub(super) struct Shapes {
    isa: Isa,
    streams: Vec<Stream>,
    table: Table,
    units: Vec<Units>,
    common: Common,
    quotes: Vec<u32>,
}

/// What all streams share.
struct Common {
    integers: Rows,
    last_integers: Rows,
    integer_proof: Proof,
    last_integer_proof: Proof,
    market: Literal,
    tail: Literal,
}

/// Length of `{"stream":"`.
const OPENING: usize = 11;

impl Shapes {
    /// Shapes of these instruments; symbols too long for the literals are left to the walk.
    pub(super) fn new(isa: Isa, instruments: &[InstrumentDefinition]) -> Self {
        let streams: Vec<Stream> = instruments.iter().flat_map(streams_of).collect();
        Self {
            isa,
            table: Table::new(&streams),
            streams,
            units: instruments.iter().map(Units::new).collect(),
            common: Common::new(),
            quotes: vec![0; QUOTES_MAX + 64],
        }
    }

    /// Decodes a frame of a known shape; `None` for every other. The event's levels are empty
    /// before.
    #[inline]
    pub(super) fn decode(&mut self, text: Text<'_>, event: &mut Event) -> Option<()> {
        match self.isa {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the set is only chosen where the processor has it.
            Isa::Avx512 => unsafe { self.decode_avx512(text, event) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Isa::Avx2 => unsafe { self.decode_avx2(text, event) },
            _ => None,
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx2,bmi1,bmi2,lzcnt,popcnt")]
    unsafe fn decode_avx512(&mut self, text: Text<'_>, event: &mut Event) -> Option<()> {
        unsafe { self.decode_with::<crate::wire::simd::Avx512>(text, event) }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    unsafe fn decode_avx2(&mut self, text: Text<'_>, event: &mut Event) -> Option<()> {
        unsafe { self.decode_with::<crate::wire::simd::Avx2>(text, event) }
    }

    /// # Safety
    ///
    /// The caller enables the kernel's features.
    #[inline(always)]
    unsafe fn decode_with<K: Kernel>(&mut self, text: Text<'_>, event: &mut Event) -> Option<()> {
        unsafe {
            let stream = &self.streams[self.table.find::<K>(text, &self.streams)?];
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
                common: &self.common,
                quotes: &self.quotes,
                count,
            };
            match stream.shape {
                Shape::Ticker if count == 24 => frame.ticker::<K, 0>(event),
                Shape::Ticker if count == 30 => frame.ticker::<K, 4>(event),
                Shape::Ticker => None,
                Shape::Depth if count < 16 => None,
                Shape::Depth if frame.has(frame.quote(6), b"\"ps\"") => frame.depth::<K, 4>(event),
                Shape::Depth => frame.depth::<K, 0>(event),
                Shape::Trade => frame.trade::<K>(event),
                Shape::AggTrade if count == 22 => frame.agg_trade::<K, 0>(event, false),
                Shape::AggTrade if count == 26 || count == 28 => frame.agg_trade::<K, 4>(event, count == 28),
                Shape::AggTrade => None,
            }
        }
    }

    /// True where the shapes are decoded by vectors.
    pub(super) fn is_used(&self) -> bool {
        self.isa != Isa::Plain
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
    type Kind = (&'static [u8], &'static [u8], &'static [u8], Shape, &'static [u8]);
    let kinds: [Kind; 8] = [
        (b"@bookTicker", b"bookTicker", b"u", Shape::Ticker, b"b\":\""),
        (b"@depth", b"depthUpdate", b"E", Shape::Depth, b"U\":"),
        (b"@depth@0ms", b"depthUpdate", b"E", Shape::Depth, b"U\":"),
        (b"@depth@100ms", b"depthUpdate", b"E", Shape::Depth, b"U\":"),
        (b"@depth@250ms", b"depthUpdate", b"E", Shape::Depth, b"U\":"),
        (b"@depth@500ms", b"depthUpdate", b"E", Shape::Depth, b"U\":"),
        (b"@trade", b"trade", b"E", Shape::Trade, b"t\":"),
        (b"@aggTrade", b"aggTrade", b"E", Shape::AggTrade, b"p\":\""),
    ];
    kinds
        .into_iter()
        .filter_map(|(name, event, first, shape, next)| {
            let opening = [b"{\"stream\":\"", lower.as_slice(), name, b"\",\"data\":{\"e\":\""];
            let prefix = Literal::new(&[opening.concat().as_slice(), event, b"\",\"", first, b"\":"])?;
            let old = Literal::new(&[b",\"s\":\"", upper, b"\",\"", next])?;
            let new = Literal::new(&[b",\"s\":\"", upper, b"\",\"ps\":\"", upper, b"\",\"", next])?;
            // Within a text, literals are compared by one vector.
            let is_short = new.len() <= 64;
            let instrument = definition.instrument as u16;
            is_short.then_some(Stream { shape, instrument, prefix, middle: [old, new] })
        })
        .collect()
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

    /// The stream whose prefix opens the text.
    #[inline(always)]
    unsafe fn find<K: Kernel>(&self, text: Text<'_>, streams: &[Stream]) -> Option<usize> {
        let key: [u8; 16] = text.as_bytes().get(OPENING..OPENING + 16)?.try_into().ok()?;
        let mut slot = self.slot(key);
        loop {
            let index = usize::from(self.slots[slot]);
            let stream = streams.get(index)?;
            // SAFETY: the literal ends within the text.
            if stream.prefix.len() < text.len() && unsafe { K::matches(text.at(0), &stream.prefix) } {
                return Some(index);
            }
            slot = (slot + 1) % self.slots.len();
        }
    }
}

impl Common {
    fn new() -> Self {
        let literal = |text: &[u8]| match Literal::new(&[text]) {
            Some(literal) => literal,
            None => unreachable!("constants are short"),
        };
        let (integers, last_integers) = (Rows::integer(b','), Rows::integer(b'}'));
        Self {
            integer_proof: Proof::new([integers.proof(); 4]),
            last_integer_proof: Proof::new(
                [&integers, &integers, &last_integers, &integers].map(Rows::proof),
            ),
            integers,
            last_integers,
            market: literal(b"\",\"X\":\"MARKET\",\"m\":"),
            tail: literal(b",\"st\":1}}"),
        }
    }
}

/// A number's place: first digit and length.
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    len: usize,
}

impl Span {
    /// Position behind the number.
    #[inline(always)]
    fn end(self) -> usize {
        self.start.wrapping_add(self.len)
    }
}

/// One frame and what is needed to read it.
struct Frame<'f> {
    text: Text<'f>,
    stream: &'f Stream,
    units: &'f Units,
    common: &'f Common,
    quotes: &'f [u32],
    count: usize,
}

/// Levels of one side, and where it ended.
struct SideEnd {
    levels: usize,
    /// Index of the next quote.
    next_quote: usize,
    /// Position after the last level's closing quote, or after the opening bracket of an empty side.
    position: usize,
}

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
        unsafe { self.text.at(at).cast::<u32>().read_unaligned() }
    }

    /// The number between two positions; too long ones are marked in `long`.
    #[inline(always)]
    fn span(&self, start: usize, end: usize, long: &mut usize) -> Span {
        let len = end.wrapping_sub(start);
        *long |= len;
        Span { start, len }
    }

    /// The number behind the quote of that index.
    #[inline(always)]
    fn quoted(&self, opening: usize, long: &mut usize) -> Span {
        self.span(self.quote(opening) + 1, self.quote(opening + 1), long)
    }

    /// As [`Self::span`], for a number without quotes, which must not begin with a zero.
    #[inline(always)]
    fn integer(&self, start: usize, end: usize, long: &mut usize) -> Span {
        let span = self.span(start, end, long);
        // SAFETY: the position follows a quote.
        let is_zero = unsafe { self.text.at(start).read() } == b'0';
        *long |= usize::from(is_zero && span.len != 1) << 31;
        span
    }

    /// An integer behind a key: `":` stands between the quote and the number, `,` before the next quote.
    #[inline(always)]
    fn bare(&self, key_end: usize, next_quote: usize, long: &mut usize) -> Span {
        self.integer(self.quote(key_end) + 2, self.quote(next_quote).wrapping_sub(1), long)
    }

    #[inline(always)]
    unsafe fn numbers<K: Kernel>(
        &self,
        spans: [Span; 4],
        rows: [&Rows; 4],
        proof: &Proof,
        out: *mut [i64; 4],
    ) -> K::Bad {
        let [a, b, c, d] = spans;
        let [ra, rb, rc, rd] = rows;
        // SAFETY: every span starts behind a quote.
        unsafe {
            let t = self.text;
            let at = [t.at(a.start), t.at(b.start), t.at(c.start), t.at(d.start)];
            K::numbers(at, [ra.row(a.len), rb.row(b.len), rc.row(c.len), rd.row(d.len)], proof, out)
        }
    }

    /// `u s [ps] b B a A T E [st]`; `M` is 4 with "ps" and its value, two pairs of quotes more.
    #[inline(always)]
    unsafe fn ticker<K: Kernel, const M: usize>(&self, event: &mut Event) -> Option<()> {
        let middle = self.quote(0).wrapping_sub(1);
        let mut long = 0;
        let update_id = self.integer(self.stream.prefix.len(), middle, &mut long);
        let venue_time = self.bare(21 + M, 22 + M, &mut long);
        let end = if M == 0 { self.text.len() - 2 } else { self.quote(24 + M) - 1 };
        let event_time = self.integer(self.quote(23 + M) + 2, end, &mut long);
        let bid = self.quoted(6 + M, &mut long);
        let bid_qty = self.quoted(10 + M, &mut long);
        let ask = self.quoted(14 + M, &mut long);
        let ask_qty = self.quoted(18 + M, &mut long);
        let is_shaped = self.has(bid.end(), b"\",\"B\":\"")
            & self.has(bid_qty.end(), b"\",\"a\":\"")
            & self.has(ask.end(), b"\",\"A\":\"")
            & self.has(ask_qty.end(), b"\",\"T\":")
            & self.has(self.quote(22 + M).wrapping_sub(1), b",\"E\":");
        unsafe {
            if !is_shaped || !K::matches(self.text.at(middle), &self.stream.middle[M / 4]) {
                return None;
            }
            let (common, units) = (self.common, self.units);
            let (last, proof, is_ended) = if M == 0 {
                (&common.last_integers, &common.last_integer_proof, self.has(end, b"}}"))
            } else {
                (&common.integers, &common.integer_proof, self.is_tail::<K>(end))
            };
            let spans = [update_id, venue_time, event_time, update_id];
            let rows = [&common.integers, &common.integers, last, &common.integers];
            let mut ids = [0; 4];
            let bad_ids = self.numbers::<K>(spans, rows, proof, &mut ids);
            let rows = [&units.price, &units.qty, &units.price, &units.qty];
            let spans = [bid, bid_qty, ask, ask_qty];
            let bad = self.numbers::<K>(spans, rows, &units.level_proof, event.room());
            if !is_ended || long > 31 || !K::is_clean(K::merge(bad, bad_ids)) {
                return None;
            }
            event.levels.set_len(2);
            event.header = MarketHeader {
                kind: MarketKind::Ticker as u16,
                instrument: self.stream.instrument,
                bids: 1,
                asks: 1,
                last_update_id: ids[0] as u64,
                venue_ms: ids[1] as u64,
                ..MarketHeader::default()
            };
            Some(())
        }
    }

    /// True when the newer form's tail stands at a position and ends the text.
    #[inline(always)]
    unsafe fn is_tail<K: Kernel>(&self, at: usize) -> bool {
        // SAFETY: the literal ends within the text.
        at + self.common.tail.len() == self.text.len()
            && unsafe { K::matches(self.text.at(at), &self.common.tail) }
    }

    /// `E T s [ps] U u pu b a [st]`; `M` as for the ticker. At least sixteen quotes are there.
    #[inline(always)]
    unsafe fn depth<K: Kernel, const M: usize>(&self, event: &mut Event) -> Option<()> {
        let mut long = 0;
        let first = self.quote(0).wrapping_sub(1);
        let event_time = self.integer(self.stream.prefix.len(), first, &mut long);
        let venue_time = self.bare(1, 2, &mut long);
        let first_id = self.bare(7 + M, 8 + M, &mut long);
        let last_id = self.bare(9 + M, 10 + M, &mut long);
        let previous_id = self.bare(11 + M, 12 + M, &mut long);
        let middle = self.quote(2) - 1;
        let is_shaped = self.has(first, b",\"T\":")
            & self.has(self.quote(8 + M) - 1, b",\"u\":")
            & self.has(self.quote(10 + M) - 1, b",\"pu\":")
            & self.has(self.quote(12 + M) - 1, b",\"b\":[");
        unsafe {
            if !is_shaped || !K::matches(self.text.at(middle), &self.stream.middle[M / 4]) {
                return None;
            }
            let integers = &self.common.integers;
            let proof = &self.common.integer_proof;
            let rows = [integers; 4];
            let (mut ids, mut more) = ([0; 4], [0; 4]);
            let spans = [event_time, venue_time, first_id, last_id];
            let bad_ids = self.numbers::<K>(spans, rows, proof, &mut ids);
            let bad_more = self.numbers::<K>([previous_id; 4], rows, proof, &mut more);
            let mut bad = K::merge(bad_ids, bad_more);
            let mut off_tick = 0;
            let out: *mut Level = event.levels.as_mut_ptr();
            let start = self.quote(13 + M) + 3;
            let bids = self.side::<K>(14 + M, start, out, &mut bad, &mut long, &mut off_tick)?;
            if !(self.has(bids.position, b"],\"a\":[")) {
                return None;
            }
            let to = out.add(bids.levels);
            let asks = self.side::<K>(
                bids.next_quote + 2,
                bids.position + 7,
                to,
                &mut bad,
                &mut long,
                &mut off_tick,
            )?;
            let end = asks.position + 1;
            let is_ended = self.has(asks.position, b"]")
                & if M == 0 {
                    self.has(end, b"}}") && end + 2 == self.text.len()
                } else {
                    self.is_tail::<K>(end)
                };
            let total = bids.levels + asks.levels;
            if !is_ended || long > 31 || total > LEVELS_MAX || !K::is_clean(bad) {
                return None;
            }
            event.levels.set_len(total);
            event.header = MarketHeader {
                kind: MarketKind::Depth as u16,
                instrument: self.stream.instrument,
                bids: bids.levels as u16,
                asks: asks.levels as u16,
                first_update_id: ids[2] as u64,
                last_update_id: ids[3] as u64,
                previous_update_id: more[0] as u64,
                venue_ms: ids[1] as u64,
                off_tick,
                ..MarketHeader::default()
            };
            Some(())
        }
    }

    /// `["price","qty"],..`, two levels a step; `first` is the index of the first quote, `start` the position
    /// after the opening bracket.
    #[inline(always)]
    unsafe fn side<K: Kernel>(
        &self,
        first: usize,
        start: usize,
        out: *mut Level,
        bad: &mut K::Bad,
        long: &mut usize,
        off_tick: &mut u32,
    ) -> Option<SideEnd> {
        const NEXT: u32 = u32::from_ne_bytes(*b"],[\"");
        const BETWEEN: u32 = u32::from_ne_bytes(*b"\",\"\0");
        const BETWEEN_MASK: u32 = u32::from_ne_bytes([0xff, 0xff, 0xff, 0]);
        if self.quote(first.min(self.count)) != start + 1 || !self.has(start, b"[\"") {
            return Some(SideEnd { levels: 0, next_quote: first, position: start });
        }
        let units = self.units;
        let rows = [&units.price, &units.qty, &units.price, &units.qty];
        let (mut i, mut count, mut between) = (first, 0, 0);
        unsafe {
            loop {
                if i > self.count || count > LEVELS_MAX {
                    return None;
                }
                let mut long_b = 0;
                let (price, qty) = (self.quoted(i, long), self.quoted(i + 2, long));
                let (price_b, qty_b) = (self.quoted(i + 4, &mut long_b), self.quoted(i + 6, &mut long_b));
                let (price_end, qty_end) = (price.end(), qty.end());
                let (price_b_end, qty_b_end) = (price_b.end(), qty_b.end());
                let spans = [price, qty, price_b, qty_b];
                let pair = out.add(count);
                let step = self.numbers::<K>(spans, rows, &units.level_proof, pair.cast());
                between |= (self.word(price_end) ^ BETWEEN) & BETWEEN_MASK;
                *off_tick += u32::from(!units.tick.divides((*pair).price));
                // The padding behind the text holds the byte after a last quote.
                if self.word(qty_end + 1) != NEXT {
                    *bad = K::merge_low(*bad, step);
                    (i, count) = (i + 4, count + 1);
                    let end = SideEnd { levels: count, next_quote: i, position: qty_end + 2 };
                    return (between == 0 && self.has(qty_end + 1, b"]")).then_some(end);
                }
                between |= (self.word(price_b_end) ^ BETWEEN) & BETWEEN_MASK;
                *bad = K::merge(*bad, step);
                *long |= long_b;
                *off_tick += u32::from(!units.tick.divides((*pair.add(1)).price));
                (i, count) = (i + 8, count + 2);
                if self.word(qty_b_end + 1) != NEXT {
                    let end = SideEnd { levels: count, next_quote: i, position: qty_b_end + 2 };
                    return (between == 0 && self.has(qty_b_end + 1, b"]")).then_some(end);
                }
            }
        }
    }

    /// `E T s t p q X m`.
    #[inline(always)]
    unsafe fn trade<K: Kernel>(&self, event: &mut Event) -> Option<()> {
        if self.count != 22 {
            return None;
        }
        let mut long = 0;
        let first = self.quote(0).wrapping_sub(1);
        let event_time = self.integer(self.stream.prefix.len(), first, &mut long);
        let venue_time = self.bare(1, 2, &mut long);
        let id = self.bare(7, 8, &mut long);
        let (price, qty) = (self.quoted(10, &mut long), self.quoted(14, &mut long));
        let is_shaped = self.has(first, b",\"T\":")
            & self.has(self.quote(8) - 1, b",\"p\":\"")
            & self.has(self.quote(11), b"\",\"q\":\"");
        unsafe {
            let is_shaped = is_shaped
                && K::matches(self.text.at(self.quote(2) - 1), &self.stream.middle[0])
                && K::matches(self.text.at(self.quote(15)), &self.common.market);
            let is_sell = self.aggressor(self.quote(21) + 2, false)?;
            let units = self.units;
            let integers = &self.common.integers;
            let rows = [&units.price, &units.qty, integers, integers];
            let (mut n, mut times) = ([0; 4], [0; 4]);
            let bad = self.numbers::<K>([price, qty, venue_time, id], rows, &units.trade_proof, &mut n);
            let proof = &self.common.integer_proof;
            let bad_time = self.numbers::<K>([event_time; 4], [integers; 4], proof, &mut times);
            if !is_shaped || long > 31 || !K::is_clean(K::merge(bad, bad_time)) {
                return None;
            }
            self.put_trade(event, n, is_sell);
            Some(())
        }
    }

    /// `E a s p q [nq] f l T m [st]`; `M` is 4 with "nq" and its value.
    #[inline(always)]
    unsafe fn agg_trade<K: Kernel, const M: usize>(&self, event: &mut Event, has_tail: bool) -> Option<()> {
        let mut long = 0;
        let first = self.quote(0).wrapping_sub(1);
        let event_time = self.integer(self.stream.prefix.len(), first, &mut long);
        let id = self.bare(1, 2, &mut long);
        let (price, qty) = (self.quoted(8, &mut long), self.quoted(12, &mut long));
        // Without "nq" the quantity stands in for it.
        let net_qty = self.quoted(12 + M, &mut long);
        let first_trade = self.bare(15 + M, 16 + M, &mut long);
        let last_trade = self.bare(17 + M, 18 + M, &mut long);
        let venue_time = self.bare(19 + M, 20 + M, &mut long);
        let is_shaped = self.has(first, b",\"a\":")
            & self.has(self.quote(9), b"\",\"q\":\"")
            & (M == 0 || self.has(self.quote(13), b"\",\"nq\":\""))
            & self.has(self.quote(13 + M), b"\",\"f\":")
            & self.has(self.quote(16 + M) - 1, b",\"l\":")
            & self.has(self.quote(18 + M) - 1, b",\"T\":")
            & self.has(self.quote(20 + M) - 1, b",\"m\":");
        unsafe {
            let is_shaped = is_shaped && K::matches(self.text.at(self.quote(2) - 1), &self.stream.middle[0]);
            let is_sell = self.aggressor_and_end::<K>(self.quote(21 + M) + 2, has_tail)?;
            let units = self.units;
            let integers = &self.common.integers;
            let rows = [&units.price, &units.qty, &units.qty, integers];
            let (mut n, mut ids) = ([0; 4], [0; 4]);
            let spans = [price, qty, net_qty, venue_time];
            let bad = self.numbers::<K>(spans, rows, &units.agg_trade_proof, &mut n);
            let spans = [event_time, id, first_trade, last_trade];
            let bad_ids = self.numbers::<K>(spans, [integers; 4], &self.common.integer_proof, &mut ids);
            if !is_shaped || long > 31 || !K::is_clean(K::merge(bad, bad_ids)) {
                return None;
            }
            self.put_trade(event, [n[0], n[1], n[3], ids[1]], is_sell);
            Some(())
        }
    }

    /// Reads `true` or `false` and the braces that end the frame; true means that the aggressor sold.
    #[inline(always)]
    fn aggressor(&self, at: usize, has_tail: bool) -> Option<bool> {
        let is_sell = self.has(at, b"true");
        let end = at + if is_sell { 4 } else { 5 };
        let is_word = is_sell | self.has(at, b"false");
        let is_ended = has_tail || (end + 2 == self.text.len() && self.has(end, b"}}"));
        (is_word && is_ended).then_some(is_sell)
    }

    #[inline(always)]
    unsafe fn aggressor_and_end<K: Kernel>(&self, at: usize, has_tail: bool) -> Option<bool> {
        let is_sell = self.aggressor(at, has_tail)?;
        let end = at + if is_sell { 4 } else { 5 };
        // SAFETY: the end is within the text, because a word of the text stands before it.
        (!has_tail || unsafe { self.is_tail::<K>(end) }).then_some(is_sell)
    }

    /// The event of a trade from `[price, qty, venue time, id]`.
    #[inline(always)]
    fn put_trade(&self, event: &mut Event, n: [i64; 4], is_sell: bool) {
        event.levels.push(Level { price: n[0], qty: n[1] });
        event.header = MarketHeader {
            kind: MarketKind::Trade as u16,
            instrument: self.stream.instrument,
            bids: u16::from(!is_sell),
            asks: u16::from(is_sell),
            venue_ms: n[2] as u64,
            last_update_id: n[3] as u64,
            ..MarketHeader::default()
        };
    }
}
