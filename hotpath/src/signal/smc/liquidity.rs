//! Liquidity pools: swings of one kind at nearly the same level, until price goes through them.

use super::{
    Event, ITEMS_MAX,
    history::History,
    swings::{Swing, SwingChange},
};
use crate::signal::Bar;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// A swing and those that joined it; alone it is no pool yet.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Pool {
    at: u64,
    level: f64,
    range: f64,
    sum: f64,
    members: u32,
    end: u64,
    swept_at: Option<u64>,
}

/// Where the newest swing of the kind went, in case it proves to be none.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Newest {
    /// First swing of its pool, itself perhaps.
    pool: u64,
    /// Sum, members and end of the pool without it.
    before: (f64, u32, u64),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Liquidity {
    is_high: bool,
    /// By their first swing.
    pools: VecDeque<Pool>,
    newest: Option<Newest>,
    forgotten: u64,
}

impl Pool {
    fn is_reached(&self, bar: &Bar, is_high: bool) -> bool {
        if is_high { bar.high >= self.level + self.range } else { bar.low <= self.level - self.range }
    }

    fn told(&self, is_high: bool) -> Event {
        let level = self.sum / f64::from(self.members);
        Event::Pool { at: self.at, is_high, level, end: self.end, members: self.members }
    }
}

impl Liquidity {
    pub(super) fn new(is_high: bool) -> Self {
        Self { is_high, pools: VecDeque::with_capacity(ITEMS_MAX), newest: None, forgotten: 0 }
    }

    pub(super) fn words(&self) -> impl Iterator<Item = u64> + '_ {
        let newest = self.newest.map_or([u64::MAX; 4], |newest| {
            let (sum, members, end) = newest.before;
            [newest.pool, sum.to_bits(), members.into(), end]
        });
        newest.into_iter().chain(self.pools.iter().flat_map(|pool| {
            let prices = [pool.level, pool.range, pool.sum].map(f64::to_bits);
            let rest = [pool.at, pool.members.into(), pool.end, pool.swept_at.unwrap_or(u64::MAX)];
            prices.into_iter().chain(rest)
        }))
    }

    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    pub(super) fn on_bar(&mut self, history: &History, tell: &mut impl FnMut(Event)) {
        let (now, is_high) = (history.now(), self.is_high);
        let bar = history.at(now);
        for pool in self.pools.iter_mut().filter(|pool| pool.swept_at.is_none()) {
            if pool.is_reached(bar, is_high) {
                pool.swept_at = Some(now);
                if pool.members > 1 {
                    tell(Event::PoolSwept { at: pool.at, bar: now });
                }
            }
        }
    }

    pub(super) fn on_swing(
        &mut self,
        history: &History,
        change: &SwingChange,
        range: f64,
        tell: &mut impl FnMut(Event),
    ) {
        if change.revoked.is_some() {
            self.undo(tell);
        }
        let (swing, is_high) = (change.swing, self.is_high);
        // Swings come in order: one that was swept before this takes no further one.
        let newest = self.newest.map(|newest| newest.pool);
        self.pools.retain(|pool| {
            pool.swept_at.is_none_or(|swept_at| swing.at < swept_at) || newest == Some(pool.at)
        });
        let is_near = |pool: &&mut Pool| {
            pool.swept_at.is_none_or(|swept_at| swing.at < swept_at)
                && swing.level >= pool.level - pool.range
                && swing.level <= pool.level + pool.range
        };
        if let Some(pool) = self.pools.iter_mut().find(is_near) {
            self.newest = Some(Newest { pool: pool.at, before: (pool.sum, pool.members, pool.end) });
            pool.sum += swing.level;
            pool.members += 1;
            pool.end = swing.at;
            tell(pool.told(is_high));
            // What was alone when it was swept was not told of it.
            if let Some(bar) = pool.swept_at.filter(|_| pool.members == 2) {
                tell(Event::PoolSwept { at: pool.at, bar });
            }
            return;
        }
        let Swing { at, level, .. } = swing;
        let mut pool = Pool { at, level, range, sum: level, members: 1, end: at, swept_at: None };
        pool.swept_at = (at + 1..=history.now()).find(|&i| pool.is_reached(history.at(i), is_high));
        self.newest = Some(Newest { pool: at, before: (0.0, 0, at) });
        if self.pools.len() == ITEMS_MAX {
            self.pools.pop_front();
            self.forgotten += 1;
        }
        self.pools.push_back(pool);
    }

    /// The newest swing was none.
    fn undo(&mut self, tell: &mut impl FnMut(Event)) {
        let Some(newest) = self.newest.take() else { return };
        let Some(at) = self.pools.iter().position(|pool| pool.at == newest.pool) else { return };
        let pool = &mut self.pools[at];
        (pool.sum, pool.members, pool.end) = newest.before;
        match pool.members {
            0 => drop(self.pools.remove(at)),
            1 => tell(Event::PoolRevoked { at: pool.at }),
            _ => tell(pool.told(self.is_high)),
        }
    }
}
