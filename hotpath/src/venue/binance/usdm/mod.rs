//! Binance USD-M futures.

mod decode;
mod fallback;
mod order_text;
mod private;
pub mod rest;

pub use decode::{DecodeError, Decoded, MarketDecoder};
pub use order_text::{OrderEncoder, REQUEST_BYTES_MAX, Request, sign_request};
pub use private::{
    AccountChange, EarlyFill, KEY_EXPIRED, PrivateDecoder, PrivateError, PrivateEvent, RequestKind,
    ShownPositions, StopChange, is_secret,
};

/// Event that says that the venue will close the connection.
const SHUTDOWN: &str = "serverShutdown";

/// Name of the venue in the configuration.
pub const KIND: &str = "binance-usdm";

/// Streams of the book connection besides the diffs.
pub const BOOK_STREAMS: &[&str] = &["bookTicker", "trade"];
/// Streams of the other market connection.
pub const MARKET_STREAMS: &[&str] = &["markPrice@1s"];
