//! Stops that rest at the venue: they go with the position, and close it.

use super::*;
use crate::venue::{RequestKind, StopChange};
use tickpath_shared::{
    record::StopReportRecord,
    types::{OrderTerms, StopState},
};

fn resting(bps: i64) -> Config {
    let mut config = config(Vec::new());
    config.risk.resting_stop_bps = bps;
    config
}

impl Stand {
    /// Holds one more or less, filled at a price in cents.
    fn hold_at(&mut self, side: Side, price: i64) {
        let order = self.want(0, 0, side, false).unwrap();
        self.fill(&order, price, 1_000);
        self.wait(200);
    }

    /// The stop that was placed last, if that is the newest order.
    fn stop(&self) -> Option<OrderRecord> {
        let (_, order) = self.out.sent.last()?;
        (order.order_type == OrderTerms::STOP_MARKET).then_some(*order)
    }

    fn stops(&self) -> usize {
        let is_stop = |(_, order): &&(Nanos, OrderRecord)| order.order_type == OrderTerms::STOP_MARKET;
        self.out.sent.iter().filter(is_stop).count()
    }

    fn change_stop(&mut self, stop: &OrderRecord, state: StopState, venue_order_id: u64) {
        let change = StopChange { client_order_id: stop.client_order_id, stop_id: 77, venue_order_id, state };
        self.gateway.on_stop_change(self.now, Cause::NONE, &change, &mut self.out);
    }

    fn refuse_stop(&mut self, stop: &OrderRecord, code: i32) {
        let (id, request) = (stop.client_order_id, RequestKind::PlaceStop);
        self.gateway.on_stop_refused(self.now, Cause::NONE, request, &id, code, &mut self.out);
    }

    fn report_stop(&mut self, stop: &OrderRecord, state: StopState, age_ms: u32) {
        let report = StopReportRecord {
            client_order_id: stop.client_order_id,
            stop_id: 77,
            venue_order_id: 0,
            trigger: stop.price,
            instrument: stop.instrument,
            age_ms,
            state: state as u8,
            side: stop.side,
            is_closing: 1,
            reserved: [0; 5],
        };
        self.account(Kind::StopReport, report.as_bytes());
    }

    /// Holds one at 100.00 with a stop at 99.00 at the venue.
    fn stopped() -> (Self, OrderRecord) {
        let mut stand = Self::armed(&resting(100));
        stand.hold_at(Side::Buy, 10_000);
        let stop = stand.stop().unwrap();
        stand.change_stop(&stop, StopState::Waiting, 0);
        stand.wait(500);
        (stand, stop)
    }
}

#[test]
fn a_stop_rests_beyond_the_entry_of_every_position() {
    for (side, entry, trigger) in [
        (Side::Buy, 10_000, 9_900),
        (Side::Sell, 10_000, 10_100),
        (Side::Buy, 10_033, 9_932),
        (Side::Sell, 10_033, 10_134),
    ] {
        let mut stand = Stand::armed(&resting(100));
        stand.hold_at(side, entry);
        let stop = stand.stop().unwrap();
        let (back, qty) = (side.opposite() as u8, 1_000);
        assert_eq!((stop.side, stop.price, stop.qty, stop.is_reduce_only), (back, trigger, qty, 1));
        stand.change_stop(&stop, StopState::Waiting, 0);
        stand.wait(5_000);
        assert_eq!((stand.stops(), stand.out.canceled.len()), (1, 0), "one, once");
    }
    let mut none = Stand::armed(&resting(0));
    none.hold_at(Side::Buy, 10_000);
    assert_eq!(none.stops(), 0);
}

/// No limit counts it, and it does not keep the position from being closed by an order.
#[test]
fn a_stop_is_in_nobodys_way() {
    let (mut stand, stop) = Stand::stopped();
    let way_out = stand.want(0, 0, Side::Sell, true).unwrap();
    stand.fill(&way_out, 10_050, 1_000);
    stand.wait(200);
    assert_eq!(stand.out.canceled, [stop.client_order_id], "it goes with the position");
    stand.change_stop(&stop, StopState::Canceled, 0);
    stand.wait(3_000);
    assert_eq!((stand.stops(), stand.out.stops.len()), (1, 0));
}

#[test]
fn a_stop_follows_the_entry_when_that_has_moved_far_enough() {
    let (mut stand, stop) = Stand::stopped();
    stand.hold_at(Side::Buy, 10_018);
    assert!(stand.out.canceled.is_empty(), "9 of 100 cents");
    stand.hold_at(Side::Buy, 10_018);
    assert_eq!(stand.out.canceled, [stop.client_order_id], "12 of 100 cents");
    stand.change_stop(&stop, StopState::Canceled, 0);
    stand.wait(200);
    let next = stand.stop().unwrap();
    assert_eq!((next.price, next.qty), (9_911, 3_000));
    // The other way round.
    for _ in 0..4 {
        stand.change_stop(&next, StopState::Waiting, 0);
        stand.hold_at(Side::Sell, 10_000);
    }
    assert_eq!(stand.out.canceled.last(), Some(&next.client_order_id));
    stand.change_stop(&next, StopState::Canceled, 0);
    stand.wait(200);
    assert_eq!(stand.stop().map(|stop| (stop.side, stop.price)), Some((Side::Buy as u8, 10_100)));
}

