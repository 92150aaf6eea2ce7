//! Smart-money concepts: what stands at the end of a series is what the package finds in the whole of it.

use super::{Table, references};
use std::{collections::BTreeMap, path::Path};
use tickpath_hotpath::signal::{
    Bar,
    smc::{Block, Event, PoolRange, Smc, SmcRules, Swing},
};

/// What stands after all events.
#[derive(Default)]
struct Standing {
    swings: BTreeMap<u64, Swing>,
    /// Direction, top, bottom, bar of mitigation.
    gaps: BTreeMap<u64, (bool, f64, f64, u64)>,
    /// Direction, change of character, level, bar of the break.
    structure: BTreeMap<u64, (bool, bool, f64, u64)>,
    /// By direction too, as a candle may be a block both ways.
    blocks: BTreeMap<(u64, bool), (Block, u64)>,
    /// Of highs, level, end, bar of the sweep.
    pools: BTreeMap<u64, (bool, f64, u64, u64)>,
    revocations: usize,
}

impl Standing {
    fn take(&mut self, now: u64, event: Event) {
        match event {
            Event::Swing(swing) => drop(self.swings.insert(swing.at, swing)),
            Event::SwingRevoked(swing) => self.revoke(|s| s.swings.remove(&swing.at).is_some()),
            Event::Gap { at, is_up, top, bottom } => drop(self.gaps.insert(at, (is_up, top, bottom, 0))),
            Event::GapMitigated { at } => self.gaps.get_mut(&at).unwrap().3 = now,
            Event::Structure { at, is_up, is_change, level, broken_at } => {
                let old = self.structure.insert(at, (is_up, is_change, level, broken_at));
                assert!(old.is_none() && broken_at <= now);
            }
            Event::StructureRevoked { at } => self.revoke(|s| s.structure.remove(&at).is_some()),
            Event::Block(block) => {
                assert!(self.blocks.insert((block.at, block.is_up), (block, 0)).is_none());
            }
            Event::BlockMitigated { at, is_up, bar } => self.blocks.get_mut(&(at, is_up)).unwrap().1 = bar,
            Event::BlockGone { at, is_up } => assert!(self.blocks.remove(&(at, is_up)).is_some()),
            Event::BlockRevoked { at, is_up } => self.revoke(|s| s.blocks.remove(&(at, is_up)).is_some()),
            Event::Pool { at, is_high, level, end, .. } => {
                let swept = self.pools.get(&at).map_or(0, |pool| pool.3);
                self.pools.insert(at, (is_high, level, end, swept));
            }
            Event::PoolRevoked { at } => self.revoke(|s| s.pools.remove(&at).is_some()),
            Event::PoolSwept { at, bar } => self.pools.get_mut(&at).unwrap().3 = bar,
        }
    }

    fn revoke(&mut self, remove: impl FnOnce(&mut Self) -> bool) {
        assert!(remove(self), "what was never told was taken back");
        self.revocations += 1;
    }
}

/// The package keeps levels in 32 bits.
fn rounded(value: f64) -> f64 {
    f64::from(value as f32)
}

fn int(value: f64) -> u64 {
    if value.is_nan() { 0 } else { value as u64 }
}

struct Case<'a> {
    dir: &'a Path,
    name: String,
    standing: Standing,
}

