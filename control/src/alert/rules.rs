//! What people are told of. Each rule looks at an [`Observation`] and says what is wrong, in words, or nothing.

use super::observe::Observation;
use tickpath_shared::{
    config::{self, AlertSeverity, Config, Mode},
    counters::Counter,
    record::EventCode,
    status::{InstrumentWord, StatusReader},
    types::{TradingState, decimal},
};

/// Age of a part's last turn above which it counts as stalled.
const STALL_NS: u64 = 3_000_000_000;
/// Orders sent, and orders that were traced, below which a share says nothing.
const ORDERS_MIN: u64 = 20;
const TRACED_MIN: u64 = 10;

/// A rule.
pub struct Rule {
    /// Its name, also that of its entry in the runbook.
    pub name: &'static str,
    /// How bad it is.
    pub severity: AlertSeverity,
    /// Seconds for which it must hold; `None` when it is turned off.
    pub hold_s: fn(&Config) -> Option<u64>,
    /// What is wrong.
    pub(super) find: fn(&Observation<'_>) -> Option<String>,
}

use AlertSeverity::{Critical, Info, Warning};

const fn rule(
    name: &'static str,
    severity: AlertSeverity,
    find: fn(&Observation<'_>) -> Option<String>,
) -> Rule {
    Rule { name, severity, hold_s: |_| Some(0), find }
}

const fn lasting(
    name: &'static str,
    severity: AlertSeverity,
    hold_s: fn(&Config) -> Option<u64>,
    find: fn(&Observation<'_>) -> Option<String>,
) -> Rule {
    Rule { hold_s, ..rule(name, severity, find) }
}

fn outage(config: &Config) -> Option<u64> {
    Some(config.alert.outage_s_max).filter(|seconds| *seconds > 0)
}

fn proof(config: &Config) -> Option<u64> {
    Some(config.venue.proof_deadline_s)
}

/// Every rule.
pub const RULES: &[Rule] = &[
    // A session that ended before this process began is announced until the next one is.
    lasting(
        "hot_down",
        Critical,
        |_| Some(3),
        |o| (o.is_down).then(|| "the hot process is gone and did not stop in order".to_owned()),
    ),
    lasting("hot_absent", Critical, outage, |o| {
        let is_absent = o.running().is_none() && !o.is_down;
        is_absent.then(|| "no hot process runs: it did not come up, or was stopped".to_owned())
    }),
    rule("stage_stalled", Critical, |o| {
        let (part, age) = o.slowest_part().filter(|(_, age)| *age > STALL_NS)?;
        Some(format!("{part} made no turn for {} s", age / 1_000_000_000))
    }),
    rule("kill_switch", Critical, |o| {
        o.running()?.kill_seen().map(|_| "the kill switch is set: no order leaves".to_owned())
    }),
    rule("trading_halted", Critical, |o| {
        let status = o.running()?;
        let is_halted = status.trading_state() == TradingState::Halted && status.kill_seen().is_none();
        is_halted.then(|| "trading is halted; events say why".to_owned())
    }),
    rule("wrong_mode", Critical, |o| {
        let is_live = o.running()?.identity().is_live;
        let is_meant = o.config.instance.mode == Mode::Live;
        (is_live != is_meant).then(|| "the hot process runs in another mode than is configured".to_owned())
    }),
    lasting("not_reconciled", Warning, proof, |o| {
        (!o.running()?.is_reconciled())
            .then(|| "orders and positions are not proven: nothing is opened".to_owned())
    }),
    lasting("link_lost", Critical, outage, |o| {
        let lost: Vec<&str> = [(1, "orders"), (2, "account events")]
            .into_iter()
            .filter(|(bit, _)| o.status.is_some_and(|status| status.links() & bit == 0))
            .map(|(_, name)| name)
            .collect();
        (o.running().is_some() && !lost.is_empty())
            .then(|| format!("no connection for {}", lost.join(" and ")))
    }),
    lasting("book_invalid", Warning, outage, |o| {
        let status = o.running()?;
        let symbols: Vec<String> = status
            .definitions()
            .iter()
            .filter(|d| status.instrument(d.instrument, InstrumentWord::IsValid) != 1)
            .map(|d| d.symbol.as_str().to_owned())
            .collect();
        (!symbols.is_empty()).then(|| format!("no valid book of {}", symbols.join(", ")))
    }),
    rule("latency_high", Warning, |o| {
        let bound_ms = Some(o.config.alert.latency_ms_max).filter(|ms| *ms > 0)?;
        let traced = o.minute.as_ref().filter(|minute| minute.count() >= TRACED_MIN)?;
        let p99_ms = traced.quantile_ns(0.99) as f64 / 1e6;
        (p99_ms > bound_ms as f64)
            .then(|| format!("tick to trade p99 {p99_ms:.1} ms in the last minute, bound {bound_ms} ms"))
    }),
    rule("errors_high", Warning, |o| {
        let bound = Some(o.config.alert.error_percent_max).filter(|percent| *percent > 0)?;
        let sent = Some(o.gained(Counter::OrdersSent)).filter(|sent| *sent >= ORDERS_MIN)?;
        let failed = o.gained(Counter::OrdersRejected) + o.gained(Counter::OrdersUnknown);
        let is_high = failed * 100 > sent * bound;
        is_high.then(|| format!("{failed} of {sent} orders refused or lost in two minutes, bound {bound} %"))
    }),
    lasting("orders_unknown", Critical, proof, |o| {
        let status = o.running()?;
        let open =
            status.counter(Counter::OrdersUnknown).saturating_sub(status.counter(Counter::OrdersResolved));
        (open > 0).then(|| format!("the outcome of {open} orders is not known"))
    }),
    rule("drawdown", Critical, |o| {
        let bound = Some(o.config.alert.drawdown_percent_max).filter(|percent| *percent > 0)?;
        let capital = capital_e8(o.config).filter(|capital| *capital > 0)?;
        let fallen = o.peak_e8?.saturating_sub(o.result_e8?);
        let is_deep = i128::from(fallen) * 100 > i128::from(capital) * i128::from(bound);
        is_deep.then(|| {
            let [fallen, capital] = [fallen, capital].map(|amount| decimal::to_text(amount, 8));
            format!("the session's result fell by {fallen} from its peak, more than {bound} % of {capital}")
        })
    }),
    rule("position_over_limit", Critical, |o| {
        let bound_e8 = o.config.risk.position_notional_max;
        let over =
            o.positions_e8().into_iter().find(|(_, notional)| notional.abs() > i128::from(bound_e8))?;
        let notional = decimal::to_text(i64::try_from(over.1).unwrap_or(i64::MAX), 8);
        Some(format!("position in {} is worth {notional}, bound {}", over.0, decimal::to_text(bound_e8, 8)))
    }),
    rule("breaker", Critical, |o| {
        (!o.breakers.is_empty()).then(|| format!("breakers hold: {}", o.breakers.join(", ")))
    }),
    rule("tampering", Critical, |o| o.seen(EventCode::Tampering)),
    rule("hot_panic", Critical, |o| o.seen(EventCode::Panic)),
    rule("resting_stop", Critical, |o| o.seen(EventCode::RestingStop)),
    rule("money", Warning, |o| o.seen(EventCode::Money)),
    rule("position_mismatch", Warning, |o| {
        let count = Some(o.gained(Counter::PositionMismatches)).filter(|count| *count > 0)?;
        Some(format!("positions differed from the venue's {count} times in two minutes"))
    }),
    rule("foreign_activity", Warning, |o| {
        let count = o.gained(Counter::FillsForeign) + o.gained(Counter::OutcomesForeign);
        (count > 0).then(|| format!("{count} orders or fills of somebody else on the account in two minutes"))
    }),
    rule("inputs_skipped", Critical, |o| {
        (o.skipped > 0).then(|| format!("{} inputs are not in the journal", o.skipped))
    }),
    rule("disk_low", Critical, |o| {
        let bound = Some(o.config.alert.free_percent_min).filter(|percent| *percent > 0)?;
        let (place, free) = o.free_percent.iter().find(|(_, free)| *free < bound)?;
        Some(format!("{free} % of {place} are free, bound {bound} %"))
    }),
    rule("archive_failing", Critical, |o| {
        o.is_archive_failing.then(|| "the journal cannot be copied to disk".to_owned())
    }),
    lasting("archive_lag", Warning, outage, |o| {
        let bound = o.config.control.lag_mib_max;
        (o.lag_mib > bound).then(|| format!("{} MiB wait to be copied to disk, bound {bound} MiB", o.lag_mib))
    }),
    lasting("store_failing", Warning, outage, |o| {
        o.is_store_failing.then(|| "the store cannot be written; it catches up when it can".to_owned())
    }),
    lasting("export_failing", Warning, outage, |o| {
        o.is_export_failing
            .then(|| "control.export_file cannot be written; it catches up when it can".to_owned())
    }),
    rule("control_degraded", Warning, |o| {
        (!o.missing.is_empty()).then(|| format!("the control process does without: {}", o.missing.join("; ")))
    }),
    rule("orders_held", Info, |o| (o.held > 0).then(|| format!("{} orders wait for a person", o.held))),
];

/// What the drawdown is a share of.
fn capital_e8(config: &Config) -> Option<i64> {
    let config::Alert { capital, .. } = config.alert;
    match (capital, config.instance.mode) {
        (0, Mode::Simulation) => Some(config.simulation.balance),
        (0, Mode::Live) => None,
        (capital, _) => Some(capital),
    }
}

/// Result of a session with what is open at its marks, quote currency x 10^8; `None` before every mark is known.
pub(super) fn result_e8(status: &StatusReader) -> Option<i64> {
    let of = |d: &tickpath_shared::types::InstrumentDefinition| {
        let word = |word| i128::from(status.instrument(d.instrument, word));
        let (mark, position) = (word(InstrumentWord::MarkPrice), word(InstrumentWord::Position));
        let unit = i128::from(decimal::pow10(d.qty_scale));
        let open = (mark - word(InstrumentWord::EntryPriceE8)) * position / unit;
        let is_known = mark > 0 || position == 0;
        let closed = word(InstrumentWord::RealizedE8) - word(InstrumentWord::FeesE8);
        is_known.then_some(closed + if position == 0 { 0 } else { open })
    };
    let sum: Option<i128> = status.definitions().iter().map(of).sum();
    sum.and_then(|sum| i64::try_from(sum).ok())
}
