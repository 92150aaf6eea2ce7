//! Alerts from outside: what an alert says, and what it is told.

use super::{
    Shared,
    fields::{Field, Shape, Values},
    routes::{Answer, Ask},
};
use crate::webhook::{Alert, Refusal};
use serde_json::json;
use tickpath_shared::clock::{host_ns_now, unix_ns_now};

/// Where alerts are sent to. Their bodies need not be declared as JSON: whoever sends them cannot say so.
pub(super) const PREFIX: &str = "/api/v1/webhook/";

pub(super) const FIELDS: &[Field] = &[
    Field::required("secret", Shape::Text(256), "What `control.webhook_secret_file` holds."),
    Field::required("time", Shape::Text(40), "When it was made: RFC 3339, as `{{timenow}}` gives it."),
    Field::optional("action", Shape::Word(actions), "Long, short or nothing, of the whole quantity."),
    Field::optional(
        "signal",
        Shape::Number,
        "Instead of an action: 1 long, -1 short, a share of it between.",
    ),
    Field::optional("ticker", Shape::Text(32), "The instrument, checked against `signal_follow.symbol`."),
    Field::optional("id", Shape::Text(64), "Tells two alerts of one moment apart."),
];

fn actions() -> Vec<&'static str> {
    vec!["buy", "sell", "close"]
}

/// What it wants to hold.
fn signal(values: &Values) -> Result<f64, &'static str> {
    match (values.text("action"), values.number("signal")) {
        (Some("buy"), None) => Ok(1.0),
        (Some("sell"), None) => Ok(-1.0),
        (Some(_), None) => Ok(0.0),
        (None, Some(share)) if (-1.0..=1.0).contains(&share) => Ok(share),
        (None, Some(_)) => Err("signal: not from -1 to 1"),
        _ => Err("an action or a signal, one of them, is needed"),
    }
}

pub(super) fn tradingview(shared: &Shared, ask: &Ask) -> Answer {
    let values = &ask.values;
    let text = |name: &str| values.text(name).unwrap_or_default();
    // Before anything is said about the rest.
    if let Err(refusal) = shared.webhooks.admit(text("secret"), ask.peer) {
        return refused(shared, ask, refusal);
    }
    let Ok(time) = text("time").parse::<jiff::Timestamp>() else {
        return Answer::error(400, "time: not as in 2026-11-22T13:08:04Z");
    };
    let symbol = &shared.config.signal_follow.symbol;
    // Perpetual contracts are BTCUSDT.P there.
    let ticker = values.text("ticker").map(|ticker| ticker.trim_end_matches(".P"));
    if ticker.is_some_and(|ticker| ticker != symbol) {
        return Answer::error(400, &format!("ticker: {:?} is not {symbol:?}", text("ticker")));
    }
    let signal = match signal(values) {
        Ok(signal) => signal,
        Err(why) => return Answer::error(400, why),
    };
    let detail = values.without("secret");
    let time_ms = time.as_millisecond();
    let alert = Alert { request: ask.request.clone(), peer: ask.peer, time_ms, signal, detail };
    match shared.webhooks.take(alert, (unix_ns_now() / 1_000_000) as i64) {
        Ok(()) => Answer::json(202, &json!({"outcome": "taken"})),
        Err(refusal) => refused(shared, ask, refusal),
    }
}

fn refused(shared: &Shared, ask: &Ask, refusal: Refusal) -> Answer {
    let (status, text) = match refusal {
        Refusal::Off => (404, "no alerts are taken here: control.webhook_secret_file"),
        Refusal::Source => (403, "not an address of control.webhook_sources"),
        Refusal::Secret => {
            let now = host_ns_now();
            // The right one is never kept out by wrong ones of the same address, which many share.
            if let Err(refusal) = shared.door.may_guess(ask.peer, now) {
                return refusal.into();
            }
            shared.door.guessed(ask.peer, now);
            (401, "not the secret")
        }
        Refusal::Age => (409, "too old, or from the future"),
        Refusal::Replayed => (409, "taken before"),
        Refusal::Reordered => (409, "a later one was taken before"),
        Refusal::Full => (503, "too many wait; send it again"),
        Refusal::Store => (503, "it cannot be written down"),
    };
    tracing::warn!(request = ask.request, peer = %ask.peer, reason = text, "alert refused");
    Answer::error(status, text)
}