#[test]
fn a_stop_that_is_reached_closes_and_lets_nothing_be_opened() {
    let (mut stand, stop) = Stand::stopped();
    stand.change_stop(&stop, StopState::Triggered, 4_711);
    assert_eq!(stand.out.stops, [Notice::StopReached { instrument: 0, trigger: 9_900 }]);
    stand.fill(&stop, 9_890, 1_000);
    assert_eq!(stand.gateway.positions().qty(0), 0);
    assert_eq!(stand.out.order_states.last(), Some(&OrderState::Filled));
    assert_eq!(stand.want(0, 0, Side::Buy, false), None);
    assert_eq!(stand.out.refused.last(), Some(&Reason::Stopped));
    assert!(stand.is_let(0, 1, Side::Buy, false), "other instruments go on");
    assert_eq!(stand.command(5, Verb::Arm, Scope::Instrument(0)), CommandOutcome::Done);
    assert!(stand.is_let(0, 0, Side::Buy, false));
}

/// What it would have done at once is done by orders.
#[test]
fn a_stop_that_would_trigger_at_once_is_carried_out() {
    let mut stand = Stand::armed(&resting(100));
    stand.hold_at(Side::Buy, 10_000);
    let stop = stand.stop().unwrap();
    stand.refuse_stop(&stop, -2021);
    assert_eq!(stand.out.stops, [Notice::StopReached { instrument: 0, trigger: 9_900 }]);
    stand.wait(500);
    let (_, closing) = stand.out.sent.last().unwrap();
    assert_eq!((closing.side, closing.is_reduce_only, closing.order_type), (Side::Sell as u8, 1, 0));
    stand.fill(&closing.clone(), 9_900, 1_000);
    stand.wait(3_000);
    assert_eq!(stand.stops(), 1);
}

/// A working order would open the position anew that the stop has closed.
#[test]
fn what_is_open_goes_when_a_stop_is_reached() {
    let (mut stand, stop) = Stand::stopped();
    let order = stand.want(0, 0, Side::Buy, false).unwrap();
    stand.change_stop(&stop, StopState::Triggered, 4_711);
    assert_eq!(stand.out.canceled, [order.client_order_id]);
    // Of which nothing more is heard the position has no stop: another one is placed.
    stand.wait(29_000);
    assert_eq!(stand.stops(), 1);
    stand.wait(3_000);
    assert_eq!(stand.stops(), 2);
}

/// The venue numbers orders by instrument: one of ours with the same number is another one.
#[test]
fn an_order_with_the_number_of_a_stops_order_is_not_taken_for_it() {
    let (mut stand, stop) = Stand::stopped();
    stand.change_stop(&stop, StopState::Triggered, 1_000 + stand.trades);
    let client_order_id = ClientOrderId::new(InstanceId::new("001").unwrap(), 1, 99);
    stand.end(&OrderRecord { client_order_id, instrument: 1, ..stop }, OrderState::Filled, 1_000);
    let name = crate::order::OrderName::ours(stop.client_order_id);
    assert!(stand.gateway.is_of_stop(&name, None), "its end is still to come");
    stand.fill(&stop, 9_890, 1_000);
    assert!(!stand.gateway.is_of_stop(&name, None));
}

#[test]
fn a_cancel_that_is_refused_is_not_sent_over_and_over() {
    let (mut stand, stop) = Stand::stopped();
    let way_out = stand.want(0, 0, Side::Sell, true).unwrap();
    stand.fill(&way_out, 10_050, 1_000);
    for seconds in 1..10 {
        stand.wait(500);
        let (id, request) = (stop.client_order_id, RequestKind::CancelStop);
        stand.gateway.on_stop_refused(stand.now, Cause::NONE, request, &id, -1008, &mut stand.out);
        stand.report_stop(&stop, StopState::Waiting, 0);
        stand.wait(500);
        assert_eq!(stand.out.canceled.len(), seconds);
    }
}

#[test]
fn a_stop_that_is_refused_is_told_and_tried_again() {
    let mut stand = Stand::armed(&resting(100));
    stand.hold_at(Side::Buy, 10_000);
    let stop = stand.stop().unwrap();
    stand.refuse_stop(&stop, -4045);
    assert_eq!(stand.out.stops, [Notice::StopRefused { instrument: 0, code: -4045 }]);
    stand.wait(4_900);
    assert_eq!(stand.stops(), 1);
    stand.wait(300);
    assert_eq!(stand.stops(), 2);
    // Taken, and ended by the venue itself.
    let stop = stand.stop().unwrap();
    stand.change_stop(&stop, StopState::Waiting, 0);
    stand.change_stop(&stop, StopState::Rejected, 0);
    assert_eq!(stand.out.stops.last(), Some(&Notice::StopRefused { instrument: 0, code: 0 }));
    stand.wait(4_900);
    assert_eq!(stand.stops(), 2);
}

