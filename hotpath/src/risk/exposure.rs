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
pub(super) fn check(context: &Context<'_>, notional: i128, is_reducing: bool) -> Result<(), Breach> {
    let (intent, limits) = (context.intent, context.limits);
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
    let at_limit = worst_case(context, notional);
    let bound = limits.position_notional_max;
    let (mark, limit) = (i128::from(context.mark.price_e8), context.definition.price_to_e8(intent.price));
    if mark <= limit {
        return require_lazily(at_limit <= i128::from(bound), Reason::PositionMax, bound, || at_limit);
    }
    // The mark is the dearer. Rounded up it is within the bound exactly when the product is: no division unless it breaks.
    let per = limit.max(1);
    require_lazily(at_limit * mark <= i128::from(bound) * per, Reason::PositionMax, bound, || {
        (at_limit * mark + per - 1) / per
    })
}

/// Notional at the limit price of the position if this order, whose own is `notional`, and every order in flight on its
/// side fill and the others do not.
fn worst_case(context: &Context<'_>, notional: i128) -> i128 {
    let intent = context.intent;
    let position = context.positions.qty(intent.instrument);
    let worst = position + context.side.sign() * (context.survey.remaining + intent.qty);
    if worst.abs() == intent.qty {
        notional
    } else {
        context.definition.notional_e8(intent.price, worst.abs())
    }
}

/// Notional of the order itself, quote x 10^8: at its limit price, and of a sell, which fills at that or a better one, at
/// the mark price where that is the dearer.
pub(crate) fn order_e8(context: &Context<'_>) -> i128 {
    worth_e8(context, context.definition.notional_e8(context.intent.price, context.intent.qty))
}

/// As [`order_e8`], of an order whose notional at its limit price is `notional`.
#[inline(always)]
pub(super) fn worth_e8(context: &Context<'_>, notional: i128) -> i128 {
    let (intent, definition) = (context.intent, context.definition);
    if context.side == Side::Buy {
        return notional;
    }
    let mark = definition.price_from_e8_up(context.mark.price_e8);
    if intent.price >= mark { notional } else { definition.notional_e8(mark, intent.qty) }
}
