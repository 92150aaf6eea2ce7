//! The operator's verbs, through the command file.

use super::{print, process::DirArguments};
use anyhow::{Error, Result, bail};
use clap::Args;
use serde_json::json;
use std::process::ExitCode;
use tickpath_control::held::HeldOrders;
use tickpath_shared::{
    clock::{host_ns_now, unix_ns_now},
    command::{CommandOutcome, Detail, Order, Scope, Verb},
    counters::Counter,
    operator::{self, Operator, OperatorError, Wish},
    status::StatusReader,
    types::{PriceMatch, Side, TimeInForce},
};

/// Arguments of `arm`.
#[derive(Debug, Args)]
pub(super) struct ArmArguments {
    #[command(flatten)]
    scope: ScopeArguments,
    /// Release the kill latch first
    #[arg(long)]
    clear_kill: bool,
}

/// What a command is about.
#[derive(Debug, Args)]
pub(super) struct ScopeArguments {
    #[command(flatten)]
    dir: DirArguments,
    /// Only this strategy, by its name or number
    #[arg(long, conflicts_with = "symbol")]
    strategy: Option<String>,
    /// Only this instrument
    #[arg(long)]
    symbol: Option<String>,
}

impl ScopeArguments {
    fn scope(&self, status: &StatusReader) -> Result<Scope> {
        operator::scope(status, self.strategy.as_deref(), self.symbol.as_deref()).map_err(Error::msg)
    }
}

/// Arguments of `stop`.
#[derive(Debug, Args)]
pub(super) struct StopArguments {
    #[command(flatten)]
    scope: ScopeArguments,
    /// Cancel what is open, too
    #[arg(long)]
    cancel: bool,
}

/// Arguments of `set`.
#[derive(Debug, Args)]
pub(super) struct SetArguments {
    #[command(flatten)]
    dir: DirArguments,
    /// Name of the parameter in the configuration; for a strategy of your own its number, with --strategy
    name: String,
    /// Its new value
    #[arg(allow_negative_numbers = true)]
    value: f64,
    /// The strategy, when the name does not say
    #[arg(long)]
    strategy: Option<String>,
}

/// Arguments of `order`.
#[derive(Debug, Args)]
pub(super) struct OrderArguments {
    #[command(flatten)]
    dir: DirArguments,
    /// buy or sell
    #[arg(value_parser = side)]
    side: Side,
    /// Quantity in the base asset
    quantity: String,
    /// The instrument
    symbol: String,
    /// Limit price; without one whatever is displayed is taken, no further than the limits let an order go
    #[arg(long)]
    price: Option<String>,
    /// Take whatever is displayed, at any price (risk.market_orders)
    #[arg(long)]
    market: bool,
    /// The venue gives it its price: opponent, opponent_5, queue, queue_5, queue_10 or queue_20
    #[arg(long, value_parser = price_match)]
    price_match: Option<PriceMatch>,
    /// Seconds after which the venue ends it, more than ten minutes
    #[arg(long)]
    good_for_s: Option<u64>,
    /// gtc, ioc, fok, gtx or gtd, with a price
    #[arg(long, value_parser = time_in_force)]
    time_in_force: Option<TimeInForce>,
    /// Only bring the position back towards zero
    #[arg(long)]
    reduce_only: bool,
}

fn side(text: &str) -> Result<Side, String> {
    let found = Side::ALL.iter().copied().find(|side| side.label() == text);
    found.ok_or_else(|| "neither buy nor sell".to_owned())
}

fn time_in_force(text: &str) -> Result<TimeInForce, String> {
    let found = TimeInForce::ALL.iter().copied().find(|time| time.label() == text);
    found.ok_or_else(|| "none of gtc, ioc, fok, gtx, gtd".to_owned())
}

fn price_match(text: &str) -> Result<PriceMatch, String> {
    let found = PriceMatch::ALL.iter().copied().find(|price_match| price_match.label() == text);
    found.ok_or_else(|| "none of opponent, opponent_5, queue, queue_5, queue_10, queue_20".to_owned())
}

