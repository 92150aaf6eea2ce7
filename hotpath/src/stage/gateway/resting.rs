//! Stops that rest at the venue: one an instrument, which closes the position there is when the mark price reaches it,
//! also while no process of ours runs. They open nothing, so no limit counts them; they stay when trading stops, and go
//! with the position.

use super::{
    Gateway, GatewayPort, body, connection,
    orders::{CODE_CANCEL_UNKNOWN, CODE_DUPLICATE_ID, CODE_OUT_OF_TIME},
    send::Stamps,
};
use crate::{
    message::{AccountMessage, Ask, Notice},
    order::{OrderName, Report},
    venue::{Request, RequestKind, StopChange},
};
use serde::{Deserialize, Serialize};
use tickpath_shared::{
    Nanos,
    command::Scope,
    counters::Counter,
    record::{
        Cause, Class, FillRecord, Kind, OpenOrderRecord, OrderRecord, OrderStateRecord, StopReportRecord,
    },
    types::{ClientOrderId, OrderState, OrderTerms, Side, StopState, TimeInForce, TradingState, decimal},
};
use zerocopy::IntoBytes;

/// Pause between two looks at what is wanted.
const LOOK_NS: Nanos = 100_000_000;
/// Pause after a stop ended that was wanted.
const RETRY_NS: Nanos = 1_000_000_000;
/// Pause after the venue refused one.
const REFUSED_NS: Nanos = 5_000_000_000;
/// The entry may move by this part of the distance before the stop follows: for a moment there is none then.
const SLACK_PART: i64 = 10;
/// Longest that the end of an order is waited for that a stop became: whatever it was, the position wants another.
const TRIGGERED_NS_MAX: Nanos = 30_000_000_000;
/// Venue's code for a stop that would trigger at once.
const CODE_AT_ONCE: i32 = -2021;
/// Venue's code for a second stop of a position.
const CODE_ANOTHER: i32 = -4130;

/// How far a stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    Sent,
    Resting,
    Canceling,
    /// The venue is asked.
    Unknown,
    /// It becomes an order, or has.
    Triggered,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct RestingStop {
    id: ClientOrderId,
    side: Side,
    trigger: i64,
    phase: Phase,
    /// As journalled.
    state: OrderState,
    /// The order that it became, 0 before.
    venue_order_id: u64,
    filled: i64,
    placed_ns: Nanos,
    triggered_ns: Nanos,
    /// When something was last asked of the venue about it.
    asked_ns: Nanos,
}

/// A stop that is wanted.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    side: Side,
    trigger: i64,
    slack: i64,
}

impl Wanted {
    fn is_served_by(&self, stop: &RestingStop) -> bool {
        self.side == stop.side && (self.trigger - stop.trigger).abs() <= self.slack
    }
}

/// Stops by instrument.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct RestingStops {
    each: Vec<Option<RestingStop>>,
    /// Session time before which none is placed or moved, by instrument.
    not_before: Vec<Nanos>,
    next_look_ns: Nanos,
}

impl RestingStops {
    pub(super) fn new(instruments: usize) -> Self {
        Self { each: vec![None; instruments], not_before: vec![0; instruments], next_look_ns: 0 }
    }

    fn find(&self, is_meant: impl Fn(&RestingStop) -> bool) -> Option<usize> {
        self.each.iter().position(|stop| stop.as_ref().is_some_and(&is_meant))
    }

    /// The stop that has this name, or has become this order: whose name is of our form is known by it alone, for numbers
    /// are of one instrument.
    fn find_order(&self, name: &OrderName, instrument: Option<u32>) -> Option<usize> {
        if let Some(at) = self.find(|stop| stop.id == name.client_order_id) {
            return Some(at);
        }
        if name.client_order_id.parts().is_ok() {
            return None;
        }
        let number = name.venue_order_id;
        let at = self.find(|stop| number != 0 && stop.venue_order_id == number)?;
        instrument.is_none_or(|of| of as usize == at).then_some(at)
    }

    /// The state as words, for digests.
    pub(super) fn words(&self) -> impl Iterator<Item = u64> + '_ {
        let of = |(at, stop): (usize, &RestingStop)| {
            let (phase, side) = (stop.phase as u64, stop.side as u64);
            let times = [stop.placed_ns, stop.triggered_ns, stop.asked_ns];
            let own = [at as u64, phase, side, stop.trigger as u64, stop.venue_order_id, stop.filled as u64];
            own.into_iter().chain(times)
        };
        let pauses = self.not_before.iter().copied().filter(|until| *until != 0);
        let each = self.each.iter().enumerate().filter_map(|(at, stop)| Some((at, stop.as_ref()?)));
        each.flat_map(of).chain(pauses)
    }
}

