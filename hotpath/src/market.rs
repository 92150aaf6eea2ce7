//! Market events: what a feed hands to an engine, whatever the venue.
//!
//! An event is one header and its levels, bids first. It crosses a ring as one committed chunk of
//! [`Slot`]s, whole or not at all.

use serde::{Deserialize, Serialize};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Levels an event may carry, both sides together. A frame with more is refused by the decoder: the
/// venue's full book has 1,000 a side and the widest recorded diff 1,226 in all.
pub const LEVELS_MAX: usize = 16_384;

/// A price and its quantity, in the units of the instrument's definition. Zero deletes in a diff.
#[repr(C)]
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
    Serialize,
    Deserialize,
)]
pub struct Level {
    /// Price units.
    pub price: i64,
    /// Quantity units.
    pub qty: i64,
}

tickpath_shared::labelled_enum! {
    /// What an event is.
    pub enum MarketKind: u16 {
        Depth = 1, "depth", "A diff: the levels that changed.";
        Ticker = 2, "ticker", "Best bid and best ask: one level each.";
        Trade = 3, "trade", "A public trade: one level, on the aggressor's side.";
        Mark = 4, "mark", "Mark price: one level without quantity.";
        Snapshot = 5, "snapshot", "The full book.";
        LinkDown = 6, "link_down", "The connection of the book streams was lost.";
    }
}

/// Header of an event.
#[repr(C)]
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
    Serialize,
    Deserialize,
)]
pub struct MarketHeader {
    /// [`MarketKind`].
    pub kind: u16,
    /// Instrument index.
    pub instrument: u16,
    /// Levels of the bid side.
    pub bids: u16,
    /// Levels of the ask side, after the bids.
    pub asks: u16,
    /// Position of the frame in its lane, a [`tickpath_shared::record::Cause`].
    pub cause: u64,
    /// Session time when the read returned.
    pub read_ns: u64,
    /// Session time when the frame was decoded; 0 where that was not looked at.
    pub decoded_ns: u64,
    /// First update id covered (depth).
    pub first_update_id: u64,
    /// Last update id covered (depth, ticker, snapshot), trade id (trade).
    pub last_update_id: u64,
    /// Last update id of the diff before (depth).
    pub previous_update_id: u64,
    /// Venue's transaction time, unix milliseconds; 0 when the message has none.
    pub venue_ms: u64,
    /// Levels off the tick grid, kept.
    pub off_tick: u32,
    /// Zero.
    pub reserved: [u32; 3],
}

/// What a ring of events carries.
pub type Slot = [u64; 2];

/// Slots of a header.
pub const HEADER_SLOTS: usize = size_of::<MarketHeader>() / size_of::<Slot>();

const _: () = assert!(size_of::<MarketHeader>().is_multiple_of(size_of::<Slot>()));
const _: () = assert!(size_of::<Level>() == size_of::<Slot>());
const _: () = assert!(LEVELS_MAX < u16::MAX as usize);

/// Slots of the largest event.
pub const EVENT_SLOTS_MAX: usize = HEADER_SLOTS + LEVELS_MAX;

impl MarketHeader {
    /// The kind; a header is built by this process, so an unknown number is a broken invariant.
    pub fn market_kind(&self) -> MarketKind {
        MarketKind::from_repr(self.kind).unwrap_or_else(|| unreachable!("market kind {}", self.kind))
    }

    /// Number of levels.
    pub fn levels(&self) -> usize {
        usize::from(self.bids) + usize::from(self.asks)
    }
}

/// An event with its levels in one slice.
#[derive(Clone, Copy, Debug)]
pub struct MarketEvent<'a> {
    /// The header, lent: some of its fields were written a moment ago, and copying it in wide words would have to wait for
    /// them.
    pub header: &'a MarketHeader,
    /// Bids, then asks.
    pub levels: &'a [Level],
}

impl<'a> MarketEvent<'a> {
    /// Levels of the bid side.
    pub fn bids(&self) -> &'a [Level] {
        &self.levels[..usize::from(self.header.bids)]
    }

    /// Levels of the ask side.
    pub fn asks(&self) -> &'a [Level] {
        &self.levels[usize::from(self.header.bids)..]
    }
}
