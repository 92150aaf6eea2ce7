//! What the store holds, as lists: paged by the row's id, the newest first, amounts as decimal text.

use super::{
    Shared,
    fields::{Field, Shape},
    routes::{Answer, Ask},
};
use crate::store::{self, StoreError};
use rusqlite::{ToSql, types::ValueRef};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use tickpath_shared::{
    paths::DataDir,
    record::Severity,
    types::{OrderState, Parameter, StrategyName, decimal},
};

/// Rows of an answer, unless another number is asked for.
const ROWS: i64 = 100;
const ROWS_MAX: i64 = 1000;
/// Longest symbol and longest name of a state.
const NAME_MAX: usize = 32;

const BEFORE: Field = Field::optional(
    "before",
    Shape::Integer(1, i64::MAX),
    "Rows with a smaller id: `next` of the page before.",
);
pub(super) const LIMIT: Field =
    Field::optional("limit", Shape::Integer(1, ROWS_MAX), "Rows at most; 100 otherwise.");
const SYMBOL: Field = Field::optional("symbol", Shape::Text(NAME_MAX), "Only this instrument.");

pub(super) const PAGE: &[Field] = &[BEFORE, LIMIT];
pub(super) const ORDERS: &[Field] = &[
    BEFORE,
    LIMIT,
    SYMBOL,
    STRATEGY,
    Field::optional("state", Shape::Word(states), "Only orders in this state."),
    Field::optional("open", Shape::Flag, "`true`: only orders that have not come to an end."),
];
pub(super) const BY_SYMBOL: &[Field] = &[BEFORE, LIMIT, SYMBOL];
pub(super) const EVENTS: &[Field] =
    &[BEFORE, LIMIT, Field::optional("severity", Shape::Word(severities), "Only events of this severity.")];
const STRATEGY: Field = Field::optional("strategy", Shape::Text(NAME_MAX), "Only of this strategy.");
pub(super) const DECISIONS: &[Field] = &[BEFORE, LIMIT, SYMBOL, STRATEGY];
pub(super) const RISK_EVENTS: &[Field] = &[
    BEFORE,
    LIMIT,
    SYMBOL,
    STRATEGY,
    Field::optional("name", Shape::Text(NAME_MAX), "Only of this reason or metric."),
];
pub(super) const LOGS: &[Field] = &[
    BEFORE,
    LIMIT,
    Field::optional(
        "level",
        Shape::Word(|| vec!["error", "warn", "info", "debug"]),
        "Only lines of this level.",
    ),
    Field::optional(
        "service",
        Shape::Word(|| vec!["tickpath-control", "tickpath-hot"]),
        "Only lines of this process.",
    ),
    Field::optional("correlation_id", Shape::Text(64), "Only lines about this request or record."),
    Field::optional("contains", Shape::Text(64), "Only lines whose message contains this."),
];
pub(super) const PNL: &[Field] = &[
    Field::optional(
        "by",
        Shape::Word(|| vec!["day", "week", "month", "symbol", "strategy"]),
        "Day otherwise; days, weeks and months are UTC.",
    ),
    LIMIT,
];

fn states() -> Vec<&'static str> {
    OrderState::ALL.iter().map(|state| state.label()).collect()
}

fn severities() -> Vec<&'static str> {
    Severity::ALL.iter().map(|severity| severity.label()).collect()
}

const OPEN: &str = "state NOT IN ('filled', 'canceled', 'expired', 'rejected', 'absent')";

/// A list: its table, and a condition for every text that may narrow it.
struct Listing {
    /// The database, by the data directory and the mode.
    database: fn(&DataDir, &str) -> PathBuf,
    table: &'static str,
    narrowed: &'static [(&'static str, &'static str)],
}

pub(super) fn orders(shared: &Shared, ask: &Ask) -> Answer {
    const LISTING: Listing = Listing {
        database: DataDir::store,
        table: "orders",
        narrowed: &[("symbol", "symbol = ?"), ("strategy", "strategy = ?"), ("state", "state = ?")],
    };
    list(shared, ask, &LISTING, if ask.values.flag("open") { OPEN } else { "1" })
}

