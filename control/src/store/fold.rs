//! Folding archived records into rows: orders, fills, round trips, positions, events.
//!
//! The gateway's lane alone tells of orders and fills; every lane tells of events.

use super::StoreError;
use crate::sink::{Archived, Follower, Sink};
use rusqlite::{Connection, OptionalExtension, params};
use std::borrow::Borrow;
use tickpath_shared::{
    paths::DataDir,
    record::{
        EventCode, FillRecord, Kind, OpenOrderRecord, OrderRecord, OrderStateRecord, PositionRecord, Record,
        SessionEventRecord, Severity,
    },
    types::{OrderState, OrderTerms, Side, StrategyName, TimeInForce},
};

const UNIT: i128 = 100_000_000;

/// The store as a sink: rows and cursor change in one transaction.
pub(super) struct StoreSink<C> {
    connection: C,
    block: (u64, u16),
}

impl<C: Borrow<Connection>> StoreSink<C> {
    pub(super) fn new(connection: C) -> Self {
        Self { connection, block: (0, 0) }
    }

    fn connection(&self) -> &Connection {
        self.connection.borrow()
    }
}

/// Folds everything that is archived and returns how many records that were.
///
/// # Errors
///
/// [`StoreError`].
pub fn fold_sessions(connection: &mut Connection, data: &DataDir) -> Result<u64, StoreError> {
    let mut follower = Follower::default();
    let folded = follower.catch_up(&mut StoreSink::new(&*connection), data)?;
    follower.whole().map(|()| folded)
}

impl<C: Borrow<Connection>> Sink for StoreSink<C> {
    fn begin(&mut self, session: u64, lane: u16) -> Result<u64, StoreError> {
        self.block = (session, lane);
        self.connection().execute_batch("BEGIN")?;
        let query = "SELECT sequence FROM cursor WHERE session = ?1 AND lane = ?2";
        let found: Option<i64> =
            self.connection().query_row(query, params![session as i64, lane], |row| row.get(0)).optional()?;
        Ok(found.unwrap_or(0) as u64)
    }

    fn take(&mut self, archived: &Archived<'_>) -> Result<(), StoreError> {
        Row { connection: self.connection(), archived }.fold(archived.record)
    }

    fn commit(&mut self, sequence: u64) -> Result<(), StoreError> {
        self.connection().execute(
            "INSERT INTO cursor VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET sequence = ?3",
            params![self.block.0 as i64, self.block.1, sequence as i64],
        )?;
        Ok(self.connection().execute_batch("COMMIT")?)
    }

    fn roll_back(&mut self) {
        // Of a transaction that SQLite itself has ended nothing is left to roll back.
        if !self.connection().is_autocommit()
            && let Err(error) = self.connection().execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "the store's transaction could not be rolled back");
        }
    }
}

