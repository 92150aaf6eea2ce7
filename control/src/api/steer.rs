//! Changes: each is written into the audit log with what became of it, and what lets risk in before it is done, too;
//! arming and releasing are asked for twice.

use super::{
    Shared,
    fields::{Field, Shape},
    records,
    routes::{Answer, Ask},
};
use crate::audit::Act;
use serde_json::{Value, json};
use std::{
    sync::PoisonError,
    time::{Duration, Instant},
};
use tickpath_shared::{
    causes::chain,
    clock::unix_ns_now,
    command::{CommandOutcome, Detail, Order, Scope, Verb},
    config::Mode,
    operator::{self, Operator, OperatorError, Wish},
    status::StatusReader,
    types::{PriceMatch, Side, TimeInForce},
};

/// Time for the second step.
const CONFIRM_WITHIN: Duration = Duration::from_secs(30);
/// First steps that wait for their second.
const PENDING_MAX: usize = 64;
const NAME_MAX: usize = 32;
/// Path of the route that resets a simulation, by which the audit log tells when.
pub(super) const RESET_PATH: &str = "/api/v1/simulation/reset";
const NO_SIMULATION: &str = "this instance is no simulation: see /api/v1/control";

const REASON: Field = Field::optional("reason", Shape::Text(200), "For the audit log.");
const STRATEGY: Field =
    Field::optional("strategy", Shape::Text(NAME_MAX), "Only this strategy, by name or number.");
const SYMBOL: Field = Field::optional("symbol", Shape::Text(NAME_MAX), "Only this instrument.");
const CONFIRM: Field =
    Field::optional("confirm", Shape::Text(NAME_MAX), "The code that the first step has answered with.");

pub(super) const PLAIN: &[Field] = &[REASON];
pub(super) const SCOPED: &[Field] = &[STRATEGY, SYMBOL, REASON];
pub(super) const CONFIRMED: &[Field] = &[CONFIRM, REASON];
pub(super) const ARM: &[Field] = &[STRATEGY, SYMBOL, CONFIRM, REASON];
pub(super) const SET: &[Field] = &[
    Field::required("name", Shape::Text(64), "Name of the parameter in the configuration, or its number."),
    Field::required("value", Shape::Number, "Its new value."),
    Field::optional("strategy", Shape::Text(NAME_MAX), "The strategy, where the name does not say."),
    REASON,
];
pub(super) const HELD: &[Field] =
    &[Field::required("order", Shape::Text(48), "The order as `/api/v1/held` names it."), REASON];

pub(super) const PLACE: &[Field] = &[
    Field::required("symbol", Shape::Text(NAME_MAX), "The instrument."),
    Field::required("side", Shape::Word(|| labels(Side::ALL, Side::label)), "Buy or sell."),
    Field::required("quantity", Shape::Text(NAME_MAX), "Decimal text, in the base asset."),
    Field::optional(
        "price",
        Shape::Text(NAME_MAX),
        "Limit price, decimal text; without one whatever is displayed is taken, no further than the limits let an \
         order go.",
    ),
    Field::optional(
        "market",
        Shape::Flag,
        "Whatever is displayed is taken, at any price (risk.market_orders).",
    ),
    Field::optional(
        "price_match",
        Shape::Word(|| labels(PriceMatch::ALL, PriceMatch::label)),
        "The venue gives it its price (risk.market_orders).",
    ),
    Field::optional("good_for_s", Shape::Integer(601, 31_536_000), "Seconds after which the venue ends it."),
    Field::optional(
        "time_in_force",
        Shape::Word(|| labels(TimeInForce::ALL, TimeInForce::label)),
        "With a price, its own or the venue's; gtc otherwise.",
    ),
    Field::optional("reduce_only", Shape::Flag, "Only bring the position back towards zero."),
    CONFIRM,
    REASON,
];
pub(super) const CANCEL: &[Field] = &[
    Field::required("order", Shape::Text(NAME_MAX), "Client order id, as `/api/v1/orders` shows it."),
    REASON,
];

fn labels<T: Copy>(all: &[T], label: fn(T) -> &'static str) -> Vec<&'static str> {
    all.iter().map(|one| label(*one)).collect()
}

/// A first step that waits for its second.
#[derive(Debug)]
pub(super) struct Pending {
    code: String,
    who: String,
    /// Route and values: the second step must be about the same.
    what: String,
    until: Instant,
}

/// Whether a change lets risk in, which is not done unless it is written down first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Risk {
    In,
    Away,
}

