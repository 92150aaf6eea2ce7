//! A seeded synthetic market: two cointegrated instruments with books, best prices, trades and mark prices
//! in the venue's own text, so that everything runs without recorded data.
//!
//! A common random walk drives both log prices; the second adds a mean-reverting spread that a pairs
//! strategy can trade.

use super::{CaptureError, MarketLine, MarketSource};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write,
};
use tickpath_shared::types::decimal;

/// Virtual time between two steps.
const STEP_NS: u64 = 25_000_000;
/// Levels a side.
const LEVELS: i64 = 400;
/// Share of the spread's distance that comes back in a step.
const REVERSION: f64 = 0.004;

/// Deterministic numbers (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In `0..1`.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Roughly normal: the sum of twelve uniforms less six.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

struct Instrument {
    symbol: &'static str,
    start_price: f64,
    /// Tick and its decimal places, as the venue writes prices.
    tick: f64,
    price_places: u8,
    /// Typical quantity of a level in thousandths.
    size: u64,
    bids: BTreeMap<i64, u64>,
    asks: BTreeMap<i64, u64>,
    /// Id of the last change of any kind.
    update_id: u64,
    /// Last id of the last diff: what the next one follows.
    diffed_id: u64,
    /// Touch levels nudged since the last diff, which the next one restates.
    nudged: Changes2,
    trade_id: u64,
}

/// The market.
pub struct SyntheticMarket {
    random: Random,
    instruments: [Instrument; 2],
    time_ns: u64,
    step: u64,
    log_common: f64,
    spread: f64,
    queue: VecDeque<MarketLine>,
}

impl SyntheticMarket {
    /// The market of a seed; it starts at `start_ms` unix milliseconds and never ends.
    pub fn new(seed: u64, start_ms: u64) -> Self {
        let instrument = |symbol, start_price, tick, size| Instrument {
            symbol,
            start_price,
            tick,
            price_places: 2,
            size,
            bids: BTreeMap::new(),
            asks: BTreeMap::new(),
            update_id: 1_000_000,
            diffed_id: 1_000_000,
            nudged: [Changes::new(), Changes::new()],
            trade_id: 1,
        };
        let instruments =
            [instrument("BTCUSDT", 60_000.0, 0.10, 400), instrument("ETHUSDT", 2_600.0, 0.01, 9_000)];
        let mut market = Self {
            random: Random(seed ^ 0x5eed),
            instruments,
            time_ns: start_ms * 1_000_000,
            step: 0,
            log_common: 0.0,
            spread: 0.0,
            queue: VecDeque::new(),
        };
        market.open();
        market
    }

    /// First lines: the books as snapshots.
    fn open(&mut self) {
        for index in 0..self.instruments.len() {
            let mid = self.mid_ticks(index);
            self.instruments[index].requote(mid, &mut self.random);
            let line = self.instruments[index].snapshot(self.time_ns);
            self.queue.push_back(line);
        }
    }

    fn mid_ticks(&self, index: usize) -> i64 {
        let log = self.log_common + if index == 1 { self.spread } else { 0.0 };
        let instrument = &self.instruments[index];
        (instrument.start_price * log.exp() / instrument.tick).round() as i64
    }

    fn step(&mut self) {
        self.time_ns += STEP_NS;
        self.step += 1;
        self.log_common += 1.5e-6 * self.random.normal();
        self.spread += -REVERSION * self.spread + 9.0e-6 * self.random.normal();
        let every_second = self.step.is_multiple_of(1_000_000_000 / STEP_NS);
        for index in 0..self.instruments.len() {
            let mid = self.mid_ticks(index);
            let time_ns = self.time_ns + index as u64 * STEP_NS / 2;
            let instrument = &mut self.instruments[index];
            let (bids, asks) = instrument.requote(mid, &mut self.random);
            if self.random.below(3) > 0 {
                self.queue.push_back(instrument.trade(time_ns, &mut self.random));
            }
            self.queue.push_back(instrument.diff(time_ns, &bids, &asks));
            self.queue.push_back(instrument.ticker(time_ns));
            for _ in 0..self.random.below(4) {
                instrument.nudge_top(&mut self.random);
                self.queue.push_back(instrument.ticker(time_ns));
            }
            if every_second {
                self.queue.push_back(instrument.mark(time_ns));
            }
        }
    }
}

