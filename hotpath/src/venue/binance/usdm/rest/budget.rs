//! The request weight of an address: spent by everybody who shares it, a fifth of it for cancels alone.
//!
//! The venue counts the weight of a whole address and tells it with every answer, so that processes need not talk
//! to each other: each takes the larger of its own count and the venue's.

use std::sync::{Mutex, MutexGuard, PoisonError};

const MINUTE_MS: u64 = 60_000;
/// Weight a minute until the venue says otherwise.
const LIMIT: u64 = 2_400;
/// Pause after a refusal that names none.
const PAUSE_MS: u64 = 60_000;

/// Longest ban of the venue: three days.
const BAN_MS_MAX: u64 = 3 * 24 * 60 * MINUTE_MS;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// May wait.
    Ordinary,
    /// Takes risk away: may use the reserve.
    Risk,
}

#[derive(Clone, Copy, Debug)]
struct State {
    limit: u64,
    minute: u64,
    used: u64,
    blocked_until_ms: u64,
}

/// The budget, shared by the threads of a process.
#[derive(Debug)]
pub struct Budget(Mutex<State>);

impl Default for Budget {
    fn default() -> Self {
        Self(Mutex::new(State { limit: LIMIT, minute: 0, used: 0, blocked_until_ms: 0 }))
    }
}

impl Budget {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<R>(&self, now_ms: u64, act: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.lock();
        if now_ms / MINUTE_MS != state.minute {
            (state.minute, state.used) = (now_ms / MINUTE_MS, 0);
        }
        act(&mut state)
    }

    /// Takes weight for a request.
    ///
    /// # Errors
    ///
    /// Milliseconds until it may be asked again.
    pub fn admit(&self, weight: u64, urgency: Urgency, now_ms: u64) -> Result<(), u64> {
        self.with(now_ms, |state| {
            if now_ms < state.blocked_until_ms {
                return Err(state.blocked_until_ms - now_ms);
            }
            let limit = match urgency {
                Urgency::Ordinary => state.limit - state.limit / 5,
                Urgency::Risk => state.limit,
            };
            if state.used.saturating_add(weight) > limit {
                return Err(MINUTE_MS - now_ms % MINUTE_MS);
            }
            state.used += weight;
            Ok(())
        })
    }

    /// Takes note of the venue's count in an answer to what was asked at `asked_ms`. One from the minute before says
    /// nothing of this one.
    pub fn note_used(&self, used: u64, asked_ms: u64, now_ms: u64) {
        if asked_ms / MINUTE_MS == now_ms / MINUTE_MS {
            self.with(now_ms, |state| state.used = state.used.max(used));
        }
    }

    /// The venue refused for too many requests (429), or has banned the address (418): nothing is asked before its
    /// time. `until_ms` is what a ban names, unix milliseconds.
    pub fn block(&self, retry_after_s: Option<u64>, until_ms: Option<u64>, now_ms: u64) {
        let pause_ms = retry_after_s.map_or(PAUSE_MS, |s| s.saturating_mul(1000));
        let until = until_ms.unwrap_or(0).max(now_ms.saturating_add(pause_ms));
        // No ban is longer; an answer that says so is none.
        let until = until.min(now_ms.saturating_add(BAN_MS_MAX));
        self.with(now_ms, |state| state.blocked_until_ms = state.blocked_until_ms.max(until));
    }

    /// The venue's limit, as it publishes it.
    pub fn set_limit(&self, limit: u64) {
        if limit > 0 {
            self.lock().limit = limit;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_is_kept_for_taking_risk_away() {
        let budget = Budget::default();
        budget.set_limit(100);
        assert_eq!(budget.admit(80, Urgency::Ordinary, 59_000), Ok(()));
        assert_eq!(budget.admit(1, Urgency::Ordinary, 59_400), Err(600));
        assert_eq!(budget.admit(20, Urgency::Risk, 59_400), Ok(()));
        assert_eq!(budget.admit(1, Urgency::Risk, 59_400), Err(600));
        assert_eq!(budget.admit(80, Urgency::Ordinary, 60_000), Ok(()));
    }

    #[test]
    fn what_others_of_the_address_used_counts() {
        let budget = Budget::default();
        budget.note_used(1_910, 4, 5);
        assert_eq!(budget.admit(20, Urgency::Ordinary, 6), Err(59_994));
        assert_eq!(budget.admit(10, Urgency::Ordinary, 6), Ok(()));
        budget.note_used(3, 7, 7);
        assert!(budget.admit(1, Urgency::Ordinary, 8).is_err(), "an older answer takes nothing back");
    }

    #[test]
    fn nothing_is_asked_before_the_time_of_a_refusal() {
        let budget = Budget::default();
        budget.block(Some(30), None, 1_000);
        assert_eq!(budget.admit(1, Urgency::Risk, 30_999), Err(1));
        assert_eq!(budget.admit(1, Urgency::Ordinary, 31_000), Ok(()));
        budget.block(None, Some(500_000), 40_000);
        budget.block(Some(1), None, 41_000);
        assert_eq!(budget.admit(1, Urgency::Risk, 499_999), Err(1), "a shorter refusal shortens nothing");
    }
}
