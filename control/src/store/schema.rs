//! Tables of the store and their versions. Amounts are integers x 10^8; times are unix nanoseconds.

use super::StoreError;
use rusqlite::Connection;

/// Schema version this build writes.
pub const VERSION: i64 = 1;

/// Names of the tables.
pub(super) const TABLE_NAMES: [&str; 6] = ["orders", "fills", "trades", "positions", "events", "cursor"];

const TABLES: &str = "
CREATE TABLE orders (
    client_order_id TEXT PRIMARY KEY,
    session         INTEGER NOT NULL,
    venue_order_id  INTEGER NOT NULL DEFAULT 0,
    symbol          TEXT NOT NULL,
    side            TEXT NOT NULL,
    time_in_force   TEXT NOT NULL,
    price_e8        INTEGER NOT NULL,
    qty_e8          INTEGER NOT NULL,
    filled_e8       INTEGER NOT NULL DEFAULT 0,
    state           TEXT NOT NULL,
    is_reduce_only  INTEGER NOT NULL,
    intent          INTEGER NOT NULL,
    code            INTEGER NOT NULL DEFAULT 0,
    sent_ns         INTEGER NOT NULL,
    updated_ns      INTEGER NOT NULL,
    open_session    INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX orders_by_venue_id ON orders (symbol, venue_order_id);
CREATE INDEX orders_by_state ON orders (state);

CREATE TABLE fills (
    symbol          TEXT NOT NULL,
    trade_id        INTEGER NOT NULL,
    session         INTEGER NOT NULL,
    client_order_id TEXT NOT NULL,
    venue_order_id  INTEGER NOT NULL,
    side            TEXT NOT NULL,
    price_e8        INTEGER NOT NULL,
    qty_e8          INTEGER NOT NULL,
    fee_e8          INTEGER NOT NULL,
    fee_asset       TEXT NOT NULL,
    is_maker        INTEGER NOT NULL,
    is_reconciled   INTEGER NOT NULL,
    venue_ms        INTEGER NOT NULL,
    PRIMARY KEY (symbol, trade_id)
) STRICT;
CREATE INDEX fills_by_order ON fills (symbol, venue_order_id);

-- Round trips: from flat to flat.
CREATE TABLE trades (
    id              INTEGER PRIMARY KEY,
    symbol          TEXT NOT NULL,
    side            TEXT NOT NULL,
    qty_e8          INTEGER NOT NULL,
    entry_e8        INTEGER NOT NULL,
    exit_e8         INTEGER NOT NULL DEFAULT 0,
    realized_e8     INTEGER NOT NULL DEFAULT 0,
    fees_e8         INTEGER NOT NULL DEFAULT 0,
    opened_ms       INTEGER NOT NULL,
    closed_ms       INTEGER
) STRICT;

CREATE TABLE positions (
    symbol          TEXT PRIMARY KEY,
    qty_e8          INTEGER NOT NULL DEFAULT 0,
    cost_e8         INTEGER NOT NULL DEFAULT 0,
    realized_e8     INTEGER NOT NULL DEFAULT 0,
    fees_e8         INTEGER NOT NULL DEFAULT 0,
    updated_ms      INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE events (
    session         INTEGER NOT NULL,
    lane            INTEGER NOT NULL,
    sequence        INTEGER NOT NULL,
    time_ns         INTEGER NOT NULL,
    code            TEXT NOT NULL,
    severity        TEXT NOT NULL,
    text            TEXT NOT NULL,
    PRIMARY KEY (session, lane, sequence)
) STRICT;

CREATE TABLE cursor (
    session         INTEGER NOT NULL,
    lane            INTEGER NOT NULL,
    sequence        INTEGER NOT NULL,
    PRIMARY KEY (session, lane)
) STRICT;
";

/// Creates the tables, or refuses a database of a later build.
pub(super) fn migrate(connection: &Connection) -> Result<(), StoreError> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > VERSION {
        return Err(StoreError::Schema { found });
    }
    if found == 0 {
        connection.execute_batch(&format!("BEGIN; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;"))?;
    }
    Ok(())
}