/// Why a change was not made.
struct Failure {
    status: u16,
    outcome: &'static str,
    text: String,
}

impl Failure {
    /// There is nothing of that name.
    fn unknown(text: String) -> Self {
        Self { status: 404, outcome: "not_there", text }
    }

    /// It cannot be meant.
    fn wrong(text: String) -> Self {
        Self { status: 400, outcome: "wrong", text }
    }
}

impl From<Failure> for Answer {
    fn from(Failure { status, outcome, text }: Failure) -> Self {
        Self::json(status, &json!({"error": text, "outcome": outcome}))
    }
}

impl From<OperatorError> for Failure {
    fn from(e: OperatorError) -> Self {
        let (status, outcome) = match &e {
            gone if gone.is_nobody_there() => (503, "no_session"),
            // Something may run there.
            OperatorError::NoSession(_)
            | OperatorError::Gone(..)
            | OperatorError::Over(..)
            | OperatorError::Io(_) => (503, "failed"),
            // The ring is full or held: nothing was handed over.
            OperatorError::Send(_) => (503, "not_sent"),
            OperatorError::Refused(_, outcome) => {
                let status = match outcome {
                    CommandOutcome::UnknownScope
                    | CommandOutcome::UnknownParameter
                    | CommandOutcome::NoSuchOrder
                    | CommandOutcome::NotHeld => 404,
                    _ => 409,
                };
                (status, outcome.label())
            }
            OperatorError::Limit(..) => (409, CommandOutcome::RefusedLimit.label()),
            OperatorError::Strange(..) => (500, "unknown"),
            OperatorError::NoAnswer(..) => (504, "unknown"),
        };
        Self { status, outcome, text: chain(&e) }
    }
}

/// A verb for a scope that takes risk away.
pub(super) fn lower(shared: &Shared, ask: &Ask, verb: Verb) -> Answer {
    change(shared, ask, Risk::Away, || send(shared, ask, verb, Detail::None))
}

pub(super) fn kill(shared: &Shared, ask: &Ask) -> Answer {
    change(shared, ask, Risk::Away, || {
        let why =
            format!("{} over HTTP: {}", ask.who.name, ask.values.text("reason").unwrap_or("no reason given"));
        match operator::kill(&shared.data, &why) {
            Ok(Some(false)) => Err(Failure {
                status: 504,
                outcome: "not_seen",
                text: "the kill word is set and latched; the gateway has not seen it yet".to_owned(),
            }),
            Ok(seen) => Ok(json!({"outcome": "done", "seen_by_gateway": seen})),
            Err(e) => Err(Failure {
                status: 503,
                outcome: "not_latched",
                text: format!("the kill word is set; it is not kept over a restart: {e}"),
            }),
        }
    })
}

/// Arming, in two steps.
pub(super) fn arm(shared: &Shared, ask: &Ask) -> Answer {
    twice(shared, ask, || send(shared, ask, Verb::Arm, Detail::None))
}

pub(super) fn clear_kill(shared: &Shared, ask: &Ask) -> Answer {
    twice(shared, ask, || {
        operator::clear_kill(&shared.data)?;
        Ok(json!({"outcome": "done"}))
    })
}

pub(super) fn release_breakers(shared: &Shared, ask: &Ask) -> Answer {
    twice(shared, ask, || send(shared, ask, Verb::ReleaseBreakers, Detail::None))
}

pub(super) fn set(shared: &Shared, ask: &Ask) -> Answer {
    let (name, value) = (ask.values.text("name").unwrap_or_default(), ask.values.number("value"));
    let old = records::parameter(shared, name);
    change_from(shared, ask, Risk::In, old, || {
        let (scope, parameter) =
            operator::parameter(name, ask.values.text("strategy")).map_err(Failure::unknown)?;
        let detail = Detail::Setting(parameter, value.unwrap_or(f64::NAN));
        let running = Operator::open(&shared.data)?;
        running.send(&shared.data, Order { verb: Verb::Set, scope, detail })?;
        Ok(json!({"outcome": "done"}))
    })
}

