//! The dead man's switch: the venue cancels every order of a symbol unless it is told to wait again. It is told only
//! while engine and gateway make progress, so that a process that hangs or dies leaves no order behind.

use super::{Session, jobs::Job};
use tickpath_shared::{
    Nanos,
    command::Verb,
    record::{EventCode, Severity},
    status::Progress,
};

const MS: Nanos = 1_000_000;
/// Refreshes in the time that the venue waits.
const REFRESHES: u64 = 4;
/// Least pause after a refresh that failed, and its part of the time that the venue waits: each costs as much weight as
/// one that succeeds.
const RETRY_NS: Nanos = 1_000 * MS;
const RETRIES: u64 = 4 * REFRESHES;

/// What there is to do about the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// Tell the venue to wait again.
    Refresh,
    /// It was not told for as long as it waits: orders may be gone, and nothing stands behind new ones.
    Lost,
}

/// State of the switch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DeadMan {
    countdown_ns: Nanos,
    next_ns: Nanos,
    /// Last success, or when the switch was first wanted.
    held_ns: Nanos,
    progress: [u64; 2],
    is_lost: bool,
}

impl DeadMan {
    /// A switch that lets the venue wait for `countdown_ms`; 0 for none.
    pub(super) fn new(countdown_ms: u64) -> Self {
        Self { countdown_ns: countdown_ms * MS, ..Self::default() }
    }

    /// What is due at `now`, given how many turns engine and gateway have made.
    pub(super) fn due(&mut self, now: Nanos, progress: [u64; 2]) -> Due {
        if self.countdown_ns == 0 {
            return Due::Nothing;
        }
        if self.held_ns == 0 {
            self.held_ns = now.max(1);
        }
        if !self.is_lost && now.saturating_sub(self.held_ns) > self.countdown_ns {
            self.is_lost = true;
            return Due::Lost;
        }
        let is_alive = (0..2).all(|i| progress[i] != self.progress[i]);
        if now < self.next_ns || !is_alive {
            return Due::Nothing;
        }
        self.progress = progress;
        self.next_ns = now + self.countdown_ns / REFRESHES;
        Due::Refresh
    }

    /// A refresh succeeded; true when the switch had been lost before.
    pub(super) fn on_held(&mut self, now: Nanos) -> bool {
        self.held_ns = now;
        std::mem::take(&mut self.is_lost)
    }

    /// A refresh failed.
    pub(super) fn on_failed(&mut self, now: Nanos) {
        self.next_ns = now + RETRY_NS.max(self.countdown_ns / RETRIES);
    }

    /// Nothing stands behind orders: none may be opened.
    pub(super) const fn is_lost(&self) -> bool {
        self.is_lost
    }
}

impl Session {
    pub(super) fn hold_dead_man(&mut self, now: Nanos) {
        if self.is_stopping || !self.has_read {
            return;
        }
        let progress = [Progress::Engine, Progress::Gateway].map(|part| self.parts.status.turns(part));
        match self.dead_man.due(now, progress) {
            Due::Nothing => {}
            Due::Refresh => self.send_job(Job::CountDown),
            Due::Lost => {
                let ms = self.parts.config.venue.countdown_ms;
                let text = format!(
                    "the venue's countdown was not refreshed for {ms} ms: its orders may be gone; disarmed"
                );
                self.event(EventCode::Private, Severity::Error, &text);
                self.command_gateway(0, Verb::Disarm);
                self.forget_flat();
            }
        }
    }

    pub(super) fn on_dead_man_held(&mut self, now: Nanos) {
        if self.dead_man.on_held(now) {
            self.event(EventCode::Private, Severity::Warning, "the venue's countdown runs again");
            if self.has_proof() && std::mem::take(&mut self.is_arming) {
                self.arm_at_start();
            }
        }
    }

    /// Stops the countdown after an ordered end: nothing is open that it could cancel. The last refresh has ended by
    /// then, or would start it anew.
    pub fn release_dead_man(&mut self) {
        let shop = std::sync::Arc::clone(&self.parts.shop);
        if self.parts.config.venue.countdown_ms == 0 || !self.has_read || !self.has_ended_quietly {
            return;
        }
        if let Err(e) = shop.count_down(0) {
            let text = format!("the venue's countdown was not stopped: {e}");
            self.event(EventCode::Warning, Severity::Warning, &text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000 * MS;

    #[test]
    fn it_is_held_only_while_both_stages_make_progress() {
        let mut switch = DeadMan::new(60_000);
        assert_eq!(switch.due(SECOND, [1, 1]), Due::Refresh);
        assert_eq!(switch.due(2 * SECOND, [2, 2]), Due::Nothing, "a quarter of the time has not passed");
        assert_eq!(switch.due(17 * SECOND, [3, 1]), Due::Nothing, "the gateway hangs");
        assert_eq!(switch.due(18 * SECOND, [4, 2]), Due::Refresh);
        assert_eq!(DeadMan::new(0).due(SECOND, [1, 1]), Due::Nothing);
    }

    #[test]
    fn its_loss_is_told_once_and_its_return_too() {
        let mut switch = DeadMan::new(60_000);
        assert_eq!(switch.due(SECOND, [1, 1]), Due::Refresh);
        switch.on_failed(2 * SECOND);
        assert_eq!(switch.due(5 * SECOND, [2, 2]), Due::Nothing);
        assert_eq!(switch.due(6 * SECOND, [2, 2]), Due::Refresh, "a failure is tried again soon");
        switch.on_failed(7 * SECOND);
        assert!(!switch.is_lost());
        assert_eq!(switch.due(62 * SECOND, [3, 3]), Due::Lost);
        assert!(switch.is_lost());
        assert_eq!(switch.due(63 * SECOND, [4, 4]), Due::Refresh);
        assert!(switch.on_held(64 * SECOND) && !switch.on_held(65 * SECOND));
        assert!(!switch.is_lost());
    }
}
