//! Which connections are wanted, being made or up, when to try again, and when to replace them.

use super::connect::Established;
use super::{
    AccountPhase, Session,
    jobs::{Job, LinkId, LinkKind},
};
use crate::message::Renewal;
use crate::net::{connection::LinkError, settings};
use crate::stage::{
    feed::{
        DeadLink, LinkNews, NewLink,
        lines::{BOOKS, LINES_MAX, MARKET, SLOTS_OF_KIND},
    },
    gateway::connection,
};
use std::sync::atomic::Ordering;
use tickpath_shared::{
    Nanos,
    causes::chain,
    counters::Counter,
    record::{EventCode, Severity},
};

/// Session time after which market data is wanted even if the account could not be read.
const ACCOUNT_PATIENCE_NS: Nanos = 10_000_000_000;
const BACKOFF_MIN_NS: Nanos = 250_000_000;
const BACKOFF_MAX_NS: Nanos = 30_000_000_000;
/// Longest pause after a connection that was made: the venue can be reached, and books wait meanwhile.
const LOST_BACKOFF_MAX_NS: Nanos = 3_000_000_000;
/// Pauses of lost connections get as long as all others once this many were begun in five minutes, a third of what the
/// venue lets an address begin.
const LOST_FEW: usize = 100;
const LOST_WINDOW_NS: Nanos = 300_000_000_000;
/// Spreads neighbouring times over all bits: an odd number near 2^64 over the golden ratio.
const SCATTER: u64 = 0x9e37_79b9_7f4a_7c15;
/// A connection that lasted so long starts with the shortest pause again.
const STEADY_NS: Nanos = 60_000_000_000;

/// Places in the book: lines of both market kinds, then one each of the others.
const PLACES: usize = 2 * LINES_MAX + 2;

/// State of every connection.
pub(super) struct LinkBook {
    links: [Link; PLACES],
    lines: usize,
    life_ns: Nanos,
    is_stopped: bool,
    /// When nobody had to wait for his turn the last time.
    healed_ns: Nanos,
    /// When the last pauses began, the oldest overwritten first.
    pauses: [Nanos; LOST_FEW],
    pauses_made: usize,
}

#[derive(Clone, Copy, Default)]
struct Link {
    is_out: bool,
    is_up: bool,
    not_before: Nanos,
    backoff_ns: Nanos,
    made: u64,
    made_ns: Nanos,
    /// To be replaced whatever its age.
    is_ending: bool,
    /// Where it is in its stage.
    slot: Option<usize>,
    /// Where the connection is that it takes over from.
    old: Option<usize>,
}

fn place(id: LinkId) -> usize {
    match id.kind {
        LinkKind::Books => id.line,
        LinkKind::Market => LINES_MAX + id.line,
        LinkKind::Orders => 2 * LINES_MAX,
        LinkKind::Events => 2 * LINES_MAX + 1,
    }
}

impl LinkBook {
    /// Nothing is connected. Connections are replaced after `life_ns`.
    pub(super) fn new(lines: usize, life_ns: Nanos) -> Self {
        Self {
            links: [Link::default(); PLACES],
            lines: lines.min(LINES_MAX),
            life_ns,
            is_stopped: false,
            healed_ns: 0,
            pauses: [0; LOST_FEW],
            pauses_made: 0,
        }
    }

    fn get(&mut self, id: LinkId) -> &mut Link {
        &mut self.links[place(id)]
    }

    fn ids(&self) -> impl Iterator<Item = LinkId> + use<> {
        let lines = self.lines;
        LinkKind::ALL.into_iter().flat_map(move |kind| {
            let of_kind = if matches!(kind, LinkKind::Books | LinkKind::Market) { lines } else { 1 };
            (0..of_kind).map(move |line| LinkId { kind, line })
        })
    }

    /// The connection is to be made anew, whatever its state.
    pub(super) fn want_again(&mut self, kind: LinkKind) {
        self.get(LinkId { kind, line: 0 }).is_up = false;
    }

    /// No further connections.
    pub(super) fn stop(&mut self) {
        self.is_stopped = true;
    }

