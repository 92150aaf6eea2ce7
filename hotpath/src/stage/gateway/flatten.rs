//! Positions that are closed by the gateway itself: by a person's command or a breaker's action, whatever strategies
//! want.

use super::{Gateway, GatewayPort};
use crate::{order::Order, risk};
use tickpath_shared::{
    Nanos,
    record::{Cause, IntentRecord},
    types::{InstrumentDefinition, Side, TimeInForce, TradingState, decimal},
};

/// Pause between two attempts on an instrument.
const PAUSE_NS: Nanos = 250_000_000;
/// Pause after a limit refused one.
const REFUSED_PAUSE_NS: Nanos = 1_000_000_000;

impl Gateway {
    /// Positions of these instruments are closed from the next timer on, until they are or a person arms again.
    pub(super) fn flatten(&mut self, instruments: u32) {
        self.flattening |= instruments & self.all_instruments();
        self.next_flatten_ns = 0;
    }

    /// Takes the next step for every instrument that is to be flat.
    pub(super) fn go_flat(&mut self, now: Nanos, port: &mut impl GatewayPort) {
        let may_order = !self.is_killed && self.state != TradingState::Halted && self.is_reconciled;
        if self.flattening == 0 || now < self.next_flatten_ns || !may_order {
            return;
        }
        self.next_flatten_ns = now + PAUSE_NS;
        for instrument in 0..self.definitions.len() as u32 {
            if self.flattening >> instrument & 1 == 0 {
                continue;
            }
            // Whatever is open is on its way out first: nothing may be sold twice.
            let is_busy = self.orders.open_of(instrument) > 0;
            let qty = self.positions.qty(instrument);
            if is_busy {
                self.cancel_of(now, Cause::NONE, 1 << instrument, port);
            } else if qty == 0 {
                self.flattening &= !(1 << instrument);
            } else {
                self.close_position(now, instrument, qty, port);
            }
        }
    }

    /// One order that takes what there is within the collar, as large as the limits let it be.
    fn close_position(&mut self, now: Nanos, instrument: u32, position: i64, port: &mut impl GatewayPort) {
        let side = if position > 0 { Side::Sell } else { Side::Buy };
        let (price, qty) = self.closing_terms(instrument, side, position.abs());
        let intent = IntentRecord {
            number: 0,
            price,
            qty,
            // It rests on no book: the mark price says where it may go.
            book_ns: now,
            read_ns: now,
            instrument,
            book_epoch: 0,
            strategy: Order::NOBODY,
            side: side as u8,
            time_in_force: TimeInForce::Ioc as u8,
            is_reduce_only: 1,
            is_book_valid: 1,
            order_type: 0,
            price_match: 0,
            stop: 0,
            target: 0,
            good_till_ms: 0,
        };
        let book_venue_ms = self.venue_ms(now);
        let mut context = self.context(now, &intent, side, book_venue_ms, None);
        // A person or a breaker wants it, and it opens nothing: disarmed does not stop it. The kill word does.
        if matches!(context.standing.state, TradingState::Disarmed | TradingState::CancelOnly) {
            context.standing.state = TradingState::Armed;
        }
        match risk::check(&context) {
            Ok(()) => {
                port.on_risk_passed();
                // No tick led to it.
                let intent = IntentRecord { read_ns: 0, ..intent };
                self.place(now, Cause::NONE, &intent, side, TimeInForce::Ioc, 0, port);
            }
            Err(breach) => {
                self.next_flatten_ns = now + REFUSED_PAUSE_NS;
                self.refuse(now, Cause::NONE, &intent, breach, port);
            }
        }
    }

    /// The worst price that may be, and as much of `held` as the limits take at once. Without a mark price, or with limits
    /// below a lot, the limits say why not.
    fn closing_terms(&self, instrument: u32, side: Side, held: i64) -> (i64, i64) {
        let definition = &self.definitions[instrument as usize];
        let mark_e8 = self.marks[instrument as usize].price_e8;
        let [lowest, highest] = definition.price_bounds(mark_e8, self.limits.collar_bps);
        let (price, dearest) = match side {
            Side::Buy => (highest, highest),
            // Counted at the mark price where that is dearer.
            Side::Sell => (lowest, lowest.max(definition.price_from_e8_up(mark_e8))),
        };
        (price, self.largest_qty(definition, dearest).max(definition.lot).min(held))
    }

    /// Largest quantity that the limits of an order let through at a price.
    fn largest_qty(&self, definition: &InstrumentDefinition, price: i64) -> i64 {
        let InstrumentDefinition { lot, qty_max, price_scale, qty_scale, .. } = *definition;
        let by_lots = self.limits.order_lots_max.saturating_mul(lot);
        let units = decimal::pow10(8 - price_scale.min(8));
        let per_unit = i128::from(price.max(1)) * i128::from(units);
        let by_notional =
            i128::from(self.limits.order_notional_max) * i128::from(decimal::pow10(qty_scale)) / per_unit;
        let by_notional = i64::try_from(by_notional).unwrap_or(i64::MAX);
        by_lots.min(qty_max).min(by_notional) / lot * lot
    }
}
