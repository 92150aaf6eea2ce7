//! Messages between the stages and the session thread: plain data, whole, never changed after they are
//! sent. Market events have a form of their own in [`crate::market`].

use crate::order::OrderName;
use serde::{Deserialize, Serialize};
use tickpath_shared::{
    Nanos,
    command::Ticket,
    record::{
        BreakerRecord, Cause, ChangeRecord, CommandRecord, DayRecord, FillRecord, HeldRecord, IntentRecord,
        OpenOrderRecord, OrderReportRecord, PositionRecord, ReconciledRecord, StopReportRecord, TimeRecord,
    },
    types::{ClientOrderId, InstrumentDefinition, OrderState, Reason},
};

/// What an engine tells its gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EngineBody {
    /// Trade this, if the limits allow.
    Intent(IntentRecord),
    /// Change or cancel an open order, if the limits allow.
    Change(ChangeRecord),
    /// Mark price of an instrument x 10^8.
    Mark {
        /// Instrument index.
        instrument: u32,
        /// Price x 10^8.
        price_e8: i64,
    },
    /// The book of an instrument is not complete any more.
    BookLost {
        /// Instrument index.
        instrument: u32,
    },
    /// A strategy trades an instrument; told once.
    Owner {
        /// Instrument index.
        instrument: u32,
        /// Strategy.
        strategy: u16,
    },
    /// What a strategy's model tells of its series.
    Regime {
        /// Bits of the volatility over the usual one.
        volatility_bits: u64,
        /// Bits of the probability that the series changed just now.
        change_bits: u64,
    },
    /// What became of [`OutcomeBody::Set`].
    Answer {
        /// Id of the command.
        id: u64,
        /// [`tickpath_shared::command::CommandOutcome`].
        outcome: u16,
    },
    /// The intent that follows is a person's: whoever gave the command is told what becomes of it.
    ByHand {
        /// Id of the command.
        id: u64,
    },
}

/// A message of an engine, numbered from 1 without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineMessage {
    /// Running number.
    pub number: u64,
    /// Session time of the decision: the gateway's time of the message where one thread runs both, and otherwise for latency
    /// histograms only.
    pub decided_ns: Nanos,
    /// Venue's time of the last change of the book decided on, unix milliseconds; 0 without one.
    #[serde(default)]
    pub book_venue_ms: u64,
    /// What it says.
    pub body: EngineBody,
}

/// What a gateway tells its engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutcomeBody {
    /// The position of an instrument changed.
    Position {
        /// Signed quantity.
        qty: i64,
    },
    /// An order of the engine's intent came to its end.
    Done {
        /// Number of the intent.
        intent: u64,
        /// How it ended.
        state: OrderState,
    },
    /// An order of the engine's intent has another price and quantity.
    Amended {
        /// Number of the intent.
        intent: u64,
        /// Limit price.
        price: i64,
        /// Quantity, what has filled included.
        qty: i64,
    },
    /// A strategy's parameter is to get a new value; of no instrument.
    Set {
        /// Id of the command, to be answered.
        id: u64,
        /// Bits of the value.
        value_bits: u64,
        /// Strategy.
        strategy: u16,
        /// [`tickpath_shared::types::Parameter`], or a number of a strategy of one's own.
        parameter: u16,
    },
    /// A person wants an order placed, on a book as good as any other order wants.
    Place {
        /// Id of the command, to be answered.
        id: u64,
        /// The order.
        ticket: Ticket,
    },
    /// An order waits for a person; it may be taken back until then.
    Held {
        /// Number of the intent.
        intent: u64,
    },
    /// An intent or a change was refused.
    Refused {
        /// Its number.
        intent: u64,
        /// Why.
        reason: Reason,
    },
}

/// A message of a gateway, numbered from 1 without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Running number.
    pub number: u64,
    /// Instrument index.
    pub instrument: u32,
    /// What it says.
    pub body: OutcomeBody,
}

impl Default for Outcome {
    fn default() -> Self {
        Self { number: 0, instrument: 0, body: OutcomeBody::Position { qty: 0 } }
    }
}

impl Default for EngineMessage {
    fn default() -> Self {
        Self {
            number: 0,
            decided_ns: 0,
            book_venue_ms: 0,
            body: EngineBody::Mark { instrument: 0, price_e8: 0 },
        }
    }
}

/// What the session thread tells a gateway: a record of its lane, as stored there.
#[derive(Clone, Copy, Debug)]
pub struct AccountMessage {
    /// Position of the record.
    pub cause: Cause,
    /// [`tickpath_shared::record::Kind`] of the record.
    pub kind: u16,
    /// Bytes used of the payload.
    pub len: u16,
    /// The record's payload.
    pub payload: [u8; Self::PAYLOAD_MAX],
}