    /// Connections to make now; each is marked as being made. Market data waits for the account, so that the first
    /// tick can be traded on.
    fn due(&mut self, now: Nanos, is_account_read: bool, has_clock: bool) -> Vec<LinkId> {
        let is_market_due = is_account_read || now > ACCOUNT_PATIENCE_NS;
        let ids: Vec<LinkId> = self.ids().collect();
        let is_due = |id: &LinkId| {
            let is_wanted = match id.kind {
                LinkKind::Events => true,
                // A logon is stamped with the venue's time.
                LinkKind::Orders => has_clock,
                LinkKind::Books | LinkKind::Market => is_market_due,
            };
            // Spread, so that not all are replaced in one moment.
            let life_ns = self.life_ns - self.life_ns / 64 * place(*id) as u64;
            let link = &self.links[place(*id)];
            // One replacement of a kind at a time: there is one slot more than lines.
            let is_old = link.old.is_none()
                && (link.is_ending || now.saturating_sub(link.made_ns) > life_ns)
                && !self.is_replacing(id.kind);
            is_wanted && !self.is_stopped && !link.is_out && now >= link.not_before && (!link.is_up || is_old)
        };
        let mut due: Vec<LinkId> = ids.into_iter().filter(is_due).collect();
        let mut replaced = Vec::new();
        due.retain(|id| {
            let is_first = !replaced.contains(&id.kind);
            if self.links[place(*id)].is_up {
                replaced.push(id.kind);
                return is_first;
            }
            true
        });
        due.iter().for_each(|id| self.get(*id).is_out = true);
        due
    }

    /// A connection of this kind is being replaced, or its replacement is being made.
    fn is_replacing(&self, kind: LinkKind) -> bool {
        self.ids().filter(|id| id.kind == kind).any(|id| {
            let link = &self.links[place(id)];
            link.old.is_some() || (link.is_out && link.is_up)
        })
    }

    /// A connection was made; returns its place in its stage and that of the one it takes over from.
    fn on_made(&mut self, id: LinkId, now: Nanos) -> (usize, Option<usize>) {
        let slot = match id.kind {
            LinkKind::Books => self.free_slot(BOOKS),
            LinkKind::Market => self.free_slot(MARKET),
            LinkKind::Orders => usize::from(connection::ORDERS),
            LinkKind::Events => usize::from(connection::EVENTS),
        };
        let link = self.get(id);
        let is_fed = matches!(id.kind, LinkKind::Books | LinkKind::Market);
        // A gateway's connection takes the place of the one before at once.
        link.old = link.slot.filter(|_| is_fed);
        if now.saturating_sub(link.made_ns) > STEADY_NS {
            link.backoff_ns = 0;
        }
        (link.is_out, link.is_up, link.made_ns, link.is_ending) = (false, true, now, false);
        link.slot = Some(slot);
        link.made += 1;
        (slot, link.old)
    }

    /// A slot of the feed that nothing is in. There is always one: a kind has one more than lines.
    fn free_slot(&self, first: usize) -> usize {
        let feed = &self.links[..2 * LINES_MAX];
        let is_used = |slot: &usize| feed.iter().any(|l| l.slot == Some(*slot) || l.old == Some(*slot));
        (first..first + SLOTS_OF_KIND).find(|slot| !is_used(slot)).unwrap_or(first)
    }

    /// The feed's connection in a slot is over; returns whose it was, `None` when another had taken over.
    fn on_feed_dead(&mut self, slot: usize, now: Nanos) -> Option<LinkId> {
        let id = self.ids().find(|id| {
            let link = &self.links[place(*id)];
            link.slot == Some(slot) || link.old == Some(slot)
        })?;
        let link = self.get(id);
        if link.old.take_if(|old| *old == slot).is_some() {
            return None;
        }
        // The one that was to be replaced carries on, if there was one.
        link.slot = link.old.take();
        let carries_on = link.slot.is_some();
        if carries_on {
            // It is as old as it was: the replacement is tried again.
            link.is_ending = true;
        }
        self.back_off(id, now);
        self.get(id).is_up = carries_on;
        Some(id)
    }

    /// The venue will close the feed's connection in a slot: it is replaced as if its life were over.
    fn on_closing(&mut self, slot: usize) {
        let id = self.ids().find(|id| self.links[place(*id)].slot == Some(slot));
        if let Some(id) = id {
            self.get(id).is_ending = true;
        }
    }

    /// The venue can be reached again: nobody waits for his turn.
    /// Pauses stay as long as they have become, and this is done once a minute: a network that comes and goes must not
    /// use up the venue's budget.
    pub(super) fn on_healed(&mut self, now: Nanos) {
        if self.healed_ns != 0 && now.saturating_sub(self.healed_ns) < STEADY_NS {
            return;
        }
        self.healed_ns = now.max(1);
        for link in &mut self.links {
            link.not_before = link.not_before.min(now);
        }
    }

