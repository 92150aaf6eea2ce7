//! Levels far from the touch: a table with open addressing, keyed so that a venue cannot choose prices that
//! collide, and deletion that moves entries back instead of leaving marks.

use crate::pages;
use std::hash::{BuildHasher, RandomState};

/// Most levels of a table, but for a page that was just moved there; it has twice as many slots.
pub(super) const FAR_MAX: usize = 65_536;

const SLOTS: usize = 2 * FAR_MAX;

/// Quantities by key.
#[derive(Clone, Debug)]
pub(super) struct FarLevels {
    /// Key plus one; 0 is free.
    keys: Vec<u32>,
    quantities: Vec<i64>,
    seed: u64,
    len: usize,
}

impl FarLevels {
    pub(super) fn new() -> Self {
        let seed = RandomState::new().hash_one(0_u8) | 1;
        Self { keys: pages::zeros(SLOTS), quantities: pages::zeros(SLOTS), seed, len: 0 }
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
        while self.keys[slot] != 0 && self.keys[slot] != tag {
            slot = (slot + 1) % SLOTS;
        }
        slot
    }

    /// Quantity of a key, 0 for none.
    pub(super) fn get(&self, key: u32) -> i64 {
        // A free slot keeps its last quantity.
        let slot = self.slot(key + 1);
        if self.keys[slot] == 0 { 0 } else { self.quantities[slot] }
    }

    /// Sets a quantity that is not zero and returns the one before. The table must not be full.
    pub(super) fn set(&mut self, key: u32, qty: i64) -> i64 {
        let slot = self.slot(key + 1);
        let is_new = self.keys[slot] == 0;
        self.len += usize::from(is_new);
        self.keys[slot] = key + 1;
        let before = std::mem::replace(&mut self.quantities[slot], qty);
        if is_new { 0 } else { before }
    }

    /// Removes a key and returns its quantity, 0 for none.
    pub(super) fn remove(&mut self, key: u32) -> i64 {
        let mut hole = self.slot(key + 1);
        if self.keys[hole] == 0 {
            return 0;
        }
        let removed = self.quantities[hole];
        self.len -= 1;
        let mut next = hole;
        loop {
            next = (next + 1) % SLOTS;
            let tag = self.keys[next];
            if tag == 0 {
                break;
            }
            // An entry moves back unless that would put it before its home.
            let home = self.home(tag);
            let distance = |from: usize| (next + SLOTS - from) % SLOTS;
            if distance(home) >= distance(hole) {
                (self.keys[hole], self.quantities[hole]) = (tag, self.quantities[next]);
                hole = next;
            }
        }
        self.keys[hole] = 0;
        removed
    }

    pub(super) fn clear(&mut self) {
        if self.len > 0 {
            self.keys.fill(0);
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