pub(super) fn fills(shared: &Shared, ask: &Ask) -> Answer {
    list(
        shared,
        ask,
        &Listing { database: DataDir::store, table: "fills", narrowed: &[("symbol", "symbol = ?")] },
        "1",
    )
}

pub(super) fn trades(shared: &Shared, ask: &Ask) -> Answer {
    list(
        shared,
        ask,
        &Listing { database: DataDir::store, table: "trades", narrowed: &[("symbol", "symbol = ?")] },
        "1",
    )
}

pub(super) fn events(shared: &Shared, ask: &Ask) -> Answer {
    list(
        shared,
        ask,
        &Listing { database: DataDir::store, table: "events", narrowed: &[("severity", "severity = ?")] },
        "1",
    )
}

/// What strategies wanted.
pub(super) fn decisions(shared: &Shared, ask: &Ask) -> Answer {
    const NARROWED: &[(&str, &str)] = &[("symbol", "symbol = ?"), ("strategy", "strategy = ?")];
    list(shared, ask, &Listing { database: DataDir::store, table: "decisions", narrowed: NARROWED }, "1")
}

/// What limits, breakers and the trading state did.
pub(super) fn risk_events(shared: &Shared, ask: &Ask) -> Answer {
    const NARROWED: &[(&str, &str)] =
        &[("symbol", "symbol = ?"), ("strategy", "strategy = ?"), ("name", "name = ?")];
    list(shared, ask, &Listing { database: DataDir::store, table: "risk_events", narrowed: NARROWED }, "1")
}

/// Log lines of both processes.
pub(super) fn logs(shared: &Shared, ask: &Ask) -> Answer {
    const NARROWED: &[(&str, &str)] = &[
        ("level", "level = ?"),
        ("service", "service = ?"),
        ("correlation_id", "correlation_id = ?"),
        ("contains", "instr(message, ?) > 0"),
    ];
    list(shared, ask, &Listing { database: DataDir::telemetry, table: "logs", narrowed: NARROWED }, "1")
}

fn list(shared: &Shared, ask: &Ask, listing: &Listing, condition: &str) -> Answer {
    let before = ask.values.integer("before").unwrap_or(i64::MAX);
    let limit = ask.values.integer("limit").unwrap_or(ROWS);
    let mut sql = format!("SELECT rowid AS id, * FROM {} WHERE rowid < ? AND {condition}", listing.table);
    let mut values: Vec<Box<dyn ToSql>> = vec![Box::new(before)];
    for (name, narrowing) in listing.narrowed {
        if let Some(text) = ask.values.text(name) {
            sql.push_str(" AND ");
            sql.push_str(narrowing);
            values.push(Box::new(text.to_owned()));
        }
    }
    sql.push_str(" ORDER BY rowid DESC LIMIT ?");
    values.push(Box::new(limit + 1));
    let path = (listing.database)(&shared.data, shared.config.instance.mode.label());
    answer(query_in(&path, &sql, &values).map(|mut rows| {
        let is_more = rows.len() as i64 > limit;
        rows.truncate(limit as usize);
        let next = rows.last().filter(|_| is_more).map(|row| row["id"].clone());
        json!({"rows": rows, "next": next})
    }))
}

pub(super) fn positions(shared: &Shared, _: &Ask) -> Answer {
    let sql = "SELECT * FROM positions ORDER BY symbol";
    answer(query(shared, sql, &[]).map(|rows| json!({"rows": rows})))
}

/// What the venue said last of every asset that there is anything of.
pub(super) fn balances(shared: &Shared) -> Answer {
    let sql = "SELECT asset, wallet_e8, cross_e8, venue_ms, time_ns FROM balances
               WHERE wallet_e8 != 0 OR cross_e8 != 0 ORDER BY asset";
    answer(query(shared, sql, &[]).map(|rows| json!({"rows": rows})))
}

