//! Which connections are wanted, being made or up, and when to try again.

use super::connect::Established;
use super::{
    AccountPhase, Session,
    jobs::{Job, LinkKind},
};
use crate::net::settings;
use crate::stage::{
    feed,
    feed::{DeadLink, NewLink},
    gateway::connection,
};
use std::sync::atomic::Ordering;
use tickpath_shared::{
    Nanos,
    counters::Counter,
    record::{EventCode, Severity},
};

/// Session time after which market data is wanted even if the account could not be read.
const ACCOUNT_PATIENCE_NS: Nanos = 10_000_000_000;
const BACKOFF_MIN_NS: Nanos = 250_000_000;
const BACKOFF_MAX_NS: Nanos = 30_000_000_000;

/// State of every connection.
#[derive(Default)]
pub(super) struct LinkBook {
    links: [Link; LinkKind::ALL.len()],
    is_stopped: bool,
}

#[derive(Clone, Copy, Default)]
struct Link {
    is_out: bool,
    is_up: bool,
    not_before: Nanos,
    backoff_ns: Nanos,
    made: u64,
}

impl LinkBook {
    fn get(&mut self, kind: LinkKind) -> &mut Link {
        &mut self.links[kind as usize]
    }

    /// The connection is to be made anew, whatever its state.
    pub(super) fn want_again(&mut self, kind: LinkKind, now: Nanos) {
        let link = self.get(kind);
        (link.is_up, link.not_before) = (false, now);
    }

    /// No further connections.
    pub(super) fn stop(&mut self) {
        self.is_stopped = true;
    }

    /// Kinds to connect now; each is marked as being made. Market data waits for the account, so that the
    /// first tick can be traded on.
    fn due(&mut self, now: Nanos, is_account_read: bool, has_clock: bool) -> impl Iterator<Item = LinkKind> {
        let is_stopped = self.is_stopped;
        let links = &mut self.links;
        let is_market_due = is_account_read || now > ACCOUNT_PATIENCE_NS;
        LinkKind::ALL.into_iter().filter(move |kind| {
            let link = &mut links[*kind as usize];
            let is_wanted = match kind {
                LinkKind::Events => true,
                // A logon is stamped with the venue's time.
                LinkKind::Orders => has_clock,
                LinkKind::Books | LinkKind::Market => is_market_due,
            };
            let is_wanted = is_wanted && !is_stopped;
            let is_due = is_wanted && !link.is_up && !link.is_out && now >= link.not_before;
            link.is_out |= is_due;
            is_due
        })
    }

    /// Doubles the pause, with a jitter of a quarter from the clock's low bits.
    fn back_off(&mut self, kind: LinkKind, now: Nanos) -> Nanos {
        let link = self.get(kind);
        (link.is_out, link.is_up) = (false, false);
        link.backoff_ns = (link.backoff_ns * 2).clamp(BACKOFF_MIN_NS, BACKOFF_MAX_NS);
        let jitter = (now / 1000) % (link.backoff_ns / 4);
        link.not_before = now + link.backoff_ns - jitter;
        link.backoff_ns
    }
}

impl Session {
    pub(super) fn connect_missing(&mut self, now: Nanos) {
        let is_account_read = self.account == AccountPhase::Done;
        let has_clock = self.parts.shop.venue_epoch_ns.load(Ordering::Relaxed) != 0;
        let due: Vec<LinkKind> = self.links.due(now, is_account_read, has_clock).collect();
        for kind in due {
            self.send_job(Job::Connect(kind));
        }
    }

    pub(super) fn on_connected(&mut self, kind: LinkKind, established: Established) {
        let Established { connection, settings } = established;
        let link = self.links.get(kind);
        (link.is_out, link.is_up, link.backoff_ns) = (false, true, 0);
        link.made += 1;
        let is_first = link.made == 1;
        if !is_first {
            self.parts.status.add(Counter::Reconnects, 1);
        }
        let index = match kind {
            LinkKind::Books => feed::BOOKS,
            LinkKind::Market => 1,
            LinkKind::Orders => usize::from(connection::ORDERS),
            LinkKind::Events => usize::from(connection::EVENTS),
        };
        let ring = match kind {
            LinkKind::Books | LinkKind::Market => &mut self.rings.feed_links,
            LinkKind::Orders | LinkKind::Events => &mut self.rings.gateway_links,
        };
        // Room for more connections than are ever made between two polls of a stage.
        let _ = ring.push(NewLink { index, connection });
        self.event(EventCode::Connected, Severity::Info, kind.label());
        if is_first {
            let text = format!("socket {}: {}", kind.label(), settings::line(&settings));
            self.event(EventCode::Setting, settings::severity(&settings), &text);
        }
    }

    pub(super) fn on_connect_failed(&mut self, kind: LinkKind, why: &dyn std::error::Error, now: Nanos) {
        let pause_ms = self.links.back_off(kind, now) / 1_000_000;
        let text =
            format!("{}: {}; next try in about {pause_ms} ms", kind.label(), super::reports::chain(why));
        self.event(EventCode::ConnectFailed, Severity::Warning, &text);
    }

    pub(super) fn take_dead_links(&mut self, now: Nanos) -> usize {
        let mut handled = 0;
        while let Ok(DeadLink { index, error, .. }) = self.rings.feed_dead.pop() {
            handled += 1;
            let kind = if index == feed::BOOKS { LinkKind::Books } else { LinkKind::Market };
            self.on_dead(kind, &error, now);
        }
        while let Ok(DeadLink { index, error, .. }) = self.rings.gateway_dead.pop() {
            handled += 1;
            let is_orders = index == usize::from(connection::ORDERS);
            self.on_dead(if is_orders { LinkKind::Orders } else { LinkKind::Events }, &error, now);
        }
        handled
    }

    fn on_dead(&mut self, kind: LinkKind, why: &dyn std::error::Error, now: Nanos) {
        self.links.back_off(kind, now);
        if !self.is_stopping {
            let text = format!("{}: {}", kind.label(), super::reports::chain(why));
            self.event(EventCode::Disconnected, Severity::Warning, &text);
        }
    }
}
