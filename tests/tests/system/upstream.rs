//! Paper trading: the simulator relays what happens at another venue, here a second simulator, and matches our orders
//! against it.

use crate::PROGRAM;
use std::{cell::Cell, time::Duration};
use tickpath_shared::counters::Counter;
use tickpath_tests::{
    desk::{Desk, wait_for},
    http,
};

/// Best levels of a book with their update id.
fn book(address: std::net::SocketAddr) -> Option<(u64, String)> {
    let (status, text) = http::get(address, "/fapi/v1/depth?symbol=BTCUSDT&limit=100").ok()?;
    let book: serde_json::Value = serde_json::from_str(&text).ok()?;
    (status == 200)
        .then(|| (book["lastUpdateId"].as_u64().unwrap(), format!("{}{}", book["bids"], book["asks"])))
}

/// How long a connection of the relay must last to be taken for a good one, with some room.
const STEADY: Duration = Duration::from_millis(1_500);

/// Both are asked until both have shown the same moment so often, with the same books.
fn same_moments(desk: &Desk, other: &Desk, times: u32) {
    let compared = Cell::new(0);
    wait_for("the same moment at both", || {
        let (Some(ours), Some(theirs)) = (book(desk.venue), book(other.venue)) else { return false };
        if ours.0 == theirs.0 {
            assert_eq!(ours.1, theirs.1, "books of update {}", ours.0);
            compared.set(compared.get() + 1);
        }
        compared.get() >= times
    })
    .unwrap();
}

/// Connections to the streams of books.
fn connections(address: std::net::SocketAddr) -> Option<u64> {
    let (status, text) = http::get(address, "/admin/connections").ok()?;
    let open: serde_json::Value = serde_json::from_str(&text).ok()?;
    (status == 200).then(|| open["books"].as_u64().unwrap())
}

#[test]
fn orders_are_matched_against_what_happens_elsewhere() {
    let there = tempfile::tempdir().unwrap();
    let mut other = Desk::new(there.path(), PROGRAM, &[]).unwrap();
    other.start_venue(&["--seed", "51"]).unwrap();
    let here = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(here.path(), PROGRAM, &Desk::busy()).unwrap();
    let (streams, rest) = (format!("ws://{}", other.venue), format!("http://{}", other.venue));
    desk.start_venue(&["--upstream", &streams, "--upstream-rest", &rest]).unwrap();
    desk.start().unwrap();
    desk.wait_for_counter(Counter::Fills, 5).unwrap();
    same_moments(&desk, &other, 5);
    // The other venue's connections end, and come back: each cut meets one that is well, and both books are read again.
    for _ in 0..5 {
        // One that ended sooner would be taken for a venue that is not well, and asked again ever more seldom.
        std::thread::sleep(STEADY);
        let snapshots = desk.counter(Counter::Snapshots);
        let fault = "[[fault]]\nkind = \"reset\"\non = [\"books\"]";
        assert_eq!(connections(other.venue), Some(1));
        assert_eq!(http::send(other.venue, "POST", "/admin/faults", fault).unwrap().0, 200);
        wait_for("the relay to be cut off", || connections(other.venue) == Some(0)).unwrap();
        wait_for("the relay to be back", || connections(other.venue) == Some(1)).unwrap();
        same_moments(&desk, &other, 1);
        wait_for("books to be read again", || desk.counter(Counter::Snapshots) >= snapshots + 2).unwrap();
        let fills = desk.counter(Counter::Fills);
        desk.wait_for_counter(Counter::Fills, fills + 1).unwrap();
    }
    assert_eq!(other.venue_truth().unwrap().trades.len(), 0, "no order went there");
    assert_eq!(desk.stop().unwrap(), 0);
}
