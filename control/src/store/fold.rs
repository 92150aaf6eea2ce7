//! Folding archived records into rows: orders, fills, round trips, positions, events.
//!
//! The gateway's lane alone tells of orders and fills; every lane tells of events.

use super::StoreError;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::{collections::BTreeMap, path::Path};
use tickpath_shared::{
    journal::{ArchiveReader, RecordBuf},
    paths::DataDir,
    record::{
        EventCode, FillRecord, Kind, OpenOrderRecord, OrderRecord, OrderStateRecord, PositionRecord, Record,
        SessionEventRecord, Severity,
    },
    types::{Grid, InstrumentDefinition, OrderState, Side, Symbol, TimeInForce, decimal::pow10},
};

/// Records a transaction at most.
const BATCH: u64 = 5_000;
const UNIT: i128 = 100_000_000;

/// Readers of the archives, kept open between two calls.
#[derive(Default)]
pub struct Fold {
    lanes: BTreeMap<(u64, u16), Lane>,
}

struct Lane {
    reader: ArchiveReader,
    /// Wall clock at the session's time zero.
    start_unix_ns: u64,
    definitions: BTreeMap<u32, InstrumentDefinition>,
}

/// Folds everything that is archived and returns how many records that were.
///
/// # Errors
///
/// [`StoreError`].
pub fn fold_sessions(connection: &mut Connection, data: &DataDir) -> Result<u64, StoreError> {
    Fold::default().catch_up(connection, data)
}

impl Fold {
    /// Folds what is new in every archive, oldest session first.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; whole transactions are kept.
    pub fn catch_up(&mut self, connection: &mut Connection, data: &DataDir) -> Result<u64, StoreError> {
        self.open_new(&data.archive())?;
        let mut folded = 0;
        for (&(session, lane), state) in &mut self.lanes {
            loop {
                let records = state.fold_batch(connection, session, lane)?;
                folded += records;
                if records < BATCH {
                    break;
                }
            }
        }
        Ok(folded)
    }

    fn open_new(&mut self, archive: &Path) -> Result<(), StoreError> {
        let Ok(sessions) = std::fs::read_dir(archive) else { return Ok(()) };
        for session in sessions.flatten() {
            for file in std::fs::read_dir(session.path())?.flatten() {
                let path = file.path();
                if path.extension().is_none_or(|e| e != "tpa") || self.is_open(&path) {
                    continue;
                }
                // A file whose head is not written yet is found again at the next turn.
                if let Ok(reader) = ArchiveReader::open(&path) {
                    let (start_unix_ns, definitions) = begun_with(reader.metadata());
                    let key = (reader.session(), reader.lane());
                    self.lanes.insert(key, Lane { reader, start_unix_ns, definitions });
                }
            }
        }
        Ok(())
    }

    fn is_open(&self, path: &Path) -> bool {
        self.lanes.values().any(|lane| lane.reader.path() == path)
    }
}

/// Wall clock at time zero, and the instruments, which not every lane has records of.
fn begun_with(metadata: &str) -> (u64, BTreeMap<u32, InstrumentDefinition>) {
    let json: serde_json::Value = serde_json::from_str(metadata).unwrap_or_default();
    let definition = |told: &serde_json::Value| {
        let grid = |scale: &str, step: &str| {
            let scale = u8::try_from(told[scale].as_u64()?).ok()?;
            Some(Grid { scale, places: scale, step: told[step].as_i64()? })
        };
        let instrument = u32::try_from(told["instrument"].as_u64()?).ok()?;
        let symbol = Symbol::new(told["symbol"].as_str()?)?;
        let (price, qty) = (grid("price_scale", "tick")?, grid("qty_scale", "lot")?);
        Some((instrument, InstrumentDefinition::on_grids(symbol, instrument, price, qty)))
    };
    let definitions = json["definitions"].as_array().into_iter().flatten().filter_map(definition);
    (json["start_unix_ns"].as_u64().unwrap_or(0), definitions.collect())
}

impl Lane {
    /// Folds up to [`BATCH`] records and moves the cursor, in one transaction.
    fn fold_batch(
        &mut self,
        connection: &mut Connection,
        session: u64,
        lane: u16,
    ) -> Result<u64, StoreError> {
        let transaction = connection.transaction()?;
        let cursor = read_cursor(&transaction, session, lane)?;
        let mut buf = RecordBuf::default();
        let mut read = 0;
        while read < BATCH && self.reader.next_into(&mut buf)?.is_some() {
            read += 1;
            let record = buf.record();
            // Definitions are needed even when they were folded before.
            if record.kind() == Some(Kind::Definition)
                && let Some(definition) = record.body::<InstrumentDefinition>()
            {
                self.definitions.insert(definition.instrument, definition);
            }
            if record.header.sequence > cursor {
                let row = Row { transaction: &transaction, lane: self, session };
                row.fold(&record)?;
            }
        }
        if read > 0 && self.reader.sequence() > cursor {
            transaction.execute(
                "INSERT INTO cursor VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET sequence = ?3",
                params![session as i64, lane, self.reader.sequence() as i64],
            )?;
        }
        transaction.commit()?;
        Ok(read)
    }
}

