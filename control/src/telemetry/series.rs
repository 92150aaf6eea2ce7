//! Metrics over time: what they are sampled from, how they are kept, and how they are put together over a range.

use crate::store::StoreError;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeMap;
use tickpath_shared::{
    counters::{Counter, Stage},
    histogram::HistogramCopy,
    status::{InstrumentWord, StatusReader},
    types::decimal::pow10,
};

/// Samples that a question may be about: the answer to more would take too long.
const SAMPLES_MAX: usize = 500_000;
/// Points of an answer.
const POINTS_MAX: usize = 10_000;
/// Times after which what has not changed is taken again: about an hour, so that every range of an hour has a sample.
const AGAIN: u64 = 230;
/// Words of an instrument that are worth a curve, and places of their decimals; prices and quantities have the
/// instrument's own.
const WORDS: [InstrumentWord; 6] = [
    InstrumentWord::Position,
    InstrumentWord::MarkPrice,
    InstrumentWord::RealizedE8,
    InstrumentWord::FeesE8,
    InstrumentWord::OpenOrders,
    InstrumentWord::IsValid,
];
const QUANTILES: [(f64, &str); 3] = [(0.5, "0.5"), (0.99, "0.99"), (0.999, "0.999")];

/// A value of a metric: name, labels as `key="value",...`, value.
pub(super) type Sample = (String, String, f64);

/// Takes samples; what has not changed is not taken again.
#[derive(Default)]
pub(super) struct Sampler {
    session: u64,
    taken: u64,
    before: BTreeMap<(String, String), f64>,
    stages: BTreeMap<Stage, HistogramCopy>,
}

impl Sampler {
    /// Everything that changed since the last time, and latencies of what happened meanwhile.
    pub(super) fn take(&mut self, status: &StatusReader) -> Vec<Sample> {
        let session = status.identity().session;
        if self.session != session {
            *self = Self { session, ..Self::default() };
        }
        self.taken += 1;
        if self.taken.is_multiple_of(AGAIN) {
            self.forget();
        }
        let mut samples: Vec<Sample> = Counter::ALL
            .iter()
            .map(|counter| {
                (format!("{}_total", counter.label()), String::new(), status.counter(*counter) as f64)
            })
            .collect();
        for d in status.definitions() {
            for word in WORDS {
                let scale = match word {
                    InstrumentWord::Position => d.qty_scale,
                    InstrumentWord::OpenOrders | InstrumentWord::IsValid => 0,
                    _ => 8,
                };
                let value = status.instrument(d.instrument, word) as f64 / pow10(scale) as f64;
                let labels = format!("symbol=\"{}\"", d.symbol.as_str());
                samples.push((format!("instrument_{}", word.label().trim_end_matches("_e8")), labels, value));
            }
        }
        samples.retain(|(name, labels, value)| {
            self.before.insert((name.clone(), labels.clone()), *value) != Some(*value)
        });
        samples.extend(self.latencies(status));
        samples
    }

    /// Takes everything again at the next time.
    pub(super) fn forget(&mut self) {
        self.before.clear();
    }

    fn latencies(&mut self, status: &StatusReader) -> Vec<Sample> {
        let mut samples = Vec::new();
        for stage in Stage::ALL {
            let now = status.histogram(*stage);
            let Some(before) = self.stages.insert(*stage, now.clone()) else { continue };
            let meanwhile = now.since(&before);
            if meanwhile.count() == 0 {
                continue;
            }
            for (quantile, name) in QUANTILES {
                let labels = format!("stage=\"{stage}\",quantile=\"{name}\"");
                samples.push((
                    "stage_seconds".to_owned(),
                    labels,
                    meanwhile.quantile_ns(quantile) as f64 / 1e9,
                ));
            }
        }
        samples
    }
}

/// Keeps samples of one moment.
pub(super) fn store(database: &mut Connection, samples: &[Sample], time_ms: i64) -> Result<(), StoreError> {
    let transaction = database.transaction()?;
    for (name, labels, value) in samples {
        let known: Option<i64> = transaction
            .prepare_cached("SELECT id FROM series WHERE name = ?1 AND labels = ?2")?
            .query_row(params![name, labels], |row| row.get(0))
            .optional()?;
        let series = match known {
            Some(series) => series,
            None => {
                transaction
                    .execute("INSERT INTO series (name, labels) VALUES (?1, ?2)", params![name, labels])?;
                transaction.last_insert_rowid()
            }
        };
        transaction
            .prepare_cached("INSERT OR REPLACE INTO samples VALUES (?1, ?2, ?3)")?
            .execute(params![series, time_ms, value])?;
    }
    Ok(transaction.commit()?)
}

/// How values are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aggregation {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Last,
    P50,
    P95,
    P99,
}

impl Aggregation {
    pub(crate) const ALL: [(&'static str, Self); 9] = [
        ("sum", Self::Sum),
        ("avg", Self::Avg),
        ("min", Self::Min),
        ("max", Self::Max),
        ("count", Self::Count),
        ("last", Self::Last),
        ("p50", Self::P50),
        ("p95", Self::P95),
        ("p99", Self::P99),
    ];

    pub(crate) fn from_label(label: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| *name == label).map(|(_, aggregation)| *aggregation)
    }

