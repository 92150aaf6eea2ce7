//! What strategies are told.

use crate::types::decimal;
use jiff::{
    civil::{Date, Time, Weekday},
    tz::TimeZone,
};
use serde::{Deserialize, Serialize};

/// The probe: answers every change of an instrument's best prices or book with one order, so that latency can be
/// measured on every tick. It trades without sense and is refused in live mode.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Probe {
    /// Off unless latency is measured.
    pub is_enabled: bool,
    /// Symbol whose ticks are answered.
    pub symbol: String,
    /// Quantity of an order.
    pub qty: String,
}

/// The market maker: a post-only quote a side, after Guéant, Lehalle and Fernandez-Tapia. Prices are in quote currency,
/// inventory in quotes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct MarketMaker {
    /// Off unless wanted.
    pub is_enabled: bool,
    /// Symbol that is quoted.
    pub symbol: String,
    /// Quantity of a quote.
    pub qty: String,
    /// Risk aversion, above 0.
    pub gamma: f64,
    /// Volatility, price a square root of a second, above 0.
    pub sigma: f64,
    /// Decay of the fill intensity with the distance, one a price, above 0.
    pub k: f64,
    /// Fill intensity at the middle, fills a second, above 0.
    pub a: f64,
    /// Largest inventory in quotes, 1..=1000.
    pub inventory_max: i64,
    /// Ticks that a quote may be off before it is moved, 0..=10000.
    pub requote_ticks: i64,
    /// Pause of a quote after it was placed, moved, filled or refused, milliseconds.
    pub pause_ms: u64,
}

impl Default for MarketMaker {
    fn default() -> Self {
        Self {
            is_enabled: false,
            symbol: "BTCUSDT".into(),
            qty: "0.002".into(),
            gamma: 0.01,
            sigma: 2.0,
            k: 0.3,
            a: 2.0,
            inventory_max: 5,
            requote_ticks: 2,
            pause_ms: 100,
        }
    }
}

/// The pairs strategy: trades the log price of one instrument against another's when it is far from where a Kalman
/// filter expects it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Pairs {
    /// Off: nothing of it runs.
    pub is_enabled: bool,
    /// Symbol bought when the spread is low.
    pub base: String,
    /// Symbol sold when the spread is low.
    pub hedge: String,
    /// Quantity of the base leg.
    pub base_qty: String,
    /// Quantity of the hedge leg.
    pub hedge_qty: String,
    /// Hedge ratio from which the filter starts: spread = ln(base) - ratio x ln(hedge).
    pub ratio: f64,
    /// Samples from which the filter learns what noise is, before anything is traded, 10..=100000.
    pub window: usize,
    /// Venue milliseconds between samples, 1..=3600000.
    pub sample_ms: u64,
    /// How fast the relation may move: variance that slope and intercept gain a sample over that of the noise, 0 to 0.1.
    pub drift: f64,
    /// Absolute z-score at which a position is opened at the usual volatility.
    pub entry_z: f64,
    /// The least it may become when the market is quiet.
    pub entry_z_min: f64,
    /// The largest it may become when the market is not.
    pub entry_z_max: f64,
    /// Absolute z-score at which it is closed, at the usual volatility; below the entry (hysteresis).
    pub exit_z: f64,
    /// Absolute z-score at which a position is given up, and beyond which none is opened.
    pub stop_z: f64,
    /// Distance from the expected spread below which nothing is opened whatever its z-score, basis points: what a round
    /// trip of both legs costs, and what it should bring.
    pub edge_bps: f64,
    /// Power of the volatility ratio by which the thresholds widen, 0 (never) to 2.
    pub volatility_power: f64,
    /// GARCH: weight of the last squared surprise.
    pub garch_alpha: f64,
    /// GARCH: weight of the last variance; with the other below 1.
    pub garch_beta: f64,
    /// Minutes between two fits of these weights to what was recorded, 0 (never) to 1440.
    pub refit_minutes: u64,
    /// Samples that are fitted, 100..=100000.
    pub refit_samples: usize,
    /// Changepoints: mean number of samples between changes, above 1.
    pub change_lambda: f64,
    /// Changepoints: longest run of samples that is told apart, 10..=5000.
    pub change_run_max: usize,
    /// Changepoints: samples within which a change is recent, at most half of that.
    pub change_run: usize,
    /// Probability of a recent change above which positions are closed and none opened; 1 for never.
    pub change_probability: f64,
    /// Ticks beyond the opposite best that an order may pay.
    pub aggression_ticks: i64,
    /// The same for an opening that is late, and for closing what is left of one.
    pub urgent_ticks: i64,
    /// Milliseconds to wait for an order's outcome before the next order of the leg.
    pub leg_timeout_ms: u64,
    /// Milliseconds in which an opening should be whole; after that its rest may pay the urgent price.
    pub open_ms: u64,
    /// Milliseconds after that in which it must be; then what there is is closed. 0: closed at once.
    pub complete_ms: u64,
    /// Pause after an opening that failed, milliseconds.
    pub rest_ms: u64,
}

