//! Stops at the venue: they outlive the processes, and go with the position.

use crate::{PROGRAM, by_hand::quiet_environment};
use rustix::process::Signal;
use serde_json::Value;
use tickpath_shared::{
    record::StopReportRecord,
    status::InstrumentWord,
    types::{Side, TradingState},
};
use tickpath_tests::{
    desk::{Desk, signal, wait_for},
    http,
};

fn stops(desk: &Desk) -> Vec<StopReportRecord> {
    let rest = desk.rest().unwrap();
    let definitions = rest.definitions(&["BTCUSDT", "ETHUSDT"]).unwrap();
    rest.open_stops(&definitions, rest.server_time().unwrap()).unwrap()
}

pub(crate) fn position(desk: &Desk) -> i64 {
    desk.status().map_or(0, |status| status.instrument(0, InstrumentWord::Position))
}

pub(crate) fn order(desk: &Desk, arguments: &[&str]) {
    let whole: Vec<&str> = ["order"].iter().chain(arguments).copied().collect();
    wait_for("the order to be taken", || desk.run_here(&whole).is_ok_and(|(code, _)| code == 0)).unwrap();
}

/// States of the stops as the store tells them, the oldest first.
fn stored(desk: &Desk) -> Vec<String> {
    let (_, text) = http::get(desk.control, "/api/v1/orders?limit=1000").unwrap();
    let rows = serde_json::from_str::<Value>(&text).unwrap()["rows"].take();
    let is_stop = |row: &&Value| row["order_type"] == "stop_market";
    let mut states: Vec<_> =
        rows.as_array().unwrap().iter().filter(is_stop).map(|row| row["state"].to_string()).collect();
    states.reverse();
    states
}

#[test]
fn a_stop_outlives_the_processes_and_goes_with_the_position() {
    let dir = tempfile::tempdir().unwrap();
    let mut environment = quiet_environment();
    environment.push(("TICKPATH__RISK__RESTING_STOP_BPS", "500"));
    let mut desk = Desk::new(dir.path(), PROGRAM, &environment).unwrap();
    desk.start_venue(&["--seed", "61", "--balance", "50000"]).unwrap();
    desk.start().unwrap();
    let is_armed = |desk: &Desk| desk.status().is_ok_and(|s| s.trading_state() == TradingState::Armed);
    wait_for("an armed desk", || is_armed(&desk)).unwrap();
    order(&desk, &["buy", "0.010", "BTCUSDT"]);
    wait_for("a stop", || stops(&desk).len() == 1).unwrap();
    let placed = stops(&desk)[0];
    assert_eq!((placed.side, placed.is_closing), (Side::Sell as u8, 1));
    wait_for("the store to know", || stored(&desk) == ["\"working\""]).unwrap();

    // Whoever arms no more, kills or is killed keeps it.
    assert_eq!(desk.run_here(&["disarm"]).unwrap().0, 0);
    signal(desk.child("hot").unwrap(), Signal::KILL);
    signal(desk.child("control").unwrap(), Signal::KILL);
    assert_eq!(stops(&desk), [placed]);
    wait_for("another session", || is_armed(&desk) && position(&desk) > 0).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(stops(&desk), [placed], "it goes on with the position");

    order(&desk, &["sell", "0.010", "BTCUSDT", "--reduce-only"]);
    wait_for("no stop", || position(&desk) == 0 && stops(&desk).is_empty()).unwrap();
    wait_for("the store to know", || stored(&desk) == ["\"canceled\""]).unwrap();
    assert_eq!(desk.venue_truth().unwrap().open_orders.len(), 0);
    assert_eq!(desk.stop().unwrap(), 0);
    let (code, text) = desk.run_here(&["replay"]).unwrap();
    assert!(code == 0 && text.contains("\"first_difference\":null"), "{code} {text}");
    let (code, text) = desk.run_here(&["rebuild"]).unwrap();
    assert!(code == 0 && text.contains("the store was what the archive folds to"), "{text}");
}
