//! Recorded market data: books are exact, damage is flagged at once, no order leaves on a damaged book, and
//! a session replays.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failed unwrap is a failed test; figures are shown"
)]

mod accounting;
mod cores;
mod frames;
mod limits;
mod lines;
mod messages;
mod orders;
mod references;
mod resets;
mod slow;
mod streams;
mod tls;
mod trust;

use cores::{Bench, Damage};
use std::path::PathBuf;
use tickpath_tests::{need, recorded_pair};
use tickpath_tools::offline::book;

fn summary(captures: &[PathBuf]) -> book::BookSummary {
    book::run(captures, |_| {}).unwrap()
}

#[test]
fn every_book_of_2024_equals_the_last_ticker() {
    let Some([btc, eth]) = recorded_pair() else { return };
    let found = [btc, eth].map(|file| summary(&[file]));
    let agreed = found.map(|s| (s.ticker_agrees, s.applied, s.gaps, s.decode_errors, s.fallbacks));
    assert_eq!(agreed, [(6547, 6547, 0, 0, 0), (6581, 6581, 0, 0, 0)]);
    assert_eq!(found.map(|s| (s.frames, s.snapshots)), [(93_953, 1), (74_654, 1)]);
}

#[test]
fn every_book_of_2023_equals_the_last_ticker_over_two_files() {
    let files = [
        "binance-usdm/btcusdt_depth0ms-bookTicker-trade-markPrice+snapshot_2023-04-04T2358Z.txt.gz",
        "binance-usdm/btcusdt_depth0ms-bookTicker-trade-markPrice_2023-04-05T0000Z.txt.gz",
    ];
    let Some(files) = files.iter().map(|file| need(file)).collect::<Option<Vec<_>>>() else { return };
    let found = summary(&files);
    assert_eq!((found.ticker_agrees, found.applied, found.gaps), (16_110, 16_110, 0));
}

/// Dropped, swapped and repeated lines (10^-3 each) over the recorded pair, several seeds.
#[test]
fn damage_is_flagged_on_the_next_message_and_mended_by_the_next_snapshot() {
    let Some(pair) = recorded_pair() else { return };
    for seed in 1..=3 {
        let mut bench = Bench::new(Damage { probability: 1e-3, seed });
        bench.run(&pair);
        let found = &bench.found;
        println!("seed {seed}: {found:?}");
        assert!(found.dropped_diffs + found.swapped_diffs > 5, "seed {seed}: {found:?}");
        assert_eq!(found.unflagged, 0, "seed {seed}: damage was not flagged: {found:?}");
        assert_eq!(found.orders_while_invalid, 0, "seed {seed}");
        assert!(found.orders > 100, "seed {seed}: {found:?}");
        assert_eq!(found.books_differ, 0, "seed {seed}: a valid book differs from the undamaged one");
        assert!(found.duplicates > 0 && found.resyncs > 5, "seed {seed}: {found:?}");
    }
}

/// The same without damage: nothing is flagged, everything trades.
#[test]
fn undamaged_data_flags_nothing() {
    let Some(pair) = recorded_pair() else { return };
    let mut bench = Bench::new(Damage { probability: 0.0, seed: 1 });
    bench.run(&pair);
    assert_eq!((bench.found.gaps, bench.found.duplicates), (0, 0));
    assert!(bench.found.orders > 100, "{:?}", bench.found);
}
