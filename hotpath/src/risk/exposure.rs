//! Exposure: position and everything in flight, unknown outcomes counted at their worst.

use super::{Breach, Context, require, require_lazily};
use crate::order::ORDERS_MAX;
use tickpath_shared::types::{Reason, Side};

/// The order can only bring the position towards zero, even if every order in flight fills.
pub(crate) fn is_reducing(context: &Context<'_>) -> bool {
    let intent = context.intent;
    if intent.is_reduce_only != 1 {
        return false;
    }
    let position = context.positions.qty(intent.instrument);
    context.survey.remaining + intent.qty <= -context.side.sign() * position
}

#[inline(always)]
pub(super) fn check(context: &Context<'_>, is_reducing: bool) -> Result<(), Breach> {
    let limits = context.limits;
    let unknown = context.survey.unknown as i64;
    // What is proven may be closed; nothing may be opened on what is not.
    require(unknown == 0 || is_reducing, Reason::OutcomeUnknown, unknown, 0)?;
    // A way out has all the room that there is.
    let bound = if is_reducing { ORDERS_MAX } else { limits.open_orders_max };
    let (open, bound) = (context.survey.open as i64, bound as i64);
    require(open < bound, Reason::OrdersMax, open, bound)?;
    if is_reducing {
        return Ok(());
    }
    let (notional, by, per) = worst_case(context);
    let bound = limits.position_notional_max;
    // Rounded up it is within the bound exactly when the product is: no division unless it breaks.
    require_lazily(notional * by <= i128::from(bound) * per, Reason::PositionMax, bound, || {
        (notional * by + per - 1) / per
    })
}

/// Notional of the position if this order and every order in flight on its side fill and the others do not: at the
/// limit price, and as a fraction the scale to the mark where that is the dearer.
fn worst_case(context: &Context<'_>) -> (i128, i128, i128) {
    let intent = context.intent;
    let position = context.positions.qty(intent.instrument);
    let worst = position + context.side.sign() * (context.survey.remaining + intent.qty);
    let at_limit = context.definition.notional_e8(intent.price, worst.abs());
    let one_e8 = context.definition.price_to_e8(intent.price);
    let mark = i128::from(context.mark.price_e8);
    if mark <= one_e8 { (at_limit, 1, 1) } else { (at_limit, mark, one_e8.max(1)) }
}

/// Notional of the order itself, quote x 10^8: at its limit price, and of a sell, which fills at that or a better one, at
/// the mark price where that is the dearer.
pub(crate) fn order_e8(context: &Context<'_>) -> i128 {
    let (intent, definition) = (context.intent, context.definition);
    let price = match context.side {
        Side::Buy => intent.price,
        Side::Sell => intent.price.max(definition.price_from_e8_up(context.mark.price_e8)),
    };
    definition.notional_e8(price, intent.qty)
}