    /// Of at least one value, in order of time. Percentiles are the nearest rank.
    fn of(self, values: &mut [f64]) -> f64 {
        let rank = |values: &mut [f64], percent: usize| {
            values.sort_by(f64::total_cmp);
            values[(values.len() * percent).div_ceil(100).max(1) - 1]
        };
        match self {
            Self::Sum => values.iter().sum(),
            Self::Avg => values.iter().sum::<f64>() / values.len() as f64,
            Self::Min => values.iter().copied().fold(f64::INFINITY, f64::min),
            Self::Max => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            Self::Count => values.len() as f64,
            Self::Last => values[values.len() - 1],
            Self::P50 => rank(values, 50),
            Self::P95 => rank(values, 95),
            Self::P99 => rank(values, 99),
        }
    }
}

/// What is asked of the metrics.
#[derive(Clone, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) name: &'a str,
    /// Only series whose labels contain this.
    pub(crate) labels: Option<&'a str>,
    /// Unix milliseconds, the first included, the last not.
    pub(crate) from_ms: i64,
    pub(crate) to_ms: i64,
    /// Milliseconds that are put together; the whole range for `None`.
    pub(crate) step_ms: Option<i64>,
    pub(crate) aggregation: Aggregation,
}

/// Points of a series: where each begins, and its value.
pub(crate) type Curve = (String, Vec<(i64, f64)>);

/// Why a question has no answer.
pub(crate) enum Unanswered {
    /// More samples than are looked at.
    TooMany(usize),
    /// More points than are told.
    TooFine(usize),
    Store(StoreError),
}

impl From<rusqlite::Error> for Unanswered {
    fn from(e: rusqlite::Error) -> Self {
        Self::Store(e.into())
    }
}

/// Every series of the name with its points.
pub(crate) fn ask(database: &Connection, question: &Question<'_>) -> Result<Vec<Curve>, Unanswered> {
    let mut statement = database.prepare(
        "SELECT labels, time_ms, value FROM samples JOIN series ON series.id = samples.series
         WHERE name = ?1 AND instr(labels, ?2) > 0 AND time_ms >= ?3 AND time_ms < ?4 ORDER BY labels, time_ms LIMIT ?5",
    )?;
    // Every text contains the empty one.
    let labels = question.labels.unwrap_or("");
    let limit = SAMPLES_MAX as i64 + 1;
    let mut rows =
        statement.query(params![question.name, labels, question.from_ms, question.to_ms, limit])?;
    let mut found: BTreeMap<String, Vec<(i64, f64)>> = BTreeMap::new();
    let mut count = 0;
    while let Some(row) = rows.next()? {
        count += 1;
        if count > SAMPLES_MAX {
            return Err(Unanswered::TooMany(SAMPLES_MAX));
        }
        found.entry(row.get(0)?).or_default().push((row.get(1)?, row.get(2)?));
    }
    let curves: Vec<Curve> =
        found.into_iter().map(|(labels, samples)| (labels, put_together(question, &samples))).collect();
    let points: usize = curves.iter().map(|(_, points)| points.len()).sum();
    if points > POINTS_MAX { Err(Unanswered::TooFine(POINTS_MAX)) } else { Ok(curves) }
}

fn put_together(question: &Question<'_>, samples: &[(i64, f64)]) -> Vec<(i64, f64)> {
    let step = question.step_ms.unwrap_or(i64::MAX);
    let of = |time_ms: i64| (time_ms - question.from_ms) / step;
    samples
        .chunk_by(|a, b| of(a.0) == of(b.0))
        .map(|chunk| {
            let mut values: Vec<f64> = chunk.iter().map(|(_, value)| *value).collect();
            (question.from_ms + of(chunk[0].0) * step, question.aggregation.of(&mut values))
        })
        .collect()
}

/// Names of all metrics, with their series.
pub(crate) fn names(database: &Connection) -> Result<Vec<(String, i64)>, StoreError> {
    let mut statement = database.prepare("SELECT name, count(*) FROM series GROUP BY name ORDER BY name")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_put_together_over_ranges_and_steps() {
        let mut database = Connection::open_in_memory().unwrap();
        database.execute_batch(super::super::TABLES).unwrap();
        for second in 0..100_i64 {
            let of = |symbol: &str, value: f64| ("pnl".to_owned(), format!("symbol=\"{symbol}\""), value);
            let samples = [of("A", second as f64), of("B", -1.0), ("other".to_owned(), String::new(), 5.0)];
            store(&mut database, &samples, second * 1000).unwrap();
        }
        let question = |aggregation: &str, step_ms| Question {
            name: "pnl",
            labels: Some("\"A\""),
            from_ms: 0,
            to_ms: 100_000,
            step_ms,
            aggregation: Aggregation::from_label(aggregation).unwrap(),
        };
        let one = |aggregation: &str| match ask(&database, &question(aggregation, None)) {
            Ok(curves) => curves[0].1[0],
            Err(_) => panic!("{aggregation}"),
        };
        for (aggregation, value) in [
            ("sum", 4950.0),
            ("avg", 49.5),
            ("min", 0.0),
            ("max", 99.0),
            ("count", 100.0),
            ("last", 99.0),
            ("p50", 49.0),
            ("p95", 94.0),
            ("p99", 98.0),
        ] {
            assert_eq!(one(aggregation), (0, value), "{aggregation}");
        }
        let Ok(curves) = ask(&database, &Question { from_ms: 5_000, ..question("max", Some(10_000)) }) else {
            panic!("steps")
        };
        assert_eq!((curves.len(), curves[0].1.len()), (1, 10));
        assert_eq!((curves[0].1[0], curves[0].1[9]), ((5_000, 14.0), (95_000, 99.0)));
        let Ok(all) = ask(&database, &Question { labels: None, ..question("count", None) }) else {
            panic!("all")
        };
        assert_eq!(all.len(), 2);
        assert_eq!(names(&database).unwrap(), [("other".to_owned(), 1), ("pnl".to_owned(), 2)]);
    }
}
