//! The simulated account: settings, orders by id, and what the ledger makes of their executions.

use super::{super::options::AccountStart, filters::Filters};
use std::collections::{BTreeSet, HashMap};
use tickpath_hotpath::sim::{Account, End, SimOrder};
use tickpath_shared::types::{InstrumentDefinition, OrderType, SelfTrade};

/// What an order is besides what the matching knows.
#[derive(Clone, Debug)]
pub(super) struct Ticket {
    pub(super) client_order_id: String,
    pub(super) kind: OrderType,
    /// Unix milliseconds at which a good-till-date order ends, 0 for any other.
    pub(super) good_till_ms: u64,
    /// `NONE`, or how the price was found.
    pub(super) price_match: String,
}

/// An order in the venue's books.
#[derive(Clone, Debug)]
pub(super) struct OrderRow {
    pub(super) instrument: usize,
    pub(super) ticket: Ticket,
    pub(super) order: SimOrder,
    pub(super) end: Option<End>,
    /// Notional of its executions x 10^8.
    pub(super) quote_e8: i128,
    pub(super) amendments: u32,
    pub(super) modify_id: Option<u64>,
    pub(super) placed_ms: u64,
    pub(super) updated_ms: u64,
}

impl OrderRow {
    pub(super) fn is_open(&self) -> bool {
        !self.order.state.is_terminal()
    }

    /// Self-trade prevention as the venue shows it.
    pub(super) fn self_trade(&self) -> &'static str {
        self_trade_text(self.order.submit.self_trade)
    }
}

pub(super) fn self_trade_text(mode: SelfTrade) -> &'static str {
    match mode {
        SelfTrade::Allow => "NONE",
        SelfTrade::ExpireTaker => "EXPIRE_TAKER",
        SelfTrade::ExpireMaker => "EXPIRE_MAKER",
        SelfTrade::ExpireBoth => "EXPIRE_BOTH",
    }
}

/// Money received, or paid where it is negative.
#[derive(Clone, Debug)]
pub(super) struct Receipt {
    /// As the venue names it.
    pub(super) kind: String,
    pub(super) instrument: Option<usize>,
    pub(super) amount_e8: i128,
    pub(super) venue_ms: u64,
}

/// The account.
pub(super) struct SimAccount {
    pub(super) ledger: Account,
    /// Positions of both sides are held apart.
    pub(super) is_hedge: bool,
    /// What the rights of its keys say.
    pub(super) can_withdraw: bool,
    /// Instruments whose margin is isolated; the setting is shown, the margin itself is always the wallet's.
    pub(super) isolated: BTreeSet<usize>,
    /// Money that came or went otherwise than by a trade, the oldest first.
    pub(super) receipts: Vec<Receipt>,
    /// Every order ever accepted, by venue id.
    orders: Vec<OrderRow>,
    first_id: u64,
    by_client: HashMap<(usize, String), u64>,
    open: BTreeSet<u64>,
}

impl SimAccount {
    pub(super) fn new(definitions: &[InstrumentDefinition], start: AccountStart) -> Self {
        Self {
            ledger: Account::new(definitions, start.fees, start.balance_e8).numbered_from(start.first_id),
            is_hedge: start.is_hedge,
            can_withdraw: start.can_withdraw,
            isolated: BTreeSet::new(),
            receipts: Vec::new(),
            orders: Vec::new(),
            first_id: 1_000_000 + start.first_id,
            by_client: HashMap::new(),
            open: BTreeSet::new(),
        }
    }

    /// Id of the next order.
    pub(super) fn next_id(&self) -> u64 {
        self.first_id + self.orders.len() as u64
    }

    pub(super) fn orders_count(&self) -> usize {
        self.orders.len()
    }

    pub(super) fn add(&mut self, row: OrderRow) {
        let id = row.order.submit.id;
        self.by_client.insert((row.instrument, row.ticket.client_order_id.clone()), id);
        self.open.insert(id);
        self.orders.push(row);
    }

    pub(super) fn get(&self, id: u64) -> Option<&OrderRow> {
        self.orders.get(usize::try_from(id.checked_sub(self.first_id)?).ok()?)
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut OrderRow> {
        self.orders.get_mut(usize::try_from(id.checked_sub(self.first_id)?).ok()?)
    }

    /// Takes over what matching made of an order.
    pub(super) fn update(&mut self, order: &SimOrder, end: Option<End>, ms: u64) -> Option<&mut OrderRow> {
        let id = order.submit.id;
        if order.state.is_terminal() {
            self.open.remove(&id);
        }
        let row = self.get_mut(id)?;
        (row.order, row.end, row.updated_ms) = (*order, end, ms);
        Some(row)
    }

    /// Orders of an instrument with ids from `from` on, oldest first.
    pub(super) fn since(&self, instrument: usize, from: u64) -> impl Iterator<Item = &OrderRow> {
        let skip = from.saturating_sub(self.first_id) as usize;
        self.orders.iter().skip(skip).filter(move |row| row.instrument == instrument)
    }

    /// The newest order with this client order id.
    pub(super) fn by_client_id(&self, instrument: usize, id: &str) -> Option<&OrderRow> {
        self.get(*self.by_client.get(&(instrument, id.to_owned()))?)
    }

    /// Open orders, oldest first.
    pub(super) fn open(&self) -> impl Iterator<Item = &OrderRow> {
        self.open.iter().filter_map(|id| self.get(*id))
    }

    /// Ids of the open orders of an instrument.
    pub(super) fn open_of(&self, instrument: usize) -> Vec<u64> {
        self.open().filter(|row| row.instrument == instrument).map(|row| row.order.submit.id).collect()
    }

    /// What the wallet could still stand behind, margin of open orders deducted.
    pub(super) fn available_e8(&self, filters: &[Filters], marks_e8: &[i64]) -> i128 {
        let margin = |row: &OrderRow| {
            let (submit, mark) = (&row.order.submit, marks_e8[row.instrument]);
            if submit.is_reduce_only {
                return 0;
            }
            let definition = &filters[row.instrument].definition;
            let price_e8 = submit.price.map_or(i128::from(mark), |p| definition.price_to_e8(p));
            filters[row.instrument].notional_e8(price_e8, row.order.remaining())
                / i128::from(self.ledger.leverage(row.instrument))
        };
        self.ledger.available_e8(marks_e8) - self.open().map(margin).sum::<i128>()
    }
}