impl Gateway {
    /// Places, moves and takes away stops as positions want it, and asks about those of which nothing was heard.
    #[inline]
    pub(super) fn keep_stops(&mut self, now: Nanos, port: &mut impl GatewayPort) {
        if now >= self.resting.next_look_ns {
            self.look_at_stops(now, port);
        }
    }

    fn look_at_stops(&mut self, now: Nanos, port: &mut impl GatewayPort) {
        self.resting.next_look_ns = now + LOOK_NS;
        for at in 0..self.resting.each.len() {
            match self.resting.each[at] {
                None => self.place_wanted(now, at, port),
                Some(stop) => self.follow_stop(now, at, stop, port),
            }
        }
    }

    fn follow_stop(&mut self, now: Nanos, at: usize, stop: RestingStop, port: &mut impl GatewayPort) {
        if stop.phase == Phase::Resting {
            let wanted = self.wanted_stop(at);
            let is_of_other = wanted.is_none_or(|wanted| wanted.side != stop.side);
            // One that is only in another place stays until the next one may be placed.
            let is_to_move =
                || wanted.is_some_and(|wanted| !wanted.is_served_by(&stop)) && self.may_place_stop(now, at);
            let may_cancel =
                self.links[usize::from(connection::ORDERS)] && now >= self.resting.not_before[at];
            if may_cancel && (is_of_other || is_to_move()) {
                self.cancel_stop(now, at, stop, port);
            }
        } else if stop.phase == Phase::Triggered && now > stop.triggered_ns + TRIGGERED_NS_MAX {
            let end = if stop.filled > 0 { OrderState::Expired } else { OrderState::Absent };
            self.end_stop(now, Cause::NONE, at, end, 0, port);
        } else if now.saturating_sub(stop.asked_ns) > self.answer_timeout_ns {
            self.lose_stop(now, at, port);
        }
    }

    /// The stop that the position of an instrument wants: a distance from its average entry, on the tick beyond.
    fn wanted_stop(&self, at: usize) -> Option<Wanted> {
        let definition = &self.definitions[at];
        let position = self.positions.get(at as u32);
        if self.limits.resting_stop_bps == 0 || position.qty == 0 {
            return None;
        }
        let entry_e8 = position.entry_price_e8(definition);
        let distance_e8 = i128::from(entry_e8) * i128::from(self.limits.resting_stop_bps) / 10_000;
        let tick_e8 = definition.price_to_e8(definition.tick).max(1);
        let sign = i128::from(position.qty.signum());
        // As if below zero for a short position, so that rounding down leads away from the entry for both.
        let ticks = (sign * i128::from(entry_e8) - distance_e8).div_euclid(tick_e8) * sign;
        let trigger = i64::try_from(ticks).ok()?.checked_mul(definition.tick)?;
        let unit_e8 = decimal::pow10(8_u8.saturating_sub(definition.price_scale));
        let slack = (distance_e8 / i128::from(unit_e8)) as i64 / SLACK_PART;
        let side = if position.qty > 0 { Side::Sell } else { Side::Buy };
        (entry_e8 > 0 && trigger > 0).then_some(Wanted { side, trigger, slack })
    }

    fn place_wanted(&mut self, now: Nanos, at: usize, port: &mut impl GatewayPort) {
        if let Some(wanted) = self.wanted_stop(at)
            && self.may_place_stop(now, at)
        {
            self.place_stop(now, at, wanted, port);
        }
    }

    fn may_place_stop(&self, now: Nanos, at: usize) -> bool {
        let is_closing = self.flattening >> at & 1 == 1 && self.orders.open_of(at as u32) > 0;
        !self.is_killed
            && self.state != TradingState::Halted
            && self.is_reconciled
            && self.links.iter().all(|up| *up)
            && self.clock.bound_ns.is_some()
            && !is_closing
            && now >= self.resting.not_before[at]
            && self.rates.has_room(now, self.venue_ms(now), &self.limits)
    }

