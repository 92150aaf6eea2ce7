//! Copies of the databases while they are written, and the proof that a store is what its archive folds to.

use super::{StoreError, connect, fold_sessions, open, schema};
use rusqlite::{Connection, OpenFlags, backup::Backup};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use tickpath_shared::paths::{DataDir, create_private_dir, remove_synced, sync_dir};

/// Times that two stores are brought to the archive's end until that is one and the same.
const ROUNDS: usize = 20;

/// Names of the databases of a trading mode that a backup holds: the store, the audit log, the alerts taken.
pub fn names(mode: &str) -> [String; 3] {
    [format!("{mode}.db"), format!("{mode}-audit.db"), format!("{mode}-alerts.db")]
}

/// Copies the databases of a mode into a folder while they are in use; returns those that there are.
///
/// # Errors
///
/// [`StoreError`]; a copy of that name that is there already is one.
pub fn backup(data: &DataDir, mode: &str, to: &Path) -> Result<Vec<PathBuf>, StoreError> {
    create_private_dir(to)?;
    let mut made = Vec::new();
    for name in names(mode) {
        let (from, path) = (data.root().join(&name), to.join(&name));
        if !from.exists() {
            continue;
        }
        if path.exists() {
            let text = format!("{} is there already", path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text).into());
        }
        let source = Connection::open_with_flags(&from, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let mut copy = Connection::open(&path)?;
        // In one step: it reads one state, and writers go on beside it. In several, every commit would start it anew.
        Backup::new(&source, &mut copy)?.step(-1)?;
        // One file, whole by itself.
        copy.pragma_update(None, "journal_mode", "DELETE")?;
        drop(copy);
        fs::File::open(&path)?.sync_all()?;
        made.push(path);
    }
    sync_dir(to)?;
    Ok(made)
}

/// Puts the store of a backup into its place, and what else is missing there: an audit log and the names of alerts that
/// are there know more than their copies, and stay. The control process must not run. What is replaced is kept beside it,
/// its name ending in `.before`.
///
/// # Errors
///
/// [`StoreError`]; nothing is replaced unless every copy is whole.
pub fn restore(data: &DataDir, mode: &str, from: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut ready = Vec::new();
    for (at, name) in names(mode).iter().enumerate() {
        let (copy, place) = (from.join(name), data.root().join(name));
        if !copy.exists() || (at > 0 && place.exists()) {
            continue;
        }
        let next = place.with_extension("next");
        fs::copy(&copy, &next)?;
        fs::File::open(&next)?.sync_all()?;
        check(&next)?;
        ready.push((next, place));
    }
    for (next, place) in &ready {
        replace(next, place)?;
    }
    Ok(ready.into_iter().map(|(_, place)| place).collect())
}

/// Puts a database that nobody has open into the place of another one.
///
/// # Errors
///
/// Those of the file system.
pub fn replace(next: &Path, place: &Path) -> io::Result<()> {
    if place.exists() {
        // Whoever opens it last takes its log in: were the power lost now, the old one would still be whole.
        let _ = connect(place);
    }
    for suffix in ["-wal", "-shm"] {
        remove_synced(&PathBuf::from(format!("{}{suffix}", place.display())))?;
    }
    if place.exists() {
        fs::rename(place, PathBuf::from(format!("{}.before", place.display())))?;
    }
    fs::rename(next, place)?;
    sync_dir(place.parent().unwrap_or(Path::new(".")))
}

/// SQLite's own check of a database.
fn check(path: &Path) -> Result<(), StoreError> {
    let connection = connect(path)?;
    let verdict: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    connection.pragma_update(None, "journal_mode", "DELETE")?;
    if verdict == "ok" { Ok(()) } else { Err(StoreError::Damaged { path: path.to_owned(), verdict }) }
}

/// Folds the whole archive into a new store at `path`; returns the records read.
///
/// # Errors
///
/// [`StoreError`].
pub fn rebuild(data: &DataDir, path: &Path) -> Result<u64, StoreError> {
    fold_sessions(&mut open(path)?, data)
}

