//! Standing of the session: kill word, trading state, proof of the account, connection, journal, clock.

use super::{Breach, Context, require};
use tickpath_shared::{
    journal::Pressure,
    types::{Reason, TradingState},
};

#[inline(always)]
pub(super) fn check(context: &Context<'_>, is_reducing: bool) -> Result<(), Breach> {
    let standing = &context.standing;
    require(!standing.is_killed, Reason::Killed, 1, 0)?;
    let is_allowed = match standing.state {
        TradingState::Armed => true,
        TradingState::CancelOnly => is_reducing,
        TradingState::Disarmed | TradingState::Halted => false,
    };
    require(is_allowed, Reason::NotArmed, standing.state as i64, TradingState::Armed as i64)?;
    require(!standing.is_stopped || is_reducing, Reason::Stopped, 1, 0)?;
    let barrier = standing.barrier.map_or(0, |metric| metric as i64);
    require(barrier == 0 || is_reducing, Reason::Breaker, barrier, 0)?;
    require(standing.is_reconciled, Reason::NotReconciled, 0, 1)?;
    require(standing.is_connected, Reason::NoSession, 0, 1)?;
    let is_journal_able = standing.pressure < Pressure::NoNewRisk || is_reducing;
    let pressure = standing.pressure as i64;
    require(is_journal_able, Reason::JournalPressure, pressure, Pressure::NoNewRisk as i64)?;
    let bound = context.limits.clock_error_ms_max as i64;
    let error_ms = standing.clock_error_ns.map_or(i64::MAX, |ns| ns.div_ceil(1_000_000) as i64);
    require(error_ms <= bound, Reason::ClockUnknown, error_ms, bound)?;
    require(context.definition.is_trading == 1, Reason::NoDefinition, 0, 1)?;
    let is_listed = context.account.allowed >> context.intent.instrument & 1 == 1;
    require(is_listed || is_reducing, Reason::NotAllowed, 0, 1)
}
