//! Life of one order. Answers and account events race each other, so changes are monotone: an end is final
//! once every fill it implies has been seen, and quantity comes from fills alone.

use super::OrderName;
use serde::{Deserialize, Serialize};
use tickpath_shared::{
    Nanos,
    types::{ClientOrderId, OrderState, Side},
};

/// An order not yet at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Client order id.
    pub client_order_id: ClientOrderId,
    /// Instrument index.
    pub instrument: u32,
    /// Side.
    pub side: Side,
    /// Limit price.
    pub price: i64,
    /// Quantity.
    pub qty: i64,
    /// Sum of the fills seen.
    pub filled: i64,
    /// State.
    pub state: OrderState,
    /// Number of the intent; 0 for an order of an earlier session.
    pub intent: u64,
    /// Venue's id, 0 while unknown.
    pub venue_order_id: u64,
    /// Session time of the last request about the order.
    pub sent_ns: Nanos,
    /// Session time at which the order itself was sent.
    pub placed_ns: Nanos,
    /// A cancel is under way.
    pub is_canceling: bool,
    /// Quantity filled by the venue's own count.
    venue_filled: i64,
    /// The end the venue reported, while fills are still missing.
    ended: Option<OrderState>,
}

/// What the venue says about an order, on any road.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// State by the venue.
    pub state: OrderState,
    /// Quantity filled by the venue's count, 0 when it does not say.
    pub filled: i64,
    /// Venue's id, 0 when it does not say.
    pub venue_order_id: u64,
}

impl Order {
    /// An order just sent.
    pub fn sent(
        client_order_id: ClientOrderId,
        instrument: u32,
        side: Side,
        price: i64,
        qty: i64,
        intent: u64,
        now: Nanos,
    ) -> Self {
        Self {
            client_order_id,
            instrument,
            side,
            price,
            qty,
            filled: 0,
            state: OrderState::Sent,
            intent,
            venue_order_id: 0,
            sent_ns: now,
            placed_ns: now,
            is_canceling: false,
            venue_filled: 0,
            ended: None,
        }
    }

    /// An order of an earlier session that the venue shows as open. Fills it had are booked already.
    pub fn adopted(mut self, venue_order_id: u64, filled: i64) -> Self {
        (self.venue_order_id, self.filled, self.venue_filled) = (venue_order_id, filled, filled);
        self.state = if filled > 0 { OrderState::PartiallyFilled } else { OrderState::Working };
        self
    }

    /// How the venue is told which order this is.
    pub const fn name(&self) -> OrderName {
        OrderName { client_order_id: self.client_order_id, venue_order_id: self.venue_order_id }
    }

    /// Quantity that may still fill.
    pub const fn remaining(&self) -> i64 {
        self.qty - self.filled
    }

    /// The outcome of the last request is not known, or fills are missing.
    pub const fn is_unknown(&self) -> bool {
        matches!(self.state, OrderState::Unknown) || self.ended.is_some()
    }

    /// Takes a report. Reports never take an order back from its end, nor filled quantity away.
    pub fn on_report(&mut self, report: Report) {
        if self.state.is_terminal() {
            return;
        }
        if report.venue_order_id != 0 {
            self.venue_order_id = report.venue_order_id;
        }
        self.venue_filled = self.venue_filled.max(report.filled);
        if report.state.is_terminal() {
            self.ended = Some(report.state);
        } else if self.ended.is_none() && report.state != OrderState::Sent {
            self.state = report.state;
        }
        self.settle();
    }

    /// So much is proven to have filled, and every trade of it is booked, even those that came before it was known
    /// whose they were.
    pub fn on_proof(&mut self, filled: i64) {
        self.filled = self.filled.max(filled);
        self.venue_filled = self.venue_filled.max(filled);
    }

    /// Takes an execution of `qty`.
    pub fn on_fill(&mut self, qty: i64) {
        self.filled += qty;
        self.venue_filled = self.venue_filled.max(self.filled);
        if self.filled >= self.qty {
            self.ended = Some(OrderState::Filled);
        } else if self.ended.is_none() {
            self.state = OrderState::PartiallyFilled;
        }
        self.settle();
    }

