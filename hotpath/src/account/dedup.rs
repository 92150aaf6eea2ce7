//! Trade ids seen: the venue reports a fill on several roads, it counts once.

use serde::{Deserialize, Serialize};

/// Trade ids remembered an instrument. The roads of one fill arrive within seconds of each other.
const REMEMBERED: usize = 1024;

/// The last trade ids of every instrument.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SeenTrades {
    kept: Vec<Kept>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    /// The newest ones, in no order; 0 is a free place.
    ids: Vec<u64>,
    /// Ids at or below this were seen, or are too old to tell and count as seen.
    through: u64,
}

impl SeenTrades {
    /// Nothing seen of any instrument.
    pub fn new(instruments: usize) -> Self {
        let none = Kept { ids: vec![0; REMEMBERED], through: 0 };
        Self { kept: vec![none; instruments] }
    }

    /// Remembers a trade id; false when it was seen before.
    pub fn insert(&mut self, instrument: u32, trade_id: u64) -> bool {
        if self.contains(instrument, trade_id) {
            return false;
        }
        let kept = &mut self.kept[instrument as usize];
        // Ids begin at 1: the smallest is a free place while there is one. A list of old trades is told oldest first, and a
        // new one that the stream told before must not take their places.
        if let Some(smallest) = kept.ids.iter_mut().min() {
            let forgotten = trade_id.min(*smallest);
            *smallest = trade_id.max(*smallest);
            kept.through = kept.through.max(forgotten);
        }
        true
    }

    /// A trade id was seen, or is too old to tell.
    pub fn contains(&self, instrument: u32, trade_id: u64) -> bool {
        let kept = &self.kept[instrument as usize];
        trade_id <= kept.through || kept.ids.contains(&trade_id)
    }

    /// The newest trade id seen of an instrument, 0 before the first.
    pub fn newest(&self, instrument: u32) -> u64 {
        let kept = &self.kept[instrument as usize];
        kept.ids.iter().copied().max().unwrap_or(0).max(kept.through)
    }

    /// The state as words, for digests.
    pub fn words(&self) -> impl Iterator<Item = u64> + '_ {
        self.kept.iter().flat_map(|kept| {
            let told = kept.ids.iter().filter(|id| **id != 0).count();
            [kept.through, told as u64, kept.ids.iter().fold(0, |a, id| a ^ id.rotate_left(7))]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trade_counts_once_in_any_order() {
        let mut seen = SeenTrades::new(2);
        assert!(seen.insert(0, 12) && seen.insert(0, 11) && seen.insert(1, 12));
        assert!(!seen.insert(0, 12) && !seen.insert(0, 11));
        assert_eq!((seen.newest(0), seen.contains(0, 11), seen.contains(1, 11)), (12, true, false));
    }

    #[test]
    fn as_many_as_are_remembered_may_come_in_any_order() {
        let mut seen = SeenTrades::new(1);
        (1..=1024).rev().for_each(|id| assert!(seen.insert(0, id), "{id}"));
        assert!((1..=1024).all(|id| seen.contains(0, id)) && !seen.contains(0, 1025));
        assert!(seen.insert(0, 1025));
        assert!(!seen.insert(0, 1) && !seen.insert(0, 1024), "the oldest is forgotten, and counts as seen");
    }

    #[test]
    fn a_list_of_missed_trades_behind_a_new_one_counts_whole() {
        let mut seen = SeenTrades::new(1);
        assert!(seen.insert(0, 5_000));
        (1..=3_000).for_each(|id| assert!(seen.insert(0, id), "{id}"));
        assert!(!seen.insert(0, 5_000) && !seen.insert(0, 3_000) && seen.insert(0, 4_999));
        assert_eq!(seen.newest(0), 5_000);
    }

    #[test]
    fn what_was_seen_is_in_the_digest() {
        let words = |ids: &[u64]| {
            let mut seen = SeenTrades::new(2);
            ids.iter().for_each(|id| assert!(seen.insert(1, *id)));
            Vec::from_iter(seen.words())
        };
        assert_eq!(words(&[]), [0; 6]);
        let [few, others] = [words(&[1, 2]), words(&[1, 3])];
        assert_eq!([&few[3..], &others[3..]], [[0, 2, 384], [0, 2, 256]]);
        let many = Vec::from_iter(1..=1025);
        assert_eq!(words(&many)[3..5], [1, 1024]);
    }

    #[test]
    fn forgotten_trades_still_count_as_seen() {
        let mut seen = SeenTrades::new(1);
        (1..=3000).for_each(|id| assert!(seen.insert(0, id)));
        assert!((1..=3000).all(|id| !seen.insert(0, id)));
    }
}
