//! Schema-directed decoder of market frames: `depthUpdate`, `bookTicker`, `trade`, `aggTrade`,
//! `markPriceUpdate`, combined (`{"stream":..,"data":..}`) or raw.
//!
//! Four ways, each for what the one before left: the layout of an earlier frame, diffs by vectors, a walk over
//! the fields in any order, and the general parser. Unknown scalar fields are skipped by the walk; anything
//! irregular goes to the general parser. Source: Binance USD-M Futures, WebSocket Market Streams.

mod diffs;
mod lanes;
mod layouts;
mod plain;
mod shapes;
mod units;
mod vectors;
mod walk;

use super::fallback::Fallback;
use crate::{
    market::{LEVELS_MAX, Level, MarketEvent, MarketHeader},
    pages,
    wire::{
        simd::Isa,
        text::{PADDING, Text},
    },
};
use thiserror::Error;
use tickpath_shared::types::InstrumentDefinition;
use vectors::Vectors;

/// Decimal places of a mark price, whatever the instrument's units.
pub(super) const MARK_SCALE: u8 = 8;

/// Trades that move the market; others (insurance fund, ADL) print prices far from it.
pub(super) const MARKET_TRADE: &[u8] = b"MARKET";

/// What a frame turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A market event: [`MarketDecoder::event`].
    Event,
    /// Well-formed and of no use to us.
    Ignored,
    /// A known event of a symbol that is not configured.
    UnknownSymbol,
    /// The venue will close the connection.
    Closing,
}

/// What the walk and the general parser find: the header by value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Event(MarketHeader),
    Ignored,
    UnknownSymbol,
    Closing,
}

