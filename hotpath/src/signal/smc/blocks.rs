//! Order blocks of one direction. Upwards: a close above the last swing high, and the lowest candle since that swing.

use super::{Block, Event, ITEMS_MAX, history::History, swings::SwingChange};
use crate::signal::Bar;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// A block and what became of it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Tracked {
    block: Block,
    mitigated_at: Option<u64>,
    is_gone: bool,
    is_told: bool,
}

impl Tracked {
    fn words(&self) -> [u64; 4] {
        let flags = u64::from(self.is_gone) | u64::from(self.is_told) << 1;
        let Block { at, crossed_at, .. } = self.block;
        [at, crossed_at, self.mitigated_at.unwrap_or(u64::MAX), flags]
    }

    /// A bar after the crossing one. Returns what there is to tell.
    fn on_bar(&mut self, bar: &Bar, index: u64) -> Option<Event> {
        let Block { at, is_up, top, bottom, .. } = self.block;
        if self.is_gone {
            return None;
        }
        let (is_through, is_back) =
            if is_up { (bar.low < bottom, bar.high > top) } else { (bar.high > top, bar.low < bottom) };
        if self.mitigated_at.is_some() {
            self.is_gone = is_back;
            return is_back.then_some(Event::BlockGone { at, is_up });
        }
        if !is_through {
            return None;
        }
        let at_bar = if is_up { index - 1 } else { index };
        self.mitigated_at = Some(at_bar);
        Some(Event::BlockMitigated { at, is_up, bar: at_bar })
    }
}

/// A swing that a close may cross.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Anchor {
    at: u64,
    level: f64,
    /// The candle furthest from it since, of equal ones the last, and its low and high.
    candle: Option<(u64, f64, f64)>,
    tracked: Option<Tracked>,
}

impl Anchor {
    fn words(&self) -> impl Iterator<Item = u64> + use<> {
        let candle = self.candle.map_or(u64::MAX, |(at, ..)| at);
        let tracked = self.tracked.as_ref().map_or([u64::MAX; 4], Tracked::words);
        [self.at, self.level.to_bits(), candle].into_iter().chain(tracked)
    }

    fn on_bar(&mut self, history: &History, index: u64, is_up: bool) -> Option<Event> {
        let bar = history.at(index);
        if let Some(tracked) = &mut self.tracked {
            return tracked.on_bar(bar, index);
        }
        let is_crossed = if is_up { bar.close > self.level } else { bar.close < self.level };
        if is_crossed {
            // The bar after the swing has no candle between: the swing's own.
            let own = history.at(index - 1);
            let (at, bottom, top) = self.candle.unwrap_or((index - 1, own.low, own.high));
            let [third, second] = [index - 2, index - 1].map(|i| history.at(i).volume);
            let (late, early) = (bar.volume + second, third);
            let most = late.max(early);
            let balance = if most == 0.0 { 100.0 } else { late.min(early) / most * 100.0 };
            let volume = late + early;
            let block = Block { at, is_up, top, bottom, volume, balance, crossed_at: index };
            self.tracked = Some(Tracked { block, mitigated_at: None, is_gone: false, is_told: false });
            return None;
        }
        let is_further =
            |(_, low, high): &(u64, f64, f64)| if is_up { bar.low <= *low } else { bar.high >= *high };
        if self.candle.as_ref().is_none_or(is_further) {
            self.candle = Some((index, bar.low, bar.high));
        }
        None
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Blocks {
    is_up: bool,
    /// The last swing and the one before it, which counts again should the last one prove to be none.
    anchors: [Option<Anchor>; 2],
    /// Blocks of earlier swings.
    standing: VecDeque<Tracked>,
    forgotten: u64,
}

impl Blocks {
    pub(super) fn new(is_up: bool) -> Self {
        Self { is_up, anchors: [None; 2], standing: VecDeque::with_capacity(ITEMS_MAX), forgotten: 0 }
    }

    pub(super) fn words(&self) -> impl Iterator<Item = u64> + '_ {
        let anchors = self.anchors.iter().flatten().flat_map(Anchor::words);
        anchors.chain(self.standing.iter().flat_map(Tracked::words))
    }

    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    pub(super) fn on_bar(&mut self, history: &History, tell: &mut impl FnMut(Event)) {
        let now = history.now();
        let bar = history.at(now);
        self.standing.retain_mut(|tracked| {
            tracked.on_bar(bar, now).into_iter().for_each(&mut *tell);
            !tracked.is_gone
        });
        for anchor in self.anchors.iter_mut().flatten() {
            let event = anchor.on_bar(history, now, self.is_up);
            if anchor.tracked.is_some_and(|tracked| tracked.is_told) {
                event.into_iter().for_each(&mut *tell);
            }
        }
    }

    pub(super) fn on_swing(&mut self, history: &History, change: &SwingChange) {
        let swing = change.swing;
        let mut anchor = Anchor { at: swing.at, level: swing.level, candle: None, tracked: None };
        for index in swing.at + 1..=history.now() {
            anchor.on_bar(history, index, self.is_up);
        }
        if change.revoked.is_some() {
            // Told with the others in a moment: its block has no swing any more.
            self.retire(1, true);
        } else {
            self.retire(0, false);
            self.anchors[0] = self.anchors[1].take();
        }
        self.anchors[1] = Some(anchor);
    }

    /// A swing is no longer looked at; its block stays if it was told and the swing was one.
    fn retire(&mut self, which: usize, is_revoked: bool) {
        let Some(tracked) = self.anchors[which].take().and_then(|anchor| anchor.tracked) else { return };
        if !tracked.is_told || tracked.is_gone {
            return;
        }
        if self.standing.len() == ITEMS_MAX {
            self.standing.pop_front();
            self.forgotten += 1;
        }
        self.standing.push_back(Tracked { is_gone: is_revoked, ..tracked });
    }

    /// Tells blocks whose swing was the last one when they crossed it, and takes back those of which that has proved
    /// wrong.
    pub(super) fn settle(&mut self, tell: &mut impl FnMut(Event)) {
        let is_up = self.is_up;
        self.standing.retain(|tracked| {
            if tracked.is_gone {
                tell(Event::BlockRevoked { at: tracked.block.at, is_up });
            }
            !tracked.is_gone
        });
        let next = self.anchors[1].map_or(u64::MAX, |anchor| anchor.at);
        for (anchor, bound) in self.anchors.iter_mut().zip([next, u64::MAX]) {
            let Some(tracked) = anchor.as_mut().and_then(|anchor| anchor.tracked.as_mut()) else { continue };
            if tracked.is_gone {
                continue;
            }
            let (block, is_valid) = (tracked.block, tracked.block.crossed_at <= bound);
            match (std::mem::replace(&mut tracked.is_told, is_valid), is_valid) {
                (true, false) => tell(Event::BlockRevoked { at: block.at, is_up }),
                (false, true) => {
                    tell(Event::Block(block));
                    if let Some(bar) = tracked.mitigated_at {
                        tell(Event::BlockMitigated { at: block.at, is_up, bar });
                    }
                }
                _ => {}
            }
        }
    }
}
