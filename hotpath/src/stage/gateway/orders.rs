//! Orders: from intent to request, and what the venue says about them.

use super::{Gateway, GatewayPort, connection, held::needs_approval};
use crate::{
    message::{Ask, EngineMessage, Notice, OutcomeBody, Renewal},
    order::{Order, OrderName, Report, Wanted},
    risk::{self, Account, Breach, Context, Standing},
    venue::{PrivateEvent, RequestKind},
};
use tickpath_shared::{
    Nanos,
    command::Verdict,
    counters::Counter,
    record::{Cause, Class, FillRecord, IntentRecord, Kind, OrderStateRecord, RefusalRecord, StateReason},
    types::{ClientOrderId, OrderState, Reason, Side, TimeInForce, TradingState},
};
use zerocopy::IntoBytes;

/// Venue's code for a cancel of an order it does not hold.
pub(super) const CODE_CANCEL_UNKNOWN: i32 = -2011;
/// Venue's code for a client order id that is open already: an earlier attempt was accepted.
pub(super) const CODE_DUPLICATE_ID: i32 = -4116;
/// Venue's code for a time stamp outside of the request's window: it was not carried out.
pub(super) const CODE_OUT_OF_TIME: i32 = -1021;

impl Gateway {
    pub(super) fn on_intent(
        &mut self,
        now: Nanos,
        cause: Cause,
        intent: &IntentRecord,
        message: &EngineMessage,
        port: &mut impl GatewayPort,
    ) -> Verdict {
        let (Some(side), Some(time_in_force)) =
            (Side::from_repr(intent.side), TimeInForce::from_repr(intent.time_in_force))
        else {
            unreachable!("an engine builds intents from enums: {intent:?}")
        };
        let context = self.context(now, intent, side, message.book_venue_ms, None);
        if let Err(breach) = risk::check(&context) {
            return self.refuse(now, cause, intent, breach, port);
        }
        if needs_approval(&context) {
            return self.hold(now, cause, intent, port);
        }
        port.on_risk_passed();
        let verdict = self.place(now, cause, intent, side, time_in_force, message.decided_ns, port);
        self.health.on_order(now.saturating_sub(intent.read_ns));
        verdict
    }

