//! The last bars, by their number.

use crate::signal::Bar;
use serde::{Deserialize, Serialize};

/// A ring of bars.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct History {
    bars: Vec<Bar>,
    len: u64,
}

impl History {
    pub(super) fn new(capacity: usize) -> Self {
        Self { bars: vec![Bar::default(); capacity], len: 0 }
    }

    /// Bars taken so far, forgotten ones included.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn push(&mut self, bar: Bar) {
        let at = (self.len % self.bars.len() as u64) as usize;
        self.bars[at] = bar;
        self.len += 1;
    }

    /// The bar of that number, which must be one of the last.
    pub(super) fn at(&self, index: u64) -> &Bar {
        debug_assert!(index < self.len && self.len - index <= self.bars.len() as u64, "bar {index}");
        &self.bars[(index % self.bars.len() as u64) as usize]
    }

    /// Number of the newest bar; there must be one.
    pub(super) fn now(&self) -> u64 {
        self.len - 1
    }

    pub(super) fn last(&self) -> Option<&Bar> {
        (self.len > 0).then(|| self.at(self.now()))
    }
}
