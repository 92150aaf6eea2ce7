//! Engine and gateway behind a slow network in virtual time: an hour of jitter and lost packets, and an hour behind a
//! peer that delivers a byte a second. Nothing is traded on that is older than allowed.

use super::cores::{Bench, Damage};
use std::collections::VecDeque;
use tickpath_shared::Nanos;
use tickpath_tests::random::Random;
use tickpath_tools::capture::{MarketLine, MarketSource, SyntheticMarket};

const MS: Nanos = 1_000_000;
const HOUR: Nanos = 3_600 * 1_000 * MS;
/// The process is stopped so often and for so long.
const PAUSE_EVERY: Nanos = 36_000 * MS;
const PAUSE: Nanos = 10_000 * MS;
const START_MS: u64 = 1_700_000_000_000;

/// When a line that is sent at a moment has arrived, behind those before it.
type Path = dyn FnMut(Nanos, &MarketLine) -> Nanos;

fn unharmed(seed: u64) -> Damage {
    Damage { probability: 0.0, seed }
}

/// An hour of the synthetic market over a path, in which the process is stopped for ten seconds now and then; the bench
/// afterwards.
fn hour(mut bench: Bench, pauses: bool, path: &mut Path) -> Bench {
    bench.set_epoch(START_MS);
    let mut market = SyntheticMarket::new(31, START_MS);
    let (mut waiting, mut next, mut now) = (VecDeque::new(), market.next_line().unwrap(), 0);
    while now < HOUR {
        now += 5 * MS;
        while let Some(line) = next.take_if(|line| line.time_ns <= START_MS * MS + now) {
            bench.sent(&line);
            if !line.is_snapshot() {
                let sent = line.time_ns - START_MS * MS;
                waiting.push_back((path(sent, &line), line));
            }
            next = market.next_line().unwrap();
        }
        if pauses && now % PAUSE_EVERY < PAUSE {
            continue;
        }
        bench.turn(now);
        while waiting.front().is_some_and(|(at, _)| *at <= now) {
            waiting.pop_front().into_iter().for_each(|(_, line)| bench.arrived(&line));
        }
    }
    bench
}

#[test]
fn an_hour_of_jitter_and_lost_packets_stales_nothing() {
    let mut random = Random::new(31);
    let mut last = 0;
    // A lost packet is sent again after a while, and what is behind it waits.
    let bench = hour(Bench::new(unharmed(31)), false, &mut move |sent, _| {
        let resent = if random.chance(0.05) { 200 + random.below(400) } else { 0 };
        last = last.max(sent + (random.below(500) + resent) * MS);
        last
    });
    let found = bench.figures();
    println!("jitter and loss: {found:?}");
    assert!(found.orders > 100 && found.stale_orders == 0 && found.orders_while_invalid == 0, "{found:?}");
}

/// The peer is well for a minute first, so that books are whole and the strategy wants to trade.
#[test]
fn behind_a_peer_that_slows_to_a_byte_a_second_nothing_is_traded() {
    const WELL: Nanos = 60_000 * MS;
    let slow_hour = |bench: Bench| {
        let mut free = 0;
        let bench = hour(bench, false, &mut move |sent, line| {
            let pause = if sent < WELL { 0 } else { line.text.len() as u64 * 1_000 * MS };
            free = sent.max(free) + pause;
            free
        });
        let found = bench.figures();
        println!("a byte a second: {found:?}");
        assert!(found.orders > 10 && found.stale_orders == 0, "{found:?}");
        assert!(found.last_order_ns < WELL + 4_000 * MS, "{found:?}");
        found
    };
    // A strategy that looks at the age itself, and one that leaves it to the limits.
    assert!(slow_hour(Bench::new(unharmed(32))).left_without_book > 0);
    assert!(slow_hour(Bench::probing(unharmed(32))).refused_as_stale > 0);
}

/// A hundred pauses of ten seconds: nothing that was known before is traded on, and what piled up meanwhile is stale.
#[test]
fn after_a_pause_nothing_is_traded_before_books_are_read_again() {
    let bench = hour(Bench::new(unharmed(33)), true, &mut |sent, _| sent + 5 * MS);
    let found = bench.figures();
    println!("pauses: {found:?}");
    assert!(found.resyncs >= 2 * 99 && found.orders > 1_000, "{found:?}");
    assert_eq!((found.stale_orders, found.orders_while_invalid), (0, 0), "{found:?}");
}
