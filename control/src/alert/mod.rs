//! Alerts: twice a second everything is looked at by every rule; what begins and ends is kept, logged, and told.

mod notify;
mod observe;
mod rules;

pub use notify::NotifyGauges;
pub use rules::{RULES, Rule};

use crate::{archive::ArchiveGauges, sessions::CurrentStatus, sink::SinkGauges};
use notify::Notifier;
use observe::Observer;
use serde::Serialize;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};
use tickpath_shared::{
    clock::unix_ns_now,
    config::{AlertSeverity, Config},
    paths::DataDir,
};

const EVERY: Duration = Duration::from_millis(500);
/// How long a rule must find nothing before its alert ends, so that what comes and goes is told once.
const CLEAR_NS: u64 = 5_000_000_000;
const SECOND_NS: u64 = 1_000_000_000;
/// Ended alerts that are kept.
const ENDED_MAX: usize = 500;

/// An alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alert {
    /// Name of its rule.
    pub name: &'static str,
    /// How bad it is.
    pub severity: AlertSeverity,
    /// What is wrong, as last seen.
    pub text: String,
    /// Unix milliseconds since which it holds.
    pub since_ms: u64,
    /// Unix milliseconds at which it ended.
    pub ended_ms: Option<u64>,
    /// Where it is explained.
    pub runbook: String,
}

/// Alerts that hold and that held.
#[derive(Debug, Default)]
pub struct Alerts {
    kept: Mutex<Kept>,
    /// What became of messages about them.
    pub notified: Arc<NotifyGauges>,
}

#[derive(Debug, Default)]
struct Kept {
    active: Vec<Alert>,
    ended: VecDeque<Alert>,
}

impl Alerts {
    /// Those that hold, the worst first, and those that ended, the last first.
    pub fn list(&self) -> (Vec<Alert>, Vec<Alert>) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut active = kept.active.clone();
        active.sort_by_key(|alert| (std::cmp::Reverse(alert.severity), alert.since_ms));
        (active, kept.ended.iter().rev().cloned().collect())
    }
}

/// What a rule has found so far.
#[derive(Debug, Default)]
struct Track {
    /// Unix nanoseconds since which it finds something, and at which it did last.
    since_ns: Option<u64>,
    last_ns: u64,
    is_active: bool,
}

/// Findings become alerts: they must last, and must be gone for a while.
#[derive(Debug, Default)]
struct Watch {
    tracks: BTreeMap<&'static str, Track>,
}

/// What became of a finding.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    None,
    Began(u64),
    Lasts,
    Ended,
}

impl Watch {
    fn turn(&mut self, name: &'static str, hold_s: u64, is_found: bool, now_ns: u64) -> Change {
        let track = self.tracks.entry(name).or_default();
        if is_found {
            let since = *track.since_ns.get_or_insert(now_ns);
            track.last_ns = now_ns;
            if track.is_active {
                return Change::Lasts;
            }
            if now_ns.saturating_sub(since) < hold_s * SECOND_NS {
                return Change::None;
            }
            track.is_active = true;
            return Change::Began(since);
        }
        if !track.is_active {
            track.since_ns = None;
            return Change::None;
        }
        if now_ns.saturating_sub(track.last_ns) < CLEAR_NS {
            return Change::Lasts;
        }
        *track = Track::default();
        Change::Ended
    }
}

/// What alerts are made from.
pub struct Sources {
    /// The data directory.
    pub data: DataDir,
    /// The configuration.
    pub config: Config,
    /// The archiver's gauges.
    pub archive: Arc<ArchiveGauges>,
    /// The store's gauges.
    pub store: Arc<SinkGauges>,
    /// The export's gauges, where there is one.
    pub export: Option<Arc<SinkGauges>>,
    /// What the process does without, and why.
    pub missing: Vec<String>,
}

