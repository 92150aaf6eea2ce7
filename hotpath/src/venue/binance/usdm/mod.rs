//! Binance USD-M futures.

mod decode;
mod fallback;

pub use decode::{DecodeError, Decoded, MarketDecoder};
