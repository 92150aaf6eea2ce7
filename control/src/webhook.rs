//! Alerts from outside, as TradingView sends them: judged here, then one command to the strategy that follows signals,
//! through the same limits as everything else.
//!
//! An alert carries no header and no signature of its own, only a body: so the secret is in it, it is young, and the same
//! body is taken once, also after a restart.

use crate::{
    audit::{Act, AuditLog},
    auth::{Principal, Role, hex},
    store::{self, StoreError},
};
use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};
use std::{
    io,
    net::IpAddr,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
};
use subtle::ConstantTimeEq;
use thiserror::Error;
use tickpath_shared::{
    causes::chain,
    clock::unix_ns_now,
    command::{Detail, Order, Scope, Verb},
    config,
    operator::{Operator, OperatorError},
    paths::{DataDir, read_private},
    types::{Parameter, StrategyName},
};

/// Alerts that wait to be handed on.
const QUEUE: usize = 64;
/// Shortest and longest secret, characters.
const SECRET_BYTES_MIN: usize = 32;
const SECRET_BYTES_MAX: usize = 256;
/// How far the clock of whoever sends may be ahead, milliseconds.
const AHEAD_MS_MAX: i64 = 5_000;
/// How long the name of an alert is kept, milliseconds: far longer than its age may be.
const KEEP_MS: i64 = 86_400_000;

const TABLE: &str = "
CREATE TABLE IF NOT EXISTS alerts (
    name            TEXT PRIMARY KEY,
    time_ms         INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS alerts_by_time ON alerts (time_ms);
";

/// Why alerts cannot be taken at all.
#[derive(Debug, Error)]
pub enum WebhookError {
    /// The secret cannot be read.
    #[error("control.webhook_secret_file: {path}: {source}")]
    Secret {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// Too short to be one, or longer than what is read.
    #[error(
        "control.webhook_secret_file: {0} holds {1} characters, {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} are needed"
    )]
    Length(String, usize),
    /// The names of alerts cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an alert is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Nobody has configured a secret.
    Off,
    /// Not from an address that may send alerts.
    Source,
    /// Not the secret.
    Secret,
    /// Older than an alert may be, or from the future.
    Age,
    /// Taken before.
    Replayed,
    /// An alert of a later time was taken.
    Reordered,
    /// More wait than are handed on.
    Full,
    /// Its name cannot be kept, so it is not known whether it is a new one.
    Store,
}

/// An alert as it was sent, without its secret.
#[derive(Clone, Debug)]
pub(crate) struct Alert {
    /// Number of the request.
    pub(crate) request: String,
    /// From where.
    pub(crate) peer: IpAddr,
    /// Unix milliseconds at which it was made.
    pub(crate) time_ms: i64,
    /// What to hold: 1 long, -1 short, 0 nothing.
    pub(crate) signal: f64,
    /// All of it, for the audit log and to know it again.
    pub(crate) detail: String,
}

/// Judges alerts and hands them on.
pub(crate) struct Webhooks {
    secret: Option<String>,
    sources: Vec<IpAddr>,
    age_ms_max: i64,
    names: Mutex<Connection>,
    audit: Arc<Mutex<AuditLog>>,
    queue: SyncSender<Alert>,
}

impl Webhooks {
    /// Webhooks as configured, with a thread of their own.
    ///
    /// # Errors
    ///
    /// [`WebhookError`].
    pub(crate) fn start(
        data: &DataDir,
        config: &config::Control,
        mode: &str,
        audit: Arc<Mutex<AuditLog>>,
    ) -> Result<Self, WebhookError> {
        let (queue, waiting) = sync_channel(QUEUE);
        let webhooks = Self::new(data, config, mode, Arc::clone(&audit), queue)?;
        let (data, age_ms_max) = (data.clone(), webhooks.age_ms_max);
        // It ends with the process; what waits then stands in the audit log as asked for, without an outcome.
        std::thread::spawn(move || hand_on(&data, &audit, &waiting, age_ms_max));
        Ok(webhooks)
    }

