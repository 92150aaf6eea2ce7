//! A book kept in step with the venue's diff stream: the snapshot seam and the chain of update ids.
//!
//! Rules of Binance-type venues whose diffs name the one before (`pu`): a diff older than the snapshot is
//! dropped, the first one applied must cover it, every later one must follow the one before. Whatever
//! breaks the chain makes the book invalid on that very message, and the diffs since are kept until a new
//! snapshot meets them.

use super::{Book, Top};
use crate::{
    market::{Level, MarketEvent, MarketHeader},
    pages,
};
use serde::{Deserialize, Serialize};

/// Diffs kept while a snapshot is awaited.
const BUFFERED_DIFFS_MAX: usize = 8192;
/// Levels kept while a snapshot is awaited.
const BUFFERED_LEVELS_MAX: usize = 1 << 19;

/// What a diff did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiffResult {
    /// The book follows; it was valid before.
    Applied,
    /// The diff joined snapshot and stream: the book is valid from here on.
    Joined,
    /// Kept until a snapshot arrives.
    Buffered,
    /// Older than the snapshot.
    BeforeSnapshot,
    /// Seen before.
    Duplicate,
    /// An update was missed: the book is invalid, the diff is kept.
    Gap {
        /// Update id the diff should have followed.
        expected: u64,
        /// Update id it says it follows.
        found: u64,
    },
    /// Best bid at or above best ask, or a side empty: the book is invalid.
    Crossed,
    /// Too many diffs without a snapshot: the oldest were given up.
    BufferFull,
}

/// What a snapshot did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotResult {
    /// Snapshot and buffered diffs meet: the book is valid.
    Joined {
        /// Buffered diffs that were older than the snapshot.
        skipped: u64,
        /// Buffered diffs applied.
        applied: u64,
    },
    /// Applied; the diff that joins it has not arrived.
    Waiting {
        /// Buffered diffs that were older than the snapshot.
        skipped: u64,
    },
    /// Every buffered diff is newer: another snapshot is needed, the buffer stays.
    TooOld,
    /// The buffered diffs do not chain: the book stays invalid, another snapshot is needed.
    Broken,
    /// The book is valid already; nothing was done.
    NotNeeded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    /// Diffs are kept until a snapshot arrives.
    Buffering,
    /// A snapshot is in; the first diff that covers its id is awaited.
    Seam,
    /// In step.
    Valid,
}

/// A book and its place in the stream.
#[derive(Serialize, Deserialize)]
pub struct SyncedBook {
    book: Book,
    phase: Phase,
    last_update_id: u64,
    /// Grows with every time the book becomes valid.
    epoch: u32,
    buffered: Vec<MarketHeader>,
    buffered_levels: Vec<Level>,
}

impl SyncedBook {
    /// An empty book that waits for a snapshot; see [`Book::new`]. Allocates all it will ever need.
    pub fn new(tick: i64, far_max: usize) -> Self {
        Self {
            book: Book::new(tick, far_max),
            phase: Phase::Buffering,
            last_update_id: 0,
            epoch: 0,
            buffered: pages::room(BUFFERED_DIFFS_MAX),
            buffered_levels: pages::room(BUFFERED_LEVELS_MAX),
        }
    }

    /// True while the book is complete.
    #[inline]
    pub fn is_valid(&self) -> bool {
        self.phase == Phase::Valid
    }

    /// Best bid and ask.
    #[inline]
    pub fn top(&self) -> Top {
        self.book.top()
    }

    /// The ladder itself.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// Last update id applied, or the snapshot's.
    pub fn last_update_id(&self) -> u64 {
        self.last_update_id
    }

    /// How often the book has become valid.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// A snapshot is needed: diffs wait, or nothing is known yet.
    pub fn needs_snapshot(&self) -> bool {
        self.phase == Phase::Buffering && !self.buffered.is_empty()
    }

    /// Forgets everything: the connection was lost or the units changed.
    pub fn reset(&mut self) {
        self.book.clear();
        self.phase = Phase::Buffering;
        self.last_update_id = 0;
        self.clear_buffer();
    }

