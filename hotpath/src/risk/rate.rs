//! Rates: at most so many in any window, counted by a ring of their times; and as many as the venue counts in intervals of
//! its own, of which every order of the account is one, whoever sent it.

use super::{Breach, require};
use serde::{Deserialize, Serialize};
use tickpath_shared::{Nanos, config, types::Reason};

/// Times of the last events.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RateWindow {
    times: Vec<Nanos>,
    next: usize,
}

impl RateWindow {
    /// A window for `events_max` events.
    pub fn new(events_max: usize) -> Self {
        Self { times: vec![Nanos::MAX; events_max.max(1)], next: 0 }
    }

    /// One more, with `spare` left after it, would be too many within `window_ns`.
    #[inline]
    pub fn is_full(&self, now: Nanos, window_ns: Nanos, spare: usize) -> bool {
        let at = self.next + spare;
        let oldest = self.times[if at < self.times.len() { at } else { at - self.times.len() }];
        oldest != Nanos::MAX && now.saturating_sub(oldest) < window_ns
    }

    /// Counts an event.
    pub fn record(&mut self, now: Nanos) {
        self.times[self.next] = now;
        self.next += 1;
        if self.next == self.times.len() {
            self.next = 0;
        }
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.times.fill(Nanos::MAX);
    }

    /// The state as words, for digests.
    pub fn words(&self) -> impl Iterator<Item = u64> + '_ {
        self.times.iter().copied().chain([self.next as u64])
    }
}

/// Longest that an answer is under way, as a rule.
const ANSWER_MS: u64 = 1_000;
/// Intervals that the venue counts orders in, at most.
const COUNTS_MAX: usize = 4;

/// Orders as the venue counts them: in intervals that begin at multiples of their length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCount {
    /// Length of the interval, milliseconds; 0 for none.
    pub interval_ms: u64,
    /// Orders that it takes in an interval.
    pub limit: u32,
    /// Orders that it has taken in this one.
    pub count: u32,
}

/// A count and until when it counts.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct VenueCount {
    told: OrderCount,
    /// End of its interval, unix milliseconds by the venue's clock.
    until_ms: u64,
}

impl VenueCount {
    fn at(&self, venue_ms: u64) -> u32 {
        if venue_ms < self.until_ms { self.told.count } else { 0 }
    }

    fn set(&mut self, venue_ms: u64, count: u32) {
        self.told.count = count;
        if venue_ms >= self.until_ms {
            self.until_ms = (venue_ms / self.told.interval_ms + 1) * self.told.interval_ms;
        }
    }
}

/// Orders and requests of the last while.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rates {
    orders: RateWindow,
    messages: RateWindow,
    /// Orders that only orders which reduce may use.
    reserve: usize,
    #[serde(default)]
    venue: [VenueCount; COUNTS_MAX],
}

impl Rates {
    /// Windows as wide as the limits want them.
    pub fn new(limits: &config::Risk) -> Self {
        Self {
            orders: RateWindow::new(limits.order_rate_max),
            messages: RateWindow::new(limits.message_rate_max),
            reserve: (limits.order_rate_max * limits.reduce_share_percent)
                .div_ceil(100)
                .min(limits.order_rate_max - 1),
            venue: [VenueCount::default(); COUNTS_MAX],
        }
    }

    #[inline(always)]
    pub(super) fn check(
        &self,
        now: Nanos,
        venue_ms: u64,
        limits: &config::Risk,
        is_reducing: bool,
    ) -> Result<(), Breach> {
        let window_ns = limits.order_rate_window_ms * 1_000_000;
        let reserve = if is_reducing { 0 } else { self.reserve };
        let bound = (self.orders.times.len() - reserve) as i64;
        require(!self.orders.is_full(now, window_ns, reserve), Reason::OrderRate, bound + 1, bound)?;
        let bound = self.messages.times.len() as i64;
        let is_full = !is_reducing && self.messages.is_full(now, window_ns, 0);
        require(!is_full, Reason::MessageRate, bound + 1, bound)?;
        self.check_venue(venue_ms, limits, is_reducing)
    }

    /// There is room for an order that only reduces.
    pub fn has_room(&self, now: Nanos, venue_ms: u64, limits: &config::Risk) -> bool {
        self.check(now, venue_ms, limits, true).is_ok()
    }

    /// Beyond the venue's limit it refuses, and after many refusals it bans the account.
    fn check_venue(&self, venue_ms: u64, limits: &config::Risk, is_reducing: bool) -> Result<(), Breach> {
        for venue in self.venue.iter().take_while(|venue| venue.told.interval_ms > 0) {
            let limit = i64::from(venue.told.limit);
            let share = if is_reducing { 0 } else { limits.reduce_share_percent as i64 };
            let (bound, next) = (limit - (limit * share + 99) / 100, i64::from(venue.at(venue_ms)) + 1);
            require(next <= bound.max(1), Reason::VenueRate, next, bound)?;
        }
        Ok(())
    }

    /// Counts an order or a change of one, which is a request too.
    pub fn on_order(&mut self, now: Nanos, venue_ms: u64) {
        self.orders.record(now);
        self.messages.record(now);
        for venue in self.venue.iter_mut().take_while(|venue| venue.told.interval_ms > 0) {
            venue.set(venue_ms, venue.at(venue_ms).saturating_add(1));
        }
    }

    /// Takes what the venue counts: the orders of others among them, and `pending` ones of ours that are still under way
    /// not yet. A larger count at the beginning of an interval may still be the one before's.
    pub fn on_venue_counts(&mut self, venue_ms: u64, counts: &[OrderCount], pending: u32) {
        for told in counts.iter().filter(|told| told.interval_ms > 0) {
            let is_young = venue_ms % told.interval_ms < ANSWER_MS.min(told.interval_ms / 4);
            let is_it = |venue: &&mut VenueCount| {
                venue.told.interval_ms == 0 || venue.told.interval_ms == told.interval_ms
            };
            let count = told.count.saturating_add(pending);
            if let Some(venue) = self.venue.iter_mut().find(is_it)
                && !(is_young && count > venue.at(venue_ms))
            {
                venue.told = *told;
                venue.set(venue_ms, count);
            }
        }
    }

    /// Counts a cancel.
    pub fn on_cancel(&mut self, now: Nanos) {
        self.messages.record(now);
    }

    /// The state as words, for digests.
    pub fn words(&self) -> impl Iterator<Item = u64> + '_ {
        let told = self.venue.iter().take_while(|venue| venue.told.interval_ms > 0);
        let venue = told.flat_map(|venue| [venue.told.count.into(), venue.until_ms]);
        self.orders.words().chain(self.messages.words()).chain(venue)
    }
}
