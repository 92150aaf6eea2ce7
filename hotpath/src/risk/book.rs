//! The book decided on: complete and fresh, by the gateway's own clock and by the venue's.

use super::{Breach, Context, age_ms, require};
use tickpath_shared::types::Refusal;

pub(super) fn check(context: &Context<'_>) -> Result<(), Breach> {
    let (intent, limits) = (context.intent, context.limits);
    require(intent.is_book_valid == 1, Refusal::BookInvalid, 0, 1)?;
    let (age, bound) = (age_ms(context.now, intent.book_ns), limits.book_age_ms_max as i64);
    require(age <= bound, Refusal::BookStale, age, bound)?;
    // Only when it is wanted: recorded data is as old as its recording.
    if limits.book_venue_age_ms_max != 0 {
        let (age, bound) = (context.book_venue_age_ms as i64, limits.book_venue_age_ms_max as i64);
        require(age <= bound, Refusal::BookStale, age, bound)?;
    }
    let (age, bound) = (age_ms(context.now, intent.read_ns), limits.intent_age_ms_max as i64);
    require(age <= bound, Refusal::IntentStale, age, bound)
}
