//! Lists that do not come from the store: what waits, what is configured, which sessions there are.

use super::{Shared, health, records, routes::Answer, steer};
use serde_json::{Value, json};
use std::sync::PoisonError;
use tickpath_shared::{
    causes::chain, clock::host_ns_now, config::Mode, journal::list_sessions, operator::Operator,
    types::TradingState,
};

/// Orders that wait for a person; none where nothing runs.
pub(super) fn held(shared: &Shared) -> Answer {
    let Ok(running) = Operator::open(&shared.data) else { return Answer::json(200, &json!({"rows": []})) };
    let now = host_ns_now().saturating_sub(running.status.identity().start_host_ns);
    let mut held = shared.held.lock().unwrap_or_else(PoisonError::into_inner);
    match held.waiting(&shared.data, &running.status, now) {
        Ok(waiting) => Answer::json(200, &json!({"rows": waiting})),
        Err(e) => Answer::error(503, &chain(&e)),
    }
}

/// Alerts that hold, the worst first, and those that ended while this process runs.
pub(super) fn alerts(shared: &Shared) -> Answer {
    let (active, ended) = shared.alerts.list();
    Answer::json(200, &json!({"active": active, "ended": ended}))
}

/// Best prices of every instrument, as the hot process shows them.
pub(super) fn books(shared: &Shared) -> Answer {
    let Some(status) = shared.status() else { return Answer::no_session() };
    let rows: Vec<Value> = status.definitions().iter().map(|d| health::book(&status, d)).collect();
    Answer::json(200, &json!({"rows": rows, "running": health::is_running(&status)}))
}

pub(super) fn sessions(shared: &Shared) -> Answer {
    match list_sessions(&shared.data) {
        Ok(sessions) => {
            let current = shared.status().map(|status| status.identity().session);
            Answer::json(200, &json!({"sessions": sessions, "current": current}))
        }
        Err(e) => Answer::error(503, &chain(&e)),
    }
}

pub(super) fn limits(shared: &Shared) -> Answer {
    let config = &shared.config;
    Answer::json(200, &json!({"risk": config.risk, "breakers": config.breaker}))
}

pub(super) fn config(shared: &Shared) -> Answer {
    Answer::json(200, &json!(shared.config))
}

fn is_simulation(shared: &Shared) -> bool {
    shared.config.instance.mode == Mode::Simulation
}

pub(super) fn simulation(shared: &Shared) -> Answer {
    let status = shared.status().filter(|status| !status.is_stopped());
    let state = status.as_ref().map(|status| status.trading_state());
    Answer::json(
        200,
        &json!({
            "is_simulation": is_simulation(shared),
            "running": is_simulation(shared) && status.is_some(),
            "trading": is_simulation(shared) && state == Some(TradingState::Armed),
            "trading_state": state.map(TradingState::label),
            "session": status.as_ref().map(|status| status.identity().session),
            "reset_ms": steer::reset_ms(shared),
        }),
    )
}

pub(super) fn performance(shared: &Shared) -> Answer {
    if !is_simulation(shared) {
        return Answer::error(409, "this instance is no simulation: see /api/v1/pnl");
    }
    let reset_ms = steer::reset_ms(shared);
    match records::totals(shared, reset_ms.unwrap_or(0)) {
        Ok(totals) => {
            let share = |part: &Value| {
                let trades = totals["trades"].as_f64().filter(|count| *count > 0.0)?;
                Some(part.as_f64()? / trades)
            };
            let win_rate = share(&totals["wins"]);
            Answer::json(200, &json!({"totals": totals, "win_rate": win_rate, "reset_ms": reset_ms}))
        }
        Err(e) => Answer::error(503, &e.to_string()),
    }
}