    fn new(
        data: &DataDir,
        config: &config::Control,
        mode: &str,
        audit: Arc<Mutex<AuditLog>>,
        queue: SyncSender<Alert>,
    ) -> Result<Self, WebhookError> {
        let secret = configured_secret(data, config)?;
        let names = store::connect(&data.root().join(format!("{mode}-alerts.db")))?;
        names.execute_batch(TABLE).map_err(StoreError::from)?;
        // The configuration has been checked.
        let sources = config.webhook_sources.iter().filter_map(|text| text.parse().ok()).collect();
        let age_ms_max = config.webhook_age_s_max as i64 * 1000;
        Ok(Self { secret, sources, age_ms_max, names: Mutex::new(names), audit, queue })
    }

    /// Whether somebody may send alerts at all.
    pub(crate) fn admit(&self, secret: &str, peer: IpAddr) -> Result<(), Refusal> {
        let Some(ours) = &self.secret else { return Err(Refusal::Off) };
        if !self.sources.is_empty() && !self.sources.contains(&peer) {
            return Err(Refusal::Source);
        }
        let (ours, theirs) = (Sha256::digest(ours.as_bytes()), Sha256::digest(secret.as_bytes()));
        if bool::from(ours.as_slice().ct_eq(theirs.as_slice())) { Ok(()) } else { Err(Refusal::Secret) }
    }

    /// Takes an alert of somebody who may send one, once, and hands it on.
    pub(crate) fn take(&self, alert: Alert, now_ms: i64) -> Result<(), Refusal> {
        if now_ms - alert.time_ms > self.age_ms_max || alert.time_ms - now_ms > AHEAD_MS_MAX {
            return Err(Refusal::Age);
        }
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let name = hex(&Sha256::digest(alert.detail.as_bytes()));
        remember(&names, &name, alert.time_ms, now_ms)?;
        let taken = write_down(&self.audit, &alert, "asked").map_err(|_| Refusal::Store);
        let taken = taken.and_then(|()| {
            self.queue.try_send(alert).map_err(|e| match e {
                TrySendError::Full(_) => Refusal::Full,
                TrySendError::Disconnected(_) => Refusal::Store,
            })
        });
        if taken.is_err() {
            // It may be sent again: nothing was done.
            let _ = names.execute("DELETE FROM alerts WHERE name = ?1", params![name]);
        }
        taken
    }
}

/// A row of the audit log about an alert.
fn write_down(audit: &Mutex<AuditLog>, alert: &Alert, outcome: &str) -> Result<(), StoreError> {
    let who = Principal { name: "webhook".to_owned(), role: Role::Trader };
    let act = Act {
        request: &alert.request,
        who: &who,
        peer: alert.peer,
        action: "POST /api/v1/webhook/tradingview",
        detail: &alert.detail,
        state: "",
        outcome,
    };
    let mut log = audit.lock().unwrap_or_else(PoisonError::into_inner);
    log.append(&act, unix_ns_now() as i64).inspect_err(|e| {
        tracing::error!(request = alert.request, outcome, error = %e, "an alert cannot be written down");
    })
}

/// Keeps the name of an alert, unless it is there or a later one is.
fn remember(names: &Connection, name: &str, time_ms: i64, now_ms: i64) -> Result<(), Refusal> {
    let told = |e: rusqlite::Error| {
        tracing::error!(error = %e, "names of alerts cannot be kept");
        Refusal::Store
    };
    names.execute("DELETE FROM alerts WHERE time_ms < ?1", params![now_ms - KEEP_MS]).map_err(told)?;
    let known = "SELECT count(*) FROM alerts WHERE name = ?1";
    let is_known: i64 = names.query_row(known, params![name], |row| row.get(0)).map_err(told)?;
    if is_known > 0 {
        return Err(Refusal::Replayed);
    }
    let newest = "SELECT coalesce(max(time_ms), 0) FROM alerts";
    let newest: i64 = names.query_row(newest, [], |row| row.get(0)).map_err(told)?;
    if newest > time_ms {
        return Err(Refusal::Reordered);
    }
    names.execute("INSERT INTO alerts VALUES (?1, ?2)", params![name, time_ms]).map_err(told)?;
    Ok(())
}