/// Doubt ends by the venue's word alone: that it rests, that it is gone, or that it never came and cannot come any more.
#[test]
fn a_stop_of_which_nothing_is_heard_is_asked_about() {
    let mut stand = Stand::armed(&resting(100));
    stand.hold_at(Side::Buy, 10_000);
    let stop = stand.stop().unwrap();
    stand.wait(1_500);
    assert_eq!(stand.out.asked_stops, [stop.client_order_id]);
    assert_eq!(stand.out.order_states.last(), Some(&OrderState::Unknown));
    stand.report_stop(&stop, StopState::Absent, 0);
    stand.change_stop(&stop, StopState::Waiting, 0);
    stand.wait(100);
    assert_eq!(stand.stops(), 1, "it may still be on its way, and an event says what was, not what is");
    // An answer to a question from before the doubt is none.
    stand.report_stop(&stop, StopState::Waiting, 3_000);
    assert_eq!(stand.out.order_states.last(), Some(&OrderState::Unknown));
    stand.report_stop(&stop, StopState::Waiting, 0);
    assert_eq!(stand.out.order_states.last(), Some(&OrderState::Working));
    // While the connection was down anything may have happened.
    stand.tell(GatewayEvent::Link { connection: connection::EVENTS, is_up: false });
    assert_eq!(stand.out.asked_stops.last(), Some(&stop.client_order_id));
    stand.wait(10_000);
    stand.report_stop(&stop, StopState::Absent, 0);
    assert_eq!(stand.out.order_states.last(), Some(&OrderState::Absent));
    stand.wait(3_000);
    assert_eq!(stand.stops(), 1, "none is placed while the account is not proven");
}

#[test]
fn stops_stay_when_trading_ends() {
    for verb in [Verb::Disarm, Verb::Stop, Verb::CancelAll] {
        let (mut stand, _) = Stand::stopped();
        stand.command(3, verb, Scope::Account);
        stand.wait(3_000);
        assert_eq!(stand.out.canceled, [], "{verb}");
    }
    let (mut stand, _) = Stand::stopped();
    stand.tell(GatewayEvent::Kill { is_set: true });
    stand.wait(3_000);
    assert_eq!(stand.out.canceled, []);
    // Nor does one go that could not be placed anew.
    let (mut stand, _) = Stand::stopped();
    let order = stand.want(0, 0, Side::Buy, false).unwrap();
    stand.tell(GatewayEvent::Kill { is_set: true });
    stand.out.canceled.clear();
    stand.fill(&order, 10_080, 1_000);
    stand.wait(3_000);
    assert_eq!((stand.out.canceled.as_slice(), stand.stops()), (&[][..], 1));
    // But none leaves against the kill word.
    let mut stand = Stand::armed(&resting(100));
    let order = stand.want(0, 0, Side::Buy, false).unwrap();
    stand.tell(GatewayEvent::Kill { is_set: true });
    stand.fill(&order, 10_000, 1_000);
    stand.wait(3_000);
    assert_eq!(stand.stops(), 0);
}

/// A process before this one left stops: one goes on with its position, what has none or closes nothing goes.
#[test]
fn stops_of_an_earlier_session_go_on_or_go() {
    let (stand, stop) = Stand::stopped();
    drop(stand);
    let earlier = ClientOrderId::new(InstanceId::new("001").unwrap(), 0, 9);
    let other = ClientOrderId::new(InstanceId::new("002").unwrap(), 0, 9);
    let left = |client_order_id| OrderRecord { client_order_id, ..stop };
    let mut stand = Stand::armed(&resting(100));
    stand.report_stop(&left(other), StopState::Waiting, 0);
    stand.hold_at(Side::Buy, 10_000);
    assert_eq!((stand.stops(), stand.out.canceled.len()), (1, 0), "of another instance");
    let second = OrderRecord { client_order_id: earlier, ..stop };
    stand.report_stop(&second, StopState::Waiting, 0);
    assert_eq!(stand.out.canceled, [earlier], "there is one already");

    let mut stand = Stand::start(&resting(100), EPOCH_MS, None);
    let position =
        PositionRecord { instrument: 1, reserved: 0, qty: 1_000, entry_price_e8: MARK, through_trade_id: 0 };
    stand.report_stop(&OrderRecord { instrument: 1, ..left(earlier) }, StopState::Waiting, 0);
    stand.gateway.take_position(stand.now, Cause::NONE, &position, &mut stand.out);
    stand.wait(1_000);
    assert_eq!((stand.stops(), stand.out.canceled.len()), (0, 0), "it serves");
    let flat = PositionRecord { qty: 0, ..position };
    stand.gateway.take_position(stand.now, Cause::NONE, &flat, &mut stand.out);
    stand.wait(200);
    assert_eq!(stand.out.canceled, [earlier]);
}