impl MarketSource for SyntheticMarket {
    fn next_line(&mut self) -> Result<Option<MarketLine>, CaptureError> {
        while self.queue.is_empty() {
            self.step();
        }
        Ok(self.queue.pop_front())
    }
}

type Changes = Vec<(i64, u64)>;
type Changes2 = [Changes; 2];

impl Instrument {
    /// Moves the book around a new mid; returns the changed levels.
    fn requote(&mut self, mid: i64, random: &mut Random) -> (Changes, Changes) {
        let (mut bids, mut asks) = (Changes::new(), Changes::new());
        let size = self.size;
        retreat(&mut self.bids, &mut bids, |price| price >= mid || price < mid - LEVELS);
        retreat(&mut self.asks, &mut asks, |price| price <= mid || price > mid + LEVELS);
        for distance in 1..=LEVELS {
            // The book is dense at the touch and thins out; untouched levels stay as they are.
            let is_quoted = distance <= 3 || (distance * 7) % 5 != 0;
            let is_changed = random.below(distance as u64 * 2 + 4) < 4;
            for (side, changes, price) in
                [(&mut self.bids, &mut bids, mid - distance), (&mut self.asks, &mut asks, mid + distance)]
            {
                if is_quoted
                    && (is_changed || distance == 1 || side.len() < 50)
                    && !changes.iter().any(|c| c.0 == price)
                {
                    let qty = size / 4 + random.below(size * 2) * (1 + distance as u64 / 50);
                    side.insert(price, qty);
                    changes.push((price, qty));
                }
            }
        }
        for (side, changes) in [(0, &mut bids), (1, &mut asks)] {
            let book = if side == 0 { &self.bids } else { &self.asks };
            for (price, _) in std::mem::take(&mut self.nudged[side]) {
                if let Some(qty) = book.get(&price)
                    && !changes.iter().any(|c| c.0 == price)
                {
                    changes.push((price, *qty));
                }
            }
        }
        self.update_id += 5 + random.below(4000);
        (bids, asks)
    }

    /// Changes the quantity at the touch, as a ticker shows it between two diffs.
    fn nudge_top(&mut self, random: &mut Random) {
        // Later than the last diff, earlier than the next one, which will restate the touch.
        self.update_id += 1;
        let qty = self.size / 4 + random.below(self.size * 2);
        let side = random.below(2) as usize;
        let entry = if side == 0 { self.bids.last_entry() } else { self.asks.first_entry() };
        if let Some(mut level) = entry {
            level.insert(qty);
            self.nudged[side].push((*level.key(), qty));
        }
    }

    fn line(&self, time_ns: u64, stream: &str, data: &str) -> MarketLine {
        let stream = format!("{}@{stream}", self.symbol.to_lowercase());
        let text = format!("{{\"stream\":\"{stream}\",\"data\":{data}}}");
        MarketLine { time_ns, stream, symbol: self.symbol.to_owned(), text }
    }

    fn price(&self, ticks: i64) -> String {
        let units = (self.tick * 100.0).round() as i64;
        decimal::to_text(ticks * units, self.price_places)
    }

