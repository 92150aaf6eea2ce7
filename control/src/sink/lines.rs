//! Orders, fills and balances as JSON lines in a file, for programs that follow a file rather than a database.

use super::{Archived, Sink};
use crate::store::StoreError;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
};
use tickpath_shared::{
    paths::{create_private_dir, open_private, replace_file},
    record::{BalanceRecord, FillRecord, Kind, OrderRecord, OrderStateRecord},
    types::{OrderState, OrderTerms, Side, StrategyName, TimeInForce, decimal},
};

/// The file, opened for every block: who turns it over renames it, and the next block begins a new one.
#[derive(Debug)]
pub struct LineSink {
    path: PathBuf,
    /// Committed sequence of every lane, by `session-lane`.
    cursor: BTreeMap<String, u64>,
    block: (u64, u16),
    /// Where the lane stood when the block began.
    kept: Option<u64>,
    lines: String,
}

impl LineSink {
    /// Goes on where the file's cursor stands, which is kept beside it.
    ///
    /// # Errors
    ///
    /// Those of the file system, and a cursor that is none.
    pub fn open(path: &Path) -> io::Result<Self> {
        create_private_dir(path.parent().unwrap_or(Path::new(".")))?;
        let cursor = match std::fs::read(cursor_of(path)) {
            Ok(text) => serde_json::from_slice(&text).map_err(io::Error::other)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(e) => return Err(e),
        };
        Ok(Self { path: path.to_owned(), cursor, block: (0, 0), kept: None, lines: String::new() })
    }

    fn name(&self) -> String {
        format!("{}-{}", self.block.0, self.block.1)
    }
}

fn cursor_of(path: &Path) -> PathBuf {
    path.with_extension("cursor")
}

impl Sink for LineSink {
    fn begin(&mut self, session: u64, lane: u16) -> Result<u64, StoreError> {
        self.block = (session, lane);
        self.lines.clear();
        self.kept = self.cursor.get(&self.name()).copied();
        Ok(self.kept.unwrap_or(0))
    }

    fn take(&mut self, archived: &Archived<'_>) -> Result<(), StoreError> {
        if let Some(mut line) = line_of(archived) {
            let header = &archived.record.header;
            line["session"] = archived.session.into();
            line["lane"] = header.lane.into();
            line["sequence"] = header.sequence.into();
            line["time_ns"] = archived.unix_ns().into();
            self.lines.push_str(&line.to_string());
            self.lines.push('\n');
        }
        Ok(())
    }

    /// Lines first: whoever is interrupted in between writes them again, under the same names.
    fn commit(&mut self, sequence: u64) -> Result<(), StoreError> {
        self.cursor.insert(self.name(), sequence);
        // Where there was nothing to write, a later process may look again.
        if self.lines.is_empty() {
            return Ok(());
        }
        let mut file = open_private(&self.path, OpenOptions::new().append(true).create(true))?;
        if !ends_with_a_line(&self.path)? {
            // A line that was cut off is told again below, whole.
            self.lines.insert(0, '\n');
        }
        file.write_all(self.lines.as_bytes())?;
        file.sync_data()?;
        self.lines.clear();
        Ok(replace_file(&cursor_of(&self.path), json!(self.cursor).to_string().as_bytes())?)
    }

    fn roll_back(&mut self) {
        self.lines.clear();
        match self.kept {
            Some(kept) => self.cursor.insert(self.name(), kept),
            None => self.cursor.remove(&self.name()),
        };
    }
}

fn ends_with_a_line(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::open(path)?;
    let mut last = [b'\n'];
    if let Some(at) = file.metadata()?.len().checked_sub(1) {
        file.read_exact_at(&mut last, at)?;
    }
    Ok(last == *b"\n")
}

fn e8(units: i64) -> String {
    decimal::to_text(units, 8)
}

/// The record as a line; `None` for one that is not exported.
fn line_of(archived: &Archived<'_>) -> Option<Value> {
    let record = archived.record;
    match record.kind()? {
        Kind::Order => record.body::<OrderRecord>().map(|order| order_line(archived, &order)),
        Kind::OrderState => {
            let change = record.body::<OrderStateRecord>()?;
            Some(json!({
                "kind": "order_state",
                "client_order_id": change.client_order_id.as_str(),
                "venue_order_id": change.venue_order_id,
                "state": OrderState::from_repr(change.to).map_or("unknown", OrderState::label),
                "code": change.code,
            }))
        }
        Kind::Fill => record.body::<FillRecord>().map(|fill| fill_line(archived, &fill)),
        Kind::Balance => {
            let balance = record.body::<BalanceRecord>()?;
            Some(json!({
                "kind": "balance",
                "asset": balance.asset(),
                "wallet": e8(balance.wallet_e8),
                "cross": e8(balance.cross_e8),
                "venue_ms": balance.venue_ms,
            }))
        }
        _ => None,
    }
}

fn order_line(archived: &Archived<'_>, order: &OrderRecord) -> Value {
    json!({
        "kind": "order",
        "client_order_id": order.client_order_id.as_str(),
        "strategy": StrategyName::label_of(order.strategy),
        "symbol": archived.symbol(order.instrument),
        "side": Side::from_repr(order.side).map_or("unknown", Side::label),
        "time_in_force": TimeInForce::from_repr(order.time_in_force).map_or("unknown", TimeInForce::label),
        "order_type": OrderTerms::label_of(order.order_type, order.price_match),
        "price": e8(archived.price_e8(order.instrument, order.price)),
        "quantity": e8(archived.qty_e8(order.instrument, order.qty)),
        "reduce_only": order.is_reduce_only == 1,
    })
}

fn fill_line(archived: &Archived<'_>, fill: &FillRecord) -> Value {
    json!({
        "kind": "fill",
        "trade_id": fill.trade_id,
        "client_order_id": fill.client_order_id.as_str(),
        "venue_order_id": fill.venue_order_id,
        "symbol": archived.symbol(fill.instrument),
        "side": Side::from_repr(fill.side).map_or("unknown", Side::label),
        "price": e8(archived.price_e8(fill.instrument, fill.price)),
        "quantity": e8(archived.qty_e8(fill.instrument, fill.qty)),
        "fee": e8(fill.fee_e8),
        "fee_asset": fill.fee_asset(),
        "is_maker": fill.is_maker == 1,
        "venue_ms": fill.venue_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_block_of_a_lane_is_told_again_until_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("export.jsonl");
        std::fs::create_dir(&path).unwrap();
        let mut sink = LineSink::open(&path).unwrap();
        for _ in 0..2 {
            assert_eq!(sink.begin(1, 3).unwrap(), 0);
            sink.lines.push_str("{}\n");
            assert!(sink.commit(5).is_err(), "a folder is in the way");
            sink.roll_back();
        }
        std::fs::remove_dir(&path).unwrap();
        assert_eq!(sink.begin(1, 3).unwrap(), 0);
        sink.lines.push_str("{}\n");
        sink.commit(5).unwrap();
        assert_eq!(LineSink::open(&path).unwrap().begin(1, 3).unwrap(), 5);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{}\n");
    }
}
