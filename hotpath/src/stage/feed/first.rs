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

    /// Instruments of so many whose stream has brought nothing in its time, a bit each.
    pub(super) fn overdue(&mut self, now: Nanos, instruments: usize) -> u32 {
        if self.due_ns == 0 || now < self.due_ns {
            return 0;
        }
        self.due_ns = 0;
        let all = u32::MAX >> (32 - instruments.clamp(1, 32));
        all & !self.heard
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
        assert_eq!((first.clone().overdue(99, 2), first.clone().overdue(100, 2)), (0, 0b10));
        first.heard(&event(MarketKind::Depth, 1));
        assert_eq!((first.overdue(100, 2), FirstMessages::new(0, 0).overdue(u64::MAX, 32)), (0, 0));
        assert_eq!(FirstMessages::new(1, 0).overdue(2, 32), u32::MAX);
    }
}
