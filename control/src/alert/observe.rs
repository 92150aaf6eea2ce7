//! What the rules look at, taken together twice a second.

use super::{Sources, rules::result_e8};
use crate::{held::HeldOrders, store};
use serde::{Deserialize, Serialize};
use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};
use tickpath_shared::{
    Nanos,
    clock::host_ns_now,
    config::Config,
    counters::{Counter, Stage},
    histogram::HistogramCopy,
    paths::replace_file,
    record::{DayRecord, EventCode},
    status::{InstrumentWord, LaneWord, Progress, StatusReader},
    types::{BreakerMetric, decimal},
};

const SECOND_NS: Nanos = 1_000_000_000;
const MINUTE_NS: Nanos = 60 * SECOND_NS;
const PEAK_FILE: &str = "peak.json";
/// How long something that happened once is told of.
const RECENT_NS: u64 = 300 * SECOND_NS;
/// Time that a fresh session has before its parts must make turns.
const START_GRACE_NS: Nanos = 30 * SECOND_NS;
/// Looks between two at what costs more: orders that wait, and what is stored of the peak.
const SELDOM: u64 = 10;
/// Rows of events that are looked through at the start.
const EVENTS_BACK: i64 = 5_000;
const WATCHED: [Counter; 6] = [
    Counter::OrdersSent,
    Counter::OrdersRejected,
    Counter::OrdersUnknown,
    Counter::PositionMismatches,
    Counter::FillsForeign,
    Counter::OutcomesForeign,
];

/// Everything at one moment.
pub(super) struct Observation<'a> {
    pub(super) config: &'a Config,
    /// Of the last session, whether it runs or not.
    pub(super) status: Option<&'a StatusReader>,
    /// Its process is gone without having stopped in order.
    pub(super) is_down: bool,
    /// Session time.
    pub(super) now: Nanos,
    /// Tick to trade over the last minute.
    pub(super) minute: Option<HistogramCopy>,
    /// What counters gained in two minutes.
    pub(super) gains: Vec<(Counter, u64)>,
    /// Result of the session, and its best.
    pub(super) result_e8: Option<i64>,
    pub(super) peak_e8: Option<i64>,
    /// Breakers that hold.
    pub(super) breakers: Vec<&'static str>,
    /// Input records that found no room in a lane.
    pub(super) skipped: u64,
    /// Orders that wait for a person.
    pub(super) held: usize,
    /// What the control process does without, and why.
    pub(super) missing: &'a [String],
    /// Codes and texts of recent grave events.
    pub(super) events: Vec<(String, String)>,
    /// Places and how much of them is free.
    pub(super) free_percent: Vec<(String, u64)>,
    pub(super) is_archive_failing: bool,
    pub(super) lag_mib: u64,
    pub(super) is_store_failing: bool,
    pub(super) is_export_failing: bool,
}

impl<'a> Observation<'a> {
    /// Status of a session that runs.
    pub(super) fn running(&self) -> Option<&'a StatusReader> {
        self.status.filter(|status| !status.is_stopped() && !self.is_down)
    }

    /// The part that made no turn for longest. One that has not made its first has some time to.
    pub(super) fn slowest_part(&self) -> Option<(Progress, Nanos)> {
        let status = self.running()?;
        let age = |part: &Progress| {
            let (turns, last) = status.progress(*part);
            (turns > 0 || self.now > START_GRACE_NS).then(|| (*part, self.now.saturating_sub(last)))
        };
        Progress::ALL.iter().filter_map(age).max_by_key(|(_, age)| *age)
    }

    pub(super) fn gained(&self, counter: Counter) -> u64 {
        self.gains.iter().find(|(of, _)| *of == counter).map_or(0, |(_, gain)| *gain)
    }

    /// The last recent event of one of the [`GRAVE`] codes.
    pub(super) fn seen(&self, code: EventCode) -> Option<String> {
        debug_assert!(GRAVE.contains(&code), "{code:?} is not looked for");
        self.events.iter().find(|(of, _)| of == code.label()).map(|(_, text)| text.clone())
    }

    /// Positions at their marks by symbol, quote currency x 10^8.
    pub(super) fn positions_e8(&self) -> Vec<(String, i128)> {
        let Some(status) = self.running() else { return Vec::new() };
        let of = |d: &tickpath_shared::types::InstrumentDefinition| {
            let word = |word| i128::from(status.instrument(d.instrument, word));
            let unit = i128::from(decimal::pow10(d.qty_scale));
            let notional = word(InstrumentWord::Position) * word(InstrumentWord::MarkPrice) / unit;
            (d.symbol.as_str().to_owned(), notional)
        };
        status.definitions().iter().map(of).collect()
    }
}