fn read_cursor(transaction: &Transaction<'_>, session: u64, lane: u16) -> Result<u64, StoreError> {
    let query = "SELECT sequence FROM cursor WHERE session = ?1 AND lane = ?2";
    let found: Option<i64> =
        transaction.query_row(query, params![session as i64, lane], |row| row.get(0)).optional()?;
    Ok(found.unwrap_or(0) as u64)
}

/// Folding one record.
pub(super) struct Row<'a> {
    pub(super) transaction: &'a Transaction<'a>,
    lane: &'a Lane,
    pub(super) session: u64,
}

impl Row<'_> {
    fn fold(&self, record: &Record<'_>) -> Result<(), StoreError> {
        match record.kind() {
            Some(Kind::Order) => self.order(record),
            Some(Kind::Amended) => self.amended(record),
            Some(Kind::OrderState) => self.order_state(record),
            Some(Kind::Fill) => self.fill(record),
            Some(Kind::StartPosition) if self.is_gateway(record) => self.start_position(record),
            Some(Kind::OpenOrder) if self.is_gateway(record) => self.open_order(record),
            Some(Kind::Reconciled) if self.is_gateway(record) => self.reconciled(),
            Some(Kind::SessionEvent) => self.event(record),
            Some(Kind::Intent) => self.intent(record),
            Some(Kind::Refusal) => self.refusal(record),
            Some(Kind::Breaker) if self.is_gateway(record) => self.breaker(record),
            Some(Kind::TradingState) if self.is_gateway(record) => self.trading_state(record),
            _ => Ok(()),
        }
    }

    /// The session's own copy of an account record is an input; the gateway's is the one that counts.
    fn is_gateway(&self, record: &Record<'_>) -> bool {
        record.header.lane != 0
    }

    pub(super) fn unix_ns(&self, record: &Record<'_>) -> i64 {
        (self.lane.start_unix_ns + record.header.time) as i64
    }

    pub(super) fn symbol(&self, instrument: u32) -> String {
        self.lane
            .definitions
            .get(&instrument)
            .map_or_else(|| format!("#{instrument}"), |d| d.symbol.as_str().to_owned())
    }

    pub(super) fn price_e8(&self, instrument: u32, price: i64) -> i64 {
        self.lane.definitions.get(&instrument).map_or(price, |d| d.price_to_e8(price) as i64)
    }

    pub(super) fn qty_e8(&self, instrument: u32, qty: i64) -> i64 {
        self.lane.definitions.get(&instrument).map_or(qty, |d| qty * pow10(8 - d.qty_scale))
    }

    fn order(&self, record: &Record<'_>) -> Result<(), StoreError> {
        let Some(order) = record.body::<OrderRecord>() else { return Ok(()) };
        self.transaction.execute(
            "INSERT OR IGNORE INTO orders (client_order_id, session, symbol, side, time_in_force, price_e8, qty_e8,
             state, is_reduce_only, intent, sent_ns, updated_ns) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?11)",
            params![
                order.client_order_id.as_str(),
                self.session as i64,
                self.symbol(order.instrument),
                Side::from_repr(order.side).map_or("", Side::label),
                TimeInForce::from_repr(order.time_in_force).map_or("", TimeInForce::label),
                self.price_e8(order.instrument, order.price),
                self.qty_e8(order.instrument, order.qty),
                OrderState::Sent.label(),
                order.is_reduce_only,
                order.intent as i64,
                self.unix_ns(record),
            ],
        )?;
        Ok(())
    }

    fn amended(&self, record: &Record<'_>) -> Result<(), StoreError> {
        let Some(order) = record.body::<OrderRecord>() else { return Ok(()) };
        self.transaction.execute(
            "UPDATE orders SET price_e8 = ?2, qty_e8 = ?3, updated_ns = ?4 WHERE client_order_id = ?1",
            params![
                order.client_order_id.as_str(),
                self.price_e8(order.instrument, order.price),
                self.qty_e8(order.instrument, order.qty),
                self.unix_ns(record),
            ],
        )?;
        Ok(())
    }

    fn order_state(&self, record: &Record<'_>) -> Result<(), StoreError> {
        let Some(change) = record.body::<OrderStateRecord>() else { return Ok(()) };
        let Some(state) = OrderState::from_repr(change.to) else { return Ok(()) };
        self.transaction.execute(
            "UPDATE orders SET state = ?2, venue_order_id = max(venue_order_id, ?3), code = ?4, updated_ns = ?5
             WHERE client_order_id = ?1 AND state NOT IN ('filled', 'canceled', 'expired', 'rejected', 'absent')",
            params![
                change.client_order_id.as_str(),
                state.label(),
                change.venue_order_id as i64,
                change.code,
                self.unix_ns(record)
            ],
        )?;
        self.transaction.execute(
            "UPDATE orders SET filled_e8 = (SELECT coalesce(sum(qty_e8), 0) FROM fills
             WHERE fills.symbol = orders.symbol AND fills.venue_order_id = orders.venue_order_id)
             WHERE client_order_id = ?1 AND venue_order_id != 0",
            params![change.client_order_id.as_str()],
        )?;
        Ok(())
    }

    fn fill(&self, record: &Record<'_>) -> Result<(), StoreError> {
        let Some(fill) = record.body::<FillRecord>() else { return Ok(()) };
        let symbol = self.symbol(fill.instrument);
        let price_e8 = self.price_e8(fill.instrument, fill.price);
        let qty_e8 = self.qty_e8(fill.instrument, fill.qty);
        let asset = fill.fee_asset();
        let Some(side) = Side::from_repr(fill.side) else { return Ok(()) };
        let is_new = self.transaction.execute(
            "INSERT OR IGNORE INTO fills VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)",
            params![
                symbol,
                fill.trade_id as i64,
                self.session as i64,
                fill.client_order_id.as_str(),
                fill.venue_order_id as i64,
                side.label(),
                price_e8,
                qty_e8,
                fill.fee_e8,
                asset,
                fill.is_maker,
                fill.is_reconciled,
                fill.venue_ms as i64,
            ],
        )? == 1;
        if !is_new {
            return Ok(());
        }
        self.transaction.execute(
            "UPDATE orders SET filled_e8 = filled_e8 + ?4, venue_order_id = ?3
             WHERE client_order_id = ?2 OR (symbol = ?1 AND venue_order_id = ?3)",
            params![symbol, fill.client_order_id.as_str(), fill.venue_order_id as i64, qty_e8],
        )?;
        let execution = Execution {
            symbol: &symbol,
            sign: side.sign(),
            price_e8,
            qty_e8,
            // What was paid in another asset stands with the fill alone.
            fee_e8: fill.quote_fee_e8(&symbol).unwrap_or(0),
            venue_ms: fill.venue_ms as i64,
        };
        apply(self.transaction, &execution)
    }

    /// What the venue shows wins over what was folded, as after trades older than the archive.
    fn start_position(&self, record: &Record<'_>) -> Result<(), StoreError> {
        let Some(start) = record.body::<PositionRecord>() else { return Ok(()) };
        let symbol = self.symbol(start.instrument);
        let qty_e8 = self.qty_e8(start.instrument, start.qty);
        let cost_e8 = (i128::from(start.entry_price_e8) * i128::from(qty_e8.abs()) / UNIT) as i64;
        self.transaction.execute(
            "INSERT INTO positions (symbol, qty_e8, cost_e8) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET qty_e8 = ?2, cost_e8 = ?3 WHERE qty_e8 != ?2",
            params![symbol, qty_e8, cost_e8],
        )?;
        Ok(())
    }

    fn open_order(&self, record: &Record<'_>) -> Result<(), StoreError> {
        let Some(open) = record.body::<OpenOrderRecord>() else { return Ok(()) };
        self.transaction.execute(
            "UPDATE orders SET open_session = ?2, venue_order_id = ?3, state = CASE WHEN filled_e8 > 0
             THEN 'partially_filled' ELSE 'working' END WHERE client_order_id = ?1",
            params![open.client_order_id.as_str(), self.session as i64, open.venue_order_id as i64],
        )?;
        Ok(())
    }

    /// Orders of earlier sessions that the venue neither shows as open nor lists never reached it.
    fn reconciled(&self) -> Result<(), StoreError> {
        self.transaction.execute(
            "UPDATE orders SET state = CASE WHEN filled_e8 > 0 THEN 'expired' ELSE 'absent' END
             WHERE session < ?1 AND open_session != ?1
             AND state NOT IN ('filled', 'canceled', 'expired', 'rejected', 'absent')",
            params![self.session as i64],
        )?;
        Ok(())
    }

    fn event(&self, record: &Record<'_>) -> Result<(), StoreError> {
        let Some(event) = record.body::<SessionEventRecord>() else { return Ok(()) };
        let code = EventCode::from_repr(event.code).map_or("unknown", EventCode::label);
        let severity = Severity::from_repr(event.severity).map_or("unknown", Severity::label);
        let text = String::from_utf8_lossy(record.text_after::<SessionEventRecord>());
        self.transaction.execute(
            "INSERT OR IGNORE INTO events VALUES (?1,?2,?3,?4,?5,?6,?7)",
            params![
                self.session as i64,
                record.header.lane,
                record.header.sequence as i64,
                self.unix_ns(record),
                code,
                severity,
                text
            ],
        )?;
        Ok(())
    }
}

