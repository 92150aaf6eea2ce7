//! The price: on the grid, near a fresh mark price.

use super::{Breach, Context, age_ms, require, require_lazily};
use tickpath_shared::types::{MisfitKind, Reason, Side};

#[inline(always)]
pub(super) fn check(context: &Context<'_>) -> Result<(), Breach> {
    let (intent, definition) = (context.intent, context.definition);
    match definition.misfit(intent.price, intent.qty) {
        Some(MisfitKind::Price) => require(false, Reason::OffTick, intent.price, definition.tick)?,
        Some(MisfitKind::Qty) => require(false, Reason::OffLot, intent.qty, definition.lot)?,
        None => {}
    }
    require(context.mark.price_e8 > 0, Reason::NoMark, 0, 1)?;
    let (age, bound) = (age_ms(context.now, context.mark.seen_ns), context.limits.mark_age_ms_max as i64);
    require(age <= bound, Reason::MarkStale, age, bound)?;
    let price_e8 = context.definition.price_to_e8(context.intent.price);
    collar(context, price_e8)?;
    band(context, price_e8)
}

/// Distance from the mark in basis points, compared without division.
fn collar(context: &Context<'_>, price_e8: i128) -> Result<(), Breach> {
    let mark = i128::from(context.mark.price_e8);
    let distance = (price_e8 - mark).abs();
    let bound_bps = context.limits.collar_bps;
    let holds = distance * 10_000 <= i128::from(bound_bps) * mark;
    require_lazily(holds, Reason::PriceCollar, bound_bps, || (distance * 10_000 + mark - 1) / mark)
}

/// The venue's own band around the mark price (PERCENT_PRICE). A collar that is narrower has seen to it already.
#[inline]
fn band(context: &Context<'_>, price_e8: i128) -> Result<(), Breach> {
    let (definition, collar) = (context.definition, context.limits.collar_bps);
    if definition.price_up_e4 | definition.price_down_e4 == 0 {
        return Ok(());
    }
    let (up, down) = (i64::from(definition.price_up_e4), i64::from(definition.price_down_e4));
    let (bound, is_seen_to) = match context.side {
        Side::Buy => (up, up >= 10_000 + collar),
        Side::Sell => (down, down <= 10_000 - collar),
    };
    if bound == 0 || is_seen_to { Ok(()) } else { band_itself(context, price_e8 * 10_000, bound) }
}

#[cold]
fn band_itself(context: &Context<'_>, price: i128, bound: i64) -> Result<(), Breach> {
    let mark = i128::from(context.mark.price_e8);
    let edge = mark * i128::from(bound);
    let holds = if context.side == Side::Buy { price <= edge } else { price >= edge };
    require_lazily(holds, Reason::VenueBand, bound, || price / mark)
}
