//! The price: on the grid, near a fresh mark price.

use super::{Breach, Context, age_ms, require, require_lazily};
use tickpath_shared::types::{MisfitKind, Refusal, Side};

pub(super) fn check(context: &Context<'_>) -> Result<(), Breach> {
    let (intent, definition) = (context.intent, context.definition);
    match definition.misfit(intent.price, intent.qty) {
        Some(MisfitKind::Price) => require(false, Refusal::OffTick, intent.price, definition.tick)?,
        Some(MisfitKind::Qty) => require(false, Refusal::OffLot, intent.qty, definition.lot)?,
        None => {}
    }
    require(context.mark.price_e8 > 0, Refusal::NoMark, 0, 1)?;
    let (age, bound) = (age_ms(context.now, context.mark.seen_ns), context.limits.mark_age_ms_max as i64);
    require(age <= bound, Refusal::MarkStale, age, bound)?;
    band(context)?;
    collar(context)
}

/// The venue's own band around the mark price (PERCENT_PRICE), compared without division.
fn band(context: &Context<'_>) -> Result<(), Breach> {
    let (definition, mark) = (context.definition, i128::from(context.mark.price_e8));
    let price = definition.price_to_e8(context.intent.price) * 10_000;
    let (bound_e4, holds) = match context.side {
        Side::Buy => (definition.price_up_e4, price <= mark * i128::from(definition.price_up_e4)),
        Side::Sell => (definition.price_down_e4, price >= mark * i128::from(definition.price_down_e4)),
    };
    let bound = i64::from(bound_e4);
    require_lazily(holds || bound == 0, Refusal::VenueBand, bound, || price / mark)
}

/// Distance from the mark in basis points, compared without division.
fn collar(context: &Context<'_>) -> Result<(), Breach> {
    let mark = i128::from(context.mark.price_e8);
    let distance = (context.definition.price_to_e8(context.intent.price) - mark).abs();
    let bound_bps = context.limits.collar_bps;
    let holds = distance * 10_000 <= i128::from(bound_bps) * mark;
    require_lazily(holds, Refusal::PriceCollar, bound_bps, || (distance * 10_000 + mark - 1) / mark)
}
