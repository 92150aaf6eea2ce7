//! Size of one order: lots and notional.

use super::{Breach, Context, narrow, require};
use tickpath_shared::types::Refusal;

pub(super) fn check(context: &Context<'_>, is_reducing: bool) -> Result<(), Breach> {
    let (intent, definition, limits) = (context.intent, context.definition, context.limits);
    let lots = intent.qty / definition.lot;
    require(lots <= limits.order_lots_max, Refusal::QtyMax, lots, limits.order_lots_max)?;
    let notional = definition.notional_e8(intent.price, intent.qty);
    let (least, most) = (definition.notional_min_e8, limits.order_notional_max);
    // The venue exempts reduce-only orders from its minimum.
    let is_enough = notional >= i128::from(least) || is_reducing;
    require(is_enough, Refusal::NotionalMin, narrow(notional), least)?;
    require(notional <= i128::from(most), Refusal::NotionalMax, narrow(notional), most)
}
