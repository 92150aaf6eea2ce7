//! The same again, and against oneself.

use super::{Breach, Context, require};
use tickpath_shared::types::Reason;

#[inline(always)]
pub(super) fn check(context: &Context<'_>, is_reducing: bool) -> Result<(), Breach> {
    let (identical, bound) = (context.survey.identical, context.limits.identical_orders_max);
    require(identical < bound || is_reducing, Reason::Identical, identical as i64, bound as i64)?;
    context.survey.crossing.map_or(Ok(()), |price| {
        Err(Breach { reason: Reason::SelfCross, value: context.intent.price, bound: price })
    })
}
