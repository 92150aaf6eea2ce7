//! Fair value gaps: three bars whose outer ones do not overlap.

use super::{Event, ITEMS_MAX, history::History};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Gap {
    at: u64,
    is_up: bool,
    /// The edge that price meets first on its way back.
    near: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Gaps {
    open: VecDeque<Gap>,
    forgotten: u64,
}

impl Gaps {
    pub(super) fn new() -> Self {
        Self { open: VecDeque::with_capacity(ITEMS_MAX), forgotten: 0 }
    }

    pub(super) fn words(&self) -> impl Iterator<Item = u64> + '_ {
        self.open.iter().flat_map(|gap| [gap.at << 1 | u64::from(gap.is_up), gap.near.to_bits()])
    }

    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    pub(super) fn on_bar(&mut self, history: &History, tell: &mut impl FnMut(Event)) {
        let now = history.now();
        let bar = history.at(now);
        self.open.retain(|gap| {
            let is_touched = if gap.is_up { bar.low <= gap.near } else { bar.high >= gap.near };
            if is_touched {
                tell(Event::GapMitigated { at: gap.at });
            }
            !is_touched
        });
        if now < 2 {
            return;
        }
        let (before, middle) = (history.at(now - 2), history.at(now - 1));
        let is_up = before.high < bar.low && middle.close > middle.open;
        let is_down = before.low > bar.high && middle.close < middle.open;
        if !(is_up || is_down) {
            return;
        }
        let [top, bottom] = if is_up { [bar.low, before.high] } else { [before.low, bar.high] };
        let at = now - 1;
        tell(Event::Gap { at, is_up, top, bottom });
        if self.open.len() == ITEMS_MAX {
            self.open.pop_front();
            self.forgotten += 1;
        }
        self.open.push_back(Gap { at, is_up, near: if is_up { top } else { bottom } });
    }
}
