//! What is kept to be looked at later: log lines of both processes and a time series of every metric, in a database of
//! their own with an end to how long, and the lines in files too. Nothing here is money, and nothing waits for it.

mod file;
mod lines;
pub(crate) mod series;

pub(crate) use lines::{Line, install, lost};

use crate::{
    sessions::CurrentStatus,
    store::{self, StoreError},
};
use file::TurningFile;
use lines::{Origin, lose};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Map, json};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tickpath_shared::{clock::unix_ns_now, config::Config, paths::DataDir};

/// Longest wait for lines before they are stored together.
const STORE_EVERY: Duration = Duration::from_secs(1);
/// Between two looks at every metric, and between two looks for what is too old.
const SAMPLE_EVERY: Duration = Duration::from_secs(15);
const CLEAN_EVERY: Duration = Duration::from_secs(600);
const DAY_MS: i64 = 86_400_000;
/// Events of the store that are rendered at once.
const EVENTS_MAX: i64 = 1_000;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS logs (
    id              INTEGER PRIMARY KEY,
    time_ms         INTEGER NOT NULL,
    service         TEXT NOT NULL,
    level           TEXT NOT NULL,
    target          TEXT NOT NULL,
    message         TEXT NOT NULL,
    correlation_id  TEXT,
    symbol          TEXT,
    line            TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS logs_by_time ON logs (time_ms);
CREATE TABLE IF NOT EXISTS series (
    id              INTEGER PRIMARY KEY,
    name            TEXT NOT NULL,
    labels          TEXT NOT NULL,
    UNIQUE (name, labels)
) STRICT;
CREATE TABLE IF NOT EXISTS samples (
    series          INTEGER NOT NULL,
    time_ms         INTEGER NOT NULL,
    value           REAL NOT NULL,
    PRIMARY KEY (series, time_ms)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS samples_by_time ON samples (time_ms);
-- How far the store's events have been rendered.
CREATE TABLE IF NOT EXISTS cursor (
    name            TEXT PRIMARY KEY,
    row             INTEGER NOT NULL
) STRICT;
";

/// Opens the database, creating it. What is in it may be lost with the power of the last second.
fn open(data: &DataDir, mode: &str) -> Result<Connection, StoreError> {
    let connection = store::connect(&data.telemetry(mode))?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.execute_batch(TABLES)?;
    Ok(connection)
}

/// Starts the thread that writes until `stop`, and then what is left. Without the database, which is tried again, it writes
/// files alone; then why is returned, too.
pub(crate) fn start(
    data: &DataDir,
    config: &Config,
    lines: Receiver<Line>,
    stop: Arc<AtomicBool>,
) -> (JoinHandle<()>, Option<String>) {
    let (database, missing) = match open(data, config.instance.mode.label()) {
        Ok(database) => (Some(database), None),
        Err(e) => (None, Some(format!("logs and metrics over time: {e}"))),
    };
    let mut writer = Writer {
        database,
        file: TurningFile::new(data.root().join("logs").join("control.jsonl")),
        hot: Origin::new("tickpath-hot", config),
        waiting: Vec::new(),
        sampler: series::Sampler::default(),
        current: CurrentStatus::new(data.clone()),
        data: data.clone(),
        config: config.clone(),
    };
    (std::thread::spawn(move || writer.run(&lines, &stop)), missing)
}

struct Writer {
    database: Option<Connection>,
    file: TurningFile,
    hot: Origin,
    /// Lines that stand in the file and not yet in the database.
    waiting: Vec<(&'static str, Line)>,
    sampler: series::Sampler,
    current: CurrentStatus,
    data: DataDir,
    config: Config,
}

impl Writer {
    fn run(&mut self, lines: &Receiver<Line>, stop: &AtomicBool) {
        let start = Instant::now();
        let (mut store_at, mut sample_at, mut clean_at) = (start + STORE_EVERY, start, start);
        loop {
            let is_last = stop.load(Ordering::Relaxed);
            match lines.recv_timeout(Duration::from_millis(if is_last { 0 } else { 100 })) {
                Ok(line) => self.write("tickpath-control", line),
                Err(RecvTimeoutError::Timeout) if is_last => break,
                // Somebody else's logger: nobody hands lines to this one.
                Err(RecvTimeoutError::Disconnected) if is_last => break,
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(Duration::from_millis(100)),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = Instant::now();
            if now >= store_at {
                store_at = now + STORE_EVERY;
                self.store();
            }
            if now >= sample_at {
                sample_at = now + SAMPLE_EVERY;
                self.sample();
            }
            if now >= clean_at {
                clean_at = now + CLEAN_EVERY;
                self.clean();
            }
        }
        self.store();
    }

    fn write(&mut self, service: &'static str, line: Line) {
        self.append(&line);
        self.waiting.push((service, line));
    }

    fn append(&mut self, line: &Line) {
        if self.file.append(&line.json.to_string()).is_err() {
            lose(1);
        }
    }

    /// Lines and rendered events into the database, in one transaction with how far they go. Events come into the file
    /// afterwards: a transaction that fails brings them again.
    fn store(&mut self) {
        let mut lines = std::mem::take(&mut self.waiting);
        let Some(database) = &mut self.database else { return lose(lines.len() as u64) };
        let ours = lines.len();
        // A store that is not there yet has no events.
        let store = self.data.store(self.config.instance.mode.label());
        let oldest_ms = now_ms() - i64::from(self.config.control.log_days) * DAY_MS;
        let (events, row) = events(database, &store, &self.hot, oldest_ms).unwrap_or_default();
        lines.extend(events.into_iter().map(|line| ("tickpath-hot", line)));
        if lines.is_empty() {
            return;
        }
        if insert(database, &lines, row).is_err() {
            return lose(ours as u64);
        }
        for (_, line) in &lines[ours..] {
            self.append(line);
        }
    }

    fn sample(&mut self) {
        let Some(status) = self.current.get().filter(|status| !status.is_stopped()) else { return };
        let Some(database) = &mut self.database else { return };
        let samples = self.sampler.take(&status);
        if let Err(error) = series::store(database, &samples, now_ms()) {
            tracing::debug!(%error, "metrics were not kept");
        }
    }

    /// Forgets what is too old; a database that could not be opened is tried again.
    fn clean(&mut self) {
        if self.database.is_none() {
            self.database = open(&self.data, self.config.instance.mode.label()).ok();
        }
        let Some(database) = &self.database else { return };
        for (table, days) in
            [("logs", self.config.control.log_days), ("samples", self.config.control.metric_days)]
        {
            let oldest = now_ms() - i64::from(days) * DAY_MS;
            if let Err(error) = database.execute(&format!("DELETE FROM {table} WHERE time_ms < ?1"), [oldest])
            {
                tracing::debug!(%error, table, "old rows were not forgotten");
            }
        }
    }
}

fn now_ms() -> i64 {
    (unix_ns_now() / 1_000_000) as i64
}

fn insert(
    database: &mut Connection,
    lines: &[(&'static str, Line)],
    row: Option<i64>,
) -> Result<(), StoreError> {
    let transaction = database.transaction()?;
    let sql = "INSERT INTO logs (time_ms, service, level, target, message, correlation_id, symbol, line)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    for (service, line) in lines {
        transaction.prepare_cached(sql)?.execute(params![
            line.time_ms,
            service,
            line.level,
            line.target,
            line.message,
            line.correlation_id,
            line.symbol,
            line.json.to_string(),
        ])?;
    }
    if let Some(row) = row {
        let sql = "INSERT INTO cursor VALUES ('events', ?1) ON CONFLICT DO UPDATE SET row = ?1";
        transaction.execute(sql, [row])?;
    }
    Ok(transaction.commit()?)
}

/// Events of the hot process that the store has and the log has not, as lines, and how far they go. A log that begins, or a
/// store that was made anew, begins with the events that a log would still have.
fn events(
    database: &Connection,
    store: &Path,
    hot: &Origin,
    oldest_ms: i64,
) -> Result<(Vec<Line>, Option<i64>), StoreError> {
    let sql = "SELECT row FROM cursor WHERE name = 'events'";
    let known: Option<i64> = database.query_row(sql, [], |row| row.get(0)).optional()?;
    let store = store::open_to_read(store)?;
    let one = |sql: &str, value: i64| -> Result<i64, StoreError> {
        Ok(store.query_row(sql, [value], |row| row.get(0))?)
    };
    let last = one("SELECT coalesce(max(rowid), ?1) FROM events", 0)?;
    let from = match known.filter(|row| *row <= last) {
        Some(row) => row,
        None => one("SELECT coalesce(max(rowid), 0) FROM events WHERE time_ns < ?1", oldest_ms * 1_000_000)?,
    };
    let mut statement = store.prepare(
        "SELECT rowid, session, lane, sequence, time_ns, code, severity, text FROM events
         WHERE rowid > ?1 ORDER BY rowid LIMIT ?2",
    )?;
    let mut rows = statement.query(params![from, EVENTS_MAX])?;
    let (mut lines, mut row_last) = (Vec::new(), known.is_none_or(|row| row > last).then_some(from));
    while let Some(row) = rows.next()? {
        let [session, lane, sequence, time_ns]: [i64; 4] =
            [row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?];
        let (code, severity, text): (String, String, String) = (row.get(5)?, row.get(6)?, row.get(7)?);
        let fields = Map::from_iter([
            ("message".to_owned(), text.into()),
            ("request".to_owned(), format!("{session}-{lane}-{sequence}").into()),
            ("session".to_owned(), json!(session)),
        ]);
        let level = match severity.as_str() {
            "error" => "error",
            "warning" => "warn",
            _ => "info",
        };
        lines.push(hot.line(time_ns / 1_000_000, level, &format!("tickpath_hot::{code}"), fields));
        row_last = Some(row.get(0)?);
    }
    Ok((lines, row_last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    #[test]
    fn lines_are_kept_in_file_and_database_and_old_ones_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let config = Config::default();
        let (sender, lines) = sync_channel(8);
        let origin = Origin::new("tickpath-control", &config);
        let now_ms = now_ms();
        for (age_days, text) in [(4, "old"), (2, "young")] {
            let fields = Map::from_iter([("message".to_owned(), json!(text))]);
            sender.send(origin.line(now_ms - age_days * DAY_MS, "info", "tickpath", fields)).unwrap();
        }
        let stop = Arc::new(AtomicBool::new(true));
        start(&data, &config, lines, stop).0.join().unwrap();
        let text = std::fs::read_to_string(dir.path().join("logs/control.jsonl")).unwrap();
        assert_eq!(text.lines().count(), 2);
        let count = |database: &Connection| -> i64 {
            database.query_row("SELECT count(*) FROM logs", [], |row| row.get(0)).unwrap()
        };
        let database = open(&data, "simulation").unwrap();
        assert_eq!(count(&database), 2);
        // The next process forgets at its first turn.
        let (sender, lines) = sync_channel(8);
        drop(sender);
        let stop = Arc::new(AtomicBool::new(false));
        let (thread, missing) = start(&data, &config, lines, Arc::clone(&stop));
        assert_eq!(missing, None);
        std::thread::sleep(Duration::from_millis(400));
        stop.store(true, Ordering::Relaxed);
        thread.join().unwrap();
        assert_eq!(count(&database), 1);
    }
}
