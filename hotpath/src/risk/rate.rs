//! Order rate: at most so many orders in any window, counted by a ring of their times.

use super::{Breach, require};
use serde::{Deserialize, Serialize};
use tickpath_shared::{Nanos, config, types::Reason};

/// Times of the last orders.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RateWindow {
    times: Vec<Nanos>,
    next: usize,
}

impl RateWindow {
    /// A window for `orders_max` orders.
    pub fn new(orders_max: usize) -> Self {
        Self { times: vec![Nanos::MAX; orders_max.max(1)], next: 0 }
    }

    pub(super) fn check(&self, now: Nanos, limits: &config::Risk) -> Result<(), Breach> {
        let oldest = self.times[self.next];
        let window_ns = limits.order_rate_window_ms * 1_000_000;
        let is_inside = oldest != Nanos::MAX && now.saturating_sub(oldest) < window_ns;
        let bound = self.times.len() as i64;
        require(!is_inside, Reason::OrderRate, bound + 1, bound)
    }

    /// Counts an order.
    pub fn record(&mut self, now: Nanos) {
        self.times[self.next] = now;
        self.next += 1;
        if self.next == self.times.len() {
            self.next = 0;
        }
    }

    /// The state as words, for digests.
    pub fn words(&self) -> impl Iterator<Item = u64> + '_ {
        self.times.iter().copied().chain([self.next as u64])
    }
}
