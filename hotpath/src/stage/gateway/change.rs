//! Changes of open orders that the engine asks for: another price and quantity, or none at all.

use super::{Gateway, GatewayPort, held::needs_approval, orders::CODE_CANCEL_UNKNOWN, send::Stamps};
use crate::{
    message::{EngineMessage, OutcomeBody},
    order::Order,
    risk::{self, Breach},
    venue::Request,
};
use tickpath_shared::{
    Nanos,
    counters::Counter,
    record::{Cause, ChangeRecord, Class, IntentRecord, Kind, OrderRecord},
    types::{OrderState, Reason},
};
use zerocopy::IntoBytes;

/// Venue's code for an order that it does not know.
const CODE_NO_SUCH_ORDER: i32 = -2013;

impl Gateway {
    /// An order that is not there has ended, or its intent was lost on the way here: either way there is none.
    pub(super) fn on_change(
        &mut self,
        now: Nanos,
        cause: Cause,
        change: &ChangeRecord,
        message: &EngineMessage,
        port: &mut impl GatewayPort,
    ) {
        let Some(slot) = self.orders.find_intent(change.intent) else {
            self.withdraw_intent(now, cause, change.intent, port);
            let body = OutcomeBody::Done { intent: change.intent, state: OrderState::Absent };
            self.tell(change.instrument, body, port);
            return;
        };
        if change.qty == 0 {
            if self.orders.get_mut(slot).is_some_and(|order| !order.is_canceling) {
                self.cancel(now, cause, slot, port);
            }
            return;
        }
        let Some(order) = self.orders.get_mut(slot).map(|order| *order) else { return };
        match self.check_change(now, slot, &order, change, message) {
            Ok(()) => self.amend(now, cause, slot, change, message, port),
            Err(breach) => {
                self.refuse(now, cause, &as_intent(&order, change), breach, port);
            }
        }
    }

    /// The limits of an order with what would be left of it, in the place of the order that it was.
    fn check_change(
        &self,
        now: Nanos,
        slot: usize,
        order: &Order,
        change: &ChangeRecord,
        message: &EngineMessage,
    ) -> Result<(), Breach> {
        let is_open = matches!(order.state, OrderState::Working | OrderState::PartiallyFilled);
        if !is_open || order.is_canceling || order.is_amending() {
            let value = order.state as i64;
            return Err(Breach { reason: Reason::OutcomeUnknown, value, bound: OrderState::Working as i64 });
        }
        let intent = as_intent(order, change);
        let replaces = Some((slot, &order.client_order_id));
        let context = self.context(now, &intent, order.side, message.book_venue_ms, replaces);
        risk::check(&context)?;
        // A person approved what it was: what it would become goes the way of a new order.
        if needs_approval(&context) {
            return Err(Breach { reason: Reason::NotApproved, value: 0, bound: 0 });
        }
        Ok(())
    }

    fn amend(
        &mut self,
        now: Nanos,
        cause: Cause,
        slot: usize,
        change: &ChangeRecord,
        message: &EngineMessage,
        port: &mut impl GatewayPort,
    ) {
        let Some(order) = self.orders.get_mut(slot) else { return };
        order.on_amend_sent(change.price, change.qty, now);
        let mut asked = *order;
        (asked.price, asked.qty) = (change.price, change.qty);
        let record = record_of(&asked, change.strategy);
        let number = asked.amendment();
        let request = Request::Amend { side: asked.side, price: change.price, qty: change.qty, number };
        self.rates.on_order(now, self.venue_ms(now));
        let stamps = Stamps { read_ns: change.read_ns, decided_ns: message.decided_ns };
        self.request(now, cause, Kind::Amend, &request, &record, stamps, port);
        port.count(Counter::AmendsSent, 1);
    }

    /// The venue refused an amendment: the order is as it was, or it is not there any more.
    pub(super) fn on_amend_refused(
        &mut self,
        now: Nanos,
        cause: Cause,
        slot: usize,
        code: i32,
        port: &mut impl GatewayPort,
    ) {
        if matches!(code, CODE_CANCEL_UNKNOWN | CODE_NO_SUCH_ORDER) {
            self.lose(now, cause, slot, code, port);
            return;
        }
        let Some(order) = self.orders.get_mut(slot) else { return };
        order.on_amend_refused();
        let as_it_was = *order;
        self.tell_terms(&as_it_was, port);
    }

    /// Tells the engine which price and quantity hold after an amendment, done or not.
    pub(super) fn tell_terms(&mut self, order: &Order, port: &mut impl GatewayPort) {
        let Order { instrument, intent, price, qty, .. } = *order;
        self.tell(instrument, OutcomeBody::Amended { intent, price, qty }, port);
    }

    /// An order has another price and quantity.
    pub(super) fn tell_amended(
        &mut self,
        now: Nanos,
        cause: Cause,
        order: &Order,
        port: &mut impl GatewayPort,
    ) {
        let record = record_of(order, 0);
        port.record(Kind::Amended, Class::Audit, now, cause, &[record.as_bytes()]);
        self.tell_terms(order, port);
    }
}

/// What would be left of an order after its change, as an intent for the limits.
fn as_intent(order: &Order, change: &ChangeRecord) -> IntentRecord {
    IntentRecord {
        number: change.number,
        price: change.price,
        qty: change.qty - order.filled,
        book_ns: change.book_ns,
        read_ns: change.read_ns,
        instrument: order.instrument,
        // No limit looks at it.
        book_epoch: 0,
        strategy: change.strategy,
        side: order.side as u8,
        time_in_force: 0,
        is_reduce_only: order.is_reduce_only.into(),
        is_book_valid: change.is_book_valid,
        order_type: 0,
        price_match: 0,
        stop: order.exits[0],
        target: order.exits[1],
        good_till_ms: 0,
    }
}

fn record_of(order: &Order, strategy: u16) -> OrderRecord {
    OrderRecord {
        client_order_id: order.client_order_id,
        intent: order.intent,
        price: order.price,
        qty: order.qty,
        instrument: order.instrument,
        strategy,
        side: order.side as u8,
        time_in_force: 0,
        is_reduce_only: order.is_reduce_only.into(),
        order_type: 0,
        price_match: 0,
        reserved: [0; 5],
    }
}
