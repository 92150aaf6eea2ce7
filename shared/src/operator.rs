//! What a person, or a program on behalf of one, does to a running session: commands with their answers.

use crate::{
    command::{
        CommandOutcome, CommandSender, Detail, Order, Scope, SendError, Ticket, Verb, Verdict,
        set_kill_switch,
    },
    memory::MemoryError,
    paths::DataDir,
    status::StatusReader,
    types::{
        ClientOrderId, InstrumentDefinition, OrderTerms, OrderType, Parameter, PriceMatch, Reason, Side,
        StrategyName, TimeInForce, decimal,
    },
};
use std::{
    path::Path,
    time::{Duration, Instant},
};
use thiserror::Error;

/// How long a command may wait before it must not be carried out.
pub const VALID: Duration = Duration::from_secs(2);

/// Why a command was not carried out, or is not known to have been.
#[derive(Debug, Error)]
pub enum OperatorError {
    /// No session was ever started.
    #[error("no session in {0}")]
    NoSession(String),
    /// Its files are gone.
    #[error("session {0} is over")]
    Gone(u64, #[source] MemoryError),
    /// Its process does not run.
    #[error("session {0} is over: hot process {1} does not run")]
    Over(u64, u32),
    /// The directory could not be read.
    #[error("data directory")]
    Io(#[from] std::io::Error),
    /// It could not be handed over.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The hot process refused it.
    #[error("{0}: {meaning}", meaning = .1.meaning())]
    Refused(Verb, CommandOutcome),
    /// A limit refused its order.
    #[error("{0}: {reason}: {meaning}", reason = .1.label(), meaning = .1.meaning())]
    Limit(Verb, Reason),
    /// A later build answered.
    #[error("{0}: outcome {1} of a later build")]
    Strange(Verb, u16),
    /// Nothing was heard of it: it may have been carried out.
    #[error("{0}: no answer of the hot process within {1} ms")]
    NoAnswer(Verb, u128),
}

impl OperatorError {
    /// No hot process runs, which is not the same as one that cannot be reached.
    pub fn is_nobody_there(&self) -> bool {
        match self {
            Self::NoSession(_) | Self::Over(..) => true,
            Self::Gone(_, MemoryError::Io { source, .. }) => source.kind() == std::io::ErrorKind::NotFound,
            _ => false,
        }
    }
}

/// A running session.
#[derive(Debug)]
pub struct Operator {
    /// What it shows.
    pub status: StatusReader,
    /// Its command file.
    pub sender: CommandSender,
}

impl Operator {
    /// The session that runs on a data directory.
    ///
    /// # Errors
    ///
    /// [`OperatorError`] when none does.
    pub fn open(data: &DataDir) -> Result<Self, OperatorError> {
        let current = data
            .current_session()?
            .ok_or_else(|| OperatorError::NoSession(data.root().display().to_string()))?;
        let gone = |e| OperatorError::Gone(current.session, e);
        let operator = Self {
            status: StatusReader::open(&current.shared_dir.join("status")).map_err(gone)?,
            sender: CommandSender::open(&current.shared_dir.join("command")).map_err(gone)?,
        };
        let pid = operator.status.identity().pid;
        if operator.status.is_stopped() || !Path::new(&format!("/proc/{pid}")).exists() {
            return Err(OperatorError::Over(current.session, pid));
        }
        Ok(operator)
    }

    /// Sends a command and waits for its answer.
    ///
    /// # Errors
    ///
    /// [`OperatorError`].
    pub fn send(&self, data: &DataDir, order: impl Into<Order>) -> Result<(), OperatorError> {
        let order = order.into();
        let id = self.sender.send(data, self.status.commands_taken(), order, VALID)?;
        let start = Instant::now();
        while start.elapsed() < VALID + Duration::from_millis(500) {
            if let Some(outcome) = self.status.answer_to(id) {
                return match Verdict::from_code(outcome) {
                    Some(Verdict::Outcome(CommandOutcome::Done)) => Ok(()),
                    Some(Verdict::Outcome(other)) => Err(OperatorError::Refused(order.verb, other)),
                    Some(Verdict::Limit(reason)) => Err(OperatorError::Limit(order.verb, reason)),
                    None => Err(OperatorError::Strange(order.verb, outcome)),
                };
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Err(OperatorError::NoAnswer(order.verb, start.elapsed().as_millis()))
    }
}

/// Sets the kill switch and waits until the gateway of whatever runs has seen it; `None` when nothing runs.
///
/// # Errors
///
/// The latch could not be stored; the word is set if a process runs.
pub fn kill(data: &DataDir, why: &str) -> std::io::Result<Option<bool>> {
    set_kill_switch(data, why)?;
    let session = match Operator::open(data) {
        Ok(session) => session,
        Err(e) if e.is_nobody_there() => return Ok(None),
        // It runs, and nobody can tell whether it has seen the word.
        Err(_) => return Ok(Some(false)),
    };
    // A process that started in between has a word of its own.
    session.sender.kill();
    Ok(Some(wait(|| session.status.kill_seen().is_some())))
}

/// Releases the kill latch, of the process that runs or of the directory.
///
/// # Errors
///
/// [`OperatorError`].
pub fn clear_kill(data: &DataDir) -> Result<(), OperatorError> {
    match Operator::open(data) {
        Ok(session) => {
            session.send(data, Verb::ClearKill)?;
            wait(|| session.status.kill_seen().is_none());
            Ok(())
        }
        Err(e) if e.is_nobody_there() => Ok(data.clear_kill_latch()?),
        Err(e) => Err(e),
    }
}

/// Waits as long as a command may take; false when it did not come true.
fn wait(is_true: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + VALID;
    while !is_true() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

/// What a command is about: a strategy by name or number, an instrument by its symbol, the account without either.
///
/// # Errors
///
/// A text naming what is not known.
pub fn scope(status: &StatusReader, strategy: Option<&str>, symbol: Option<&str>) -> Result<Scope, String> {
    match (strategy, symbol) {
        (Some(_), Some(_)) => Err("a strategy or a symbol, not both".to_owned()),
        (Some(name), None) => Ok(Scope::Strategy(StrategyName::number_of(name)?)),
        (None, Some(symbol)) => Ok(Scope::Instrument(instrument(status, symbol)?.instrument as u16)),
        (None, None) => Ok(Scope::Account),
    }
}

/// Rules of the instrument of a symbol.
///
/// # Errors
///
/// A text naming a symbol that is not known.
pub fn instrument(status: &StatusReader, symbol: &str) -> Result<InstrumentDefinition, String> {
    let found = status.definitions().into_iter().find(|d| d.symbol.as_str() == symbol);
    found.ok_or_else(|| format!("symbol: {symbol:?} is not traded here"))
}

/// Scope and number of a parameter that is called by its name in the configuration, or by its number: a strategy's, or a
/// limit, which is the account's.
///
/// # Errors
///
/// A text naming what is not known, or that the strategy is missing.
pub fn parameter(name: &str, strategy: Option<&str>) -> Result<(Scope, u16), String> {
    let known = Parameter::from_label(name);
    let owner = match (strategy, known.map(Parameter::strategy)) {
        (Some(_), Some(None)) => return Err(format!("{name:?} is the account's, and no strategy's")),
        (Some(strategy), _) => Scope::Strategy(StrategyName::number_of(strategy)?),
        (None, Some(None)) => Scope::Account,
        (None, Some(Some(owner))) => Scope::Strategy(owner as u16),
        (None, None) => return Err(format!("{name:?}: say of which strategy")),
    };
    let number = known.map_or_else(
        || {
            name.parse().map_err(|_| {
                let labels: Vec<_> = Parameter::ALL.iter().map(|p| p.label()).collect();
                format!("{name:?} is no number and none of {}", labels.join(", "))
            })
        },
        |parameter| Ok(parameter as u16),
    )?;
    Ok((owner, number))
}

/// An order as people write it down: amounts are decimal text, so that nothing is rounded on the way.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// Side.
    pub side: Side,
    /// Quantity in the base asset.
    pub qty: &'a str,
    /// Limit price; without one whatever is displayed is taken, as far as the limits let an order go.
    pub price: Option<&'a str>,
    /// How long it stays; until filled or canceled otherwise.
    pub time_in_force: Option<TimeInForce>,
    /// It only brings the position back towards zero.
    pub is_reduce_only: bool,
    /// No price at all goes with it: whatever is displayed is taken, at any price.
    pub is_market: bool,
    /// The venue gives it its price.
    pub price_match: Option<PriceMatch>,
    /// Seconds after which the venue ends it.
    pub good_for_s: Option<u64>,
}

/// The command that places what is wished, in the units of its instrument.
///
/// # Errors
///
/// A text naming the value and the rule that it breaks.
pub fn placing(wish: &Wish<'_>, definition: &InstrumentDefinition, unix_ms: u64) -> Result<Order, String> {
    let units = |what: &str, text: &str, scale: u8, step: i64| {
        let of = |units| decimal::to_text(units, scale);
        let units = decimal::parse(text.as_bytes(), scale).map_err(|e| format!("{what}: {text:?}: {e}"))?;
        if units <= 0 || units % step != 0 {
            return Err(format!("{what}: {text} is no positive multiple of {}", of(step)));
        }
        Ok(units)
    };
    let qty = units("quantity", wish.qty, definition.qty_scale, definition.lot)?;
    let price =
        wish.price.map(|text| units("price", text, definition.price_scale, definition.tick)).transpose()?;
    let (time_in_force, terms) = terms(wish, unix_ms)?;
    let Wish { side, is_reduce_only, .. } = *wish;
    let price = price.unwrap_or(0);
    let ticket = Ticket { price, qty, side, time_in_force, is_reduce_only, terms };
    let scope = Scope::Instrument(definition.instrument as u16);
    Ok(Order { verb: Verb::Place, scope, detail: Detail::Ticket(ticket) })
}

/// How long a wish stays and what else it says.
fn terms(wish: &Wish<'_>, unix_ms: u64) -> Result<(TimeInForce, OrderTerms), String> {
    let Wish { price, time_in_force, is_market, price_match, good_for_s, .. } = *wish;
    let priced = [price.is_some(), is_market, price_match.is_some()];
    if priced.iter().filter(|is| **is).count() > 1 {
        return Err("price, market and price_match: one of them at most".to_owned());
    }
    let rests = price.is_some() || price_match.is_some();
    if !rests && (time_in_force.is_some() || good_for_s.is_some()) {
        return Err("time_in_force: an order without a price takes what it gets and ends at once".to_owned());
    }
    let time_in_force = match (time_in_force, good_for_s) {
        (None | Some(TimeInForce::Gtd), Some(_)) => TimeInForce::Gtd,
        (Some(TimeInForce::Gtd), None) => return Err("good_for_s: gtd wants it".to_owned()),
        (Some(other), Some(_)) => return Err(format!("good_for_s: {other} orders have no end to name")),
        (Some(other), None) => other,
        (None, None) if rests => TimeInForce::Gtc,
        (None, None) => TimeInForce::Ioc,
    };
    let order_type = if is_market { OrderType::Market } else { OrderType::Limit };
    // The venue knows whole seconds: the next one, so that what is just long enough stays so.
    let good_till_ms =
        good_for_s.map_or(0, |s| unix_ms.saturating_add(s.saturating_mul(1_000)).div_ceil(1_000) * 1_000);
    Ok((time_in_force, OrderTerms { order_type, price_match, good_till_ms }))
}

/// A client order id as lists of orders show it.
///
/// # Errors
///
/// A text with what was seen.
pub fn order_name(text: &str) -> Result<ClientOrderId, String> {
    let id = ClientOrderId::from_venue(text.as_bytes());
    let is_name = id.is_whole() && !text.is_empty();
    is_name.then_some(id).ok_or_else(|| format!("{text:?} is no client order id"))
}

/// Number of the intent of an order that waits in this session, named as lists of such orders name it.
///
/// # Errors
///
/// A text: no such name, or one of another session, whose numbers mean other orders.
pub fn held_order(name: &str, current: u64) -> Result<u64, String> {
    let parts = name.split_once('.').and_then(|(s, i)| Some((s.parse::<u64>().ok()?, i.parse().ok()?)));
    match parts {
        None => {
            Err(format!("{name:?} is no order as in 1795345595.17: session and intent with a point between"))
        }
        Some((session, _)) if session != current => {
            Err(format!("{name}: session {session} is over, and what waited in it; {current} runs"))
        }
        Some((_, intent)) => Ok(intent),
    }
}
