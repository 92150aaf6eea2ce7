//! Signals: incremental operators over prices, bars and books. Fixed memory, no allocation after `new`, no look-ahead:
//! a value is known when it is returned, and nothing that was returned is taken back in silence.
//!
//! Floats obey one rule so that every host and instruction set gives the same bits: no fused multiply-add, sums in a
//! fixed order, transcendentals from `libm` or [`vector`]; square roots are exact everywhere. The mathematics and its
//! conventions are those of the packages named in each file; the same series through both is a test.

mod average;
mod bar;
mod book;
mod changepoint;
mod garch;
mod kalman;
mod momentum;
mod opening_range;

pub mod smc;
mod standard;
mod threshold;
pub mod vector;
mod volatility;

pub use average::{Ema, Sma};
pub use bar::{Bar, BarBuilder, BarRule, Print};
pub use book::{OrderFlow, imbalance, weighted_mid};
pub use changepoint::{Changepoint, ChangepointPrior};
pub use garch::{Garch, GarchParameters};
pub use kalman::{HedgeRatio, Innovation};
pub use momentum::{Macd, MacdValue, Rsi};
pub use opening_range::{Breakout, NoBreakout, OpeningRange, RangeRules, Session};
pub use standard::{EwZ, RollingZ};
pub use threshold::{Stance, ThresholdRules, Thresholds};
pub use volatility::{Atr, Bands, Bollinger};
