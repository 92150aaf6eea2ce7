//! What whole-system tests share: recorded data, run directories, processes.

pub mod alloc;
pub mod browser;
pub mod desk;
pub mod http;
pub mod python;
pub mod random;
pub mod relay;

use std::path::{Path, PathBuf};
use tickpath_shared::config::Risk;

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Directory of recorded data: `TICKPATH_DATA`, or `../shared/data` beside the checkout.
pub fn data_dir() -> PathBuf {
    std::env::var_os("TICKPATH_DATA").map_or_else(|| root().join("../shared/data"), PathBuf::from)
}

/// A recorded file, or `None` where the test has to be skipped; see [`skipped`].
///
/// # Panics
///
/// When the file is missing and skipping is not allowed.
pub fn need(file: &str) -> Option<PathBuf> {
    let path = data_dir().join(file);
    if path.exists() {
        return Some(path);
    }
    skipped(&format!("{} (TICKPATH_DATA names the recorded data)", path.display()))
}

/// Says loudly that a test is skipped because something is missing; with `TICKPATH_NO_SKIP=1` it fails instead.
/// Every skip goes through here.
///
/// # Panics
///
/// When skipping is not allowed.
pub fn skipped<T>(missing: &str) -> Option<T> {
    let is_strict = std::env::var_os("TICKPATH_NO_SKIP").is_some_and(|v| v == "1");
    assert!(!is_strict, "needed and missing: {missing}");
    eprintln!("SKIPPED, because it is missing: {missing}");
    None
}

/// How often something is done: as an environment variable says, or as often as a test run has time for.
///
/// # Panics
///
/// When the variable is no number.
pub fn volume(name: &str, usual: u64) -> u64 {
    let said = std::env::var(name).ok();
    said.map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name}: {text:?} is no number")))
}

/// The recorded pair of 2024-08-08: Bitcoin and Ether, one recording.
pub fn recorded_pair() -> Option<[PathBuf; 2]> {
    let file = |symbol: &str| {
        need(&format!("binance-usdm/{symbol}_depth0ms-bookTicker-trade+snapshot_2024-08-08T2354Z.txt.gz"))
    };
    Some([file("btcusdt")?, file("ethusdt")?])
}

/// Limits that bind nobody who is not wild, for tests of something else.
pub fn wide_limits(open_orders_max: usize) -> Risk {
    Risk {
        order_rate_max: 100_000,
        message_rate_max: 1_000_000,
        throttled_max: 100_000,
        open_orders_max,
        identical_orders_max: open_orders_max,
        position_notional_max: i64::MAX,
        gross_notional_max: i64::MAX,
        ..Risk::default()
    }
}
