//! Orders not yet at their end: a fixed table, and the state machine of one order.

mod machine;

pub use machine::{Amend, Order, Report};

use serde::{Deserialize, Serialize};
use tickpath_shared::types::{ClientOrderId, OrderState, Side};

/// How the venue is told which order is meant: by its client order id, or by the venue's own number when the id is
/// longer than we keep. Two orders of somebody else may agree in what we keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OrderName {
    /// Client order id, as far as it fits.
    pub client_order_id: ClientOrderId,
    /// Venue's id, 0 while unknown.
    pub venue_order_id: u64,
}

impl OrderName {
    /// An order of ours, whose client order id is known whole.
    pub const fn ours(client_order_id: ClientOrderId) -> Self {
        Self { client_order_id, venue_order_id: 0 }
    }

    /// An order that is known by the venue's number alone.
    pub fn numbered(venue_order_id: u64) -> Self {
        Self { client_order_id: ClientOrderId::from_venue(b""), venue_order_id }
    }

    /// The venue's number, when the order has to be named by it.
    pub fn number(&self) -> Option<u64> {
        let has_name = self.client_order_id.is_whole() && self.client_order_id.len() > 0;
        (!has_name).then_some(self.venue_order_id)
    }

    /// The venue can be asked about it.
    pub fn is_usable(&self) -> bool {
        self.number() != Some(0)
    }
}

/// Slots of the table: the most orders that can be open, whatever is configured.
pub const ORDERS_MAX: usize = 256;

const WORDS: usize = ORDERS_MAX / 64;

/// An order that is wanted, beside those that are there.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Instrument index.
    pub instrument: u32,
    /// Side.
    pub side: Side,
    /// Limit price.
    pub price: i64,
    /// Quantity.
    pub qty: i64,
    /// It only reduces the position.
    pub is_reduce_only: bool,
    /// Slot of the order in whose place it would be.
    pub replaces: Option<usize>,
}

/// What the orders not yet at their end mean for one that is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// How many there are.
    pub open: usize,
    /// Quantity that those of its instrument and side may still fill, unknown outcomes included.
    pub remaining: i64,
    /// Those of its instrument whose outcome is unknown.
    pub unknown: usize,
    /// Those that want the same.
    pub identical: usize,
    /// Price of one that it would trade with. A way out is never barred by it: the venue does not let an account trade
    /// with itself, and ends the order that rests.
    pub crossing: Option<i64>,
}

/// Orders not yet at their end. A bit a slot says which are taken: limits walk the open orders before every new
/// one, and the empty slots must not cost them anything.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Vec<Option<Order>>", into = "Vec<Option<Order>>")]
pub struct OrderTable {
    slots: Vec<Option<Order>>,
    taken: [u64; WORDS],
}

impl Default for OrderTable {
    fn default() -> Self {
        Self { slots: vec![None; ORDERS_MAX], taken: [0; WORDS] }
    }
}

impl From<OrderTable> for Vec<Option<Order>> {
    fn from(table: OrderTable) -> Self {
        table.slots
    }
}

impl From<Vec<Option<Order>>> for OrderTable {
    fn from(mut slots: Vec<Option<Order>>) -> Self {
        slots.resize(ORDERS_MAX, None);
        let mut taken = [0; WORDS];
        for (slot, _) in slots.iter().enumerate().filter(|(_, order)| order.is_some()) {
            taken[slot / 64] |= 1 << (slot % 64);
        }
        Self { slots, taken }
    }
}

impl OrderTable {
    /// Orders not yet at their end.
    pub fn open(&self) -> usize {
        self.taken.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// True when no slot is free.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.taken == [u64::MAX; WORDS]
    }

    /// Adds an order in the lowest free slot; `false` when the table is full.
    pub fn insert(&mut self, order: Order) -> bool {
        let Some(word) = self.taken.iter().position(|word| *word != u64::MAX) else { return false };
        let bit = self.taken[word].trailing_ones() as usize;
        self.taken[word] |= 1 << bit;
        self.slots[word * 64 + bit] = Some(order);
        true
    }

    /// The order with this id.
    pub fn find(&self, id: &ClientOrderId) -> Option<usize> {
        self.find_by(|order| order.client_order_id == *id)
    }

    /// The order that the venue speaks of, of an instrument where that is known: its numbers are of one instrument.
    /// Trade lists know no client ids.
    pub fn find_named(&self, name: &OrderName, instrument: Option<u32>) -> Option<usize> {
        let id = &name.client_order_id;
        if id.is_whole() && id.len() > 0 {
            return self.find(id);
        }
        let number = name.venue_order_id;
        let is_it = |order: &Order| {
            order.venue_order_id == number && instrument.is_none_or(|of| of == order.instrument)
        };
        (number != 0).then(|| self.find_by(is_it))?
    }

