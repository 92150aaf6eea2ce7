//! Who changed what, from where, and what became of it: rows that are chained by their hashes, in a database of their
//! own, because the store can be made anew from the archive and this cannot.

use crate::{auth::Principal, store::StoreError};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::{net::IpAddr, path::Path};

const TABLE: &str = "
CREATE TABLE IF NOT EXISTS audit (
    sequence        INTEGER PRIMARY KEY,
    time_ns         INTEGER NOT NULL,
    request         TEXT NOT NULL,
    who             TEXT NOT NULL,
    role            TEXT NOT NULL,
    peer            TEXT NOT NULL,
    action          TEXT NOT NULL,
    detail          TEXT NOT NULL,
    state           TEXT NOT NULL,
    outcome         TEXT NOT NULL,
    hash            TEXT NOT NULL
) STRICT;
";

/// What somebody wants to change, or what became of it.
#[derive(Clone, Debug)]
pub struct Act<'a> {
    /// Number of the request: the rows of a change share it.
    pub request: &'a str,
    /// Whose.
    pub who: &'a Principal,
    /// From where.
    pub peer: IpAddr,
    /// The route.
    pub action: &'a str,
    /// What was sent with it, JSON without secrets.
    pub detail: &'a str,
    /// Trading state at that moment.
    pub state: &'a str,
    /// `asked` before what lets risk in is carried out; what became of it.
    pub outcome: &'a str,
}

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditRow {
    /// From 1, dense.
    pub sequence: i64,
    /// Unix nanoseconds.
    pub time_ns: i64,
    /// Number of the request.
    pub request: String,
    /// Name of the token.
    pub who: String,
    /// Its role.
    pub role: String,
    /// Address.
    pub peer: String,
    /// The route.
    pub action: String,
    /// What was sent with it.
    pub detail: String,
    /// Trading state at that moment.
    pub state: String,
    /// What became of it.
    pub outcome: String,
    /// SHA-256 over the hash of the row before and this row, hexadecimal.
    pub hash: String,
}

impl AuditRow {
    /// Hash of the row after `before`. Every text is preceded by its length, so that no two rows read the same.
    fn hash_after(&self, before: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(self.sequence.to_le_bytes());
        hash.update(self.time_ns.to_le_bytes());
        let texts =
            [&self.request, &self.who, &self.role, &self.peer, &self.action, &self.detail, &self.state];
        for text in texts.into_iter().map(String::as_str).chain([self.outcome.as_str(), before]) {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        crate::auth::hex(&hash.finalize())
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            sequence: row.get("sequence")?,
            time_ns: row.get("time_ns")?,
            request: row.get("request")?,
            who: row.get("who")?,
            role: row.get("role")?,
            peer: row.get("peer")?,
            action: row.get("action")?,
            detail: row.get("detail")?,
            state: row.get("state")?,
            outcome: row.get("outcome")?,
            hash: row.get("hash")?,
        })
    }
}

/// The log of a data directory.
#[derive(Debug)]
pub struct AuditLog {
    connection: Connection,
}

