//! Health and state.

use super::{Shared, routes::Answer};
use serde_json::{Value, json};
use std::{path::Path, sync::atomic::Ordering};
use tickpath_shared::{
    clock::host_ns_now,
    config::Mode,
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

/// The process of the last session is there.
pub(super) fn is_running(status: &StatusReader) -> bool {
    !status.is_stopped() && Path::new(&format!("/proc/{}", status.identity().pid)).exists()
}

/// Trading mode of the session, which a control process that was not started anew may not know from its configuration.
fn mode(status: Option<&StatusReader>, shared: &Shared) -> Mode {
    match status.map(|status| status.identity().is_live) {
        Some(true) => Mode::Live,
        Some(false) => Mode::Simulation,
        None => shared.config.instance.mode,
    }
}

/// Everything that keeps the system from being ready.
fn reasons(shared: &Shared) -> Vec<String> {
    let mut reasons = Vec::new();
    match shared.status() {
        None => reasons.push("no hot process has started".to_owned()),
        Some(status) if !is_running(&status) => reasons.push("hot process does not run".to_owned()),
        Some(status) => {
            let stalled = ages(&status).into_iter().filter(|(_, age)| *age > STALL_NS);
            reasons
                .extend(stalled.map(|(part, age)| format!("{part} made no turn for {} ms", age / 1_000_000)));
            if !status.is_reconciled() {
                reasons.push("account is not reconciled".to_owned());
            }
            if mode(Some(&status), shared) != shared.config.instance.mode {
                let configured = shared.config.instance.mode.label();
                reasons.push(format!("control process is configured for {configured}, the session is not"));
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

/// Now, as RFC 3339 text in UTC.
fn timestamp() -> String {
    jiff::Timestamp::now().to_string()
}

pub(super) fn live(_: &Shared) -> Answer {
    Answer::json(200, &json!({"status": "alive", "timestamp": timestamp()}))
}

pub(super) fn ready(shared: &Shared) -> Answer {
    let reasons = reasons(shared);
    let status = if reasons.is_empty() { 200 } else { 503 };
    let word = if reasons.is_empty() { "ready" } else { "not_ready" };
    let answer =
        json!({"status": word, "timestamp": timestamp(), "ready": reasons.is_empty(), "reasons": reasons});
    Answer::json(status, &answer)
}

/// What a probe or a person wants to see at one glance.
fn glance(shared: &Shared) -> (u16, Value) {
    let reasons = reasons(shared);
    let status = shared.status().filter(|status| is_running(status));
    let mode = mode(status.as_deref(), shared);
    let answer = json!({
        "status": if reasons.is_empty() { "healthy" } else { "unhealthy" },
        "timestamp": timestamp(),
        "version": env!("CARGO_PKG_VERSION"),
        "uptime": status.as_ref().map(|s| session_now(s) as f64 / 1e9),
        "database_connected": !shared.store.is_failing.load(Ordering::Relaxed),
        "exchange_connected": status.as_ref().is_some_and(|s| s.links() & 3 == 3),
        "simulation_running": mode == Mode::Simulation && status.is_some(),
        "trading_mode": mode.label(),
    });
    (if reasons.is_empty() { 200 } else { 503 }, answer)
}

pub(super) fn summary(shared: &Shared) -> Answer {
    let (status, answer) = glance(shared);
    Answer::json(status, &answer)
}

pub(super) fn detailed(shared: &Shared) -> Answer {
    let (status, mut answer) = glance(shared);
    answer["reasons"] = json!(reasons(shared));
    answer["last_turn_ms_ago"] = shared.status().map_or(Value::Null, |s| turns(&s));
    answer["archive_lag_bytes"] = shared.archive.lag_bytes.load(Ordering::Relaxed).into();
    answer["archive_failing"] = shared.archive.is_failing.load(Ordering::Relaxed).into();
    Answer::json(status, &answer)
}

/// Milliseconds since every part's last turn.
fn turns(status: &StatusReader) -> Value {
    ages(status).into_iter().map(|(part, age)| (part.label().to_owned(), json!(age / 1_000_000))).collect()
}

pub(super) fn state(shared: &Shared) -> Answer {
    let Some(status) = shared.status() else { return Answer::no_session() };
    let counters: serde_json::Map<String, Value> =
        Counter::ALL.iter().map(|c| (c.label().to_owned(), json!(status.counter(*c)))).collect();
    let instruments: Vec<Value> = status.definitions().iter().map(|d| instrument(&status, d)).collect();
    Answer::json(
        200,
        &json!({
            "session": status.identity().session,
            "running": is_running(&status),
            "reasons": reasons(shared),
            "trading_state": status.trading_state().label(),
            "kill": status.kill_seen().is_some(),
            "reconciled": status.is_reconciled(),
            "orders_link": status.links() & 1 != 0,
            "events_link": status.links() & 2 != 0,
            "last_turn_ms_ago": turns(&status),
            "archive_lag_bytes": shared.archive.lag_bytes.load(Ordering::Relaxed),
            "instruments": instruments,
            "counters": counters,
        }),
    )
}

/// Best prices of an instrument; those of a book that is not valid are the last ones that were.
pub(super) fn book(status: &StatusReader, d: &InstrumentDefinition) -> Value {
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
    })
}

fn instrument(status: &StatusReader, d: &InstrumentDefinition) -> Value {
    let word = |word| status.instrument(d.instrument, word);
    let mut shown = book(status, d);
    shown["position"] = decimal::to_text(word(InstrumentWord::Position), d.qty_scale).into();
    for (name, of) in [
        ("entry_price", InstrumentWord::EntryPriceE8),
        ("realized", InstrumentWord::RealizedE8),
        ("fees", InstrumentWord::FeesE8),
    ] {
        shown[name] = decimal::to_text(word(of), 8).into();
    }
    shown["open_orders"] = word(InstrumentWord::OpenOrders).into();
    shown
}

pub(super) fn info(shared: &Shared) -> Answer {
    let status = shared.status();
    let identity = status.as_ref().map(|s| s.identity());
    Answer::json(
        200,
        &json!({
            "name": "tickpath",
            "version": env!("CARGO_PKG_VERSION"),
            "mode": mode(status.as_deref(), shared).label(),
            "instance": shared.config.instance.id,
            "session": identity.as_ref().map(|i| i.session),
            "hot_build": identity.as_ref().map(|i| i.build.clone()),
            "hot_pid": identity.as_ref().map(|i| i.pid),
            "uptime_seconds": status.as_ref().filter(|s| is_running(s)).map(|s| session_now(s) / 1_000_000_000),
        }),
    )
}
