//! Prometheus text. Values come from the status file, so this is a writer, not a registry.

use super::{Shared, routes::Answer};
use std::{fmt::Write, sync::atomic::Ordering};
use tickpath_shared::{
    clock::host_ns_now,
    counters::{Counter, Stage},
    journal::list_sessions,
    status::{InstrumentWord, LaneWord, Progress, Ring, RingWord, StatusReader},
    types::decimal::pow10,
};

/// Bounds of the classic buckets in nanoseconds.
const BOUNDS_NS: [u64; 16] = [
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
    10_000_000_000,
];
const LANES: [&str; 5] = ["session", "feed", "engine", "gateway", "panic"];

pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP tickpath_{name} {help}\n# TYPE tickpath_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let braces = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let _ = writeln!(self.0, "tickpath_{name}{braces} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, kind, help);
        self.sample(name, "", value);
    }
}

/// A label value with backslash, quote and line break escaped.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

pub(super) fn serve(shared: &Shared) -> Answer {
    let mut text = Text(String::with_capacity(32 * 1024));
    control(&mut text, shared);
    telling(&mut text, shared);
    if let Some(status) = shared.status() {
        counters(&mut text, &status);
        state(&mut text, &status);
        lanes_and_rings(&mut text, &status);
        instruments(&mut text, &status);
        stages(&mut text, &status);
    }
    Answer::of(CONTENT_TYPE, text.0)
}

fn control(text: &mut Text, shared: &Shared) {
    let version = env!("CARGO_PKG_VERSION");
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    text.family("build_info", "gauge", "Version of the control process.");
    text.sample("build_info", &format!("version=\"{version}\",profile=\"{profile}\""), 1);
    let load = |word: &std::sync::atomic::AtomicU64| word.load(Ordering::Relaxed);
    text.one(
        "journal_lag_bytes",
        "gauge",
        "Bytes published and not durable.",
        load(&shared.archive.lag_bytes),
    );
    text.one(
        "archived_records_total",
        "counter",
        "Records archived by this process.",
        load(&shared.archive.records),
    );
    text.one("archive_errors_total", "counter", "Failed attempts to archive.", load(&shared.archive.errors));
    text.one(
        "stored_records_total",
        "counter",
        "Records folded into the store by this process.",
        load(&shared.store.records),
    );
    let failing = u8::from(shared.store.is_failing.load(Ordering::Relaxed));
    text.one("store_failing", "gauge", "1 while the store cannot be written.", failing);
    let sessions = list_sessions(&shared.data).map_or(0, |sessions| sessions.len());
    text.one("sessions", "gauge", "Sessions in the data directory.", sessions);
}

/// Whom the control process tells what, and what it could not keep.
fn telling(text: &mut Text, shared: &Shared) {
    let load = |word: &std::sync::atomic::AtomicU64| word.load(Ordering::Relaxed);
    text.family("alert", "gauge", "1 while an alert holds.");
    for alert in shared.alerts.list().0 {
        let labels = format!("name=\"{}\",severity=\"{}\"", alert.name, alert.severity.label());
        text.sample("alert", &labels, 1);
    }
    text.family("notifications_total", "counter", "Messages about alerts, by what became of them.");
    let notified = &shared.alerts.notified;
    for (outcome, count) in
        [("sent", &notified.sent), ("failed", &notified.failed), ("dropped", &notified.dropped)]
    {
        text.sample("notifications_total", &format!("outcome=\"{outcome}\""), load(count));
    }
    text.one(
        "log_lines_lost_total",
        "counter",
        "Log lines that could not be kept.",
        crate::telemetry::lost(),
    );
    let streams = shared.streams.open.load(Ordering::Relaxed);
    text.one("event_streams", "gauge", "Readers of server-sent events.", streams);
    text.one(
        "event_streams_dropped_total",
        "counter",
        "Readers of server-sent events that were let go because they were too slow.",
        load(&shared.streams.dropped),
    );
}

