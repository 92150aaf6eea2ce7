//! Several connections to the same streams: the first copy of every update is used, the others are counted, and how
//! far ahead the first one was.
//!
//! A connection delivers an instrument's diffs in order from where it began. One that began ahead of the others
//! would tear the chain, so its diffs count only once it has delivered one that was already there: from then on it
//! misses nothing. Everything else is complete in itself and counts when it is new.

use crate::market::{MarketHeader, MarketKind};
use tickpath_shared::{Nanos, status::INSTRUMENTS_MAX};

/// Lines a kind of streams may have.
pub const LINES_MAX: usize = 4;
/// Slots for the connections of a kind: its lines, and one more while a connection is replaced.
pub const SLOTS_OF_KIND: usize = LINES_MAX + 1;
/// Slots for connections.
pub const SLOTS: usize = 2 * SLOTS_OF_KIND;
/// First slot of the book streams.
pub const BOOKS: usize = 0;
/// First slot of the other market streams.
pub const MARKET: usize = SLOTS_OF_KIND;

/// A connection that takes over runs beside the old one at least so long: what is on the old one's way arrives.
const OVERLAP_NS: Nanos = 2_000_000_000;
/// A connection that is left alone may lag behind those that ended: what it repeats is judged so long.
const SETTLE_NS: Nanos = 5_000_000_000;

/// Kind of streams of a slot: 0 books, 1 others.
const fn kind_of(slot: usize) -> usize {
    slot / SLOTS_OF_KIND
}

/// Which slots are in use, which takes over from which, and what they delivered.
pub struct Lines {
    /// Slots in use, the first so many.
    active: [usize; SLOTS],
    active_len: usize,
    /// By slot, the one that it takes over from, and since when it runs.
    replaces: [Option<usize>; SLOTS],
    since_ns: [Nanos; SLOTS],
    /// By kind: several slots deliver the same, or did a moment ago.
    is_merging: [bool; 2],
    /// By kind, when a slot that is left alone is not judged any more; 0 while there are several.
    settled_ns: [Nanos; 2],
    merge: Box<Merge>,
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            active: [0; SLOTS],
            active_len: 0,
            replaces: [None; SLOTS],
            since_ns: [0; SLOTS],
            is_merging: [false; 2],
            settled_ns: [0; 2],
            merge: Box::new(Merge::new()),
        }
    }
}

impl Lines {
    /// Slots in use.
    #[inline]
    pub fn active(&self) -> &[usize] {
        &self.active[..self.active_len]
    }

    /// Several slots deliver what this one does.
    #[inline]
    pub fn is_merging(&self, slot: usize) -> bool {
        self.is_merging[kind_of(slot)]
    }

