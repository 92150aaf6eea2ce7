//! What a restart must not forget of a day: its result so far and the breakers that hold.

use super::Session;
use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};
use tickpath_shared::{
    Nanos,
    paths::{DataDir, replace_file},
    record::{BreakerRecord, DayRecord, EventCode, Kind, Severity},
    types::{BreakerChange, BreakerMetric},
};
use zerocopy::IntoBytes;

/// Longest time for which a result is kept in memory only. What breakers hold is stored at once.
const STORE_NS: Nanos = 2_000_000_000;

/// The file, and what is not in it yet.
pub(super) struct DayFile {
    path: PathBuf,
    latched: u64,
    next_ns: Nanos,
    pending: Option<DayRecord>,
}

impl DayFile {
    pub(super) fn new(data: &DataDir) -> Self {
        Self { path: data.run().join("day.json"), latched: 0, next_ns: 0, pending: None }
    }

    fn store(&mut self, now: Nanos) -> std::io::Result<()> {
        let Some(record) = self.pending else { return Ok(()) };
        self.next_ns = now + STORE_NS;
        replace_file(&self.path, &serde_json::to_vec(&record).map_err(std::io::Error::other)?)?;
        // What could not be stored is tried again.
        (self.latched, self.pending) = (record.latched, None);
        Ok(())
    }
}

fn load(path: &Path) -> Result<Option<DayRecord>, String> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| format!("{}: {e}", path.display())),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(format!("{}: {e}", path.display())),
    }
}

impl Session {
    /// Tells the gateway how far the day had come.
    pub(super) fn go_on_with_day(&mut self) {
        match load(&self.day.path) {
            Ok(Some(day)) => self.tell_gateway(Kind::Day, day.as_bytes()),
            Ok(None) => {}
            Err(why) => {
                let text =
                    format!("the day's result and breakers are not known, so the account is stopped: {why}");
                self.event(EventCode::Breaker, Severity::Error, &text);
                self.stop_account();
            }
        }
    }

    pub(super) fn keep_day(&mut self, now: Nanos, day: DayRecord) {
        self.day.pending = Some(day);
        if day.latched != self.day.latched || now >= self.day.next_ns {
            self.store_day();
        }
    }

    /// Stores what has waited for its time.
    pub(super) fn store_day_when_due(&mut self, now: Nanos) {
        if self.day.pending.is_some() && now >= self.day.next_ns {
            self.store_day();
        }
    }

    pub(super) fn store_day(&mut self) {
        let now = self.now();
        if let Err(e) = self.day.store(now) {
            let text = format!("the day's result and breakers are not stored: {e}");
            self.event(EventCode::Breaker, Severity::Error, &text);
        }
    }

    pub(super) fn on_breaker(&mut self, record: &BreakerRecord) {
        let metric = BreakerMetric::from_repr(record.metric).map_or("?", BreakerMetric::label);
        let change = BreakerChange::from_repr(record.change);
        let [value, threshold] = [record.value_bits, record.threshold_bits].map(f64::from_bits);
        let (severity, text) = match change {
            Some(BreakerChange::Tripped) => {
                (Severity::Error, format!("breaker {metric} tripped: {value:.2} against {threshold:.2}"))
            }
            Some(BreakerChange::Restored) => {
                (Severity::Error, format!("breaker {metric} holds since before the start"))
            }
            _ => (Severity::Warning, format!("breaker {metric} let go")),
        };
        self.event(EventCode::Breaker, severity, &text);
    }
}
