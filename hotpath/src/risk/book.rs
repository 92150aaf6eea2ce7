//! The book decided on: complete and fresh, also by the gateway's own clock.

use super::{Breach, Context, age_ms, require};
use tickpath_shared::types::Refusal;

pub(super) fn check(context: &Context<'_>) -> Result<(), Breach> {
    let (intent, limits) = (context.intent, context.limits);
    require(intent.is_book_valid == 1, Refusal::BookInvalid, 0, 1)?;
    let (age, bound) = (age_ms(context.now, intent.book_ns), limits.book_age_ms_max as i64);
    require(age <= bound, Refusal::BookStale, age, bound)?;
    let (age, bound) = (age_ms(context.now, intent.read_ns), limits.intent_age_ms_max as i64);
    require(age <= bound, Refusal::IntentStale, age, bound)
}