/// What bringing a store to this build's schema does.
#[derive(Debug, PartialEq, Eq)]
pub struct Migration {
    /// Version found and version of this build.
    pub versions: [i64; 2],
    /// Tables that are new.
    pub new: Vec<String>,
    /// Tables that are kept, with their rows.
    pub kept: Vec<(String, u64)>,
}

/// Brings a copy of a store, made in the folder `work`, to this build's schema: what it did, once SQLite has found the
/// copy whole and every row of before is there. The store itself may be in use.
///
/// # Errors
///
/// [`StoreError`].
pub fn rehearse_migration(store: &Path, work: &Path) -> Result<Migration, StoreError> {
    let copy = work.join("migrated.db");
    let source = Connection::open_with_flags(store, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let before = schema::version_of(&source)?;
    let rows = |connection: &Connection, table: &str| -> Result<Option<u64>, StoreError> {
        let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1";
        let tables: i64 = connection.query_row(sql, [table], |row| row.get(0))?;
        let count = format!("SELECT count(*) FROM {table}");
        let counted = || connection.query_row(&count, [], |row| row.get::<_, i64>(0));
        Ok((tables == 1).then(counted).transpose()?.map(|rows| rows as u64))
    };
    Backup::new(&source, &mut Connection::open(&copy)?)?.step(-1)?;
    let unchanged = Connection::open(&copy)?;
    let counted: Result<Vec<_>, _> = schema::TABLE_NAMES.map(|t| rows(&unchanged, t)).into_iter().collect();
    drop(unchanged);
    let migrated = open(&copy)?;
    let (mut new, mut kept) = (Vec::new(), Vec::new());
    for (table, before) in schema::TABLE_NAMES.into_iter().zip(counted?) {
        let after = rows(&migrated, table)?;
        match before {
            None => new.push(table.to_owned()),
            Some(count) if after == before => kept.push((table.to_owned(), count)),
            Some(count) => {
                let verdict = format!("{table} had {count} rows and has {after:?}");
                return Err(StoreError::Damaged { path: copy, verdict });
            }
        }
    }
    drop(migrated);
    check(&copy)?;
    Ok(Migration { versions: [before, schema::VERSION], new, kept })
}

/// Whether a store, once it has caught up with the archive, is what the archive folds to from its beginning: what is
/// different, a line a table. `work` is a folder for the two copies that are compared.
///
/// # Errors
///
/// [`StoreError`].
pub fn verify(data: &DataDir, store: &Path, work: &Path) -> Result<Vec<String>, StoreError> {
    let (copy, anew) = (work.join("copy.db"), work.join("anew.db"));
    fs::copy(store, &copy)?;
    check(&copy)?;
    let mut found = Vec::new();
    for _ in 0..ROUNDS {
        // The archive may grow meanwhile.
        fold_sessions(&mut open(&copy)?, data)?;
        rebuild(data, &anew)?;
        found = differences(&copy, &anew)?;
        if found.is_empty() {
            break;
        }
    }
    Ok(found)
}

/// What two stores do not have in common, a line a table.
///
/// # Errors
///
/// [`StoreError`].
pub fn differences(one: &Path, other: &Path) -> Result<Vec<String>, StoreError> {
    let connection = open(one)?;
    connection.execute("ATTACH ?1 AS other", [other.display().to_string()])?;
    let mut found = Vec::new();
    for table in schema::TABLE_NAMES {
        let count = |left: &str, right: &str| -> Result<i64, StoreError> {
            let rows = format!("SELECT * FROM {left}.{table} EXCEPT SELECT * FROM {right}.{table}");
            Ok(connection.query_row(&format!("SELECT count(*) FROM ({rows})"), [], |row| row.get(0))?)
        };
        let (here, there) = (count("main", "other")?, count("other", "main")?);
        if here + there > 0 {
            found.push(format!(
                "{table}: {here} rows of {} and {there} of {} alone",
                one.display(),
                other.display()
            ));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(path: &Path, orders: i64) -> Connection {
        let connection = open(path).unwrap();
        for order in 0..orders {
            let row = "INSERT INTO events VALUES (1, 0, ?1, 0, 'connected', 'info', 'text')";
            connection.execute(row, [order]).unwrap();
        }
        connection
    }

    #[test]
    fn a_backup_of_a_database_in_use_is_whole_and_can_be_put_back() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let in_use = store(&data.store("simulation"), 1_000);
        let to = dir.path().join("backup");
        assert_eq!(backup(&data, "simulation", &to).unwrap(), [to.join("simulation.db")]);
        assert!(backup(&data, "simulation", &to).unwrap_err().to_string().contains("there already"));
        in_use.execute("DELETE FROM events", []).unwrap();
        drop(in_use);
        let audit = data.audit("simulation");
        fs::write(&audit, "newer than the copy").unwrap();
        fs::write(to.join("simulation-audit.db"), "older").unwrap();
        assert_eq!(restore(&data, "simulation", &to).unwrap(), [data.store("simulation")]);
        assert_eq!(fs::read_to_string(&audit).unwrap(), "newer than the copy");
        let kept = dir.path().join("simulation.db.before");
        assert_eq!(
            differences(&data.store("simulation"), &kept).unwrap().len(),
            1,
            "what was replaced is kept"
        );
        let rows: i64 = open(&data.store("simulation"))
            .unwrap()
            .query_row("SELECT count(*) FROM events", [], |r| r.get(0))
            .unwrap();
        assert_eq!(rows, 1_000);
    }

    /// A backup of a large store that is written all the time comes to its end.
    #[test]
    fn writers_do_not_hold_a_backup_up() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let store = store(&data.store("simulation"), 0);
        let filler = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
                      INSERT INTO events SELECT 1, 0, i, 0, 'connected', 'info', hex(zeroblob(200)) FROM n";
        store.execute(filler, []).unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let stop = &stop;
            let writer = scope.spawn(move || {
                let mut written = 0;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    store.execute("UPDATE events SET time_ns = time_ns + 1 WHERE sequence = 1", []).unwrap();
                    written += 1;
                }
                written
            });
            backup(&data, "simulation", &dir.path().join("to")).unwrap();
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(writer.join().unwrap() > 0);
        });
        check(&dir.path().join("to/simulation.db")).unwrap();
    }

    #[test]
    fn a_migration_is_rehearsed_on_a_copy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        let old = store(&path, 3);
        old.execute_batch("DROP TABLE balances; DROP TABLE parameters; DROP TABLE signals;").unwrap();
        for (table, column) in [("orders", "strategy"), ("orders", "order_type"), ("trades", "strategy")] {
            old.execute_batch(&format!("ALTER TABLE {table} DROP COLUMN {column}")).unwrap();
        }
        old.pragma_update(None, "user_version", 2).unwrap();
        let rehearsed = rehearse_migration(&path, dir.path()).unwrap();
        assert_eq!(rehearsed.versions, [2, schema::VERSION]);
        assert_eq!(rehearsed.new, ["balances", "parameters", "signals"]);
        assert!(rehearsed.kept.contains(&("events".to_owned(), 3)));
        assert_eq!(schema::version_of(&old).unwrap(), 2, "the store itself is as it was");
    }

    #[test]
    fn a_damaged_copy_replaces_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        drop(store(&data.store("simulation"), 2_000));
        let to = dir.path().join("backup");
        let copy = backup(&data, "simulation", &to).unwrap().remove(0);
        let mut bytes = fs::read(&copy).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 4096].fill(0xff);
        fs::write(&copy, bytes).unwrap();
        assert!(restore(&data, "simulation", &to).is_err());
        check(&data.store("simulation")).unwrap();
    }

    #[test]
    fn every_difference_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("one.db"), dir.path().join("other.db"));
        drop(store(&one, 5));
        let changed = store(&other, 5);
        assert!(differences(&one, &other).unwrap().is_empty());
        changed.execute("UPDATE events SET text = 'else' WHERE sequence = 3", []).unwrap();
        changed.execute("INSERT INTO cursor VALUES (1, 0, 9)", []).unwrap();
        let found = differences(&one, &other).unwrap();
        assert!(found.len() == 2 && found[0].starts_with("events: 1 rows"), "{found:?}");
    }
}