    fn levels<'a>(&self, levels: impl Iterator<Item = (&'a i64, &'a u64)>) -> String {
        let mut out = String::from("[");
        for (price, qty) in levels {
            let separator = if out.len() > 1 { "," } else { "" };
            let _ = write!(
                out,
                "{separator}[\"{}\",\"{}\"]",
                self.price(*price),
                decimal::to_text(*qty as i64, 3)
            );
        }
        out.push(']');
        out
    }

    fn snapshot(&mut self, time_ns: u64) -> MarketLine {
        self.diffed_id = self.update_id;
        let (ms, id) = (time_ns / 1_000_000, self.update_id);
        let bids = self.levels(self.bids.iter().rev());
        let asks = self.levels(self.asks.iter());
        let text = format!("{{\"lastUpdateId\":{id},\"E\":{ms},\"T\":{ms},\"bids\":{bids},\"asks\":{asks}}}");
        MarketLine { time_ns, stream: String::new(), symbol: self.symbol.to_owned(), text }
    }

    fn diff(&mut self, time_ns: u64, bids: &Changes, asks: &Changes) -> MarketLine {
        let (ms, symbol) = (time_ns / 1_000_000, self.symbol);
        let (first, last, previous) = (self.diffed_id + 1, self.update_id, self.diffed_id);
        let b = self.levels(bids.iter().map(|(p, q)| (p, q)));
        let a = self.levels(asks.iter().map(|(p, q)| (p, q)));
        self.diffed_id = last;
        self.line(
            time_ns,
            "depth@0ms",
            &format!("{{\"e\":\"depthUpdate\",\"E\":{ms},\"T\":{ms},\"s\":\"{symbol}\",\"U\":{first},\"u\":{last},\"pu\":{previous},\"b\":{b},\"a\":{a}}}"),
        )
    }

    fn ticker(&self, time_ns: u64) -> MarketLine {
        let (ms, symbol, id) = (time_ns / 1_000_000, self.symbol, self.update_id);
        let level = |entry: Option<(&i64, &u64)>| {
            entry.map_or((String::new(), String::new()), |(p, q)| {
                (self.price(*p), decimal::to_text(*q as i64, 3))
            })
        };
        let (bid, bid_qty) = level(self.bids.last_key_value());
        let (ask, ask_qty) = level(self.asks.first_key_value());
        self.line(
            time_ns,
            "bookTicker",
            &format!("{{\"e\":\"bookTicker\",\"u\":{id},\"s\":\"{symbol}\",\"b\":\"{bid}\",\"B\":\"{bid_qty}\",\"a\":\"{ask}\",\"A\":\"{ask_qty}\",\"T\":{ms},\"E\":{ms}}}"),
        )
    }

    fn mark(&self, time_ns: u64) -> MarketLine {
        let (ms, symbol) = (time_ns / 1_000_000, self.symbol);
        let touch = [self.bids.last_key_value(), self.asks.first_key_value()];
        let sum: i64 = touch.into_iter().flatten().map(|(p, _)| *p).sum();
        let half_tick_e8 = (self.tick * 1e8).round() as i64 / 2;
        let price = decimal::to_text(sum * half_tick_e8, 8);
        self.line(
            time_ns,
            "markPrice@1s",
            &format!("{{\"e\":\"markPriceUpdate\",\"E\":{ms},\"s\":\"{symbol}\",\"p\":\"{price}\",\"P\":\"{price}\",\"i\":\"{price}\",\"r\":\"0.00010000\",\"T\":{}}}", ms + 1000),
        )
    }

    fn trade(&mut self, time_ns: u64, random: &mut Random) -> MarketLine {
        let (ms, symbol, id) = (time_ns / 1_000_000, self.symbol, self.trade_id);
        self.trade_id += 1;
        let is_sell = random.below(2) == 0;
        let level = if is_sell { self.bids.last_key_value() } else { self.asks.first_key_value() };
        let price = self.price(level.map_or(0, |(p, _)| *p));
        let qty = decimal::to_text(1 + random.below(self.size) as i64, 3);
        self.line(
            time_ns,
            "trade",
            &format!("{{\"e\":\"trade\",\"E\":{ms},\"T\":{ms},\"s\":\"{symbol}\",\"t\":{id},\"p\":\"{price}\",\"q\":\"{qty}\",\"X\":\"MARKET\",\"m\":{is_sell}}}"),
        )
    }
}

/// Removes levels the market has moved away from.
fn retreat(side: &mut BTreeMap<i64, u64>, changes: &mut Changes, is_gone: impl Fn(i64) -> bool) {
    let gone: Vec<i64> = side.keys().copied().filter(|price| is_gone(*price)).collect();
    for price in gone {
        side.remove(&price);
        changes.push((price, 0));
    }
}

#[cfg(test)]
mod tests;