/// Alerts, and the thread that looks until `stop`. A receiver that cannot be told anything is an alert itself.
pub fn start(mut sources: Sources, stop: Arc<AtomicBool>) -> (Arc<Alerts>, JoinHandle<()>) {
    let notifier = Notifier::start(&sources.data, &sources.config).unwrap_or_else(|e| {
        sources.missing.push(e.to_string());
        Notifier::silent(&sources.config)
    });
    let alerts = Arc::new(Alerts { notified: notifier.gauges(), ..Alerts::default() });
    let keeper = Keeper { alerts: Arc::clone(&alerts), watch: Watch::default(), notifier };
    let thread = std::thread::spawn(move || watch(keeper, sources, &stop));
    (alerts, thread)
}

/// Why the receiver of a configuration could not be told anything, if it could not.
pub(crate) fn check(data: &DataDir, config: &Config) -> Option<String> {
    let checked = Notifier::silent(config).check(data, &config.notify.url_file);
    checked.err().map(|e| e.to_string())
}

fn watch(mut keeper: Keeper, sources: Sources, stop: &AtomicBool) {
    let current = CurrentStatus::new(sources.data.clone());
    let config = sources.config.clone();
    let mut observer = Observer::new(sources);
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(EVERY);
        let (status, now_ns) = (current.get(), unix_ns_now());
        let seen = observer.look(status.as_deref(), now_ns);
        let found: Vec<_> = RULES.iter().map(|rule| (rule, (rule.find)(&seen))).collect();
        for (rule, text) in found {
            if let Some(hold_s) = (rule.hold_s)(&config) {
                keeper.take(rule, hold_s, text, now_ns);
            }
        }
    }
}

/// Keeps alerts and tells of them.
struct Keeper {
    alerts: Arc<Alerts>,
    watch: Watch,
    notifier: Notifier,
}

impl Keeper {
    fn take(&mut self, rule: &Rule, hold_s: u64, text: Option<String>, now_ns: u64) {
        let change = self.watch.turn(rule.name, hold_s, text.is_some(), now_ns);
        let mut kept = self.alerts.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.active.iter().position(|alert| alert.name == rule.name);
        match (change, at) {
            (Change::Began(since_ns), _) => {
                let alert = Alert {
                    name: rule.name,
                    severity: rule.severity,
                    text: text.unwrap_or_default(),
                    since_ms: since_ns / 1_000_000,
                    ended_ms: None,
                    runbook: format!("/runbook.md#{}", rule.name),
                };
                tracing::warn!(
                    alert = alert.name,
                    severity = alert.severity.label(),
                    text = alert.text,
                    "alert"
                );
                self.notifier.tell(&alert);
                kept.active.push(alert);
            }
            (Change::Lasts, Some(at)) => {
                if let Some(text) = text {
                    kept.active[at].text = text;
                }
            }
            (Change::Ended, Some(at)) => {
                let alert = Alert { ended_ms: Some(now_ns / 1_000_000), ..kept.active.remove(at) };
                tracing::info!(alert = alert.name, "alert ended");
                self.notifier.tell(&alert);
                if kept.ended.len() == ENDED_MAX {
                    kept.ended.pop_front();
                }
                kept.ended.push_back(alert);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_must_last_to_begin_and_be_gone_to_end() {
        let mut watch = Watch::default();
        let mut turn = |found, second: u64| watch.turn("a", 10, found, second * SECOND_NS);
        assert_eq!(turn(true, 100), Change::None);
        assert_eq!(turn(false, 105), Change::None);
        assert_eq!(turn(true, 109), Change::None);
        assert_eq!(turn(true, 118), Change::None, "it began anew");
        assert_eq!(turn(true, 119), Change::Began(109 * SECOND_NS));
        assert_eq!(turn(true, 120), Change::Lasts);
        assert_eq!(turn(false, 124), Change::Lasts, "not gone for long enough");
        assert_eq!(turn(true, 125), Change::Lasts);
        assert_eq!(turn(false, 130), Change::Ended);
        assert_eq!(turn(false, 131), Change::None);
        assert_eq!(turn(true, 132), Change::None);
    }

    #[test]
    fn what_holds_at_once_begins_at_once() {
        let mut watch = Watch::default();
        assert_eq!(watch.turn("a", 0, true, 7), Change::Began(7));
    }

    #[test]
    fn rules_have_names_of_their_own() {
        let names: std::collections::BTreeSet<_> = RULES.iter().map(|rule| rule.name).collect();
        assert_eq!(names.len(), RULES.len());
    }
}
