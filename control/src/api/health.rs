//! Health and state.

use super::{Shared, routes::Answer};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use tickpath_shared::{
    clock::host_ns_now,
    counters::Counter,
    status::{InstrumentWord, Progress, StatusReader},
    types::{InstrumentDefinition, decimal},
};

/// Age of a stage's last turn above which it counts as stalled.
const STALL_NS: u64 = 3_000_000_000;

fn session_now(status: &StatusReader) -> u64 {
    host_ns_now().saturating_sub(status.identity().start_host_ns)
}

/// Age of every part's last turn in nanoseconds.
fn ages(status: &StatusReader) -> Vec<(Progress, u64)> {
    let now = session_now(status);
    Progress::ALL.iter().map(|part| (*part, now.saturating_sub(status.progress(*part).1))).collect()
}

/// Everything that keeps the system from being ready.
fn reasons(shared: &Shared) -> Vec<String> {
    let mut reasons = Vec::new();
    match shared.status() {
        None => reasons.push("no hot process has started".to_owned()),
        Some(status) if status.is_stopped() => reasons.push("hot process has stopped".to_owned()),
        Some(status) => {
            let stalled = ages(&status).into_iter().filter(|(_, age)| *age > STALL_NS);
            reasons
                .extend(stalled.map(|(part, age)| format!("{part} made no turn for {} ms", age / 1_000_000)));
            if !status.is_reconciled() {
                reasons.push("account is not reconciled".to_owned());
            }
            if status.kill_seen().is_some() {
                reasons.push("kill switch is set".to_owned());
            }
        }
    }
    if shared.archive.is_failing.load(Ordering::Relaxed) {
        reasons.push("archive cannot be written".to_owned());
    }
    let lag_mib = shared.archive.lag_bytes.load(Ordering::Relaxed) >> 20;
    if lag_mib > shared.config.control.lag_mib_max {
        reasons.push(format!("archive lags {lag_mib} MiB, bound {}", shared.config.control.lag_mib_max));
    }
    if shared.store.is_failing.load(Ordering::Relaxed) {
        reasons.push("store cannot be written".to_owned());
    }
    reasons
}

pub(super) fn ready(shared: &Shared) -> Answer {
    let reasons = reasons(shared);
    let status = if reasons.is_empty() { 200 } else { 503 };
    Answer::json(status, &json!({"ready": reasons.is_empty(), "reasons": reasons}))
}

pub(super) fn state(shared: &Shared) -> Answer {
    let Some(status) = shared.status() else { return Answer::no_session() };
    let counters: serde_json::Map<String, Value> =
        Counter::ALL.iter().map(|c| (c.label().to_owned(), json!(status.counter(*c)))).collect();
    let instruments: Vec<Value> = status.definitions().iter().map(|d| instrument(&status, d)).collect();
    let parts: serde_json::Map<String, Value> = ages(&status)
        .into_iter()
        .map(|(part, age)| (part.label().to_owned(), json!(age / 1_000_000)))
        .collect();
    Answer::json(
        200,
        &json!({
            "session": status.identity().session,
            "trading_state": status.trading_state().label(),
            "kill": status.kill_seen().is_some(),
            "reconciled": status.is_reconciled(),
            "orders_link": status.links() & 1 != 0,
            "events_link": status.links() & 2 != 0,
            "last_turn_ms_ago": parts,
            "archive_lag_bytes": shared.archive.lag_bytes.load(Ordering::Relaxed),
            "instruments": instruments,
            "counters": counters,
        }),
    )
}

fn instrument(status: &StatusReader, d: &InstrumentDefinition) -> Value {
    let word = |word| status.instrument(d.instrument, word);
    let price = |value| decimal::to_text(value, d.price_scale);
    let qty = |value| decimal::to_text(value, d.qty_scale);
    json!({
        "symbol": d.symbol.as_str(),
        "book_valid": word(InstrumentWord::IsValid) == 1,
        "bid": price(word(InstrumentWord::BidPrice)),
        "bid_qty": qty(word(InstrumentWord::BidQty)),
        "ask": price(word(InstrumentWord::AskPrice)),
        "ask_qty": qty(word(InstrumentWord::AskQty)),
        "mark": decimal::to_text(word(InstrumentWord::MarkPrice), 8),
        "position": qty(word(InstrumentWord::Position)),
        "entry_price": decimal::to_text(word(InstrumentWord::EntryPriceE8), 8),
        "realized": decimal::to_text(word(InstrumentWord::RealizedE8), 8),
        "fees": decimal::to_text(word(InstrumentWord::FeesE8), 8),
        "open_orders": word(InstrumentWord::OpenOrders),
    })
}

pub(super) fn info(shared: &Shared) -> Answer {
    let status = shared.status();
    let identity = status.as_ref().map(|s| s.identity());
    Answer::json(
        200,
        &json!({
            "name": "tickpath",
            "version": env!("CARGO_PKG_VERSION"),
            "mode": shared.config.instance.mode.label(),
            "instance": shared.config.instance.id,
            "session": identity.as_ref().map(|i| i.session),
            "hot_build": identity.as_ref().map(|i| i.build.clone()),
            "hot_pid": identity.as_ref().map(|i| i.pid),
            "uptime_seconds": status.as_ref().map(|s| session_now(s) / 1_000_000_000),
        }),
    )
}