    /// The outcome of a request was lost.
    pub fn on_lost(&mut self) {
        self.state = OrderState::Unknown;
    }

    /// An end counts once every fill it implies has been seen.
    fn settle(&mut self) {
        // The venue cuts what would do more than reduce a position: an order filled completely may have filled less
        // than was asked for.
        let is_uncounted = self.ended == Some(OrderState::Filled) && self.venue_filled == 0;
        let implied = if is_uncounted { self.qty } else { self.venue_filled };
        if let Some(end) = self.ended
            && self.filled >= implied
        {
            self.state = end;
            self.ended = None;
        } else if self.ended.is_none() && self.filled > 0 && self.state == OrderState::Working {
            self.state = OrderState::PartiallyFilled;
        }
    }

    /// The state as words, for digests.
    pub fn words(&self) -> [u64; 6] {
        let id =
            self.client_order_id.as_bytes().iter().fold(0_u64, |h, &b| h.wrapping_mul(31) ^ u64::from(b));
        let flags = (self.state as u64)
            | (u64::from(self.is_canceling) << 8)
            | (u64::from(self.ended.is_some()) << 9);
        [id, self.filled as u64, self.venue_order_id, flags, self.sent_ns, self.venue_filled as u64]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn order(qty: i64) -> Order {
        Order::sent(ClientOrderId::from_venue(b"id"), 0, Side::Buy, 100, qty, 1, 0)
    }

    fn report(state: OrderState, filled: i64) -> Report {
        Report { state, filled, venue_order_id: 5 }
    }

    #[test]
    fn an_end_waits_for_the_fills_it_implies() {
        let mut o = order(10);
        o.on_report(report(OrderState::Filled, 10));
        assert!(!o.state.is_terminal() && o.is_unknown());
        o.on_fill(4);
        assert!(!o.state.is_terminal());
        o.on_fill(6);
        assert_eq!(o.state, OrderState::Filled);
    }

    #[test]
    fn an_order_that_the_venue_cut_ends_with_what_it_filled() {
        let mut o = order(10);
        o.on_report(report(OrderState::Filled, 6));
        assert!(o.is_unknown());
        o.on_fill(6);
        assert_eq!(o.state, OrderState::Filled);
    }

    #[test]
    fn a_proof_counts_fills_that_nobody_could_assign() {
        let mut o = order(10);
        o.on_report(report(OrderState::Filled, 10));
        assert!(o.is_unknown());
        o.on_proof(10);
        o.on_report(report(OrderState::Filled, 10));
        assert_eq!(o.state, OrderState::Filled);
    }

    #[test]
    fn an_expiry_after_a_partial_fill_ends_the_order() {
        let mut o = order(10);
        o.on_report(report(OrderState::Working, 0));
        o.on_fill(4);
        o.on_report(report(OrderState::Expired, 4));
        assert_eq!((o.state, o.remaining()), (OrderState::Expired, 6));
    }

    #[test]
    fn a_late_answer_does_not_reopen_an_order() {
        let mut o = order(10);
        o.on_fill(10);
        o.on_report(report(OrderState::Working, 0));
        assert_eq!(o.state, OrderState::Filled);
    }

    #[test]
    fn unknown_ends_with_any_proof() {
        let mut o = order(10);
        o.on_lost();
        assert!(o.is_unknown());
        o.on_report(report(OrderState::Working, 0));
        assert_eq!((o.state, o.is_unknown()), (OrderState::Working, false));
    }

    proptest! {
        #[test]
        fn roads_in_any_order_agree(order_of in Just([0, 1, 2, 3]).prop_shuffle()) {
            let mut o = order(10);
            for step in order_of {
                match step {
                    0 => o.on_report(report(OrderState::Working, 0)),
                    1 => o.on_fill(4),
                    2 => o.on_fill(6),
                    _ => o.on_report(report(OrderState::Filled, 10)),
                }
            }
            prop_assert_eq!((o.state, o.filled), (OrderState::Filled, 10));
        }
    }
}
