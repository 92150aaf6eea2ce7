//! The store: SQLite, folded from the archive. Rows and cursor change in one transaction, so that a crash
//! anywhere loses nothing and stores nothing twice.

pub mod copy;
mod fold;
mod gauges;
mod reasons;
mod schema;

pub use fold::fold_sessions;

use crate::sink::SinkThread;
use rusqlite::{Connection, OpenFlags};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};
use thiserror::Error;
use tickpath_shared::{journal::ArchiveError, paths::DataDir};

/// First SQLite release without the write-ahead-log reset bug.
const SQLITE_MIN: i32 = 3_051_003;

/// Why the store cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// SQLite refused.
    #[error("store: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The archive cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The archive folder cannot be listed.
    #[error("file system: {0}")]
    Io(#[from] std::io::Error),
    /// SQLite finds it damaged.
    #[error("{}: {verdict}", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        verdict: String,
    },
    /// A library with a known bug.
    #[error("SQLite {found} is older than {SQLITE_MIN}, which fixed a corruption of the write-ahead log")]
    Version {
        /// Version number of the library.
        found: i32,
    },
    /// A database of a later build.
    #[error("store has schema {found}, this build reads up to {}", schema::VERSION)]
    Schema {
        /// Its version.
        found: i64,
    },
}

/// Opens a store, creating or migrating it.
///
/// # Errors
///
/// [`StoreError`].
pub fn open(path: &Path) -> Result<Connection, StoreError> {
    let connection = connect(path)?;
    schema::migrate(&connection)?;
    Ok(connection)
}

/// A database that survives the loss of power at any moment.
pub(crate) fn connect(path: &Path) -> Result<Connection, StoreError> {
    let found = rusqlite::version_number();
    if found < SQLITE_MIN {
        return Err(StoreError::Version { found });
    }
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    Ok(connection)
}

/// A store for reading while another thread writes it.
///
/// # Errors
///
/// [`StoreError`]; one that does not exist yet is one.
pub fn open_to_read(path: &Path) -> Result<Connection, StoreError> {
    Ok(Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?)
}

/// Opens the store of a mode and feeds it until `stop`.
///
/// # Errors
///
/// [`StoreError`] when it cannot be opened.
pub fn start(data: DataDir, mode: &str, stop: Arc<AtomicBool>) -> Result<SinkThread, StoreError> {
    let sink = fold::StoreSink::new(open(&data.store(mode))?);
    Ok(SinkThread::start("the store", sink, data, stop))
}

/// Rows of every table of a store.
///
/// # Errors
///
/// [`StoreError`].
pub fn row_counts(path: &Path) -> Result<Vec<(String, u64)>, StoreError> {
    let connection = open(path)?;
    let count = |table: &&str| {
        let rows: i64 =
            connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
        Ok(((*table).to_owned(), rows as u64))
    };
    schema::TABLE_NAMES.iter().filter(|name| **name != "cursor").map(count).collect()
}
