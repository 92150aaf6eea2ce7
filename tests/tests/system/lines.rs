//! Two lines of market data over real sockets, every connection replaced every few seconds, and one line cut.

use crate::PROGRAM;
use std::{
    path::Path,
    time::{Duration, Instant},
};
use tickpath_shared::{
    counters::{Counter, Stage},
    record::{BookChange, BookStateRecord, Kind},
};
use tickpath_tests::{
    desk::{Desk, wait_for},
    relay::Relay,
};
use tickpath_tools::offline::{
    journal::{self, Filter},
    replay::{self, ReplayPlan},
};

/// Connections that must have been replaced.
const ROLLOVERS: u64 = 10;

/// A desk with a second line of market data.
fn desk_with_two_lines(dir: &Path, environment: &[(&str, &str)]) -> Desk {
    let desk = Desk::new(dir, PROGRAM, environment).unwrap();
    let text = std::fs::read_to_string(desk.data.config()).unwrap();
    let with_line = text.replacen("[[instrument]]", "[[venue.line]]\n\n[[instrument]]", 1);
    std::fs::write(desk.data.config(), with_line).unwrap();
    desk
}

#[test]
fn connections_are_replaced_over_sockets_without_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let mut environment = Desk::busy();
    environment.push(("TICKPATH__VENUE__CONNECTION_LIFE_S", "4"));
    let mut desk = desk_with_two_lines(dir.path(), &environment);
    desk.start_venue(&["--seed", "3"]).unwrap();
    desk.start().unwrap();
    desk.wait_for_counter(Counter::Snapshots, 2).unwrap();
    // Each of six connections is replaced every four seconds.
    desk.wait_for_counter(Counter::Reconnects, 3 * ROLLOVERS).unwrap();
    let from = desk.counter(Counter::DepthApplied);
    desk.wait_for_counter(Counter::DepthApplied, from + 50).unwrap();
    for counter in [Counter::BookGaps, Counter::BookCrossed, Counter::DepthDuplicates, Counter::LinesLost] {
        assert_eq!(desk.counter(counter), 0, "{counter}");
    }
    let copies = desk.counter(Counter::LineCopies);
    assert!(copies > 500, "{copies} copies");
    let status = desk.status().unwrap();
    let led = [Stage::LeadA, Stage::LeadB].map(|s| status.histogram(s).count());
    assert!(led.iter().sum::<u64>() > 500 && led.iter().all(|led| *led > 0), "{led:?} leads");
    drop(status);
    assert_eq!(desk.stop().unwrap(), 0);

    let (mut replaced, mut changes) = (0_u64, Vec::new());
    let filter = Filter { session: None, lane: None, kind: None };
    journal::cat(&desk.data, &filter, |record| match record.kind() {
        Some(Kind::SessionEvent) => {
            replaced += u64::from(record.payload.ends_with(b"a connection was replaced in time"));
        }
        Some(Kind::BookState) => changes.push(record.body::<BookStateRecord>().unwrap().change),
        _ => {}
    })
    .unwrap();
    println!("{replaced} market connections replaced, {copies} copies dropped, books changed {changes:?}");
    assert!(replaced >= ROLLOVERS, "{replaced}");
    assert_eq!(changes, [BookChange::Valid as u16; 2], "never invalid after the start");
    let report = replay::replay(&desk.data, &ReplayPlan::default()).unwrap();
    assert!(report.is_identical() && report.orders_replayed > 10, "{report:?}");
}

#[test]
fn a_line_that_is_lost_costs_a_counter() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = desk_with_two_lines(dir.path(), &[]);
    desk.start_venue(&["--seed", "4"]).unwrap();
    // A second simulator of the same market would be another market: the line goes through a relay that is cut.
    let relay = Relay::start(desk.venue);
    let text = std::fs::read_to_string(desk.data.config()).unwrap();
    let line = format!("[[venue.line]]\npublic_url = \"ws://{}/public\"\n", relay.address);
    std::fs::write(desk.data.config(), text.replace("[[venue.line]]\n", &line)).unwrap();
    desk.start().unwrap();
    desk.wait_for_counter(Counter::LineCopies, 100).unwrap();
    drop(relay);
    wait_for("the line's loss", || desk.counter(Counter::LinesLost) > 0).unwrap();
    let (from, start) = (desk.counter(Counter::DepthApplied), Instant::now());
    desk.wait_for_counter(Counter::DepthApplied, from + 100).unwrap();
    assert!(start.elapsed() < Duration::from_secs(20), "the other line carries on");
    assert_eq!((desk.counter(Counter::BookGaps), desk.counter(Counter::Snapshots)), (0, 2));
    assert_eq!(desk.stop().unwrap(), 0);
}
