//! Breakers: what is watched over time, and what is done about it.

use serde::{Deserialize, Serialize};

crate::labelled_enum! {
    /// What a breaker watches. Looked at once a second while the account is proven. Numbers are part of the journal:
    /// append, never renumber.
    pub enum BreakerMetric: u16 {
        DayLoss = 1, "day_loss", "Loss of the day, realised and open, after fees, quote currency.";
        RealizedLoss = 2, "realized_loss", "Realised loss of the day after fees, quote currency.";
        Drawdown = 3, "drawdown", "Fall of the day's result from its peak, quote currency.";
        LossesInRow = 4, "losses_in_row", "Positions closed with a loss one after another.";
        Rejects = 5, "rejects", "Orders that the venue refused within a minute.";
        Unknowns = 6, "unknowns", "Orders whose outcome was lost within a minute.";
        Slippage = 7, "slippage_bps", "Mean distance of the last 32 fills from the mark price, on the dear side, basis points.";
        ChangeProbability = 8, "change_probability", "Probability of a recent change that a strategy's model tells.";
        Volatility = 9, "volatility_ratio", "Volatility over the usual one that a strategy's model tells.";
        FeedAge = 10, "feed_age_ms", "Age of the oldest mark price, milliseconds.";
        TickToOrder = 11, "tick_to_order_p99_us", "99th percentile of the last 256 orders, read of the tick to limits passed, microseconds.";
        JournalPressure = 12, "journal_pressure", "How short the journal is of free segments because the archive lags, 0 to 4.";
        ClockError = 13, "clock_error_ms", "Bound of the error of the venue's clock, milliseconds.";
        PrivateAge = 14, "private_age_ms", "Time since the last message of a private stream while orders are open, milliseconds.";
    }
}

impl BreakerMetric {
    /// The metric of a label.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|metric| metric.label() == label)
    }
}

crate::labelled_enum! {
    /// What a breaker did.
    pub enum BreakerChange: u16 {
        Tripped = 1, "tripped", "The threshold was passed for as long as configured.";
        Released = 2, "released", "It does not hold any more.";
        Restored = 3, "restored", "It held when the process before ended, and still does.";
    }
}

/// What is done when a breaker trips. Each does what those before it do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum BreakerAction {
    /// A person is told.
    Alert,
    /// Nothing is opened while it holds.
    #[default]
    Stop,
    /// Open orders are canceled.
    Cancel,
    /// Positions are closed.
    Flatten,
}

/// When a breaker lets go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum BreakerRelease {
    /// When a person releases it.
    #[default]
    Manual,
    /// With the next day, or when a person releases it.
    Day,
    /// When the threshold was kept for as long as it was passed before, or when a person releases it.
    Recovery,
}
