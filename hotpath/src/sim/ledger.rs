//! The simulated account: wallet, positions, fees, funding, margin and every trade, in exact integers.
//!
//! Amounts of quote currency are x 10^8. Positions are held at their average cost; what is closed is realised
//! against it. One cross wallet stands behind all positions; liquidation is not modelled.

use super::{Execution, SimOrder};
use tickpath_shared::types::{InstrumentDefinition, PositionSide, Side, decimal};

const ONE_E8: i128 = 100_000_000;
/// Leverage of an instrument until it is changed.
const LEVERAGE: u32 = 20;

/// Commission, fractions of the notional x 10^8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeRates {
    /// Of a resting order.
    pub maker_e8: i64,
    /// Of an order that takes.
    pub taker_e8: i64,
}

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
    /// Commission.
    pub fee_e8: i64,
    /// Profit realised by what it closed, before fees.
    pub realized_e8: i128,
    /// Venue's time, unix milliseconds.
    pub venue_ms: u64,
}

/// One position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SimPosition {
    /// Signed quantity.
    pub qty: i64,
    /// What the open quantity cost at its average price, not negative.
    pub cost_e8: i128,
    /// Profit realised so far, before fees.
    pub realized_e8: i128,
    /// Venue's time of the last change, unix milliseconds.
    pub updated_ms: u64,
}

impl SimPosition {
    /// Average entry price x 10^8; 0 when flat.
    pub fn entry_price_e8(&self, definition: &InstrumentDefinition) -> i64 {
        if self.qty == 0 {
            return 0;
        }
        let units = i128::from(decimal::pow10(definition.qty_scale));
        (self.cost_e8 * units / i128::from(self.qty.abs())) as i64
    }

    /// Profit at a mark price x 10^8 that is not realised.
    pub fn unrealized_e8(&self, definition: &InstrumentDefinition, mark_e8: i64) -> i128 {
        let value = notional_at(definition, mark_e8, self.qty.abs());
        i128::from(self.qty.signum()) * (value - self.cost_e8)
    }

    /// Books a signed quantity at its notional; returns the profit it realises.
    fn trade(&mut self, signed: i64, notional_e8: i128) -> i128 {
        let qty = signed.abs();
        let closed = if self.qty.signum() == -signed.signum() { qty.min(self.qty.abs()) } else { 0 };
        let closed_notional = notional_e8 * i128::from(closed) / i128::from(qty);
        let mut realized = 0;
        if closed > 0 {
            let cost_out = self.cost_e8 * i128::from(closed) / i128::from(self.qty.abs());
            realized = i128::from(self.qty.signum()) * (closed_notional - cost_out);
            self.cost_e8 -= cost_out;
        }
        self.cost_e8 += notional_e8 - closed_notional;
        self.qty += signed;
        self.realized_e8 += realized;
        realized
    }
}

/// Notional of a quantity at a price x 10^8.
fn notional_at(definition: &InstrumentDefinition, price_e8: i64, qty: i64) -> i128 {
    i128::from(price_e8) * i128::from(qty) / i128::from(decimal::pow10(definition.qty_scale))
}

/// Wallet, positions and trades of one account.
#[derive(Clone, Debug)]
pub struct Account {
    definitions: Vec<InstrumentDefinition>,
    fees: FeeRates,
    wallet_e8: i128,
    /// By instrument and [`PositionSide`].
    positions: Vec<[SimPosition; 3]>,
    leverage: Vec<u32>,
    trades: Vec<LedgerTrade>,
    next_trade_id: u64,
}

impl Account {
    /// An account without positions, whose trades are numbered from 1.
    pub fn new(definitions: &[InstrumentDefinition], fees: FeeRates, wallet_e8: i128) -> Self {
        Self {
            definitions: definitions.to_vec(),
            fees,
            wallet_e8,
            positions: vec![Default::default(); definitions.len()],
            leverage: vec![LEVERAGE; definitions.len()],
            trades: Vec::new(),
            next_trade_id: 1,
        }
    }