    /// Doubles the pause. Half of it is left to chance, from the clock's low bits, so that a network with a rhythm
    /// does not meet every attempt at the same beat.
    fn back_off(&mut self, id: LinkId, now: Nanos) -> Nanos {
        let oldest = std::mem::replace(&mut self.pauses[self.pauses_made % LOST_FEW], now);
        let are_few = self.pauses_made < LOST_FEW || now.saturating_sub(oldest) > LOST_WINDOW_NS;
        self.pauses_made += 1;
        let link = self.get(id);
        let is_lost = link.is_up && !link.is_out;
        let longest = if is_lost && are_few { LOST_BACKOFF_MAX_NS } else { BACKOFF_MAX_NS };
        link.is_out = false;
        link.is_up &= link.slot.is_some();
        link.backoff_ns = (link.backoff_ns * 2).clamp(BACKOFF_MIN_NS, longest);
        let jitter = (now.wrapping_mul(SCATTER) >> 20) % (link.backoff_ns / 2);
        link.not_before = now + link.backoff_ns - jitter;
        link.backoff_ns
    }
}

impl Session {
    pub(super) fn connect_missing(&mut self, now: Nanos) {
        let is_account_read = self.account == AccountPhase::Done;
        let has_clock = self.parts.shop.venue_epoch_ns.load(Ordering::Relaxed) != 0;
        for id in self.links.due(now, is_account_read, has_clock) {
            self.send_job(Job::Connect(id));
        }
    }

    pub(super) fn on_connected(&mut self, id: LinkId, established: Established, now: Nanos) {
        let Established { connection, settings } = established;
        let (index, replaces) = self.links.on_made(id, now);
        let is_first = self.links.get(id).made == 1;
        if !is_first {
            self.parts.status.add(Counter::Reconnects, 1);
        }
        let ring = match id.kind {
            LinkKind::Books | LinkKind::Market => &mut self.rings.feed_links,
            LinkKind::Orders | LinkKind::Events => &mut self.rings.gateway_links,
        };
        // Room for more connections than are ever made between two polls of a stage.
        let _ = ring.push(NewLink { index, line: id.line, connection, replaces });
        self.event(EventCode::Connected, Severity::Info, &id.to_string());
        if is_first {
            let text = format!("socket {id}: {}", settings::line(&settings));
            self.event(EventCode::Setting, settings::severity(&settings), &text);
        }
    }

    pub(super) fn on_connect_failed(&mut self, id: LinkId, why: &dyn std::error::Error, now: Nanos) {
        let pause_ms = self.links.back_off(id, now) / 1_000_000;
        let text = format!("{id}: {}; next try in about {pause_ms} ms", chain(why));
        self.event(EventCode::ConnectFailed, Severity::Warning, &text);
    }

    pub(super) fn take_dead_links(&mut self, now: Nanos) -> usize {
        let mut handled = 0;
        while let Ok(news) = self.rings.feed_dead.pop() {
            handled += 1;
            let DeadLink { index, error, .. } = match news {
                LinkNews::Dead(dead) => dead,
                LinkNews::Closing(index) => {
                    self.links.on_closing(index);
                    let text = format!("the venue will close market connection {index}, which is replaced");
                    self.event(EventCode::Disconnected, Severity::Info, &text);
                    continue;
                }
            };
            match self.links.on_feed_dead(index, now) {
                Some(id) => self.tell_dead(id, &error),
                None => {
                    self.event(EventCode::Disconnected, Severity::Info, "a connection was replaced in time")
                }
            }
        }
        while let Ok(news) = self.rings.gateway_dead.pop() {
            handled += 1;
            let LinkNews::Dead(DeadLink { index, error, .. }) = news else { continue };
            if matches!(error, LinkError::Replaced) {
                continue;
            }
            let is_orders = index == usize::from(connection::ORDERS);
            let kind = if is_orders { LinkKind::Orders } else { LinkKind::Events };
            let id = LinkId { kind, line: 0 };
            self.links.get(id).slot = None;
            self.links.back_off(id, now);
            self.tell_dead(id, &error);
        }
        handled
    }

    /// Makes a private connection anew; connecting the account stream starts with a new key.
    pub(super) fn renew(&mut self, which: u16, why: Renewal) {
        let kind = if which == connection::ORDERS { LinkKind::Orders } else { LinkKind::Events };
        let why = match why {
            Renewal::KeyExpired => "listen key expired",
            Renewal::SessionLost => "order session lost its key",
            Renewal::Closing => "the venue will close it",
        };
        self.event(EventCode::Private, Severity::Warning, &format!("{}: {why}, made anew", kind.label()));
        self.links.want_again(kind);
    }