impl Case<'_> {
    fn table(&self, part: &str) -> Table {
        Table::read(self.dir, &format!("{}-{part}.csv", self.name))
    }

    fn swings(&self) -> usize {
        let expected: Vec<_> =
            self.table("swings").rows.iter().map(|r| (r[0] as u64, r[1] > 0.0, r[2])).collect();
        let found: Vec<_> = self.standing.swings.values().map(|s| (s.at, s.is_high, s.level)).collect();
        assert_eq!(found, expected, "{} swings", self.name);
        found.len()
    }

    fn gaps(&self) -> usize {
        let expected: Vec<_> = self.table("gaps").rows;
        let expected: Vec<_> =
            expected.iter().map(|r| (r[0] as u64, (r[1] > 0.0, r[2], r[3], int(r[4])))).collect();
        let found: Vec<_> = self.standing.gaps.iter().map(|(at, gap)| (*at, *gap)).collect();
        assert_eq!(found, expected, "{} gaps", self.name);
        found.len()
    }

    fn structure(&self) -> usize {
        let item = |r: &Vec<f64>| {
            let (is_change, sign) = if r[1].is_nan() { (true, r[2]) } else { (false, r[1]) };
            (r[0] as u64, (sign > 0.0, is_change, r[3], int(r[4])))
        };
        let expected: Vec<_> = self.table("structure").rows.iter().map(item).collect();
        let found: Vec<_> = self.standing.structure.iter().map(|(at, item)| (*at, *item)).collect();
        assert_eq!(found, expected, "{} structure", self.name);
        found.len()
    }

    /// Compared are blocks that are free of artefacts; returns how many, and how many were left out.
    fn blocks(&self, told: &BTreeMap<u64, [bool; 2]>) -> (usize, usize) {
        let mut left_out = 0;
        let mut is_free = |at: u64, is_up: bool| {
            let is_shared = told.get(&at).is_some_and(|directions| *directions == [true; 2]);
            // Upwards on a swing high itself: the bar after it crossed it, and the package turns the block over.
            let is_turned = is_up && self.standing.swings.get(&at).is_some_and(|s| s.is_high);
            left_out += usize::from(is_shared || is_turned);
            !(is_shared || is_turned)
        };
        let mut expected = BTreeMap::new();
        for r in self.table("blocks").rows {
            if is_free(r[0] as u64, r[1] > 0.0) {
                let key = (r[0] as u64, r[1] > 0.0);
                expected.insert(key, (r[2], r[3], r[4], int(r[5])));
                // Quotient of volumes that were rounded to 32 bits before.
                let balance = self.standing.blocks.get(&key).map_or(f64::NAN, |b| b.0.balance);
                assert!((balance - r[6]).abs() < 1e-5 * r[6].max(1.0), "{key:?}: {balance} and {}", r[6]);
            }
        }
        let mut found = BTreeMap::new();
        for ((at, is_up), (block, mitigated)) in &self.standing.blocks {
            if is_free(*at, *is_up) {
                found.insert((*at, *is_up), (block.top, block.bottom, rounded(block.volume), *mitigated));
            }
        }
        assert_eq!(found, expected, "{} blocks", self.name);
        (found.len(), left_out)
    }

    fn pools(&self) -> usize {
        let expected: BTreeMap<_, _> = self
            .table("pools")
            .rows
            .iter()
            .map(|r| (r[0] as u64, (r[1] > 0.0, r[2], r[3] as u64, int(r[4]))))
            .collect();
        let found: BTreeMap<_, _> = self
            .standing
            .pools
            .iter()
            .map(|(at, (is_high, level, end, swept))| (*at, (*is_high, rounded(*level), *end, *swept)))
            .collect();
        assert_eq!(found, expected, "{} pools", self.name);
        found.len()
    }
}

/// The package's width of pools: a share of the whole range, which only hindsight knows.
fn pool_range(bars: &[Bar]) -> f64 {
    let high = bars.iter().fold(f64::MIN, |high, bar| high.max(bar.high));
    let low = bars.iter().fold(f64::MAX, |low, bar| low.min(bar.low));
    (high - low) * 0.005
}

#[test]
fn what_stands_at_the_end_is_what_the_package_finds() {
    let Some(dir) = references() else { return };
    for series in ["btc", "eth", "eur"] {
        let bars = Table::read(dir, &format!("smc-{series}-bars.csv")).bars();
        for swing_length in [5, 20] {
            let rules = SmcRules { swing_length, pool_range: PoolRange::Fixed(pool_range(&bars)) };
            let mut smc = Smc::new(rules);
            let mut standing = Standing::default();
            let mut told: BTreeMap<u64, [bool; 2]> = BTreeMap::new();
            for (now, bar) in bars.iter().enumerate() {
                smc.push(bar, |event| {
                    if let Event::Block(block) = event {
                        told.entry(block.at).or_default()[usize::from(block.is_up)] = true;
                    }
                    standing.take(now as u64, event);
                });
            }
            assert_eq!(smc.forgotten(), 0);
            let case = Case { dir, name: format!("smc-{series}-{swing_length}"), standing };
            let (swings, gaps, structure) = (case.swings(), case.gaps(), case.structure());
            let (blocks, left_out) = case.blocks(&told);
            let (pools, revocations) = (case.pools(), case.standing.revocations);
            println!(
                "{series}, swings of {swing_length}: {swings} swings, {gaps} gaps, {structure} breaks of structure, \
                 {blocks} blocks ({left_out} left out), {pools} pools; {revocations} revocations on the way"
            );
            assert!(
                swings > 100 && gaps > 100 && structure > 20 && blocks > 5 && pools > 10 && left_out < 20
            );
        }
    }
}