/// What every strategy computed last.
pub(super) fn signals(shared: &Shared) -> Answer {
    let sql = "SELECT * FROM signals ORDER BY strategy";
    answer(query(shared, sql, &[]).map(|rows| json!({"rows": rows})))
}

/// Parameters and limits that may change while they hold: as configured, and as they are in this session.
pub(super) fn parameters(shared: &Shared) -> Answer {
    let row = |parameter: &Parameter| {
        let configured = configured(shared, parameter.label());
        let given = given(shared, parameter.label())?;
        let value = given.as_ref().map_or_else(|| json!(configured), |row| row["value"].clone());
        Ok(json!({
            "name": parameter.label(),
            "strategy": parameter.strategy().map(StrategyName::label),
            "meaning": parameter.meaning(),
            "configured": configured,
            "value": value,
            "changed_ns": given.as_ref().map(|row| row["time_ns"].clone()),
        }))
    };
    let rows: Result<Vec<Value>, StoreError> = Parameter::ALL.iter().map(row).collect();
    answer(rows.map(|rows| json!({"rows": rows})))
}

/// A value of the configuration by its name there.
fn configured(shared: &Shared, name: &str) -> Option<f64> {
    let pointer = format!("/{}", name.replace('.', "/"));
    let value = json!(shared.config).pointer(&pointer).cloned()?;
    // Amounts are written as decimal text.
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

/// What a parameter was given last in the session that runs, if anything.
fn given(shared: &Shared, name: &str) -> Result<Option<Value>, StoreError> {
    let Some(status) = shared.status() else { return Ok(None) };
    let sql = "SELECT value, time_ns FROM parameters WHERE session = ? AND name = ? AND is_taken
               ORDER BY time_ns DESC LIMIT 1";
    let session = status.identity().session as i64;
    Ok(query(shared, sql, &[Box::new(session), Box::new(name.to_owned())])?.pop())
}

/// What a parameter is, as far as it is known here.
pub(super) fn parameter(shared: &Shared, name: &str) -> Option<f64> {
    let given = given(shared, name).ok().flatten();
    given.and_then(|row| row["value"].as_f64()).or_else(|| configured(shared, name))
}

/// Results of round trips that are closed, by when they were closed or by instrument.
pub(super) fn pnl(shared: &Shared, ask: &Ask) -> Answer {
    let date = |format: &str| format!("strftime('{format}', closed_ms / 1000, 'unixepoch')");
    let group = match ask.values.text("by").unwrap_or("day") {
        // Round trips that a position from before the archive began with have none.
        "strategy" => "CASE strategy WHEN '' THEN 'unknown' ELSE strategy END".to_owned(),
        "day" => date("%Y-%m-%d"),
        "week" => date("%G-W%V"),
        "month" => date("%Y-%m"),
        _ => "symbol".to_owned(),
    };
    let sql = format!(
        "SELECT {group} AS name, count(*) AS trades, sum(realized_e8 > fees_e8) AS wins,
         sum(realized_e8) AS realized_e8, sum(fees_e8) AS fees_e8, sum(realized_e8 - fees_e8) AS net_e8
         FROM trades WHERE closed_ms IS NOT NULL GROUP BY name ORDER BY name DESC LIMIT ?"
    );
    let limit = ask.values.integer("limit").unwrap_or(ROWS);
    answer(query(shared, &sql, &[Box::new(limit)]).map(|rows| json!({"rows": rows})))
}

/// What closed round trips have brought, summed up over time, the newest last.
pub(super) fn equity(shared: &Shared, ask: &Ask) -> Answer {
    let sql = "SELECT * FROM (SELECT id, closed_ms, symbol,
               sum(realized_e8 - fees_e8) OVER (ORDER BY closed_ms, id) AS net_e8
               FROM trades WHERE closed_ms IS NOT NULL ORDER BY closed_ms DESC, id DESC LIMIT ?)
               ORDER BY closed_ms, id";
    let limit = ask.values.integer("limit").unwrap_or(ROWS_MAX);
    answer(query(shared, sql, &[Box::new(limit)]).map(|rows| json!({"rows": rows})))
}

