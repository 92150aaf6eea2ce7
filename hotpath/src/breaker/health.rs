//! What is counted over time besides money: refusals, lost outcomes, slippage, own latency, what models tell.

use serde::{Deserialize, Serialize};
use tickpath_shared::Nanos;

/// Seconds of a window.
const SECONDS: usize = 60;
/// Fills over which slippage is averaged, and the fewest of them that say anything.
const FILLS: usize = 32;
const FILLS_MIN: usize = 8;
/// Orders of which the slowest in a hundred counts, and the fewest of them.
const ORDERS: usize = 256;
const ORDERS_MIN: usize = 32;

/// Events of the last minute, by second.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Minute {
    counts: Vec<u32>,
    at: usize,
}

impl Minute {
    fn new() -> Self {
        Self { counts: vec![0; SECONDS], at: 0 }
    }

    fn count(&mut self) {
        self.counts[self.at] += 1;
    }

    fn step(&mut self) {
        self.at = (self.at + 1) % SECONDS;
        self.counts[self.at] = 0;
    }

    fn sum(&self) -> u32 {
        self.counts.iter().sum()
    }
}

/// The last values of a series.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Last {
    values: Vec<i64>,
    next: usize,
    /// Values since it was cleared.
    seen: u64,
    /// Seconds since the last one.
    quiet_s: usize,
    /// There were enough of them at some time.
    was_known: bool,
}

impl Last {
    fn new(n: usize) -> Self {
        Self { values: vec![0; n], next: 0, seen: 0, quiet_s: 0, was_known: false }
    }

    #[inline]
    fn push(&mut self, value: i64) {
        self.values[self.next] = value;
        self.next += 1;
        if self.next == self.values.len() {
            self.next = 0;
        }
        (self.seen, self.quiet_s) = (self.seen + 1, 0);
    }

    /// A second has passed. What nothing was added to for a minute says nothing any more: a breaker that holds
    /// because of it would hold for ever.
    fn step(&mut self) {
        self.quiet_s += 1;
        if self.quiet_s >= SECONDS {
            self.clear();
        }
    }

    fn clear(&mut self) {
        (self.next, self.seen, self.quiet_s) = (0, 0, 0);
    }

    /// The values, when there are enough; none of them after they were cleared; `None` before there ever were.
    fn known(&mut self, least: usize) -> Option<&[i64]> {
        let len = self.values.len().min(self.seen as usize);
        self.was_known |= len >= least;
        self.was_known.then(|| if len >= least { &self.values[..len] } else { &[] })
    }

    fn words(&self) -> impl Iterator<Item = u64> + '_ {
        let own = [self.next as u64, self.seen, self.quiet_s as u64, self.was_known.into()];
        own.into_iter().chain(self.values.iter().map(|v| *v as u64))
    }
}

/// The counts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Health {
    rejects: Minute,
    unknowns: Minute,
    /// Hundredths of a basis point on the dear side.
    slippage: Last,
    /// Nanoseconds.
    latency: Last,
    /// The latencies in order, when they are wanted.
    #[serde(skip)]
    sorted: Vec<i64>,
    /// Largest that models told since the last look.
    volatility: Option<f64>,
    change: Option<f64>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            rejects: Minute::new(),
            unknowns: Minute::new(),
            slippage: Last::new(FILLS),
            latency: Last::new(ORDERS),
            sorted: Vec::with_capacity(ORDERS),
            volatility: None,
            change: None,
        }
    }
}

impl Health {
    /// The venue refused an order.
    pub fn on_reject(&mut self) {
        self.rejects.count();
    }

    /// The outcome of an order was lost.
    pub fn on_unknown(&mut self) {
        self.unknowns.count();
    }

    /// A fill at `price_e8`, bought (+1) or sold (-1), beside the mark price.
    pub fn on_fill(&mut self, sign: i64, price_e8: i128, mark_e8: i64) {
        if mark_e8 > 0 {
            let mark = i128::from(mark_e8);
            let worse = i128::from(sign) * (price_e8 - mark) * 1_000_000 / mark;
            self.slippage.push(worse.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64);
        }
    }

    /// An order passed the limits so long after the read of its tick.
    #[inline]
    pub fn on_order(&mut self, way_ns: Nanos) {
        self.latency.push(way_ns as i64);
    }

    /// A model told how volatile its series is, and how likely it changed.
    pub fn on_regime(&mut self, volatility: f64, change: f64) {
        self.volatility = Some(self.volatility.unwrap_or(volatility).max(volatility));
        self.change = Some(self.change.unwrap_or(change).max(change));
    }

    /// A second has passed.
    pub fn step(&mut self) {
        self.rejects.step();
        self.unknowns.step();
        self.slippage.step();
        self.latency.step();
        (self.volatility, self.change) = (None, None);
    }

    /// A person has seen it: what was counted counts no more.
    pub fn forget(&mut self) {
        self.rejects.counts.fill(0);
        self.unknowns.counts.fill(0);
        self.slippage.clear();
        self.latency.clear();
    }

    /// Orders refused by the venue within a minute.
    pub fn rejects(&self) -> u32 {
        self.rejects.sum()
    }

    /// Outcomes lost within a minute.
    pub fn unknowns(&self) -> u32 {
        self.unknowns.sum()
    }

    /// Mean of the last fills' distance from the mark price, basis points.
    pub fn slippage_bps(&mut self) -> Option<f64> {
        let last = self.slippage.known(FILLS_MIN)?;
        Some(last.iter().map(|v| *v as f64).sum::<f64>() / last.len().max(1) as f64 / 100.0)
    }

    /// 99th percentile of the last orders' way, microseconds.
    pub fn latency_p99_us(&mut self) -> Option<f64> {
        let last = self.latency.known(ORDERS_MIN)?;
        self.sorted.clear();
        self.sorted.extend_from_slice(last);
        self.sorted.sort_unstable();
        let at = (self.sorted.len() * 99).div_ceil(100).saturating_sub(1);
        Some(self.sorted.get(at).map_or(0.0, |ns| *ns as f64 / 1e3))
    }

    /// The largest that models told since the last second: volatility over the usual one, probability of a change.
    pub fn regime(&self) -> [Option<f64>; 2] {
        [self.volatility, self.change]
    }

    /// The state as words, for digests.
    pub fn words(&self) -> impl Iterator<Item = u64> + '_ {
        let minutes = [&self.rejects, &self.unknowns].into_iter();
        let minutes = minutes.flat_map(|m| m.counts.iter().copied().chain([m.at as u32]).map(u64::from));
        let regime = [self.volatility, self.change].map(|v| v.map_or(u64::MAX, f64::to_bits));
        minutes.chain(self.slippage.words()).chain(self.latency.words()).chain(regime)
    }
}
