//! The walk over an event's fields in any order, a byte at a time: for processors without the kernels, for raw
//! streams, and for whatever the known shapes do not cover.

use super::{Found, MARK_SCALE, MARKET_TRADE, find_symbol, is_partial_depth};
use crate::{
    market::{LEVELS_MAX, Level, MarketHeader, MarketKind},
    wire::json::{Cursor, Irregular},
};
use tickpath_shared::types::InstrumentDefinition;

/// Decodes a frame whose keys are known and whose text is plain.
pub(super) fn walk(
    frame: &[u8],
    instruments: &[InstrumentDefinition],
    levels: &mut Vec<Level>,
) -> Result<Found, Irregular> {
    let mut cursor = Cursor::new(frame);
    let is_combined = cursor.literal(b"{\"stream\":").is_ok();
    if is_combined {
        let stream = cursor.string()?;
        cursor.literal(b",\"data\":")?;
        if is_partial_depth(stream) {
            return Ok(Found::Ignored);
        }
    }
    cursor.literal(b"{\"e\":")?;
    let mut event = Event { instruments, levels, seen: 0 };
    let decoded = match cursor.string()? {
        b"bookTicker" => event.ticker(&mut cursor)?,
        b"depthUpdate" => event.depth(&mut cursor)?,
        b"trade" => event.trade(&mut cursor, b"t")?,
        b"aggTrade" => event.trade(&mut cursor, b"a")?,
        b"markPriceUpdate" => event.mark(&mut cursor)?,
        _ => return Err(Irregular),
    };
    if is_combined {
        cursor.literal(b"}")?;
    }
    if cursor.is_end() { Ok(decoded) } else { Err(Irregular) }
}

/// Shows every number of a flat event: key, first digit, length, and whether quotes enclose it. The frame is one
/// that [`walk`] decoded.
pub(super) fn numbers(
    frame: &[u8],
    mut show: impl FnMut(&[u8], usize, usize, bool) -> Result<(), Irregular>,
) -> Result<(), Irregular> {
    let mut cursor = Cursor::new(frame);
    if cursor.literal(b"{\"stream\":").is_ok() {
        cursor.string()?;
        cursor.literal(b",\"data\":")?;
    }
    cursor.literal(b"{")?;
    loop {
        let key = cursor.key()?;
        let start = cursor.offset();
        let is_quoted = cursor.peek() == b'"';
        cursor.skip_scalar()?;
        let within = usize::from(is_quoted);
        let (first, end) = (start + within, cursor.offset() - within);
        // A sign stays a part of the structure.
        let first = first + usize::from(frame[first] == b'-');
        let is_number = first < end && frame[first..end].iter().all(|b| b.is_ascii_digit() || *b == b'.');
        if is_number {
            show(key, first, end - first, is_quoted)?;
        }
        if !cursor.take(b',') {
            return cursor.literal(b"}");
        }
    }
}

/// State of decoding one event object, after its `e`.
struct Event<'d> {
    instruments: &'d [InstrumentDefinition],
    levels: &'d mut Vec<Level>,
    /// Known fields seen, one bit each: a repeated field is irregular.
    seen: u32,
}

