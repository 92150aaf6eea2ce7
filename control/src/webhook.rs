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
/// Shortest secret: 32 characters.
const SECRET_BYTES_MIN: usize = 32;
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
    /// Too short to be one.
    #[error("control.webhook_secret_file: {0} holds {1} characters, at least {SECRET_BYTES_MIN} are needed")]
    Short(String, usize),
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
        let webhooks = Self::new(data, config, mode, queue)?;
        let data = data.clone();
        // It ends with the process: what it waits for is an answer of at most some seconds.
        std::thread::spawn(move || hand_on(&data, &audit, &waiting));
        Ok(webhooks)
    }

    fn new(
        data: &DataDir,
        config: &config::Control,
        mode: &str,
        queue: SyncSender<Alert>,
    ) -> Result<Self, WebhookError> {
        let file = &config.webhook_secret_file;
        let secret =
            if file.as_os_str().is_empty() { None } else { Some(read_secret(&data.root().join(file))?) };
        let names = store::connect(&data.root().join(format!("{mode}-alerts.db")))?;
        names.execute_batch(TABLE).map_err(StoreError::from)?;
        // The configuration has been checked.
        let sources = config.webhook_sources.iter().filter_map(|text| text.parse().ok()).collect();
        let age_ms_max = config.webhook_age_s_max as i64 * 1000;
        Ok(Self { secret, sources, age_ms_max, names: Mutex::new(names), queue })
    }

    /// Takes an alert that carries `secret`, once, and hands it on.
    pub(crate) fn take(&self, secret: &str, alert: Alert, now_ms: i64) -> Result<(), Refusal> {
        let Some(ours) = &self.secret else { return Err(Refusal::Off) };
        if !self.sources.is_empty() && !self.sources.contains(&alert.peer) {
            return Err(Refusal::Source);
        }
        let (ours, theirs) = (Sha256::digest(ours.as_bytes()), Sha256::digest(secret.as_bytes()));
        if !bool::from(ours.as_slice().ct_eq(theirs.as_slice())) {
            return Err(Refusal::Secret);
        }
        if now_ms - alert.time_ms > self.age_ms_max || alert.time_ms - now_ms > AHEAD_MS_MAX {
            return Err(Refusal::Age);
        }
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let name = hex(&Sha256::digest(alert.detail.as_bytes()));
        remember(&names, &name, alert.time_ms, now_ms)?;
        self.queue.try_send(alert).map_err(|e| {
            // It may be sent again: nothing was done.
            let _ = names.execute("DELETE FROM alerts WHERE name = ?1", params![name]);
            match e {
                TrySendError::Full(_) => Refusal::Full,
                TrySendError::Disconnected(_) => Refusal::Store,
            }
        })
    }
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

fn read_secret(path: &Path) -> Result<String, WebhookError> {
    let shown = path.display().to_string();
    let secret = |source| WebhookError::Secret { path: shown.clone(), source };
    let text = read_private(path).map_err(secret)?.trim().to_owned();
    if text.len() < SECRET_BYTES_MIN {
        return Err(WebhookError::Short(shown, text.len()));
    }
    Ok(text)
}

/// Hands alerts on, one after the other, until nobody sends any more.
fn hand_on(data: &DataDir, audit: &Mutex<AuditLog>, waiting: &Receiver<Alert>) {
    let who = Principal { name: "webhook".to_owned(), role: Role::Trader };
    while let Ok(alert) = waiting.recv() {
        let write_down = |outcome: &str| {
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
            log.append(&act, unix_ns_now() as i64)
        };
        if let Err(e) = write_down("asked") {
            tracing::error!(request = alert.request, error = %e, "an alert is dropped: it cannot be written down");
            continue;
        }
        let outcome = match set_signal(data, alert.signal) {
            Ok(()) => "done".to_owned(),
            Err(e) => chain(&e),
        };
        tracing::info!(request = alert.request, outcome, "alert handed on");
        if let Err(e) = write_down(&outcome) {
            tracing::error!(request = alert.request, error = %e, "what became of an alert cannot be written down");
        }
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
        let webhooks = Webhooks::new(&data, &config, "simulation", queue).unwrap();
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
        assert_eq!(webhooks.take(SECRET, alert(NOW_MS, "a"), NOW_MS), Ok(()));
        assert_eq!(webhooks.take(SECRET, alert(NOW_MS, "a"), NOW_MS), Err(Refusal::Replayed));
        assert_eq!(
            webhooks.take(SECRET, alert(NOW_MS, "b"), NOW_MS),
            Ok(()),
            "another one of the same moment"
        );
        assert_eq!(waiting.try_iter().count(), 2);
        drop(webhooks);
        let House { webhooks, waiting, .. } = open(dir);
        assert_eq!(webhooks.take(SECRET, alert(NOW_MS, "a"), NOW_MS + 1), Err(Refusal::Replayed));
        assert_eq!(webhooks.take(SECRET, alert(NOW_MS - 1, "c"), NOW_MS), Err(Refusal::Reordered));
        assert_eq!(waiting.try_iter().count(), 0);
    }

    #[test]
    fn old_early_and_foreign_ones_are_not_taken() {
        let House { webhooks, waiting, dir } = house();
        assert_eq!(webhooks.take(SECRET, alert(NOW_MS - 60_001, "a"), NOW_MS), Err(Refusal::Age));
        assert_eq!(webhooks.take(SECRET, alert(NOW_MS + 5_001, "a"), NOW_MS), Err(Refusal::Age));
        assert_eq!(webhooks.take(&SECRET[1..], alert(NOW_MS, "a"), NOW_MS), Err(Refusal::Secret));
        let elsewhere = Alert { peer: IpAddr::from([127, 0, 0, 1]), ..alert(NOW_MS, "a") };
        assert_eq!(webhooks.take(SECRET, elsewhere, NOW_MS), Err(Refusal::Source));
        assert_eq!(waiting.try_iter().count(), 0);
        assert_eq!(webhooks.take(SECRET, alert(NOW_MS - 60_000, "a"), NOW_MS), Ok(()), "none was remembered");
        let off = Webhooks::new(
            &DataDir::open(dir.path()).unwrap(),
            &config::Control::default(),
            "x",
            sync_channel(1).0,
        );
        assert_eq!(off.unwrap().take("", alert(NOW_MS, "a"), NOW_MS), Err(Refusal::Off));
    }

    #[test]
    fn one_that_does_not_fit_may_be_sent_again() {
        let House { webhooks, waiting, .. } = house();
        for i in 0..QUEUE {
            assert_eq!(webhooks.take(SECRET, alert(NOW_MS, &i.to_string()), NOW_MS), Ok(()));
        }
        assert_eq!(webhooks.take(SECRET, alert(NOW_MS, "more"), NOW_MS), Err(Refusal::Full));
        assert_eq!(waiting.try_iter().count(), QUEUE);
        assert_eq!(webhooks.take(SECRET, alert(NOW_MS, "more"), NOW_MS), Ok(()));
    }

    #[test]
    fn a_secret_that_is_none_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        assert!(matches!(read_secret(&path), Err(WebhookError::Secret { .. })));
        fs::write(&path, "short").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(read_secret(&path), Err(WebhookError::Short(_, 5))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read_secret(&path).unwrap_err().to_string().contains("mode 640"));
    }
}
