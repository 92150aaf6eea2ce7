//! The book decided on: complete and fresh, by the gateway's own clock and by the venue's.

use super::{Breach, Context, age_ms, require, require_lazily};
use tickpath_shared::types::Reason;

#[inline(always)]
pub(super) fn check(context: &Context<'_>) -> Result<(), Breach> {
    let (intent, limits) = (context.intent, context.limits);
    require(intent.is_book_valid == 1, Reason::BookInvalid, 0, 1)?;
    let (age, bound) = (age_ms(context.now, intent.book_ns), limits.book_age_ms_max as i64);
    require(age <= bound, Reason::BookStale, age, bound)?;
    // Only when it is wanted: recorded data is as old as its recording.
    if limits.book_venue_age_ms_max != 0 {
        let (age_ns, bound) = (context.book_venue_age_ns, limits.book_venue_age_ms_max);
        let holds = age_ns <= bound.saturating_mul(1_000_000);
        require_lazily(holds, Reason::BookStale, bound as i64, || i128::from(age_ns / 1_000_000))?;
    }
    let (age, bound) = (age_ms(context.now, intent.read_ns), limits.intent_age_ms_max as i64);
    require(age <= bound, Reason::IntentStale, age, bound)
}
