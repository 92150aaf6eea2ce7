//! Limits, one file a family, checked in the gateway: the last hop before the venue.
//!
//! Every check compares a value with a bound and says both. A missing reference refuses. What every order is compared
//! with is inlined, so that an order that passes is one run of comparisons (2 % of a tick's instructions, a fifth of the
//! stage's time); what few orders have, and what only a refusal tells, is apart.

mod account;
mod book;
mod exposure;
mod price;
mod rate;
mod session;
mod size;
mod terms;
mod trade;
mod twice;

pub use account::Account;
pub(crate) use exposure::{is_reducing, order_e8};
pub use rate::{OrderCount, RateWindow, Rates};

use crate::{account::Positions, order::Survey};
use serde::{Deserialize, Serialize};
use tickpath_shared::{
    Nanos, config,
    journal::Pressure,
    record::IntentRecord,
    types::{BreakerMetric, ClientOrderId, InstrumentDefinition, Reason, Side, TradingState},
};

/// A limit that refuses an intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breach {
    /// Which.
    pub reason: Reason,
    /// The value compared.
    pub value: i64,
    /// What it was compared with.
    pub bound: i64,
}

/// A mark price and when it was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Price x 10^8; 0 before the first.
    pub price_e8: i64,
    /// Session time of its arrival.
    pub seen_ns: Nanos,
}

/// Everything a check may look at.
pub struct Context<'a> {
    /// Session time of the check.
    pub now: Nanos,
    /// The venue's time, unix milliseconds.
    pub venue_ms: u64,
    /// Age of the book decided on by the venue's clock.
    pub book_venue_age_ns: Nanos,
    /// The limits.
    pub limits: &'a config::Risk,
    /// The intent.
    pub intent: &'a IntentRecord,
    /// Its side.
    pub side: Side,
    /// Definition in force.
    pub definition: &'a InstrumentDefinition,
    /// Mark price of the instrument.
    pub mark: Mark,
    /// Positions from fills.
    pub positions: &'a Positions,
    /// The other orders not yet at their end.
    pub survey: Survey,
    /// The order in whose place it would be.
    pub replaces: Option<&'a ClientOrderId>,
    /// What does not belong to the instrument alone.
    pub account: Account<'a>,
    /// Orders and requests of the last while.
    pub rates: &'a Rates,
    /// Standing of the session.
    pub standing: Standing,
}

/// What does not depend on the intent.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// A person stopped openings of the account, the strategy or the instrument.
    pub is_stopped: bool,
    /// The breaker because of which nothing may be opened.
    pub barrier: Option<BreakerMetric>,
    /// The kill word is set.
    pub is_killed: bool,
    /// Trading state.
    pub state: TradingState,
    /// Orders, fills and positions of the account are proven.
    pub is_reconciled: bool,
    /// Order session and account stream are up.
    pub is_connected: bool,
    /// Pressure of the journal.
    pub pressure: Pressure,
    /// Bound of the error of the venue's clock in nanoseconds, `None` while unknown.
    pub clock_error_ns: Option<u64>,
}

/// Checks every limit, cheapest and most general first.
///
/// # Errors
///
/// The first [`Breach`].
pub fn check(context: &Context<'_>) -> Result<(), Breach> {
    let is_reducing = is_reducing(context);
    session::check(context, is_reducing)?;
    book::check(context)?;
    price::check(context)?;
    terms::check(context)?;
    let notional = size::check(context, is_reducing)?;
    exposure::check(context, notional, is_reducing)?;
    if !is_reducing {
        trade::check(context)?;
        account::check(context, notional)?;
    }
    twice::check(context, is_reducing)?;
    context.rates.check(context.now, context.venue_ms, context.limits, is_reducing)
}

/// Refuses with numbers unless `holds`.
#[inline(always)]
fn require(holds: bool, reason: Reason, value: i64, bound: i64) -> Result<(), Breach> {
    if holds { Ok(()) } else { Err(breach(reason, value, bound)) }
}

/// As [`require`], for a value that is dear to compute and only wanted when the limit refuses.
#[inline(always)]
fn require_lazily(
    holds: bool,
    reason: Reason,
    bound: i64,
    value: impl FnOnce() -> i128,
) -> Result<(), Breach> {
    if holds { Ok(()) } else { Err(breach(reason, narrow(value()), bound)) }
}

/// Cold, so that what is only told of a refusal stays out of the way of the orders that pass.
#[cold]
#[inline(never)]
fn breach(reason: Reason, value: i64, bound: i64) -> Breach {
    Breach { reason, value, bound }
}

/// Saturates a wide value for the record.
fn narrow(value: i128) -> i64 {
    value.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

fn age_ms(now: Nanos, since: Nanos) -> i64 {
    (now.saturating_sub(since) / 1_000_000) as i64
}

#[cfg(test)]
mod tests;