impl Default for AccountMessage {
    fn default() -> Self {
        Self { cause: Cause::NONE, kind: 0, len: 0, payload: [0; Self::PAYLOAD_MAX] }
    }
}

impl AccountMessage {
    /// Largest payload of a record that goes to a gateway.
    pub const PAYLOAD_MAX: usize = 136;

    /// Copies a record; `None` when its payload is too large for a message.
    pub fn new(cause: Cause, kind: u16, bytes: &[u8]) -> Option<Self> {
        let mut payload = [0; Self::PAYLOAD_MAX];
        payload.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self { cause, kind, len: bytes.len() as u16, payload })
    }

    /// The record's payload.
    pub fn payload(&self) -> &[u8] {
        &self.payload[..usize::from(self.len)]
    }
}

// Every record that goes to a gateway fits.
const _: () = {
    let payloads = [
        size_of::<TimeRecord>(),
        size_of::<InstrumentDefinition>(),
        size_of::<PositionRecord>(),
        size_of::<OpenOrderRecord>(),
        size_of::<FillRecord>(),
        size_of::<OrderReportRecord>(),
        size_of::<StopReportRecord>(),
        size_of::<ReconciledRecord>(),
        size_of::<CommandRecord>(),
        size_of::<DayRecord>(),
    ];
    let mut at = 0;
    while at < payloads.len() {
        assert!(payloads[at] <= AccountMessage::PAYLOAD_MAX, "a record does not fit a message");
        at += 1;
    }
};

/// Something about the account that a person should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The venue calls for margin.
    MarginCall,
    /// The leverage of an instrument was changed.
    Leverage {
        /// Instrument index.
        instrument: u32,
        /// The leverage now.
        leverage: u32,
    },
    /// The margin mode of the account was changed.
    MarginMode,
    /// An order or a fill on an instrument is not ours.
    Foreign {
        /// Instrument index.
        instrument: u32,
    },
    /// A breaker tripped or let go.
    Breaker(BreakerRecord),
    /// An order waits for a person, or does so no more.
    Held(HeldRecord),
    /// Commission is paid in an asset that is not the quote currency.
    OtherFee {
        /// Its name, zero padded.
        asset: [u8; 8],
    },
    /// The stop of an instrument was reached at the venue, or would be at once: nothing is opened there any more.
    StopReached {
        /// Instrument index.
        instrument: u32,
        /// Price at which it triggers.
        trigger: i64,
    },
    /// The venue does not take the stop of a position, which is without one.
    StopRefused {
        /// Instrument index.
        instrument: u32,
        /// Venue's error code.
        code: i32,
    },
    /// The venue's position was not the one by fills, and was taken over.
    PositionMismatch {
        /// Instrument index.
        instrument: u32,
        /// Signed quantity by fills.
        ours: i64,
        /// Signed quantity by the venue.
        venue: i64,
    },
}

/// Why a private connection is of no use any more, or soon will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// The account stream's key has expired.
    KeyExpired,
    /// The order session has lost its key.
    SessionLost,
    /// The venue will close it.
    Closing,
}

/// What stages ask the session thread for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A book snapshot.
    Snapshot {
        /// Instrument index.
        instrument: u32,
    },
    /// What the venue knows about an order, and its trades.
    Order {
        /// Instrument index.
        instrument: u32,
        /// The order.
        name: OrderName,
    },
    /// What the venue knows about a stop.
    Stop {
        /// Instrument index.
        instrument: u32,
        /// The stop.
        client_order_id: ClientOrderId,
    },
    /// Cancel an order by the second road, because the order session is down.
    Cancel {
        /// Instrument index.
        instrument: u32,
        /// The order.
        name: OrderName,
    },
    /// Open orders of the account, because somebody else has opened one: not urgent, and not often.
    Adopt,
    /// Open orders and trades of the account, after the account stream was interrupted.
    CatchUp,
    /// Store that everything a reading of the account contained is journalled.
    Booked {
        /// The record that ended it.
        reading: Cause,
        /// End of the gateway's lane behind it.
        position: u64,
    },
    /// The venue's clock: a request of ours was out of its time.
    Time,
    /// A new connection in the place of a private one.
    Renew {
        /// Which: [`crate::stage::gateway::connection`].
        connection: u16,
        /// Why.
        why: Renewal,
    },
    /// Store the day's result and what holds.
    Day(DayRecord),
    /// Tell a person.
    Tell(Notice),
    /// Store the kill latch. Who clears the word has removed it before.
    KillLatch,
    /// A command was carried out or refused.
    Answer {
        /// Caller's id.
        id: u64,
        /// [`tickpath_shared::command::Verb`].
        verb: u16,
        /// [`tickpath_shared::command::CommandOutcome`].
        outcome: u16,
    },
}
