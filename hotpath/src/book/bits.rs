//! A set of small numbers as a tree of bits: insertion, removal and the highest or lowest member in as many steps
//! as the tree has levels.

use crate::pages;

/// Levels of the tree; each has 64 times fewer words than the one below.
const LEVELS: usize = 3;

/// A set of numbers below 2^18.
#[derive(Clone, Debug)]
pub(super) struct BitSet {
    levels: [Vec<u64>; LEVELS],
}

impl BitSet {
    /// Numbers are below this.
    pub(super) const BOUND: usize = 1 << (6 * LEVELS);

    pub(super) fn new() -> Self {
        Self { levels: [0, 1, 2].map(|level| pages::zeros(Self::BOUND >> (6 * (level + 1)))) }
    }

    pub(super) fn insert(&mut self, number: usize) {
        for (level, words) in self.levels.iter_mut().enumerate() {
            let at = number >> (6 * level);
            words[at >> 6] |= 1 << (at & 63);
        }
    }

    pub(super) fn remove(&mut self, number: usize) {
        for (level, words) in self.levels.iter_mut().enumerate() {
            let at = number >> (6 * level);
            words[at >> 6] &= !(1 << (at & 63));
            if words[at >> 6] != 0 {
                return;
            }
        }
    }

    pub(super) fn highest(&self) -> Option<usize> {
        self.levels.iter().rev().try_fold(0, |at, words| {
            let word = words[at];
            (word != 0).then(|| at << 6 | (63 - word.leading_zeros() as usize))
        })
    }

    pub(super) fn lowest(&self) -> Option<usize> {
        self.levels.iter().rev().try_fold(0, |at, words| {
            let word = words[at];
            (word != 0).then(|| at << 6 | word.trailing_zeros() as usize)
        })
    }

    /// The highest member below a number.
    pub(super) fn below(&self, number: usize) -> Option<usize> {
        // Up to the level where a lower neighbour exists, then down along the highest.
        for level in 0..LEVELS {
            let at = number >> (6 * level);
            let lower = self.levels[level][at >> 6] & !(u64::MAX << (at & 63));
            if lower != 0 {
                let found = (at >> 6) << 6 | (63 - lower.leading_zeros() as usize);
                return Some((0..level).rev().fold(found, |at, below| {
                    at << 6 | (63 - self.levels[below][at].leading_zeros() as usize)
                }));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn agrees_with_a_set(changes in prop::collection::vec((any::<bool>(), 0_usize..BitSet::BOUND), 0..300), probe in 0_usize..BitSet::BOUND) {
            let (mut bits, mut naive) = (BitSet::new(), BTreeSet::new());
            for (is_insert, number) in changes {
                // Some numbers twice, some neighbours.
                let number = if number % 3 == 0 { number % 200 } else { number };
                if is_insert {
                    bits.insert(number);
                    naive.insert(number);
                } else {
                    bits.remove(number);
                    naive.remove(&number);
                }
                prop_assert_eq!(bits.highest(), naive.last().copied());
                prop_assert_eq!(bits.lowest(), naive.first().copied());
                prop_assert_eq!(bits.below(probe), naive.range(..probe).next_back().copied());
            }
        }
    }
}