    fn place_stop(&mut self, now: Nanos, at: usize, wanted: Wanted, port: &mut impl GatewayPort) {
        let id = self.next_id;
        self.next_order += 1;
        self.next_id = id.successor();
        self.rates.on_order(now, self.venue_ms(now));
        let Wanted { side, trigger, .. } = wanted;
        self.resting.each[at] = Some(RestingStop {
            id,
            side,
            trigger,
            phase: Phase::Sent,
            state: OrderState::Sent,
            venue_order_id: 0,
            filled: 0,
            placed_ns: now,
            triggered_ns: 0,
            asked_ns: now,
        });
        let record = OrderRecord {
            client_order_id: id,
            intent: 0,
            price: trigger,
            qty: self.positions.qty(at as u32).abs(),
            instrument: at as u32,
            strategy: self.owners[at],
            side: side as u8,
            time_in_force: TimeInForce::Gtc as u8,
            is_reduce_only: 1,
            order_type: OrderTerms::STOP_MARKET,
            price_match: 0,
            reserved: [0; 5],
        };
        let request = Request::PlaceStop { side, trigger };
        self.request(now, Cause::NONE, Kind::Order, &request, &record, Stamps::default(), port);
    }

    fn cancel_stop(&mut self, now: Nanos, at: usize, stop: RestingStop, port: &mut impl GatewayPort) {
        self.resting.each[at] = Some(RestingStop { phase: Phase::Canceling, asked_ns: now, ..stop });
        self.send_stop_cancel(now, at as u32, stop.id, stop.trigger, stop.side, port);
    }

    fn send_stop_cancel(
        &mut self,
        now: Nanos,
        instrument: u32,
        client_order_id: ClientOrderId,
        trigger: i64,
        side: Side,
        port: &mut impl GatewayPort,
    ) {
        self.rates.on_cancel(now);
        let record = OrderRecord {
            client_order_id,
            intent: 0,
            price: trigger,
            qty: 0,
            instrument,
            strategy: 0,
            side: side as u8,
            time_in_force: 0,
            is_reduce_only: 1,
            order_type: OrderTerms::STOP_MARKET,
            price_match: 0,
            reserved: [0; 5],
        };
        self.request(now, Cause::NONE, Kind::Cancel, &Request::CancelStop, &record, Stamps::default(), port);
    }

    /// What became of it is not known: the venue is asked, and asked again.
    fn lose_stop(&mut self, now: Nanos, at: usize, port: &mut impl GatewayPort) {
        let Some(stop) = self.resting.each[at].as_mut() else { return };
        stop.asked_ns = now;
        if stop.phase == Phase::Triggered && stop.venue_order_id != 0 {
            let name = OrderName::numbered(stop.venue_order_id);
            return port.ask(Ask::Order { instrument: at as u32, name });
        }
        let client_order_id = stop.id;
        if !matches!(stop.phase, Phase::Triggered | Phase::Unknown) {
            stop.phase = Phase::Unknown;
            self.note_stop(now, Cause::NONE, at, OrderState::Unknown, 0, port);
        }
        port.ask(Ask::Stop { instrument: at as u32, client_order_id });
    }

    /// Events may have been missed.
    pub(super) fn lose_stops(&mut self, now: Nanos, port: &mut impl GatewayPort) {
        (0..self.resting.each.len()).for_each(|at| self.lose_stop(now, at, port));
    }

    /// Journals where it stands, as that of an order.
    fn note_stop(
        &mut self,
        now: Nanos,
        cause: Cause,
        at: usize,
        to: OrderState,
        code: i32,
        port: &mut impl GatewayPort,
    ) {
        let Some(stop) = self.resting.each[at].as_mut() else { return };
        let from = std::mem::replace(&mut stop.state, to);
        let record = OrderStateRecord {
            client_order_id: stop.id,
            venue_order_id: stop.venue_order_id,
            filled: stop.filled,
            code,
            from: from as u8,
            to: to as u8,
            reserved: [0; 2],
        };
        port.record(Kind::OrderState, Class::Audit, now, cause, &[record.as_bytes()]);
    }

    fn end_stop(
        &mut self,
        now: Nanos,
        cause: Cause,
        at: usize,
        to: OrderState,
        code: i32,
        port: &mut impl GatewayPort,
    ) {
        self.note_stop(now, cause, at, to, code, port);
        let ended = self.resting.each[at].take();
        if ended.is_some_and(|stop| stop.phase == Phase::Canceling) {
            // The next one follows at once.
            self.resting.next_look_ns = 0;
        } else {
            self.resting.not_before[at] = self.resting.not_before[at].max(now + RETRY_NS);
        }
    }

    /// The market went where nobody wanted to hold the position any more: nothing is opened on the instrument until a
    /// person has looked.
    fn on_stop_reached(
        &mut self,
        now: Nanos,
        cause: Cause,
        at: usize,
        trigger: i64,
        port: &mut impl GatewayPort,
    ) {
        // What would open a position anew goes; so does what would close the one that is being closed.
        self.cancel_of(now, cause, 1 << at, port);
        self.stops.set(Scope::Instrument(at as u16));
        port.ask(Ask::Tell(Notice::StopReached { instrument: at as u32, trigger }));
    }

