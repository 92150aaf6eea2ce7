//! What the session thread reports about the account: time, positions, orders, trades, commands.

use super::{Gateway, GatewayPort, VenueClock, body};
use crate::{
    message::{AccountMessage, Ask},
    order::{Order, OrderName, Report},
};
use tickpath_shared::{
    Nanos,
    counters::Counter,
    record::{
        Cause, Class, CommandRecord, DayRecord, FillRecord, Kind, OpenOrderRecord, OrderReportRecord,
        OrderStateRecord, PositionRecord, ReconciledRecord, TimeRecord,
    },
    types::{InstrumentDefinition, OrderState, Side, TradingState},
};
use zerocopy::IntoBytes;

impl Gateway {
    pub(super) fn on_account(
        &mut self,
        now: Nanos,
        cause: Cause,
        message: &AccountMessage,
        port: &mut impl GatewayPort,
    ) {
        match Kind::from_repr(message.kind) {
            Some(Kind::Time) => self.on_time(now, message),
            Some(Kind::Definition) => self.on_definition(now, cause, message, port),
            Some(Kind::StartPosition) => self.on_start_position(now, cause, message, port),
            Some(Kind::OpenOrder) => self.on_open_order(now, cause, message, port),
            Some(Kind::VenueTrade) => {
                if let Some(fill) = body::<FillRecord>(message) {
                    self.on_fill(now, cause, fill, port);
                }
            }
            Some(Kind::OrderReport) => self.on_order_report(now, cause, message, port),
            Some(Kind::StopReport) => self.on_stop_report(now, cause, message, port),
            Some(Kind::Reconciled) => self.on_reconciled(now, cause, message, port),
            Some(Kind::Command) => {
                if let Some(command) = body::<CommandRecord>(message) {
                    self.on_command(now, cause, &command, port);
                }
            }
            Some(Kind::Day) => {
                if let Some(day) = body::<DayRecord>(message) {
                    self.on_day(now, &day, port);
                }
            }
            _ => unreachable!("the session thread sends no record of kind {}", message.kind),
        }
    }

    fn on_time(&mut self, now: Nanos, message: &AccountMessage) {
        if let Some(time) = body::<TimeRecord>(message) {
            let error_ns = Some(time.error_bound_ns);
            self.clock =
                VenueClock { epoch_ns: time.venue_epoch_ns, error_ns, measured_ns: now, bound_ns: error_ns };
        }
    }

    /// Other bounds, or another trading status, on the grid that is in force.
    fn on_definition(
        &mut self,
        now: Nanos,
        cause: Cause,
        message: &AccountMessage,
        port: &mut impl GatewayPort,
    ) {
        let Some(definition) = body::<InstrumentDefinition>(message) else { return };
        let Some(own) = self.definitions.get_mut(definition.instrument as usize) else { return };
        if definition.has_grid_of(own) {
            *own = definition;
            port.record(Kind::Definition, Class::Audit, now, cause, &[definition.as_bytes()]);
        }
    }

    /// The venue's position, and the last trade it contains. Later fills that came first are applied now.
    fn on_start_position(
        &mut self,
        now: Nanos,
        cause: Cause,
        message: &AccountMessage,
        port: &mut impl GatewayPort,
    ) {
        let Some(start) = body::<PositionRecord>(message) else { return };
        let index = start.instrument as usize;
        if self.has_start_position[index] {
            self.compare_position(now, cause, &start, port);
            return;
        }
        self.has_start_position[index] = true;
        self.take_position(now, cause, &start, port);
        let early = std::mem::take(&mut self.early_fills);
        for fill in early.iter().filter(|f| f.instrument == start.instrument) {
            if fill.trade_id > start.through_trade_id {
                self.apply_fill(fill, port);
            }
        }
        self.early_fills = early;
        self.early_fills.retain(|f| f.instrument != start.instrument);
    }

    /// Takes over a position as the venue shows it.
    pub(super) fn take_position(
        &mut self,
        now: Nanos,
        cause: Cause,
        shown: &PositionRecord,
        port: &mut impl GatewayPort,
    ) {
        port.record(Kind::StartPosition, Class::Audit, now, cause, &[shown.as_bytes()]);
        let definition = self.definitions[shown.instrument as usize];
        self.positions.start(&definition, shown.qty, shown.entry_price_e8);
        self.mark_position(shown.instrument);
        self.tell_position(shown.instrument, port);
        port.on_gauges(self);
    }

