//! The general parser: simd-json with reused buffers, for every frame of an irregular shape and for REST
//! snapshots. Decides by the same rules as the schema-directed decoder.

use super::SHUTDOWN;
use super::decode::{DecodeError, Found, MARK_SCALE, MARKET_TRADE, find_symbol, is_partial_depth};
use crate::market::{LEVELS_MAX, Level, MarketHeader, MarketKind};
use simd_json::{Buffers, Tape, prelude::*, tape::Value};
use tickpath_shared::types::{InstrumentDefinition, decimal};

/// Reused memory of the parser.
pub(super) struct Fallback {
    text: Vec<u8>,
    buffers: Buffers,
    /// Empty between two calls; kept for its memory.
    tape: Option<Tape<'static>>,
}

type Node<'t> = Value<'t, 't>;

impl Fallback {
    pub(super) fn new(bytes_max: usize) -> Self {
        let tape = Tape(Vec::with_capacity(bytes_max / 4));
        Self { text: crate::pages::room(bytes_max), buffers: Buffers::new(bytes_max), tape: Some(tape) }
    }

    /// Parses `text` and hands the root to `read`.
    fn parse<R>(
        &mut self,
        text: &[u8],
        read: impl FnOnce(Node<'_>) -> Result<R, DecodeError>,
    ) -> Result<R, DecodeError> {
        self.text.clear();
        self.text.extend_from_slice(text);
        let mut tape = self.tape.take().unwrap_or_else(|| Tape(Vec::new())).reset();
        let result = match simd_json::fill_tape(&mut self.text, &mut self.buffers, &mut tape) {
            Ok(()) => read(tape.as_value()),
            Err(_) => Err(DecodeError::Syntax),
        };
        self.tape = Some(tape.reset());
        result
    }

    pub(super) fn decode(
        &mut self,
        frame: &[u8],
        instruments: &[InstrumentDefinition],
        levels: &mut Vec<Level>,
    ) -> Result<Found, DecodeError> {
        self.parse(frame, |root| {
            let Some(object) = root.as_object() else { return Ok(Found::Ignored) };
            // The wrapper's fields come together: without the stream's name a partial book would pass for a diff.
            let event = if object.get("stream").is_some() || object.get("data").is_some() {
                if is_partial_depth(text(root, "stream")?.as_bytes()) {
                    return Ok(Found::Ignored);
                }
                once(root, "data")?
            } else {
                root
            };
            if event.get("e").is_none() {
                return Ok(Found::Ignored);
            }
            match text(event, "e")? {
                "depthUpdate" => depth(event, instruments, levels),
                "bookTicker" => ticker(event, instruments, levels),
                "trade" => trade(event, instruments, levels, "t"),
                "aggTrade" => trade(event, instruments, levels, "a"),
                "markPriceUpdate" => mark(event, instruments, levels),
                SHUTDOWN => Ok(Found::Closing),
                _ => Ok(Found::Ignored),
            }
        })
    }

    pub(super) fn decode_snapshot(
        &mut self,
        body: &[u8],
        definition: &InstrumentDefinition,
        levels: &mut Vec<Level>,
    ) -> Result<MarketHeader, DecodeError> {
        self.parse(body, |root| {
            let mut header = MarketHeader {
                kind: MarketKind::Snapshot as u16,
                instrument: definition.instrument as u16,
                last_update_id: unsigned(root, "lastUpdateId")?,
                venue_ms: root.get_u64("T").unwrap_or(0),
                ..MarketHeader::default()
            };
            header.bids = side(root, "bids", definition, levels, &mut header.off_tick)?;
            header.asks = side(root, "asks", definition, levels, &mut header.off_tick)?;
            Ok(header)
        })
    }
}

/// A field that stands exactly once.
fn once<'t>(event: Node<'t>, key: &'static str) -> Result<Node<'t>, DecodeError> {
    let object = event.as_object().ok_or(DecodeError::Field(key))?;
    let mut found = object.iter().filter(|(k, _)| *k == key).map(|(_, v)| v);
    match (found.next(), found.next()) {
        (Some(value), None) => Ok(value),
        _ => Err(DecodeError::Field(key)),
    }
}

fn unsigned(event: Node<'_>, key: &'static str) -> Result<u64, DecodeError> {
    once(event, key)?.as_u64().ok_or(DecodeError::Field(key))
}

fn text<'t>(event: Node<'t>, key: &'static str) -> Result<&'t str, DecodeError> {
    once(event, key)?.into_string().ok_or(DecodeError::Field(key))
}

fn amount(text: Option<&str>, scale: u8, key: &'static str) -> Result<i64, DecodeError> {
    let text = text.ok_or(DecodeError::Field(key))?;
    let value = decimal::parse(text.as_bytes(), scale).map_err(|_| DecodeError::Number(key))?;
    if value < 0 { Err(DecodeError::Number(key)) } else { Ok(value) }
}

fn decimal_field(event: Node<'_>, key: &'static str, scale: u8) -> Result<i64, DecodeError> {
    amount(Some(text(event, key)?), scale, key)
}

fn side(
    event: Node<'_>,
    key: &'static str,
    definition: &InstrumentDefinition,
    levels: &mut Vec<Level>,
    off_tick: &mut u32,
) -> Result<u16, DecodeError> {
    let before = levels.len();
    for level in once(event, key)?.as_array().ok_or(DecodeError::Field(key))?.iter() {
        let pair = level.as_array().filter(|p| p.len() == 2).ok_or(DecodeError::Field(key))?;
        let mut parts = pair.iter().map(|part| part.into_string());
        let price = amount(parts.next().flatten(), definition.price_scale, key)?;
        let qty = amount(parts.next().flatten(), definition.qty_scale, key)?;
        if levels.len() == LEVELS_MAX {
            return Err(DecodeError::TooManyLevels);
        }
        *off_tick += u32::from(price % definition.tick != 0);
        levels.push(Level { price, qty });
    }
    Ok((levels.len() - before) as u16)
}

fn depth(
    event: Node<'_>,
    instruments: &[InstrumentDefinition],
    levels: &mut Vec<Level>,
) -> Result<Found, DecodeError> {
    let Some(index) = find_symbol(instruments, text(event, "s")?.as_bytes()) else {
        return Ok(Found::UnknownSymbol);
    };
    let mut header = MarketHeader {
        kind: MarketKind::Depth as u16,
        instrument: index as u16,
        venue_ms: unsigned(event, "T")?,
        first_update_id: unsigned(event, "U")?,
        last_update_id: unsigned(event, "u")?,
        previous_update_id: unsigned(event, "pu")?,
        ..MarketHeader::default()
    };
    header.bids = side(event, "b", &instruments[index], levels, &mut header.off_tick)?;
    header.asks = side(event, "a", &instruments[index], levels, &mut header.off_tick)?;
    Ok(Found::Event(header))
}

fn ticker(
    event: Node<'_>,
    instruments: &[InstrumentDefinition],
    levels: &mut Vec<Level>,
) -> Result<Found, DecodeError> {
    let Some(index) = find_symbol(instruments, text(event, "s")?.as_bytes()) else {
        return Ok(Found::UnknownSymbol);
    };
    let definition = &instruments[index];
    for (price, qty) in [("b", "B"), ("a", "A")] {
        levels.push(Level {
            price: decimal_field(event, price, definition.price_scale)?,
            qty: decimal_field(event, qty, definition.qty_scale)?,
        });
    }
    Ok(Found::Event(MarketHeader {
        kind: MarketKind::Ticker as u16,
        instrument: index as u16,
        bids: 1,
        asks: 1,
        last_update_id: unsigned(event, "u")?,
        venue_ms: unsigned(event, "T")?,
        ..MarketHeader::default()
    }))
}

fn trade(
    event: Node<'_>,
    instruments: &[InstrumentDefinition],
    levels: &mut Vec<Level>,
    id_key: &'static str,
) -> Result<Found, DecodeError> {
    let Some(index) = find_symbol(instruments, text(event, "s")?.as_bytes()) else {
        return Ok(Found::UnknownSymbol);
    };
    let definition = &instruments[index];
    let is_sell = once(event, "m")?.as_bool().ok_or(DecodeError::Field("m"))?;
    levels.push(Level {
        price: decimal_field(event, "p", definition.price_scale)?,
        qty: decimal_field(event, "q", definition.qty_scale)?,
    });
    let header = MarketHeader {
        kind: MarketKind::Trade as u16,
        instrument: index as u16,
        bids: u16::from(!is_sell),
        asks: u16::from(is_sell),
        last_update_id: unsigned(event, id_key)?,
        venue_ms: unsigned(event, "T")?,
        ..MarketHeader::default()
    };
    let is_market = event.get_str("X").is_none_or(|class| class.as_bytes() == MARKET_TRADE);
    Ok(if is_market { Found::Event(header) } else { Found::Ignored })
}

fn mark(
    event: Node<'_>,
    instruments: &[InstrumentDefinition],
    levels: &mut Vec<Level>,
) -> Result<Found, DecodeError> {
    let Some(index) = find_symbol(instruments, text(event, "s")?.as_bytes()) else {
        return Ok(Found::UnknownSymbol);
    };
    levels.push(Level { price: decimal_field(event, "p", MARK_SCALE)?, qty: 0 });
    Ok(Found::Event(MarketHeader {
        kind: MarketKind::Mark as u16,
        instrument: index as u16,
        bids: 1,
        venue_ms: unsigned(event, "E")?,
        ..MarketHeader::default()
    }))
}
