//! Streams of a connection that have brought something. A stream that was asked for in vain stays silent while the
//! others of its connection are well: nothing else would tell.

use crate::market::{MarketHeader, MarketKind};
use tickpath_shared::Nanos;

/// What a connection still owes: a diff of every instrument on book streams, a mark price of every instrument on the
/// others. Best prices and trades may be far between; those two come all the time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FirstMessages {
    /// A bit an instrument.
    heard: u32,
    /// Session time at which what is missing is overdue; 0 when nothing is missing, or may take for ever.
    due_ns: Nanos,
}

impl FirstMessages {
    /// A connection that begins at `now`; 0 waits for ever.
    pub(super) fn new(patience_ns: Nanos, now: Nanos) -> Self {
        Self { heard: 0, due_ns: if patience_ns == 0 { 0 } else { now + patience_ns } }
    }

    /// Something may be missing yet.
    pub(super) fn is_owing(&self) -> bool {
        self.due_ns != 0
    }

    /// An event arrived.
    #[inline(never)]
    pub(super) fn heard(&mut self, header: &MarketHeader) {
        let counts = header.kind == MarketKind::Depth as u16 || header.kind == MarketKind::Mark as u16;
        self.heard |= u32::from(counts) << (header.instrument % 32);
    }

    /// A stream of one of so many instruments has brought nothing in its time.
    pub(super) fn is_overdue(&mut self, now: Nanos, instruments: usize) -> bool {
        if self.due_ns == 0 || now < self.due_ns {
            return false;
        }
        self.due_ns = 0;
        (self.heard.trailing_ones() as usize) < instruments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: MarketKind, instrument: u16) -> MarketHeader {
        MarketHeader { kind: kind as u16, instrument, ..MarketHeader::default() }
    }

    #[test]
    fn what_one_stream_owes_no_other_can_bring() {
        let mut first = FirstMessages::new(100, 0);
        first.heard(&event(MarketKind::Depth, 0));
        first.heard(&event(MarketKind::Ticker, 1));
        assert!(!first.clone().is_overdue(99, 2) && first.clone().is_overdue(100, 2));
        first.heard(&event(MarketKind::Depth, 1));
        assert!(!first.is_overdue(100, 2));
        assert!(!FirstMessages::new(0, 0).is_overdue(u64::MAX, 1));
    }
}