fn counters(text: &mut Text, status: &StatusReader) {
    for counter in Counter::ALL {
        text.one(
            &format!("{}_total", counter.label()),
            "counter",
            counter.meaning(),
            status.counter(*counter),
        );
    }
}

fn state(text: &mut Text, status: &StatusReader) {
    text.family("trading_state", "gauge", "1 for the state the gateway is in.");
    for state in tickpath_shared::types::TradingState::ALL {
        let is_in = u8::from(status.trading_state() == *state);
        text.sample("trading_state", &format!("state=\"{state}\""), is_in);
    }
    text.one(
        "kill_switch_active",
        "gauge",
        "1 while the kill word is set.",
        u8::from(status.kill_seen().is_some()),
    );
    text.one(
        "reconciled",
        "gauge",
        "1 while orders and positions are proven.",
        u8::from(status.is_reconciled()),
    );
    let now = host_ns_now().saturating_sub(status.identity().start_host_ns);
    text.family("last_turn_age_seconds", "gauge", "Time since a part of the hot process made a turn.");
    for part in Progress::ALL {
        let age = now.saturating_sub(status.progress(*part).1) as f64 / 1e9;
        text.sample("last_turn_age_seconds", &format!("part=\"{part}\""), age);
    }
}

fn lanes_and_rings(text: &mut Text, status: &StatusReader) {
    for word in LaneWord::ALL {
        let name = format!("lane_{}", word.label());
        text.family(&name, "gauge", word.meaning());
        for (lane, label) in LANES.iter().enumerate().take(4) {
            text.sample(&name, &format!("lane=\"{label}\""), status.lane(lane as u16, *word));
        }
    }
    text.family("ring_occupancy_ratio", "gauge", "Share of a ring's slots in use at the last poll.");
    for ring in Ring::ALL {
        let capacity = status.ring(*ring, RingWord::Capacity);
        if capacity > 0 {
            let occupied = status.ring(*ring, RingWord::Occupied) as f64 / capacity as f64;
            text.sample("ring_occupancy_ratio", &format!("ring=\"{ring}\""), occupied);
        }
    }
}

fn instruments(text: &mut Text, status: &StatusReader) {
    let definitions = status.definitions();
    for word in InstrumentWord::ALL {
        // Amounts are whole here: neither the name nor the text says x 10^8.
        let name = format!("instrument_{}", word.label().trim_end_matches("_e8"));
        text.family(&name, "gauge", &word.meaning().replace(" x 10^8", ""));
        for d in &definitions {
            let scale = match word {
                InstrumentWord::BidPrice | InstrumentWord::AskPrice => d.price_scale,
                InstrumentWord::BidQty | InstrumentWord::AskQty | InstrumentWord::Position => d.qty_scale,
                InstrumentWord::MarkPrice
                | InstrumentWord::EntryPriceE8
                | InstrumentWord::RealizedE8
                | InstrumentWord::FeesE8 => 8,
                InstrumentWord::IsValid | InstrumentWord::BookNs | InstrumentWord::OpenOrders => 0,
            };
            let value = status.instrument(d.instrument, *word) as f64 / pow10(scale) as f64;
            text.sample(&name, &format!("symbol=\"{}\"", escape(d.symbol.as_str())), value);
        }
    }
}

fn stages(text: &mut Text, status: &StatusReader) {
    text.family("stage_seconds", "histogram", "Latency of a stage; see /api/v1/latency for their meanings.");
    for stage in Stage::ALL {
        let histogram = status.histogram(*stage);
        for bound in BOUNDS_NS {
            let labels = format!("stage=\"{stage}\",le=\"{}\"", bound as f64 / 1e9);
            text.sample("stage_seconds_bucket", &labels, histogram.count_up_to(bound));
        }
        let label = format!("stage=\"{stage}\"");
        text.sample("stage_seconds_bucket", &format!("{label},le=\"+Inf\""), histogram.count());
        text.sample("stage_seconds_sum", &label, histogram.sum_ns as f64 / 1e9);
        text.sample("stage_seconds_count", &label, histogram.count());
    }
}
