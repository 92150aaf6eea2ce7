//! Life of one order. Answers and account events race each other, so changes are monotone: an end is final
//! once every fill it implies has been seen, and quantity comes from fills alone.

use super::OrderName;
use serde::{Deserialize, Serialize};
use std::num::NonZero;
use tickpath_shared::{
    Nanos,
    types::{ClientOrderId, OrderState, Side, StrategyName},
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
    /// Session time of the last cancel, 0 before the first.
    #[serde(default)]
    pub canceled_ns: Nanos,
    /// It may only reduce the position.
    #[serde(default)]
    pub is_reduce_only: bool,
    /// The venue gives it its price: until it has told, the worst is counted with.
    #[serde(default)]
    pub is_matched: bool,
    /// Strategy that it belongs to, [`Self::NOBODY`] for none.
    #[serde(default)]
    pub strategy: u16,
    /// Where its strategy gives the position up and leaves it with a profit, 0 for nowhere.
    #[serde(default)]
    pub exits: [i64; 2],
    /// Amendments sent, modulo 100.
    #[serde(default)]
    amends: u8,
    /// Most that may fill in all: the quantity, or a larger one that was asked for.
    most: i64,
    /// Price and quantity that were asked for, while it is open whether the venue took them, and when.
    #[serde(default)]
    amend: Option<Amend>,
    /// Quantity filled by the venue's own count.
    venue_filled: i64,
    /// The end the venue reported, while fills are still missing.
    ended: Option<OrderState>,
}

/// An amendment on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amend {
    /// Limit price asked for.
    pub price: i64,
    /// Quantity asked for, what has filled included.
    pub qty: i64,
    /// Which of the order's, modulo 100: a late answer to an earlier one decides nothing.
    pub number: u8,
    /// Session time at which it was sent.
    pub sent_ns: NonZero<Nanos>,
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
    /// Limit price, 0 when it does not say.
    pub price: i64,
    /// Quantity, 0 when it does not say.
    pub qty: i64,
}

impl Report {
    /// A state and nothing else.
    pub const fn of(state: OrderState) -> Self {
        Self { state, filled: 0, venue_order_id: 0, price: 0, qty: 0 }
    }
}

impl Order {
    /// Behind an order of an earlier session, or of somebody else, stands no strategy.
    pub const NOBODY: u16 = StrategyName::NOBODY;
    /// Strategy of the orders that people place.
    pub const MANUAL: u16 = StrategyName::Manual as u16;

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
            canceled_ns: 0,
            is_reduce_only: false,
            is_matched: false,
            strategy: Self::NOBODY,
            exits: [0; 2],
            amends: 0,
            most: qty,
            amend: None,
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

    /// The price at which an order of the other side and of limit `price` would trade with this one, an amendment under
    /// way counted as done and as not done.
    pub fn crossing(&self, price: i64) -> Option<i64> {
        let own = [Some(self.price), self.amend.map(|amend| amend.price)];
        own.into_iter().flatten().find(|own| match self.side {
            Side::Buy => price <= *own,
            Side::Sell => price >= *own,
        })
    }

    /// Its price, or the one that an amendment under way would give it, whichever is the dearer.
    pub fn dearest_price(&self) -> i64 {
        self.amend.map_or(self.price, |amend| amend.price.max(self.price))
    }

    /// Quantity that may still fill, at its worst while an amendment is under way.
    pub const fn remaining(&self) -> i64 {
        self.most - self.filled
    }

    /// The outcome of the last request is not known, or fills are missing.
    pub const fn is_unknown(&self) -> bool {
        matches!(self.state, OrderState::Unknown) || self.ended.is_some()
    }

    /// The answer to amendment `number` is about the one that is under way.
    pub fn is_amendment(&self, number: u8) -> bool {
        self.amend.is_some_and(|amend| amend.number == number)
    }

    /// Number of the last amendment.
    pub const fn amendment(&self) -> u8 {
        self.amends
    }

    /// An amendment is under way.
    pub const fn is_amending(&self) -> bool {
        self.amend.is_some()
    }

    /// Another price and quantity were asked for.
    pub fn on_amend_sent(&mut self, price: i64, qty: i64, now: Nanos) {
        self.amends = (self.amends + 1) % 100;
        self.amend = Some(Amend {
            number: self.amends,
            price,
            qty,
            sent_ns: NonZero::new(now).unwrap_or(NonZero::<Nanos>::MIN),
        });
        self.most = self.qty.max(qty);
        self.sent_ns = now;
    }

    /// The amendment under way was refused: the order is as it was.
    pub fn on_amend_refused(&mut self) {
        (self.amend, self.most) = (None, self.qty);
    }

