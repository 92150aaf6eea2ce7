//! A session from the outside: counters, latencies, rings and lanes as the status file has them. Read-only, of a
//! running session or of one whose files are left.

use std::fmt::Write as _;
use tickpath_shared::{
    counters::{Counter, Stage},
    status::{LaneWord, Progress, Ring, RingWord, StatusReader},
};

/// Counters at the time of the last page, for rates.
#[derive(Clone, Debug, Default)]
pub struct Before {
    counters: Vec<u64>,
    at_ns: u64,
}

/// Lanes of a session.
const LANES: [&str; 4] = ["session", "feed", "engine", "gateway"];

/// One page; rates are against `before`, which is brought up to date. `now_ns` is any monotonic clock.
pub fn page(status: &StatusReader, before: &mut Before, now_ns: u64) -> String {
    let mut out = String::new();
    let id = status.identity();
    let _ = writeln!(
        out,
        "session {}   process {}   {}   {}{}",
        id.session,
        id.pid,
        id.build,
        status.trading_state(),
        if status.is_stopped() { "   (stopped)" } else { "" }
    );
    counters(&mut out, status, before, now_ns);
    latencies(&mut out, status);
    rings(&mut out, status);
    lanes(&mut out, status);
    out
}

fn counters(out: &mut String, status: &StatusReader, before: &mut Before, now_ns: u64) {
    let values: Vec<u64> = Counter::ALL.iter().map(|c| status.counter(*c)).collect();
    let seconds = now_ns.saturating_sub(before.at_ns) as f64 / 1e9;
    let _ = writeln!(out, "\n{:<26} {:>14} {:>12}", "counter", "count", "a second");
    for (i, counter) in Counter::ALL.iter().enumerate().filter(|(i, _)| values[*i] > 0) {
        let rate = before.counters.get(i).map(|b| values[i].saturating_sub(*b) as f64 / seconds.max(1e-9));
        let rate = rate.map_or_else(|| "-".to_owned(), |r| format!("{r:.0}"));
        let _ = writeln!(out, "{:<26} {:>14} {rate:>12}", counter.label(), values[i]);
    }
    for part in Progress::ALL {
        let (polls, last_ns) = status.progress(*part);
        let _ = writeln!(
            out,
            "{:<26} {polls:>14}   last at {:.3} s",
            format!("{} polls", part.label()),
            last_ns as f64 / 1e9
        );
    }
    *before = Before { counters: values, at_ns: now_ns };
}

fn latencies(out: &mut String, status: &StatusReader) {
    let _ = writeln!(
        out,
        "\n{:<18} {:>12} {:>10} {:>10} {:>10} {:>10} {:>12}   ns",
        "stage", "count", "p50", "p99", "p99.9", "p99.99", "max"
    );
    for stage in Stage::ALL {
        let h = status.histogram(*stage);
        if h.count() > 0 {
            let q = |quantile: f64| h.quantile_ns(quantile);
            let _ = writeln!(
                out,
                "{:<18} {:>12} {:>10} {:>10} {:>10} {:>10} {:>12}",
                stage.label(),
                h.count(),
                q(0.5),
                q(0.99),
                q(0.999),
                q(0.9999),
                h.max_ns
            );
        }
    }
}

fn rings(out: &mut String, status: &StatusReader) {
    let _ = writeln!(out, "\n{:<18} {:>10} {:>10} {:>10}   slots", "ring", "in use", "most", "capacity");
    for ring in Ring::ALL {
        let word = |word| status.ring(*ring, word);
        if word(RingWord::Capacity) > 0 {
            let (now, most) = (word(RingWord::Occupied), word(RingWord::OccupiedMax));
            let _ =
                writeln!(out, "{:<18} {now:>10} {most:>10} {:>10}", ring.label(), word(RingWord::Capacity));
        }
    }
}

fn lanes(out: &mut String, status: &StatusReader) {
    let _ = writeln!(
        out,
        "\n{:<18} {:>12} {:>12} {:>14} {:>9} {:>9}",
        "lane", "records", "MiB", "free segments", "dropped", "skipped"
    );
    for (lane, name) in LANES.iter().enumerate() {
        let word = |word| status.lane(lane as u16, word);
        let _ = writeln!(
            out,
            "{name:<18} {:>12} {:>12} {:>14} {:>9} {:>9}",
            word(LaneWord::Records),
            word(LaneWord::Position) >> 20,
            format!("{} of {}", word(LaneWord::Free), word(LaneWord::Segments)),
            word(LaneWord::Dropped),
            word(LaneWord::Skipped)
        );
    }
}