    /// Takes one diff.
    pub fn on_diff(&mut self, diff: &MarketEvent<'_>) -> DiffResult {
        match self.phase {
            Phase::Buffering => self.buffer(diff),
            Phase::Seam => self.on_seam(diff),
            Phase::Valid => self.on_chain(diff),
        }
    }

    fn on_chain(&mut self, diff: &MarketEvent<'_>) -> DiffResult {
        let header = &diff.header;
        if header.previous_update_id != self.last_update_id {
            if header.last_update_id <= self.last_update_id {
                return DiffResult::Duplicate;
            }
            return self.gap(diff);
        }
        self.apply(diff);
        self.check_crossed(DiffResult::Applied)
    }

    /// The first diff after a snapshot: it must cover the snapshot's id, or follow the diff that ended
    /// exactly there.
    fn on_seam(&mut self, diff: &MarketEvent<'_>) -> DiffResult {
        let header = &diff.header;
        if header.last_update_id < self.last_update_id {
            return DiffResult::BeforeSnapshot;
        }
        let is_covering = header.first_update_id <= self.last_update_id;
        if !is_covering && header.previous_update_id != self.last_update_id {
            return self.gap(diff);
        }
        self.apply(diff);
        self.phase = Phase::Valid;
        self.epoch += 1;
        self.check_crossed(DiffResult::Joined)
    }

    /// The book is invalid as of this diff, which starts the buffer for the next snapshot.
    fn gap(&mut self, diff: &MarketEvent<'_>) -> DiffResult {
        let expected = self.last_update_id;
        self.phase = Phase::Buffering;
        self.clear_buffer();
        self.buffer(diff);
        DiffResult::Gap { expected, found: diff.header.previous_update_id }
    }

    fn apply(&mut self, diff: &MarketEvent<'_>) {
        self.book.apply(diff.bids(), diff.asks());
        self.last_update_id = diff.header.last_update_id;
    }

    fn check_crossed(&mut self, otherwise: DiffResult) -> DiffResult {
        if self.book.top().is_sound() {
            return otherwise;
        }
        self.phase = Phase::Buffering;
        self.clear_buffer();
        DiffResult::Crossed
    }

    fn buffer(&mut self, diff: &MarketEvent<'_>) -> DiffResult {
        if let Some(last) = self.buffered.last() {
            if diff.header.last_update_id <= last.last_update_id {
                return DiffResult::Duplicate;
            }
            if diff.header.previous_update_id != last.last_update_id {
                // What was kept can never be joined: only diffs from here on can.
                let expected = last.last_update_id;
                self.clear_buffer();
                self.push(diff);
                return DiffResult::Gap { expected, found: diff.header.previous_update_id };
            }
        }
        let is_full = self.buffered.len() == BUFFERED_DIFFS_MAX
            || self.buffered_levels.len() + diff.levels.len() > BUFFERED_LEVELS_MAX;
        if is_full {
            self.clear_buffer();
        }
        self.push(diff);
        if is_full { DiffResult::BufferFull } else { DiffResult::Buffered }
    }

    fn push(&mut self, diff: &MarketEvent<'_>) {
        self.buffered.push(*diff.header);
        self.buffered_levels.extend_from_slice(diff.levels);
    }

    fn clear_buffer(&mut self) {
        self.buffered.clear();
        self.buffered_levels.clear();
    }

    /// Takes a full book and joins it with the buffered diffs.
    pub fn on_snapshot(&mut self, snapshot: &MarketEvent<'_>) -> SnapshotResult {
        self.on_snapshot_with(snapshot, |_| ())
    }

