//! Rates: at most so many in any window, counted by a ring of their times.

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

/// Orders and requests of the last while.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rates {
    orders: RateWindow,
    messages: RateWindow,
    /// Orders that only orders which reduce may use.
    reserve: usize,
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
        }
    }

    pub(super) fn check(&self, now: Nanos, limits: &config::Risk, is_reducing: bool) -> Result<(), Breach> {
        let window_ns = limits.order_rate_window_ms * 1_000_000;
        let reserve = if is_reducing { 0 } else { self.reserve };
        let bound = (self.orders.times.len() - reserve) as i64;
        require(!self.orders.is_full(now, window_ns, reserve), Reason::OrderRate, bound + 1, bound)?;
        let bound = self.messages.times.len() as i64;
        let is_full = !is_reducing && self.messages.is_full(now, window_ns, 0);
        require(!is_full, Reason::MessageRate, bound + 1, bound)
    }

    /// Counts an order or a change of one, which is a request too.
    pub fn on_order(&mut self, now: Nanos) {
        self.orders.record(now);
        self.messages.record(now);
    }

    /// Counts a cancel.
    pub fn on_cancel(&mut self, now: Nanos) {
        self.messages.record(now);
    }

    /// The state as words, for digests.
    pub fn words(&self) -> impl Iterator<Item = u64> + '_ {
        self.orders.words().chain(self.messages.words())
    }
}
