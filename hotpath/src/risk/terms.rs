//! Terms that most orders do not have: no price, a price of the venue's, an end of its own.

use super::{Breach, Context, require};
use tickpath_shared::types::{OrderTerms, OrderType, Reason, TimeInForce};

/// The venue ends no order sooner than this, nor later than it can write down.
const GOOD_FOR_MS_MIN: u64 = 600_000;
const GOOD_TILL_MS_MAX: u64 = 253_402_300_799_000;

#[inline(always)]
pub(super) fn check(context: &Context<'_>) -> Result<(), Breach> {
    if context.intent.is_plain() { Ok(()) } else { more_than_plain(context) }
}

#[inline(never)]
fn more_than_plain(context: &Context<'_>) -> Result<(), Breach> {
    let intent = context.intent;
    let unknown = Breach { reason: Reason::Terms, value: intent.order_type.into(), bound: 0 };
    let terms = intent.terms().ok_or(unknown)?;
    // What it fills at nothing here bounds: it is allowed, or it is not sent.
    let is_priced_there = terms.order_type == OrderType::Market || terms.price_match.is_some();
    require(!is_priced_there || context.limits.market_orders, Reason::MarketOrder, 1, 0)?;
    if terms.order_type == OrderType::Market {
        return market(context, &terms);
    }
    end(context, terms.good_till_ms)
}

fn market(context: &Context<'_>, terms: &OrderTerms) -> Result<(), Breach> {
    let (intent, definition) = (context.intent, context.definition);
    let is_plain_otherwise = terms.price_match.is_none() && terms.good_till_ms == 0;
    let ends_at_once = intent.time_in_force == TimeInForce::Ioc as u8;
    require(is_plain_otherwise && ends_at_once, Reason::Terms, intent.time_in_force.into(), 0)?;
    let is_lot = definition.is_market_qty(intent.qty);
    require(is_lot, Reason::MarketLot, intent.qty, definition.market_qty_max)
}

/// An end is an order's of [`TimeInForce::Gtd`], and of no other.
fn end(context: &Context<'_>, good_till_ms: u64) -> Result<(), Breach> {
    let is_gtd = context.intent.time_in_force == TimeInForce::Gtd as u8;
    if good_till_ms == 0 && !is_gtd {
        return Ok(());
    }
    let good_for_ms = good_till_ms.saturating_sub(context.venue_ms);
    let is_in = good_for_ms > GOOD_FOR_MS_MIN && good_till_ms < GOOD_TILL_MS_MAX;
    require(is_gtd && is_in, Reason::GoodTill, (good_for_ms / 1_000) as i64, (GOOD_FOR_MS_MIN / 1_000) as i64)
}