impl AuditLog {
    /// Opens it, creating it where there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = crate::store::connect(path)?;
        connection.execute_batch(TABLE)?;
        Ok(Self { connection })
    }

    /// Opens one that exists, for reading.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { connection: crate::store::open_to_read(path)? })
    }

    /// When an action was carried out last, unix nanoseconds.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn last_done(&self, action: &str) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT max(time_ns) FROM audit WHERE action = ?1 AND outcome = 'done'";
        Ok(self.connection.query_row(sql, [action], |row| row.get(0))?)
    }

    /// Appends a row; it is on the disk when this returns.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; nothing was appended then.
    pub fn append(&mut self, act: &Act<'_>, time_ns: i64) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        let last: Option<(i64, String)> = transaction
            .query_row("SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        let (sequence, before) = last.unwrap_or_default();
        let mut row = AuditRow {
            sequence: sequence + 1,
            time_ns,
            request: act.request.to_owned(),
            who: act.who.name.clone(),
            role: act.who.role.label().to_owned(),
            peer: act.peer.to_string(),
            action: act.action.to_owned(),
            detail: act.detail.to_owned(),
            state: act.state.to_owned(),
            outcome: act.outcome.to_owned(),
            hash: String::new(),
        };
        row.hash = row.hash_after(&before);
        transaction.execute(
            "INSERT INTO audit VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)",
            params![
                row.sequence,
                row.time_ns,
                row.request,
                row.who,
                row.role,
                row.peer,
                row.action,
                row.detail,
                row.state,
                row.outcome,
                row.hash
            ],
        )?;
        transaction.commit()?;
        // The process log holds the end of the chain, too: rows that are cut off leave no gap.
        tracing::info!(
            audit = row.sequence,
            hash = row.hash,
            action = row.action,
            outcome = row.outcome,
            "audit"
        );
        Ok(())
    }

    /// Rows with a sequence below `before`, the newest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn rows(&self, before: i64, limit: i64) -> Result<Vec<AuditRow>, StoreError> {
        let sql = "SELECT * FROM audit WHERE sequence < ?1 ORDER BY sequence DESC LIMIT ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![before, limit], AuditRow::read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Number of rows, or the sequence of the first that is missing or was changed. Rows cut off at the end are seen by
    /// nobody but a reader of the process log.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn verify(&self) -> Result<Result<i64, i64>, StoreError> {
        let mut statement = self.connection.prepare("SELECT * FROM audit ORDER BY sequence")?;
        let mut before = String::new();
        let mut count = 0;
        for row in statement.query_map([], AuditRow::read)? {
            let row = row?;
            if row.sequence != count + 1 || row.hash != row.hash_after(&before) {
                return Ok(Err(count + 1));
            }
            (count, before) = (row.sequence, row.hash);
        }
        Ok(Ok(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Role;

    fn log(rows: i64) -> (tempfile::TempDir, AuditLog) {
        let dir = tempfile::tempdir().unwrap();
        let mut log = AuditLog::open(&dir.path().join("audit.db")).unwrap();
        let who = Principal { name: "anna".into(), role: Role::Trader };
        for i in 1..=rows {
            let act = Act {
                request: "7",
                who: &who,
                peer: IpAddr::from([127, 0, 0, 1]),
                action: "POST /api/v1/control/stop",
                detail: "{}",
                state: "armed",
                outcome: if i % 2 == 1 { "asked" } else { "done" },
            };
            log.append(&act, i * 1000).unwrap();
        }
        (dir, log)
    }

    #[test]
    fn rows_are_dense_and_paged_the_newest_first() {
        let (_dir, log) = log(5);
        let sequences = |before, limit| -> Vec<i64> {
            log.rows(before, limit).unwrap().into_iter().map(|row| row.sequence).collect()
        };
        assert_eq!((sequences(i64::MAX, 2), sequences(4, 10)), (vec![5, 4], vec![3, 2, 1]));
        assert_eq!(log.verify().unwrap(), Ok(5));
    }

    #[test]
    fn every_change_of_a_row_is_found() {
        let changes = [
            ("UPDATE audit SET who = 'bob' WHERE sequence = 3", Err(3)),
            ("UPDATE audit SET time_ns = 1 WHERE sequence = 2", Err(2)),
            ("UPDATE audit SET detail = '{', state = '}armed' WHERE sequence = 2", Err(2)),
            ("DELETE FROM audit WHERE sequence = 4", Err(4)),
            ("DELETE FROM audit WHERE sequence = 1", Err(1)),
            (
                "UPDATE audit SET hash = (SELECT hash FROM audit WHERE sequence = 1) WHERE sequence = 5",
                Err(5),
            ),
        ];
        for (change, expected) in changes {
            let (_dir, log) = log(5);
            log.connection.execute(change, []).unwrap();
            assert_eq!(log.verify().unwrap(), expected, "{change}");
        }
    }

    /// Whoever changes a row and its hash has to change every row behind it, too.
    #[test]
    fn a_row_that_was_made_anew_does_not_fit_the_one_behind_it() {
        let (_dir, log) = log(5);
        let rows = log.rows(5, 3).unwrap();
        let [_, third, second] = &rows[..] else { panic!("{rows:?}") };
        let forged = AuditRow { who: "bob".into(), ..third.clone() };
        let hash = forged.hash_after(&second.hash);
        log.connection.execute("UPDATE audit SET who = 'bob', hash = ?1 WHERE sequence = 3", [hash]).unwrap();
        assert_eq!(log.verify().unwrap(), Err(4));
    }

    #[test]
    fn the_chain_goes_on_after_a_restart() {
        let (dir, first) = log(3);
        drop(first);
        let mut log = AuditLog::open(&dir.path().join("audit.db")).unwrap();
        let who = Principal { name: "x".into(), role: Role::Admin };
        let act = Act {
            request: "8",
            who: &who,
            peer: IpAddr::from([10, 0, 0, 1]),
            action: "a",
            detail: "",
            state: "",
            outcome: "done",
        };
        log.append(&act, 9).unwrap();
        assert_eq!(log.verify().unwrap(), Ok(4));
    }
}
