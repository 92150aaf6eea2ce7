//! The last ten minutes of every stage's latency, a point a second, so that a page that is opened shows them at once.

use super::{
    Shared,
    fields::{Field, Shape},
    routes::{Answer, Ask},
};
use serde_json::json;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tickpath_shared::{clock::unix_ns_now, counters::Stage, histogram::HistogramCopy};

/// Points kept of a stage.
const POINTS_MAX: usize = 600;
const EVERY: Duration = Duration::from_secs(1);
/// Longest wait before the end of the process is noticed.
const PAUSE: Duration = Duration::from_millis(50);

pub(super) const FIELDS: &[Field] =
    &[Field::required("stage", Shape::Word(stages), "A stage as `/api/v1/latency` names it.")];

fn stages() -> Vec<&'static str> {
    Stage::ALL.iter().map(|stage| stage.label()).collect()
}

/// What a stage took in one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Point {
    unix_s: u64,
    count: u64,
    p50_ns: u64,
    p99_ns: u64,
    max_ns: u64,
}

/// Points by stage, and what they are counted from.
#[derive(Debug, Default)]
pub(super) struct History {
    points: BTreeMap<Stage, VecDeque<Point>>,
    before: BTreeMap<Stage, HistogramCopy>,
    session: Option<u64>,
}

impl History {
    /// Adds a second; histograms of another session begin anew.
    fn add(&mut self, session: u64, unix_s: u64, copy: impl Fn(Stage) -> HistogramCopy) {
        if self.session.replace(session) != Some(session) {
            self.before.clear();
        }
        for stage in Stage::ALL {
            let now = copy(*stage);
            let Some(before) = self.before.insert(*stage, now.clone()) else { continue };
            let second = now.since(&before);
            let points = self.points.entry(*stage).or_default();
            if points.len() == POINTS_MAX {
                points.pop_front();
            }
            points.push_back(Point {
                unix_s,
                count: second.count(),
                p50_ns: second.quantile_ns(0.5),
                p99_ns: second.quantile_ns(0.99),
                max_ns: second.max_ns,
            });
        }
    }
}

/// The thread that looks once a second until `stop`.
pub(super) fn start(shared: Arc<Shared>, stop: Arc<AtomicBool>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut next = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            std::thread::sleep(PAUSE);
            if Instant::now() < next {
                continue;
            }
            next += EVERY;
            let Some(status) = shared.status().filter(|status| !status.is_stopped()) else { continue };
            let mut history = shared.history.lock().unwrap_or_else(PoisonError::into_inner);
            let (session, unix_s) = (status.identity().session, unix_ns_now() / 1_000_000_000);
            history.add(session, unix_s, |stage| status.histogram(stage));
        }
    })
}

pub(super) fn serve(shared: &Shared, ask: &Ask) -> Answer {
    let name = ask.values.text("stage").unwrap_or_default();
    let history = shared.history.lock().unwrap_or_else(PoisonError::into_inner);
    let points: Vec<_> = history
        .points
        .iter()
        .filter(|(stage, _)| stage.label() == name)
        .flat_map(|(_, points)| points)
        .map(|p| {
            json!({"unix_s": p.unix_s, "count": p.count, "p50_ns": p.p50_ns, "p99_ns": p.p99_ns, "max_ns": p.max_ns})
        })
        .collect();
    Answer::json(200, &json!({"stage": name, "every_s": EVERY.as_secs(), "points": points}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickpath_shared::histogram::{BUCKETS, bucket_max, bucket_of};

    /// So many values of so many nanoseconds each.
    fn histogram(values: &[(u64, u64)]) -> HistogramCopy {
        let mut copy = HistogramCopy { sum_ns: 0, max_ns: 0, buckets: vec![0; BUCKETS] };
        for (value, count) in values {
            copy.buckets[bucket_of(*value)] += count;
            copy.sum_ns += value * count;
            copy.max_ns = copy.max_ns.max(*value);
        }
        copy
    }

    #[test]
    fn a_point_is_what_was_added_in_its_second_and_a_new_session_begins_anew() {
        let (mut history, stage) = (History::default(), Stage::ALL[0]);
        history.add(1, 100, |_| histogram(&[(50_000, 10)]));
        assert!(!history.points.contains_key(&stage), "nothing to compare with");
        history.add(1, 101, |_| histogram(&[(50_000, 10), (900, 5)]));
        history.add(2, 102, |_| histogram(&[(700, 1)]));
        history.add(2, 103, |_| histogram(&[(700, 1)]));
        let points = &history.points[&stage];
        let expected = bucket_max(bucket_of(900));
        assert_eq!((points[0].unix_s, points[0].count, points[0].p99_ns), (101, 5, expected));
        assert_eq!((points.len(), points[1].unix_s, points[1].count), (2, 103, 0));
    }

    #[test]
    fn ten_minutes_are_kept() {
        let mut history = History::default();
        for second in 0..=700 {
            history.add(1, second, |_| histogram(&[(100, second)]));
        }
        let points = &history.points[&Stage::ALL[0]];
        assert_eq!((points.len(), points[0].unix_s), (POINTS_MAX, 101));
    }
}