/// Events that people are told of.
const GRAVE: [EventCode; 4] =
    [EventCode::Tampering, EventCode::Panic, EventCode::RestingStop, EventCode::Money];

/// Where observations come from.
pub(super) struct Observer {
    sources: Sources,
    /// Session of what follows.
    session: u64,
    /// Counters at times of the last two minutes, and the histogram at those of the last one.
    counters: VecDeque<(Nanos, Vec<u64>)>,
    traces: VecDeque<(Nanos, HistogramCopy)>,
    looks: u64,
    held: usize,
    held_orders: HeldOrders,
    peak: Peak,
    /// Last row of the events that was looked at, and grave ones with their times.
    event_row: Option<i64>,
    events: Vec<(i64, String, String)>,
}

/// Best result of a session, kept over a restart of the control process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Peak {
    session: u64,
    e8: Option<i64>,
}

impl Observer {
    pub(super) fn new(sources: Sources) -> Self {
        let (counters, traces) = (VecDeque::new(), VecDeque::new());
        let stored = std::fs::read(sources.data.run().join(PEAK_FILE)).ok();
        let peak = stored.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Self {
            sources,
            session: 0,
            counters,
            traces,
            looks: 0,
            held: 0,
            held_orders: HeldOrders::default(),
            peak,
            event_row: None,
            events: Vec::new(),
        }
    }

    /// Looks at everything. `unix_ns` is the wall clock.
    pub(super) fn look<'a>(&'a mut self, status: Option<&'a StatusReader>, unix_ns: u64) -> Observation<'a> {
        let is_down = status.is_some_and(|status| {
            !status.is_stopped() && !Path::new(&format!("/proc/{}", status.identity().pid)).exists()
        });
        let now = status.map_or(0, |s| host_ns_now().saturating_sub(s.identity().start_host_ns));
        let running = status.filter(|status| !status.is_stopped() && !is_down);
        let result_e8 = running.and_then(result_e8);
        if let Some(status) = status {
            self.remember(status, now, result_e8);
        }
        if self.looks.is_multiple_of(SELDOM) {
            self.look_seldom(running, now);
        }
        self.looks += 1;
        // What cannot be read now is read later.
        let _ = self.read_events(unix_ns);
        let (minute, gains) = (self.minute(), self.gains());
        Observation {
            status,
            is_down,
            now,
            minute,
            gains,
            result_e8,
            peak_e8: self.peak.e8,
            breakers: running.map_or_else(Vec::new, |_| self.breakers()),
            skipped: running.map_or(0, |s| (0..4).map(|lane| s.lane(lane, LaneWord::Skipped)).sum()),
            held: self.held,
            missing: &self.sources.missing,
            events: self.events.iter().rev().map(|(_, code, text)| (code.clone(), text.clone())).collect(),
            free_percent: self.free(status),
            is_archive_failing: self.sources.archive.is_failing.load(Ordering::Relaxed),
            lag_mib: self.sources.archive.lag_bytes.load(Ordering::Relaxed) >> 20,
            is_store_failing: self.sources.store.is_failing.load(Ordering::Relaxed),
            is_export_failing: self
                .sources
                .export
                .as_ref()
                .is_some_and(|export| export.is_failing.load(Ordering::Relaxed)),
            config: &self.sources.config,
        }
    }

    fn remember(&mut self, status: &StatusReader, now: Nanos, result_e8: Option<i64>) {
        let session = status.identity().session;
        if self.session != session {
            self.session = session;
            self.counters.clear();
            self.traces.clear();
            if self.peak.session != session {
                self.peak = Peak { session, e8: None };
            }
        }
        self.peak.e8 = self.peak.e8.max(result_e8);
        self.counters.push_back((now, WATCHED.map(|counter| status.counter(counter)).into()));
        self.traces.push_back((now, status.histogram(Stage::TickToTrade)));
        while self.counters.front().is_some_and(|(at, _)| *at + 2 * MINUTE_NS < now) {
            self.counters.pop_front();
        }
        while self.traces.front().is_some_and(|(at, _)| *at + MINUTE_NS < now) {
            self.traces.pop_front();
        }
    }

