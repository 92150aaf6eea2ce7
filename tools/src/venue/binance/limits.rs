//! Rate limits: request weight of an address, orders of an account, in windows aligned to the clock; who goes on
//! after a refusal is banned.

use super::{super::options::Limits, refused::Refused};
use serde_json::{Value, json};

const MINUTE_MS: u64 = 60_000;
const TEN_SECONDS_MS: u64 = 10_000;
/// Requests refused in a row before the address is banned.
const REFUSALS_MAX: u32 = 10;
/// The first ban; every further one is twice as long.
const BAN_MS: u64 = 120_000;

/// What a request costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    /// Request weight.
    pub(super) weight: u64,
    /// Orders counted in ten seconds.
    pub(super) orders_10s: u64,
    /// Orders counted in a minute.
    pub(super) orders_1m: u64,
}

impl Cost {
    pub(super) const fn weight(weight: u64) -> Self {
        Self { weight, orders_10s: 0, orders_1m: 0 }
    }

    pub(super) const ORDER: Self = Self { weight: 0, orders_10s: 1, orders_1m: 1 };
    pub(super) const BATCH: Self = Self { weight: 5, orders_10s: 5, orders_1m: 1 };
}

/// One counter in windows aligned to the clock.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    window: u64,
    used: u64,
}

impl Window {
    /// Use of the window of `now_ms`.
    fn at(&mut self, now_ms: u64, length_ms: u64) -> &mut u64 {
        let window = now_ms / length_ms;
        if self.window != window {
            *self = Self { window, used: 0 };
        }
        &mut self.used
    }
}

/// What has been used.
#[derive(Clone, Debug)]
pub(super) struct Usage {
    limits: Limits,
    weight_1m: Window,
    orders_10s: Window,
    orders_1m: Window,
    refusals: u32,
    bans: u32,
    banned_until_ms: u64,
}

impl Usage {
    pub(super) fn new(limits: Limits) -> Self {
        let fresh = Window::default();
        Self {
            limits,
            weight_1m: fresh,
            orders_10s: fresh,
            orders_1m: fresh,
            refusals: 0,
            bans: 0,
            banned_until_ms: 0,
        }
    }

    /// Counts a request, or refuses it.
    pub(super) fn charge(&mut self, cost: Cost, now_ms: u64) -> Result<(), Refused> {
        if now_ms < self.banned_until_ms {
            return Err(self.banned(now_ms));
        }
        let weight = self.weight_1m.at(now_ms, MINUTE_MS);
        if *weight + cost.weight > self.limits.weight_1m {
            self.refusals += 1;
            if self.refusals > REFUSALS_MAX {
                self.ban(now_ms);
                return Err(self.banned(now_ms));
            }
            let text = format!(
                "Too many requests; current limit of IP is {} requests per minute.",
                self.limits.weight_1m
            );
            return Err(refused(-1003, text, MINUTE_MS - now_ms % MINUTE_MS));
        }
        let (ten, minute) =
            (*self.orders_10s.at(now_ms, TEN_SECONDS_MS), *self.orders_1m.at(now_ms, MINUTE_MS));
        for (used, more, limit, length_ms) in [
            (ten, cost.orders_10s, self.limits.orders_10s, TEN_SECONDS_MS),
            (minute, cost.orders_1m, self.limits.orders_1m, MINUTE_MS),
        ] {
            if more > 0 && used + more > limit {
                let text = format!(
                    "Too many new orders; current limit is {limit} orders per {} seconds.",
                    length_ms / 1000
                );
                return Err(refused(-1015, text, length_ms - now_ms % length_ms));
            }
        }
        self.refusals = 0;
        *self.weight_1m.at(now_ms, MINUTE_MS) += cost.weight;
        *self.orders_10s.at(now_ms, TEN_SECONDS_MS) += cost.orders_10s;
        *self.orders_1m.at(now_ms, MINUTE_MS) += cost.orders_1m;
        Ok(())
    }

    fn ban(&mut self, now_ms: u64) {
        self.banned_until_ms = now_ms + (BAN_MS << self.bans.min(10));
        self.bans += 1;
        self.refusals = 0;
    }

    fn banned(&self, now_ms: u64) -> Refused {
        let until = self.banned_until_ms;
        let text = format!(
            "Way too many requests; IP banned until {until}. Please use the websocket for live updates to avoid bans."
        );
        refused(-1003, text, until - now_ms).with_status(418)
    }

    /// Headers of an answer.
    pub(super) fn headers(&mut self, now_ms: u64) -> [(&'static str, u64); 3] {
        [
            ("X-MBX-USED-WEIGHT-1M", *self.weight_1m.at(now_ms, MINUTE_MS)),
            ("X-MBX-ORDER-COUNT-10S", *self.orders_10s.at(now_ms, TEN_SECONDS_MS)),
            ("X-MBX-ORDER-COUNT-1M", *self.orders_1m.at(now_ms, MINUTE_MS)),
        ]
    }

    /// `rateLimits` of an answer of the WebSocket API; counts of this moment where `with_counts`.
    pub(super) fn show(&mut self, now_ms: u64, with_counts: bool) -> Value {
        let [(_, weight), (_, ten), (_, minute)] = self.headers(now_ms);
        let rows = [
            ("REQUEST_WEIGHT", "MINUTE", 1, self.limits.weight_1m, weight),
            ("ORDERS", "SECOND", 10, self.limits.orders_10s, ten),
            ("ORDERS", "MINUTE", 1, self.limits.orders_1m, minute),
        ];
        let row = |(kind, interval, number, limit, count)| {
            let mut row =
                json!({"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit});
            if with_counts {
                row["count"] = json!(count);
            }
            row
        };
        Value::Array(rows.map(row).into())
    }
}

fn refused(code: i32, message: String, retry_after_ms: u64) -> Refused {
    Refused { status: 429, code, message, retry_after_ms: Some(retry_after_ms) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { weight_1m: 10, orders_10s: 2, orders_1m: 3 };

    #[test]
    fn windows_are_aligned_to_the_clock() {
        let mut usage = Usage::new(LIMITS);
        assert!(usage.charge(Cost::ORDER, 9_000).is_ok() && usage.charge(Cost::ORDER, 9_999).is_ok());
        let refused = usage.charge(Cost::ORDER, 9_999).unwrap_err();
        assert_eq!((refused.status, refused.code, refused.retry_after_ms), (429, -1015, Some(1)));
        assert!(usage.charge(Cost::ORDER, 10_000).is_ok());
        assert_eq!(usage.charge(Cost::ORDER, 20_000).unwrap_err().retry_after_ms, Some(40_000));
        assert!(usage.charge(Cost::ORDER, 60_000).is_ok());
    }

    #[test]
    fn who_goes_on_is_banned_and_longer_every_time() {
        let mut usage = Usage::new(LIMITS);
        assert!(usage.charge(Cost::weight(10), 0).is_ok());
        let codes: Vec<u16> = (0..12).map(|_| usage.charge(Cost::weight(1), 5).unwrap_err().status).collect();
        assert_eq!(codes, [vec![429; 10], vec![418; 2]].concat());
        assert_eq!(usage.charge(Cost::weight(1), 120_000).unwrap_err().status, 418);
        assert!(usage.charge(Cost::weight(10), 120_005).is_ok());
        (0..11).for_each(|_| assert!(usage.charge(Cost::weight(1), 120_010).is_err()));
        assert_eq!(usage.charge(Cost::weight(1), 120_010 + 239_999).unwrap_err().status, 418);
    }
}
