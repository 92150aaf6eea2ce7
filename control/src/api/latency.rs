//! Latency of every stage: percentiles as JSON, histograms as an HdrHistogram interval log.

use super::{Shared, routes::Answer};
use hdrhistogram::{
    Histogram,
    serialization::{
        V2Serializer,
        interval_log::{IntervalLogWriterBuilder, Tag},
    },
};
use serde_json::json;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tickpath_shared::{
    clock::unix_ns_now,
    counters::Stage,
    histogram::{HistogramCopy, VALUE_MAX, bucket_max},
};

/// Significant digits of the export; the buckets themselves are within 0.8 %.
const DIGITS: u8 = 3;

pub(super) const LOG_TYPE: &str = "text/plain; charset=utf-8";

pub(super) fn percentiles(shared: &Shared) -> Answer {
    let Some(status) = shared.status() else { return Answer::no_session() };
    let stages: serde_json::Map<String, serde_json::Value> = Stage::ALL
        .iter()
        .map(|stage| {
            let h = status.histogram(*stage);
            let value = json!({
                "meaning": stage.meaning(),
                "count": h.count(),
                "p50_ns": h.quantile_ns(0.5),
                "p99_ns": h.quantile_ns(0.99),
                "p999_ns": h.quantile_ns(0.999),
                "max_ns": h.max_ns,
            });
            (stage.label().to_owned(), value)
        })
        .collect();
    Answer::json(200, &json!({"unit": "nanoseconds", "stages": stages}))
}

pub(super) fn interval_log(shared: &Shared) -> Answer {
    let Some(status) = shared.status() else { return Answer::no_session() };
    let start = Duration::from_nanos(status.identity().start_unix_ns);
    let elapsed = Duration::from_nanos(unix_ns_now()).saturating_sub(start);
    match write_log(start, elapsed, |stage| status.histogram(stage)) {
        Ok(body) => Answer::of(LOG_TYPE, body),
        Err(why) => Answer::error(503, &why),
    }
}

fn write_log(
    start: Duration,
    elapsed: Duration,
    copy: impl Fn(Stage) -> HistogramCopy,
) -> Result<String, String> {
    let mut out = Vec::new();
    let mut serializer = V2Serializer::new();
    let at: SystemTime = UNIX_EPOCH + start;
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("tickpath stage latencies, nanoseconds")
        .with_start_time(at)
        .with_base_time(at)
        .begin_log_with(&mut out, &mut serializer)
        .map_err(|e| format!("{e:?}"))?;
    for stage in Stage::ALL {
        let tag = Tag::new(stage.label()).ok_or("a label is no tag")?;
        let histogram = rebuild(&copy(*stage))?;
        log.write_histogram(&histogram, Duration::ZERO, elapsed, Some(tag)).map_err(|e| format!("{e:?}"))?;
    }
    String::from_utf8(out).map_err(|e| e.to_string())
}

/// The crate's histogram with the counts of ours.
fn rebuild(copy: &HistogramCopy) -> Result<Histogram<u64>, String> {
    let mut histogram = Histogram::new_with_bounds(1, VALUE_MAX, DIGITS).map_err(|e| e.to_string())?;
    for (bucket, &count) in copy.buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
        let value = bucket_max(bucket).min(copy.max_ns).clamp(1, VALUE_MAX);
        histogram.record_n(value, count).map_err(|e| e.to_string())?;
    }
    Ok(histogram)
}