    /// Numbers trades from `first_id` on: a venue never gives a number twice, whenever it was started.
    #[must_use]
    pub fn numbered_from(self, first_id: u64) -> Self {
        Self { next_trade_id: first_id, ..self }
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
        let rate = if execution.is_maker { self.fees.maker_e8 } else { self.fees.taker_e8 };
        let fee_e8 = (notional * i128::from(rate) / ONE_E8) as i64;
        let position = &mut self.positions[instrument][slot(order.submit.position)];
        let realized_e8 = position.trade(order.submit.side.sign() * execution.qty, notional);
        position.updated_ms = venue_ms;
        self.wallet_e8 += realized_e8 - i128::from(fee_e8);
        let trade_id = self.next_trade_id;
        let trade = LedgerTrade { trade_id, instrument, order, execution, fee_e8, realized_e8, venue_ms };
        self.next_trade_id += 1;
        self.trades.push(trade);
        trade
    }

    /// Funding of an instrument at a mark price and a rate, both x 10^8: longs pay a positive rate. Returns what
    /// the wallet received.
    pub fn fund(&mut self, instrument: usize, mark_e8: i64, rate_e8: i64) -> i128 {
        let definition = &self.definitions[instrument];
        let value: i128 = self.positions[instrument]
            .iter()
            .map(|p| i128::from(p.qty.signum()) * notional_at(definition, mark_e8, p.qty.abs()))
            .sum();
        let received = -value * i128::from(rate_e8) / ONE_E8;
        self.wallet_e8 += received;
        received
    }

    /// Takes money that no trade brought; a negative amount goes.
    pub fn receive(&mut self, amount_e8: i128) {
        self.wallet_e8 += amount_e8;
    }

    /// Wallet balance: what was there, profit realised, fees and funding.
    pub fn wallet_e8(&self) -> i128 {
        self.wallet_e8
    }

    /// Commission rates.
    pub fn fees(&self) -> FeeRates {
        self.fees
    }

    /// A position.
    pub fn position(&self, instrument: usize, side: PositionSide) -> &SimPosition {
        &self.positions[instrument][slot(side)]
    }

    /// Signed quantity of an instrument over all its positions.
    pub fn net(&self, instrument: usize) -> i64 {
        self.positions[instrument].iter().map(|p| p.qty).sum()
    }

    /// Any position of any instrument is open.
    pub fn has_positions(&self) -> bool {
        self.positions.iter().flatten().any(|p| p.qty != 0)
    }

    /// Leverage of an instrument.
    pub fn leverage(&self, instrument: usize) -> u32 {
        self.leverage[instrument]
    }

    /// Changes the leverage of an instrument.
    pub fn set_leverage(&mut self, instrument: usize, leverage: u32) {
        self.leverage[instrument] = leverage;
    }

    /// Initial margin of the open positions of an instrument at a mark price x 10^8.
    pub fn position_margin_e8(&self, instrument: usize, mark_e8: i64) -> i128 {
        let value = |p: &SimPosition| notional_at(&self.definitions[instrument], mark_e8, p.qty.abs());
        self.positions[instrument].iter().map(value).sum::<i128>() / i128::from(self.leverage[instrument])
    }

    /// Profit of the open positions of an instrument at a mark price x 10^8.
    pub fn unrealized_e8(&self, instrument: usize, mark_e8: i64) -> i128 {
        let definition = &self.definitions[instrument];
        self.positions[instrument].iter().map(|p| p.unrealized_e8(definition, mark_e8)).sum()
    }

    /// Wallet and open profit less the margin of open positions; `marks_e8` by instrument.
    pub fn available_e8(&self, marks_e8: &[i64]) -> i128 {
        let of = |(i, &mark): (usize, &i64)| self.unrealized_e8(i, mark) - self.position_margin_e8(i, mark);
        self.wallet_e8 + marks_e8.iter().enumerate().map(of).sum::<i128>()
    }

    /// Every trade, oldest first.
    pub fn trades(&self) -> &[LedgerTrade] {
        &self.trades
    }

    /// Quantity by which an order may reduce a position.
    pub fn reducible(&self, instrument: usize, position: PositionSide, side: Side) -> i64 {
        (-side.sign() * self.position(instrument, position).qty).max(0)
    }
}

fn slot(side: PositionSide) -> usize {
    side as usize - 1
}

#[cfg(test)]
mod tests {
    use super::super::{Matcher, SimOutcome, Submit};
    use super::*;
    use crate::market::Level;
    use tickpath_shared::types::{Grid, SelfTrade, Symbol, TimeInForce};