    fn tell_dead(&mut self, id: LinkId, why: &LinkError) {
        if matches!(why, LinkError::Silent) {
            self.parts.status.add(Counter::LinksSilent, 1);
        }
        if !self.is_stopping {
            let text = format!("{id}: {}", chain(why));
            self.event(EventCode::Disconnected, Severity::Warning, &text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::silence::{Need, Silence};

    const SECOND: Nanos = 1_000_000_000;
    const BOOK: LinkId = LinkId { kind: LinkKind::Books, line: 0 };

    fn connected(lines: usize) -> LinkBook {
        let mut book = LinkBook::new(lines, 1_000 * SECOND);
        for id in book.due(1, true, true) {
            book.on_made(id, 1);
        }
        book
    }

    #[test]
    fn every_line_has_its_slot_and_nothing_is_made_twice() {
        let mut book = LinkBook::new(2, 1_000 * SECOND);
        assert_eq!(book.due(1, false, false).len(), 1, "only the account stream needs nothing");
        let due = book.due(2, true, true);
        assert_eq!(due.len(), 5);
        let slots: Vec<usize> = due.iter().map(|id| book.on_made(*id, 2).0).collect();
        assert_eq!(slots, [BOOKS, BOOKS + 1, MARKET, MARKET + 1, usize::from(connection::ORDERS)]);
        assert_eq!(book.due(3, true, true), []);
    }

    #[test]
    fn an_old_connection_is_replaced_before_it_ends() {
        let mut book = connected(1);
        let due = book.due(1_000 * SECOND + 2, true, true);
        assert!(due.contains(&BOOK));
        let (slot, replaces) = book.on_made(BOOK, 1_000 * SECOND + 3);
        assert_eq!((slot, replaces), (BOOKS + 1, Some(BOOKS)));
        assert!(!book.due(1_001 * SECOND, true, true).contains(&BOOK));
        assert_eq!(book.on_feed_dead(BOOKS, 1_002 * SECOND), None, "replaced, not lost");
        assert!(book.get(BOOK).is_up && book.get(BOOK).old.is_none());
    }

    #[test]
    fn a_replacement_that_dies_leaves_the_old_one_in_place() {
        let mut book = connected(1);
        book.due(1_000 * SECOND + 2, true, true);
        book.on_made(BOOK, 1_000 * SECOND + 3);
        let now = 1_001 * SECOND;
        assert_eq!(book.on_feed_dead(BOOKS + 1, now), Some(BOOK));
        assert!(book.get(BOOK).is_up && book.get(BOOK).slot == Some(BOOKS));
        assert_eq!(book.on_feed_dead(BOOKS, now + SECOND), Some(BOOK));
        assert!(!book.get(BOOK).is_up);
        assert!(book.due(now + 3 * SECOND, true, true).contains(&BOOK));
    }

    #[test]
    fn a_connection_that_will_be_closed_is_replaced_first() {
        let mut book = connected(1);
        assert!(!book.due(10 * SECOND, true, true).contains(&BOOK));
        book.on_closing(BOOKS);
        let now = 11 * SECOND;
        assert!(book.due(now, true, true).contains(&BOOK));
        assert_eq!(book.on_made(BOOK, now), (BOOKS + 1, Some(BOOKS)));
    }

    #[test]
    fn when_the_venue_is_back_nobody_waits_for_his_turn() {
        let mut book = LinkBook::new(1, 1_000 * SECOND);
        let events = LinkId { kind: LinkKind::Events, line: 0 };
        for minute in 1..=10 {
            assert!(book.due(minute * 60 * SECOND, false, false).contains(&events));
            book.back_off(events, minute * 60 * SECOND);
        }
        let now = 601 * SECOND;
        assert!(!book.due(now, false, false).contains(&events));
        book.on_healed(now);
        assert!(book.due(now, false, false).contains(&events));
        book.back_off(events, now);
        book.on_healed(now + SECOND);
        assert!(!book.due(now + SECOND, false, false).contains(&events), "not over and over");
    }

    /// Packets of a connection vanish without a word, a thousand times, for up to twenty seconds: whether they are the
    /// connection's alone or everybody's, it is noticed in its time, and made anew soon after packets flow again.
    #[test]
    fn a_thousand_silent_networks_are_noticed_and_left_behind() {
        const LOOK: Nanos = SECOND / 20;
        for (kind, limit) in [(LinkKind::Books, 3 * SECOND), (LinkKind::Events, 8 * SECOND)] {
            let id = LinkId { kind, line: 0 };
            let (mut noticed_max, mut back_max, mut seed) = (0, 0, 7_u64);
            let mut random = |bound: u64| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                (seed >> 16) % bound
            };
            for _ in 0..1000 {
                let mut book = connected(1);
                let mut now = 100 * SECOND;
                let mut silence = Silence::new(limit, now);
                let cut = now + random(10 * SECOND);
                let heal = cut + random(20 * SECOND);
                let noticed = loop {
                    now += LOOK;
                    if now < cut {
                        silence.heard(now);
                    }
                    if silence.need(now) == Need::End {
                        break now;
                    }
                };
                book.get(id).slot = None;
                book.back_off(id, now);
                let (mut trying, mut probed) = (None, now);
                let back = loop {
                    now += LOOK;
                    // The clock is asked for all the time; its first answer after a failure says that packets flow.
                    if probed < heal && now >= heal {
                        book.on_healed(now);
                    }
                    probed = now;
                    if book.due(now, true, true).contains(&id) {
                        trying = Some(now);
                    }
                    let Some(since) = trying else { continue };
                    // The kernel repeats what got no answer after one second and three; we give up after five.
                    let is_answered = [0, 1, 3].iter().any(|s| {
                        let sent = since + s * SECOND;
                        sent >= heal && sent <= now
                    });
                    if is_answered {
                        break now;
                    }
                    if now > since + 5 * SECOND {
                        trying = None;
                        book.back_off(id, now);
                    }
                };
                noticed_max = noticed_max.max(noticed - cut);
                back_max = back_max.max(back.saturating_sub(heal.max(noticed)));
            }
            assert!(noticed_max <= limit + 2 * LOOK, "{kind:?} noticed after {noticed_max} ns");
            assert!(back_max <= 5 * SECOND, "{kind:?} back after {back_max} ns");
        }
    }

    /// A network that takes every connection away after a while: back within seconds, and never more often than the
    /// venue lets an address connect.
    #[test]
    fn connections_that_do_not_last_are_back_soon_within_the_venues_budget() {
        for lines in [1, LINES_MAX] {
            let mut book = LinkBook::new(lines, 100_000 * SECOND);
            let ids: Vec<LinkId> = book.ids().collect();
            let (mut made, mut longest) = (Vec::new(), 0);
            let mut lost = [None; PLACES];
            for now in (1..3_600 * 20).map(|look| look * SECOND / 20 + 12_345) {
                for id in book.due(now, true, true) {
                    made.push(now);
                    book.on_made(id, now);
                    let waited = lost[place(id)].take().map_or(0, |since: Nanos| now - since);
                    longest = longest.max(if made.len() < LOST_FEW { waited } else { 0 });
                }
                for id in &ids {
                    let link = book.get(*id);
                    if link.is_up && now - link.made_ns > 4 * SECOND {
                        link.slot = None;
                        lost[place(*id)] = Some(now);
                        book.back_off(*id, now);
                    }
                }
            }
            let in_window =
                |at: usize| made[at..].iter().take_while(|t| **t - made[at] < LOST_WINDOW_NS).count();
            let most = (0..made.len()).map(in_window).max().unwrap_or(0);
            assert!((1..300).contains(&most), "{lines} lines: {most} connections in five minutes");
            assert!((SECOND..=LOST_BACKOFF_MAX_NS + SECOND).contains(&longest), "{longest} ns");
        }
    }

    /// A network that cuts everything on the beat of the pauses themselves: connections are up in between.
    #[test]
    fn a_rhythm_of_cuts_is_not_met_on_every_beat() {
        for beat in [LOST_BACKOFF_MAX_NS, LOST_BACKOFF_MAX_NS + SECOND / 20] {
            let mut book = LinkBook::new(1, 100_000 * SECOND);
            let (mut up, mut looks) = (0, 0);
            for now in (1..60 * 100).map(|look| look * SECOND / 100 + look % 97 * 12_345) {
                for id in book.due(now, true, true) {
                    book.on_made(id, now);
                }
                (up, looks) = (up + u64::from(book.get(BOOK).is_up), looks + 1);
                if now % beat < SECOND / 100 && book.get(BOOK).is_up {
                    book.get(BOOK).slot = None;
                    book.back_off(BOOK, now);
                }
            }
            assert!(up * 5 >= looks, "up in {up} of {looks} looks");
        }
    }

    #[test]
    fn pauses_grow_to_half_a_minute_and_stay_within_the_venues_budget() {
        let mut book = LinkBook::new(1, 1_000 * SECOND);
        let (mut now, mut attempts) = (1, 0);
        while now < 3_600 * SECOND {
            if book.due(now, false, false).len() == 1 {
                attempts += 1;
                book.back_off(LinkId { kind: LinkKind::Events, line: 0 }, now);
            }
            now += SECOND / 10 + 12_345;
        }
        // At most half of 300 in five minutes.
        assert!((120..150 * 12).contains(&attempts), "{attempts} attempts in an hour");
    }
}
