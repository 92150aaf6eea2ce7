//! The engine lives on a server that nobody here wrote: the `websockets` package of Python replays the recorded pair
//! in fragments, with pings between them, in segments of odd sizes.

use crate::PROGRAM;
use std::{collections::BTreeMap, path::PathBuf};
use tickpath_shared::{counters::Counter, record::Kind};
use tickpath_tests::{
    desk::{Desk, Process, free_address, wait_for},
    python::with_packages,
    recorded_pair, root,
};
use tickpath_tools::{
    capture::{CaptureReader, MarketSource},
    offline::{
        book,
        journal::{self, Filter},
        replay::{self, ReplayPlan},
    },
};

/// Frames of the captures, merged as they were received.
fn frames_of(captures: &[PathBuf; 2]) -> Vec<String> {
    let mut reader = CaptureReader::open(captures).unwrap();
    let mut frames = Vec::new();
    while let Some(line) = reader.next_line().unwrap() {
        if !line.is_snapshot() {
            frames.push(line.text);
        }
    }
    frames
}

#[test]
fn books_are_exact_over_a_server_of_others() {
    let (Some(captures), Some(python)) = (recorded_pair(), with_packages("clients")) else { return };
    let dir = tempfile::tempdir().unwrap();
    let (streams, rest) = (free_address(), free_address());
    let environment = [
        ("TICKPATH__VENUE__REST_URL", format!("http://{rest}")),
        ("TICKPATH__VENUE__PUBLIC_URL", format!("ws://{streams}/public")),
        ("TICKPATH__VENUE__MARKET_URL", format!("ws://{streams}/market")),
        ("TICKPATH__VENUE__PRIVATE_URL", format!("ws://{streams}/private")),
        ("TICKPATH__VENUE__ORDER_URL", format!("ws://{streams}/ws-fapi/v1")),
        ("TICKPATH__PAIRS__IS_ENABLED", "false".to_owned()),
        ("TICKPATH__JOURNAL__OVERLOAD", "stall".to_owned()),
        // The captures have no mark prices, and an end.
        ("TICKPATH__VENUE__MARKET_SILENCE_MS", "0".to_owned()),
        ("TICKPATH__VENUE__BOOK_SILENCE_MS", "60000".to_owned()),
    ];
    let environment: Vec<(&str, &str)> = environment.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let mut desk = Desk::new(dir.path(), PROGRAM, &environment).unwrap();

    let log = dir.path().join("server.log");
    let [btc, eth] = captures.each_ref().map(|path| path.display().to_string());
    let arguments = [
        root().join("tests/clients/odd_server.py").display().to_string(),
        streams.port().to_string(),
        rest.port().to_string(),
        "7".to_owned(),
        format!("BTCUSDT={btc}"),
        format!("ETHUSDT={eth}"),
    ];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut server = Process::start(&python, &arguments, &[], &log).unwrap();
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    wait_for("the server", || said().contains("ready")).unwrap();

    desk.start().unwrap();
    let sent = frames_of(&captures);
    wait_for("the end of the captures", || said().contains("done")).unwrap();
    assert!(said().contains(&format!("done {}", sent.len())), "{}", said());
    desk.wait_for_counter(Counter::Frames, sent.len() as u64).unwrap();

    let none = [
        Counter::BookGaps,
        Counter::BookCrossed,
        Counter::DecodeErrors,
        Counter::FallbackFrames,
        Counter::PrivateErrors,
        Counter::Reconnects,
    ];
    for counter in none {
        assert_eq!(desk.counter(counter), 0, "{counter}");
    }
    assert_eq!(desk.stop().unwrap(), 0);
    let _ = server.terminate();

    // What the engine took is what was recorded, byte for byte, and its books are those of a replay of it.
    let mut received = sent.iter();
    let mut changes: BTreeMap<u16, u32> = BTreeMap::new();
    let filter = Filter { session: None, lane: None, kind: None };
    journal::cat(&desk.data, &filter, |record| match record.kind() {
        Some(Kind::Frame) => {
            let text = received.next().expect("no more frames than were sent");
            assert!(record.payload.ends_with(text.as_bytes()), "{text}");
        }
        Some(Kind::BookState) => {
            let state = record.body::<tickpath_shared::record::BookStateRecord>().unwrap();
            *changes.entry(state.change).or_default() += 1;
        }
        _ => {}
    })
    .unwrap();
    assert_eq!(received.next(), None);
    let report = replay::replay(&desk.data, &ReplayPlan::default()).unwrap();
    assert!(report.is_identical() && report.digests > 0, "{report:?}");
    let exact = book::run(&captures, |_| {}).unwrap();
    println!(
        "{} frames; {} of {} books equal the last ticker; {changes:?}",
        sent.len(),
        exact.ticker_agrees,
        exact.applied
    );
    assert_eq!(exact.ticker_agrees, exact.applied);
}
