//! Opening range breakout: the range of a session's first minutes, and the first close beyond it.
//!
//! Sessions are given as times of the venue's clock; whoever configures them knows about time zones.

use super::Bar;
use serde::{Deserialize, Serialize};

/// A session, unix milliseconds; ends are exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its start, which is that of the range.
    pub start_ms: u64,
    /// End of the range.
    pub range_end_ms: u64,
    /// End of entries.
    pub entry_end_ms: u64,
    /// Its end: whatever is held is given up.
    pub end_ms: u64,
}

/// Which ranges count, and how far beyond them a breakout begins.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RangeRules {
    /// Length of the bars in milliseconds.
    pub bar_ms: u64,
    /// Distance beyond the range: at least this, in price units.
    pub buffer_min: f64,
    /// And at least this share of the average true range.
    pub buffer_atr: f64,
    /// Narrowest range in average true ranges.
    pub width_min_atr: f64,
    /// Widest range in average true ranges.
    pub width_max_atr: f64,
    /// Volume of the breakout bar over the mean volume of the range's bars, at least; 0 for any.
    pub volume_ratio_min: f64,
}

/// A close beyond the range. The order goes out on the next event, at what is there then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Breakout {
    /// Above; otherwise below.
    pub is_up: bool,
    /// The close.
    pub close: f64,
    /// The opposite side of the range, where the trade has failed.
    pub stop: f64,
}

/// Why a bar brought no breakout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NoBreakout {
    /// It is of no session, or the time of entries is over.
    OutsideSession,
    /// The range is not whole yet, or a bar of it is missing.
    NoRange,
    /// There is no average true range yet.
    NoAtr,
    /// The range is too narrow or too wide.
    Unfit {
        /// Its width in average true ranges.
        width: f64,
        /// The bound that it breaks.
        bound: f64,
    },
    /// Too little was traded in the bar.
    LowVolume {
        /// Its volume over that of a bar of the range.
        ratio: f64,
        /// The least that is wanted.
        bound: f64,
    },
    /// The close is not beyond the range and its buffer.
    Inside {
        /// The nearer price beyond which it would be.
        bound: f64,
    },
    /// The side has had its breakout in the session.
    Taken,
}

/// The range of the current session. One breakout a side and session.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpeningRange {
    rules: RangeRules,
    session: Option<Session>,
    high: f64,
    low: f64,
    volume: f64,
    /// Bars of the range so far.
    bars: u64,
    /// Width in average true ranges as of the first bar after the range.
    width: Option<f64>,
    /// Down, then up.
    is_taken: [bool; 2],
}

impl OpeningRange {
    /// Before the first session.
    pub fn new(rules: RangeRules) -> Self {
        Self {
            rules,
            session: None,
            high: f64::MIN,
            low: f64::MAX,
            volume: 0.0,
            bars: 0,
            width: None,
            is_taken: [false; 2],
        }
    }

    /// A session begins.
    pub fn begin(&mut self, session: Session) {
        *self = Self { session: Some(session), ..Self::new(self.rules) };
    }

    /// Another distance beyond the range, in average true ranges.
    pub fn set_buffer_atr(&mut self, buffer_atr: f64) {
        self.rules.buffer_atr = buffer_atr;
    }

    /// The session under way.
    pub fn session(&self) -> Option<Session> {
        self.session
    }

    /// Low and high of the range once it is whole; `None` also when a bar of it is missing.
    pub fn range(&self) -> Option<[f64; 2]> {
        let session = self.session?;
        let wanted = (session.range_end_ms - session.start_ms) / self.rules.bar_ms;
        (self.bars == wanted && self.low < self.high).then_some([self.low, self.high])
    }

    /// Takes a finished bar by time and the average true range at its end.
    ///
    /// # Errors
    ///
    /// [`NoBreakout`] says why there is none.
    pub fn push(&mut self, bar: &Bar, atr: Option<f64>) -> Result<Breakout, NoBreakout> {
        let is_within = |s: &Session| bar.start_ms >= s.start_ms && bar.start_ms < s.end_ms;
        let session = self.session.filter(is_within).ok_or(NoBreakout::OutsideSession)?;
        if bar.start_ms < session.range_end_ms {
            self.high = self.high.max(bar.high);
            self.low = self.low.min(bar.low);
            self.volume += bar.volume;
            // A time in which nobody traded says nothing about a range.
            self.bars += u64::from(bar.volume > 0.0);
            return Err(NoBreakout::NoRange);
        }
        let [low, high] = self.range().ok_or(NoBreakout::NoRange)?;
        let atr = atr.ok_or(NoBreakout::NoAtr)?;
        let width = *self.width.get_or_insert((high - low) / atr);
        if bar.end_ms > session.entry_end_ms {
            return Err(NoBreakout::OutsideSession);
        }
        self.judge(width, bar.volume)?;
        let buffer = self.rules.buffer_min.max(self.rules.buffer_atr * atr);
        let (top, bottom) = (high + buffer, low - buffer);
        let is_up = bar.close > top;
        if !is_up && bar.close >= bottom {
            let bound = if bar.close > f64::midpoint(low, high) { top } else { bottom };
            return Err(NoBreakout::Inside { bound });
        }
        if std::mem::replace(&mut self.is_taken[usize::from(is_up)], true) {
            return Err(NoBreakout::Taken);
        }
        Ok(Breakout { is_up, close: bar.close, stop: if is_up { low } else { high } })
    }