pub(super) fn answer_held(shared: &Shared, ask: &Ask, verb: Verb) -> Answer {
    let risk = if verb == Verb::Approve { Risk::In } else { Risk::Away };
    change(shared, ask, risk, || {
        let running = Operator::open(&shared.data)?;
        let name = ask.values.text("order").unwrap_or_default();
        let intent =
            operator::held_order(name, running.status.identity().session).map_err(Failure::unknown)?;
        running.send(&shared.data, Order { verb, scope: Scope::Account, detail: Detail::Intent(intent) })?;
        Ok(json!({"outcome": "done"}))
    })
}

/// An order of a person's own, in two steps: what is sent twice by mistake is placed once.
pub(super) fn place(shared: &Shared, ask: &Ask) -> Answer {
    let word = |name| ask.values.text(name).unwrap_or_default();
    let wish = Wish {
        side: if word("side") == Side::Buy.label() { Side::Buy } else { Side::Sell },
        qty: word("quantity"),
        price: ask.values.text("price"),
        time_in_force: TimeInForce::ALL.iter().copied().find(|t| t.label() == word("time_in_force")),
        is_reduce_only: ask.values.flag("reduce_only"),
        is_market: ask.values.flag("market"),
        price_match: PriceMatch::ALL.iter().copied().find(|p| p.label() == word("price_match")),
        good_for_s: ask.values.integer("good_for_s").map(|s| s as u64),
    };
    let order = || -> Result<(Operator, Order), Failure> {
        let running = Operator::open(&shared.data)?;
        let definition = operator::instrument(&running.status, word("symbol")).map_err(Failure::unknown)?;
        let order =
            operator::placing(&wish, &definition, unix_ns_now() / 1_000_000).map_err(Failure::wrong)?;
        Ok((running, order))
    };
    // What could not be placed is not asked about twice.
    if let Err(failure) = order() {
        return failure.into();
    }
    twice(shared, ask, || {
        let (running, order) = order()?;
        match running.send(&shared.data, order) {
            Err(OperatorError::Refused(_, outcome @ CommandOutcome::AwaitsApproval)) => {
                Ok(json!({"outcome": outcome.label()}))
            }
            sent => Ok(sent.map(|()| json!({"outcome": "done"}))?),
        }
    })
}

/// Cancels one order.
pub(super) fn cancel(shared: &Shared, ask: &Ask) -> Answer {
    change(shared, ask, Risk::Away, || {
        let id =
            operator::order_name(ask.values.text("order").unwrap_or_default()).map_err(Failure::wrong)?;
        let running = Operator::open(&shared.data)?;
        running.send(
            &shared.data,
            Order { verb: Verb::Cancel, scope: Scope::Account, detail: Detail::Order(id) },
        )?;
        Ok(json!({"outcome": "done"}))
    })
}

/// Starts and stops trading of a simulation, without a second step: there is no money in it.
pub(super) fn simulate(shared: &Shared, ask: &Ask, verb: Verb) -> Answer {
    if !is_simulation(shared) {
        return Answer::error(409, NO_SIMULATION);
    }
    let risk = if verb == Verb::Arm { Risk::In } else { Risk::Away };
    change(shared, ask, risk, || send(shared, ask, verb, Detail::None))
}

/// Ends what the simulation has done so far: nothing more is opened, what is open is closed, and its results count from
/// here. The account is the simulator's, and stays as it is.
pub(super) fn reset(shared: &Shared, ask: &Ask) -> Answer {
    if !is_simulation(shared) {
        return Answer::error(409, NO_SIMULATION);
    }
    change(shared, ask, Risk::Away, || match send(shared, ask, Verb::Flatten, Detail::None) {
        // Nothing runs, nothing is open.
        Err(failure) if failure.outcome == "no_session" => Ok(json!({"outcome": "done"})),
        sent => sent,
    })
}

/// When the simulation was reset last, unix milliseconds.
pub(super) fn reset_ms(shared: &Shared) -> Option<i64> {
    let log = shared.audit.lock().unwrap_or_else(PoisonError::into_inner);
    log.last_done(&format!("POST {RESET_PATH}")).ok().flatten().map(|time_ns| time_ns / 1_000_000)
}

fn is_simulation(shared: &Shared) -> bool {
    // The session decides: the configuration may have changed since this process was started.
    let is_live = shared.status().is_some_and(|status| status.identity().is_live);
    !is_live && shared.config.instance.mode == Mode::Simulation
}