    /// The order of an intent.
    pub fn find_intent(&self, intent: u64) -> Option<usize> {
        // Orders that no intent of ours is behind have none.
        (intent != 0).then(|| self.find_by(|order| order.intent == intent))?
    }

    fn find_by(&self, is_wanted: impl Fn(&Order) -> bool) -> Option<usize> {
        self.occupied_slots().find(|&slot| self.slots[slot].as_ref().is_some_and(&is_wanted))
    }

    /// The order in a slot that [`Self::find`] or [`Self::occupied`] named.
    pub fn get_mut(&mut self, slot: usize) -> Option<&mut Order> {
        self.slots.get_mut(slot)?.as_mut()
    }

    /// Removes the order of a slot.
    pub fn remove(&mut self, slot: usize) -> Option<Order> {
        let order = self.slots.get_mut(slot)?.take()?;
        self.taken[slot / 64] &= !(1 << (slot % 64));
        Some(order)
    }

    /// The next occupied slot at or after `from`: lets a caller walk the table while changing it.
    pub fn occupied(&self, from: usize) -> Option<usize> {
        let first = from / 64;
        let mut word = self.taken.get(first)? >> (from % 64) << (from % 64);
        for at in first..WORDS {
            if word != 0 {
                return Some(at * 64 + word.trailing_zeros() as usize);
            }
            word = *self.taken.get(at + 1)?;
        }
        None
    }