impl Default for Pairs {
    fn default() -> Self {
        Self {
            is_enabled: false,
            base: String::new(),
            hedge: String::new(),
            base_qty: "0.010".into(),
            hedge_qty: "0.200".into(),
            ratio: 1.0,
            window: 120,
            sample_ms: 250,
            drift: 1e-5,
            entry_z: 2.0,
            entry_z_min: 1.5,
            entry_z_max: 4.0,
            exit_z: 0.5,
            stop_z: 7.0,
            edge_bps: 0.0,
            volatility_power: 0.5,
            garch_alpha: 0.05,
            garch_beta: 0.9,
            refit_minutes: 0,
            refit_samples: 10_000,
            change_lambda: 500.0,
            change_run_max: 200,
            change_run: 5,
            change_probability: 0.5,
            aggression_ticks: 2,
            urgent_ticks: 50,
            leg_timeout_ms: 2000,
            open_ms: 1000,
            complete_ms: 2000,
            rest_ms: 30_000,
        }
    }
}

/// How a strategy with a stop and a target trades on one instrument.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct TradeRules {
    /// Most that a trade may lose between entry and stop, quote currency.
    #[serde(with = "decimal::e8")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub risk_max: i64,
    /// Largest quantity.
    pub qty_max: String,
    /// Distance of the target over that of the stop.
    pub reward_ratio: f64,
    /// Least of it at the price that is there, 0 for any.
    pub reward_ratio_min: f64,
    /// Widest spread at which anything is entered, ticks.
    pub spread_ticks_max: i64,
    /// Ticks beyond the opposite best that an entry may pay.
    pub aggression_ticks: i64,
    /// The same for a way out.
    pub urgent_ticks: i64,
    /// Milliseconds to wait for an order's outcome before the next one.
    pub order_ms: u64,
    /// Milliseconds in which an entry may be tried.
    pub entry_ms: u64,
    /// Pause after a trade, milliseconds.
    pub rest_ms: u64,
}

impl Default for TradeRules {
    fn default() -> Self {
        Self {
            risk_max: 20 * 100_000_000,
            qty_max: "0.010".into(),
            reward_ratio: 2.0,
            reward_ratio_min: 1.0,
            spread_ticks_max: 50,
            aggression_ticks: 2,
            urgent_ticks: 50,
            order_ms: 2_000,
            entry_ms: 3_000,
            rest_ms: 5_000,
        }
    }
}

/// Votes of classic indicators over bars by time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct TaCombo {
    /// Off unless wanted.
    pub is_enabled: bool,
    /// Symbol that is traded.
    pub symbol: String,
    /// Length of a bar, milliseconds.
    pub bar_ms: u64,
    /// Bars of the fast mean, below the slow one.
    pub fast: usize,
    /// Bars of the slow mean.
    pub slow: usize,
    /// Bars of the signal line of the MACD, which has the same means.
    pub signal: usize,
    /// Changes of the strength index.
    pub rsi: usize,
    /// Strength from which a rise is at its end, 50..=100.
    pub rsi_high: f64,
    /// Strength from which a fall is at its end, 0..=50.
    pub rsi_low: f64,
    /// Bars of the bands.
    pub bands: usize,
    /// Their width in deviations.
    pub deviations: f64,
    /// Bars of the average true range.
    pub atr: usize,
    /// Votes that make an opinion, 1..=4.
    pub votes: i64,
    /// Distance of the stop in average true ranges.
    pub stop_atr: f64,
    /// Size, stop and target.
    pub trade: TradeRules,
}

