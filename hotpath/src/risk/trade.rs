//! What a single trade may lose, and what it must be able to bring, where its strategy says where it ends.

use super::{Breach, Context, narrow, require};
use tickpath_shared::types::Reason;

const ONE_E8: i128 = 100_000_000;

#[inline(always)]
pub(super) fn check(context: &Context<'_>) -> Result<(), Breach> {
    if context.intent.stop == 0 { Ok(()) } else { bounded(context) }
}

#[inline(never)]
fn bounded(context: &Context<'_>) -> Result<(), Breach> {
    let (intent, limits) = (context.intent, context.limits);
    let sign = context.side.sign();
    let risk = sign * (intent.price - intent.stop);
    let is_asked = limits.trade_risk_max != 0 || limits.reward_ratio_min != 0;
    // Beyond its own stop there is no trade to be measured.
    require(risk > 0 || !is_asked, Reason::TradeRisk, intent.price, intent.stop)?;
    if limits.trade_risk_max != 0 {
        let (lost, bound) = (context.definition.notional_e8(risk, intent.qty), limits.trade_risk_max);
        require(lost <= i128::from(bound), Reason::TradeRisk, narrow(lost), bound)?;
    }
    if limits.reward_ratio_min == 0 || intent.target == 0 {
        return Ok(());
    }
    let reward = i128::from(sign * (intent.target - intent.price));
    let ratio = reward * ONE_E8 / i128::from(risk);
    let bound = limits.reward_ratio_min;
    require(ratio >= i128::from(bound), Reason::RewardRatio, narrow(ratio), bound)
}
