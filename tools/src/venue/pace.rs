//! Pace of the market data: original, N times faster, or as fast as the clients take it.

use std::{
    str::FromStr,
    time::{Duration, Instant},
};

/// How fast market data is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// So many times the original pace.
    Times(f64),
    /// As fast as the clients take it: each answers a ping behind the lines that it was sent.
    Max,
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.parse::<f64>() {
            Ok(times) if times.is_finite() && times > 0.0 => Ok(Self::Times(times)),
            _ => Err(format!("{text:?} is neither a positive number nor \"max\"")),
        }
    }
}

/// When which line is due.
pub(super) struct Pace {
    speed: Speed,
    start: Option<(Instant, u64)>,
}

impl Pace {
    pub(super) fn new(speed: Speed) -> Self {
        Self { speed, start: None }
    }

    /// Time until a line of receive time `time_ns` is due; zero when it is.
    pub(super) fn wait(&mut self, now: Instant, time_ns: u64) -> Duration {
        let (start, first_ns) = *self.start.get_or_insert((now, time_ns));
        match self.speed {
            Speed::Max => Duration::ZERO,
            Speed::Times(times) => {
                let offset_ns = time_ns.saturating_sub(first_ns) as f64 / times;
                (start + Duration::from_nanos(offset_ns as u64)).saturating_duration_since(now)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_parse() {
        assert_eq!("max".parse(), Ok(Speed::Max));
        assert_eq!("2.5".parse(), Ok(Speed::Times(2.5)));
        for bad in ["0", "-1", "fast", "inf"] {
            assert!(bad.parse::<Speed>().is_err(), "{bad}");
        }
    }

    #[test]
    fn lines_are_due_at_their_distance_from_the_first() {
        let mut pace = Pace::new(Speed::Times(2.0));
        let start = Instant::now();
        assert_eq!(pace.wait(start, 1_000), Duration::ZERO);
        assert_eq!(pace.wait(start, 3_000_001_000), Duration::from_millis(1500));
        assert_eq!(pace.wait(start + Duration::from_secs(2), 3_000_001_000), Duration::ZERO);
    }
}