    /// As [`Self::on_snapshot`]; shows the book after every buffered diff that it applies.
    pub fn on_snapshot_with(
        &mut self,
        snapshot: &MarketEvent<'_>,
        applied: impl FnMut(&Self),
    ) -> SnapshotResult {
        if self.phase == Phase::Valid {
            return SnapshotResult::NotNeeded;
        }
        let id = snapshot.header.last_update_id;
        let reaches = |d: &MarketHeader| d.first_update_id <= id || d.previous_update_id == id;
        let first = self.buffered.iter().find(|d| d.last_update_id >= id);
        if first.is_some_and(|d| !reaches(d)) {
            return SnapshotResult::TooOld;
        }
        self.book.replace(snapshot.bids(), snapshot.asks());
        self.last_update_id = id;
        self.phase = Phase::Seam;
        self.join_buffer(applied)
    }

    fn join_buffer(&mut self, mut shown: impl FnMut(&Self)) -> SnapshotResult {
        // Taken out so that the diffs can be applied to `self`; put back for their memory.
        let headers = std::mem::take(&mut self.buffered);
        let levels = std::mem::take(&mut self.buffered_levels);
        let (mut skipped, mut applied, mut is_broken) = (0, 0, false);
        let mut at = 0;
        for header in &headers {
            let event = MarketEvent { header, levels: &levels[at..at + header.levels()] };
            at += header.levels();
            let result = match self.phase {
                Phase::Seam => self.on_seam(&event),
                _ => self.on_chain(&event),
            };
            match result {
                DiffResult::BeforeSnapshot => skipped += 1,
                DiffResult::Applied | DiffResult::Joined => {
                    applied += 1;
                    shown(self);
                }
                _ => {
                    is_broken = true;
                    break;
                }
            }
        }
        (self.buffered, self.buffered_levels) = (headers, levels);
        self.clear_buffer();
        match (is_broken, self.phase) {
            (true, _) => {
                self.phase = Phase::Buffering;
                SnapshotResult::Broken
            }
            (false, Phase::Valid) => SnapshotResult::Joined { skipped, applied },
            (false, _) => SnapshotResult::Waiting { skipped },
        }
    }

