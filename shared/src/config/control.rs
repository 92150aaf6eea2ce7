//! The processes around the hot one: its interface for people, and who watches both.

use crate::types::decimal;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The control process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Control {
    /// Address and port of the HTTP interface; one that other hosts reach needs `behind_proxy` and a token.
    pub bind: String,
    /// Whoever reaches the interface may read without a token; not behind a proxy.
    pub open_reads: bool,
    /// A proxy ends TLS in front of the interface and says in `X-Forwarded-For` whose requests it hands on.
    pub behind_proxy: bool,
    /// Addresses of proxies that are believed.
    pub proxies: Vec<String>,
    /// Ports after that of `bind` that are tried when it is taken, 0..=100.
    pub port_tries: u16,
    /// Addresses that requests may come from; any when empty.
    pub sources: Vec<String>,
    /// Pages of other hosts that may read and steer, as `https://host:port`.
    pub origins: Vec<String>,
    /// File (mode 0600) in the data directory with the secret of JSON Web Tokens signed with HS256, at least 32
    /// characters; none are taken without one.
    pub jwt_secret_file: PathBuf,
    /// File in the data directory with the public key (PEM) of JSON Web Tokens signed with Ed25519; none are taken
    /// without one.
    pub jwt_public_key_file: PathBuf,
    /// Who issues them.
    pub jwt_issuer: String,
    /// For whom they are issued.
    pub jwt_audience: String,
    /// Values of the `Host` header that are served besides the bound address, without a port.
    pub hosts: Vec<String>,
    /// File (mode 0600) in the data directory with the secret that alerts carry, at least 32 characters; none are taken
    /// without one.
    pub webhook_secret_file: PathBuf,
    /// Addresses that alerts may come from; any when empty.
    pub webhook_sources: Vec<String>,
    /// Oldest alert that is taken, seconds, 1..=3600.
    pub webhook_age_s_max: u64,
    /// Least important log lines that are written.
    pub log_level: LogLevel,
    /// Days that log lines can be asked for, 1..=365; their files turn over at 10 MiB, five of them.
    pub log_days: u32,
    /// Days that metrics can be asked for, 1..=365.
    pub metric_days: u32,
    /// File in the data directory to which orders, fills and balances are written as JSON lines; none when empty.
    pub export_file: PathBuf,
    /// Time that the parts of the process have to come to their end, seconds, 1..=25.
    pub stop_s: u64,
    /// Archived bytes waiting above which readiness fails, mebibytes.
    pub lag_mib_max: u64,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            bind: "127.0.0.1:8080".into(),
            open_reads: true,
            behind_proxy: false,
            proxies: vec!["127.0.0.1".into(), "::1".into()],
            port_tries: 4,
            sources: Vec::new(),
            origins: Vec::new(),
            jwt_secret_file: PathBuf::new(),
            jwt_public_key_file: PathBuf::new(),
            jwt_issuer: String::new(),
            jwt_audience: "tickpath".into(),
            hosts: vec!["localhost".into(), "127.0.0.1".into()],
            webhook_secret_file: PathBuf::new(),
            // TradingView's.
            webhook_sources: ["52.89.214.238", "34.212.75.30", "54.218.53.128", "52.32.178.7"]
                .map(str::to_owned)
                .into(),
            webhook_age_s_max: 60,
            log_level: LogLevel::Info,
            log_days: 3,
            metric_days: 7,
            export_file: PathBuf::new(),
            stop_s: 20,
            lag_mib_max: 32,
        }
    }
}

/// How important a log line is, the most important first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Works with reduced guarantees.
    Warn,
    /// For the record.
    #[default]
    Info,
    /// For whoever looks for a fault.
    Debug,
}

/// When people are told. Zero turns a bound off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Alert {
    /// Largest 99th percentile of tick to trade over a minute, milliseconds.
    pub latency_ms_max: u64,
    /// Largest share of orders refused by the venue or of unknown outcome over two minutes, percent, 0..=100.
    pub error_percent_max: u64,
    /// Largest fall of the session's result from its peak as a share of `capital`, percent, 0..=100.
    pub drawdown_percent_max: u64,
    /// What the drawdown is a share of, quote currency; 0 for the simulated balance, and live for no such alert.
    #[serde(with = "decimal::e8")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub capital: i64,
    /// Least free share of memory and of the file systems of data directory and lanes, percent, 0..=100.
    pub free_percent_min: u64,
    /// Seconds that a book may be invalid or a connection lost, 0..=3600.
    pub outage_s_max: u64,
}

impl Default for Alert {
    fn default() -> Self {
        Self {
            latency_ms_max: 100,
            error_percent_max: 5,
            drawdown_percent_max: 10,
            capital: 0,
            free_percent_min: 5,
            outage_s_max: 10,
        }
    }
}

/// Who is told: one address that takes HTTP POST. A receiver that is down costs nothing but its messages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Notify {
    /// File (mode 0600) in the data directory with the address, for it often holds a secret; nobody is told without one.
    pub url_file: PathBuf,
    /// Least severe alert that is told.
    pub severity: AlertSeverity,
    /// Body of the message: JSON in which `{{name}}`, `{{severity}}`, `{{state}}`, `{{text}}`, `{{since}}`,
    /// `{{instance}}`, `{{mode}}` and `{{runbook}}` stand for the alert's own, within quotes.
    pub template: String,
    /// Messages that may wait, 1..=10000; further ones are dropped and counted.
    pub queue_max: usize,
    /// Times that a message is tried, 1..=20, with growing pauses.
    pub attempts_max: u32,
    /// Milliseconds that a receiver has to answer, 100..=60000.
    pub timeout_ms: u64,
}

impl Default for Notify {
    fn default() -> Self {
        let template = concat!(
            r#"{"alert":"{{name}}","severity":"{{severity}}","state":"{{state}}","text":"{{text}}","since":"{{since}}","#,
            r#""instance":"{{instance}}","mode":"{{mode}}","runbook":"{{runbook}}"}"#
        );
        Self {
            url_file: PathBuf::new(),
            severity: AlertSeverity::Warning,
            template: template.into(),
            queue_max: 256,
            attempts_max: 5,
            timeout_ms: 5_000,
        }
    }
}

/// How bad an alert is, the least first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum AlertSeverity {
    /// To know.
    Info,
    /// To look at today.
    #[default]
    Warning,
    /// To look at now: money is at stake.
    Critical,
}

impl AlertSeverity {
    /// Lower-case name.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// The supervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Supervisor {
    /// Milliseconds without progress of engine or gateway after which the kill road is taken.
    pub stall_ms: u64,
    /// First pause before a restart, milliseconds; doubles with every crash.
    pub backoff_ms: u64,
    /// Longest pause before a restart, milliseconds.
    pub backoff_ms_max: u64,
    /// Crashes of the hot process within ten minutes after which it stays down.
    pub crashes_max: usize,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self { stall_ms: 2000, backoff_ms: 200, backoff_ms_max: 30_000, crashes_max: 5 }
    }
}