impl Default for TaCombo {
    fn default() -> Self {
        Self {
            is_enabled: false,
            symbol: "BTCUSDT".into(),
            bar_ms: 60_000,
            fast: 12,
            slow: 26,
            signal: 9,
            rsi: 14,
            rsi_high: 80.0,
            rsi_low: 20.0,
            bands: 20,
            deviations: 2.0,
            atr: 14,
            votes: 3,
            stop_atr: 2.0,
            trade: TradeRules::default(),
        }
    }
}

/// Opening range breakout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Orb {
    /// Off unless wanted.
    pub is_enabled: bool,
    /// Symbol that is traded.
    pub symbol: String,
    /// Time of day at which sessions start, `HH:MM` where the time zone is.
    pub start: String,
    /// Name of the time zone, `UTC` or as in `America/New_York`.
    pub time_zone: String,
    /// No sessions on Saturdays and Sundays.
    pub weekdays_only: bool,
    /// Length of the range from the start.
    pub range_minutes: u64,
    /// End of entries from the start.
    pub entry_minutes: u64,
    /// End of the session from the start: whatever is held is left.
    pub session_minutes: u64,
    /// Length of a bar, milliseconds; a divisor of the range.
    pub bar_ms: u64,
    /// Distance beyond the range at which a breakout begins: at least so many ticks.
    pub buffer_ticks: i64,
    /// And at least this share of the average true range.
    pub buffer_atr: f64,
    /// Narrowest range in average true ranges.
    pub width_min_atr: f64,
    /// Widest range in average true ranges.
    pub width_max_atr: f64,
    /// Volume of the breakout bar over the mean of the range's bars, at least; 0 for any.
    pub volume_ratio_min: f64,
    /// Bars of the average true range.
    pub atr: usize,
    /// Size, stop and target.
    pub trade: TradeRules,
}

impl Default for Orb {
    fn default() -> Self {
        Self {
            is_enabled: false,
            symbol: "BTCUSDT".into(),
            start: "00:00".into(),
            time_zone: "UTC".into(),
            weekdays_only: false,
            range_minutes: 15,
            entry_minutes: 240,
            session_minutes: 480,
            bar_ms: 60_000,
            buffer_ticks: 1,
            buffer_atr: 0.1,
            width_min_atr: 0.5,
            width_max_atr: 20.0,
            volume_ratio_min: 0.0,
            atr: 14,
            trade: TradeRules::default(),
        }
    }
}

impl Orb {
    /// First and last year of the calendar.
    pub const YEARS: [i16; 2] = [2015, 2045];

    /// Starts of all sessions of the calendar, unix milliseconds: at the same time of day in the time zone, whatever
    /// the season. A time that a change of the clocks skips is the one after it; of one that comes twice, the first.
    ///
    /// # Errors
    ///
    /// A text naming the key and the value.
    pub fn session_starts(&self) -> Result<Vec<u64>, String> {
        let zone = TimeZone::get(&self.time_zone)
            .map_err(|_| format!("orb.time_zone: {:?} is no name of a time zone", self.time_zone))?;
        let time = Time::strptime("%H:%M", &self.start)
            .map_err(|_| format!("orb.start: {:?} is no time of day as in 09:30", self.start))?;
        let [first, last] = Self::YEARS;
        let days = Date::constant(first, 1, 1).series(jiff::ToSpan::days(1));
        let is_session = |date: &Date| {
            !self.weekdays_only || !matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday)
        };
        let start = |date: Date| {
            let zoned =
                zone.to_zoned(date.to_datetime(time)).map_err(|e| format!("orb.start: {date}: {e}"))?;
            Ok(zoned.timestamp().duration_since(jiff::Timestamp::UNIX_EPOCH).as_millis() as u64)
        };
        days.take_while(|date| date.year() <= last).filter(is_session).map(start).collect()
    }
}