    /// What an answer or an event says.
    pub(super) fn on_stop_change(
        &mut self,
        now: Nanos,
        cause: Cause,
        change: &StopChange,
        port: &mut impl GatewayPort,
    ) {
        let Some(at) = self.resting.find(|stop| stop.id == change.client_order_id) else {
            return port.count(Counter::PrivateIgnored, 1);
        };
        let is_sent = self.resting.each[at].is_some_and(|stop| stop.phase == Phase::Sent);
        // Of what was lost sight of, the venue's answer to a question tells what holds.
        if change.state != StopState::Waiting || is_sent {
            self.on_stop_state(now, cause, at, change.state, change.venue_order_id, port);
        }
    }

    fn on_stop_state(
        &mut self,
        now: Nanos,
        cause: Cause,
        at: usize,
        state: StopState,
        venue_order_id: u64,
        port: &mut impl GatewayPort,
    ) {
        let Some(stop) = self.resting.each[at].as_mut() else { return };
        stop.venue_order_id = stop.venue_order_id.max(venue_order_id);
        match state {
            StopState::Waiting => {
                stop.phase = Phase::Resting;
                self.note_stop(now, cause, at, OrderState::Working, 0, port);
            }
            StopState::Triggered | StopState::Finished => self.trigger_stop(now, cause, at, port),
            StopState::Canceled => self.end_stop(now, cause, at, OrderState::Canceled, 0, port),
            StopState::Expired => self.reject_stop(now, cause, at, OrderState::Expired, port),
            StopState::Rejected => self.reject_stop(now, cause, at, OrderState::Rejected, port),
            StopState::Absent => self.end_stop(now, cause, at, OrderState::Absent, 0, port),
        }
    }

    /// The venue ends it by itself.
    fn reject_stop(
        &mut self,
        now: Nanos,
        cause: Cause,
        at: usize,
        to: OrderState,
        port: &mut impl GatewayPort,
    ) {
        // Of one that was triggered the position had gone before.
        if self.resting.each[at].is_some_and(|stop| stop.phase != Phase::Triggered) {
            self.refuse_stop(now, at, 0, port);
        }
        self.end_stop(now, cause, at, to, 0, port);
    }

    fn refuse_stop(&mut self, now: Nanos, at: usize, code: i32, port: &mut impl GatewayPort) {
        self.resting.not_before[at] = now + REFUSED_NS;
        port.ask(Ask::Tell(Notice::StopRefused { instrument: at as u32, code }));
    }

    /// It becomes an order, whose events follow.
    fn trigger_stop(&mut self, now: Nanos, cause: Cause, at: usize, port: &mut impl GatewayPort) {
        let Some(stop) = self.resting.each[at].as_mut() else { return };
        let was = std::mem::replace(&mut stop.phase, Phase::Triggered);
        let trigger = stop.trigger;
        if was != Phase::Triggered {
            (stop.asked_ns, stop.triggered_ns) = (now, now);
            self.on_stop_reached(now, cause, at, trigger, port);
        }
    }

    pub(super) fn on_stop_refused(
        &mut self,
        now: Nanos,
        cause: Cause,
        request: RequestKind,
        id: &ClientOrderId,
        code: i32,
        port: &mut impl GatewayPort,
    ) {
        let Some(at) = self.resting.find(|stop| stop.id == *id) else { return };
        if code == CODE_OUT_OF_TIME {
            port.ask(Ask::Time);
        }
        if request == RequestKind::CancelStop || matches!(code, CODE_DUPLICATE_ID | CODE_CANCEL_UNKNOWN) {
            self.resting.not_before[at] = now + RETRY_NS;
            return self.lose_stop(now, at, port);
        }
        let trigger = self.resting.each[at].map_or(0, |stop| stop.trigger);
        self.end_stop(now, cause, at, OrderState::Rejected, code, port);
        if code == CODE_AT_ONCE {
            self.resting.not_before[at] = now + REFUSED_NS;
            // What it would have done is done, unless a person has to say it: then it is tried again.
            let may_close = !self.is_killed && self.state != TradingState::Halted;
            if may_close && self.flattening >> at & 1 == 0 {
                self.on_stop_reached(now, cause, at, trigger, port);
                self.flatten(1 << at);
            }
        } else if code != CODE_OUT_OF_TIME {
            self.refuse_stop(now, at, code, port);
            if code == CODE_ANOTHER {
                // There is one that we do not know of: the list tells.
                port.ask(Ask::CatchUp);
            }
        }
    }

