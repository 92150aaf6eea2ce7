//! What was measured: histograms, percentiles, ratios.

use super::loopback::{Outlier, Point};
use hdrhistogram::Histogram;
use serde::Serialize;
use tickpath_shared::{Nanos, histogram::HistogramCopy};

/// Longest time kept apart, nanoseconds.
const NS_MAX: u64 = 60_000_000_000;

/// Latencies of one round.
pub(super) struct Sample(Histogram<u64>);

impl Sample {
    /// Without any value yet.
    pub(super) fn new() -> Self {
        let Ok(histogram) = Histogram::new_with_bounds(1, NS_MAX, 3) else { unreachable!("constant bounds") };
        Self(histogram)
    }

    /// Adds a latency.
    pub(super) fn record(&mut self, ns: Nanos) {
        self.0.saturating_record(ns.max(1));
    }

    /// Adds another sample's latencies.
    pub(super) fn merge(&mut self, other: &Self) {
        // Same bounds, so that nothing can be out of range.
        let _ = self.0.add(&other.0);
    }

    /// The histogram.
    pub(super) fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }
}

/// Percentiles, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Percentiles {
    pub(super) count: u64,
    pub(super) p50_ns: u64,
    pub(super) p90_ns: u64,
    pub(super) p99_ns: u64,
    pub(super) p999_ns: u64,
    pub(super) p9999_ns: u64,
    pub(super) max_ns: u64,
}

impl Percentiles {
    /// Count and percentiles in the columns that every table has.
    fn columns(&self) -> String {
        format!(
            "{:>9} {:>8} {:>8} {:>9} {:>10} {:>10} {:>10}",
            self.count, self.p50_ns, self.p90_ns, self.p99_ns, self.p999_ns, self.p9999_ns, self.max_ns
        )
    }

    /// Of a histogram.
    pub(super) fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        Self {
            count: histogram.len(),
            p50_ns: at(0.5),
            p90_ns: at(0.9),
            p99_ns: at(0.99),
            p999_ns: at(0.999),
            p9999_ns: at(0.9999),
            max_ns: histogram.max(),
        }
    }
}

/// Rounds of one contender.
pub(super) struct Series {
    pub(super) name: String,
    pub(super) all: Sample,
    rounds: Vec<Percentiles>,
}

impl Series {
    /// Without any round yet.
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), all: Sample::new(), rounds: Vec::new() }
    }

    /// Adds a round; one without values leaves no trace.
    pub(super) fn add(&mut self, sample: Sample) {
        if sample.0.is_empty() {
            return;
        }
        self.rounds.push(Percentiles::of(&sample.0));
        self.all.merge(&sample);
    }

    /// Percentiles over all rounds.
    pub(super) fn percentiles(&self) -> Percentiles {
        Percentiles::of(&self.all.0)
    }

    /// How many rounds.
    pub(super) fn rounds(&self) -> &[Percentiles] {
        &self.rounds
    }

    /// How many times ours this takes, median of the rounds, by percentile.
    pub(super) fn ratio_to(&self, ours: &Self) -> Ratio {
        let of = |pick: fn(&Percentiles) -> u64| {
            let pairs = self.rounds.iter().zip(&ours.rounds);
            median(pairs.map(|(theirs, ours)| pick(theirs) as f64 / pick(ours).max(1) as f64).collect())
        };
        Ratio { p50: of(|p| p.p50_ns), p99: of(|p| p.p99_ns), p999: of(|p| p.p999_ns) }
    }
}

/// How many times the first takes of the second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Ratio {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
}

/// The middle value; 0 without any.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// A table of contenders, the first of which is ours.
pub(super) fn table(series: &[Series]) -> String {
    let mut out = format!(
        "{:<34} {:>9} {:>8} {:>8} {:>9} {:>10} {:>10} {:>10}  times ours (median of rounds): p50 p99 p99.9\n",
        "nanoseconds", "orders", "p50", "p90", "p99", "p99.9", "p99.99", "max"
    );
    for (index, one) in series.iter().enumerate() {
        out += &format!("{:<34} {}", one.name, one.percentiles().columns());
        if index > 0 {
            let ratio = one.ratio_to(&series[0]);
            out += &format!(
                "  {:>5.2} {:>5.2} {:>5.2} ({} rounds)",
                ratio.p50,
                ratio.p99,
                ratio.p999,
                one.rounds().len()
            );
        }
        out.push('\n');
    }
    out
}

/// What whole turns took, under a table of contenders.
pub(super) fn turns_line(turns: &Sample) -> String {
    format!("{:<34} {}\n", "tickpath, whole turn: also journal", Percentiles::of(&turns.0).columns())
}

/// A table of what each stage took; stages that never ran are left out.
pub(super) fn stage_table(stages: &[(&str, HistogramCopy)]) -> String {
    let mut out = format!(
        "{:<34} {:>9} {:>8} {:>8} {:>9} {:>10} {:>10} {:>10}\n",
        "stage, nanoseconds", "times", "p50", "p90", "p99", "p99.9", "p99.99", "max"
    );
    for (name, h) in stages.iter().filter(|(_, h)| h.count() > 0) {
        let at = |quantile| h.quantile_ns(quantile);
        out += &format!(
            "  {name:<32} {:>9} {:>8} {:>8} {:>9} {:>10} {:>10} {:>10}\n",
            h.count(),
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999),
            at(0.9999),
            h.max_ns
        );
    }
    out
}

/// Head of the table whose lines are [`curve_line`].
pub(super) fn curve_title() -> String {
    format!(
        "{:>9} {:>11} {:>9} {:>8} {:>8} {:>9} {:>10} {:>10} {:>10} {:>7}\n",
        "ticks/s", "carried/s", "answered", "p50 ns", "p90", "p99", "p99.9", "p99.99", "max", "hop ns"
    )
}

/// One rate of a curve.
pub(super) fn curve_line(point: &Point) -> String {
    let columns = Percentiles::of(point.sample.histogram()).columns();
    let mut out =
        format!("{:>9} {:>11.0} {columns} {:>7.0}", point.per_second, point.carried_per_second, point.hop_ns);
    if point.unanswered > 0 {
        out += &format!("  {} without an order", point.unanswered);
    }
    out + if point.is_saturated { "  saturated\n" } else { "\n" }
}

/// The worst ticks and what happened in their windows.
pub(super) fn outlier_table(outliers: &[Outlier]) -> String {
    let mut out = format!(
        "{:<20} {:>10} {:>9} {:>7} {:>11} {:>10} {:>9} {:>13}\n",
        "worst ticks",
        "latency ns",
        "switches",
        "faults",
        "interrupts",
        "rollovers",
        "ring max",
        "generator gap"
    );
    for Outlier { latency_ns, at_ns, window: w } in outliers {
        out += &format!(
            "  at {:>13.3} ms {latency_ns:>10} {:>9} {:>7} {:>11} {:>10} {:>9} {:>10} ns\n",
            *at_ns as f64 / 1e6,
            w.context_switches,
            w.page_faults,
            w.interrupts,
            w.journal_rollovers,
            w.ring_occupied_max,
            w.generator_gap_ns
        );
    }
    out + "  (counts are of the tenth of a second around the tick; a gap of the generator delays the ticks it was to send)\n"
}
