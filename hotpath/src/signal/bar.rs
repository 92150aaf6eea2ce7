//! Bars from public trades: by time, by volume, by turnover.

use serde::{Deserialize, Serialize};

/// A bar. Prices and volume in the units that its trades came in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// First price.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
    /// Quantity traded; 0 for a time in which nobody traded.
    pub volume: f64,
    /// Venue's time of its beginning, unix milliseconds: of the interval for bars by time, else of its first trade.
    pub start_ms: u64,
    /// End of the interval (exclusive) for bars by time, else time of its last trade.
    pub end_ms: u64,
}

/// When a bar ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BarRule {
    /// After so many milliseconds, on multiples of them since 1970.
    Time(u64),
    /// With the trade that brings its volume to so much.
    Volume(f64),
    /// With the trade that brings price x quantity to so much.
    Turnover(f64),
}

/// A public trade.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Print {
    /// Venue's time, unix milliseconds.
    pub venue_ms: u64,
    /// Price.
    pub price: f64,
    /// Quantity.
    pub qty: f64,
}

/// Forms bars. A time without trades is a bar at the last price without volume. A bar by time of which the beginning was
/// not seen is left out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BarBuilder {
    rule: BarRule,
    /// The bar that is being formed.
    open: Option<Bar>,
    /// Its beginning was not seen.
    is_partial: bool,
    turnover: f64,
    /// Bars that were left out.
    skipped: u64,
}

impl BarBuilder {
    /// Bars that fill a hole; a wider one starts the series anew.
    pub const FILL_MAX: u64 = 1_000;

    /// A builder before its first trade.
    pub fn new(rule: BarRule) -> Self {
        Self { rule, open: None, is_partial: false, turnover: 0.0, skipped: 0 }
    }

    /// Trades may have been missed: what is being formed is given up, and the series starts anew.
    pub fn interrupt(&mut self) {
        self.skipped += u64::from(self.open.take().is_some());
        self.turnover = 0.0;
    }

    /// Bars that were left out.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The venue's clock is at `venue_ms`, or a trade of that time is at hand: a bar that ended before. To be called
    /// until it returns none, and before [`Self::push`].
    pub fn close_before(&mut self, venue_ms: u64) -> Option<Bar> {
        let BarRule::Time(ms) = self.rule else { return None };
        let mut bar = self.open.filter(|bar| bar.end_ms <= venue_ms)?;
        if std::mem::take(&mut self.is_partial) {
            self.skipped += 1;
            bar = flat(bar.close, bar.end_ms, ms);
            self.open = Some(bar);
            if bar.end_ms > venue_ms {
                return None;
            }
        }
        let behind = (venue_ms - bar.end_ms) / ms;
        self.open = (behind <= Self::FILL_MAX).then(|| flat(bar.close, bar.end_ms, ms));
        self.skipped += if self.open.is_none() { behind } else { 0 };
        Some(bar)
    }

    /// Takes a trade; the bar that it completes, for bars by volume and turnover. A trade that comes late counts for
    /// the bar that is being formed.
    pub fn push(&mut self, print: Print) -> Option<Bar> {
        let Print { venue_ms, price, qty } = print;
        self.is_partial |= self.open.is_none();
        let bar = self.open.get_or_insert_with(|| match self.rule {
            BarRule::Time(ms) => Bar { open: f64::NAN, ..flat(price, venue_ms / ms * ms, ms) },
            BarRule::Volume(_) | BarRule::Turnover(_) => Bar { open: f64::NAN, ..flat(price, venue_ms, 0) },
        });
        // The first trade opens it, also where a hole was filled at the price before.
        if bar.volume == 0.0 {
            (bar.open, bar.high, bar.low) = (price, price, price);
        }
        bar.high = bar.high.max(price);
        bar.low = bar.low.min(price);
        bar.close = price;
        bar.volume += qty;
        self.turnover += price * qty;
        let is_full = match self.rule {
            BarRule::Time(_) => return None,
            BarRule::Volume(bound) => bar.volume >= bound,
            BarRule::Turnover(bound) => self.turnover >= bound,
        };
        bar.end_ms = bar.end_ms.max(venue_ms);
        if !is_full {
            return None;
        }
        (self.turnover, self.is_partial) = (0.0, false);
        self.open.take()
    }

    /// The state as words, for digests.
    pub fn words(&self) -> impl Iterator<Item = u64> + use<> {
        let bar = self.open.unwrap_or_default();
        let values = [bar.open, bar.high, bar.low, bar.close, bar.volume].map(f64::to_bits);
        let flags = u64::from(self.is_partial) | u64::from(self.open.is_some()) << 1;
        values.into_iter().chain([bar.start_ms, bar.end_ms, self.turnover.to_bits(), self.skipped, flags])
    }
}

fn flat(price: f64, start_ms: u64, ms: u64) -> Bar {
    let end_ms = start_ms + ms;
    Bar { open: price, high: price, low: price, close: price, volume: 0.0, start_ms, end_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(venue_ms: u64, price: f64, qty: f64) -> Print {
        Print { venue_ms, price, qty }
    }

    #[test]
    fn holes_are_filled_at_the_last_price() {
        let mut bars = BarBuilder::new(BarRule::Time(60_000));
        // A bar whose beginning was not seen.
        bars.push(print(59_000, 10.0, 1.0));
        assert_eq!((bars.close_before(60_500), bars.skipped()), (None, 1));
        assert_eq!(bars.push(print(61_000, 10.0, 1.0)), None);
        bars.push(print(100_000, 12.0, 2.0));
        bars.push(print(119_999, 9.0, 1.0));
        assert_eq!(bars.close_before(119_999), None);
        let first = bars.close_before(250_000).unwrap();
        let Bar { open, high, low, close, volume, start_ms, end_ms } = first;
        assert_eq!((open, high, low, close, volume), (10.0, 12.0, 9.0, 9.0, 4.0));
        assert_eq!((start_ms, end_ms), (60_000, 120_000));
        let hole = bars.close_before(250_000).unwrap();
        assert_eq!((hole.open, hole.close, hole.volume, hole.start_ms), (9.0, 9.0, 0.0, 120_000));
        assert_eq!(bars.close_before(250_000).unwrap().start_ms, 180_000);
        assert_eq!(bars.close_before(250_000), None);
        bars.push(print(250_000, 11.0, 1.0));
        let last = bars.close_before(300_000).unwrap();
        assert_eq!((last.open, last.high, last.low), (11.0, 11.0, 11.0), "its own first trade opens it");
        assert!(bars.close_before(u64::MAX).is_some());
        assert_eq!((bars.close_before(u64::MAX), bars.skipped() > 0), (None, true));
    }

    #[test]
    fn volume_and_turnover_end_with_the_trade_that_fills_them() {
        let mut bars = BarBuilder::new(BarRule::Volume(3.0));
        assert_eq!(bars.push(print(1, 10.0, 2.0)), None);
        let bar = bars.push(print(5, 11.0, 2.0)).unwrap();
        assert_eq!((bar.volume, bar.start_ms, bar.end_ms, bar.close), (4.0, 1, 5, 11.0));
        let mut bars = BarBuilder::new(BarRule::Turnover(40.0));
        assert_eq!(bars.push(print(1, 10.0, 3.0)), None);
        assert!(bars.push(print(2, 10.0, 1.0)).is_some());
        assert_eq!(bars.push(print(3, 10.0, 3.0)), None, "the next starts from nothing");
    }
}
