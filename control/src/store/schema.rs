//! Tables of the store and their versions. Amounts are integers x 10^8; times are unix nanoseconds.

use super::StoreError;
use rusqlite::Connection;

/// Schema version this build writes.
pub const VERSION: i64 = 4;

/// Names of the tables.
pub(super) const TABLE_NAMES: [&str; 11] = [
    "orders",
    "fills",
    "trades",
    "positions",
    "events",
    "decisions",
    "risk_events",
    "balances",
    "parameters",
    "signals",
    "cursor",
];

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

const SINCE_2: &str = "
-- What strategies wanted.
CREATE TABLE decisions (
    session         INTEGER NOT NULL,
    lane            INTEGER NOT NULL,
    sequence        INTEGER NOT NULL,
    time_ns         INTEGER NOT NULL,
    intent          INTEGER NOT NULL,
    strategy        TEXT NOT NULL,
    symbol          TEXT NOT NULL,
    side            TEXT NOT NULL,
    time_in_force   TEXT NOT NULL,
    price_e8        INTEGER NOT NULL,
    qty_e8          INTEGER NOT NULL,
    is_reduce_only  INTEGER NOT NULL,
    PRIMARY KEY (session, lane, sequence)
) STRICT;

-- What limits, breakers and the trading state did about it.
CREATE TABLE risk_events (
    session         INTEGER NOT NULL,
    lane            INTEGER NOT NULL,
    sequence        INTEGER NOT NULL,
    time_ns         INTEGER NOT NULL,
    kind            TEXT NOT NULL,
    name            TEXT NOT NULL,
    intent          INTEGER,
    strategy        TEXT,
    symbol          TEXT,
    value           REAL,
    bound           REAL,
    PRIMARY KEY (session, lane, sequence)
) STRICT;
";

const SINCE_3: &str = "
ALTER TABLE orders ADD COLUMN strategy TEXT NOT NULL DEFAULT '';
-- The strategy that opened the round trip.
ALTER TABLE trades ADD COLUMN strategy TEXT NOT NULL DEFAULT '';

-- The venue's last word on every asset.
CREATE TABLE balances (
    asset           TEXT PRIMARY KEY,
    wallet_e8       INTEGER NOT NULL,
    cross_e8        INTEGER NOT NULL,
    venue_ms        INTEGER NOT NULL,
    time_ns         INTEGER NOT NULL
) STRICT;

-- Values that people and fits gave to parameters of strategies.
CREATE TABLE parameters (
    session         INTEGER NOT NULL,
    lane            INTEGER NOT NULL,
    sequence        INTEGER NOT NULL,
    time_ns         INTEGER NOT NULL,
    strategy        TEXT NOT NULL,
    name            TEXT NOT NULL,
    value           REAL,
    is_taken        INTEGER NOT NULL,
    PRIMARY KEY (session, lane, sequence)
) STRICT;

-- What every strategy computed last.
CREATE TABLE signals (
    strategy        TEXT PRIMARY KEY,
    session         INTEGER NOT NULL,
    time_ns         INTEGER NOT NULL,
    venue_ms        INTEGER NOT NULL,
    stance          TEXT NOT NULL,
    value           REAL,
    z               REAL,
    bound           REAL,
    beta            REAL,
    volatility      REAL,
    change          REAL
) STRICT;
";

const SINCE_4: &str = "
-- How it is priced; the price of an order that is not 'limit' is the worst that the limits took it for.
ALTER TABLE orders ADD COLUMN order_type TEXT NOT NULL DEFAULT 'limit';
";

/// Steps from one version to the next, the first from nothing. A store that has come that way has what a later step
/// brings from then on; `tickpath rebuild` fills in what came before.
const STEPS: [&str; VERSION as usize] = [TABLES, SINCE_2, SINCE_3, SINCE_4];

/// Version of a database, 0 for an empty one.
pub(super) fn version_of(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

/// Takes the steps that are missing, all of them or none, or refuses a database of a later build.
pub(super) fn migrate(connection: &Connection) -> Result<(), StoreError> {
    let found = version_of(connection)?;
    if found > VERSION {
        return Err(StoreError::Schema { found });
    }
    let missing = STEPS.get(found as usize..).unwrap_or_default().concat();
    if missing.is_empty() {
        return Ok(());
    }
    let step = connection.unchecked_transaction()?;
    step.execute_batch(&format!("{missing} PRAGMA user_version = {VERSION};"))?;
    Ok(step.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_of_the_first_version_gets_what_is_missing_and_keeps_its_rows() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(&format!("{TABLES} PRAGMA user_version = 1;")).unwrap();
        connection.execute("INSERT INTO positions (symbol) VALUES ('BTCUSDT')", []).unwrap();
        migrate(&connection).unwrap();
        migrate(&connection).unwrap();
        for table in TABLE_NAMES {
            let count: i64 =
                connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
            assert_eq!(count, i64::from(table == "positions"), "{table}");
        }
        connection.pragma_update(None, "user_version", VERSION + 1).unwrap();
        assert!(matches!(migrate(&connection), Err(StoreError::Schema { found }) if found == VERSION + 1));
    }
}