/// Closed round trips that were begun since a time, in one row.
pub(super) fn totals(shared: &Shared, since_ms: i64) -> Result<Value, StoreError> {
    let sql = "SELECT count(*) AS trades, coalesce(sum(realized_e8 > fees_e8), 0) AS wins,
               coalesce(sum(realized_e8), 0) AS realized_e8, coalesce(sum(fees_e8), 0) AS fees_e8,
               coalesce(sum(realized_e8 - fees_e8), 0) AS net_e8,
               coalesce(max(realized_e8 - fees_e8), 0) AS best_e8, coalesce(min(realized_e8 - fees_e8), 0) AS worst_e8
               FROM trades WHERE closed_ms IS NOT NULL AND opened_ms >= ?";
    Ok(query(shared, sql, &[Box::new(since_ms)])?.pop().unwrap_or_default())
}

/// Rows of a table behind one, the oldest first.
pub(super) fn newer(
    shared: &Shared,
    table: &'static str,
    after: i64,
    limit: i64,
) -> Result<Vec<Value>, StoreError> {
    let sql = format!("SELECT rowid AS id, * FROM {table} WHERE rowid > ? ORDER BY rowid LIMIT ?");
    query(shared, &sql, &[Box::new(after), Box::new(limit)])
}

/// The newest row of a table; 0 for an empty one, and for a store that is not there yet.
pub(super) fn newest(shared: &Shared, table: &'static str) -> Result<i64, StoreError> {
    if !shared.data.store(shared.config.instance.mode.label()).exists() {
        return Ok(0);
    }
    let sql = format!("SELECT coalesce(max(rowid), 0) AS id FROM {table}");
    Ok(query(shared, &sql, &[])?.pop().and_then(|row| row["id"].as_i64()).unwrap_or(0))
}

fn answer(result: Result<Value, StoreError>) -> Answer {
    match result {
        Ok(value) => Answer::json(200, &value),
        Err(e) => Answer::error(503, &e.to_string()),
    }
}

fn query(shared: &Shared, sql: &str, values: &[Box<dyn ToSql>]) -> Result<Vec<Value>, StoreError> {
    query_in(&shared.data.store(shared.config.instance.mode.label()), sql, values)
}

fn query_in(path: &Path, sql: &str, values: &[Box<dyn ToSql>]) -> Result<Vec<Value>, StoreError> {
    let connection = store::open_to_read(path)?;
    let mut statement = connection.prepare(sql)?;
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let given: Vec<&dyn ToSql> = values.iter().map(AsRef::as_ref).collect();
    let rows = statement.query_map(given.as_slice(), |row| {
        let mut shown = Map::new();
        for (at, name) in names.iter().enumerate() {
            let (name, value) = show(name, row.get_ref(at)?);
            shown.insert(name.to_owned(), value);
        }
        Ok(Value::Object(shown))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A column as it is told: `_e8` as decimal text under the name without it, `is_` as true or false.
fn show<'a>(name: &'a str, value: ValueRef<'_>) -> (&'a str, Value) {
    match (name.strip_suffix("_e8"), value) {
        (Some(bare), ValueRef::Integer(units)) => (bare, Value::String(decimal::to_text(units, 8))),
        (_, ValueRef::Integer(flag)) if name.starts_with("is_") => (name, Value::Bool(flag != 0)),
        (_, ValueRef::Integer(number)) => (name, number.into()),
        (_, ValueRef::Real(number)) => (name, number.into()),
        (_, ValueRef::Text(text)) => (name, String::from_utf8_lossy(text).into()),
        (bare, _) => (bare.unwrap_or(name), Value::Null),
    }
}
