//! Timing without a framework: batches, medians, ratios to a peer in the same run.

use std::time::Instant;

/// Batches of a comparison; the median of them counts.
const ROUNDS: usize = 15;

/// Median nanoseconds of one call, over [`ROUNDS`] batches of `calls`.
pub fn median_ns(calls: u32, mut call: impl FnMut()) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            (0..calls).for_each(|_| call());
            start.elapsed().as_nanos() as f64 / f64::from(calls)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}