/// The secret of those who send alerts; `None` when none is configured.
pub(crate) fn configured_secret(
    data: &DataDir,
    config: &config::Control,
) -> Result<Option<String>, WebhookError> {
    let file = &config.webhook_secret_file;
    (!file.as_os_str().is_empty()).then(|| read_secret(&data.root().join(file))).transpose()
}

fn read_secret(path: &Path) -> Result<String, WebhookError> {
    let shown = path.display().to_string();
    let secret = |source| WebhookError::Secret { path: shown.clone(), source };
    let text = read_private(path).map_err(secret)?.trim().to_owned();
    if !(SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&text.len()) {
        return Err(WebhookError::Length(shown, text.len()));
    }
    Ok(text)
}

/// Hands on the newest alert that waits, if it is still young: a signal of long ago, or one that another has followed, is
/// nothing to trade on. Ends when nobody sends any more.
fn hand_on(data: &DataDir, audit: &Mutex<AuditLog>, waiting: &Receiver<Alert>, age_ms_max: i64) {
    while let Ok(mut newest) = waiting.recv() {
        for later in waiting.try_iter() {
            let _ = write_down(audit, &newest, "superseded");
            newest = later;
        }
        let is_old = (unix_ns_now() / 1_000_000) as i64 - newest.time_ms > age_ms_max;
        let outcome = match is_old {
            true => "expired".to_owned(),
            false => set_signal(data, newest.signal).map_or_else(|e| chain(&e), |()| "done".to_owned()),
        };
        tracing::info!(request = newest.request, outcome, "alert handed on");
        let _ = write_down(audit, &newest, &outcome);
    }
}

