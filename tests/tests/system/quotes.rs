//! The market maker over sockets: quotes are placed, moved in place and taken away, and both ends agree about them.

use crate::PROGRAM;
use std::time::Duration;
use tickpath_shared::{
    counters::Counter,
    record::{ChangeRecord, Kind},
    status::InstrumentWord,
};
use tickpath_tests::{
    desk::{Desk, wait_for},
    http,
};
use tickpath_tools::offline::{
    journal::{self, Filter},
    replay::{self, ReplayPlan},
};

#[test]
fn quotes_follow_the_market_and_leave_with_the_book() {
    let dir = tempfile::tempdir().unwrap();
    let environment = [
        ("TICKPATH__PAIRS__IS_ENABLED", "false"),
        ("TICKPATH__MARKET_MAKER__IS_ENABLED", "true"),
        ("TICKPATH__MARKET_MAKER__K", "5.0"),
        ("TICKPATH__MARKET_MAKER__SIGMA", "1.0"),
        ("TICKPATH__MARKET_MAKER__A", "1.0"),
        ("TICKPATH__MARKET_MAKER__PAUSE_MS", "20"),
        ("TICKPATH__RISK__BOOK_AGE_MS_MAX", "1000"),
        ("TICKPATH__VENUE__BOOK_SILENCE_MS", "30000"),
    ];
    let mut desk = Desk::new(dir.path(), PROGRAM, &environment).unwrap();
    desk.start_venue(&["--seed", "41"]).unwrap();
    desk.start().unwrap();
    desk.wait_for_counter(Counter::AmendsSent, 50).unwrap();
    desk.wait_for_counter(Counter::Fills, 5).unwrap();
    let open = || desk.status().map_or(0, |s| s.instrument(0, InstrumentWord::OpenOrders));
    // The stream falls silent while its connection stays up: the quotes are too old to stand.
    let (mut silences, mut taken) = (0, 0);
    while taken < 5 {
        silences += 1;
        assert!(silences <= 20, "{taken} silences of {silences} found a quote to take away");
        let cancels = desk.counter(Counter::CancelsSent);
        wait_for("quotes", || open() > 0).unwrap();
        let silence = "[[fault]]\nkind = \"silence\"\non = [\"books\"]";
        assert_eq!(http::send(desk.venue, "POST", "/admin/faults", silence).unwrap().0, 200);
        // As long as the book is young enough quotes may still be placed.
        std::thread::sleep(Duration::from_millis(1_300));
        wait_for("the quotes to leave", || {
            open() == 0 && desk.venue_truth().is_ok_and(|v| v.open_orders.is_empty())
        })
        .unwrap();
        let sent = desk.counter(Counter::OrdersSent);
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(desk.counter(Counter::OrdersSent), sent, "a quote without a book");
        assert_eq!(http::send(desk.venue, "DELETE", "/admin/faults", "").unwrap().0, 200);
        // A silence finds none when both were filled in its first second.
        taken += u64::from(desk.counter(Counter::CancelsSent) > cancels);
    }
    desk.wait_for_counter(Counter::AmendsSent, 100).unwrap();
    wait_for("quotes", || open() > 0).unwrap();
    let (amends, fills) = (desk.counter(Counter::AmendsSent), desk.counter(Counter::Fills));
    assert_eq!(desk.run_here(&["disarm"]).unwrap().0, 0);
    wait_for("both ends to agree", || {
        let (Ok(status), Ok(truth)) = (desk.status(), desk.venue_truth()) else { return false };
        open() == 0
            && truth.open_orders.is_empty()
            && status.instrument(0, InstrumentWord::Position) == truth.positions[0]
    })
    .unwrap();
    assert_eq!(desk.stop().unwrap(), 0);

    let (mut changes, mut amended) = ([0_u64; 2], 0_u64);
    let filter = Filter { session: None, lane: None, kind: None };
    journal::cat(&desk.data, &filter, |record| match record.kind() {
        Some(Kind::Change) => {
            changes[usize::from(record.body::<ChangeRecord>().unwrap().qty == 0)] += 1;
        }
        Some(Kind::Amended) => amended += 1,
        _ => {}
    })
    .unwrap();
    println!(
        "{} moves wanted, {amends} sent, {amended} done; {} cancels wanted; {fills} fills",
        changes[0], changes[1]
    );
    assert!(changes[0] >= amends && changes[1] >= 5 && amended > 10);
    let report = replay::replay(&desk.data, &ReplayPlan::default()).unwrap();
    let replayed = report.orders_replayed as u64;
    assert!(
        report.is_identical() && replayed > 100 && replayed >= amends + 10,
        "{replayed} replayed, {:?}",
        report.first_difference
    );
}
