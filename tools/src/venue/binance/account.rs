//! The simulated account: orders by id, trades, positions, and the events that tell of them.

use super::text;
use tickpath_hotpath::sim::{Account, SimOrder, SimOutcome};
use tickpath_shared::types::{InstrumentDefinition, OrderState, OrderType};

/// Commission of the simulator, fractions x 10^8: 0.02 % maker, 0.05 % taker.
const MAKER_E8: i64 = 20_000;
const TAKER_E8: i64 = 50_000;

/// An order in the venue's books.
#[derive(Clone, Debug)]
pub(super) struct OrderRow {
    pub(super) instrument: usize,
    pub(super) client_order_id: String,
    pub(super) kind: OrderType,
    pub(super) order: SimOrder,
    pub(super) placed_ms: u64,
    pub(super) updated_ms: u64,
}

impl OrderRow {
    pub(super) fn is_open(&self) -> bool {
        !self.order.state.is_terminal()
    }
}

/// The account.
pub(super) struct SimAccount {
    pub(super) ledger: Account,
    /// Every order ever accepted, by venue id.
    orders: Vec<OrderRow>,
    first_id: u64,
    /// Client order id and type of the order being placed.
    placing: Option<(String, OrderType)>,
}

impl SimAccount {
    pub(super) fn new(definitions: &[InstrumentDefinition]) -> Self {
        let ledger = Account::new(definitions, MAKER_E8, TAKER_E8);
        Self { ledger, orders: Vec::new(), first_id: 1_000_001, placing: None }
    }

    /// Id of the next order.
    pub(super) fn next_id(&self) -> u64 {
        self.first_id + self.orders.len() as u64
    }

    /// Announces the order whose outcomes come next.
    pub(super) fn begin(&mut self, client_order_id: String, kind: OrderType) {
        self.placing = Some((client_order_id, kind));
    }

    pub(super) fn get(&self, id: u64) -> Option<&OrderRow> {
        self.orders.get(usize::try_from(id.checked_sub(self.first_id)?).ok()?)
    }

    fn get_mut(&mut self, id: u64) -> Option<&mut OrderRow> {
        self.orders.get_mut(usize::try_from(id.checked_sub(self.first_id)?).ok()?)
    }

    /// Orders of an instrument with ids from `from` on, oldest first.
    pub(super) fn since(&self, instrument: usize, from: u64) -> impl Iterator<Item = &OrderRow> {
        let skip = from.saturating_sub(self.first_id) as usize;
        self.orders.iter().skip(skip).filter(move |row| row.instrument == instrument)
    }

    /// The newest order with this client order id.
    pub(super) fn by_client_id(&self, instrument: usize, id: &str) -> Option<&OrderRow> {
        self.orders.iter().rev().find(|row| row.instrument == instrument && row.client_order_id == id)
    }

    pub(super) fn open(&self) -> impl Iterator<Item = &OrderRow> {
        self.orders.iter().filter(|row| row.is_open())
    }

    /// Books an outcome; returns the events that tell of it.
    pub(super) fn book(
        &mut self,
        definition: &InstrumentDefinition,
        outcome: &SimOutcome,
        ms: u64,
    ) -> Vec<String> {
        let instrument = definition.instrument as usize;
        match outcome {
            SimOutcome::Accepted(order) => {
                let (client_order_id, kind) =
                    self.placing.take().unwrap_or((String::new(), OrderType::Limit));
                let row = OrderRow {
                    instrument,
                    client_order_id,
                    kind,
                    order: *order,
                    placed_ms: ms,
                    updated_ms: ms,
                };
                let event = text::order_update(definition, &row, "NEW", None, ms);
                self.orders.push(row);
                vec![event]
            }
            SimOutcome::Executed(order, execution) => {
                let trade = self.ledger.book(instrument, *order, *execution, ms);
                let update = self
                    .update(order, ms)
                    .map(|row| text::order_update(definition, row, "TRADE", Some(&trade), ms));
                let position = self.ledger.position(instrument);
                let entry = self.ledger.entry_price_e8(instrument);
                update.into_iter().chain([text::account_update(definition, position, entry, ms)]).collect()
            }
            SimOutcome::Ended(order) => {
                let kind = if order.state == OrderState::Canceled { "CANCELED" } else { "EXPIRED" };
                let update =
                    self.update(order, ms).map(|row| text::order_update(definition, row, kind, None, ms));
                update.into_iter().collect()
            }
            // Synchronous refusals: no event, not in the history.
            SimOutcome::Refused(..) => Vec::new(),
        }
    }

    fn update(&mut self, order: &SimOrder, ms: u64) -> Option<&OrderRow> {
        let row = self.get_mut(order.submit.id)?;
        (row.order, row.updated_ms) = (*order, ms);
        Some(row)
    }
}