fn set_signal(data: &DataDir, signal: f64) -> Result<(), OperatorError> {
    let detail = Detail::Setting(Parameter::SignalFollowSignal as u16, signal);
    let scope = Scope::Strategy(StrategyName::SignalFollow as u16);
    Operator::open(data)?.send(data, Order { verb: Verb::Set, scope, detail })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    const NOW_MS: i64 = 1_800_000_000_000;

    struct House {
        dir: tempfile::TempDir,
        webhooks: Webhooks,
        waiting: Receiver<Alert>,
    }

    fn audit(dir: &tempfile::TempDir) -> Arc<Mutex<AuditLog>> {
        Arc::new(Mutex::new(AuditLog::open(&dir.path().join("audit.db")).unwrap()))
    }

    fn open(dir: tempfile::TempDir) -> House {
        let data = DataDir::open(dir.path()).unwrap();
        let file = data.root().join("webhook");
        fs::write(&file, format!("{SECRET}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let config = config::Control {
            webhook_secret_file: "webhook".into(),
            webhook_sources: vec!["52.89.214.238".into()],
            ..config::Control::default()
        };
        let (queue, waiting) = sync_channel(QUEUE);
        let webhooks = Webhooks::new(&data, &config, "simulation", audit(&dir), queue).unwrap();
        House { dir, webhooks, waiting }
    }

    fn house() -> House {
        open(tempfile::tempdir().unwrap())
    }

    fn alert(time_ms: i64, detail: &str) -> Alert {
        let peer = IpAddr::from([52, 89, 214, 238]);
        Alert { request: "1".into(), peer, time_ms, signal: 1.0, detail: detail.into() }
    }

    #[test]
    fn an_alert_is_taken_once_also_after_a_restart() {
        let House { dir, webhooks, waiting } = house();
        assert_eq!(webhooks.take(alert(NOW_MS, "a"), NOW_MS), Ok(()));
        assert_eq!(webhooks.take(alert(NOW_MS, "a"), NOW_MS), Err(Refusal::Replayed));
        assert_eq!(webhooks.take(alert(NOW_MS, "b"), NOW_MS), Ok(()), "another one of the same moment");
        assert_eq!(waiting.try_iter().count(), 2);
        drop(webhooks);
        let House { webhooks, waiting, .. } = open(dir);
        assert_eq!(webhooks.take(alert(NOW_MS, "a"), NOW_MS + 1), Err(Refusal::Replayed));
        assert_eq!(webhooks.take(alert(NOW_MS - 1, "c"), NOW_MS), Err(Refusal::Reordered));
        assert_eq!(waiting.try_iter().count(), 0);
    }

    #[test]
    fn old_early_and_foreign_ones_are_not_taken() {
        let House { webhooks, waiting, dir } = house();
        assert_eq!(webhooks.take(alert(NOW_MS - 60_001, "a"), NOW_MS), Err(Refusal::Age));
        assert_eq!(webhooks.take(alert(NOW_MS + 5_001, "a"), NOW_MS), Err(Refusal::Age));
        let peer = alert(NOW_MS, "a").peer;
        assert_eq!(webhooks.admit(SECRET, peer), Ok(()));
        assert_eq!(webhooks.admit(&SECRET[1..], peer), Err(Refusal::Secret));
        assert_eq!(webhooks.admit(SECRET, IpAddr::from([127, 0, 0, 1])), Err(Refusal::Source));
        assert_eq!(waiting.try_iter().count(), 0);
        assert_eq!(webhooks.take(alert(NOW_MS - 60_000, "a"), NOW_MS), Ok(()), "none was remembered");
        let off = Webhooks::new(
            &DataDir::open(dir.path()).unwrap(),
            &config::Control::default(),
            "x",
            audit(&dir),
            sync_channel(1).0,
        );
        assert_eq!(off.unwrap().admit("", peer), Err(Refusal::Off));
    }

    #[test]
    fn one_that_does_not_fit_may_be_sent_again() {
        let House { webhooks, waiting, .. } = house();
        for i in 0..QUEUE {
            assert_eq!(webhooks.take(alert(NOW_MS, &i.to_string()), NOW_MS), Ok(()));
        }
        assert_eq!(webhooks.take(alert(NOW_MS, "more"), NOW_MS), Err(Refusal::Full));
        assert_eq!(waiting.try_iter().count(), QUEUE);
        assert_eq!(webhooks.take(alert(NOW_MS, "more"), NOW_MS), Ok(()));
    }

    /// No hot process runs here: what is handed on fails, and says so; the others are not handed on.
    #[test]
    fn only_the_newest_that_waits_is_handed_on_and_only_while_it_is_young() {
        let House { webhooks, waiting, dir } = house();
        let now_ms = (unix_ns_now() / 1_000_000) as i64;
        let outcomes = |ages: &[i64]| -> Vec<String> {
            let (queue, waiting) = sync_channel(QUEUE);
            for (i, age) in ages.iter().enumerate() {
                queue.send(Alert { request: i.to_string(), ..alert(now_ms - age, "x") }).unwrap();
            }
            drop(queue);
            hand_on(&DataDir::open(dir.path()).unwrap(), &webhooks.audit, &waiting, 60_000);
            let log = webhooks.audit.lock().unwrap();
            log.rows(i64::MAX, ages.len() as i64).unwrap().into_iter().map(|row| row.outcome).rev().collect()
        };
        assert_eq!(outcomes(&[60_500]), ["expired"]);
        let told = outcomes(&[2_000, 1_000, 0]);
        assert_eq!(told[..2], ["superseded", "superseded"]);
        assert!(told[2].contains("no session"), "{told:?}");
        drop(waiting);
        assert_eq!(webhooks.take(alert(NOW_MS, "gone"), NOW_MS), Err(Refusal::Store), "nobody hands on");
    }

    #[test]
    fn a_secret_that_is_none_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        assert!(matches!(read_secret(&path), Err(WebhookError::Secret { .. })));
        fs::write(&path, "short").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(read_secret(&path), Err(WebhookError::Length(_, 5))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read_secret(&path).unwrap_err().to_string().contains("mode 640"));
    }
}
