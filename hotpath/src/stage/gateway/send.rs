//! Requests on their way out: journalled first, then handed to the socket.

use super::{Gateway, GatewayPort, Outgoing, connection};
use crate::{
    message::Ask,
    order::{Order, OrderName},
    risk::Breach,
    venue::Request,
};
use tickpath_shared::{
    Nanos,
    command::{CommandOutcome, Verdict},
    counters::Counter,
    record::{Cause, Class, IntentRecord, Kind, OrderRecord},
    types::{ClientOrderId, OrderState, Reason, Side, TimeInForce},
};
use zerocopy::IntoBytes;

impl Gateway {
    /// Journals the order, then hands it to the socket, unless too many are open. What is kept about it follows its bytes:
    /// nothing is received in between.
    #[expect(clippy::too_many_arguments, reason = "each is a different thing known only to the caller")]
    pub(super) fn place(
        &mut self,
        now: Nanos,
        cause: Cause,
        intent: &IntentRecord,
        side: Side,
        time_in_force: TimeInForce,
        decided_ns: Nanos,
        port: &mut impl GatewayPort,
    ) -> Verdict {
        if self.orders.is_full() {
            let open = self.orders.open() as i64;
            let breach = Breach { reason: Reason::OrdersMax, value: open, bound: open };
            return self.refuse(now, cause, intent, breach, port);
        }
        let id = self.next_id;
        let (price, qty, is_reduce_only) = (intent.price, intent.qty, intent.is_reduce_only == 1);
        let request = match intent.terms().filter(|_| !intent.is_plain()) {
            None => Request::Place { side, time_in_force, price, qty, is_reduce_only },
            Some(terms) => Request::PlaceWith { side, time_in_force, price, qty, is_reduce_only, terms },
        };
        let record = record_of(id, intent);
        let outgoing = Stamps { read_ns: intent.read_ns, decided_ns };
        self.request(now, cause, Kind::Order, &request, &record, outgoing, port);
        self.keep(now, id, intent, side);
        port.count(Counter::OrdersSent, 1);
        port.on_open_orders(intent.instrument, self.orders.open_of(intent.instrument));
        CommandOutcome::Done.into()
    }

    /// Keeps an order that was sent. There is a free slot.
    fn keep(&mut self, now: Nanos, id: ClientOrderId, intent: &IntentRecord, side: Side) {
        let mut order =
            Order::sent(id, intent.instrument, side, intent.price, intent.qty, intent.number, now);
        (order.is_reduce_only, order.strategy) = (intent.is_reduce_only == 1, intent.strategy);
        order.exits = [intent.stop, intent.target];
        order.is_matched = intent.price_match != 0;
        assert!(self.orders.insert(order), "an order was sent without a free slot");
        self.next_order += 1;
        self.next_id = id.successor();
        self.rates.on_order(now, self.venue_ms(now));
        // What a person does on an instrument does not take it away from its strategy.
        if !matches!(intent.strategy, Order::NOBODY | Order::MANUAL) {
            self.owners[intent.instrument as usize] = intent.strategy;
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one place where journal and socket see the same text")]
    pub(super) fn request(
        &mut self,
        now: Nanos,
        cause: Cause,
        kind: Kind,
        request: &Request,
        record: &OrderRecord,
        stamps: Stamps,
        port: &mut impl GatewayPort,
    ) {
        let venue_ms = self.venue_ms(now);
        let definition = &self.definitions[record.instrument as usize];
        let text = self.encoder.encode(request, definition, &record.client_order_id, venue_ms);
        port.on_encoded();
        port.record(kind, Class::Audit, now, cause, &[record.as_bytes(), text]);
        let outgoing = Outgoing {
            text,
            client_order_id: record.client_order_id,
            read_ns: stamps.read_ns,
            decided_ns: stamps.decided_ns,
            is_order: kind == Kind::Order,
        };
        port.send(now, &outgoing);
    }

    /// Asks the venue to cancel every order, those too of which it was asked before: that may have been lost.
    pub(super) fn cancel_all(&mut self, now: Nanos, cause: Cause, port: &mut impl GatewayPort) {
        self.withdraw_held(now, cause, u32::MAX, port);
        let mut from = 0;
        while let Some(slot) = self.orders.occupied(from) {
            from = slot + 1;
            self.cancel(now, cause, slot, port);
        }
    }

    pub(super) fn cancel(&mut self, now: Nanos, cause: Cause, slot: usize, port: &mut impl GatewayPort) {
        let Some(order) = self.orders.get_mut(slot) else { return };
        self.rates.on_cancel(now);
        order.is_canceling = true;
        (order.sent_ns, order.canceled_ns) = (now, now);
        let record = OrderRecord {
            client_order_id: order.client_order_id,
            intent: 0,
            price: order.price,
            qty: order.qty,
            instrument: order.instrument,
            strategy: 0,
            side: order.side as u8,
            time_in_force: 0,
            is_reduce_only: 0,
            order_type: 0,
            price_match: 0,
            reserved: [0; 5],
        };
        let name = order.name();
        let request = name.number().map_or(Request::Cancel, Request::CancelNumber);
        self.request(now, cause, Kind::Cancel, &request, &record, Stamps::default(), port);
        port.count(Counter::CancelsSent, 1);
        if !self.links[usize::from(connection::ORDERS)] {
            // The request above went nowhere.
            port.ask(Ask::Cancel { instrument: record.instrument, name });
        }
    }

    /// An order that works although its cancel was sent long ago: the cancel never arrived, or its answer was the loss.
    pub(super) fn cancel_again(
        &mut self,
        now: Nanos,
        cause: Cause,
        name: &OrderName,
        port: &mut impl GatewayPort,
    ) {
        let Some(slot) = self.orders.find_named(name, None) else { return };
        let is_open = |o: &&mut Order| matches!(o.state, OrderState::Working | OrderState::PartiallyFilled);
        if self.orders.get_mut(slot).filter(is_open).is_some_and(|order| order.is_canceling) {
            self.cancel(now, cause, slot, port);
        }
    }
}

fn record_of(client_order_id: ClientOrderId, intent: &IntentRecord) -> OrderRecord {
    OrderRecord {
        client_order_id,
        intent: intent.number,
        price: intent.price,
        qty: intent.qty,
        instrument: intent.instrument,
        strategy: intent.strategy,
        side: intent.side,
        time_in_force: intent.time_in_force,
        is_reduce_only: intent.is_reduce_only,
        order_type: intent.order_type,
        price_match: intent.price_match,
        reserved: [0; 5],
    }
}

/// Stamps of the tick behind a request; zero without one.
#[derive(Clone, Copy, Default)]
pub(super) struct Stamps {
    pub(super) read_ns: Nanos,
    pub(super) decided_ns: Nanos,
}
