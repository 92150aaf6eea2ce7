//! Payloads of the records. Enums are stored as their number, prices and quantities in the units of the
//! instrument's definition, texts zero padded. All padding is named.

use crate::types::{ClientOrderId, InstrumentDefinition, Symbol};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Declares plain-old-data payloads: fixed layout, no padding, a size that is a multiple of eight.
macro_rules! payloads {
    ($( $(#[$attr:meta])* $name:ident { $( $(#[$field_attr:meta])* $field:ident : $ty:ty, )+ } )+) => { $(
        $(#[$attr])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, serde::Serialize, serde::Deserialize)]
        pub struct $name { $( $(#[$field_attr])* pub $field: $ty, )+ }
        const _: () = assert!(size_of::<$name>().is_multiple_of(8));
    )+ };
}

payloads! {
    /// Precedes the text of a received frame.
    FrameMeta {
        /// Session time when the read that completed the frame returned.
        read_ns: u64,
        /// Which connection of the stage: 0 public, 1 market; 0 orders, 1 account events.
        connection: u16,
        /// Zero.
        reserved: [u16; 3],
    }

    /// Precedes the text of a book snapshot.
    SnapshotMeta {
        /// Session time when the request was sent.
        requested_ns: u64,
        /// Instrument index.
        instrument: u32,
        /// Zero.
        reserved: u32,
    }

    /// A command as accepted.
    CommandRecord {
        /// Caller's id of the command.
        id: u64,
        /// [`crate::command::Verb`].
        verb: u16,
        /// Kind of the scope, see [`crate::command::Scope::parts`].
        scope: u16,
        /// Strategy or instrument of the scope.
        target: u16,
        /// [`crate::types::Parameter`], or a number of a strategy of one's own; 0 without one.
        parameter: u16,
        /// Bits of the value that the parameter gets; number of the intent that is approved or denied.
        value_bits: u64,
        /// Price of an order that is placed, 0 for whatever is displayed.
        price: i64,
        /// Quantity of an order that is placed.
        qty: i64,
        /// The order that is canceled.
        client_order_id: ClientOrderId,
        /// [`crate::types::Side`] of an order that is placed, else 0.
        side: u8,
        /// [`crate::types::TimeInForce`] of an order that is placed, else 0.
        time_in_force: u8,
        /// 1 for an order that only reduces.
        is_reduce_only: u8,
        /// As in [`IntentRecord`].
        order_type: u8,
        /// As in [`IntentRecord`].
        price_match: u8,
        /// Zero.
        reserved: [u8; 3],
        /// As in [`IntentRecord`].
        good_till_ms: u64,
    }

    /// An order waits for a person, or does so no more.
    HeldRecord {
        /// Number of the intent.
        intent: u64,
        /// Limit price.
        price: i64,
        /// Quantity.
        qty: i64,
        /// Session time until which it may be approved.
        until_ns: u64,
        /// Instrument index.
        instrument: u32,
        /// Strategy index.
        strategy: u16,
        /// [`crate::types::HeldChange`].
        change: u16,
        /// [`crate::types::Side`].
        side: u8,
        /// [`crate::types::TimeInForce`].
        time_in_force: u8,
        /// [`crate::types::OrderType`], or 0 for a limit order.
        order_type: u8,
        /// [`crate::types::PriceMatch`], or 0 for a price of its own.
        price_match: u8,
        /// Zero.
        reserved: [u8; 4],
    }

    /// A breaker tripped or let go.
    BreakerRecord {
        /// Bits of the value that was compared; 0 where none was.
        value_bits: u64,
        /// Bits of the threshold.
        threshold_bits: u64,
        /// [`crate::types::BreakerMetric`].
        metric: u16,
        /// [`crate::types::BreakerChange`].
        change: u16,
        /// [`crate::types::BreakerAction`], from 0 for an alert.
        action: u16,
        /// Zero.
        reserved: u16,
    }

    /// The day's result so far.
    DayRecord {
        /// Days since 1970, each beginning when the configuration says.
        number: u64,
        /// Realised since it began, after fees, quote currency x 10^8.
        realized_e8: i64,
        /// Open profit when it began, quote currency x 10^8.
        open_e8: i64,
        /// Best result so far, quote currency x 10^8.
        peak_e8: i64,
        /// Breakers that hold: four bits a metric, one an action.
        latched: u64,
        /// Positions closed with a loss, one after another.
        losses: u32,
        /// Zero.
        reserved: u32,
    }

    /// A strategy took or refused a new value.
    ParameterRecord {
        /// Bits of the value.
        value_bits: u64,
        /// Strategy.
        strategy: u16,
        /// As in [`CommandRecord`].
        parameter: u16,
        /// 1 when the strategy took it.
        is_taken: u8,
        /// Zero.
        reserved: [u8; 3],
    }

    /// Answer to a command.
    CommandResultRecord {
        /// Caller's id of the command.
        id: u64,
        /// [`crate::command::Verb`].
        verb: u16,
        /// [`crate::command::CommandOutcome`].
        outcome: u16,
        /// Zero.
        reserved: u32,
    }

    /// The gateway's trading state changed.
    TradingStateRecord {
        /// [`crate::types::TradingState`] before.
        from: u8,
        /// [`crate::types::TradingState`] now.
        to: u8,
        /// [`StateReason`].
        reason: u16,
        /// Zero.
        reserved: u32,
    }

    /// The gateway saw the kill word.
    KillRecord {
        /// Session time at which the word was stored, as its writer stamped it.
        stored_ns: u64,
        /// Session time of the poll that saw it.
        seen_ns: u64,
        /// 1 set, 0 cleared.
        is_set: u8,
        /// Zero.
        reserved: [u8; 7],
    }

    /// A socket of a stage came up or went down.
    LinkRecord {
        /// As in [`FrameMeta`].
        connection: u16,
        /// 1 up, 0 down.
        is_up: u8,
        /// Zero.
        reserved: [u8; 5],
    }

    /// A position.
    PositionRecord {
        /// Instrument index.
        instrument: u32,
        /// Zero.
        reserved: u32,
        /// Signed quantity.
        qty: i64,
        /// Average entry price x 10^8, in quote currency.
        entry_price_e8: i64,
        /// Last trade id the quantity includes.
        through_trade_id: u64,
    }

    /// An order the venue shows as open.
    OpenOrderRecord {
        /// Client order id as far as it fits.
        client_order_id: ClientOrderId,
        /// Venue's order id (FIX 37).
        venue_order_id: u64,
        /// Instrument index.
        instrument: u32,
        /// [`crate::types::Side`].
        side: u8,
        /// 1 when the id is of an earlier session of this instance.
        is_ours: u8,
        /// Zero.
        reserved: [u8; 2],
        /// Limit price.
        price: i64,
        /// Order quantity.
        qty: i64,
        /// Quantity filled so far.
        filled: i64,
    }

    /// End of the reconciliation at a start.
    ReconciledRecord {
        /// Orders the venue shows as open.
        open_orders: u32,
        /// Trades listed.
        trades: u32,
    }

    /// An asset of the account as the venue shows it.
    BalanceRecord {
        /// Its name, zero padded.
        asset: [u8; 16],
        /// Wallet balance x 10^8: what was paid in and what was realised.
        wallet_e8: i64,
        /// The part of it that stands behind positions in cross margin, x 10^8.
        cross_e8: i64,
        /// Venue's time of it, unix milliseconds.
        venue_ms: u64,
    }

    /// Clocks.
    TimeRecord {
        /// Unix time in nanoseconds at session time zero, by the venue's clock.
        venue_epoch_ns: u64,
        /// Half of the best round trip: bound of the error of the offset.
        error_bound_ns: u64,
        /// Our session clock minus the host's monotonic clock.
        drift_ns: i64,
    }

    /// Free segments crossed a watermark.
    PressureRecord {
        /// [`crate::journal::Pressure`].
        level: u8,
        /// Zero.
        reserved: [u8; 7],
    }

    /// Answer to a query of one order.
    OrderReportRecord {
        /// Client order id queried.
        client_order_id: ClientOrderId,
        /// Venue's order id, 0 when not found.
        venue_order_id: u64,
        /// Quantity filled in total.
        filled: i64,
        /// [`crate::types::OrderState`]; `Absent` when the venue does not know the order.
        state: u8,
        /// 1 when every trade that `filled` counts was told before this.
        is_proven: u8,
        /// Zero.
        reserved: [u8; 2],
        /// Milliseconds since the venue was asked.
        age_ms: u32,
        /// Limit price, 0 when not said.
        price: i64,
        /// Quantity, 0 when not said.
        qty: i64,
    }

    /// A stop as the venue shows it, in a list or when asked.
    StopReportRecord {
        /// Client order id.
        client_order_id: ClientOrderId,
        /// Venue's number of the stop, 0 when not found.
        stop_id: u64,
        /// Venue's id of the order that it became, 0 before.
        venue_order_id: u64,
        /// Price at which it triggers.
        trigger: i64,
        /// Instrument index.
        instrument: u32,
        /// Milliseconds since the venue was asked.
        age_ms: u32,
        /// [`crate::types::StopState`].
        state: u8,
        /// [`crate::types::Side`].
        side: u8,
        /// 1 when it closes the position, whatever that is by then.
        is_closing: u8,
        /// Zero.
        reserved: [u8; 5],
    }

    /// The engine wants an open order of its own changed.
    ChangeRecord {
        /// Running number of the engine's messages to the gateway.
        number: u64,
        /// Number of the order's intent.
        intent: u64,
        /// Limit price from then on.
        price: i64,
        /// Quantity from then on, what has filled included; 0 to cancel.
        qty: i64,
        /// Session time of the last change of the book decided on.
        book_ns: u64,
        /// Session time when the tick's read returned.
        read_ns: u64,
        /// Instrument index.
        instrument: u32,
        /// Strategy index.
        strategy: u16,
        /// 1 while the book decided on was complete.
        is_book_valid: u8,
        /// Zero.
        reserved: u8,
    }

    /// The engine decided to trade.
    IntentRecord {
        /// Running number of the engine's messages to the gateway.
        number: u64,
        /// Limit price.
        price: i64,
        /// Quantity, positive.
        qty: i64,
        /// Session time of the last change of the book decided on.
        book_ns: u64,
        /// Session time when the tick's read returned.
        read_ns: u64,
        /// Instrument index.
        instrument: u32,
        /// Grows by one with every time the book became valid.
        book_epoch: u32,
        /// Strategy index.
        strategy: u16,
        /// [`crate::types::Side`].
        side: u8,
        /// [`crate::types::TimeInForce`].
        time_in_force: u8,
        /// 1 when the order may only reduce the position.
        is_reduce_only: u8,
        /// 1 while the book decided on was complete.
        is_book_valid: u8,
        /// [`crate::types::OrderType`], or 0 for a limit order.
        order_type: u8,
        /// [`crate::types::PriceMatch`], or 0 for a price of its own.
        price_match: u8,
        /// Price at which the position is given up; 0 when the strategy gives none.
        stop: i64,
        /// Price at which it is left with a profit; 0 when the strategy gives none.
        target: i64,
        /// As in [`crate::types::OrderTerms`].
        good_till_ms: u64,
    }

    /// An order or a cancel as handed to the socket; its canonical text follows.
    OrderRecord {
        /// Client order id.
        client_order_id: ClientOrderId,
        /// Number of the intent; 0 for what the gateway does by itself.
        intent: u64,
        /// Limit price.
        price: i64,
        /// Quantity.
        qty: i64,
        /// Instrument index.
        instrument: u32,
        /// Strategy index.
        strategy: u16,
        /// [`crate::types::Side`].
        side: u8,
        /// [`crate::types::TimeInForce`].
        time_in_force: u8,
        /// 1 when the order may only reduce the position.
        is_reduce_only: u8,
        /// As in [`IntentRecord`].
        order_type: u8,
        /// As in [`IntentRecord`].
        price_match: u8,
        /// Zero.
        reserved: [u8; 5],
    }

    /// Stamps around the write of an order.
    OrderWrittenRecord {
        /// Client order id.
        client_order_id: ClientOrderId,
        /// Session time when the request had its text, signed where it is: what is left is to journal and to write it.
        begun_ns: u64,
        /// Session time when the write returned.
        returned_ns: u64,
        /// Session time when the read of the tick returned, 0 without a tick.
        read_ns: u64,
    }

    /// An order's state changed.
    OrderStateRecord {
        /// Client order id.
        client_order_id: ClientOrderId,
        /// Venue's order id, 0 while unknown.
        venue_order_id: u64,
        /// Quantity filled so far, from fills alone.
        filled: i64,
        /// Venue's error code, 0 for none.
        code: i32,
        /// [`crate::types::OrderState`] before.
        from: u8,
        /// [`crate::types::OrderState`] now.
        to: u8,
        /// Zero.
        reserved: [u8; 2],
    }

    /// One execution.
    FillRecord {
        /// Client order id as far as it fits.
        client_order_id: ClientOrderId,
        /// Venue's order id.
        venue_order_id: u64,
        /// Venue's trade id, unique within the instrument.
        trade_id: u64,
        /// Venue's time of the execution, unix milliseconds.
        venue_ms: u64,
        /// Price.
        price: i64,
        /// Quantity, positive.
        qty: i64,
        /// Commission paid (negative: received) x 10^8, in `fee_asset`.
        fee_e8: i64,
        /// Asset of the commission, zero padded.
        fee_asset: [u8; 8],
        /// Instrument index.
        instrument: u32,
        /// [`crate::types::Side`].
        side: u8,
        /// 1 when the order was resting.
        is_maker: u8,
        /// 1 when learnt by asking instead of from the account stream.
        is_reconciled: u8,
        /// Zero.
        reserved: u8,
    }

    /// An intent refused.
    RefusalRecord {
        /// Number of the intent.
        intent: u64,
        /// The value that was compared.
        value: i64,
        /// The bound it was compared with.
        bound: i64,
        /// Instrument index.
        instrument: u32,
        /// [`crate::types::Reason`].
        reason: u16,
        /// Strategy index.
        strategy: u16,
    }

    /// A book became valid or invalid.
    BookStateRecord {
        /// Last update id applied.
        update_id: u64,
        /// Update id that was expected or found, by reason.
        other_id: u64,
        /// Instrument index.
        instrument: u32,
        /// [`BookChange`].
        change: u16,
        /// Zero.
        reserved: u16,
    }

    /// Hash of a stage's whole state.
    DigestRecord {
        /// Inputs consumed so far.
        events: u64,
        /// The hash.
        digest: u64,
    }

    /// Inputs skipped for want of free segments.
    GapRecord {
        /// How many.
        skipped: u64,
    }

    /// Something an operator or a log reader wants to know; a text follows.
    SessionEventRecord {
        /// [`EventCode`].
        code: u16,
        /// [`Severity`].
        severity: u16,
        /// Zero.
        reserved: u32,
    }

    /// Best bid and ask.
    TopOfBookRecord {
        /// Venue's update id.
        update_id: u64,
        /// Best bid price, 0 when there is none.
        bid_price: i64,
        /// Quantity there.
        bid_qty: i64,
        /// Best ask price, 0 when there is none.
        ask_price: i64,
        /// Quantity there.
        ask_qty: i64,
        /// Mark price, 0 before the first.
        mark_price: i64,
        /// Instrument index.
        instrument: u32,
        /// 1 while the book is complete.
        is_valid: u8,
        /// Zero.
        reserved: [u8; 3],
    }

    /// What a strategy computed at a sample; floats as their bits.
    SignalRecord {
        /// Bits of the spread.
        spread_bits: u64,
        /// Bits of the z-score; 0 while warming up.
        z_bits: u64,
        /// Venue milliseconds of the sample.
        venue_ms: u64,
        /// Strategy index.
        strategy: u16,
        /// What is wanted after it: 0 flat, 1 long, 2 short.
        state: u16,
        /// Zero.
        reserved: u32,
        /// Bits of the slope against the other instrument; 0 without one.
        beta_bits: u64,
        /// Bits of what the z-score is compared with.
        bound_bits: u64,
        /// Bits of the volatility over the usual one; 0 where it is not modelled.
        volatility_bits: u64,
        /// Bits of the probability that the series changed just now.
        change_bits: u64,
    }

    /// A strategy left an opportunity.
    PassRecord {
        /// Bits of the value compared.
        value_bits: u64,
        /// Bits of what it was compared with.
        bound_bits: u64,
        /// How often since it was told last, this time included.
        count: u64,
        /// Venue milliseconds of the last time.
        venue_ms: u64,
        /// Instrument index.
        instrument: u32,
        /// Strategy index.
        strategy: u16,
        /// [`crate::types::Reason`].
        reason: u16,
    }
}

const _: () = assert!(size_of::<InstrumentDefinition>().is_multiple_of(8));
const _: () = assert!(size_of::<Symbol>().is_multiple_of(8));
