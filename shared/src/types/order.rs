//! Order vocabulary: side, time in force, life cycle, trading state and refusal reasons.

use serde::{Deserialize, Serialize};

crate::labelled_enum! {
    /// Side of an order or of an aggressor.
    pub enum Side: u8 {
        Buy = 1, "buy", "Buys the base asset.";
        Sell = 2, "sell", "Sells the base asset.";
    }
}

impl Side {
    /// +1 for a buy, -1 for a sell.
    pub const fn sign(self) -> i64 {
        match self {
            Self::Buy => 1,
            Self::Sell => -1,
        }
    }

    /// The other side.
    pub const fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }
}

crate::labelled_enum! {
    /// How an order is priced.
    pub enum OrderType: u8 {
        Limit = 1, "limit", "Executes at its price or better.";
        Market = 2, "market", "Executes at whatever is displayed.";
    }
}

crate::labelled_enum! {
    /// Where a stop stands that rests at the venue.
    pub enum StopState: u8 {
        Waiting = 1, "waiting", "Its price has not been reached.";
        Triggered = 2, "triggered", "It becomes an order.";
        Finished = 3, "finished", "It has become an order, which is told of by itself.";
        Canceled = 4, "canceled", "It was canceled.";
        Rejected = 5, "rejected", "The venue did not take it, or not the order that it became.";
        Expired = 6, "expired", "The venue ended it.";
        Absent = 7, "absent", "The venue does not know it.";
    }
}

crate::labelled_enum! {
    /// Price that the venue gives a limit order when it arrives.
    pub enum PriceMatch: u8 {
        Opponent = 1, "opponent", "The best price of the other side.";
        Opponent5 = 2, "opponent_5", "The fifth price of the other side.";
        Queue = 3, "queue", "The best price of its own side.";
        Queue5 = 4, "queue_5", "The fifth price of its own side.";
        Queue10 = 5, "queue_10", "The tenth price of its own side.";
        Queue20 = 6, "queue_20", "The twentieth price of its own side.";
    }
}

/// What an order says besides side, price and quantity. The usual one is a limit order with a price of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderTerms {
    /// How it is priced. A market order's price is the worst that the limits take it for; the venue does not hear of it.
    pub order_type: OrderType,
    /// The venue gives it its price: its own is the worst that the limits take it for.
    pub price_match: Option<PriceMatch>,
    /// Unix milliseconds by the venue's clock at which an order of [`TimeInForce::Gtd`] ends; 0 for all others.
    pub good_till_ms: u64,
}

impl OrderTerms {
    /// A limit order with a price of its own.
    pub const LIMIT: Self = Self { order_type: OrderType::Limit, price_match: None, good_till_ms: 0 };

    /// Stored in the place of an order type: a stop that rests at the venue until its price is reached, and then takes what
    /// is displayed. No intent asks for one.
    pub const STOP_MARKET: u8 = 3;

    /// Order type and price match as they are stored.
    pub const fn codes(self) -> (u8, u8) {
        let price_match = match self.price_match {
            Some(price_match) => price_match as u8,
            None => 0,
        };
        (self.order_type as u8, price_match)
    }

    /// How stored codes say that an order is priced, for people: `limit`, `market`, `stop_market`, or a price of the
    /// venue's such as `opponent`. The price of a stop is the one that it waits for, that of all others but `limit` the
    /// worst that the limits took them for.
    pub fn label_of(order_type: u8, price_match: u8) -> &'static str {
        if order_type == Self::STOP_MARKET {
            return "stop_market";
        }
        let order_type = OrderType::from_repr(order_type).unwrap_or(OrderType::Limit);
        PriceMatch::from_repr(price_match).map_or(order_type.label(), PriceMatch::label)
    }

    /// Stored ones; `None` for those of a later build, and for stops. Records of an earlier build have no order type:
    /// theirs is limit.
    pub const fn from_codes(order_type: u8, price_match: u8, good_till_ms: u64) -> Option<Self> {
        let order_type = match order_type {
            0 => OrderType::Limit,
            other => match OrderType::from_repr(other) {
                Some(order_type) => order_type,
                None => return None,
            },
        };
        let price_match = match PriceMatch::from_repr(price_match) {
            None if price_match != 0 => return None,
            known => known,
        };
        Some(Self { order_type, price_match, good_till_ms })
    }
}

impl Default for OrderTerms {
    fn default() -> Self {
        Self::LIMIT
    }
}

crate::labelled_enum! {
    /// How long an order stays (FIX 59).
    pub enum TimeInForce: u8 {
        Gtc = 1, "gtc", "Rests until filled or canceled.";
        Ioc = 2, "ioc", "Fills at once what it can, the rest expires.";
        Fok = 3, "fok", "Fills completely at once or not at all.";
        Gtx = 4, "gtx", "Post only: refused when it would take.";
        Gtd = 5, "gtd", "Rests until filled, canceled or a time that it names.";
    }
}

crate::labelled_enum! {
    /// Which of an instrument's positions an order changes.
    pub enum PositionSide: u8 {
        Both = 1, "both", "The one position of an account that nets (one-way mode).";
        Long = 2, "long", "The long position of an account that hedges.";
        Short = 3, "short", "The short position of an account that hedges.";
    }
}

crate::labelled_enum! {
    /// What happens when an order meets a resting one of the same account.
    pub enum SelfTrade: u8 {
        Allow = 1, "allow", "They trade with each other.";
        ExpireTaker = 2, "expire_taker", "The incoming order ends.";
        ExpireMaker = 3, "expire_maker", "The resting order ends.";
        ExpireBoth = 4, "expire_both", "Both end.";
    }
}

crate::labelled_enum! {
    /// Life cycle of one of our orders.
    ///
    /// `Unknown` is a state of its own: the venue may or may not have accepted the order, so it counts
    /// as exposure and blocks its instrument until proof arrives.
    pub enum OrderState: u8 {
        Sent = 1, "sent", "Handed to the socket, not yet answered.";
        Working = 2, "working", "Accepted by the venue, no fill yet.";
        PartiallyFilled = 3, "partially_filled", "Accepted and filled in part.";
        Unknown = 4, "unknown", "The outcome of a request was lost; neither accepted nor failed is proven.";
        Filled = 5, "filled", "Filled completely.";
        Canceled = 6, "canceled", "Canceled before it was filled completely.";
        Expired = 7, "expired", "Ended by its time in force or by the venue.";
        Rejected = 8, "rejected", "Refused by the venue; never in the book.";
        Absent = 9, "absent", "Proven never to have reached the venue's book.";
    }
}

impl OrderState {
    /// No further event can change the order.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Filled | Self::Canceled | Self::Expired | Self::Rejected | Self::Absent)
    }
}

crate::labelled_enum! {
    /// May the engine open risk?
    pub enum TradingState: u8 {
        Disarmed = 1, "disarmed", "No order leaves; the state after a start.";
        Armed = 2, "armed", "Orders leave within the limits.";
        CancelOnly = 3, "cancel_only", "Only cancels and reduce-only orders leave.";
        Halted = 4, "halted", "Nothing but cancels leaves until a person intervenes.";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_is_not_terminal() {
        assert!(!OrderState::Unknown.is_terminal());
        assert!(OrderState::Absent.is_terminal());
    }
}