/// Why a frame could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// No JSON at all.
    #[error("not JSON")]
    Syntax,
    /// A field is missing, repeated or of the wrong type.
    #[error("field {0:?} missing, repeated or of the wrong type")]
    Field(&'static str),
    /// A price or quantity without an exact value in the instrument's units.
    #[error("field {0:?}: no exact value in the instrument's units")]
    Number(&'static str),
    /// More levels than an event can carry.
    #[error("more than {LEVELS_MAX} levels")]
    TooManyLevels,
}

/// The event decoded last.
struct Event {
    header: MarketHeader,
    levels: Vec<Level>,
}

impl Event {
    fn with_room(levels: usize) -> Self {
        Self { header: MarketHeader::default(), levels: pages::room(levels) }
    }

    /// Room for two levels, as the kernels store them.
    fn room(&mut self) -> *mut [i64; 4] {
        debug_assert!(self.levels.capacity() >= 2);
        self.levels.as_mut_ptr().cast()
    }
}

/// Decodes the frames of one feed.
pub struct MarketDecoder {
    instruments: Vec<InstrumentDefinition>,
    event: Event,
    vectors: Vectors,
    fallback: Fallback,
    /// Copy of a text that nothing readable follows.
    padded: Vec<u8>,
    walks: u64,
    fallbacks: u64,
}

impl MarketDecoder {
    /// A decoder for these instruments, with the best instruction set of this processor unless
    /// [`Isa::VARIABLE`] names another. Allocates everything it will ever need for frames up to
    /// `frame_bytes_max`.
    pub fn new(instruments: &[InstrumentDefinition], frame_bytes_max: usize) -> Self {
        // Programs refuse a wrong name at their start.
        Self::with_isa(Isa::choose().unwrap_or(Isa::Plain), instruments, frame_bytes_max)
    }

    /// As [`Self::new`], with an instruction set of [`Isa::available`].
    pub fn with_isa(isa: Isa, instruments: &[InstrumentDefinition], frame_bytes_max: usize) -> Self {
        Self {
            instruments: instruments.to_vec(),
            event: Event::with_room(Vectors::levels_room()),
            vectors: Vectors::new(isa, instruments),
            fallback: Fallback::new(frame_bytes_max),
            padded: pages::room(frame_bytes_max + PADDING),
            walks: 0,
            fallbacks: 0,
        }
    }

    /// The event decoded last; after anything else than [`Decoded::Event`] it is nothing.
    #[inline]
    pub fn event(&self) -> MarketEvent<'_> {
        MarketEvent { header: &self.event.header, levels: &self.event.levels }
    }

    /// Header of the event decoded last, for its stamps and cause.
    #[inline]
    pub fn header_mut(&mut self) -> &mut MarketHeader {
        &mut self.event.header
    }

    /// Header of the event decoded last.
    #[inline]
    pub fn header(&self) -> &MarketHeader {
        &self.event.header
    }

    /// Levels of the event decoded last: bids, then asks.
    #[inline]
    pub fn levels(&self) -> &[Level] {
        &self.event.levels
    }

    /// How many instruments it knows.
    pub fn instruments(&self) -> usize {
        self.instruments.len()
    }

    /// Frames that needed the general parser.
    pub fn fallbacks(&self) -> u64 {
        self.fallbacks
    }

    /// Frames that were not decoded by vectors, the general parser's included.
    pub fn walks(&self) -> u64 {
        self.walks
    }

    /// Decodes one frame. The header's stamps and cause are left to the caller.
    ///
    /// # Errors
    ///
    /// [`DecodeError`]: the frame is of no known shape; nothing of it may be used.
    #[inline]
    pub fn decode(&mut self, frame: Text<'_>) -> Result<Decoded, DecodeError> {
        self.event.levels.clear();
        match self.vectors.decode(frame, &mut self.event) {
            Some(()) => Ok(Decoded::Event),
            None => self.decode_other(frame),
        }
    }

    /// As [`Self::decode`], for a frame that nothing readable follows: it is copied first.
    ///
    /// # Errors
    ///
    /// [`DecodeError`].
    pub fn decode_bytes(&mut self, frame: &[u8]) -> Result<Decoded, DecodeError> {
        let mut padded = std::mem::take(&mut self.padded);
        padded.clear();
        padded.extend_from_slice(frame);
        padded.resize(frame.len() + PADDING, 0);
        let decoded = Text::new(&padded, frame.len()).map(|text| self.decode(text));
        self.padded = padded;
        decoded.unwrap_or(Err(DecodeError::Syntax))
    }

    #[cold]
    fn decode_other(&mut self, text: Text<'_>) -> Result<Decoded, DecodeError> {
        let frame = text.as_bytes();
        self.walks += 1;
        self.event.levels.clear();
        if let Ok(found) = walk::walk(frame, &self.instruments, &mut self.event.levels) {
            let decoded = self.keep(found);
            if decoded == Decoded::Event {
                self.vectors.learn(text, &self.instruments, &self.event);
            }
            return Ok(decoded);
        }
        self.fallbacks += 1;
        self.event.levels.clear();
        let found = self.fallback.decode(frame, &self.instruments, &mut self.event.levels)?;
        Ok(self.keep(found))
    }

    fn keep(&mut self, found: Found) -> Decoded {
        match found {
            Found::Event(header) => {
                self.event.header = header;
                Decoded::Event
            }
            Found::Ignored => Decoded::Ignored,
            Found::UnknownSymbol => Decoded::UnknownSymbol,
            Found::Closing => Decoded::Closing,
        }
    }

    /// Decodes a REST answer with a full book of `instrument` (`GET /fapi/v1/depth`).
    ///
    /// # Errors
    ///
    /// [`DecodeError`].
    pub fn decode_snapshot(&mut self, body: &[u8], instrument: usize) -> Result<MarketHeader, DecodeError> {
        self.event.levels.clear();
        self.fallback.decode_snapshot(body, &self.instruments[instrument], &mut self.event.levels)
    }
}

/// Streams `<symbol>@depth5`, `10` and `20` send whole books in the shape of diffs.
pub(super) fn is_partial_depth(stream: &[u8]) -> bool {
    let name = stream.iter().position(|&b| b == b'@').map_or(&[][..], |at| &stream[at..]);
    name.strip_prefix(b"@depth").is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_digit))
}

/// Index of a symbol.
pub(super) fn find_symbol(instruments: &[InstrumentDefinition], symbol: &[u8]) -> Option<usize> {
    instruments.iter().position(|i| i.symbol.as_bytes() == symbol)
}

#[cfg(test)]
mod tests;