/// Arguments of `cancel`.
#[derive(Debug, Args)]
pub(super) struct CancelArguments {
    #[command(flatten)]
    dir: DirArguments,
    /// Client order id
    order: String,
}

/// Arguments of `approve` and `deny`.
#[derive(Debug, Args)]
pub(super) struct HeldOrderArguments {
    #[command(flatten)]
    dir: DirArguments,
    /// The order as `tickpath held` shows it: session and number of the intent, with a point between
    order: String,
}

/// Arguments of `held`.
#[derive(Debug, Args)]
pub(super) struct HeldArguments {
    #[command(flatten)]
    dir: DirArguments,
    /// A JSON array
    #[arg(long)]
    json: bool,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub(super) struct StatusArguments {
    #[command(flatten)]
    dir: DirArguments,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// Sets word and latch. The word comes first: a slow disk, or a full one, must not stand in its way.
pub(super) fn kill(arguments: &DirArguments) -> Result<ExitCode> {
    let data = arguments.open()?;
    print(match operator::kill(&data, "tickpath kill")? {
        Some(true) => "kill word set, seen by the gateway; latched until `tickpath arm --clear-kill`\n",
        Some(false) => {
            "kill word set, NOT YET SEEN by the gateway; latched until `tickpath arm --clear-kill`\n"
        }
        None => "kill latch set; no hot process runs\n",
    });
    Ok(ExitCode::SUCCESS)
}

pub(super) fn arm(arguments: &ArmArguments) -> Result<ExitCode> {
    let data = arguments.scope.dir.open()?;
    if arguments.clear_kill {
        operator::clear_kill(&data)?;
    }
    let Ok(session) = Operator::open(&data) else {
        if arguments.clear_kill {
            print("kill latch released; no hot process runs\n");
            return Ok(ExitCode::SUCCESS);
        }
        bail!("no hot process runs on {}", data.root().display());
    };
    let scope = arguments.scope.scope(&session.status)?;
    session.send(&data, Order { verb: Verb::Arm, scope, detail: Detail::None })?;
    print("armed\n");
    Ok(ExitCode::SUCCESS)
}

pub(super) fn disarm(arguments: &DirArguments) -> Result<ExitCode> {
    let data = arguments.open()?;
    Operator::open(&data)?.send(&data, Verb::Disarm)?;
    print("disarmed\n");
    Ok(ExitCode::SUCCESS)
}

/// Stops openings; the orders that are open stay unless they are to be canceled.
pub(super) fn stop(arguments: &StopArguments) -> Result<ExitCode> {
    let code = scoped(&arguments.scope, Verb::StopOpening)?;
    if arguments.cancel { scoped(&arguments.scope, Verb::CancelAll) } else { Ok(code) }
}

pub(super) fn scoped(arguments: &ScopeArguments, verb: Verb) -> Result<ExitCode> {
    let data = arguments.dir.open()?;
    let session = Operator::open(&data)?;
    let scope = arguments.scope(&session.status)?;
    session.send(&data, Order { verb, scope, detail: Detail::None })?;
    let of = match scope {
        Scope::Account => "the account".to_owned(),
        Scope::Strategy(number) => format!("strategy {number}"),
        Scope::Instrument(_) => arguments.symbol.clone().unwrap_or_default(),
    };
    print(&format!("{verb}: {of}\n"));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn release_breakers(arguments: &DirArguments) -> Result<ExitCode> {
    let data = arguments.open()?;
    Operator::open(&data)?.send(&data, Verb::ReleaseBreakers)?;
    print("breakers released\n");
    Ok(ExitCode::SUCCESS)
}

pub(super) fn set(arguments: &SetArguments) -> Result<ExitCode> {
    let SetArguments { dir, name, value, strategy } = arguments;
    let (scope, parameter) = operator::parameter(name, strategy.as_deref()).map_err(Error::msg)?;
    let data = dir.open()?;
    let detail = Detail::Setting(parameter, *value);
    let order = Order { verb: Verb::Set, scope, detail };
    Operator::open(&data)?.send(&data, order)?;
    print(&format!("{name} is {value}\n"));
    Ok(ExitCode::SUCCESS)
}

/// Places an order of a person's own, through the limits of all orders.
pub(super) fn place(arguments: &OrderArguments) -> Result<ExitCode> {
    let OrderArguments { dir, side, quantity, symbol, price, time_in_force, .. } = arguments;
    let data = dir.open()?;
    let running = Operator::open(&data)?;
    let definition = operator::instrument(&running.status, symbol).map_err(Error::msg)?;
    let wish = Wish {
        side: *side,
        qty: quantity,
        price: price.as_deref(),
        time_in_force: *time_in_force,
        is_reduce_only: arguments.reduce_only,
        is_market: arguments.market,
        price_match: arguments.price_match,
        good_for_s: arguments.good_for_s,
    };
    let order = operator::placing(&wish, &definition, unix_ns_now() / 1_000_000).map_err(Error::msg)?;
    match running.send(&data, order) {
        Err(OperatorError::Refused(_, CommandOutcome::AwaitsApproval)) => {
            print("not sent yet: it waits for a person, see `tickpath held`\n");
        }
        sent => {
            sent?;
            print("sent\n");
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn cancel(arguments: &CancelArguments) -> Result<ExitCode> {
    let data = arguments.dir.open()?;
    let detail = Detail::Order(operator::order_name(&arguments.order).map_err(Error::msg)?);
    Operator::open(&data)?.send(&data, Order { verb: Verb::Cancel, scope: Scope::Account, detail })?;
    print(&format!("cancel sent: {}\n", arguments.order));
    Ok(ExitCode::SUCCESS)
}

/// Answers for an order that waits: it leaves if the limits still let it, or never.
pub(super) fn answer_held(arguments: &HeldOrderArguments, verb: Verb) -> Result<ExitCode> {
    let HeldOrderArguments { dir, order } = arguments;
    let data = dir.open()?;
    let running = Operator::open(&data)?;
    let intent = operator::held_order(order, running.status.identity().session).map_err(Error::msg)?;
    running.send(&data, Order { verb, scope: Scope::Account, detail: Detail::Intent(intent) })?;
    print(&format!("{verb}: {order}\n"));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn held(arguments: &HeldArguments) -> Result<ExitCode> {
    let data = arguments.dir.open()?;
    let session = Operator::open(&data)?;
    let now = host_ns_now().saturating_sub(session.status.identity().start_host_ns);
    let waiting = HeldOrders::default().waiting(&data, &session.status, now)?;
    if arguments.json {
        print(&format!("{}\n", serde_json::to_string(&waiting)?));
        return Ok(ExitCode::SUCCESS);
    }
    if waiting.is_empty() {
        print("no order waits for a person\n");
    }
    for order in waiting {
        print(&format!("{order}\n"));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn status(arguments: &StatusArguments) -> Result<ExitCode> {
    let data = arguments.dir.open()?;
    let session = Operator::open(&data)?;
    let s = &session.status;
    if arguments.json {
        let counters: serde_json::Map<String, serde_json::Value> =
            Counter::ALL.iter().map(|c| (c.label().to_owned(), json!(s.counter(*c)))).collect();
        let value = json!({
            "session": s.identity().session,
            "pid": s.identity().pid,
            "build": s.identity().build,
            "trading_state": s.trading_state().label(),
            "kill": s.kill_seen().is_some(),
            "reconciled": s.is_reconciled(),
            "counters": counters,
        });
        print(&format!("{value}\n"));
    } else {
        print(&format!(
            "session {} (process {}, {})\nstate {}, kill {}, account {}\nframes {}, orders {}, fills {}, refused {}\n",
            s.identity().session,
            s.identity().pid,
            s.identity().build,
            s.trading_state(),
            if s.kill_seen().is_some() { "SET" } else { "clear" },
            if s.is_reconciled() { "reconciled" } else { "not reconciled" },
            s.counter(Counter::Frames),
            s.counter(Counter::OrdersSent),
            s.counter(Counter::Fills),
            s.counter(Counter::Refusals),
        ));
    }
    Ok(ExitCode::SUCCESS)
}