    fn of_kind(&self, kind: usize) -> impl Iterator<Item = usize> + '_ {
        self.active().iter().copied().filter(move |slot| kind_of(*slot) == kind)
    }

    /// A connection begins in a slot, taking over from another or not.
    pub fn open(&mut self, slot: usize, replaces: Option<usize>, now: Nanos) {
        let kind = kind_of(slot);
        let mut others = self.of_kind(kind);
        let (first, second) = (others.next(), others.next());
        drop(others);
        if let (Some(alone), None) = (first, second)
            && !self.is_merging[kind]
        {
            // What the first delivers from now on is what the second must follow.
            self.merge.forget(kind == kind_of(BOOKS));
            self.merge.trust(alone);
        }
        self.merge.reset(slot);
        self.is_merging[kind] = first.is_some();
        self.settled_ns[kind] = 0;
        self.replaces[slot] = replaces.filter(|old| self.active().contains(old));
        self.since_ns[slot] = now;
        self.active[self.active_len] = slot;
        self.active_len += 1;
    }

    /// The connection of a slot is over; returns how many of its kind are left.
    pub fn close(&mut self, slot: usize, now: Nanos) -> usize {
        let kind = kind_of(slot);
        if let Some(at) = self.active().iter().position(|s| *s == slot) {
            self.active_len -= 1;
            self.active[at] = self.active[self.active_len];
        }
        self.replaces[slot] = None;
        self.replaces.iter_mut().for_each(|old| *old = old.filter(|old| *old != slot));
        self.merge.reset(slot);
        let left = self.of_kind(kind).count();
        self.is_merging[kind] &= left > 0;
        let first = self.of_kind(kind).next();
        if let Some(first) = first {
            // What no slot follows any more, nobody else will bring: one goes on, and a gap is to be seen.
            let followed = self.of_kind(kind).fold(0, |all, slot| all | self.merge.in_step[slot]);
            self.merge.in_step[first] |= !followed;
            if left == 1 {
                self.settled_ns[kind] = now + SETTLE_NS;
            }
        }
        left
    }

    /// Judges an event that arrived on a slot of several.
    pub fn judge(&mut self, slot: usize, header: &MarketHeader, read_ns: Nanos) -> Verdict {
        let settled_ns = self.settled_ns[kind_of(slot)];
        if settled_ns != 0 && read_ns > settled_ns {
            self.is_merging[kind_of(slot)] = false;
            self.settled_ns[kind_of(slot)] = 0;
        }
        self.merge.judge(slot, header, read_ns)
    }

    /// A slot takes over from another.
    #[inline]
    pub fn is_replacing(&self, slot: usize) -> bool {
        self.replaces[slot].is_some()
    }

    /// The slot that can end now, because this one took over and misses nothing.
    pub fn retire(&mut self, slot: usize, now: Nanos) -> Option<usize> {
        let is_early = now.saturating_sub(self.since_ns[slot]) < OVERLAP_NS;
        if is_early || (kind_of(slot) == kind_of(BOOKS) && !self.merge.is_in_step(slot)) {
            return None;
        }
        self.replaces[slot].take().filter(|old| self.active().contains(old))
    }
}

/// What becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody delivered it before.
    First,
    /// A copy; with it the slot that was first and how far ahead, when it is a copy of the newest.
    Copy(Option<(usize, Nanos)>),
    /// Ahead of the others on a connection that may have missed what is between.
    Early,
}

/// The newest update of a kind.
#[derive(Clone, Copy, Debug, Default)]
struct Newest {
    id: u64,
    slot: usize,
    read_ns: Nanos,
}

impl Newest {
    fn take(&mut self, id: u64, slot: usize, read_ns: Nanos) -> Verdict {
        if id > self.id {
            *self = Self { id, slot, read_ns };
            return Verdict::First;
        }
        let is_newest = id == self.id && slot != self.slot;
        Verdict::Copy(is_newest.then(|| (self.slot, read_ns.saturating_sub(self.read_ns))))
    }
}

/// Kinds of updates that have a running number of their own.
const KINDS: usize = 4;

const fn kind_index(kind: MarketKind) -> Option<usize> {
    match kind {
        MarketKind::Depth => Some(0),
        MarketKind::Ticker => Some(1),
        MarketKind::Trade => Some(2),
        MarketKind::Mark => Some(3),
        MarketKind::Snapshot | MarketKind::LinkDown => None,
    }
}

/// What was delivered, by instrument and kind, and which connections are in step.
struct Merge {
    newest: [[Newest; KINDS]; INSTRUMENTS_MAX],
    /// By slot, a bit an instrument: its diffs follow what was delivered.
    in_step: [u32; SLOTS],
    /// A bit an instrument: diffs were delivered at all.
    live: u32,
}

const _: () = assert!(INSTRUMENTS_MAX <= u32::BITS as usize);

impl Merge {
    fn new() -> Self {
        Self { newest: [[Newest::default(); KINDS]; INSTRUMENTS_MAX], in_step: [0; SLOTS], live: 0 }
    }

    /// What was delivered before does not count any more: of books, or of the other streams.
    fn forget(&mut self, is_books: bool) {
        for newest in &mut self.newest {
            for kind in [MarketKind::Depth, MarketKind::Ticker, MarketKind::Trade, MarketKind::Mark] {
                if (kind == MarketKind::Mark) != is_books
                    && let Some(index) = kind_index(kind)
                {
                    newest[index] = Newest::default();
                }
            }
        }
        if is_books {
            self.live = 0;
        }
    }

