//! The private connections: requests there, answers and account events back, cuts in between.

use super::{
    local::lock,
    network::Odds,
    world::{EPOCH_MS, Happening, MS, World},
};
use tickpath_hotpath::{
    stage::gateway::{GatewayEvent, connection},
    venue::logon_request,
};
use tickpath_shared::Nanos;
use tickpath_tools::venue::binance::{ClientRole, Reply};

impl World {
    /// Sends what the gateway wrote and asks what it asked.
    pub(super) fn take_output(&mut self) {
        let session = self.links[usize::from(connection::ORDERS)].session;
        for text in std::mem::take(&mut self.io.sent) {
            let delay = self.way();
            self.in_order(connection::ORDERS, delay, |_| Happening::Arrive { session, text });
        }
        for ask in std::mem::take(&mut self.io.asks) {
            let delay = self.way();
            self.at(delay, Happening::Ask(ask));
        }
        self.deliver_events();
    }

    /// One way over the network.
    pub(super) fn way(&mut self) -> Nanos {
        (1 + self.random.below(8)) * MS
    }

    /// Something that cannot overtake what was sent on the same connection before.
    fn in_order(&mut self, which: u16, delay: Nanos, what: impl FnOnce(&mut Self) -> Happening) {
        let last = &mut self.last_arrival[usize::from(which)];
        let due = (self.now + delay).max(*last);
        *last = due;
        let what = what(self);
        self.at(due - self.now, what);
    }

    pub(super) fn on_arrival(&mut self, session: u64, text: &str) {
        let link = &self.links[usize::from(connection::ORDERS)];
        if link.session != session {
            return;
        }
        if link.role.is_none() {
            return;
        }
        if self.is_rejected(text) {
            self.io.seen.rejected += 1;
            let id = text.split('"').nth(3).unwrap();
            let answer = format!(
                r#"{{"id":"{id}","status":400,"error":{{"code":-2019,"msg":"Margin is insufficient."}}}}"#
            );
            return self.answer(session, answer);
        }
        let link = &mut self.links[usize::from(connection::ORDERS)];
        let Some(role) = &mut link.role else { return };
        let is_timeout = self.random.chance(self.odds.timeout);
        // Nobody knows whether a request that timed out was carried out: half of them are.
        let answer = if is_timeout && self.random.chance(0.5) {
            None
        } else {
            match lock(&self.venue).on_text(role, text) {
                Reply::Text(answer) | Reply::Close(answer) => Some(answer),
            }
        };
        let answer = if is_timeout {
            self.io.seen.timeouts_answered += 1;
            let id = text.split('"').nth(3).unwrap();
            format!(
                r#"{{"id":"{id}","status":408,"error":{{"code":-1007,"msg":"Timeout waiting for response from backend server."}}}}"#
            )
        } else {
            answer.unwrap()
        };
        self.answer(session, answer);
    }

    /// The way of an answer back: lost, late, behind its fill, or as it should be.
    fn answer(&mut self, session: u64, text: String) {
        let which = connection::ORDERS;
        let draw = self.random.unit();
        let Odds { lost, late, behind, .. } = self.odds;
        let seen = &mut self.io.seen;
        let delay = if draw < lost {
            seen.lost_answers += 1;
            return;
        } else if draw < lost + late {
            seen.late_answers += 1;
            1_200 * MS + self.random.below(4_000) * MS
        } else if draw < lost + late + behind {
            seen.fills_before_answers += 1;
            50 * MS
        } else {
            self.way()
        };
        self.at(delay, Happening::Frame { which, session, text });
    }

    /// Account events on their way, some of them twice.
    fn deliver_events(&mut self) {
        let events = lock(&self.venue).take_events();
        let which = connection::EVENTS;
        for event in events {
            let link = &self.links[usize::from(which)];
            let (Some(role), session) = (&link.role, link.session) else { continue };
            let Some(text) = lock(&self.venue).event_for(role, &event) else { continue };
            let is_fill = text.contains(r#""x":"TRADE""#);
            if is_fill && self.random.chance(self.odds.missed) {
                self.io.seen.missed_fills += 1;
                continue;
            }
            let is_doubled = is_fill && self.random.chance(self.odds.double);
            for _ in 0..=u64::from(is_doubled) {
                let (delay, text) = (self.way(), text.clone());
                self.in_order(which, delay, |_| Happening::Frame { which, session, text });
            }
            self.io.seen.doubled_fills += u64::from(is_doubled);
        }
    }

    /// The connection is dead from now on, and half open until the gateway learns of it.
    pub(super) fn on_cut(&mut self, which: u16) {
        self.plan_cut(which);
        let link = &mut self.links[usize::from(which)];
        if link.role.take().is_none() {
            return;
        }
        self.io.seen.cuts += 1;
        let session = link.session;
        let delay = self.random.below(3_000) * MS;
        self.at(delay, Happening::Down { which, session });
    }

    pub(super) fn on_down(&mut self, which: u16, session: u64) {
        let link = &mut self.links[usize::from(which)];
        if link.session != session || !link.is_up {
            return;
        }
        (link.is_up, link.role) = (false, None);
        self.tell(GatewayEvent::Link { connection: which, is_up: false });
        let delay = (200 + self.random.below(1_000)) * MS;
        self.at(delay, Happening::Up { which });
    }

    /// An order session of the account.
    pub(super) fn log_on(&self) -> ClientRole {
        let mut venue = lock(&self.venue);
        let mut role = venue.role_of("/ws-fapi/v1?returnRateLimits=false").unwrap();
        let logon = logon_request(&self.credentials, EPOCH_MS + self.now / MS).unwrap();
        let Reply::Text(answer) = venue.on_text(&mut role, &logon) else { panic!("logon") };
        assert!(answer.contains("\"status\":200"), "{answer}");
        role
    }

    pub(super) fn on_up(&mut self, which: u16) {
        let role = if which == connection::ORDERS {
            self.log_on()
        } else {
            let key = loop {
                if let Ok(key) = self.rest.listen_key() {
                    break key;
                }
            };
            lock(&self.venue).role_of(&format!("/private/ws/{key}")).unwrap()
        };
        let link = &mut self.links[usize::from(which)];
        (link.session, link.is_up, link.role) = (link.session + 1, true, Some(role));
        self.tell(GatewayEvent::Link { connection: which, is_up: true });
    }
}
