//! Size of one order: lots and notional.

use super::{Breach, Context, exposure, narrow, require, require_lazily};
use tickpath_shared::types::Reason;

/// Returns the notional at the limit price, which the limits after this one look at, too.
#[inline(always)]
pub(super) fn check(context: &Context<'_>, is_reducing: bool) -> Result<i128, Breach> {
    let (intent, definition, limits) = (context.intent, context.definition, context.limits);
    let lots_max = limits.order_lots_max;
    let qty_max = i128::from(lots_max) * i128::from(definition.lot);
    // Every quantity here is a multiple of the lot: the price check saw to that.
    require_lazily(i128::from(intent.qty) <= qty_max, Reason::QtyMax, lots_max, || {
        i128::from(intent.qty / definition.lot)
    })?;
    let notional = definition.notional_e8(intent.price, intent.qty);
    let (least, most) = (definition.notional_min_e8, limits.order_notional_max);
    // The venue exempts reduce-only orders from its minimum.
    let is_enough = notional >= i128::from(least) || is_reducing;
    require(is_enough, Reason::NotionalMin, narrow(notional), least)?;
    let worth = exposure::worth_e8(context, notional);
    require(worth <= i128::from(most), Reason::NotionalMax, narrow(worth), most)?;
    Ok(notional)
}
