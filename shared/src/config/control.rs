//! The processes around the hot one: its interface for people, and who watches both.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The control process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Values of the `Host` header that are served besides the bound address, without a port.
    pub hosts: Vec<String>,
    /// File (mode 0600) in the data directory with the secret that alerts carry, at least 32 characters; none are taken
    /// without one.
    pub webhook_secret_file: PathBuf,
    /// Addresses that alerts may come from; any when empty.
    pub webhook_sources: Vec<String>,
    /// Oldest alert that is taken, seconds, 1..=3600.
    pub webhook_age_s_max: u64,
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
            hosts: vec!["localhost".into(), "127.0.0.1".into()],
            webhook_secret_file: PathBuf::new(),
            // TradingView's.
            webhook_sources: ["52.89.214.238", "34.212.75.30", "54.218.53.128", "52.32.178.7"]
                .map(str::to_owned)
                .into(),
            webhook_age_s_max: 60,
            lag_mib_max: 32,
        }
    }
}

/// The supervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