    /// The slot that has delivered so far is in step with itself.
    fn trust(&mut self, slot: usize) {
        self.in_step[slot] = u32::MAX;
    }

    /// A connection begins or ends in a slot.
    fn reset(&mut self, slot: usize) {
        self.in_step[slot] = 0;
    }

    /// The slot's diffs follow those of every instrument that has any.
    fn is_in_step(&self, slot: usize) -> bool {
        self.live & !self.in_step[slot] == 0
    }

    /// Judges an event that arrived on a slot.
    fn judge(&mut self, slot: usize, header: &MarketHeader, read_ns: Nanos) -> Verdict {
        let kind = header.market_kind();
        let Some(index) = kind_index(kind) else { return Verdict::First };
        let instrument = usize::from(header.instrument);
        let newest = &mut self.newest[instrument][index];
        if kind != MarketKind::Depth {
            let id = if kind == MarketKind::Mark { header.venue_ms } else { header.last_update_id };
            return newest.take(id, slot, read_ns);
        }
        let bit = 1_u32 << instrument;
        if self.in_step[slot] & bit == 0 {
            let follows = header.last_update_id <= newest.id || header.previous_update_id == newest.id;
            if newest.id == 0 || !follows {
                return Verdict::Early;
            }
            self.in_step[slot] |= bit;
        }
        self.live |= bit;
        newest.take(header.last_update_id, slot, read_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diff(last: u64, previous: u64) -> MarketHeader {
        MarketHeader {
            kind: MarketKind::Depth as u16,
            last_update_id: last,
            previous_update_id: previous,
            ..MarketHeader::default()
        }
    }

    #[test]
    fn the_first_copy_counts_and_its_lead_is_known() {
        let mut merge = Merge::new();
        merge.trust(0);
        merge.trust(1);
        assert_eq!(merge.judge(0, &diff(10, 9), 100), Verdict::First);
        assert_eq!(merge.judge(1, &diff(10, 9), 130), Verdict::Copy(Some((0, 30))));
        assert_eq!(merge.judge(1, &diff(12, 10), 200), Verdict::First);
        assert_eq!(merge.judge(0, &diff(12, 10), 207), Verdict::Copy(Some((1, 7))));
        assert_eq!(merge.judge(0, &diff(10, 9), 300), Verdict::Copy(None));
    }

    #[test]
    fn a_connection_that_begins_ahead_waits_for_the_others() {
        let mut merge = Merge::new();
        merge.trust(0);
        assert_eq!(merge.judge(1, &diff(50, 49), 1), Verdict::Early, "nothing to follow yet");
        assert_eq!(merge.judge(0, &diff(48, 47), 2), Verdict::First);
        assert_eq!(merge.judge(1, &diff(51, 50), 3), Verdict::Early);
        assert!(!merge.is_in_step(1));
        assert_eq!(merge.judge(0, &diff(49, 48), 4), Verdict::First);
        assert_eq!(merge.judge(0, &diff(50, 49), 5), Verdict::First);
        assert_eq!(merge.judge(0, &diff(51, 50), 6), Verdict::First);
        assert_eq!(merge.judge(1, &diff(52, 51), 7), Verdict::First, "it follows now");
        assert!(merge.is_in_step(1));
        assert_eq!(merge.judge(0, &diff(52, 51), 8), Verdict::Copy(Some((1, 1))));
    }

    #[test]
    fn what_is_complete_in_itself_counts_from_the_first_connection_that_has_it() {
        let mut merge = Merge::new();
        let ticker = |id| MarketHeader { kind: MarketKind::Ticker as u16, ..diff(id, 0) };
        assert_eq!(merge.judge(1, &ticker(7), 1), Verdict::First);
        assert_eq!(merge.judge(0, &ticker(7), 2), Verdict::Copy(Some((1, 1))));
        assert_eq!(merge.judge(0, &ticker(6), 3), Verdict::Copy(None));
        assert!(merge.is_in_step(1), "without diffs there is nothing to be in step with");
    }
}