    const FEES: FeeRates = FeeRates { maker_e8: 20_000, taker_e8: 50_000 };

    fn definition() -> InstrumentDefinition {
        let price = Grid { scale: 0, places: 0, step: 1 };
        let qty = Grid { scale: 1, places: 1, step: 1 };
        InstrumentDefinition::on_grids(Symbol::new("AAA").unwrap(), 0, price, qty)
    }

    /// Trades `qty` at `price` against a book that shows exactly that.
    fn trade(account: &mut Account, side: Side, position: PositionSide, price: i64, qty: i64) -> LedgerTrade {
        let (mut matcher, mut out) = (Matcher::new(1, 10), Vec::new());
        let here = [Level { price, qty }];
        let (bids, asks): (&[Level], &[Level]) = if side == Side::Buy { (&[], &here) } else { (&here, &[]) };
        matcher.on_snapshot(bids, asks, &mut out);
        let (time_in_force, self_trade) = (TimeInForce::Ioc, SelfTrade::Allow);
        let price = Some(price);
        let submit =
            Submit { id: 1, side, position, time_in_force, price, qty, is_reduce_only: false, self_trade };
        matcher.submit(submit, &mut out);
        let Some(SimOutcome::Executed(order, execution)) = out.get(1) else { panic!("{out:?}") };
        account.book(0, *order, *execution, 7)
    }

    #[test]
    fn closing_realises_against_the_average_cost_and_pays_fees() {
        let mut account = Account::new(&[definition()], FEES, 1_000 * ONE_E8);
        trade(&mut account, Side::Buy, PositionSide::Both, 100, 20);
        trade(&mut account, Side::Buy, PositionSide::Both, 110, 20);
        assert_eq!(account.position(0, PositionSide::Both).entry_price_e8(&definition()), 105 * 100_000_000);
        let closed = trade(&mut account, Side::Sell, PositionSide::Both, 120, 10);
        assert_eq!((closed.realized_e8, closed.fee_e8), (15 * ONE_E8, 6_000_000));
        let fees = 10_000_000 + 11_000_000 + 6_000_000;
        assert_eq!(account.wallet_e8(), 1_015 * ONE_E8 - fees);
        assert_eq!(account.unrealized_e8(0, 100 * 100_000_000), -15 * ONE_E8);
    }

    #[test]
    fn crossing_zero_closes_and_opens() {
        let mut account = Account::new(&[definition()], FEES, 0);
        trade(&mut account, Side::Sell, PositionSide::Both, 100, 10);
        assert_eq!(trade(&mut account, Side::Buy, PositionSide::Both, 90, 30).realized_e8, 10 * ONE_E8);
        let position = account.position(0, PositionSide::Both);
        assert_eq!((position.qty, position.entry_price_e8(&definition())), (20, 90 * 100_000_000));
    }

    #[test]
    fn an_account_that_hedges_holds_both_sides() {
        let mut account = Account::new(&[definition()], FEES, 0);
        trade(&mut account, Side::Buy, PositionSide::Long, 100, 10);
        trade(&mut account, Side::Sell, PositionSide::Short, 100, 10);
        assert_eq!((account.net(0), account.has_positions()), (0, true));
        assert_eq!(account.reducible(0, PositionSide::Long, Side::Sell), 10);
        assert_eq!(account.reducible(0, PositionSide::Short, Side::Sell), 0);
    }

    #[test]
    fn longs_pay_a_positive_rate_and_margin_is_held_at_the_leverage() {
        let mut account = Account::new(&[definition()], FeeRates { maker_e8: 0, taker_e8: 0 }, 100 * ONE_E8);
        trade(&mut account, Side::Buy, PositionSide::Both, 100, 10);
        assert_eq!(account.available_e8(&[100 * 100_000_000]), 95 * ONE_E8);
        account.set_leverage(0, 10);
        assert_eq!(account.available_e8(&[110 * 100_000_000]), 110 * ONE_E8 - 11 * ONE_E8);
        assert_eq!(account.fund(0, 100 * 100_000_000, 10_000), -1_000_000);
        assert_eq!(account.wallet_e8(), 100 * ONE_E8 - 1_000_000);
    }
}
