//! What a demo did, from the status file and the store.

use super::screen::nanos;
use anyhow::Result;
use serde_json::{Value, json};
use std::time::Duration;
use tickpath_control::store;
use tickpath_shared::{
    config::Config,
    counters::{Counter, Stage},
    paths::DataDir,
    status::{InstrumentWord, LaneWord, StatusReader},
    types::{InstrumentDefinition, decimal},
};

/// Profit of a session, quote x 10^8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Money {
    /// Realised before fees.
    pub realized_e8: i128,
    /// Open positions at the mark price.
    pub unrealized_e8: i128,
    /// Fees.
    pub fees_e8: i128,
}

/// One position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PositionLine {
    /// Symbol.
    pub symbol: String,
    /// Signed quantity.
    pub qty: String,
    /// Orders not yet at their end.
    pub open_orders: i64,
}

impl Money {
    /// Profit by the status file.
    pub fn of(status: &StatusReader) -> Self {
        status.definitions().iter().fold(Self::default(), |sum, d| sum.plus(status, d))
    }

    fn plus(self, status: &StatusReader, d: &InstrumentDefinition) -> Self {
        let word = |w| i128::from(status.instrument(d.instrument, w));
        let (position, mark) = (word(InstrumentWord::Position), word(InstrumentWord::MarkPrice));
        let entry = word(InstrumentWord::EntryPriceE8);
        let units = i128::from(decimal::pow10(d.qty_scale));
        let open = if position == 0 { 0 } else { (mark - entry) * position / units };
        Self {
            realized_e8: self.realized_e8 + word(InstrumentWord::RealizedE8),
            unrealized_e8: self.unrealized_e8 + open,
            fees_e8: self.fees_e8 + word(InstrumentWord::FeesE8),
        }
    }

    /// Realised and marked profit less fees.
    pub fn net_text(self) -> String {
        Self::text(self.realized_e8 + self.unrealized_e8 - self.fees_e8)
    }

    /// An amount with four decimal places, cut.
    pub fn text(amount_e8: i128) -> String {
        decimal::to_text((amount_e8 / 10_000) as i64, 4)
    }
}

/// Positions by the status file.
pub fn positions(status: &StatusReader) -> Vec<PositionLine> {
    let line = |d: &InstrumentDefinition| {
        let word = |w| status.instrument(d.instrument, w);
        let qty = word(InstrumentWord::Position) / decimal::pow10(d.qty_scale - d.qty_places);
        PositionLine {
            symbol: d.symbol.as_str().to_owned(),
            qty: decimal::to_text(qty, d.qty_places),
            open_orders: word(InstrumentWord::OpenOrders),
        }
    };
    status.definitions().iter().map(line).collect()
}

/// What a demo did.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The object that `--json` prints.
    pub json: Value,
}

impl Summary {
    pub(super) fn collect(
        data: &DataDir,
        config: &Config,
        status: Option<&StatusReader>,
        elapsed: Duration,
        notes: &[String],
    ) -> Result<Self> {
        let path = data.store(config.instance.mode.label());
        let rows = if path.exists() { store::row_counts(&path)? } else { Vec::new() };
        let rows: serde_json::Map<String, Value> = rows.into_iter().map(|(t, n)| (t, json!(n))).collect();
        let mut json = json!({
            "seconds": elapsed.as_secs_f64(),
            "dir": data.root().display().to_string(),
            "notes": notes,
            "rows": rows,
        });
        if let Some(status) = status {
            merge(&mut json, &session(status));
        }
        Ok(Self { json })
    }

    /// The summary for people.
    pub fn text(&self) -> String {
        let n = |key: &str| self.json["counters"][key].as_u64().unwrap_or(0);
        let stage = |key: &str| self.json["latency"]["tick_to_trade"][key].as_u64().unwrap_or(0);
        format!(
            "{:.1} s: {} frames, {} orders, {} fills, {} rejected, {} refused, P&L {}\n\
             tick-to-trade p50 {}, p99 {}, p99.9 {}, max {}\n\
             store: {}\n",
            self.json["seconds"].as_f64().unwrap_or(0.0),
            n("frames"),
            n("orders_sent"),
            n("fills"),
            n("orders_rejected"),
            n("refusals"),
            self.json["pnl"].as_str().unwrap_or("0"),
            nanos(stage("p50_ns")),
            nanos(stage("p99_ns")),
            nanos(stage("p999_ns")),
            nanos(stage("max_ns")),
            self.json["rows"],
        )
    }
}

fn session(status: &StatusReader) -> Value {
    let counters: serde_json::Map<String, Value> =
        Counter::ALL.iter().map(|c| (c.label().to_owned(), json!(status.counter(*c)))).collect();
    let latency: serde_json::Map<String, Value> = Stage::ALL
        .iter()
        .map(|stage| {
            let h = status.histogram(*stage);
            let value = json!({"count": h.count(), "p50_ns": h.quantile_ns(0.5), "p99_ns": h.quantile_ns(0.99),
                "p999_ns": h.quantile_ns(0.999), "max_ns": h.max_ns});
            (stage.label().to_owned(), value)
        })
        .collect();
    let positions: serde_json::Map<String, Value> =
        positions(status).into_iter().map(|p| (p.symbol, json!(p.qty))).collect();
    let dropped: u64 = (0..4).map(|lane| status.lane(lane, LaneWord::Dropped)).sum();
    let skipped: u64 = (0..4).map(|lane| status.lane(lane, LaneWord::Skipped)).sum();
    json!({
        "session": status.identity().session,
        "orders": status.counter(Counter::OrdersSent),
        "fills": status.counter(Counter::Fills),
        "rejects": status.counter(Counter::OrdersRejected),
        "frames": status.counter(Counter::Frames),
        "snapshots": status.counter(Counter::Snapshots),
        "decode_errors": status.counter(Counter::DecodeErrors),
        "pnl": Money::of(status).net_text(),
        "positions": positions,
        "telemetry_dropped": dropped,
        "inputs_skipped": skipped,
        "counters": counters,
        "latency": latency,
    })
}

fn merge(into: &mut Value, from: &Value) {
    if let (Some(into), Some(from)) = (into.as_object_mut(), from.as_object()) {
        into.extend(from.clone());
    }
}