    /// An order the venue shows as open: known to the table before the first new one is sent.
    fn on_open_order(
        &mut self,
        now: Nanos,
        cause: Cause,
        message: &AccountMessage,
        port: &mut impl GatewayPort,
    ) {
        let Some(open) = body::<OpenOrderRecord>(message) else { return };
        port.record(Kind::OpenOrder, Class::Audit, now, cause, &[open.as_bytes()]);
        let Some(side) = Side::from_repr(open.side) else { return };
        let name = OrderName { client_order_id: open.client_order_id, venue_order_id: open.venue_order_id };
        if let Some(slot) = self.orders.find_named(&name, Some(open.instrument)) {
            let report = Report {
                filled: open.filled,
                venue_order_id: open.venue_order_id,
                price: open.price,
                qty: open.qty,
                ..Report::of(OrderState::Working)
            };
            self.report_in(now, cause, slot, report, 0, port);
            return;
        }
        if self.is_of_session(&open.client_order_id) {
            // Ours and not in the table: it has ended since the list was made.
            return;
        }
        if self.is_foreign(&open.client_order_id) {
            self.on_foreign(now, cause, open.instrument, port);
            if !self.foreign.is_adopting() {
                return;
            }
        }
        let order = Order::sent(open.client_order_id, open.instrument, side, open.price, open.qty, 0, now)
            .adopted(open.venue_order_id, open.filled);
        if !self.orders.insert(order) {
            port.count(Counter::OutcomesForeign, 1);
            return;
        }
        // The list may be older than its end.
        let Some(slot) = self.orders.find_named(&name, Some(open.instrument)) else { return };
        self.lose(now, cause, slot, 0, port);
        // What halted wanted everything canceled, this one too; and behind an order of an earlier session of ours no
        // strategy stands that would ever take it away.
        if self.state == TradingState::Halted || !self.is_foreign(&open.client_order_id) {
            self.cancel(now, cause, slot, port);
        }
    }

    fn on_order_report(
        &mut self,
        now: Nanos,
        cause: Cause,
        message: &AccountMessage,
        port: &mut impl GatewayPort,
    ) {
        let Some(report) = body::<OrderReportRecord>(message) else { return };
        let Some(state) = OrderState::from_repr(report.state) else { return };
        let name =
            OrderName { client_order_id: report.client_order_id, venue_order_id: report.venue_order_id };
        // What counts is when the venue was asked, not when its answer came.
        let asked_ns = now.saturating_sub(u64::from(report.age_ms) * 1_000_000);
        if state == OrderState::Absent && !self.can_be_absent(asked_ns, &name) {
            // It may still be on its way; the next chase asks again.
            return;
        }
        let OrderReportRecord { filled, venue_order_id, price, qty, .. } = report;
        let said = Report { state, filled, venue_order_id, price, qty };
        let margin_ns = self.arrival_margin(asked_ns);
        let Some(slot) = self.orders.find_named(&name, None) else {
            if self.is_of_stop(&name, None) {
                return self.on_stop_order(now, cause, &name, &said, 0, port);
            }
            record_earlier(now, cause, &report, port);
            return;
        };
        let Some(order) = self.orders.get_mut(slot) else { return };
        let was_amending = order.is_amending();
        order.on_amend_asked(&said, asked_ns, margin_ns);
        let has_lost_amendment = was_amending && !order.is_amending();
        let as_it_was = *order;
        let is_short = report.is_proven != 1 && !state.is_terminal() && report.filled > order.filled;
        if report.is_proven == 1 {
            order.on_proof(report.filled);
        }
        if has_lost_amendment {
            self.tell_terms(&as_it_was, port);
        }
        if is_short {
            // Fills that the list does not show yet: nothing is proven, the next chase asks again.
            return;
        }
        self.on_report(now, cause, report.client_order_id, said, 0, port);
        self.cancel_again(now, cause, &name, port);
    }

    /// The account has been read: whatever the venue does not show as open must be asked about.
    fn on_reconciled(
        &mut self,
        now: Nanos,
        cause: Cause,
        message: &AccountMessage,
        port: &mut impl GatewayPort,
    ) {
        let Some(reconciled) = body::<ReconciledRecord>(message) else { return };
        port.record(Kind::Reconciled, Class::Audit, now, cause, &[reconciled.as_bytes()]);
        port.on_booked(message.cause);
        // A position in dispute is read once more before anything counts as known.
        self.is_reconciled = !self.shown.is_disputed();
        self.lose_stops(now, port);
        let mut from = 0;
        while let Some(slot) = self.orders.occupied(from) {
            from = slot + 1;
            if let Some(order) = self.orders.get_mut(slot)
                && order.is_unknown()
            {
                let (instrument, name) = (order.instrument, order.name());
                port.ask(Ask::Order { instrument, name });
            }
        }
        port.on_gauges(self);
    }
}

/// How an order of an earlier session ended, for the books of the control process.
fn record_earlier(now: Nanos, cause: Cause, report: &OrderReportRecord, port: &mut impl GatewayPort) {
    let record = OrderStateRecord {
        client_order_id: report.client_order_id,
        venue_order_id: report.venue_order_id,
        filled: report.filled,
        code: 0,
        from: OrderState::Unknown as u8,
        to: report.state,
        reserved: [0; 2],
    };
    port.record(Kind::OrderState, Class::Audit, now, cause, &[record.as_bytes()]);
}