    /// Whether a range of this width, and a bar of this volume after it, count.
    fn judge(&self, width: f64, volume: f64) -> Result<(), NoBreakout> {
        let RangeRules { width_min_atr: least, width_max_atr: most, volume_ratio_min: bound, .. } =
            self.rules;
        if width < least || width > most {
            return Err(NoBreakout::Unfit { width, bound: if width < least { least } else { most } });
        }
        let ratio = volume * self.bars as f64 / self.volume;
        if ratio < bound { Err(NoBreakout::LowVolume { ratio, bound }) } else { Ok(()) }
    }

    /// The state as words, for digests.
    pub fn words(&self) -> impl Iterator<Item = u64> + use<> {
        let session = self.session.map_or(0, |s| s.start_ms);
        let flags = u64::from(self.is_taken[0]) | u64::from(self.is_taken[1]) << 1;
        let sums = [self.high, self.low, self.volume, self.width.unwrap_or(-1.0)].map(f64::to_bits);
        [session, self.bars, flags].into_iter().chain(sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;

    fn range() -> OpeningRange {
        let mut range = OpeningRange::new(RangeRules {
            bar_ms: MINUTE,
            buffer_min: 0.05,
            buffer_atr: 0.0,
            width_min_atr: 0.0,
            width_max_atr: 10.0,
            volume_ratio_min: 0.0,
        });
        range.begin(Session {
            start_ms: 0,
            range_end_ms: 5 * MINUTE,
            entry_end_ms: 60 * MINUTE,
            end_ms: 100 * MINUTE,
        });
        range
    }

    fn bar(minute: u64, low: f64, high: f64, close: f64) -> Bar {
        let (start_ms, end_ms) = (minute * MINUTE, (minute + 1) * MINUTE);
        Bar { open: low, high, low, close, volume: 1.0, start_ms, end_ms }
    }

    #[test]
    fn the_published_example_once_a_side() {
        let mut range = range();
        for minute in 0..5 {
            assert_eq!(range.push(&bar(minute, 99.8, 101.2, 101.2), Some(1.0)), Err(NoBreakout::NoRange));
        }
        let within = range.push(&bar(5, 101.0, 101.3, 101.25), Some(1.0));
        assert_eq!(within, Err(NoBreakout::Inside { bound: 101.2 + 0.05 }));
        let found = range.push(&bar(6, 101.0, 101.4, 101.4), Some(1.0)).unwrap();
        assert_eq!(found, Breakout { is_up: true, close: 101.4, stop: 99.8 });
        assert_eq!(range.push(&bar(7, 101.0, 102.0, 102.0), Some(1.0)), Err(NoBreakout::Taken), "once");
        assert!(!range.push(&bar(8, 99.0, 100.0, 99.0), Some(1.0)).unwrap().is_up);
        let late = range.push(&bar(99, 99.0, 100.0, 99.0), Some(1.0));
        assert_eq!(late, Err(NoBreakout::OutsideSession), "too late");
    }

    #[test]
    fn a_range_with_a_hole_or_of_an_unfit_width_does_not_count() {
        let mut holed = range();
        for minute in [0, 1, 3, 4] {
            assert!(holed.push(&bar(minute, 99.8, 101.2, 101.2), Some(1.0)).is_err());
        }
        assert_eq!(holed.push(&bar(6, 101.0, 103.0, 103.0), Some(1.0)), Err(NoBreakout::NoRange));
        let mut wide = range();
        for minute in 0..5 {
            assert!(wide.push(&bar(minute, 80.0, 100.0, 100.0), Some(1.0)).is_err());
        }
        let unfit = Err(NoBreakout::Unfit { width: 20.0, bound: 10.0 });
        assert_eq!(wide.push(&bar(6, 101.0, 103.0, 103.0), Some(1.0)), unfit);
        assert_eq!(wide.push(&bar(7, 101.0, 103.0, 103.0), Some(9.0)), unfit, "judged once");
    }

    #[test]
    fn a_breakout_on_little_volume_does_not_count() {
        let mut quiet = range();
        quiet.rules.volume_ratio_min = 1.5;
        for minute in 0..5 {
            assert!(quiet.push(&bar(minute, 99.8, 101.2, 101.2), Some(1.0)).is_err());
        }
        let low = NoBreakout::LowVolume { ratio: 1.0, bound: 1.5 };
        assert_eq!(quiet.push(&bar(6, 101.0, 103.0, 103.0), Some(1.0)), Err(low));
        let loud = Bar { volume: 1.5, ..bar(7, 101.0, 103.0, 103.0) };
        assert!(quiet.push(&loud, Some(1.0)).unwrap().is_up);
    }
}
