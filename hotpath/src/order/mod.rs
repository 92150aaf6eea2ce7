//! Orders not yet at their end: a fixed table, and the state machine of one order.

mod machine;

pub use machine::{Order, Report};

use serde::{Deserialize, Serialize};
use tickpath_shared::types::{ClientOrderId, Side};

/// Slots of the table: the most orders that can be open, whatever is configured.
pub const ORDERS_MAX: usize = 256;

/// Orders not yet at their end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OrderTable {
    slots: Vec<Option<Order>>,
    open: usize,
}

impl Default for OrderTable {
    fn default() -> Self {
        Self { slots: vec![None; ORDERS_MAX], open: 0 }
    }
}

impl OrderTable {
    /// Orders not yet at their end.
    pub fn open(&self) -> usize {
        self.open
    }

    /// Adds an order; `false` when the table is full.
    pub fn insert(&mut self, order: Order) -> bool {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.is_none()) else { return false };
        *slot = Some(order);
        self.open += 1;
        true
    }

    /// The order with this id.
    pub fn find(&self, id: &ClientOrderId) -> Option<usize> {
        self.slots.iter().position(|slot| slot.as_ref().is_some_and(|o| o.client_order_id == *id))
    }

    /// The order with this venue id; trade lists know no other.
    pub fn find_by_venue_id(&self, venue_order_id: u64) -> Option<usize> {
        self.slots.iter().position(|slot| slot.as_ref().is_some_and(|o| o.venue_order_id == venue_order_id))
    }

    /// The order in a slot that [`Self::find`] or [`Self::occupied`] named.
    pub fn get_mut(&mut self, slot: usize) -> Option<&mut Order> {
        self.slots.get_mut(slot)?.as_mut()
    }

    /// Removes the order of a slot.
    pub fn remove(&mut self, slot: usize) -> Option<Order> {
        let order = self.slots.get_mut(slot)?.take();
        self.open -= usize::from(order.is_some());
        order
    }

    /// The next occupied slot at or after `from`: lets a caller walk the table while changing it.
    pub fn occupied(&self, from: usize) -> Option<usize> {
        (from..self.slots.len()).find(|&slot| self.slots[slot].is_some())
    }

    /// Orders not yet at their end.
    pub fn iter(&self) -> impl Iterator<Item = &Order> {
        self.slots.iter().flatten()
    }

    /// Quantity that orders of an instrument and side may still fill, unknown outcomes included.
    pub fn remaining(&self, instrument: u32, side: Side) -> i64 {
        self.iter().filter(|o| o.instrument == instrument && o.side == side).map(Order::remaining).sum()
    }

    /// Orders of an instrument whose outcome is unknown.
    pub fn unknown(&self, instrument: u32) -> usize {
        self.iter().filter(|o| o.instrument == instrument && o.is_unknown()).count()
    }

    /// Orders of an instrument not yet at their end.
    pub fn open_of(&self, instrument: u32) -> usize {
        self.iter().filter(|o| o.instrument == instrument).count()
    }

    /// The state as words, for digests.
    pub fn words(&self) -> impl Iterator<Item = u64> + '_ {
        self.iter().flat_map(Order::words)
    }
}
