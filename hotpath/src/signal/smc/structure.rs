//! Breaks of structure and changes of character: four alternating swings show a direction, a close beyond the second
//! one confirms it.

use super::{
    Event, ITEMS_MAX,
    history::History,
    swings::{Swing, SwingChange},
};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// A swing and the first close beyond it, looked for from the second bar after it on.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Watched {
    swing: Swing,
    broken_at: Option<u64>,
}

impl Watched {
    fn words(&self) -> [u64; 3] {
        let Swing { at, is_high, level } = self.swing;
        [at << 1 | u64::from(is_high), level.to_bits(), self.broken_at.unwrap_or(u64::MAX)]
    }

    fn look(&mut self, history: &History, index: u64) {
        let Swing { at, is_high, level } = self.swing;
        let close = history.at(index).close;
        let is_beyond = if is_high { close > level } else { close < level };
        if self.broken_at.is_none() && index >= at + 2 && is_beyond {
            self.broken_at = Some(index);
        }
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Item {
    watched: Watched,
    is_change: bool,
    is_told: bool,
    /// An item of a later swing has overtaken it.
    is_overtaken: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Structure {
    /// The last four swings.
    swings: VecDeque<Watched>,
    /// By bar of their swing.
    items: VecDeque<Item>,
    forgotten: u64,
}

impl Structure {
    pub(super) fn new() -> Self {
        Self { swings: VecDeque::with_capacity(5), items: VecDeque::with_capacity(ITEMS_MAX), forgotten: 0 }
    }

    pub(super) fn words(&self) -> impl Iterator<Item = u64> + '_ {
        let flags =
            |i: &Item| u64::from(i.is_change) | u64::from(i.is_told) << 1 | u64::from(i.is_overtaken) << 2;
        let swings = self.swings.iter().flat_map(Watched::words);
        swings.chain(
            self.items.iter().flat_map(move |item| item.watched.words().into_iter().chain([flags(item)])),
        )
    }

    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    pub(super) fn on_bar(&mut self, history: &History) {
        let now = history.now();
        let items = self.items.iter_mut().map(|item| &mut item.watched);
        self.swings.iter_mut().chain(items).for_each(|watched| watched.look(history, now));
    }

    pub(super) fn on_swing(&mut self, history: &History, change: &SwingChange) {
        if change.revoked.is_some() {
            self.swings.pop_back();
        }
        let mut watched = Watched { swing: change.swing, broken_at: None };
        (change.swing.at..=history.now()).for_each(|index| watched.look(history, index));
        if self.swings.len() == 4 {
            self.swings.pop_front();
        }
        self.swings.push_back(watched);
        self.judge();
    }

    /// The last four swings, if they show a direction. A further last swing shows the same.
    fn judge(&mut self) {
        let Some(watched) = self.swings.get(1).copied().filter(|_| self.swings.len() == 4) else { return };
        if self.items.back().is_some_and(|item| item.watched.swing.at == watched.swing.at) {
            return;
        }
        let [a, b, c, d] = std::array::from_fn(|i| self.swings[i].swing.level);
        let (is_break, is_change) = if watched.swing.is_high {
            (a < c && c < b && b < d, d > b && b > a && a > c)
        } else {
            (a > c && c > b && b > d, d < b && b < a && a < c)
        };
        if is_break || is_change {
            if self.items.len() == ITEMS_MAX {
                self.items.pop_front();
                self.forgotten += 1;
            }
            self.items.push_back(Item { watched, is_change, is_told: false, is_overtaken: false });
        }
    }

    /// Tells what is broken, and takes back what an item of a later swing has overtaken: one that was broken no later.
    pub(super) fn settle(&mut self, tell: &mut impl FnMut(Event)) {
        let mut first_break = u64::MAX;
        for item in self.items.iter_mut().rev() {
            let Swing { at, is_high: is_up, level } = item.watched.swing;
            let broken_at = item.watched.broken_at;
            if broken_at.unwrap_or(u64::MAX - 1) >= first_break {
                if item.is_told {
                    tell(Event::StructureRevoked { at });
                }
                item.is_overtaken = true;
                continue;
            }
            let Some(broken_at) = broken_at else { continue };
            first_break = broken_at;
            if !std::mem::replace(&mut item.is_told, true) {
                tell(Event::Structure { at, is_up, is_change: item.is_change, level, broken_at });
            }
        }
        // An item of a swing to come is broken no earlier than two bars after the second swing that is known.
        let settled = self.swings.get(1).map_or(0, |watched| watched.swing.at + 2);
        self.items.retain(|item| {
            !item.is_overtaken && item.watched.broken_at.is_none_or(|broken_at| broken_at >= settled)
        });
    }
}
