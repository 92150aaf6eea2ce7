//! What a restart must not forget of a day: its result so far and the breakers that hold.

use super::Session;
use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};
use tickpath_shared::{
    paths::DataDir,
    record::{BreakerRecord, DayRecord, EventCode, Kind, Severity},
    types::{BreakerChange, BreakerMetric},
};
use zerocopy::IntoBytes;

/// Where it is stored.
pub(super) struct DayFile {
    path: PathBuf,
}

impl DayFile {
    pub(super) fn new(data: &DataDir) -> Self {
        Self { path: data.run().join("day.json") }
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
            Ok(Some(day)) => {
                self.tell_gateway(Kind::Day, day.as_bytes());
            }
            Ok(None) => {}
            Err(why) => {
                let text =
                    format!("the day's result and breakers are not known, so the account is stopped: {why}");
                self.event(EventCode::Breaker, Severity::Error, &text);
                self.stop_account();
            }
        }
    }

    pub(super) fn keep_day(&mut self, day: &DayRecord) {
        self.keeper.store(&self.day.path, day);
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