/// Follows signals that come by command: `tickpath set signal_follow.signal 1`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct SignalFollow {
    /// Off unless wanted.
    pub is_enabled: bool,
    /// Symbol that is traded.
    pub symbol: String,
    /// Quantity held at a signal of 1.
    pub qty: String,
    /// What is wanted: 1 long, -1 short, a share of the quantity between, 0 flat. Set by command; nothing is traded
    /// before the first.
    pub signal: f64,
    /// Milliseconds for which a signal holds, 100..=86400000; then the position is closed.
    pub hold_ms: u64,
    /// Ticks beyond the opposite best that an order may pay.
    pub aggression_ticks: i64,
    /// Milliseconds to wait for an order's outcome before the next.
    pub order_ms: u64,
}

impl Default for SignalFollow {
    fn default() -> Self {
        Self {
            is_enabled: false,
            symbol: "BTCUSDT".into(),
            qty: "0.010".into(),
            signal: 0.0,
            hold_ms: 60_000,
            aggression_ticks: 20,
            order_ms: 1_000,
        }
    }
}

/// Smart-money concepts over bars by time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Smc {
    /// Off unless wanted.
    pub is_enabled: bool,
    /// Symbol that is traded.
    pub symbol: String,
    /// Length of a bar, milliseconds.
    pub bar_ms: u64,
    /// Bars on either side of a swing, 2..=500.
    pub swing_length: usize,
    /// Bars of the average true range.
    pub atr: usize,
    /// Width of liquidity pools in average true ranges.
    pub pool_atr: f64,
    /// Distance of the stop beyond the block in average true ranges.
    pub stop_atr: f64,
    /// Size, stop and target.
    pub trade: TradeRules,
}

impl Default for Smc {
    fn default() -> Self {
        Self {
            is_enabled: false,
            symbol: "BTCUSDT".into(),
            bar_ms: 60_000,
            swing_length: 10,
            atr: 14,
            pool_atr: 0.5,
            stop_atr: 0.5,
            trade: TradeRules::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Minutes after midnight UTC of the session on a day.
    fn minute(orb: &Orb, day_ms: u64) -> Option<u64> {
        let starts = orb.session_starts().unwrap();
        starts
            .iter()
            .find(|start| (day_ms..day_ms + 86_400_000).contains(start))
            .map(|s| (s - day_ms) / 60_000)
    }

    #[test]
    fn sessions_keep_their_time_of_day_through_changes_of_the_clocks() {
        let orb = Orb {
            start: "09:30".into(),
            time_zone: "America/New_York".into(),
            weekdays_only: true,
            ..Orb::default()
        };
        // Fridays and Mondays around the changes of 2026-03-08 and 2026-11-01.
        let days = [(1_772_755_200_000, 14 * 60 + 30), (1_773_014_400_000, 13 * 60 + 30)];
        for (day_ms, expected) in days {
            assert_eq!(minute(&orb, day_ms), Some(expected));
        }
        assert_eq!(minute(&orb, 1_772_755_200_000 + 86_400_000), None, "a Saturday");
        let [friday, monday] = [1_793_318_400_000, 1_793_577_600_000];
        assert_eq!([friday, monday].map(|day| minute(&orb, day)), [Some(13 * 60 + 30), Some(14 * 60 + 30)]);
    }

    #[test]
    fn a_time_that_the_clocks_skip_is_the_one_after_it() {
        let orb = Orb { start: "02:30".into(), time_zone: "America/New_York".into(), ..Orb::default() };
        // 2026-03-08: at 2:00 it is 3:00. Half past two is half past three there, 7:30 UTC.
        assert_eq!(minute(&orb, 1_772_928_000_000), Some(7 * 60 + 30));
    }

    #[test]
    fn what_is_no_time_and_no_place_is_named() {
        let place = Orb { time_zone: "Mars/Olympus".into(), ..Orb::default() };
        assert_eq!(
            place.session_starts().unwrap_err(),
            "orb.time_zone: \"Mars/Olympus\" is no name of a time zone"
        );
        let time = Orb { start: "25:00".into(), ..Orb::default() };
        assert_eq!(time.session_starts().unwrap_err(), "orb.start: \"25:00\" is no time of day as in 09:30");
    }
}
