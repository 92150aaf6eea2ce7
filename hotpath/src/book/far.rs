//! Levels far from the touch: a table with open addressing, keyed so that a venue cannot choose prices that
//! collide, and deletion that moves entries back instead of leaving marks.

use super::boxed;
use std::hash::{BuildHasher, RandomState};

/// Most levels of a table that does not wait for updates to give some up.
pub(super) const FAR_MAX: usize = 65_536;
/// Levels more than its limit up to which a table takes in another page at once.
pub(super) const SLACK: usize = 1_024;

/// Little more than half of them are ever taken.
const SLOTS: usize = 2 * FAR_MAX;

/// A level or a free slot, in twelve bytes: whoever looks for a key has its quantity at hand.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, packed(4))]
struct Slot {
    /// Key plus one; 0 is free.
    tag: u32,
    qty: i64,
}

/// Quantities by key.
#[derive(Clone, Debug)]
pub(super) struct FarLevels {
    slots: Box<[Slot; SLOTS]>,
    seed: u64,
    len: usize,
}

impl FarLevels {
    pub(super) fn new() -> Self {
        let seed = RandomState::new().hash_one(0_u8) | 1;
        Self { slots: boxed(), seed, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn home(&self, tag: u32) -> usize {
        // Multiplication by a secret odd number; the upper bits depend on all of the key.
        let mixed = (u64::from(tag) ^ (self.seed >> 32)).wrapping_mul(self.seed);
        ((mixed ^ (mixed >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SLOTS.trailing_zeros()))
            as usize
    }

    /// Slot of a key, or the free one where it belongs.
    fn slot(&self, tag: u32) -> usize {
        let mut slot = self.home(tag);
        while self.slots[slot].tag != 0 && self.slots[slot].tag != tag {
            slot = (slot + 1) % SLOTS;
        }
        slot
    }

    /// Quantity of a key, 0 for none.
    pub(super) fn get(&self, key: u32) -> i64 {
        self.slots[self.slot(key + 1)].qty
    }

    /// Sets a quantity that is not zero and returns the one before. The table must not be full.
    pub(super) fn set(&mut self, key: u32, qty: i64) -> i64 {
        let slot = self.slot(key + 1);
        let before = std::mem::replace(&mut self.slots[slot], Slot { tag: key + 1, qty });
        self.len += usize::from(before.tag == 0);
        before.qty
    }

    /// Removes a key and returns its quantity, 0 for none.
    pub(super) fn remove(&mut self, key: u32) -> i64 {
        let mut hole = self.slot(key + 1);
        let removed = self.slots[hole].qty;
        if self.slots[hole].tag == 0 {
            return 0;
        }
        self.len -= 1;
        let mut next = hole;
        loop {
            next = (next + 1) % SLOTS;
            let Slot { tag, qty } = self.slots[next];
            if tag == 0 {
                break;
            }
            // An entry moves back unless that would put it before its home.
            let home = self.home(tag);
            let distance = |from: usize| next.wrapping_sub(from) % SLOTS;
            if distance(home) >= distance(hole) {
                self.slots[hole] = Slot { tag, qty };
                hole = next;
            }
        }
        self.slots[hole] = Slot::default();
        removed
    }

    pub(super) fn clear(&mut self) {
        if self.len > 0 {
            self.slots.fill(Slot::default());
            self.len = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn agrees_with_a_map(changes in prop::collection::vec((0_u32..600, 0_i64..4), 0..2000)) {
            let (mut far, mut naive) = (FarLevels::new(), HashMap::new());
            for (key, qty) in changes {
                let (found, expected) = if qty == 0 {
                    (far.remove(key), naive.remove(&key).unwrap_or(0))
                } else {
                    (far.set(key, qty), naive.insert(key, qty).unwrap_or(0))
                };
                prop_assert_eq!(found, expected);
                prop_assert_eq!(far.len(), naive.len());
            }
            for key in 0..600 {
                prop_assert_eq!(far.get(key), naive.get(&key).copied().unwrap_or(0));
            }
        }
    }
}