    /// The venue does not say what became of a request.
    pub(super) fn on_stop_unknown(&mut self, now: Nanos, id: &ClientOrderId, port: &mut impl GatewayPort) {
        if let Some(at) = self.resting.find(|stop| stop.id == *id) {
            self.lose_stop(now, at, port);
        }
    }

    /// An order that a stop became, by its name or its number.
    pub(super) fn is_of_stop(&self, name: &OrderName, instrument: Option<u32>) -> bool {
        self.resting.find_order(name, instrument).is_some()
    }

    /// The order that a stop became changed. Its fills are booked like all others.
    pub(super) fn on_stop_order(
        &mut self,
        now: Nanos,
        cause: Cause,
        name: &OrderName,
        report: &Report,
        code: i32,
        port: &mut impl GatewayPort,
    ) {
        let Some(at) = self.resting.find_order(name, None) else { return };
        self.trigger_stop(now, cause, at, port);
        let Some(stop) = self.resting.each[at].as_mut() else { return };
        stop.venue_order_id = stop.venue_order_id.max(report.venue_order_id);
        let is_news = stop.state != report.state || stop.filled != report.filled;
        stop.filled = stop.filled.max(report.filled);
        if report.state.is_terminal() {
            self.end_stop(now, cause, at, report.state, code, port);
        } else if is_news {
            self.note_stop(now, cause, at, report.state, code, port);
        }
    }

    /// What the venue says of a stop, in its list or when asked.
    pub(super) fn on_stop_report(
        &mut self,
        now: Nanos,
        cause: Cause,
        message: &AccountMessage,
        port: &mut impl GatewayPort,
    ) {
        let Some(report) = body::<StopReportRecord>(message) else { return };
        let (Some(state), Some(slot)) =
            (StopState::from_repr(report.state), self.resting.each.get(report.instrument as usize))
        else {
            return;
        };
        let at = report.instrument as usize;
        let Some(stop) = slot.filter(|stop| stop.id == report.client_order_id) else {
            return self.adopt_stop(now, cause, &report, port);
        };
        // What counts is when the venue was asked: not before the last doubt.
        let asked_ns = now.saturating_sub(u64::from(report.age_ms) * 1_000_000);
        let is_late = asked_ns < stop.asked_ns;
        let may_arrive = asked_ns.saturating_sub(stop.placed_ns) <= self.arrival_margin(asked_ns);
        let says_nothing = match state {
            StopState::Waiting => stop.phase != Phase::Unknown || is_late,
            StopState::Absent => may_arrive || is_late,
            _ => false,
        };
        if !says_nothing {
            self.on_stop_state(now, cause, at, state, report.venue_order_id, port);
        }
    }

    /// A stop of ours that is not known and still rests: one of an earlier session goes on where it serves the position,
    /// all others go. Those of others are theirs.
    fn adopt_stop(
        &mut self,
        now: Nanos,
        cause: Cause,
        report: &StopReportRecord,
        port: &mut impl GatewayPort,
    ) {
        let id = report.client_order_id;
        let is_meant = !self.is_foreign(&id) && report.state == StopState::Waiting as u8;
        let Some(side) = Side::from_repr(report.side).filter(|_| is_meant) else { return };
        let at = report.instrument as usize;
        // The list may be older than the end of one of this session.
        let may_go_on = report.is_closing == 1 && !self.is_of_session(&id) && self.resting.each[at].is_none();
        let is_other_side = |wanted: Wanted| wanted.side != side;
        if !may_go_on || self.wanted_stop(at).is_some_and(is_other_side) {
            return self.send_stop_cancel(now, report.instrument, id, report.trigger, side, port);
        }
        let open = OpenOrderRecord {
            client_order_id: id,
            venue_order_id: 0,
            instrument: report.instrument,
            side: report.side,
            is_ours: 1,
            reserved: [0; 2],
            price: report.trigger,
            qty: 0,
            filled: 0,
        };
        port.record(Kind::OpenOrder, Class::Audit, now, cause, &[open.as_bytes()]);
        self.resting.each[at] = Some(RestingStop {
            id,
            side,
            trigger: report.trigger,
            phase: Phase::Resting,
            state: OrderState::Working,
            venue_order_id: 0,
            filled: 0,
            placed_ns: 0,
            triggered_ns: 0,
            asked_ns: now,
        });
    }

    /// A fill that is known to be a stop's.
    pub(super) fn is_fill_of_stop(&self, fill: &FillRecord) -> bool {
        let name = OrderName { client_order_id: fill.client_order_id, venue_order_id: fill.venue_order_id };
        self.is_of_stop(&name, Some(fill.instrument))
    }
}