    fn occupied_slots(&self) -> impl Iterator<Item = usize> + '_ {
        self.taken.iter().enumerate().flat_map(|(word, taken)| {
            let rest = |taken: u64| (taken != 0).then_some(taken);
            let words = std::iter::successors(rest(*taken), move |taken| rest(taken & (taken - 1)));
            words.map(move |taken| word * 64 + taken.trailing_zeros() as usize)
        })
    }

    /// Orders not yet at their end.
    pub fn iter(&self) -> impl Iterator<Item = &Order> {
        self.occupied_slots().filter_map(|slot| self.slots[slot].as_ref())
    }

    /// Orders, and changes of orders, whose answers are still to be expected.
    pub fn unanswered(&self) -> u32 {
        let is_due = |o: &&Order| !o.is_unknown() && (o.state == OrderState::Sent || o.is_amending());
        self.iter().filter(is_due).count() as u32
    }

    /// What the orders that are there mean for one that is wanted.
    #[inline]
    pub fn survey(&self, wanted: &Wanted) -> Survey {
        let mut found = Survey::default();
        for slot in self.occupied_slots().filter(|slot| wanted.replaces != Some(*slot)) {
            found.open += 1;
            let Some(order) = self.slots[slot].as_ref().filter(|o| o.instrument == wanted.instrument) else {
                continue;
            };
            found.unknown += usize::from(order.is_unknown());
            if order.side == wanted.side {
                found.remaining += order.remaining();
                found.identical += usize::from(order.price == wanted.price && order.qty == wanted.qty);
            } else if !wanted.is_reduce_only {
                found.crossing = order.crossing(wanted.price).or(found.crossing);
            }
        }
        found
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

#[cfg(test)]
mod tests {
    use super::*;
    use tickpath_shared::types::InstanceId;

    fn order(number: u64) -> Order {
        let id = ClientOrderId::new(InstanceId::new("001").unwrap(), 1, number);
        Order::sent(id, 0, Side::Buy, 10, 5, number, 0)
    }

    #[test]
    fn slots_are_walked_in_order_and_used_again() {
        let mut table = OrderTable::default();
        (0..ORDERS_MAX as u64).for_each(|number| assert!(table.insert(order(number))));
        assert!(!table.insert(order(999)));
        for slot in (0..ORDERS_MAX).filter(|slot| slot % 3 != 1) {
            assert!(table.remove(slot).is_some() && table.remove(slot).is_none());
        }
        let walked: Vec<usize> = table.occupied_slots().collect();
        assert_eq!(walked, (0..ORDERS_MAX).filter(|slot| slot % 3 == 1).collect::<Vec<_>>());
        assert_eq!((table.open(), table.iter().count()), (walked.len(), walked.len()));
        assert_eq!(table.occupied(ORDERS_MAX), None);
        assert!(table.insert(order(1000)));
        assert_eq!(table.find(&order(1000).client_order_id), Some(0));
        let wanted = Wanted {
            instrument: 0,
            side: Side::Buy,
            price: 10,
            qty: 5,
            is_reduce_only: false,
            replaces: None,
        };
        let open = walked.len() + 1;
        let found = table.survey(&wanted);
        assert_eq!((found.open, found.remaining, found.identical), (open, 5 * open as i64, open));
        assert_eq!(found.crossing, None);
        let sale = Wanted { side: Side::Sell, ..wanted };
        let found = table.survey(&sale);
        assert_eq!((found.remaining, found.identical, found.crossing), (0, 0, Some(10)));
        assert_eq!(table.survey(&Wanted { price: 11, ..sale }).crossing, None);
        assert_eq!(table.survey(&Wanted { instrument: 1, ..sale }), Survey { open, ..Survey::default() });
        assert_eq!(table.survey(&Wanted { replaces: Some(0), ..wanted }).identical, open - 1);
    }

    #[test]
    fn slots_are_found_from_anywhere() {
        let mut table = OrderTable::default();
        (0..ORDERS_MAX as u64).for_each(|number| assert!(table.insert(order(number))));
        for slot in (0..ORDERS_MAX).filter(|slot| ![70, 200].contains(slot)) {
            table.remove(slot);
        }
        let found = [0, 64, 70, 71, 127, 128, 200, 201, 255].map(|from| table.occupied(from));
        let (first, second) = (Some(70), Some(200));
        assert_eq!(found, [first, first, first, second, second, second, second, None, None]);
    }

    #[test]
    fn orders_are_found_by_id_number_and_intent() {
        let mut table = OrderTable::default();
        // Longer than what is kept: only its number tells it from others.
        let long = ClientOrderId::from_venue(&[b'x'; 60]);
        let by_number =
            |instrument, number| Order::sent(long, instrument, Side::Buy, 10, 5, 0, 0).adopted(number, 0);
        for order in [order(3), by_number(0, 17), by_number(1, 17)] {
            assert!(table.insert(order));
        }
        let ours = OrderName::ours(order(3).client_order_id);
        assert!(ours.number().is_none() && ours.is_usable());
        assert_eq!(table.find_named(&ours, None), Some(0));
        assert_eq!(table.find(&order(4).client_order_id), None);
        let name = |venue_order_id| OrderName { client_order_id: long, venue_order_id };
        assert!(name(17).number() == Some(17) && name(17).is_usable() && !name(0).is_usable());
        let found = [None, Some(0), Some(1), Some(2)].map(|of| table.find_named(&name(17), of));
        assert_eq!(found, [Some(1), Some(1), Some(2), None]);
        assert_eq!([table.find_named(&name(0), None), table.find_named(&name(18), None)], [None, None]);
        // Trade lists name no id.
        let listed = OrderName { client_order_id: ClientOrderId::from_venue(b""), venue_order_id: 17 };
        assert_eq!(table.find_named(&listed, Some(1)), Some(2));
        assert_eq!([3, 4, 0].map(|intent| table.find_intent(intent)), [Some(0), None, None]);
    }

    #[test]
    fn what_is_unknown_or_on_another_side_is_told_apart() {
        let mut table = OrderTable::default();
        let mut lost = order(1);
        lost.on_lost();
        let other = |instrument, side, price| {
            Order::sent(ClientOrderId::from_venue(b"other"), instrument, side, price, 5, 9, 0)
        };
        let (ask, elsewhere) = (other(0, Side::Sell, 12), other(1, Side::Buy, 10));
        [lost, ask, elsewhere].into_iter().for_each(|order| assert!(table.insert(order)));
        let wanted = |side, price, qty, is_reduce_only| Wanted {
            instrument: 0,
            side,
            price,
            qty,
            is_reduce_only,
            replaces: None,
        };
        let survey =
            |remaining, identical, crossing| Survey { open: 3, unknown: 1, remaining, identical, crossing };
        assert_eq!(table.survey(&wanted(Side::Buy, 10, 5, false)), survey(5, 1, None));
        assert_eq!(table.survey(&wanted(Side::Buy, 12, 5, false)), survey(5, 0, Some(12)));
        assert_eq!(table.survey(&wanted(Side::Buy, 10, 6, false)), survey(5, 0, None));
        assert_eq!(table.survey(&wanted(Side::Buy, 12, 5, true)), survey(5, 0, None), "a way out");
        assert_eq!([0, 1, 2].map(|instrument| table.open_of(instrument)), [2, 1, 0]);
        assert_eq!(table.words().count(), 3 * 7);
    }

    #[test]
    fn a_table_read_back_is_the_same() {
        let mut table = OrderTable::default();
        (0..100).for_each(|number| assert!(table.insert(order(number))));
        (0..50).for_each(|slot| assert!(table.remove(slot * 2).is_some()));
        let again: OrderTable = serde_json::from_str(&serde_json::to_string(&table).unwrap()).unwrap();
        assert_eq!(again.taken, table.taken);
        assert!(again.words().eq(table.words()));
    }
}