    /// The venue was asked at `asked_ns` and said all of the order. An amendment that could no longer arrive by then,
    /// because it had been under way for longer than `margin_ns`, and is not in what the venue says, never will be.
    pub fn on_amend_asked(&mut self, report: &Report, asked_ns: Nanos, margin_ns: Nanos) {
        let is_over = |amend: Amend| asked_ns.saturating_sub(amend.sent_ns.get()) > margin_ns;
        if report.qty != 0 && self.amend.is_some_and(is_over) && !self.is_as_asked(report) {
            self.on_amend_refused();
        }
        if report.qty != 0 && self.amend.is_none() && asked_ns > self.sent_ns.max(self.placed_ns) {
            // Whatever we believe, this is what it is. An order without a price keeps the one that it is judged by.
            let price = if report.price == 0 { self.price } else { report.price };
            (self.price, self.qty, self.most) = (price, report.qty, report.qty);
        }
    }

    fn is_as_asked(&self, report: &Report) -> bool {
        self.amend.is_some_and(|amend| (amend.price, amend.qty) == (report.price, report.qty))
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
        if self.is_as_asked(&report) {
            (self.price, self.qty, self.amend) = (report.price, report.qty, None);
            self.most = self.qty;
        } else if self.intent == 0 && self.amend.is_none() && report.qty != 0 {
            // Of somebody else, who may change it as well.
            (self.price, self.qty, self.most) = (report.price, report.qty, report.qty);
        } else if self.is_matched && self.amend.is_none() && report.price != 0 {
            self.price = report.price;
        }
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
        // While an amendment is under way only the venue knows what "completely" is.
        if self.filled >= self.qty && self.amend.is_none() {
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
    pub fn words(&self) -> [u64; 7] {
        let id =
            self.client_order_id.as_bytes().iter().fold(0_u64, |h, &b| h.wrapping_mul(31) ^ u64::from(b));
        let flags = (self.state as u64)
            | (u64::from(self.is_canceling) << 8)
            | (u64::from(self.ended.is_some()) << 9)
            | (u64::from(self.amend.is_some()) << 10);
        let times = [self.sent_ns, self.canceled_ns];
        [id, self.filled as u64, self.venue_order_id, flags, times[0], times[1], self.venue_filled as u64]
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
        Report { filled, venue_order_id: 5, ..Report::of(state) }
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

    #[test]
    fn an_amendment_counts_at_its_worst_until_the_venue_says_which() {
        let taken = Report { price: 101, qty: 20, ..report(OrderState::Working, 0) };
        let mut o = order(10);
        o.on_report(report(OrderState::Working, 0));
        o.on_amend_sent(101, 20, 5);
        assert_eq!((o.remaining(), o.is_amending(), o.price), (20, true, 100));
        o.on_report(Report { price: 100, qty: 10, ..report(OrderState::Working, 0) });
        assert!(o.is_amending(), "an older event decides nothing");
        o.on_report(taken);
        assert_eq!((o.remaining(), o.is_amending(), o.price, o.qty), (20, false, 101, 20));
        o.on_amend_sent(102, 4, 6);
        assert_eq!(o.remaining(), 20, "a smaller one may not have arrived");
        o.on_amend_refused();
        assert_eq!((o.remaining(), o.price), (20, 101));
    }

    #[test]
    fn an_amendment_is_lost_only_when_it_can_no_longer_arrive() {
        let as_it_was = Report { price: 100, qty: 10, ..report(OrderState::Working, 0) };
        let mut o = order(10);
        o.on_amend_sent(101, 20, 1_000);
        o.on_amend_asked(&as_it_was, 1_400, 500);
        assert!(o.is_amending());
        o.on_amend_asked(&as_it_was, 1_501, 500);
        assert!(!o.is_amending());
    }

    #[test]
    fn fills_beyond_the_old_quantity_end_nothing_while_an_amendment_is_under_way() {
        let mut o = order(10);
        o.on_amend_sent(101, 20, 5);
        o.on_fill(10);
        assert!(!o.state.is_terminal());
        o.on_report(Report { price: 101, qty: 20, ..report(OrderState::PartiallyFilled, 10) });
        o.on_fill(10);
        assert_eq!((o.state, o.filled), (OrderState::Filled, 20));
    }

    #[test]
    fn an_adopted_order_is_where_the_venue_shows_it() {
        let fresh = order(10).adopted(7, 0);
        assert_eq!((fresh.state, fresh.remaining(), fresh.venue_order_id), (OrderState::Working, 10, 7));
        let partial = order(10).adopted(7, 4);
        assert_eq!((partial.state, partial.remaining()), (OrderState::PartiallyFilled, 6));
        let mut o = partial;
        o.on_report(report(OrderState::Canceled, 4));
        assert_eq!(o.state, OrderState::Canceled, "no fill is missing");
    }

    #[test]
    fn an_order_crosses_at_its_price_and_at_the_one_asked_for() {
        let mut bid = order(10);
        assert_eq!([99, 100, 101].map(|price| bid.crossing(price)), [Some(100), Some(100), None]);
        bid.on_amend_sent(105, 10, 5);
        assert_eq!([100, 101, 105, 106].map(|p| bid.crossing(p)), [Some(100), Some(105), Some(105), None]);
        let mut ask = Order { side: Side::Sell, ..order(10) };
        assert_eq!([99, 100, 101].map(|price| ask.crossing(price)), [None, Some(100), Some(100)]);
        ask.on_amend_sent(95, 10, 5);
        assert_eq!([94, 95, 99].map(|price| ask.crossing(price)), [None, Some(95), Some(95)]);
    }

    #[test]
    fn amendments_are_numbered_modulo_a_hundred() {
        let mut o = order(10);
        for number in 1..=205_u64 {
            o.on_amend_sent(101, 10, number);
            let expected = (number % 100) as u8;
            assert_eq!((o.amendment(), o.sent_ns), (expected, number));
            assert!(o.is_amendment(expected) && !o.is_amendment(expected + 1));
        }
        o.on_amend_refused();
        assert!(!o.is_amendment(5) && !o.is_amending());
    }

    #[test]
    fn what_the_venue_says_later_than_our_last_request_is_what_it_is() {
        let said = Report { price: 90, qty: 8, ..report(OrderState::Working, 0) };
        let sent = || Order { sent_ns: 1_000, placed_ns: 400, ..order(10) };
        let mut o = sent();
        o.on_amend_asked(&said, 1_000, 0);
        assert_eq!((o.price, o.qty), (100, 10), "it may have crossed our request");
        o.on_amend_asked(&said, 1_001, 0);
        assert_eq!((o.price, o.qty, o.remaining()), (90, 8, 8));
        let mut o = Order { placed_ns: 2_000, ..sent() };
        o.on_amend_asked(&said, 1_500, 0);
        assert_eq!(o.price, 100, "asked before it was placed");
        let mut o = sent();
        o.on_amend_asked(&Report { qty: 0, ..said }, 2_000, 0);
        assert_eq!(o.price, 100, "it did not say");
        // To the nanosecond.
        let mut o = order(10);
        o.on_amend_sent(101, 20, 1_000);
        o.on_amend_asked(&Report { price: 100, qty: 10, ..said }, 1_500, 500);
        assert!(o.is_amending());
        o.on_amend_asked(&Report { price: 101, qty: 20, ..said }, 9_000, 500);
        assert!(o.is_amending(), "it did arrive: a report says so");
    }

    #[test]
    fn only_orders_of_others_are_what_any_report_says() {
        let said = Report { price: 90, qty: 8, ..report(OrderState::Working, 0) };
        let mut ours = order(10);
        ours.on_report(said);
        assert_eq!((ours.price, ours.qty), (100, 10));
        let mut theirs = Order { intent: 0, ..order(10) };
        theirs.on_report(said);
        assert_eq!((theirs.price, theirs.qty, theirs.remaining()), (90, 8, 8));
        theirs.on_report(Report { price: 0, qty: 0, ..said });
        assert_eq!((theirs.price, theirs.qty), (90, 8));
        theirs.on_amend_sent(95, 9, 7);
        theirs.on_report(Report { price: 80, qty: 7, ..said });
        assert_eq!((theirs.price, theirs.qty), (90, 8), "while we are changing it");
    }

    #[test]
    fn reports_say_no_less_than_before() {
        let mut o = order(10);
        o.on_report(report(OrderState::Working, 0));
        o.on_report(Report { venue_order_id: 0, ..report(OrderState::Sent, 0) });
        assert_eq!((o.state, o.venue_order_id), (OrderState::Working, 5));
        o.on_report(report(OrderState::Canceled, 3));
        o.on_report(report(OrderState::Working, 0));
        assert!(o.is_unknown(), "three are missing, whatever comes late");
        o.on_fill(3);
        assert_eq!(o.state, OrderState::Canceled);
        let mut o = order(10);
        o.on_proof(4);
        o.on_proof(2);
        o.on_report(report(OrderState::Working, 4));
        assert_eq!((o.filled, o.state), (4, OrderState::PartiallyFilled));
    }

    #[test]
    fn everything_that_changes_is_in_the_digest() {
        let o = order(10);
        let id = u64::from(b'i').wrapping_mul(31) ^ u64::from(b'd');
        assert_eq!(o.words(), [id, 0, 0, OrderState::Sent as u64, 0, 0, 0]);
        let mut changed = Order { is_canceling: true, canceled_ns: 8, sent_ns: 9, ..o };
        changed.on_amend_sent(101, 11, 9);
        changed.on_report(report(OrderState::Canceled, 3));
        changed.on_fill(2);
        let flags = changed.state as u64 | 1 << 8 | 1 << 9 | 1 << 10;
        assert_eq!(changed.words(), [id, 2, 5, flags, 9, 8, 3]);
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