/// Folding one record.
pub(super) struct Row<'a> {
    pub(super) connection: &'a Connection,
    archived: &'a Archived<'a>,
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
            Some(Kind::Balance) => self.balance(record),
            Some(Kind::Parameter) => self.parameter(record),
            Some(Kind::Signal) => self.signal(record),
            _ => Ok(()),
        }
    }

    /// The session's own copy of an account record is an input; the gateway's is the one that counts.
    fn is_gateway(&self, record: &Record<'_>) -> bool {
        record.header.lane != 0
    }

    pub(super) fn session(&self) -> i64 {
        self.archived.session as i64
    }

    pub(super) fn unix_ns(&self) -> i64 {
        self.archived.unix_ns()
    }

    pub(super) fn symbol(&self, instrument: u32) -> String {
        self.archived.symbol(instrument)
    }

    pub(super) fn price_e8(&self, instrument: u32, price: i64) -> i64 {
        self.archived.price_e8(instrument, price)
    }

    pub(super) fn qty_e8(&self, instrument: u32, qty: i64) -> i64 {
        self.archived.qty_e8(instrument, qty)
    }

    fn order(&self, record: &Record<'_>) -> Result<(), StoreError> {
        let Some(order) = record.body::<OrderRecord>() else { return Ok(()) };
        self.connection.execute(
            "INSERT OR IGNORE INTO orders (client_order_id, session, symbol, side, time_in_force, price_e8, qty_e8,
             state, is_reduce_only, intent, sent_ns, updated_ns, strategy, order_type)
             VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?11,?12,?13)",
            params![
                order.client_order_id.as_str(),
                self.session(),
                self.symbol(order.instrument),
                Side::from_repr(order.side).map_or("", Side::label),
                TimeInForce::from_repr(order.time_in_force).map_or("", TimeInForce::label),
                self.price_e8(order.instrument, order.price),
                self.qty_e8(order.instrument, order.qty),
                OrderState::Sent.label(),
                order.is_reduce_only,
                order.intent as i64,
                self.unix_ns(),
                StrategyName::label_of(order.strategy),
                OrderTerms::label_of(order.order_type, order.price_match),
            ],
        )?;
        Ok(())
    }

    fn amended(&self, record: &Record<'_>) -> Result<(), StoreError> {
        let Some(order) = record.body::<OrderRecord>() else { return Ok(()) };
        self.connection.execute(
            "UPDATE orders SET price_e8 = ?2, qty_e8 = ?3, updated_ns = ?4 WHERE client_order_id = ?1",
            params![
                order.client_order_id.as_str(),
                self.price_e8(order.instrument, order.price),
                self.qty_e8(order.instrument, order.qty),
                self.unix_ns(),
            ],
        )?;
        Ok(())
    }

    fn order_state(&self, record: &Record<'_>) -> Result<(), StoreError> {
        let Some(change) = record.body::<OrderStateRecord>() else { return Ok(()) };
        let Some(state) = OrderState::from_repr(change.to) else { return Ok(()) };
        self.connection.execute(
            "UPDATE orders SET state = ?2, venue_order_id = max(venue_order_id, ?3), code = ?4, updated_ns = ?5
             WHERE client_order_id = ?1 AND state NOT IN ('filled', 'canceled', 'expired', 'rejected', 'absent')",
            params![
                change.client_order_id.as_str(),
                state.label(),
                change.venue_order_id as i64,
                change.code,
                self.unix_ns()
            ],
        )?;
        self.connection.execute(
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
        let is_new = self.connection.execute(
            "INSERT OR IGNORE INTO fills VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)",
            params![
                symbol,
                fill.trade_id as i64,
                self.session(),
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
        self.connection.execute(
            "UPDATE orders SET filled_e8 = filled_e8 + ?4, venue_order_id = ?3
             WHERE client_order_id = ?2 OR (symbol = ?1 AND venue_order_id = ?3)",
            params![symbol, fill.client_order_id.as_str(), fill.venue_order_id as i64, qty_e8],
        )?;
        let query =
            "SELECT strategy FROM orders WHERE client_order_id = ?2 OR (symbol = ?1 AND venue_order_id = ?3)";
        let named = params![symbol, fill.client_order_id.as_str(), fill.venue_order_id as i64];
        let strategy: Option<String> =
            self.connection.query_row(query, named, |row| row.get(0)).optional()?;
        let execution = Execution {
            symbol: &symbol,
            strategy: strategy.as_deref().unwrap_or_default(),
            sign: side.sign(),
            price_e8,
            qty_e8,
            // What was paid in another asset stands with the fill alone.
            fee_e8: fill.quote_fee_e8(&symbol).unwrap_or(0),
            venue_ms: fill.venue_ms as i64,
        };
        apply(self.connection, &execution)
    }

    /// What the venue shows wins over what was folded, as after trades older than the archive.
    fn start_position(&self, record: &Record<'_>) -> Result<(), StoreError> {
        let Some(start) = record.body::<PositionRecord>() else { return Ok(()) };
        let symbol = self.symbol(start.instrument);
        let qty_e8 = self.qty_e8(start.instrument, start.qty);
        let cost_e8 = (i128::from(start.entry_price_e8) * i128::from(qty_e8.abs()) / UNIT) as i64;
        self.connection.execute(
            "INSERT INTO positions (symbol, qty_e8, cost_e8) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET qty_e8 = ?2, cost_e8 = ?3 WHERE qty_e8 != ?2",
            params![symbol, qty_e8, cost_e8],
        )?;
        Ok(())
    }

    fn open_order(&self, record: &Record<'_>) -> Result<(), StoreError> {
        let Some(open) = record.body::<OpenOrderRecord>() else { return Ok(()) };
        self.connection.execute(
            "UPDATE orders SET open_session = ?2, venue_order_id = ?3, state = CASE WHEN filled_e8 > 0
             THEN 'partially_filled' ELSE 'working' END WHERE client_order_id = ?1",
            params![open.client_order_id.as_str(), self.session(), open.venue_order_id as i64],
        )?;
        Ok(())
    }

    /// Orders of earlier sessions that the venue neither shows as open nor lists never reached it.
    fn reconciled(&self) -> Result<(), StoreError> {
        self.connection.execute(
            "UPDATE orders SET state = CASE WHEN filled_e8 > 0 THEN 'expired' ELSE 'absent' END
             WHERE session < ?1 AND open_session != ?1
             AND state NOT IN ('filled', 'canceled', 'expired', 'rejected', 'absent')",
            params![self.session()],
        )?;
        Ok(())
    }

    fn event(&self, record: &Record<'_>) -> Result<(), StoreError> {
        let Some(event) = record.body::<SessionEventRecord>() else { return Ok(()) };
        let code = EventCode::from_repr(event.code).map_or("unknown", EventCode::label);
        let severity = Severity::from_repr(event.severity).map_or("unknown", Severity::label);
        let text = String::from_utf8_lossy(record.text_after::<SessionEventRecord>());
        self.connection.execute(
            "INSERT OR IGNORE INTO events VALUES (?1,?2,?3,?4,?5,?6,?7)",
            params![
                self.session(),
                record.header.lane,
                record.header.sequence as i64,
                self.unix_ns(),
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
    /// Strategy of the order, nothing for an order that is not known here.
    strategy: &'a str,
    sign: i64,
    price_e8: i64,
    qty_e8: i64,
    fee_e8: i64,
    venue_ms: i64,
}

/// Moves the position by average cost and keeps the round trip.
fn apply(connection: &Connection, e: &Execution<'_>) -> Result<(), StoreError> {
    connection.execute("INSERT OR IGNORE INTO positions (symbol) VALUES (?1)", params![e.symbol])?;
    let (qty, cost): (i64, i64) = connection.query_row(
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
    connection.execute(
        "UPDATE positions SET qty_e8 = ?2, cost_e8 = ?3, realized_e8 = realized_e8 + ?4, fees_e8 = fees_e8 + ?5,
         updated_ms = ?6 WHERE symbol = ?1",
        params![e.symbol, next_qty, next_cost, if closed == 0 { 0 } else { realized }, e.fee_e8, e.venue_ms],
    )?;
    round_trip(connection, e, closed, opened, realized, next_qty)
}

fn round_trip(
    connection: &Connection,
    e: &Execution<'_>,
    closed: i64,
    opened: i64,
    realized: i64,
    next_qty: i64,
) -> Result<(), StoreError> {
    if closed > 0 {
        connection.execute(
            "UPDATE trades SET realized_e8 = realized_e8 + ?2, fees_e8 = fees_e8 + ?3, exit_e8 = ?4,
             closed_ms = CASE WHEN ?5 THEN ?6 END WHERE symbol = ?1 AND closed_ms IS NULL",
            params![e.symbol, realized, e.fee_e8, e.price_e8, next_qty == 0 || opened > 0, e.venue_ms],
        )?;
    }
    if opened == 0 {
        return Ok(());
    }
    let query = "SELECT id, qty_e8, entry_e8 FROM trades WHERE symbol = ?1 AND closed_ms IS NULL";
    let open: Option<(i64, i64, i64)> = connection
        .query_row(query, params![e.symbol], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    if let Some((id, qty, entry)) = open {
        let spent = i128::from(entry) * i128::from(qty) + i128::from(e.price_e8) * i128::from(opened);
        let average = (spent / i128::from(qty + opened)) as i64;
        connection.execute(
            "UPDATE trades SET qty_e8 = ?2, entry_e8 = ?3, fees_e8 = fees_e8 + ?4 WHERE id = ?1",
            params![id, qty + opened, average, e.fee_e8],
        )?;
    } else {
        let side = if e.sign > 0 { Side::Buy } else { Side::Sell };
        // The fee of a fill that crosses zero is booked on the round trip it closes.
        let fee_e8 = if closed > 0 { 0 } else { e.fee_e8 };
        connection.execute(
            "INSERT INTO trades (symbol, side, qty_e8, entry_e8, fees_e8, opened_ms, strategy)
             VALUES (?1,?2,?3,?4,?5,?6,?7)",
            params![e.symbol, side.label(), opened, e.price_e8, fee_e8, e.venue_ms, e.strategy],
        )?;
    }
    Ok(())
}
