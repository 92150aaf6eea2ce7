//! Orders by hand on the same account: adopted, left alone, or a reason to open nothing more.

use crate::{PROGRAM, kill::place_resting};
use tickpath_shared::{counters::Counter, record::Kind, status::InstrumentWord, types::TradingState};
use tickpath_tests::desk::{Desk, wait_for};
use tickpath_tools::offline::journal::{self, Filter};

/// A trading desk with a policy, on whose account somebody places an order.
fn desk_with(dir: &std::path::Path, policy: &str) -> Desk {
    let mut environment = Desk::busy();
    environment.push(("TICKPATH__VENUE__FOREIGN_ORDERS", policy));
    let mut desk = Desk::new(dir, PROGRAM, &environment).unwrap();
    desk.start_venue(&[]).unwrap();
    desk.start().unwrap();
    desk.wait_for_counter(Counter::OrdersSent, 3).unwrap();
    place_resting(&desk, "by-hand");
    desk.wait_for_counter(Counter::OutcomesForeign, 1).unwrap();
    desk
}

/// An event says that somebody else trades.
fn is_told(desk: &Desk) -> bool {
    let filter = Filter { session: None, lane: None, kind: Some(Kind::SessionEvent.label().into()) };
    let mut found = false;
    journal::cat(&desk.data, &filter, |record| found |= record.payload.ends_with(b"not ours")).unwrap();
    found
}

#[test]
fn an_order_by_hand_can_stop_new_risk() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = desk_with(dir.path(), "block");
    let is_blocked = || desk.status().is_ok_and(|s| s.trading_state() == TradingState::CancelOnly);
    wait_for("cancel only", is_blocked).unwrap();
    assert_eq!(desk.stop().unwrap(), 0);
    assert!(is_told(&desk));
}

/// Ids longer than we keep, which agree in what we keep, of orders opened while the desk trades.
#[test]
fn orders_by_hand_can_be_adopted_whatever_they_are_called() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = desk_with(dir.path(), "adopt");
    let names = ["first", "second"].map(|name| format!("a-long-name-given-by-somebody-{name}"));
    names.iter().for_each(|name| place_resting(&desk, name));
    wait_for("all three to count", || {
        desk.status().is_ok_and(|s| s.instrument(0, InstrumentWord::OpenOrders) >= 3)
    })
    .unwrap();
    let (code, text) = desk.run_here(&["disarm"]).unwrap();
    assert_eq!(code, 0, "{text}");
    wait_for("all to be canceled", || desk.venue_truth().is_ok_and(|v| v.open_orders.is_empty())).unwrap();
    wait_for("none to count", || {
        desk.status().is_ok_and(|s| s.instrument(0, InstrumentWord::OpenOrders) == 0)
    })
    .unwrap();
    assert_eq!(desk.stop().unwrap(), 0);
}

#[test]
fn an_order_by_hand_can_be_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = desk_with(dir.path(), "ignore");
    let orders = desk.counter(Counter::OrdersSent);
    desk.wait_for_counter(Counter::OrdersSent, orders + 3).unwrap();
    assert_eq!(desk.stop().unwrap(), 0);
    assert!(!is_told(&desk));
    let left = desk.venue_truth().unwrap().open_orders;
    assert_eq!(left.iter().filter(|o| o.is_ours == 0).count(), 1, "an ordered end cancels ours alone");
}