impl Event<'_> {
    fn mark_seen(&mut self, bit: u32) -> Result<(), Irregular> {
        let mask = 1 << bit;
        if self.seen & mask != 0 {
            return Err(Irregular);
        }
        self.seen |= mask;
        Ok(())
    }

    /// Walks the remaining fields; `field` returns false for a key it does not know.
    #[inline]
    fn fields<'a>(
        &mut self,
        cursor: &mut Cursor<'a>,
        mut field: impl FnMut(&mut Self, &mut Cursor<'a>, &'a [u8]) -> Result<bool, Irregular>,
    ) -> Result<(), Irregular> {
        while cursor.take(b',') {
            let key = cursor.key()?;
            // The event's name once more.
            if key == b"e" {
                return Err(Irregular);
            }
            if !field(self, cursor, key)? {
                cursor.skip_scalar()?;
            }
        }
        cursor.literal(b"}")
    }

    fn symbol(&self, cursor: &mut Cursor<'_>) -> Result<Option<usize>, Irregular> {
        Ok(find_symbol(self.instruments, cursor.string()?))
    }

    fn depth(&mut self, cursor: &mut Cursor<'_>) -> Result<Found, Irregular> {
        let mut header = MarketHeader { kind: MarketKind::Depth as u16, ..MarketHeader::default() };
        let mut symbol = None;
        let mut is_unknown = false;
        self.fields(cursor, |event, cursor, key| {
            let bit = match key {
                b"s" => 0,
                b"T" => 1,
                b"U" => 2,
                b"u" => 3,
                b"pu" => 4,
                b"b" => 5,
                b"a" => 6,
                _ => return Ok(false),
            };
            event.mark_seen(bit)?;
            match bit {
                0 => {
                    symbol = event.symbol(cursor)?;
                    is_unknown = symbol.is_none();
                }
                1 => header.venue_ms = cursor.unsigned()?,
                2 => header.first_update_id = cursor.unsigned()?,
                3 => header.last_update_id = cursor.unsigned()?,
                4 => header.previous_update_id = cursor.unsigned()?,
                5 => header.bids = event.side(cursor, symbol, is_unknown, &mut header.off_tick)?,
                // Asks follow bids in the event; the other order is for the general parser.
                _ if event.seen & (1 << 5) == 0 => return Err(Irregular),
                _ => header.asks = event.side(cursor, symbol, is_unknown, &mut header.off_tick)?,
            }
            Ok(true)
        })?;
        self.finish(header, symbol, is_unknown, 0b111_1111)
    }

    /// `[["price","qty"],..]`; returns how many.
    fn side(
        &mut self,
        cursor: &mut Cursor<'_>,
        symbol: Option<usize>,
        is_unknown: bool,
        off_tick: &mut u32,
    ) -> Result<u16, Irregular> {
        let definition = match symbol {
            Some(index) => &self.instruments[index],
            // Levels before the symbol have no units yet; those of a foreign symbol only need skipping.
            None if is_unknown => &self.instruments[0],
            None => return Err(Irregular),
        };
        cursor.literal(b"[")?;
        if cursor.take(b']') {
            return Ok(0);
        }
        let before = self.levels.len();
        loop {
            cursor.literal(b"[")?;
            let price = cursor.quoted_decimal(definition.price_scale)?;
            cursor.literal(b",")?;
            let qty = cursor.quoted_decimal(definition.qty_scale)?;
            cursor.literal(b"]")?;
            if self.levels.len() == LEVELS_MAX {
                return Err(Irregular);
            }
            *off_tick += u32::from(price % definition.tick != 0);
            self.levels.push(Level { price, qty });
            if !cursor.take(b',') {
                break;
            }
        }
        cursor.literal(b"]")?;
        Ok((self.levels.len() - before) as u16)
    }

    fn ticker(&mut self, cursor: &mut Cursor<'_>) -> Result<Found, Irregular> {
        let mut header =
            MarketHeader { kind: MarketKind::Ticker as u16, bids: 1, asks: 1, ..MarketHeader::default() };
        let mut symbol = None;
        let (mut bid, mut ask) = (Level::default(), Level::default());
        self.fields(cursor, |event, cursor, key| {
            let bit = match key {
                b"s" => 0,
                b"T" => 1,
                b"u" => 2,
                b"b" => 3,
                b"B" => 4,
                b"a" => 5,
                b"A" => 6,
                _ => return Ok(false),
            };
            event.mark_seen(bit)?;
            if bit == 0 {
                symbol = event.symbol(cursor)?;
                return symbol.map(|_| true).ok_or(Irregular);
            }
            if bit <= 2 {
                let value = cursor.unsigned()?;
                *(if bit == 1 { &mut header.venue_ms } else { &mut header.last_update_id }) = value;
                return Ok(true);
            }
            let definition = &event.instruments[symbol.ok_or(Irregular)?];
            match bit {
                3 => bid.price = cursor.quoted_decimal(definition.price_scale)?,
                4 => bid.qty = cursor.quoted_decimal(definition.qty_scale)?,
                5 => ask.price = cursor.quoted_decimal(definition.price_scale)?,
                _ => ask.qty = cursor.quoted_decimal(definition.qty_scale)?,
            }
            Ok(true)
        })?;
        self.levels.extend([bid, ask]);
        self.finish(header, symbol, false, 0b111_1111)
    }

    /// `trade` has its id in `t`, `aggTrade` in `a`; `m` (buyer is maker) means the aggressor sold.
    fn trade(&mut self, cursor: &mut Cursor<'_>, id_key: &[u8]) -> Result<Found, Irregular> {
        let mut header = MarketHeader { kind: MarketKind::Trade as u16, ..MarketHeader::default() };
        let mut symbol = None;
        let mut level = Level::default();
        let (mut is_sell, mut is_market) = (false, true);
        self.fields(cursor, |event, cursor, key| {
            let bit = match key {
                b"s" => 0,
                b"T" => 1,
                b"p" => 2,
                b"q" => 3,
                b"m" => 4,
                b"X" => 5,
                _ if key == id_key => 6,
                _ => return Ok(false),
            };
            event.mark_seen(bit)?;
            match bit {
                0 => symbol = Some(event.symbol(cursor)?.ok_or(Irregular)?),
                1 => header.venue_ms = cursor.unsigned()?,
                4 => is_sell = boolean(cursor)?,
                5 => is_market = cursor.string()? == MARKET_TRADE,
                6 => header.last_update_id = cursor.unsigned()?,
                _ => {
                    let definition = &event.instruments[symbol.ok_or(Irregular)?];
                    if bit == 2 {
                        level.price = cursor.quoted_decimal(definition.price_scale)?;
                    } else {
                        level.qty = cursor.quoted_decimal(definition.qty_scale)?;
                    }
                }
            }
            Ok(true)
        })?;
        self.levels.push(level);
        *(if is_sell { &mut header.asks } else { &mut header.bids }) = 1;
        // The class of a trade is optional, everything else is not.
        let decoded = self.finish(header, symbol, false, 0b101_1111)?;
        Ok(if is_market { decoded } else { Found::Ignored })
    }

    fn mark(&mut self, cursor: &mut Cursor<'_>) -> Result<Found, Irregular> {
        let mut header = MarketHeader { kind: MarketKind::Mark as u16, bids: 1, ..MarketHeader::default() };
        let mut symbol = None;
        let mut price = 0;
        self.fields(cursor, |event, cursor, key| {
            let bit = match key {
                b"s" => 0,
                b"E" => 1,
                b"p" => 2,
                // The funding rate may be negative; the general skipper knows no strings as numbers.
                _ => return Ok(false),
            };
            event.mark_seen(bit)?;
            match bit {
                0 => symbol = Some(event.symbol(cursor)?.ok_or(Irregular)?),
                1 => header.venue_ms = cursor.unsigned()?,
                _ => price = cursor.quoted_decimal(MARK_SCALE)?,
            }
            Ok(true)
        })?;
        self.levels.push(Level { price, qty: 0 });
        self.finish(header, symbol, false, 0b111)
    }

    fn finish(
        &self,
        mut header: MarketHeader,
        symbol: Option<usize>,
        is_unknown: bool,
        required: u32,
    ) -> Result<Found, Irregular> {
        if self.seen & required != required {
            return Err(Irregular);
        }
        if is_unknown {
            return Ok(Found::UnknownSymbol);
        }
        header.instrument = symbol.ok_or(Irregular)? as u16;
        Ok(Found::Event(header))
    }
}

fn boolean(cursor: &mut Cursor<'_>) -> Result<bool, Irregular> {
    if cursor.literal(b"true").is_ok() {
        return Ok(true);
    }
    cursor.literal(b"false").map(|()| false)
}