struct Execution<'a> {
    symbol: &'a str,
    sign: i64,
    price_e8: i64,
    qty_e8: i64,
    fee_e8: i64,
    venue_ms: i64,
}

/// Moves the position by average cost and keeps the round trip.
fn apply(transaction: &Transaction<'_>, e: &Execution<'_>) -> Result<(), StoreError> {
    transaction.execute("INSERT OR IGNORE INTO positions (symbol) VALUES (?1)", params![e.symbol])?;
    let (qty, cost): (i64, i64) = transaction.query_row(
        "SELECT qty_e8, cost_e8 FROM positions WHERE symbol = ?1",
        params![e.symbol],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let notional = |qty: i64| (i128::from(e.price_e8) * i128::from(qty) / UNIT) as i64;
    let is_closing = qty.signum() == -e.sign;
    let closed = if is_closing { e.qty_e8.min(qty.abs()) } else { 0 };
    let cost_out =
        if closed == 0 { 0 } else { (i128::from(cost) * i128::from(closed) / i128::from(qty.abs())) as i64 };
    let realized = qty.signum() * (notional(closed) - cost_out);
    let opened = e.qty_e8 - closed;
    let (next_qty, next_cost) = (qty + e.sign * e.qty_e8, cost - cost_out + notional(opened));
    transaction.execute(
        "UPDATE positions SET qty_e8 = ?2, cost_e8 = ?3, realized_e8 = realized_e8 + ?4, fees_e8 = fees_e8 + ?5,
         updated_ms = ?6 WHERE symbol = ?1",
        params![e.symbol, next_qty, next_cost, if closed == 0 { 0 } else { realized }, e.fee_e8, e.venue_ms],
    )?;
    round_trip(transaction, e, closed, opened, realized, next_qty)
}

fn round_trip(
    transaction: &Transaction<'_>,
    e: &Execution<'_>,
    closed: i64,
    opened: i64,
    realized: i64,
    next_qty: i64,
) -> Result<(), StoreError> {
    if closed > 0 {
        transaction.execute(
            "UPDATE trades SET realized_e8 = realized_e8 + ?2, fees_e8 = fees_e8 + ?3, exit_e8 = ?4,
             closed_ms = CASE WHEN ?5 THEN ?6 END WHERE symbol = ?1 AND closed_ms IS NULL",
            params![e.symbol, realized, e.fee_e8, e.price_e8, next_qty == 0 || opened > 0, e.venue_ms],
        )?;
    }
    if opened == 0 {
        return Ok(());
    }
    let query = "SELECT id, qty_e8, entry_e8 FROM trades WHERE symbol = ?1 AND closed_ms IS NULL";
    let open: Option<(i64, i64, i64)> = transaction
        .query_row(query, params![e.symbol], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    if let Some((id, qty, entry)) = open {
        let spent = i128::from(entry) * i128::from(qty) + i128::from(e.price_e8) * i128::from(opened);
        let average = (spent / i128::from(qty + opened)) as i64;
        transaction.execute(
            "UPDATE trades SET qty_e8 = ?2, entry_e8 = ?3, fees_e8 = fees_e8 + ?4 WHERE id = ?1",
            params![id, qty + opened, average, e.fee_e8],
        )?;
    } else {
        let side = if e.sign > 0 { Side::Buy } else { Side::Sell };
        // The fee of a fill that crosses zero is booked on the round trip it closes.
        let fee_e8 = if closed > 0 { 0 } else { e.fee_e8 };
        transaction.execute(
            "INSERT INTO trades (symbol, side, qty_e8, entry_e8, fees_e8, opened_ms) VALUES (?1,?2,?3,?4,?5,?6)",
            params![e.symbol, side.label(), opened, e.price_e8, fee_e8, e.venue_ms],
        )?;
    }
    Ok(())
}