    /// What the limits look at for an order, or for what an order would be changed to.
    pub(super) fn context<'a>(
        &'a self,
        now: Nanos,
        intent: &'a IntentRecord,
        side: Side,
        book_venue_ms: u64,
        replaces: Option<(usize, &'a ClientOrderId)>,
    ) -> Context<'a> {
        let IntentRecord { instrument, price, qty, .. } = *intent;
        let (is_reduce_only, replaced) = (intent.is_reduce_only == 1, replaces.map(|(slot, _)| slot));
        let wanted = Wanted { instrument, side, price, qty, is_reduce_only, replaces: replaced };
        Context {
            now,
            venue_ms: self.venue_ms(now),
            book_venue_age_ns: self.venue_age_ns(now, book_venue_ms),
            limits: &self.limits,
            intent,
            side,
            definition: &self.definitions[instrument as usize],
            mark: self.marks[instrument as usize],
            positions: &self.positions,
            survey: self.orders.survey(&wanted),
            replaces: replaces.map(|(_, id)| id),
            account: Account {
                definitions: &self.definitions,
                marked_e8: &self.marked_e8,
                owners: &self.owners,
                orders: &self.orders,
                budgets: &self.budgets,
                allowed: self.allowed,
            },
            rates: &self.rates,
            standing: self.standing(intent),
        }
    }

    fn standing(&self, intent: &IntentRecord) -> Standing {
        Standing {
            is_stopped: self.stops.holds(intent),
            barrier: self.barrier,
            is_killed: self.is_killed,
            state: self.state,
            is_reconciled: self.is_reconciled,
            is_connected: self.links.iter().all(|up| *up),
            pressure: self.pressure,
            clock_error_ns: self.clock.bound_ns,
        }
    }

    pub(super) fn refuse(
        &mut self,
        now: Nanos,
        cause: Cause,
        intent: &IntentRecord,
        breach: Breach,
        port: &mut impl GatewayPort,
    ) -> Verdict {
        let record = RefusalRecord {
            intent: intent.number,
            value: breach.value,
            bound: breach.bound,
            instrument: intent.instrument,
            reason: breach.reason as u16,
            strategy: intent.strategy,
        };
        port.record(Kind::Refusal, Class::Audit, now, cause, &[record.as_bytes()]);
        port.count(Counter::Refusals, 1);
        // What the gateway wants by itself no engine waits for.
        if intent.number != 0 {
            let outcome = OutcomeBody::Refused { intent: intent.number, reason: breach.reason };
            self.tell(intent.instrument, outcome, port);
        }
        let is_wild = matches!(
            breach.reason,
            Reason::OrderRate | Reason::MessageRate | Reason::Identical | Reason::SelfCross
        );
        if is_wild {
            self.throttle(now, cause, port);
        }
        Verdict::Limit(breach.reason)
    }

    /// A strategy that goes on wanting what it must not have is stopped until a person arms again.
    fn throttle(&mut self, now: Nanos, cause: Cause, port: &mut impl GatewayPort) {
        let window_ns = self.limits.order_rate_window_ms * 1_000_000;
        self.throttled.record(now);
        if self.state == TradingState::Armed && self.throttled.is_full(now, window_ns, 0) {
            self.set_state(now, cause, TradingState::CancelOnly, StateReason::Throttled, port);
            self.cancel_all(now, cause, port);
        }
    }

    pub(super) fn on_private(
        &mut self,
        now: Nanos,
        cause: Cause,
        from: u16,
        frame: &[u8],
        port: &mut impl GatewayPort,
    ) {
        port.count(Counter::PrivateFrames, 1);
        self.private_ns = now;
        match self.decoder.decode(frame, &self.definitions) {
            Ok(event) => {
                self.on_private_event(now, cause, from, event, port);
                if self.decoder.order_counts()[0].interval_ms > 0 {
                    let (venue_ms, pending) = (self.venue_ms(now), self.orders.unanswered());
                    self.rates.on_venue_counts(venue_ms, self.decoder.order_counts(), pending);
                }
            }
            Err(_) => port.count(Counter::PrivateErrors, 1),
        }
    }

    fn on_private_event(
        &mut self,
        now: Nanos,
        cause: Cause,
        from: u16,
        event: PrivateEvent,
        port: &mut impl GatewayPort,
    ) {
        match event {
            PrivateEvent::Accepted { request, client_order_id, report } => {
                // Of an amendment that was given up, or is known to be done, the query tells what holds.
                if self.is_answer_awaited(request, &client_order_id) {
                    self.on_report(now, cause, client_order_id, report, 0, port);
                }
            }
            PrivateEvent::Refused { request, client_order_id, code } => {
                self.on_refused(now, cause, request, client_order_id, code, port);
            }
            PrivateEvent::Unknown { client_order_id, code, .. } => {
                self.on_stop_unknown(now, &client_order_id, port);
                if let Some(slot) = self.orders.find(&client_order_id) {
                    self.lose(now, cause, slot, code, port);
                }
            }
            PrivateEvent::Order { client_order_id, instrument, report, fill } => {
                self.note_foreign(now, cause, instrument, client_order_id, report, port);
                if let Some(fill) = fill {
                    self.on_fill(now, cause, fill, port);
                }
                self.on_report(now, cause, client_order_id, report, 0, port);
            }
            PrivateEvent::EarlyFill(fill) => self.on_early_fill(now, fill, port),
            PrivateEvent::Account(change) => self.on_account_change(now, cause, &change, port),
            PrivateEvent::MarginCall => port.ask(Ask::Tell(Notice::MarginCall)),
            PrivateEvent::Leverage { instrument, leverage } => {
                port.ask(Ask::Tell(Notice::Leverage { instrument, leverage }));
            }
            PrivateEvent::MarginMode => port.ask(Ask::Tell(Notice::MarginMode)),
            PrivateEvent::KeyExpired => self.on_key_expired(now, cause, port),
            PrivateEvent::SessionLost { .. } => {
                port.ask(Ask::Renew { connection: connection::ORDERS, why: Renewal::SessionLost });
            }
            PrivateEvent::Closing => port.ask(Ask::Renew { connection: from, why: Renewal::Closing }),
            PrivateEvent::Stop(change) => self.on_stop_change(now, cause, &change, port),
            PrivateEvent::Ignored => port.count(Counter::PrivateIgnored, 1),
        }
    }

    /// The socket stays open and brings nothing any more: what happens from now on is not seen.
    fn on_key_expired(&mut self, now: Nanos, cause: Cause, port: &mut impl GatewayPort) {
        self.links[usize::from(connection::EVENTS)] = false;
        self.is_reconciled = false;
        self.on_link_lost(now, cause, port);
        port.ask(Ask::Renew { connection: connection::EVENTS, why: Renewal::KeyExpired });
        port.on_gauges(self);
    }

    /// The answer is about the request that is under way.
    fn is_answer_awaited(&mut self, request: RequestKind, id: &ClientOrderId) -> bool {
        let RequestKind::Amend { number } = request else { return true };
        self.orders.find(id).is_some_and(|slot| self.is_amendment(slot, number))
    }

    fn is_amendment(&mut self, slot: usize, number: u8) -> bool {
        self.orders.get_mut(slot).is_some_and(|order| order.is_amendment(number))
    }

    /// Of this very session.
    pub(super) fn is_of_session(&self, id: &ClientOrderId) -> bool {
        let ours = (self.ids.instance, self.ids.epoch);
        id.parts().is_ok_and(|(instance, epoch, _)| (instance, epoch) == ours)
    }

    /// Of no session of this instance.
    pub(super) fn is_foreign(&self, id: &ClientOrderId) -> bool {
        id.parts().map_or(true, |(instance, ..)| instance != self.ids.instance)
    }

    fn on_refused(
        &mut self,
        now: Nanos,
        cause: Cause,
        request: RequestKind,
        id: ClientOrderId,
        code: i32,
        port: &mut impl GatewayPort,
    ) {
        let Some(slot) = self.orders.find(&id) else {
            return self.on_stop_refused(now, cause, request, &id, code, port);
        };
        match (request, code) {
            // The end is, or will be, on the account stream; the query settles it if the stream does not.
            (RequestKind::Amend { number }, _) if !self.is_amendment(slot, number) => {}
            (RequestKind::Amend { .. }, code) => {
                if code == CODE_OUT_OF_TIME {
                    port.ask(Ask::Time);
                }
                self.on_amend_refused(now, cause, slot, code, port);
            }
            (RequestKind::Cancel, CODE_CANCEL_UNKNOWN) | (RequestKind::Place, CODE_DUPLICATE_ID) => {
                self.lose(now, cause, slot, code, port);
            }
            (RequestKind::Cancel, CODE_OUT_OF_TIME) => port.ask(Ask::Time),
            // Still wanted: once its time is over the order is asked about, and canceled again if it works.
            (RequestKind::Cancel, _) => {}
            // No order has the name of a stop.
            (RequestKind::PlaceStop | RequestKind::CancelStop, _) => {}
            (RequestKind::Place, _) => {
                if code == CODE_OUT_OF_TIME {
                    // Not sent again by itself: what it was decided on is older by a way there and back.
                    port.ask(Ask::Time);
                }
                port.count(Counter::OrdersRejected, 1);
                self.health.on_reject();
                self.on_report(now, cause, id, Report::of(OrderState::Rejected), code, port);
            }
        }
    }

    /// The outcome of a request is not known: the order counts at its worst until proof arrives.
    pub(super) fn lose(
        &mut self,
        now: Nanos,
        cause: Cause,
        slot: usize,
        code: i32,
        port: &mut impl GatewayPort,
    ) {
        let Some(order) = self.orders.get_mut(slot) else { return };
        if !order.name().is_usable() {
            // Nothing to ask by: the account stream and the next list tell of it.
            return;
        }
        let before = *order;
        order.on_lost();
        order.sent_ns = now;
        let after = *order;
        if before.state != OrderState::Unknown {
            port.count(Counter::OrdersUnknown, 1);
            self.health.on_unknown();
            record_change(now, cause, &before, &after, code, port);
        }
        port.ask(Ask::Order { instrument: after.instrument, name: after.name() });
    }

    /// Applies what the venue says about an order, on any road, and removes it at its end.
    pub(super) fn on_report(
        &mut self,
        now: Nanos,
        cause: Cause,
        id: ClientOrderId,
        report: Report,
        code: i32,
        port: &mut impl GatewayPort,
    ) {
        let name = OrderName { client_order_id: id, venue_order_id: report.venue_order_id };
        let Some(slot) = self.orders.find_named(&name, None) else {
            if self.is_of_stop(&name, None) {
                return self.on_stop_order(now, cause, &name, &report, code, port);
            }
            if !report.state.is_terminal() && !self.is_of_session(&id) {
                port.count(Counter::OutcomesForeign, 1);
            }
            return;
        };
        self.report_in(now, cause, slot, report, code, port);
    }

    pub(super) fn report_in(
        &mut self,
        now: Nanos,
        cause: Cause,
        slot: usize,
        report: Report,
        code: i32,
        port: &mut impl GatewayPort,
    ) {
        let Some(order) = self.orders.get_mut(slot) else { return };
        let before = *order;
        order.on_report(report);
        self.after_change(now, cause, slot, &before, code, port);
    }

    /// Books an execution once, whatever road it came by.
    pub(super) fn on_fill(
        &mut self,
        now: Nanos,
        cause: Cause,
        fill: FillRecord,
        port: &mut impl GatewayPort,
    ) {
        if !self.seen.insert(fill.instrument, fill.trade_id) {
            port.count(Counter::FillsDuplicate, 1);
            return;
        }
        port.record(Kind::Fill, Class::Audit, now, cause, &[fill.as_bytes()]);
        port.count(Counter::Fills, 1);
        self.shown.on_booked(now, &fill);
        if self.has_start_position[fill.instrument as usize] {
            self.apply_fill(&fill, port);
        } else if fill.is_reconciled == 0 {
            // Kept until it is known whether the start position contains it; listed trades it contains.
            self.early_fills.push(fill);
        }
        let name = OrderName { client_order_id: fill.client_order_id, venue_order_id: fill.venue_order_id };
        let Some(slot) = self.orders.find_named(&name, Some(fill.instrument)) else {
            if fill.is_reconciled == 0 && !self.is_fill_of_stop(&fill) {
                port.count(Counter::FillsForeign, 1);
            }
            return;
        };
        let Some(order) = self.orders.get_mut(slot) else { return };
        let before = *order;
        order.on_fill(fill.qty);
        port.on_order_event(before.placed_ns, true, now);
        self.after_change(now, cause, slot, &before, 0, port);
    }

    pub(super) fn apply_fill(&mut self, fill: &FillRecord, port: &mut impl GatewayPort) {
        let definition = self.definitions[fill.instrument as usize];
        let Some(side) = Side::from_repr(fill.side) else { return };
        let before = *self.positions.get(fill.instrument);
        let fee_e8 = fill.quote_fee_e8(definition.symbol.as_str()).unwrap_or_else(|| {
            if !std::mem::replace(&mut self.has_told_fee, true) {
                port.ask(Ask::Tell(Notice::OtherFee { asset: fill.fee_asset }));
            }
            0
        });
        self.positions.fill(&definition, side, fill.price, fill.qty, fee_e8);
        let after = self.positions.get(fill.instrument);
        let realized = after.realized_e8 - before.realized_e8 - i128::from(fee_e8);
        self.day.on_fill(fill.instrument, realized, before.qty, after.qty);
        let mark = self.marks[fill.instrument as usize].price_e8;
        self.health.on_fill(side.sign(), definition.price_to_e8(fill.price), mark);
        self.mark_position(fill.instrument);
        self.tell_position(fill.instrument, port);
        port.on_gauges(self);
    }

    /// Journals a change of state and takes the order out of the table at its end.
    fn after_change(
        &mut self,
        now: Nanos,
        cause: Cause,
        slot: usize,
        before: &Order,
        code: i32,
        port: &mut impl GatewayPort,
    ) {
        let Some(after) = self.orders.get_mut(slot).map(|o| *o) else { return };
        if after.state != before.state || after.filled != before.filled {
            record_change(now, cause, before, &after, code, port);
        }
        if before.state == OrderState::Sent && after.state != OrderState::Rejected {
            // Answer, event or fill: whichever road is first tells that the venue has the order.
            port.count(Counter::OrdersAccepted, 1);
            port.on_order_event(before.placed_ns, false, now);
        }
        if (before.price, before.qty) != (after.price, after.qty) {
            self.tell_amended(now, cause, &after, port);
        }
        if before.is_unknown() && !after.is_unknown() {
            port.count(Counter::OrdersResolved, 1);
        }
        if !after.state.is_terminal() {
            return;
        }
        self.orders.remove(slot);
        match after.state {
            OrderState::Filled => port.count(Counter::OrdersFilled, 1),
            OrderState::Rejected => {}
            _ => port.count(Counter::OrdersExpired, 1),
        }
        if after.intent != 0 {
            let body = OutcomeBody::Done { intent: after.intent, state: after.state };
            self.tell(after.instrument, body, port);
        }
        port.on_gauges(self);
    }

    /// Without the order socket no answer will come; without the account stream no fill.
    pub(super) fn on_link_lost(&mut self, now: Nanos, cause: Cause, port: &mut impl GatewayPort) {
        let mut from = 0;
        while let Some(slot) = self.orders.occupied(from) {
            from = slot + 1;
            self.lose(now, cause, slot, 0, port);
        }
        self.lose_stops(now, port);
    }

    /// Events of an instrument were missed: every outcome of it is unknown until proven.
    pub(super) fn lose_orders_of(&mut self, now: Nanos, instrument: u32, port: &mut impl GatewayPort) {
        let mut from = 0;
        while let Some(slot) = self.orders.occupied(from) {
            from = slot + 1;
            if self.orders.get_mut(slot).is_some_and(|order| order.instrument == instrument) {
                self.lose(now, Cause::NONE, slot, 0, port);
            }
        }
    }

    /// Requests without an answer become unknown; unknown outcomes are asked about again.
    pub(super) fn chase_orders(&mut self, now: Nanos, port: &mut impl GatewayPort) {
        let mut from = 0;
        while let Some(slot) = self.orders.occupied(from) {
            from = slot + 1;
            let Some(order) = self.orders.get_mut(slot) else { continue };
            let waited = now.saturating_sub(order.sent_ns);
            let is_asked = order.is_canceling || order.is_amending();
            let is_waiting = order.state == OrderState::Sent || order.is_unknown() || is_asked;
            if is_waiting && waited > self.answer_timeout_ns {
                self.lose(now, Cause::NONE, slot, 0, port);
            }
        }
    }

    /// A request sent longer ago can no longer arrive at the venue.
    pub(super) fn arrival_margin(&self, now: Nanos) -> Nanos {
        self.recv_window_ns + self.clock_error_at(now).unwrap_or(u64::MAX / 4) + 1_000_000_000
    }

    /// Absence counts as proof only when the order can no longer arrive at the venue.
    pub(super) fn can_be_absent(&mut self, asked_ns: Nanos, name: &OrderName) -> bool {
        let slot = self.orders.find_named(name, None);
        let Some(order) = slot.and_then(|slot| self.orders.get_mut(slot)).copied() else { return false };
        let margin = self.arrival_margin(asked_ns);
        // What the venue has named exists.
        order.venue_order_id == 0 && asked_ns.saturating_sub(order.placed_ns) > margin
    }
}

fn record_change(
    now: Nanos,
    cause: Cause,
    before: &Order,
    after: &Order,
    code: i32,
    port: &mut impl GatewayPort,
) {
    let record = OrderStateRecord {
        client_order_id: after.client_order_id,
        venue_order_id: after.venue_order_id,
        filled: after.filled,
        code,
        from: before.state as u8,
        to: after.state as u8,
        reserved: [0; 2],
    };
    port.record(Kind::OrderState, Class::Audit, now, cause, &[record.as_bytes()]);
}
