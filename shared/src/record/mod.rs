//! Journal records: header, kinds, classes and the plain-old-data payloads.
//!
//! This is the interface between the processes. `ARCHITECTURE.md` shows the table of kinds.

mod codes;
mod payload;
mod values;

pub use codes::*;
pub use payload::*;

use crate::{Nanos, crc};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Version of the header and of the payload layouts that this build writes.
pub const LAYOUT: u8 = 1;

/// Bytes of a header.
pub const HEADER_BYTES: usize = 40;

/// Records start at multiples of this.
pub const ALIGN: usize = 8;

/// Header of a record. `length` is the last word written: a non-zero value publishes the record.
///
/// ```text
/// offset  0        4      6       7      8     10        12       16        24    32     40
///         length   kind   layout  class  lane  reserved  crc32c   sequence  time  cause  payload..
/// ```
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct RecordHeader {
    /// Header and payload in bytes, without the padding to [`ALIGN`].
    pub length: u32,
    /// [`Kind`].
    pub kind: u16,
    /// [`LAYOUT`].
    pub layout: u8,
    /// [`Class`].
    pub class: u8,
    /// Lane that holds the record.
    pub lane: u16,
    /// Zero.
    pub reserved: u16,
    /// CRC32C of the header with this field zero, followed by the payload.
    pub crc32c: u32,
    /// Number of the record in its lane, from 1, dense.
    pub sequence: u64,
    /// Session time of the event.
    pub time: Nanos,
    /// [`Cause`]: the input that triggered the record.
    pub cause: u64,
}

const _: () = assert!(size_of::<RecordHeader>() == HEADER_BYTES);

impl RecordHeader {
    /// Checksum of this header with `payload`.
    #[inline]
    pub fn checksum(&self, payload: &[u8]) -> u32 {
        crc::of_record(crc::Method::choose(), &Self { crc32c: 0, ..*self }.words(), payload)
    }

    /// The header as it lies in memory, eight bytes a word: a record is written and summed in whole words, because
    /// a load that spans several fresh stores waits for all of them.
    #[inline(always)]
    pub fn words(&self) -> [u64; HEADER_BYTES / 8] {
        let [kind, lane, reserved] = [self.kind, self.lane, self.reserved].map(u64::from);
        let [layout, class] = [self.layout, self.class].map(u64::from);
        let first = u64::from(self.length) | kind << 32 | layout << 48 | class << 56;
        let second = lane | reserved << 16 | u64::from(self.crc32c) << 32;
        [first, second, self.sequence, self.time, self.cause].map(u64::to_le)
    }

    /// Bytes the record takes in a lane, padding included.
    pub const fn stride(&self) -> usize {
        (self.length as usize).next_multiple_of(ALIGN)
    }
}

/// Position of an input: the lane in the upper 16 bits, its number in the lower 48.
///
/// The number is the record's sequence for lanes that hold inputs (feed, session, a gateway's private
/// frames), and the running number of the message for what an engine and a gateway send each other.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cause(pub u64);

impl Cause {
    /// No input: the record stands for itself.
    pub const NONE: Self = Self(0);

    /// Packs a position.
    pub const fn new(lane: u16, number: u64) -> Self {
        Self(((lane as u64) << 48) | (number & 0xffff_ffff_ffff))
    }

    /// The lane.
    pub const fn lane(self) -> u16 {
        (self.0 >> 48) as u16
    }

    /// The number within the lane.
    pub const fn number(self) -> u64 {
        self.0 & 0xffff_ffff_ffff
    }
}

crate::labelled_enum! {
    /// What happens to a record when the journal runs short of free segments.
    pub enum Class: u8 {
        Audit = 1, "audit", "Never dropped: orders, fills, refusals, commands, session events.";
        Input = 2, "input", "What the engine and the gateway consume; skipped with a gap mark below 1/8.";
        Telemetry = 3, "telemetry", "Signals and gauges; dropped and counted below 1/2.";
    }
}

