//! Smart-money concepts over bars: swings, breaks of structure, order blocks, fair value gaps, liquidity.
//!
//! The definitions are those of the package `smartmoneyconcepts` 0.0.27, which sees the whole series at once. Here every
//! item is told with the bar that makes it known, and taken back with the bar that proves it wrong, so that what stands
//! at the end of a series is what the package finds in it. Left out are its artefacts: swings forced onto the first and
//! the last bar, levels rounded to 32 bits, an order block turned upside down when the bar after the swing crosses it,
//! and blocks of both directions that share one candle's place.

mod blocks;
mod gaps;
mod history;
mod liquidity;
mod structure;
mod swings;

use super::{Atr, Bar};
use blocks::Blocks;
use gaps::Gaps;
use history::History;
use liquidity::Liquidity;
use serde::{Deserialize, Serialize};
use structure::Structure;
pub use swings::Swing;
use swings::Swings;

/// Items of a kind that are kept. The oldest one is forgotten when there are more, and counted.
const ITEMS_MAX: usize = 512;

/// How far apart two swings of one liquidity pool may be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolRange {
    /// In price units.
    Fixed(f64),
    /// So many average true ranges of so many bars, as they are when the first swing is known.
    Atr {
        /// Bars.
        bars: usize,
        /// Factor.
        factor: f64,
    },
}

/// Parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SmcRules {
    /// Bars on either side of a swing, at least 2.
    pub swing_length: usize,
    /// Width of liquidity pools.
    pub pool_range: PoolRange,
}

/// What became known, or is no longer true, with a bar. Bars are counted from 0; `at` names an item for good.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// A swing.
    Swing(Swing),
    /// It was not one: a further one of its kind followed.
    SwingRevoked(Swing),
    /// A fair value gap around bar `at`.
    Gap {
        /// Its middle bar.
        at: u64,
        /// Upwards.
        is_up: bool,
        /// Upper edge.
        top: f64,
        /// Lower edge.
        bottom: f64,
    },
    /// Price came back to the near edge.
    GapMitigated {
        /// Its middle bar.
        at: u64,
    },
    /// The level of swing `at` was broken after the swings around it had shown where the market goes.
    Structure {
        /// Bar of the swing.
        at: u64,
        /// Upwards.
        is_up: bool,
        /// Change of character; otherwise break of structure.
        is_change: bool,
        /// The level.
        level: f64,
        /// Bar that closed beyond it.
        broken_at: u64,
    },
    /// It is superseded by one of a later swing that was broken no later.
    StructureRevoked {
        /// Bar of the swing.
        at: u64,
    },
    /// An order block: the last candle against the move that crossed a swing.
    Block(Block),
    /// Price went through it: from now on a breaker.
    BlockMitigated {
        /// Its candle.
        at: u64,
        /// Upwards.
        is_up: bool,
        /// Bar given as the time, as the package does: the one before for blocks upwards.
        bar: u64,
    },
    /// Price came back through a breaker: it is no more.
    BlockGone {
        /// Its candle.
        at: u64,
        /// Upwards.
        is_up: bool,
    },
    /// The swing that it crossed was none, or not the last one.
    BlockRevoked {
        /// Its candle.
        at: u64,
        /// Upwards.
        is_up: bool,
    },
    /// Several swings at nearly the same level, or another one at a known pool.
    Pool {
        /// First swing.
        at: u64,
        /// Of highs.
        is_high: bool,
        /// Mean level.
        level: f64,
        /// Last swing.
        end: u64,
        /// Swings.
        members: u32,
    },
    /// Its second swing was none.
    PoolRevoked {
        /// First swing.
        at: u64,
    },
    /// Price went through it.
    PoolSwept {
        /// First swing.
        at: u64,
        /// Bar that did.
        bar: u64,
    },
}

/// An order block.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// Its candle.
    pub at: u64,
    /// Upwards.
    pub is_up: bool,
    /// High of the candle.
    pub top: f64,
    /// Low of the candle.
    pub bottom: f64,
    /// Volume of the crossing bar and the two before it.
    pub volume: f64,
    /// 100 x the lesser over the larger of the volumes of the last two and the first of those bars.
    pub balance: f64,
    /// Bar that crossed the swing.
    pub crossed_at: u64,
}

/// All of it over one series of bars.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Smc {
    rules: SmcRules,
    history: History,
    atr: Atr,
    swings: Swings,
    gaps: Gaps,
    structure: Structure,
    blocks: [Blocks; 2],
    pools: [Liquidity; 2],
}

impl Smc {
    /// Before the first bar.
    pub fn new(rules: SmcRules) -> Self {
        let n = rules.swing_length.max(2);
        let bars = match rules.pool_range {
            PoolRange::Fixed(_) => 1,
            PoolRange::Atr { bars, .. } => bars,
        };
        Self {
            rules,
            history: History::new(2 * n + 4),
            atr: Atr::new(bars),
            swings: Swings::new(n as u64),
            gaps: Gaps::new(),
            structure: Structure::new(),
            blocks: [false, true].map(Blocks::new),
            pools: [false, true].map(Liquidity::new),
        }
    }

    /// Bars taken so far.
    pub fn bars(&self) -> u64 {
        self.history.len()
    }

    /// Items that were forgotten because there were too many.
    pub fn forgotten(&self) -> u64 {
        let blocks: u64 = self.blocks.iter().map(Blocks::forgotten).sum();
        let pools: u64 = self.pools.iter().map(Liquidity::forgotten).sum();
        self.gaps.forgotten() + self.structure.forgotten() + blocks + pools
    }

    /// Takes a finished bar. Cost: two passes over the bars around a swing, one over the items that stand.
    pub fn push(&mut self, bar: &Bar, mut tell: impl FnMut(Event)) {
        self.history.push(*bar);
        let atr = self.atr.push(bar);
        let history = &self.history;
        self.gaps.on_bar(history, &mut tell);
        self.structure.on_bar(history);
        for side in 0..2 {
            self.blocks[side].on_bar(history, &mut tell);
            self.pools[side].on_bar(history, &mut tell);
        }
        if let Some(change) = self.swings.on_bar(history) {
            if let Some(revoked) = change.revoked {
                tell(Event::SwingRevoked(revoked));
            }
            tell(Event::Swing(change.swing));
            self.structure.on_swing(history, &change);
            let range = match self.rules.pool_range {
                PoolRange::Fixed(range) => range,
                // Without an average yet no other swing is near.
                PoolRange::Atr { factor, .. } => atr.map_or(0.0, |atr| factor * atr),
            };
            let side = usize::from(change.swing.is_high);
            self.blocks[side].on_swing(history, &change);
            self.pools[side].on_swing(history, &change, range, &mut tell);
        }
        self.structure.settle(&mut tell);
        self.blocks.iter_mut().for_each(|blocks| blocks.settle(&mut tell));
    }

    /// The state as words, for digests.
    pub fn words(&self) -> impl Iterator<Item = u64> + '_ {
        let last = self.history.last().map_or(0, |bar| bar.close.to_bits());
        [self.history.len(), last]
            .into_iter()
            .chain(self.atr.words())
            .chain(self.swings.words())
            .chain(self.gaps.words())
            .chain(self.structure.words())
            .chain(self.blocks.iter().flat_map(Blocks::words))
            .chain(self.pools.iter().flat_map(Liquidity::words))
    }
}

#[cfg(test)]
mod tests;
