//! Questions about metrics over time.

use super::{
    Shared,
    fields::{Field, Shape},
    routes::{Answer, Ask},
};
use crate::{
    store,
    telemetry::series::{self, Aggregation, Question, Unanswered},
};
use serde_json::json;
use tickpath_shared::clock::unix_ns_now;

/// Range that is asked about unless another one is.
const RANGE_MS: i64 = 3_600_000;

pub(super) const FIELDS: &[Field] = &[
    Field::required("name", Shape::Text(64), "A metric that `/api/v1/metrics/names` lists."),
    Field::optional(
        "labels",
        Shape::Text(128),
        "Only series whose labels contain this, as `symbol=\"BTCUSDT\"`.",
    ),
    Field::optional("to_ms", Shape::Integer(0, i64::MAX / 2), "Unix milliseconds; now otherwise."),
    Field::optional("range_s", Shape::Integer(1, 86_400 * 365), "Seconds before `to_ms`; an hour otherwise."),
    Field::optional(
        "step_s",
        Shape::Integer(1, 86_400 * 365),
        "Seconds put together; the whole range otherwise.",
    ),
    Field::optional("aggregation", Shape::Word(aggregations), "How; `avg` otherwise."),
];

fn aggregations() -> Vec<&'static str> {
    Aggregation::ALL.iter().map(|(name, _)| *name).collect()
}

fn open(shared: &Shared) -> Result<rusqlite::Connection, Answer> {
    let path = shared.data.telemetry(shared.config.instance.mode.label());
    store::open_to_read(&path).map_err(|e| Answer::error(503, &e.to_string()))
}

pub(super) fn names(shared: &Shared) -> Answer {
    let found = open(shared)
        .and_then(|database| series::names(&database).map_err(|e| Answer::error(503, &e.to_string())));
    match found {
        Ok(names) => {
            let rows: Vec<_> =
                names.iter().map(|(name, series)| json!({"name": name, "series": series})).collect();
            Answer::json(200, &json!({"rows": rows}))
        }
        Err(answer) => answer,
    }
}

pub(super) fn query(shared: &Shared, ask: &Ask) -> Answer {
    let values = &ask.values;
    let to_ms = values.integer("to_ms").unwrap_or((unix_ns_now() / 1_000_000) as i64);
    let label = values.text("aggregation").unwrap_or("avg");
    let question = Question {
        name: values.text("name").unwrap_or_default(),
        labels: values.text("labels"),
        from_ms: to_ms - values.integer("range_s").map_or(RANGE_MS, |seconds| seconds * 1000),
        to_ms,
        step_ms: values.integer("step_s").map(|seconds| seconds * 1000),
        // The field has been checked.
        aggregation: Aggregation::from_label(label).unwrap_or(Aggregation::Avg),
    };
    let database = match open(shared) {
        Ok(database) => database,
        Err(answer) => return answer,
    };
    match series::ask(&database, &question) {
        Ok(curves) => {
            let points = |points: &[(i64, f64)]| -> Vec<_> {
                points.iter().map(|(time_ms, value)| json!({"time_ms": time_ms, "value": value})).collect()
            };
            let rows: Vec<_> = curves
                .iter()
                .map(|(labels, curve)| json!({"labels": labels, "points": points(curve)}))
                .collect();
            Answer::json(200, &json!({"name": question.name, "aggregation": label, "series": rows}))
        }
        Err(Unanswered::TooMany(bound)) => Answer::error(
            400,
            &format!("more than {bound} samples: ask for a shorter range, or for fewer series"),
        ),
        Err(Unanswered::TooFine(bound)) => {
            Answer::error(400, &format!("step_s: more than {bound} points: ask for a longer step"))
        }
        Err(Unanswered::Store(e)) => Answer::error(503, &e.to_string()),
    }
}
