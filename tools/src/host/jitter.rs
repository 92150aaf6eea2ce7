//! The hiccup meter: a thread a core that does nothing but read the clock, and every gap it sees.
//! Columns as in rigtorp's `hiccups`.

use hdrhistogram::Histogram;
use serde::Serialize;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tickpath_hotpath::net::affinity::{Pinning, pin};
use tickpath_shared::clock::Clock;

/// Longest gap that is told apart, in nanoseconds.
const GAP_MAX_NS: u64 = 60_000_000_000;

/// What a core saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CoreJitter {
    /// The core.
    pub cpu: usize,
    /// Gaps from here on count.
    pub threshold_ns: u64,
    /// How many there were.
    pub hiccups: u64,
    /// 99th percentile of the gaps between two readings, hiccup or not.
    pub pct99_ns: u64,
    /// 99.9th percentile.
    pub pct999_ns: u64,
    /// Longest gap.
    pub max_ns: u64,
    /// How pinning went, for people.
    pub pinning: String,
}

/// Watches cores at the same time.
///
/// # Errors
///
/// A text when a thread cannot be started.
pub fn measure(
    cores: &[usize],
    duration: Duration,
    threshold_ns: u64,
    stop: &AtomicBool,
) -> Result<Vec<CoreJitter>, String> {
    let clock = Clock::start();
    std::thread::scope(|scope| {
        let threads: Vec<_> = cores
            .iter()
            .map(|&core| {
                let clock = clock.clone();
                scope.spawn(move || watch(core, &clock, duration, threshold_ns, stop))
            })
            .collect();
        threads
            .into_iter()
            .map(|t| t.join().map_err(|_| "a measuring thread ended early".to_owned())?)
            .collect()
    })
}

fn watch(
    core: usize,
    clock: &Clock,
    duration: Duration,
    threshold_ns: u64,
    stop: &AtomicBool,
) -> Result<CoreJitter, String> {
    let pinning: Pinning = pin(Some(core));
    let mut gaps = Histogram::<u64>::new_with_bounds(1, GAP_MAX_NS, 3).map_err(|e| e.to_string())?;
    let mut hiccups = 0;
    let start = clock.now();
    let end = start + duration.as_nanos() as u64;
    let mut last = start;
    while last < end && !stop.load(Ordering::Relaxed) {
        let now = clock.now();
        let gap = now.saturating_sub(last);
        last = now;
        gaps.saturating_record(gap.max(1));
        hiccups += u64::from(gap >= threshold_ns);
    }
    Ok(CoreJitter {
        cpu: core,
        threshold_ns,
        hiccups,
        pct99_ns: gaps.value_at_quantile(0.99),
        pct999_ns: gaps.value_at_quantile(0.999),
        max_ns: gaps.max(),
        pinning: pinning.to_string(),
    })
}

/// A table, one line a core.
pub fn table(cores: &[CoreJitter]) -> String {
    let mut out = String::from("cpu  threshold_ns  hiccups  pct99_ns  pct999_ns     max_ns\n");
    for c in cores {
        out += &format!(
            "{:>3}  {:>12}  {:>7}  {:>8}  {:>9}  {:>9}",
            c.cpu, c.threshold_ns, c.hiccups, c.pct99_ns, c.pct999_ns, c.max_ns
        );
        out += if c.pinning.starts_with("pinned") { "\n" } else { "  (not pinned)\n" };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickpath_hotpath::net::affinity::allowed_cores;

    #[test]
    fn a_low_threshold_sees_every_reading() {
        let cores = [allowed_cores()[0]];
        let stop = AtomicBool::new(false);
        let found = measure(&cores, Duration::from_millis(50), 1, &stop).unwrap();
        assert!(found[0].hiccups > 100 && found[0].max_ns >= found[0].pct999_ns, "{found:?}");
        assert!(table(&found).lines().count() == 2);
    }
}
