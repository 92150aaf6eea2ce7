//! The simulated account: positions, fees and every trade, exact integers.

use super::{Execution, SimOrder};
use tickpath_shared::types::{InstrumentDefinition, Side};

/// One trade as the venue lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerTrade {
    /// Venue's trade id, growing.
    pub trade_id: u64,
    /// Instrument index.
    pub instrument: usize,
    /// The order after the execution.
    pub order: SimOrder,
    /// The execution.
    pub execution: Execution,
    /// Commission x 10^8.
    pub fee_e8: i64,
    /// Venue's time, unix milliseconds.
    pub venue_ms: u64,
}

/// Positions and trades of one account.
#[derive(Clone, Debug)]
pub struct Account {
    definitions: Vec<InstrumentDefinition>,
    /// Maker and taker commission x 10^8 of the notional.
    fee_rates_e8: [i64; 2],
    positions: Vec<i64>,
    /// Cash paid for each position (negative: received), quote x 10^8.
    costs_e8: Vec<i128>,
    trades: Vec<LedgerTrade>,
    next_trade_id: u64,
}

impl Account {
    /// An account without positions. Rates are fractions of the notional x 10^8.
    pub fn new(definitions: &[InstrumentDefinition], maker_e8: i64, taker_e8: i64) -> Self {
        Self {
            definitions: definitions.to_vec(),
            fee_rates_e8: [maker_e8, taker_e8],
            positions: vec![0; definitions.len()],
            costs_e8: vec![0; definitions.len()],
            trades: Vec::new(),
            next_trade_id: 1,
        }
    }

    /// Books an execution.
    pub fn book(
        &mut self,
        instrument: usize,
        order: SimOrder,
        execution: Execution,
        venue_ms: u64,
    ) -> LedgerTrade {
        let notional = self.definitions[instrument].notional_e8(execution.price, execution.qty);
        let rate = self.fee_rates_e8[usize::from(!execution.is_maker)];
        let fee_e8 = (notional * i128::from(rate) / 100_000_000) as i64;
        let sign = order.submit.side.sign();
        self.positions[instrument] += sign * execution.qty;
        self.costs_e8[instrument] += i128::from(sign) * notional;
        let trade =
            LedgerTrade { trade_id: self.next_trade_id, instrument, order, execution, fee_e8, venue_ms };
        self.next_trade_id += 1;
        self.trades.push(trade);
        trade
    }

    /// Signed position of an instrument.
    pub fn position(&self, instrument: usize) -> i64 {
        self.positions[instrument]
    }

    /// Average cost of the open position x 10^8, for display; 0 when flat.
    pub fn entry_price_e8(&self, instrument: usize) -> i64 {
        let mut position = 0_i128;
        let mut entry_e8 = 0_i128;
        for trade in self.trades.iter().filter(|t| t.instrument == instrument) {
            let qty = i128::from(trade.order.submit.side.sign() * trade.execution.qty);
            let price_e8 = self.definitions[instrument].price_to_e8(trade.execution.price);
            let next = position + qty;
            if position == 0 || position.signum() != next.signum() {
                entry_e8 = if next == 0 { 0 } else { price_e8 };
            } else if next.abs() > position.abs() {
                entry_e8 = (entry_e8 * position.abs() + price_e8 * qty.abs()) / next.abs();
            }
            position = next;
        }
        entry_e8 as i64
    }

    /// Cash spent on an instrument so far, fees not included, quote x 10^8.
    pub fn cost_e8(&self, instrument: usize) -> i128 {
        self.costs_e8[instrument]
    }

    /// Every trade, oldest first.
    pub fn trades(&self) -> &[LedgerTrade] {
        &self.trades
    }

    /// Quantity by which an order of `side` may reduce the position.
    pub fn reducible(&self, instrument: usize, side: Side) -> i64 {
        (-side.sign() * self.positions[instrument]).max(0)
    }
}