    /// Hash of the book and of its place in the stream.
    pub fn digest(&self) -> u64 {
        let place = (self.last_update_id << 2) | self.phase as u64;
        self.book.digest() ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(self.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::MarketKind;

    /// Diff with ids `U, u, pu` and levels as `(price, qty)`.
    fn diff(ids: (u64, u64, u64), bids: &[(i64, i64)], asks: &[(i64, i64)]) -> (MarketHeader, Vec<Level>) {
        let levels = bids.iter().chain(asks).map(|&(price, qty)| Level { price, qty }).collect();
        let header = MarketHeader {
            kind: MarketKind::Depth as u16,
            first_update_id: ids.0,
            last_update_id: ids.1,
            previous_update_id: ids.2,
            bids: bids.len() as u16,
            asks: asks.len() as u16,
            ..MarketHeader::default()
        };
        (header, levels)
    }

    fn put(book: &mut SyncedBook, (header, levels): &(MarketHeader, Vec<Level>)) -> DiffResult {
        book.on_diff(&MarketEvent { header, levels })
    }

    fn snapshot(book: &mut SyncedBook, id: u64, bids: &[(i64, i64)], asks: &[(i64, i64)]) -> SnapshotResult {
        let (mut header, levels) = diff((0, id, 0), bids, asks);
        header.kind = MarketKind::Snapshot as u16;
        book.on_snapshot(&MarketEvent { header: &header, levels: &levels })
    }

    const BIDS: &[(i64, i64)] = &[(1000, 5), (999, 7)];
    const ASKS: &[(i64, i64)] = &[(1001, 4), (1002, 6)];

    #[test]
    fn the_worked_example_of_the_venues_documentation() {
        let mut book = SyncedBook::new(1, 100);
        assert_eq!(put(&mut book, &diff((990, 996, 985), &[], &[])), DiffResult::Buffered);
        assert_eq!(put(&mut book, &diff((999, 1003, 996), &[(1000, 5)], &[(1001, 4)])), DiffResult::Buffered);
        assert_eq!(snapshot(&mut book, 1003, BIDS, ASKS), SnapshotResult::Joined { skipped: 1, applied: 1 });
        assert_eq!(
            put(&mut book, &diff((1008, 1012, 1003), &[(1000, 0), (998, 2)], &[])),
            DiffResult::Applied
        );
        assert_eq!(
            put(&mut book, &diff((1013, 1013, 1012), &[], &[(1001, 3), (1003, 0)])),
            DiffResult::Applied
        );
        assert_eq!(book.top(), Top { bid: Level { price: 999, qty: 7 }, ask: Level { price: 1001, qty: 3 } });
        let gap = put(&mut book, &diff((1020, 1024, 1015), &[], &[]));
        assert_eq!(gap, DiffResult::Gap { expected: 1013, found: 1015 });
        assert!(!book.is_valid() && book.needs_snapshot());
    }

    #[test]
    fn a_diff_that_follows_the_snapshot_exactly_joins_it() {
        let mut book = SyncedBook::new(1, 100);
        put(&mut book, &diff((1008, 1012, 1003), &[(998, 2)], &[]));
        assert_eq!(snapshot(&mut book, 1003, BIDS, ASKS), SnapshotResult::Joined { skipped: 0, applied: 1 });
    }

    #[test]
    fn a_snapshot_older_than_the_buffer_is_asked_for_again() {
        let mut book = SyncedBook::new(1, 100);
        put(&mut book, &diff((1008, 1012, 1005), &[(998, 2)], &[]));
        assert_eq!(snapshot(&mut book, 1003, BIDS, ASKS), SnapshotResult::TooOld);
        assert!(book.needs_snapshot());
        assert_eq!(snapshot(&mut book, 1010, BIDS, ASKS), SnapshotResult::Joined { skipped: 0, applied: 1 });
    }

    #[test]
    fn a_snapshot_ahead_of_the_stream_waits_for_its_diff() {
        let mut book = SyncedBook::new(1, 100);
        put(&mut book, &diff((990, 996, 985), &[], &[]));
        assert_eq!(snapshot(&mut book, 1003, BIDS, ASKS), SnapshotResult::Waiting { skipped: 1 });
        assert!(!book.is_valid());
        assert_eq!(put(&mut book, &diff((997, 1001, 996), &[], &[])), DiffResult::BeforeSnapshot);
        assert_eq!(put(&mut book, &diff((1002, 1004, 1001), &[], &[])), DiffResult::Joined);
        assert_eq!((book.is_valid(), book.epoch()), (true, 1));
    }

    #[test]
    fn repeated_diffs_change_nothing() {
        let mut book = SyncedBook::new(1, 100);
        put(&mut book, &diff((999, 1003, 996), &[], &[]));
        snapshot(&mut book, 1003, BIDS, ASKS);
        let next = diff((1008, 1012, 1003), &[(998, 2)], &[]);
        assert_eq!(put(&mut book, &next), DiffResult::Applied);
        let digest = book.digest();
        assert_eq!(put(&mut book, &next), DiffResult::Duplicate);
        assert_eq!((book.digest(), book.is_valid()), (digest, true));
    }

    #[test]
    fn a_crossed_book_is_invalid() {
        let mut book = SyncedBook::new(1, 100);
        put(&mut book, &diff((999, 1003, 996), &[], &[]));
        snapshot(&mut book, 1003, BIDS, ASKS);
        assert_eq!(put(&mut book, &diff((1004, 1005, 1003), &[(1001, 1)], &[])), DiffResult::Crossed);
        assert!(!book.is_valid());
    }

    #[test]
    fn a_gap_within_the_buffer_restarts_it() {
        let mut book = SyncedBook::new(1, 100);
        put(&mut book, &diff((990, 996, 985), &[], &[]));
        assert!(matches!(put(&mut book, &diff((1008, 1012, 1003), &[], &[])), DiffResult::Gap { .. }));
        assert_eq!(snapshot(&mut book, 996, BIDS, ASKS), SnapshotResult::TooOld);
    }
}