fn send(shared: &Shared, ask: &Ask, verb: Verb, detail: Detail) -> Result<Value, Failure> {
    let running = Operator::open(&shared.data)?;
    let (strategy, symbol) = (ask.values.text("strategy"), ask.values.text("symbol"));
    let scope = operator::scope(&running.status, strategy, symbol).map_err(Failure::unknown)?;
    running.send(&shared.data, Order { verb, scope, detail })?;
    Ok(json!({"outcome": "done", "trading_state": running.status.trading_state().label()}))
}

/// Lets risk in at the second asking: the first one answers with a code that is good for half a minute, once, and for
/// the same change by the same token.
fn twice(shared: &Shared, ask: &Ask, make: impl FnOnce() -> Result<Value, Failure>) -> Answer {
    let what = format!("{} {}", ask.action, ask.values.without("confirm"));
    let mut pending = shared.pending.lock().unwrap_or_else(PoisonError::into_inner);
    pending.retain(|step| step.until > Instant::now());
    let Some(code) = ask.values.text("confirm") else {
        let code = match super::random_name() {
            Ok(code) => code,
            Err(e) => return Answer::error(503, &format!("no random numbers: {e}")),
        };
        if pending.len() == PENDING_MAX {
            return Answer::error(429, "too many first steps wait for their second");
        }
        let until = Instant::now() + CONFIRM_WITHIN;
        pending.push(Pending { code: code.clone(), who: ask.who.name.clone(), what, until });
        return Answer::json(202, &json!({"confirm": code, "within_s": CONFIRM_WITHIN.as_secs()}));
    };
    let is_it = |step: &Pending| step.code == code && step.who == ask.who.name && step.what == what;
    let Some(at) = pending.iter().position(is_it) else {
        return Answer::error(
            409,
            "confirm: no first step of yours with this code and the same values waits",
        );
    };
    pending.remove(at);
    drop(pending);
    change(shared, ask, Risk::In, make)
}

fn change(shared: &Shared, ask: &Ask, risk: Risk, make: impl FnOnce() -> Result<Value, Failure>) -> Answer {
    change_from(shared, ask, risk, None, make)
}

/// A change of a value that was `old`.
fn change_from(
    shared: &Shared,
    ask: &Ask,
    risk: Risk,
    old: Option<f64>,
    make: impl FnOnce() -> Result<Value, Failure>,
) -> Answer {
    // What takes risk away waits for no disk.
    if risk == Risk::In
        && let Err(e) = write_down(shared, ask, old, "asked")
    {
        return Answer::error(503, &format!("not done, because it cannot be written down: {e}"));
    }
    let made = make();
    let outcome = match &made {
        Ok(value) => value["outcome"].as_str().unwrap_or("done"),
        Err(failure) => failure.outcome,
    };
    let is_written = write_down(shared, ask, old, outcome).is_ok();
    match made {
        Ok(mut value) => {
            value["audited"] = is_written.into();
            Answer::json(200, &value)
        }
        Err(failure) => failure.into(),
    }
}

fn write_down(shared: &Shared, ask: &Ask, old: Option<f64>, outcome: &str) -> Result<(), String> {
    let mut detail = ask.values.without("confirm");
    if let Some(old) = old {
        // There are values, or nothing would have been set.
        detail.pop();
        detail.push_str(&format!(",\"old\":{}}}", json!(old)));
    }
    let state = shared
        .status()
        .map_or("no session", |status: std::sync::Arc<StatusReader>| status.trading_state().label());
    let act = Act {
        request: &ask.request,
        who: &ask.who,
        peer: ask.peer,
        action: &ask.action,
        detail: &detail,
        state,
        outcome,
    };
    let mut log = shared.audit.lock().unwrap_or_else(PoisonError::into_inner);
    log.append(&act, unix_ns_now() as i64).map_err(|e| {
        tracing::error!(request = ask.request, error = %e, "the audit log cannot be written");
        e.to_string()
    })
}

/// The audit log, the newest first.
pub(super) fn audit(shared: &Shared, ask: &Ask) -> Answer {
    let log = shared.audit.lock().unwrap_or_else(PoisonError::into_inner);
    let limit = ask.values.integer("limit").unwrap_or(100);
    match log.rows(ask.values.integer("before").unwrap_or(i64::MAX), limit) {
        Ok(rows) => {
            let next = rows.last().filter(|row| row.sequence > 1).map(|row| row.sequence);
            let next = next.filter(|_| rows.len() as i64 == limit);
            Answer::json(200, &json!({"rows": rows, "next": next}))
        }
        Err(e) => Answer::error(503, &e.to_string()),
    }
}
