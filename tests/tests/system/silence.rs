//! Connections that are dead without a word: half-open, or alive with nothing on them. They are noticed, no order leaves
//! meanwhile, and everything is back soon after the network is.

use crate::PROGRAM;
use rustix::process::Signal;
use std::time::{Duration, Instant};
use tickpath_shared::{
    counters::Counter,
    record::{BookChange, BookStateRecord, Kind, OrderRecord},
};
use tickpath_tests::{
    desk::{Desk, signal, wait_for},
    relay::Relay,
};
use tickpath_tools::offline::journal::{self, Filter};

/// Times each kind of connection falls silent.
const CUTS: usize = 5;

/// A desk whose streams of a kind go through a relay.
fn desk_through_relay(dir: &std::path::Path, key: &str, path: &str) -> (Desk, Relay) {
    let mut environment = Desk::busy();
    environment.extend([
        ("TICKPATH__VENUE__BOOK_SILENCE_MS", "1000"),
        ("TICKPATH__VENUE__PRIVATE_SILENCE_MS", "2000"),
        ("TICKPATH__RISK__BOOK_AGE_MS_MAX", "500"),
    ]);
    let mut desk = Desk::new(dir, PROGRAM, &environment).unwrap();
    desk.start_venue(&["--seed", "6"]).unwrap();
    let relay = Relay::start(desk.venue);
    desk.environment.push((key.to_owned(), format!("ws://{}{path}", relay.address)));
    desk.start().unwrap();
    desk.wait_for_counter(Counter::OrdersSent, 3).unwrap();
    (desk, relay)
}

/// Lets the relay fall silent and waits until the engine has a new connection that works.
fn cut(desk: &Desk, relay: &Relay, is_back: impl Fn() -> bool) -> [Duration; 2] {
    let (lost, made) = (desk.counter(Counter::LinksSilent), desk.counter(Counter::Reconnects));
    relay.set_silent(true);
    let start = Instant::now();
    wait_for("the silence to be noticed", || desk.counter(Counter::LinksSilent) > lost).unwrap();
    let noticed = start.elapsed();
    relay.set_silent(false);
    let start = Instant::now();
    wait_for("a new connection", || desk.counter(Counter::Reconnects) > made && is_back()).unwrap();
    [noticed, start.elapsed()]
}

#[test]
fn a_silent_book_stream_is_made_anew_and_nothing_is_traded_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let (mut desk, relay) = desk_through_relay(dir.path(), "TICKPATH__VENUE__PUBLIC_URL", "/public");
    for _ in 0..CUTS {
        let snapshots = desk.counter(Counter::Snapshots);
        let [noticed, back] = cut(&desk, &relay, || desk.counter(Counter::Snapshots) >= snapshots + 2);
        println!("books: noticed after {noticed:.1?}, whole {back:.1?} after the network was back");
        let orders = desk.counter(Counter::OrdersSent);
        desk.wait_for_counter(Counter::OrdersSent, orders + 1).unwrap();
    }
    assert_eq!(desk.stop().unwrap(), 0);
    assert_no_opening_order_on_invalid_books(&desk);
}

/// Between the loss of a book and its return no order leaves that opens anything; it happened often enough to tell.
fn assert_no_opening_order_on_invalid_books(desk: &Desk) {
    let (mut invalid, mut orders, mut valid) = (0_usize, 0, [false; 2]);
    let mut moments = Vec::new();
    let filter = Filter { session: None, lane: None, kind: None };
    journal::cat(&desk.data, &filter, |record| {
        let time = record.header.time;
        match record.kind() {
            Some(Kind::BookState) => {
                let state: BookStateRecord = record.body().unwrap();
                moments.push((
                    time,
                    Some((state.instrument, state.change == BookChange::Valid as u16)),
                    false,
                ));
            }
            Some(Kind::Order) => {
                let order: OrderRecord = record.body().unwrap();
                moments.push((time, None, order.is_reduce_only == 0));
            }
            _ => {}
        }
    })
    .unwrap();
    moments.sort_by_key(|m| m.0);
    for (_, state, is_opening) in moments {
        if let Some((instrument, is_valid)) = state {
            valid[instrument as usize] = is_valid;
        }
        invalid += usize::from(valid.contains(&false));
        orders += usize::from(is_opening && valid.contains(&false));
    }
    assert!(invalid >= CUTS, "{invalid}");
    assert_eq!(orders, 0, "orders while a book was invalid");
}

#[test]
fn a_half_open_private_connection_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (mut desk, relay) = desk_through_relay(dir.path(), "TICKPATH__VENUE__PRIVATE_URL", "/private");
    for _ in 0..CUTS {
        let is_back = || desk.status().is_ok_and(|s| s.is_reconciled());
        let [noticed, back] = cut(&desk, &relay, is_back);
        println!("account stream: noticed after {noticed:.1?}, whole {back:.1?} after the network was back");
        let orders = desk.counter(Counter::OrdersSent);
        desk.wait_for_counter(Counter::OrdersSent, orders + 1).unwrap();
    }
    assert_eq!(desk.counter(Counter::PositionMismatches), 0);
    assert_eq!(desk.stop().unwrap(), 0);
}

#[test]
fn after_a_pause_of_the_process_everything_is_stale_until_refreshed() {
    let dir = tempfile::tempdir().unwrap();
    let mut environment = Desk::busy();
    // The supervisor would take a process that hangs for so long for lost.
    environment.push(("TICKPATH__SUPERVISOR__STALL_MS", "60000"));
    let mut desk = Desk::new(dir.path(), PROGRAM, &environment).unwrap();
    desk.start_venue(&["--seed", "8"]).unwrap();
    desk.start().unwrap();
    desk.wait_for_counter(Counter::OrdersSent, 3).unwrap();
    for _ in 0..CUTS {
        let (gaps, orders) = (desk.counter(Counter::PollGaps), desk.counter(Counter::OrdersSent));
        let hot = desk.child("hot").unwrap();
        signal(hot, Signal::STOP);
        std::thread::sleep(Duration::from_secs(10));
        signal(hot, Signal::CONT);
        desk.wait_for_counter(Counter::PollGaps, gaps + 1).unwrap();
        desk.wait_for_counter(Counter::OrdersSent, orders + 2).unwrap();
    }
    assert_eq!(desk.stop().unwrap(), 0);
    assert_no_opening_order_on_invalid_books(&desk);
}
