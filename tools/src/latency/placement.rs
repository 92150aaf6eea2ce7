//! How far apart two cores are at the moment: a cache line sent back and forth. Virtual cores move between
//! sharing a cache and not, unseen by the guest, and a latency across them means nothing without this beside it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};
use tickpath_hotpath::net::affinity::pin;

/// Hops of a probe.
const HOPS: u64 = 4_000;
/// One-way times below this are near: the cores share a cache.
pub(super) const NEAR_NS: f64 = 150.0;

#[repr(align(128))]
struct Line(AtomicU64);

/// Nanoseconds a cache line takes from one core to the other. The calling thread runs on one of them already.
pub(super) fn hop_ns(other: usize) -> f64 {
    let (ping, pong) = (Line(AtomicU64::new(0)), Line(AtomicU64::new(0)));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(Some(other));
            for turn in 1..=HOPS {
                wait(&ping, turn);
                pong.0.store(turn, Ordering::Release);
            }
        });
        let mut start = Instant::now();
        for turn in 1..=HOPS {
            if turn == HOPS / 4 {
                // The first quarter wakes the other core.
                start = Instant::now();
            }
            ping.0.store(turn, Ordering::Release);
            wait(&pong, turn);
        }
        start.elapsed().as_nanos() as f64 / (HOPS - HOPS / 4) as f64 / 2.0
    })
}

fn wait(line: &Line, turn: u64) {
    while line.0.load(Ordering::Acquire) != turn {
        std::hint::spin_loop();
    }
}