crate::labelled_enum! {
    /// Kinds of records. Numbers are part of the format: append, never renumber.
    pub enum Kind: u16 {
        Pad = 0, "pad", "Fills the end of a segment; takes no sequence number.";
        Frame = 1, "frame", "One market-data frame as received: FrameMeta, then the text.";
        PrivateFrame = 2, "private_frame", "One frame of a private socket as received: FrameMeta, then the text.";
        Snapshot = 3, "snapshot", "REST answer with a full book: SnapshotMeta, then the text.";
        Consumed = 4, "consumed", "A stage took the input named by `cause` at `time`; no payload.";
        Timer = 5, "timer", "A stage's own timer tick; no payload.";
        Definition = 6, "definition", "InstrumentDefinition in force from here on.";
        Command = 7, "command", "CommandRecord accepted from the command file.";
        CommandResult = 8, "command_result", "CommandResultRecord.";
        TradingState = 9, "trading_state", "TradingStateRecord: the gateway's state changed.";
        Kill = 10, "kill", "KillRecord: the gateway saw the kill word set or cleared.";
        Link = 11, "link", "LinkRecord: a socket came up or went down.";
        StartPosition = 12, "start_position", "PositionRecord as the venue showed it at the start.";
        OpenOrder = 13, "open_order", "OpenOrderRecord: an order the venue shows as open.";
        VenueTrade = 14, "venue_trade", "FillRecord as listed by the venue on request.";
        Reconciled = 15, "reconciled", "ReconciledRecord: every open order and fill of the account is known.";
        Time = 16, "time", "TimeRecord: offset of the venue's clock, drift of ours.";
        Pressure = 17, "pressure", "PressureRecord: the lane's free segments crossed a watermark.";
        OrderReport = 18, "order_report", "OrderReportRecord: the venue's answer to a query of one order.";
        Balance = 19, "balance", "BalanceRecord: what the venue says an asset of the account is.";
        StopReport = 20, "stop_report", "StopReportRecord: what the venue says of a stop that rests there.";
        Intent = 30, "intent", "IntentRecord: the engine decided to trade.";
        Order = 31, "order", "OrderRecord, then the canonical text of the order.";
        OrderWritten = 32, "order_written", "OrderWrittenRecord: stamps of the write.";
        OrderState = 33, "order_state", "OrderStateRecord: an order's state changed.";
        Fill = 34, "fill", "FillRecord: an execution of the account, each once.";
        Refusal = 35, "refusal", "RefusalRecord: an intent refused, with the compared numbers.";
        BookState = 36, "book_state", "BookStateRecord: a book became valid or invalid.";
        Digest = 37, "digest", "DigestRecord: hash of the stage's whole state.";
        Gap = 38, "gap", "GapRecord: inputs were skipped here.";
        SessionEvent = 39, "session_event", "SessionEventRecord, then a text for people.";
        Cancel = 40, "cancel", "OrderRecord of a cancel, then its canonical text.";
        Change = 41, "change", "ChangeRecord: the engine wants an open order changed or canceled.";
        Amend = 42, "amend", "OrderRecord with the price and quantity asked for, then the canonical text.";
        Amended = 43, "amended", "OrderRecord: an order has another price and quantity from here on.";
        Pass = 44, "pass", "PassRecord: a strategy left an opportunity, with the compared numbers.";
        Breaker = 45, "breaker", "BreakerRecord: a breaker tripped or let go.";
        Day = 46, "day", "DayRecord: the day's result as the process before left it.";
        Parameter = 47, "parameter", "ParameterRecord: a strategy or a limit took or refused a new value.";
        Held = 48, "held", "HeldRecord: an order waits for a person, or does so no more.";
        TopOfBook = 60, "top_of_book", "TopOfBookRecord: best bid and ask of an instrument.";
        Signal = 61, "signal", "SignalRecord: what the strategy computed.";
    }
}

/// A payload as `T`, or `None` when there is none. Fields that a later build has appended read as zero: a record's
/// checksum says that nothing of what was written is missing.
pub fn body_of<T: FromBytes + IntoBytes>(payload: &[u8]) -> Option<T> {
    if payload.is_empty() {
        return None;
    }
    let mut body = T::new_zeroed();
    let len = payload.len().min(size_of::<T>());
    body.as_mut_bytes()[..len].copy_from_slice(&payload[..len]);
    Some(body)
}

/// A record read back: its header and its payload.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The header, checked against the payload.
    pub header: RecordHeader,
    /// The payload.
    pub payload: &'a [u8],
}

impl<'a> Record<'a> {
    /// The kind, or `None` for one of a later build.
    pub fn kind(&self) -> Option<Kind> {
        Kind::from_repr(self.header.kind)
    }

    /// The payload as `T`, or `None` when there is none.
    pub fn body<T: FromBytes + IntoBytes>(&self) -> Option<T> {
        body_of(self.payload)
    }

    /// What follows a payload of type `T`: a frame, a text.
    pub fn text_after<T>(&self) -> &'a [u8] {
        self.payload.get(size_of::<T>()..).unwrap_or_default()
    }

    /// The input that caused the record.
    pub fn cause(&self) -> Cause {
        Cause(self.header.cause)
    }
}