    fn minute(&self) -> Option<HistogramCopy> {
        Some(self.traces.back()?.1.since(&self.traces.front()?.1))
    }

    fn gains(&self) -> Vec<(Counter, u64)> {
        let (Some((_, first)), Some((_, last))) = (self.counters.front(), self.counters.back()) else {
            return Vec::new();
        };
        let gain = |(at, counter): (usize, Counter)| (counter, last[at].saturating_sub(first[at]));
        WATCHED.into_iter().enumerate().map(gain).collect()
    }

    /// Breakers that hold, as the hot process keeps them for its next start.
    fn breakers(&self) -> Vec<&'static str> {
        let day = std::fs::read(self.sources.data.run().join("day.json")).ok();
        let day = day.and_then(|bytes| serde_json::from_slice::<DayRecord>(&bytes).ok());
        day.map_or_else(Vec::new, |day| held_in(day.latched))
    }

    fn look_seldom(&mut self, running: Option<&StatusReader>, now: Nanos) {
        self.held = running
            .filter(|_| self.sources.config.risk.confirm)
            .and_then(|status| self.held_orders.waiting(&self.sources.data, status, now).ok())
            .map_or(0, |waiting| waiting.len());
        if let Ok(bytes) = serde_json::to_vec(&self.peak) {
            // It is only kept for a restart.
            let _ = replace_file(&self.sources.data.run().join(PEAK_FILE), &bytes);
        }
    }

    /// Looks through events that are new, keeps grave ones, and forgets old ones.
    fn read_events(&mut self, unix_ns: u64) -> Result<(), store::StoreError> {
        let oldest = unix_ns.saturating_sub(RECENT_NS) as i64;
        self.events.retain(|(time_ns, _, _)| *time_ns > oldest);
        let path = self.sources.data.store(self.sources.config.instance.mode.label());
        let store = store::open_to_read(&path)?;
        let last: i64 =
            store.query_row("SELECT coalesce(max(rowid), 0) FROM events", [], |row| row.get(0))?;
        // A store that was made anew may have fewer rows.
        let from = self.event_row.filter(|row| *row <= last).unwrap_or(last - EVENTS_BACK);
        let mut statement = store.prepare(
            "SELECT time_ns, code, text FROM events WHERE rowid > ?1 AND rowid <= ?2 AND time_ns > ?3 ORDER BY rowid",
        )?;
        let rows: Vec<(i64, String, String)> = statement
            .query_map([from, last, oldest], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_, _>>()?;
        let is_grave = |(_, code, _): &(i64, String, String)| GRAVE.iter().any(|of| of.label() == code);
        self.events.extend(rows.into_iter().filter(is_grave));
        self.event_row = Some(last);
        Ok(())
    }

    /// Free shares of the file systems that are written, and of memory.
    fn free(&self, status: Option<&StatusReader>) -> Vec<(String, u64)> {
        let lanes = status
            .and_then(|_| self.sources.data.current_session().ok().flatten())
            .map(|current| current.shared_dir)
            .filter(|dir| dir.exists());
        let places: Vec<PathBuf> =
            [Some(self.sources.data.root().to_owned()), lanes].into_iter().flatten().collect();
        let of = |place: PathBuf| {
            let found = rustix::fs::statvfs(&place).ok().filter(|found| found.f_blocks > 0)?;
            Some((place.display().to_string(), found.f_bavail * 100 / found.f_blocks))
        };
        places.into_iter().filter_map(of).chain(memory()).collect()
    }
}

/// Breakers of the bits that a day keeps: four a metric.
fn held_in(latched: u64) -> Vec<&'static str> {
    let is_held = |metric: &&BreakerMetric| latched >> ((**metric as u32 - 1) * 4) & 15 != 0;
    BreakerMetric::ALL.iter().filter(is_held).map(|metric| metric.label()).collect()
}

/// Share of the host's memory that is available.
fn memory() -> Option<(String, u64)> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let of = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let total = of("MemTotal:").filter(|total| *total > 0)?;
    Some(("the memory".to_owned(), of("MemAvailable:")? * 100 / total))
}
